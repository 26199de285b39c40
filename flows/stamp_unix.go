//go:build unix

package flows

import (
	"io/fs"
	"syscall"
)

// stamp tells two states of a file apart without reading it.
type stamp struct {
	size  int64
	mtime int64
	inode uint64
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = uint64(st.Ino)
	}
	return s
}
