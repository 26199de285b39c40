package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// TestExamplesPassTheirTests runs the tests of every example, and holds that no
// fault of a call makes one of their flows answer late or tell too much.
func TestExamplesPassTheirTests(t *testing.T) {
	kinds, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := filepath.Glob(root + "/examples/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no examples", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			files, err := flows.LoadWithTests([]string{dir})
			if err != nil {
				t.Fatal(err)
			}
			s, ds := suite.Check(files, kinds, flows.Environment{Env: os.LookupEnv, Log: slog.New(slog.DiscardHandler)})
			if s == nil {
				t.Fatal(rendered(ds))
			}
			s.Run(s.Tests, func(r suite.Result) {
				if !r.Passed() {
					t.Errorf("%s:\n%s", r.Test.Name, rendered(r.Faults))
				}
			})
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
