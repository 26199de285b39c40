package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// mostFaults are printed for people; programs get them all.
const mostFaults = 50

func (p *process) checkCommand() *cobra.Command {
	format := &choice{value: "text", allowed: []string{"text", "json"}}
	var notes, strict, fix bool
	secrets := ""
	cmd := &cobra.Command{
		Use:   "check DIR...",
		Short: "Report every fault of flow files",
		Long: `Reads all .yaml and .yml files below the directories as one program and reports
every fault with its place and its remedy, those of the tests in them, too.
Nothing is opened and nothing is served. A DIR may also be a file.

Errors keep a program from being served. Warnings are about what it would
hardly be meant to do: a fallback that comes too late, a retry by which a
service does something twice. Notes are about what is not needed. The page
docs/reference/diagnostics.md explains every code.


With --fix, what can only be meant in one way is written so: a misspelt key, an
expression in the braces of another tool. It is tried first, and written only if
the files are no worse for it. What is left is reported.

Variables that the files name with $(env.NAME) are looked up in the environment.
Secrets are not looked for, so that files can be checked where there are none;
with --secrets they are, as weir run does, and one that is not there is an error.`,
		Example: `  weir check flows/
  weir check flows/ shared/services.yaml
  weir check flows/ --fix           # corrects what is certain
  weir check flows/ --strict        # for CI: a warning fails, too
  weir check flows/ --secrets /run/secrets
  weir check flows/ --format json | jq '.[].message'`,
		Args:              paths,
		ValidArgsFunction: flowFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			return p.check(args, format.value, secrets, notes, strict, fix)
		},
	}
	cmd.Flags().Var(format, "format", "how to print the faults")
	cmd.Flags().BoolVar(&notes, "notes", false, "tell also what is not needed")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail if there are warnings")
	cmd.Flags().BoolVar(&fix, "fix", false, "correct what can be meant in one way only")
	secretsFlag(cmd, &secrets, "look for the secrets, too: the `directory` of their files, or env for variables alone")
	return cmd
}

func (p *process) check(dirs []string, format, secrets string, notes, strict, fix bool) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	files, err := flows.LoadWithTests(dirs)
	if err != nil {
		return err
	}
	env := flows.Environment{Env: p.env, Log: slog.New(slog.DiscardHandler), Notes: notes}
	var store *flows.SecretStore
	if secrets != "" {
		if store, err = p.secrets(secrets); err != nil {
			return err
		}
	}
	check := func(files *flows.Files) (*suite.Suite, []dsl.Diagnostic) {
		draft, env := flows.Parse(files), env
		if store != nil {
			env.Secrets = store.Read(draft.Secrets())
		}
		return suite.Check(draft, c, env)
	}
	tests, ds := check(files)
	if fix {
		f := &fixer{files: files, check: func(files *flows.Files) []dsl.Diagnostic {
			_, ds := check(files)
			return ds
		}}
		f.fix(ds)
		told := p.stdout
		if format == "json" {
			told = p.stderr // what is printed is what is left
		}
		if err := f.write(told); err != nil {
			return err
		}
		if f.left != "" {
			fmt.Fprintf(p.stderr, "weir: %s\n", f.left)
		}
		if files, err = flows.LoadWithTests(dirs); err != nil {
			return err
		}
		tests, ds = check(files)
	}
	if format == "json" {
		err = dsl.RenderJSON(p.stdout, ds, flows.Page)
	} else {
		dsl.Render(p.stdout, ds, dsl.RenderOptions{Color: p.color(p.stdout), Limit: mostFaults})
		err = summarize(p.stdout, files, tests, ds)
	}
	warned := slices.ContainsFunc(ds, func(d dsl.Diagnostic) bool { return d.Severity == dsl.Warning })
	if err == nil && (tests == nil || strict && warned) {
		err = errReported
	}
	return err
}

// summarize ends a check with one line.
func summarize(w io.Writer, files *flows.Files, checked *suite.Suite, ds []dsl.Diagnostic) error {
	count := map[dsl.Severity]int{}
	fixable := 0
	for _, d := range ds {
		count[d.Severity]++
		if d.Fixable() {
			fixable++
		}
	}
	verdict := "ok"
	if checked == nil {
		verdict = plural(count[dsl.Error], "error")
	}
	if n := count[dsl.Warning]; n > 0 {
		verdict += ", " + plural(n, "warning")
	}
	if n := count[dsl.Note]; n > 0 {
		verdict += ", " + plural(n, "note")
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
	if _, err := fmt.Fprintln(w, verdict, content); err != nil || fixable == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "%d can be fixed with weir check --fix\n", fixable)
	return err
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
