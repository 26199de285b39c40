package main

import (
	"github.com/spf13/cobra"

	"github.com/weir-run/weir/flows/explain"
)

func (p *process) graphCommand() *cobra.Command {
	format := &choice{value: "mermaid", allowed: []string{"mermaid", "dot", "svg"}}
	cmd := &cobra.Command{
		Use:   "graph FLOW [DIR...]",
		Short: "Draw a flow",
		Long: `Draws a flow: as Mermaid, which GitHub, GitLab and many editors show in Markdown;
as DOT for Graphviz; or as SVG for browsers.

Without a DIR it is the directory at hand. Nothing is opened.`,
		Example: `  weir graph customer-profile examples/quickstart
  weir graph customer-profile flows/ --format svg > profile.svg
  weir graph customer-profile flows/ --format dot | dot -Tpdf > profile.pdf`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("needs the name of a flow")
			}
			return nil
		},
		ValidArgsFunction: p.flowNames,
		RunE: func(_ *cobra.Command, args []string) error {
			program, c, flow, err := p.flow(args[0], args[1:])
			if err != nil {
				return err
			}
			f := explain.Explain(program, c, flow)
			switch format.value {
			case "dot":
				return f.Draw().DOT(p.stdout)
			case "svg":
				return f.SVG(p.stdout)
			}
			return f.Draw().Mermaid(p.stdout)
		},
	}
	cmd.Flags().Var(format, "format", "how to draw it")
	return cmd
}
