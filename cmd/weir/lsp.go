package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/flows/lsp"
)

func (p *process) lspCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lsp [DIR...]",
		Short: "Serve an editor: faults, completion, docs, definitions, renaming",
		Long: `Speaks the Language Server Protocol over standard input and output, for editors
to start: docs/guide/editors.md says how. It ends when the editor does.

An editor shows what weir check reports, while files are written, with what is
not saved yet. The program of a file is the outermost directory above it, within
the editor's folder, that holds a flow, a template or a gateway itself, with what
it imports. Where that is not so, name the directories of the program as for weir
run; a relative DIR is one of the editor's first folder.`,
		Example: `  weir lsp                  # in the settings of an editor
  weir lsp flows/ shared/   # these are one program`,
		ValidArgsFunction: flowFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := catalog()
			if err != nil {
				return err
			}
			clean, err := lsp.Serve(cmd.Context(), p.stdin, output{p.stdout}, lsp.Options{
				Catalog: c, Env: p.env, Version: thisBuild().Version, Paths: args,
				Log: slog.New(slog.NewTextHandler(p.stderr, nil)),
			})
			if err == nil && !clean {
				err = errReported // the protocol asks for it
			}
			return err
		},
	}
}

// output is standard output, which others close.
type output struct{ io.Writer }

// Close is what io.Closer asks for.
func (output) Close() error { return nil }
