package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/language"
)

// formatter is one run of weir fmt.
type formatter struct {
	*process
	grammar     *dsl.Grammar
	check, diff bool
	faults      dsl.Diagnostics
	changed     int // files that are not, or were not, in the canonical form
}

func (p *process) fmtCommand() *cobra.Command {
	f := &formatter{process: p}
	cmd := &cobra.Command{
		Use:   "fmt PATH...",
		Short: "Write flow files in their canonical form",
		Long: `Rewrites all .yaml and .yml files below the paths in the one canonical form, and
prints the names of those that were not in it. A PATH may be a directory or a
file; - formats standard input to standard output.

Only the form changes: before a file is written, its new text is parsed and
compared with the old. All comments stay. A file with faults of syntax is left
as it is; unknown keys and other faults of meaning do not matter.`,
		Example: `  weir fmt flows/
  weir fmt --check flows/           # for CI: changes nothing, exits with 1
  weir fmt --diff flows/            # shows what would change
  weir fmt - < flow.yaml`,
		Args:              paths,
		ValidArgsFunction: flowFiles,
		RunE:              func(_ *cobra.Command, args []string) error { return f.run(args) },
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing, and fail if a file is not in the canonical form")
	cmd.Flags().BoolVar(&f.diff, "diff", false, "change nothing, and print what would change")
	return cmd
}

func (f *formatter) run(args []string) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	f.grammar = language.Grammar(c)
	if args[0] == "-" {
		if len(args) > 1 {
			return usagef("- stands alone: standard input is one file")
		}
		err = f.input()
	} else {
		err = f.files(args)
	}
	dsl.Render(f.stderr, f.faults.All(), dsl.RenderOptions{Color: f.color(f.stderr), Limit: mostFaults})
	if err == nil && (f.faults.Failed() || f.check && f.changed > 0) {
		err = errReported
	}
	return err
}

func (f *formatter) input() error {
	text, err := io.ReadAll(f.stdin)
	if err != nil {
		return fmt.Errorf("cannot read standard input: %w", err)
	}
	return f.format(dsl.NewSource("<stdin>", string(text)), func(text string) error {
		_, err := io.WriteString(f.stdout, text)
		return err
	})
}

func (f *formatter) files(paths []string) error {
	files, err := flows.LoadWithTests(paths)
	if err != nil {
		return err
	}
	if len(files.Sources) == 0 {
		return fmt.Errorf("there are no .yaml or .yml files in %s", strings.Join(paths, ", "))
	}
	for _, src := range files.Own() {
		err := f.format(src, func(text string) error {
			if text == src.Text {
				return nil
			}
			if err := rewrite(src.Name, text); err != nil {
				return fmt.Errorf("cannot write %s: %w", src.Name, err)
			}
			_, err := fmt.Fprintln(f.stdout, src.Name)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// format gives the canonical form of src to write, or shows that it is another.
func (f *formatter) format(src *dsl.Source, write func(text string) error) error {
	text, ok := dsl.Format(src, f.grammar, &f.faults)
	if !ok {
		return nil
	}
	differs := text != src.Text
	if differs {
		f.changed++
	}
	switch {
	case f.diff:
		_, err := f.stdout.Write(diff.Diff(src.Name+".orig", []byte(src.Text), src.Name, []byte(text)))
		return err
	case !f.check:
		return write(text)
	case differs:
		_, err := fmt.Fprintln(f.stdout, src.Name)
		return err
	}
	return nil
}
