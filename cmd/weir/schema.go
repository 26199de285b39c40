package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/flows/language"
)

func (p *process) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of flow files, for editors",
		Long: `Prints a JSON Schema (draft-07, which all editors read) of all that flow files
can be written with. An editor that knows it completes keys, explains them, and
marks what is misspelt or of the wrong form. What names and expressions mean is
for weir check. docs/guide/editors.md tells how to set editors up.`,
		Example:           `  weir schema > weir.schema.json`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			c, err := catalog()
			if err != nil {
				return err
			}
			out := json.NewEncoder(p.stdout)
			out.SetEscapeHTML(false)
			out.SetIndent("", "  ")
			return out.Encode(language.Grammar(c).JSONSchema())
		},
	}
}
