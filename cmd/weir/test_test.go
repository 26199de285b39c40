package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// TestWhatWeShowPassesItsTests runs the tests of every example, and of the
// flows of the guide, and holds that nothing is to be said of them, that every
// step and branch of them is tested, and that no fault of a call makes one answer
// late or tell too much. Flows on gateways whose names end with backends are not
// tested: they play services.
func TestWhatWeShowPassesItsTests(t *testing.T) {
	kinds, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range shown(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			files, err := flows.LoadWithTests([]string{dir})
			if err != nil {
				t.Fatal(err)
			}
			s, ds := suite.Check(flows.Parse(files), kinds, flows.Environment{Env: os.LookupEnv, Log: slog.New(slog.DiscardHandler)})
			if s == nil || len(ds) > 0 {
				t.Fatal(rendered(ds))
			}
			plays := map[string]bool{}
			for _, f := range s.Program.Flows {
				plays[f.Name.Value] = f.Trigger != nil && strings.HasSuffix(f.Trigger.Gateway.Value, "backends")
			}
			for _, c := range s.Run(s.Tests, func(r suite.Result) {
				if !r.Passed() {
					t.Errorf("%s:\n%s", r.Test.Name, rendered(r.Faults))
				}
			}) {
				if plays[c.Flow] {
					continue
				}
				for _, m := range c.Missed {
					t.Errorf("%s: no test runs %s", m.Span, m.What)
				}
			}
			for _, m := range s.Faults(s.Tests) {
				for _, row := range m.Rows {
					for i, c := range row.Cells {
						if c.Outcome.Defect() {
							t.Errorf("%s: %s: %s in test %q: %s", row.Span, suite.Kinds[i], c.Outcome, c.Test, c.Detail)
						}
					}
				}
			}
		})
	}
}

func rendered(ds []dsl.Diagnostic) string {
	var b strings.Builder
	dsl.Render(&b, ds, dsl.RenderOptions{})
	return b.String()
}

func TestWatchRunsTheTestsOfWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "flow.yaml")
	put := func(greeting string) {
		text := "flow: hello\ntrigger: { http: GET / }\nsteps: [{ return: " + greeting + " }]\n---\ngateways: { public: { listen: \":8080\" } }\n---\n" +
			"tests:\n  - { test: a greeting, request: GET /, expect: { body: Hello } }\n"
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	put("Hello")
	var out transcript
	signals := make(chan os.Signal, 1)
	p := &process{
		args: []string{"test", dir, "--watch"}, stdout: &out, stderr: &out,
		env:      func(string) (string, bool) { return "", false },
		terminal: func(io.Writer) bool { return false },
		notify:   func() (<-chan os.Signal, func()) { return signals, func() {} },
	}
	exit := make(chan int, 1)
	go func() { exit <- p.run(context.Background()) }()
	await := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(patience); !strings.Contains(out.String(), text); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q: not within %v in\n%s", text, patience, out.String())
			}
		}
	}
	await("1 test passed")
	put("Goodbye")
	await("1 of 1 test failed")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await("there are no .yaml or .yml files")
	put("'Hello'")
	for deadline := time.Now().Add(patience); strings.Count(out.String(), "1 test passed") < 2 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	signals <- os.Interrupt
	if got := <-exit; got != exitOK {
		t.Errorf("exit code %d", got)
	}
	if n := strings.Count(out.String(), "1 test passed"); n != 2 {
		t.Errorf("passed %d times:\n%s", n, out.String())
	}
}

func TestAMatrixFitsATerminal(t *testing.T) {
	m := suite.Matrix{Rows: []suite.Row{
		{Step: strings.Repeat("reservierung-", 4) + "é", Call: "the-service-of-all-reservations", Cells: make([]suite.Cell, len(suite.Kinds))},
		{Step: "user", Call: "users", Cells: make([]suite.Cell, len(suite.Kinds))},
	}}
	for i := range suite.Kinds {
		m.Rows[0].Cells[i].Outcome, m.Rows[1].Cells[i].Outcome = suite.Answered, suite.Degraded
	}
	var b strings.Builder
	(&resultWriter{Writer: &b}).matrix(m)
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if at := strings.Index(lines[2], "degraded"); len(lines) != 3 || at < 0 || utf8.RuneCountInString(lines[1][:strings.Index(lines[1], "answered")]) != at {
		t.Errorf("the columns do not stand below each other:\n%s", b.String())
	}
}
