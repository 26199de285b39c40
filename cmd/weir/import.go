package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/openapi"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/language"
)

func (p *process) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make flow files of documents of other formats",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("needs a format: openapi")
			}
			return usagef("unknown format %q; openapi is known", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "openapi FILE",
		Short: "Print a service and a flow for each operation of an OpenAPI document",
		Long: `Reads an OpenAPI document, 3.0 or 3.1, and prints flow files for it: a service
that names the document, a gateway, and for each operation a flow that checks
requests and passes them on. It is a place to start from.

FILE is written into the flow files as it is seen from here: run this in the
directory that the output goes to.`,
		Example:           `  weir import openapi users.yaml > flows.yaml && weir check .`,
		Args:              one("file"),
		ValidArgsFunction: files("yaml", "yml", "json"),
		RunE:              func(_ *cobra.Command, args []string) error { return p.importOpenAPI(args[0]) },
	})
	return cmd
}

func (p *process) importOpenAPI(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", file, errors.Unwrap(err))
	}
	file = filepath.Clean(file)
	if filepath.IsAbs(file) { // flow files name no such path
		if here, err := os.Getwd(); err == nil {
			if relative, err := filepath.Rel(here, file); err == nil {
				file = relative
			}
		}
	}
	// The document may refer to others, as it does when a service names it.
	seed := dsl.NewSource("import", fmt.Sprintf("services: { x: { openapi: %q } }\n", filepath.ToSlash(file)))
	docs, err := flows.Documents(seed, dsl.NewSource(file, string(text)))
	if err != nil {
		return err
	}
	var ds dsl.Diagnostics
	if root := docs.Open(dsl.String{Value: filepath.ToSlash(file), Span: dsl.Span{Source: seed}}, &ds); root != nil {
		if d := openapi.Read(root, docs, &ds); d != nil && !ds.Failed() {
			src := dsl.NewSource("flows.yaml", d.Starter(filepath.ToSlash(file)))
			c, err := catalog()
			if err != nil {
				return err
			}
			out, ok := dsl.Format(src, language.Grammar(c), &ds)
			if !ok {
				out = src.Text
			}
			_, err = io.WriteString(p.stdout, out)
			return err
		}
	}
	dsl.Render(p.stderr, ds.All(), dsl.RenderOptions{Color: p.color(p.stderr), Limit: mostFaults})
	return errReported
}
