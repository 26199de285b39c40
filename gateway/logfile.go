package gateway

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// LogFile is a file that grows to a size or an age, and then makes room for
// another. It notices that somebody else has moved or removed it, as logrotate
// does, and begins another: no signal is needed. It is used by one goroutine.
type LogFile struct {
	config LogFileConfig
	file   *os.File
	info   fs.FileInfo // of file, to be told from what has its name
	size   int64
	since  time.Time // when it was begun
	looked time.Time // when its name was last looked at
}

// LogFileConfig says how a [LogFile] is kept. A bound of 0 is none.
type LogFileConfig struct {
	Path    string
	MaxSize int64 // bytes
	MaxAge  time.Duration
	Keep    int // how many of those before it
}

// OpenLogFile opens the file, or begins it.
func OpenLogFile(c LogFileConfig) (*LogFile, error) {
	f := &LogFile{config: c}
	return f, f.open()
}

func (f *LogFile) open() error {
	file, err := os.OpenFile(f.config.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.info, f.size, f.since, f.looked = file, info, info.Size(), time.Now(), time.Now()
	if f.size > 0 {
		f.since = info.ModTime() // at the earliest: no file system says when it was begun
	}
	return nil
}

// Write writes whole records, in a file that has room for them.
func (f *LogFile) Write(p []byte) (int, error) {
	now := time.Now()
	if err := f.ready(now, int64(len(p))); err != nil {
		return 0, err
	}
	n, err := f.file.Write(p)
	f.size += int64(n)
	return n, err
}

// lookEvery is how often the name of the file is looked at.
const lookEvery = time.Second

func (f *LogFile) ready(now time.Time, more int64) error {
	if f.file == nil {
		return f.open()
	}
	if now.Sub(f.looked) >= lookEvery {
		f.looked = now
		if info, err := os.Stat(f.config.Path); err != nil || !os.SameFile(info, f.info) {
			_ = f.Close() // whoever moved it has it
			return f.open()
		}
	}
	c := &f.config
	full := c.MaxSize > 0 && f.size > 0 && f.size+more > c.MaxSize
	old := c.MaxAge > 0 && f.size > 0 && now.Sub(f.since) >= c.MaxAge
	if full || old {
		return f.rotate(now)
	}
	return nil
}

// rotate gives the file another name, with the time in it, and begins the next.
// One that cannot be renamed grows on: records are worth more than a size.
func (f *LogFile) rotate(now time.Time) error {
	name := f.name(now)
	for at := now; exists(name); name = f.name(at) {
		at = at.Add(1)
	}
	if err := os.Rename(f.config.Path, name); err != nil {
		f.since, f.size = now, 0 // not at each write
		return nil
	}
	_ = f.Close() // all of it is written, as far as anyone can tell
	f.prune()
	return f.open()
}

// rotated is the form of the time in names, whose order is that of time.
const rotated = "20060102T150405.000000000"

func (f *LogFile) name(at time.Time) string { return f.config.Path + "." + at.UTC().Format(rotated) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// prune removes the oldest of those before.
func (f *LogFile) prune() {
	if f.config.Keep <= 0 {
		return
	}
	dir, base := filepath.Split(f.config.Path)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return // the next time
	}
	var names []string
	for _, e := range entries {
		if when, ours := strings.CutPrefix(e.Name(), base+"."); ours && isRotation(when) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names) // which is by time
	for _, name := range names[:max(len(names)-f.config.Keep, 0)] {
		_ = os.Remove(filepath.Join(dir, name)) // the next time
	}
}

// isRotation tells our files from those of others that begin alike.
func isRotation(when string) bool {
	_, err := time.Parse(rotated, when)
	return err == nil
}

// Close closes the file.
func (f *LogFile) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
