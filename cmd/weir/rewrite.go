package main

import (
	"errors"
	"os"
	"path/filepath"
)

// rewrite replaces the content of a file at once: whoever reads it, such as a
// weir that follows its changes, sees the old text or the new. A link stays one.
func rewrite(path, text string) (err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o200 == 0 {
		return errors.New("the file is read-only")
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".weir-*") // flows.Load passes over names with a dot
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name()) // the first error is the one to tell
		}
	}()
	_, err = temp.WriteString(text)
	err = errors.Join(err, temp.Chmod(info.Mode().Perm()), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
