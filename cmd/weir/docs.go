package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/flows/language"
)

// referenceDir is where the reference is kept beside the sources of Weir.
const referenceDir = "docs/reference"

func (p *process) docsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "docs [DIR]",
		Short: "Write the reference of the language",
		Long: `Writes the reference of all that flow files can be written with, as pages in
Markdown: the one of this version of Weir. Without a DIR it is ` + referenceDir + `.

Pages that were written before and are none any more are removed. Files that
weir docs has not written are left alone.`,
		Example: `  weir docs
  weir docs /tmp/weir-reference`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("needs one directory")
			}
			return nil
		},
		ValidArgsFunction: directory,
		RunE: func(_ *cobra.Command, args []string) error {
			return p.docs(append(args, referenceDir)[0])
		},
	}
}

func (p *process) docs(dir string) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	pages := language.Pages(c)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var gone []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		_, taken := pages[e.Name()]
		if !taken && filepath.Ext(path) != ".md" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch generated := strings.HasPrefix(string(text), language.Generated); {
		case taken && !generated:
			return fmt.Errorf("%s is no page of the reference, and would be overwritten; name another directory", path)
		case !taken && generated:
			gone = append(gone, path)
		}
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(slices.Values(gone)) {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(p.stdout, "%s in %s\n", plural(len(pages), "page"), dir)
	return err
}
