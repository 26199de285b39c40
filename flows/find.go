package flows

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// file is one flow file and what tells whether it has changed.
type file struct {
	path  string
	stamp stamp
}

// find lists the flow files of paths, each once, sorted.
func find(paths []string) ([]file, error) {
	f := newFinder()
	for _, path := range paths {
		if err := f.find(path); err != nil {
			return f.files, err
		}
	}
	slices.SortFunc(f.files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return f.files, nil
}

// finder finds flow files. What it has seen under one name it passes over under
// any other: so links may lead around in circles, and a directory that is
// named twice is read once.
type finder struct {
	files []file
	seen  map[string]bool // real paths
	left  int             // entries of directories that may still be looked at
	met   int             // flow files without tests, and what is known already
}

func newFinder() *finder { return &finder{seen: map[string]bool{}, left: 1 << 30} }

var errTooMany = errors.New("too many files")

// find adds the flow files below a directory, or one file, whatever its name.
func (f *finder) find(path string) error {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, reason(err))
	}
	abs, err := filepath.Abs(path)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, reason(err))
	}
	if info.IsDir() {
		return f.walk(path, abs)
	}
	f.add(path, abs, info)
	return nil
}

// walk finds the flow files below a directory, which is really at the path real.
func (f *finder) walk(dir, real string) error {
	if f.seen[real] {
		f.met++
		return nil
	}
	f.seen[real] = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", dir, reason(err))
	}
	if f.left -= len(entries); f.left < 0 {
		return errTooMany
	}
	for _, entry := range entries {
		if hidden(entry.Name()) {
			continue
		}
		path, at := filepath.Join(dir, entry.Name()), filepath.Join(real, entry.Name())
		info, err := os.Stat(path)
		if err == nil && entry.Type()&fs.ModeSymlink != 0 {
			at, err = filepath.EvalSymlinks(at)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since, or a link to nothing
		}
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", path, reason(err))
		}
		if info.IsDir() {
			if err := f.walk(path, at); err != nil {
				return err
			}
		} else if isFlowPath(path) && info.Mode().IsRegular() {
			f.add(path, at, info)
		}
	}
	return nil
}

func (f *finder) add(path, real string, info fs.FileInfo) {
	if !isTest(path) {
		f.met++
	}
	if !f.seen[real] {
		f.seen[real] = true
		f.files = append(f.files, file{path, stampOf(info)})
	}
}

// reason drops the path that the error repeats.
func reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// directories gives every directory at or below paths that can hold flow
// files, as far as they can be read.
func directories(paths []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		more := true
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				path = filepath.Dir(path)
			}
			_ = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
				switch {
				case err != nil || !d.IsDir():
					return nil
				case at != path && strings.HasPrefix(d.Name(), "."):
					return fs.SkipDir
				case !more:
					return fs.SkipAll
				}
				more = yield(at)
				return nil
			})
		}
	}
}
