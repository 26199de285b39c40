//go:build !unix

package flows

import "io/fs"

// stamp tells two states of a file apart without reading it.
type stamp struct {
	size  int64
	mtime int64
}

func stampOf(info fs.FileInfo) stamp {
	return stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
}
