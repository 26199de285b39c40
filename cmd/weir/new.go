package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// starter is what weir new writes.
//
//go:embed all:starter
var starter embed.FS

func (p *process) newCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "new DIR",
		Short: "Make a directory to start from",
		Long: `Makes a directory with a flow, its tests, stand-ins for the services that it
calls, a Dockerfile and a README that says what to do with them.

DIR must not be there yet, or be empty: nothing is ever overwritten.`,
		Example: `  weir new shop
  weir new .`,
		Args:              one("directory"),
		ValidArgsFunction: directory,
		RunE:              func(_ *cobra.Command, args []string) error { return p.start(args[0]) },
	}
}

func (p *process) start(dir string) error {
	if err := vacant(dir); err != nil {
		return err
	}
	files, err := fs.Sub(starter, "starter")
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "made %s with\n", dir)
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(path, 0o777))
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "  %s\n", filepath.ToSlash(name))
		return write(path, text)
	})
	if err != nil {
		return err
	}
	enter := "  cd " + dir + "\n"
	if filepath.Clean(dir) == "." {
		enter = ""
	}
	_, err = fmt.Fprintf(p.stdout, `
what to do next:
%s  weir test flows       # does it what its tests say?
  weir run flows dev    # serve it, with what stands for its services
  curl localhost:8080/products/lamp
`, enter)
	return err
}

// vacant reports why nothing can be made in a directory. A repository that holds
// nothing yet is vacant.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", dir, errors.Unwrap(err))
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			return fmt.Errorf("%s is not empty: it holds %s; name a directory that is not there yet", dir, e.Name())
		}
	}
	return nil
}

// write makes a file, and fails if there is one.
func write(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
