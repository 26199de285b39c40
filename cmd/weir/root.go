package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

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
		Example: `  weir new shop                     # a directory to start from
  weir check flows/                 # are there faults?
  weir run flows/                   # serve, and follow changes`,
		Version:       thisBuild().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetHelpCommand(helpCommand(root))
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Write flows", []*cobra.Command{p.newCommand(), p.importCommand(), p.checkCommand(), p.testCommand(), p.fmtCommand(), p.explainCommand(), p.graphCommand(), p.evalCommand()}},
		{"Serve them", []*cobra.Command{p.runCommand(), p.topCommand()}},
		{"For other tools", []*cobra.Command{p.keyCommand(), p.openAPICommand(), p.lspCommand(), p.schemaCommand(), p.docsCommand(), p.versionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
		}
		root.AddCommand(group.commands...)
		root.SetCompletionCommandGroupID(group.title) // the last of them
		root.SetHelpCommandGroupID(group.title)
	}
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(root, args[0])
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(p.stderr)
		return errors.Join(cmd.Help(), usagef("a command is missing"))
	}
	root.SetArgs(p.args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.SetVersionTemplate("{{.Version}}\n")
	p.finish(root)
	addCompletion(root)
	return root
}

// finish gives all commands what they have in common.
func (p *process) finish(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		p.followEnvironment(cmd)
		completeFlags(cmd)
		p.finish(cmd)
	}
}

const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$parent := .}}{{range $group := .Groups}}

{{.Title}}:{{range $parent.Commands}}{{if and .IsAvailableCommand (eq .GroupID $group.ID)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if not .AllChildCommandsHaveGroup}}

Commands:{{range .Commands}}{{if and .IsAvailableCommand (not .GroupID)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}

{{.CommandPath}} COMMAND --help says more.{{end}}{{if and .HasAvailableLocalFlags .HasParent}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .Annotations.environment}}

A flag can also be set by the variable beside it; the flag goes before the
variable.{{end}}

Exit codes: 0 done, 1 failed, 2 called wrongly.
`

// helpCommand says what --help says. That of cobra takes any word for one.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "Say how a command is used",
		Hidden: true, // every help says how to get it
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			cmd, _, err := root.Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandNames(cmd), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, unknown, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(unknown) > 0 {
				return unknownCommand(cmd, unknown[0])
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

func unknownCommand(parent *cobra.Command, name string) error {
	return usagef("unknown command %q%s", name, nearest(name, commandNames(parent), ""))
}

func commandNames(parent *cobra.Command) []string {
	var names []string
	for _, cmd := range parent.Commands() {
		if cmd.IsAvailableCommand() {
			names = append(names, cmd.Name())
		}
	}
	return names
}

func nearest(name string, among []string, prefix string) string {
	if near, ok := dsl.Nearest(name, among); ok {
		return fmt.Sprintf("; did you mean %s%s?", prefix, near)
	}
	return ""
}

// paths are the arguments of commands that read flow files.
func paths(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("needs a directory or a file; . is the directory at hand")
	}
	return nil
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("takes no arguments")
	}
	return nil
}

// one is the arguments of commands that take one thing.
func one(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("needs one %s", what)
		}
		return nil
	}
}
