package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/weir-run/weir/dsl"
)

// Exit codes. They are part of the interface: scripts and CI rely on them.
const (
	exitOK     = 0
	exitFailed = 1 // the work failed: faults in the files, an address that cannot be listened on
	exitUsage  = 2 // the command was called wrongly
)

// process is all that the command has to do with the world around it, so that
// tests can run it as a function.
type process struct {
	args           []string // without the program's name
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(name string) (value string, ok bool)
	terminal       func(w io.Writer) bool
	redactor       *dsl.Redactor // of all that is printed
	// notify begins to take SIGINT, SIGTERM and SIGHUP away from the system's
	// default, until stop.
	notify func() (signals <-chan os.Signal, stop func())
	// tune sets the process up to serve. nil leaves it as it is.
	tune func()
}

// usageError is a wrong call of the command, as opposed to work that failed.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errReported is a failure that has been told in full already.
var errReported = errors.New("reported")

// run runs one command and gives the exit code.
func (p *process) run(ctx context.Context) int {
	p.redactor = &dsl.Redactor{}
	p.stdout, p.stderr = p.redactor.Writer(p.stdout), p.redactor.Writer(p.stderr)
	cmd, err := p.command().ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(p.stderr, "%s: %v (see %[1]s --help)\n", cmd.CommandPath(), err)
		return exitUsage
	default:
		fmt.Fprintf(p.stderr, "weir: %v\n", err)
		return exitFailed
	}
}

// color reports whether w is shown to someone who wants colour
// (https://no-color.org).
func (p *process) color(w io.Writer) bool {
	no, _ := p.env("NO_COLOR")
	term, _ := p.env("TERM")
	return no == "" && term != "dumb" && p.terminal(w)
}

func isTerminal(w io.Writer) bool {
	if around, ok := w.(interface{ Unwrap() io.Writer }); ok {
		w = around.Unwrap()
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
