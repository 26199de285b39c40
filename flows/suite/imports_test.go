package suite_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// What is shared is told nothing of: who imports it needs a part of it. Its
// tests run where it is at home.
func TestWhatIsImportedIsThereForOthersToo(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"flows/a.yaml": `
imports: [../shared]
---
flow: hello
trigger: { http: GET /hello, gateway: public }
steps: [{ return: hello }]
---
gateways: { public: { listen: ":8080" } }
---
tests: [{ test: hello, request: GET /hello }]
`,
		"shared/all.yaml": `
services: { spare: { endpoints: ["http://127.0.0.1:1"] } }
gateways: { other: { listen: ":8081" } }
---
flow: idle
steps: [{ log: here }]
---
tests: [{ test: idle, run: idle }]
`,
		"shared/all.test.yaml": `tests: [{ test: idle again, run: idle }]`,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, tests, covered, own string
		faults                    int
	}{
		{"flows", "hello", "hello", "flows/a.yaml", 0},
		{"shared", "idle again, idle", "idle", "shared/all.test.yaml, shared/all.yaml", 2}, // the gateway and the service
	} {
		files, err := flows.LoadWithTests([]string{c.path})
		if err != nil {
			t.Fatal(err)
		}
		s, faults := suite.Check(flows.Parse(files), &flows.Catalog{Steps: verbs}, flows.Environment{Notes: true})
		if s == nil || len(faults) != c.faults {
			t.Fatal(c.path, faults)
		}
		var tests, covered, own []string
		for _, test := range s.Tests {
			tests = append(tests, test.Name)
		}
		for _, flow := range s.Run(s.Tests, func(suite.Result) {}) {
			covered = append(covered, flow.Flow)
		}
		for _, source := range files.Own() {
			own = append(own, filepath.ToSlash(source.Name))
		}
		if got := strings.Join(tests, ", "); got != c.tests {
			t.Errorf("the tests of %s are %s", c.path, got)
		}
		if got := strings.Join(covered, ", "); got != c.covered {
			t.Errorf("of %s, %s is covered", c.path, got)
		}
		if got := strings.Join(own, ", "); got != c.own {
			t.Errorf("of %s, %s is its own", c.path, got)
		}
	}
}
