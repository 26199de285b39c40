package main

import (
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-run/weir/flows"
)

// addCompletion adds the command that prints completion scripts.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Short = "Print what completes commands in a shell"
		cmd.Long = "Prints a script with which a shell completes commands, flags, their values, files\nand the names of flows. The help of each shell says what to do with it."
		cmd.Example = "  source <(weir completion bash)"
		cmd.Args = func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown shell %q%s", args[0], nearest(args[0], commandNames(cmd), ""))
			}
			return usagef("needs a shell: bash, fish, powershell or zsh")
		}
		cmd.RunE = func(*cobra.Command, []string) error { return nil } // there is none without a shell
		for _, shell := range cmd.Commands() {
			shell.Short = "Print the script for " + shell.Name()
			shell.Args = noArguments
		}
	}
}

// completeFlags says what the flags of a command can be.
func completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		var words []string
		if c, ok := f.Value.(*choice); ok {
			words = c.allowed
		} else if kind, _ := pflag.UnquoteUsage(f); kind == "file" {
			return // which is what shells complete by themselves
		}
		// It fails if there is one already.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	})
}

// completion gives what an argument can be.
type completion = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// files completes files with these extensions, and directories.
func files(extensions ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}

var flowFiles = files("yaml", "yml")

// directory completes one directory.
func directory(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// flowNames completes the name of a flow of the directory at hand, and flow
// files behind it.
func (p *process) flowNames(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || cmd.Flags().Changed("request") {
		return flowFiles(cmd, args, begun)
	}
	c, err := catalog()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	loaded, err := flows.Load([]string{"."})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	if program, _ := flows.Check(loaded, c, flows.Environment{Env: p.env, Log: slog.New(slog.DiscardHandler)}); program != nil {
		for _, f := range program.Flows {
			names = append(names, cobra.CompletionWithDesc(f.Name.Value, f.Summary))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
