package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// followEnvironment gives every flag of a command a variable that it falls
// back on, and says so in its help.
func (p *process) followEnvironment(cmd *cobra.Command) {
	if !cmd.HasFlags() {
		return
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Usage += " [$" + variable(f) + "]" })
	cmd.Annotations = map[string]string{"environment": "true"} // for the help
	arguments := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		var fault error
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			value, set := p.env(variable(f))
			if f.Changed || !set || value == "" || f.Name == "help" || fault != nil {
				return
			}
			if err := f.Value.Set(value); err != nil {
				fault = badValue(variable(f), value, f, err)
			}
		})
		if fault != nil || arguments == nil {
			return fault
		}
		return arguments(cmd, args)
	}
}

func variable(f *pflag.Flag) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// flagError makes one line of what is wrong with a flag, and says what to write.
func flagError(cmd *cobra.Command, err error) error {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	var (
		unknown *pflag.NotExistError
		lacking *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		name := unknown.GetSpecifiedName()
		return usagef("unknown flag --%s%s", name, nearest(name, names, "--"))
	case errors.As(err, &unknown): // -f, or -format
		name, _, _ := strings.Cut(unknown.GetSpecifiedShortnames(), "=")
		hint := nearest(name, names, "--")
		if hint == "" {
			hint = "; flags are written with two dashes"
		}
		return usagef("unknown flag -%s%s", name, hint)
	case errors.As(err, &lacking):
		kind, _ := pflag.UnquoteUsage(lacking.GetFlag())
		return usagef("--%s needs a value: %s", lacking.GetFlag().Name, kind)
	case errors.As(err, &invalid):
		return badValue("--"+invalid.GetFlag().Name, invalid.GetValue(), invalid.GetFlag(), errors.Unwrap(invalid))
	}
	return usageError{err}
}

// badValue is about a value that a flag, or the variable that stands for it,
// cannot have.
func badValue(name, value string, f *pflag.Flag, err error) error {
	switch f.Value.Type() {
	case "duration":
		err = errors.New("write a duration such as 30s or 1m30s")
	case "bool":
		err = errors.New("write true or false")
	}
	return usagef("%s=%q: %w", name, value, err)
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
