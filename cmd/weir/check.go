package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// mostFaults are printed for people; programs get them all.
const mostFaults = 50

func (p *process) checkCommand() *cobra.Command {
	format := &choice{value: "text", allowed: []string{"text", "json"}}
	cmd := &cobra.Command{
		Use:   "check DIR...",
		Short: "Report every fault of flow files",
		Long: `Reads all .yaml and .yml files below the directories as one program and reports
every fault with its place and its remedy, those of the tests in them, too.
Nothing is opened and nothing is served. A DIR may also be a file.

Variables that the files name with $(env.NAME) are looked up in the environment.`,
		Example: `  weir check flows/
  weir check flows/ shared/services.yaml
  weir check flows/ --format json | jq '.[].message'`,
		Args: paths,
		RunE: func(_ *cobra.Command, args []string) error { return p.check(args, format.value) },
	}
	cmd.Flags().Var(format, "format", "how to print the faults")
	return cmd
}

func (p *process) check(dirs []string, format string) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	files, err := flows.LoadWithTests(dirs)
	if err != nil {
		return err
	}
	tests, ds := suite.Check(files, c, flows.Environment{Env: p.env, Log: slog.New(slog.DiscardHandler)})
	if format == "json" {
		err = dsl.RenderJSON(p.stdout, ds)
	} else {
		dsl.Render(p.stdout, ds, dsl.RenderOptions{Color: p.color(p.stdout), Limit: mostFaults})
		err = summarize(p.stdout, files, tests, ds)
	}
	if err == nil && tests == nil {
		err = errReported
	}
	return err
}

// summarize ends a check with one line.
func summarize(w io.Writer, files *flows.Files, checked *suite.Suite, ds []dsl.Diagnostic) error {
	count := map[dsl.Severity]int{}
	for _, d := range ds {
		count[d.Severity]++
	}
	verdict := "ok"
	if checked == nil {
		verdict = plural(count[dsl.Error], "error")
	}
	if n := count[dsl.Warning]; n > 0 {
		verdict += ", " + plural(n, "warning")
	}
	content := "in " + plural(len(files.Sources), "file")
	if checked != nil {
		program := checked.Program
		if n := len(checked.Tests); n > 0 {
			content = ", " + plural(n, "test") + " " + content
		} else {
			content = " " + content
		}
		content = fmt.Sprintf("%s, %s, %s%s", plural(len(program.Flows), "flow"), plural(len(program.Services), "service"),
			plural(len(program.Gateways), "gateway"), content)
		verdict += ":"
	}
	if len(ds) > 0 {
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintln(w, verdict, content)
	return err
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
