package suite_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
	"github.com/weir-run/weir/gateway/policies"
)

var update = flag.Bool("update", false, "rewrite what the archives of testdata expect")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load checks the files of an archive. The environment has one variable.
func load(t testing.TB, a *txtar.Archive) (*suite.Suite, []dsl.Diagnostic) {
	t.Helper()
	files := &flows.Files{}
	for _, f := range a.Files {
		switch {
		case strings.HasPrefix(f.Name, "api/"): // not a flow file: one that flow files refer to
			files.Documents = append(files.Documents, dsl.NewSource(f.Name, string(f.Data)))
		case f.Name != "want":
			files.Sources = append(files.Sources, dsl.NewSource(f.Name, string(f.Data)))
		}
	}
	env := func(name string) (string, bool) { return "outside", name == "PLACE" }
	return suite.Check(flows.Parse(files), catalog(t), flows.Environment{Env: env})
}

func catalog(t testing.TB) *flows.Catalog {
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		t.Fatal(err)
	}
	guards, err := policies.NewCatalog(policies.All()...)
	if err != nil {
		t.Fatal(err)
	}
	return &flows.Catalog{Steps: verbs, Policies: guards}
}

// golden runs a test for every archive of a directory, and compares what it
// gives with the file called want.
func golden(t *testing.T, dir string, run func(t *testing.T, a *txtar.Archive) string) {
	paths, err := filepath.Glob(dir + "/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no archives", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, a)
			want := &a.Files[len(a.Files)-1]
			if want.Name != "want" {
				t.Fatal("the last file of the archive is not called want")
			}
			if got == string(want.Data) {
				return
			}
			if !*update {
				t.Fatalf("got\n%s\nwant\n%s", got, want.Data)
			}
			want.Data = []byte(got)
			if err := os.WriteFile(path, txtar.Format(a), 0o666); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// jargon is what Go and its libraries say, and no author should have to read.
var jargon = regexp.MustCompile(`reflect|interface|nil|map\[|unmarshal|func\(|float64|int64|goroutine|runtime|%!`)

// TestFaultsOfTests holds mistakes in tests against what their authors see.
func TestFaultsOfTests(t *testing.T) {
	golden(t, "testdata/faults", func(t *testing.T, a *txtar.Archive) string {
		s, ds := load(t, a)
		if s != nil {
			t.Error("no fault was found")
		}
		for _, d := range ds {
			if !d.Span.Valid() || d.Hint == "" {
				t.Errorf("%q lacks a place or a remedy", d.Message)
			}
			if found := jargon.FindString(d.Message + d.Hint); found != "" {
				t.Errorf("%q holds jargon: %s", d.Message, found)
			}
		}
		return rendered(ds)
	})
}

func rendered(ds []dsl.Diagnostic) string {
	var b strings.Builder
	dsl.Render(&b, ds, dsl.RenderOptions{})
	return b.String()
}

// TestResults holds what tests give against what they should, those that must
// fail, too.
func TestResults(t *testing.T) {
	golden(t, "testdata/results", func(t *testing.T, a *txtar.Archive) string {
		s, ds := load(t, a)
		if s == nil {
			t.Fatal(rendered(ds))
		}
		var b strings.Builder
		s.Run(s.Tests, func(r suite.Result) {
			if r.Passed() {
				fmt.Fprintf(&b, "ok    %s\n", r.Test.Name)
				return
			}
			fmt.Fprintf(&b, "FAIL  %s\n\n%s\n", r.Test.Name, rendered(r.Faults))
		})
		return b.String()
	})
}

// program is an archive of one file.
func program(text string) *txtar.Archive {
	return &txtar.Archive{Files: []txtar.File{{Name: "flow.yaml", Data: []byte(text)}}}
}

const patient = `
flow: patient
trigger: { http: GET /, deadline: 10m }
steps:
  - id: user
    call: GET users /
  - return: $(user)
---
services:
  users: { endpoints: ["http://users"], timeout: 2m, retry: { attempts: 4, backoff: 30s, max_backoff: 2m }, breaker: { failures: 3, open: 1h } }
---
gateways: { public: { listen: ":8080" } }
---
tests:
  - test: a minute of waiting
    request: GET /
    mock: { users: [{ status: 503, delay: 59s }, { body: { name: Ada } }] }
    expect: { calls: { users: 2 }, took: ">59s <2m" }
`

func TestTimeIsVirtual(t *testing.T) {
	s, ds := load(t, program(patient))
	if s == nil {
		t.Fatal(rendered(ds))
	}
	start := time.Now()
	s.Run(s.Tests, func(r suite.Result) {
		if !r.Passed() {
			t.Error(rendered(r.Faults))
		}
		if r.Took < 59*time.Second {
			t.Errorf("took %v", r.Took)
		}
	})
	if real := time.Since(start); real > 20*time.Second {
		t.Errorf("a minute of waiting took %v of the clock", real)
	}
}

// TestTestsShareNothing opens a breaker in one test; the others of the same
// service must not notice. Enough of them run at the same time to find a race.
func TestTestsShareNothing(t *testing.T) {
	var b strings.Builder
	b.WriteString(patient)
	for i := range 40 {
		mock, expect := "{ body: { name: Ada } }", "200"
		if i%2 == 0 {
			mock, expect = "{ status: 503 }", "$(it == 502 || it == 503)"
		}
		fmt.Fprintf(&b, "  - test: number %d\n    request: GET /\n    mock: { users: %s }\n    expect: { status: %s }\n", i, mock, expect)
	}
	s, ds := load(t, program(b.String()))
	if s == nil {
		t.Fatal(rendered(ds))
	}
	n := 0
	s.Run(s.Tests, func(r suite.Result) {
		if !r.Passed() {
			t.Error(rendered(r.Faults))
		}
		if n > 0 && r.Test.Name != fmt.Sprintf("number %d", n-1) {
			t.Errorf("%q is reported as number %d", r.Test.Name, n)
		}
		n++
	})
	if n != 41 {
		t.Errorf("%d results", n)
	}
}

func TestSelectByNameAndFlow(t *testing.T) {
	s, ds := load(t, program(patient))
	if s == nil {
		t.Fatal(rendered(ds))
	}
	for pattern, want := range map[string]int{"minute": 1, "^patient$": 1, "hour": 0} {
		if got := len(s.Select(regexp.MustCompile(pattern))); got != want {
			t.Errorf("%s selects %d tests, want %d", pattern, got, want)
		}
	}
	if len(s.Select(nil)) != 1 {
		t.Error("nothing selects something else than all")
	}
}

// What fails at once cancels what runs beside it; whether that had been called
// must not depend on which goroutine was first.
func TestWhatIsCalledAtOneMomentIsCalledBeforeOneAnswers(t *testing.T) {
	const members = 8
	var steps, services, tests strings.Builder
	for i := range members {
		fmt.Fprintf(&steps, "      m%d: { call: GET s%d / }\n", i, i)
		fmt.Fprintf(&services, "  s%d: { endpoints: [\"http://s%d\"] }\n", i, i)
	}
	for n := range 50 {
		fmt.Fprintf(&tests, "  - test: number %d\n    request: GET /\n    mock:\n", n)
		for i := range members {
			status := 200
			if i == n%members {
				status = 500
			}
			fmt.Fprintf(&tests, "      s%d: { status: %d }\n", i, status)
		}
		fmt.Fprintf(&tests, "    expect: { error: { step: m%d } }\n", n%members)
	}
	s, ds := load(t, program("flow: many\ntrigger: { http: GET / }\nsteps:\n  - compose:\n"+steps.String()+
		"---\ngateways: { public: { listen: \":8080\" } }\n---\nservices:\n"+services.String()+"---\ntests:\n"+tests.String()))
	if s == nil {
		t.Fatal(rendered(ds))
	}
	s.Run(s.Tests, func(r suite.Result) {
		if !r.Passed() { // such as that nothing asks for a mock
			t.Error(rendered(r.Faults))
		}
	})
}

const covered = `
flow: pay
trigger: { http: POST /pay }
steps:
  - when: body.total == 0
    return: nothing to pay
  - id: price
    switch:
      - when: body.total > 100
        yield: 0
      - when: body.total > 50
        yield: 5
  - id: charge
    call: POST payments /charges
    catch:
      - log: failed
      - id: other
        call: POST others /charges
  - return: $(price)
errors:
  - when: error.step == "other"
    return: { title: No way to pay }
    status: 503
  - return: { title: Something else }
---
services: { payments: { endpoints: ["http://p"] }, others: { endpoints: ["http://o"] } }
---
gateways: { public: { listen: ":8080" } }
---
tests:
  - test: a small sum
    request: POST /pay
    body: { total: 60 }
    mock: { payments: { status: 201 } }
`

func TestCoverageNamesWhatNeverHappened(t *testing.T) {
	s, ds := load(t, program(covered))
	if s == nil {
		t.Fatal(rendered(ds))
	}
	c := s.Run(s.Tests, func(r suite.Result) {
		if !r.Passed() {
			t.Error(rendered(r.Faults))
		}
	})[0]
	var got strings.Builder
	fmt.Fprintf(&got, "%d/%d %d/%d %d%%\n", c.Steps, c.AllSteps, c.Ways, c.AllWays, c.Percent())
	for _, m := range c.Missed {
		fmt.Fprintf(&got, "%s %s\n", m.Span, m.What)
	}
	const want = `3/6 2/7 38%
flow.yaml:6:5 the step return
flow.yaml:8:5 no case of the switch
flow.yaml:9:9 this case of the switch
flow.yaml:15:5 the catch of charge
flow.yaml:16:9 the step log
flow.yaml:18:9 the step other
flow.yaml:21:5 this answer of errors
flow.yaml:24:5 this answer of errors
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

const withoutEvents = `
flow: quiet
trigger: { http: GET /quiet }
steps:
  - id: kept
    cache: $(query.key)
    ttl: 1m
    steps: [{ log: made }]
    yield: 1
  - idempotent: $(query.key)
    steps: [{ log: done }]
  - sample: 50%
    by: $(query.key)
    steps: [{ log: seen }]
  - each: n in [1]
    id: left
    steps: [{ filter: n > 0 }]
    yield: $(n + kept)
  - aggregate: 1
    by: $(query.key)
    size: 2
    max_age: 1m
    steps: [{ log: complete }]
  - return: $(left)
---
gateways: { public: { listen: ":8080" } }
---
tests:
  - test: nothing is known, and nothing left out
    request: GET /quiet?key=a
`

func TestCoverageKnowsWhatHappensWithoutSteps(t *testing.T) {
	const again = `  - { test: another time, before: [{ request: "GET /quiet?key=a" }], request: "GET /quiet?key=a" }
  - { test: another key, request: "GET /quiet?key=b" }
`
	for text, want := range map[string][]string{
		withoutEvents:         {"flow.yaml:6:5 the same key again", "flow.yaml:10:5 the same key again", "flow.yaml:14:15 the step log", "flow.yaml:17:15 leaving a round out", "flow.yaml:19:5 a group that is complete with the request"},
		withoutEvents + again: {"flow.yaml:17:15 leaving a round out"},
	} {
		s, ds := load(t, program(text))
		if s == nil {
			t.Fatal(rendered(ds))
		}
		var missed []string
		for _, m := range s.Run(s.Tests, func(suite.Result) {})[0].Missed {
			missed = append(missed, m.Span.String()+" "+m.What)
		}
		if !slices.Equal(missed, want) {
			t.Errorf("missed %q, want %q", missed, want)
		}
	}
}

const breakable = `
flow: good
trigger: { http: GET /good, deadline: 2s }
steps:
  - id: user
    call: GET users /
    timeout: 1s
    fallback: {}
  - return: { name: "$(user.name ?? 'nobody')" }
---
flow: sorry
trigger: { http: GET /sorry, deadline: 2s }
steps:
  - id: user
    call: GET users /
    timeout: 1s
    fallback: null
  - return: { name: $(user.name) }
---
flow: talkative
trigger: { http: GET /talkative, deadline: 2s }
steps:
  - id: user
    call: GET users /
    timeout: 1s
errors:
  - return: { title: It failed, why: $(error.message), said: $(error.body) }
    status: 500
---
flow: tidy
trigger: { http: GET /tidy, deadline: 2s }
steps:
  - try:
      - id: user
        call: GET users /
    finally:
      - id: audit
        call: POST audit /
        catch: [{ log: failed }]
  - when: query.all == "true"
    call: DELETE users /
---
services:
  users: { endpoints: ["http://users.inner:8080"] }
  audit: { endpoints: ["http://audit.inner:8080"] }
---
gateways: { public: { listen: ":8080" } }
---
tests:
  - { test: good, request: GET /good, mock: { users: { body: { name: Ada } } }, expect: { body: { name: Ada } } }
  - { test: sorry, request: GET /sorry, mock: { users: { body: { name: Ada } } }, expect: { body: { name: Ada } } }
  - { test: talkative, request: GET /talkative, mock: { users: { body: { name: Ada } } } }
  - { test: tidy, request: GET /tidy, mock: { users: { body: { name: Ada } }, audit: { status: 204 } } }
`

func TestFaultsFindWhatCallersWouldGet(t *testing.T) {
	s, ds := load(t, program(breakable))
	if s == nil {
		t.Fatal(rendered(ds))
	}
	all := s.Faults(s.Tests)
	var got strings.Builder
	for _, m := range all {
		fmt.Fprintf(&got, "%s %v %d\n", m.Flow, m.Deadline, m.Tests)
		for _, r := range m.Rows {
			var cells []string
			for _, c := range r.Cells {
				cells = append(cells, c.Outcome.String())
			}
			fmt.Fprintf(&got, "  %s %s: %s\n", r.Step, r.Call, strings.Join(cells, ", "))
		}
	}
	const want = `good 2s 1
  user users: degraded, degraded, degraded, degraded, degraded, degraded
sorry 2s 1
  user users: stumbled, stumbled, stumbled, stumbled, stumbled, stumbled
talkative 2s 1
  user users: leaks, leaks, leaks, leaks, answered, leaks
tidy 2s 1
  user users: failed late, failed clean, failed clean, failed clean, answered, failed late
  audit audit: over deadline, answered, answered, answered, answered, over deadline
  call users: -, -, -, -, -, -
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	if good, total, defects := suite.Resilience(all); good != 15 || total != 36 || defects != 7 {
		t.Errorf("resilience %d of %d, %d defects", good, total, defects)
	}
}
