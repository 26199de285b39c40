package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-run/weir/dsl"
)

// command makes the tree of commands.
func (p *process) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Weir serves integration flows that are written in YAML.",
		Long: `Weir serves integration flows that are written in YAML.

A directory of flow files is one program: it is checked as a whole before any
of it is served, and a change that has faults changes nothing.`,
		Example: `  weir check flows/                 # are there faults?
  weir run flows/                   # serve, and follow changes
  weir run flows/ --log-format json # the same, for machines`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(p.newCommand(), p.runCommand(), p.checkCommand(), p.explainCommand(), p.graphCommand(), p.testCommand(), p.evalCommand(), p.fmtCommand(), p.importCommand(), p.openAPICommand(), p.schemaCommand(), p.docsCommand(), p.versionCommand())
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return usagef("unknown command %q%s", args[0], nearest(args[0], commandNames(root), ""))
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(p.stderr)
		return errors.Join(cmd.Help(), usageError{errors.New("a command is missing")})
	}
	root.SetArgs(p.args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	for _, cmd := range root.Commands() {
		p.followEnvironment(cmd)
	}
	root.InitDefaultCompletionCmd()
	return root
}

const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}

{{.CommandPath}} COMMAND --help says more.{{end}}{{if and .HasAvailableLocalFlags .HasParent}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .Annotations.environment}}

A flag can also be set by the variable beside it; the flag goes before the
variable.{{end}}

Exit codes: 0 done, 1 failed, 2 called wrongly.
`

// paths are the arguments of commands that read flow files.
func paths(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("weir %s needs a directory or a file", cmd.Name())
	}
	return nil
}

// followEnvironment gives every flag of a command a variable that it falls
// back on, and says so in its help.
func (p *process) followEnvironment(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Usage += " [$" + variable(f) + "]" })
	cmd.Annotations = map[string]string{"environment": "true"} // for the help
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		var fault error
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			value, set := p.env(variable(f))
			if f.Changed || !set || value == "" || f.Name == "help" || fault != nil {
				return
			}
			if err := f.Value.Set(value); err != nil {
				fault = usagef("%s=%q: %w", variable(f), value, err)
			}
		})
		return fault
	}
}

func variable(f *pflag.Flag) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// flagError makes one line of what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		name := unknown.GetSpecifiedName()
		return usagef("unknown flag --%s%s", name, nearest(name, names, "--"))
	}
	return usageError{err}
}

func commandNames(root *cobra.Command) []string {
	var names []string
	for _, cmd := range root.Commands() {
		names = append(names, cmd.Name())
	}
	return names
}

func nearest(name string, among []string, prefix string) string {
	if near, ok := dsl.Nearest(name, among); ok {
		return fmt.Sprintf("; did you mean %s%s?", prefix, near)
	}
	return ""
}

// choice is a flag whose value is one of a few words.
type choice struct {
	value   string
	allowed []string
}

// String is what pflag.Value asks for.
func (c *choice) String() string { return c.value }

// Type is what pflag.Value asks for: it stands for the value in help.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

// Set is what pflag.Value asks for.
func (c *choice) Set(s string) error {
	for _, word := range c.allowed {
		if s == word {
			c.value = s
			return nil
		}
	}
	return fmt.Errorf("must be %s", strings.Join(c.allowed, " or "))
}
