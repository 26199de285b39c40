package main

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

func (p *process) openAPICommand() *cobra.Command {
	var gateway, title, version string
	cmd := &cobra.Command{
		Use:   "openapi DIR...",
		Short: "Print an OpenAPI document of all HTTP flows",
		Long: `Checks flow files and prints an OpenAPI 3.1 document, in JSON, of the routes
that they serve: what trigger.input says of requests, what output says of the
answers, and the answers to failures.`,
		Example: `  weir openapi flows/ > openapi.json
  weir openapi flows/ --title Shop --api-version 2`,
		Args:              paths,
		ValidArgsFunction: flowFiles,
		RunE:              func(_ *cobra.Command, args []string) error { return p.openAPI(args, gateway, title, version) },
	}
	cmd.Flags().StringVar(&gateway, "gateway", "", "only the routes of the gateway of this `name`")
	cmd.Flags().StringVar(&title, "title", "Flows", "the `title` of the document")
	cmd.Flags().StringVar(&version, "api-version", "1", "the `version` of what is described")
	return cmd
}

func (p *process) openAPI(dirs []string, gateway, title, version string) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	files, err := flows.Load(dirs)
	if err != nil {
		return err
	}
	draft := flows.Parse(files)
	program, ds := draft.Check(c, flows.Environment{Env: p.env, Log: slog.New(slog.DiscardHandler)})
	if program == nil {
		dsl.Render(p.stderr, ds, dsl.RenderOptions{Color: p.color(p.stderr), Limit: mostFaults})
		return errReported
	}
	known := make([]string, len(program.Gateways))
	for i, g := range program.Gateways {
		known[i] = g.Name.Value
	}
	if gateway != "" && !slices.Contains(known, gateway) {
		return usagef("there is no gateway %q%s", gateway, cmp.Or(nearest(gateway, known, ""), "; there are "+strings.Join(known, ", ")))
	}
	out := json.NewEncoder(p.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(draft.OpenAPI(program, gateway, title, version))
}
