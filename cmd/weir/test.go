package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// tester is one run of weir test.
type tester struct {
	*process
	pattern  string
	format   *choice
	coverage bool
	faults   bool
	watch    bool

	selected *regexp.Regexp // nil: all
}

func (p *process) testCommand() *cobra.Command {
	t := &tester{process: p, format: &choice{value: "text", allowed: []string{"text", "json", "junit"}}}
	cmd := &cobra.Command{
		Use:   "test DIR...",
		Short: "Run the tests of flow files",
		Long: `Runs the tests that stand in the sections tests: of all .yaml and .yml files below
the directories, and in the files *.test.yaml, which may hold nothing else. Each
test runs a flow alone: services are what the test mocks, no port is opened, and
time is virtual, so that nothing is waited for.

With --faults, each call that the tests make is then broken in each way a call
can break, and a matrix shows what the callers get, and what sagas undo. A flow
that answers after its deadline, tells something of the inside or leaves what it
could undo fails.`,
		Example: `  weir test flows/
  weir test flows/ --run 'customer|order' --coverage
  weir test flows/ --faults
  weir test flows/ --watch
  weir test flows/ --format junit > report.xml`,
		Args:              paths,
		ValidArgsFunction: flowFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return t.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&t.pattern, "run", "", "run only tests whose name, or whose flow, matches this `pattern`, a regular expression")
	f.Var(t.format, "format", "how to print the results")
	f.BoolVar(&t.coverage, "coverage", false, "print which steps and branches no test runs")
	f.BoolVar(&t.faults, "faults", false, "break every call in every way, and print what callers get")
	f.BoolVar(&t.watch, "watch", false, "run again whenever a file changes")
	return cmd
}

func (t *tester) run(ctx context.Context, dirs []string) error {
	if t.pattern != "" {
		var err error
		if t.selected, err = regexp.Compile(t.pattern); err != nil {
			return usagef("--run: %w", err)
		}
	}
	if t.watch && t.format.value != "text" {
		return usagef("--watch prints text")
	}
	if !t.watch {
		files, err := flows.LoadWithTests(dirs)
		if err != nil {
			return err
		}
		return t.once(files)
	}
	return t.follow(ctx, dirs)
}

// follow runs the tests whenever the files have changed, until a signal.
func (t *tester) follow(ctx context.Context, dirs []string) error {
	signals, stop := t.notify()
	defer stop()
	tick := time.NewTicker(flows.DefaultInterval)
	defer tick.Stop()
	last, told := "", ""
	for {
		files, err := flows.LoadWithTests(dirs)
		switch {
		case err != nil && err.Error() != told:
			told, last = err.Error(), ""
			fmt.Fprintf(t.stderr, "weir: %v\n", err)
		case err == nil && files.Hash != last:
			told, last = "", files.Hash
			if err := t.once(files); err != nil && !errors.Is(err, errReported) {
				return err
			}
			fmt.Fprintf(t.stdout, "\nwatching, since %s\n\n", time.Now().Format(time.TimeOnly))
		}
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if sig == os.Interrupt || sig.String() == "terminated" {
				return nil
			}
			last = "" // SIGHUP asks for another run
		case <-tick.C:
		}
	}
}

// results are all that one run of the tests has found.
type results struct {
	suite    *suite.Suite
	tests    []suite.Result
	failed   int
	coverage []suite.Coverage
	faults   []suite.Matrix
	files    int
}

func (t *tester) once(files *flows.Files) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	s, ds := suite.Check(flows.Parse(files), c, flows.Environment{Env: t.env, Log: slog.New(slog.DiscardHandler)})
	if s == nil {
		return t.refuse(ds, files)
	}
	s.Conceal(t.redactor)
	tests := s.Select(t.selected)
	if len(tests) == 0 {
		if t.selected != nil {
			return fmt.Errorf("no test matches --run %s", t.pattern)
		}
		return fmt.Errorf("there are no tests in %s; write them into a section tests:, or into files *.test.yaml", plural(len(files.Sources), "file"))
	}
	out := t.stdout
	if t.format.value != "text" {
		out = io.Discard
	}
	w := &resultWriter{Writer: out, color: t.color(t.stdout)}
	r := &results{suite: s, files: len(files.Sources)}
	coverage := s.Run(tests, func(result suite.Result) {
		r.tests = append(r.tests, result)
		if !result.Passed() {
			r.failed++
		}
		w.test(result)
	})
	w.summary(r)
	if t.coverage {
		r.coverage = coverage
		w.coverage(coverage)
	}
	if t.faults {
		r.faults = s.Faults(tests)
		w.faults(r.faults)
	}
	switch t.format.value {
	case "json":
		err = writeJSON(t.stdout, r)
	case "junit":
		err = writeJUnit(t.stdout, r)
	}
	_, _, defects := suite.Resilience(r.faults)
	if err == nil && (r.failed > 0 || defects > 0) {
		err = errReported
	}
	return err
}

// refuse tells why there is nothing to run.
func (t *tester) refuse(ds []dsl.Diagnostic, files *flows.Files) error {
	ds = slices.DeleteFunc(ds, func(d dsl.Diagnostic) bool { return d.Severity != dsl.Error })
	var err error
	if t.format.value == "json" {
		err = dsl.RenderJSON(t.stdout, ds, flows.Page)
	} else {
		w := t.stdout
		if t.format.value == "junit" {
			w = t.stderr
		}
		dsl.Render(w, ds, dsl.RenderOptions{Color: t.color(w), Limit: mostFaults})
		fmt.Fprintf(w, "\n%s in %s; no test has run\n", plural(len(ds), "error"), plural(len(files.Sources), "file"))
	}
	if err == nil {
		err = errReported
	}
	return err
}
