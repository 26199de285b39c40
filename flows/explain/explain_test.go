package explain_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/explain"
)

const site = `
---
services:
  users: { endpoints: ["http://127.0.0.1:9001"], timeout: 800ms, retry: { attempts: 3, backoff: 10ms } }
  orders: { endpoints: ["http://127.0.0.1:9002"], timeout: 1s }
---
gateways: { public: { listen: ":8080" } }
`

var update = flag.Bool("update", false, "rewrite the explanations in testdata")

func explained(t *testing.T, text, flow string) *explain.Flow {
	t.Helper()
	return explainedIn(t, text+site, flow, nil)
}

func explainedIn(t *testing.T, text, flow string, probe engine.Probe) *explain.Flow {
	t.Helper()
	catalog := &flows.Catalog{Steps: verbs(t)}
	p, ds := flows.Check(&flows.Files{Sources: []*dsl.Source{dsl.NewSource("flow.yaml", text)}}, catalog, flows.Environment{Plans: true, Probe: probe})
	if p == nil {
		t.Fatal(ds)
	}
	i := slices.IndexFunc(p.Flows, func(f *engine.Flow) bool { return f.Name.Value == flow })
	return explain.Explain(p, catalog, p.Flows[i])
}

func verbs(t *testing.T) *dsl.Catalog[*engine.Compiler, engine.Step] {
	t.Helper()
	all, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mute is a Probe that looks for verbs that do not describe themselves.
type mute struct {
	t    *testing.T
	mu   sync.Mutex
	seen map[string]bool
}

func (m *mute) Flow(_ *engine.Flow, steps engine.Step) engine.Step { return steps }

func (m *mute) Undo(_ engine.Site, undo engine.Step) (run engine.Step, doubted func()) {
	return undo, nil
}

func (m *mute) Way(engine.Way) func() { return nil }

func (m *mute) Verb(at engine.Site, verb engine.Step) engine.Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[at.Verb] = true
	if _, describes := verb.(engine.Describer); !describes {
		m.t.Errorf("%s does not describe itself", at.Verb)
	}
	return verb
}

// TestEveryVerbDescribesItself has a flow with all verbs, which none may leave
// without saying what it comes to.
func TestEveryVerbDescribesItself(t *testing.T) {
	text, err := os.ReadFile("testdata/verbs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := &mute{t: t, seen: map[string]bool{}}
	f := explainedIn(t, string(text), "verbs", m)
	for _, name := range verbs(t).Names() {
		if !m.seen[name] {
			t.Errorf("testdata/verbs.yaml has no %s", name)
		}
	}
	isExplained(t, f, "testdata/verbs.txt")
}

// TestEachPolicyOfAServiceIsShown has services with all that helps against
// failures: what is written, and what is the default.
func TestEachPolicyOfAServiceIsShown(t *testing.T) {
	text, err := os.ReadFile("testdata/services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	isExplained(t, explained(t, string(text), "checkout"), "testdata/services.txt")
}

// isExplained compares the explanation of f with a file.
func isExplained(t *testing.T, f *explain.Flow, golden string) {
	t.Helper()
	var got strings.Builder
	if err := f.Text(&got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestTheWorstOfStructures(t *testing.T) {
	const call, other = "call: GET users /users", "call: POST orders /orders" // 3 requests and 2.43s; 1 request and 1s
	for _, x := range []struct{ name, steps, want string }{
		{"in a row", `[{ ` + call + ` }, { ` + other + ` }]`, "3.43s users 3 orders 1"},
		{"at once", `[{ compose: { a: { ` + call + ` }, b: { ` + other + ` } } }]`, "2.43s users 3 orders 1"},
		{"by data", `[{ compose: { a: { ` + call + ` }, b: { ` + other + `, body: $(a) }, c: { ` + other + ` } } }]`, "3.43s users 3 orders 2"},
		{"one of", `[{ switch: [{ when: query.a == "1", steps: [{ ` + call + ` }] }, { steps: [{ ` + call + ` }, { ` + other + ` }] }] }]`, "3.43s users 3 orders 1"},
		{"a race", `[{ first: [{ ` + call + ` }, { ` + other + ` }] }]`, "2.43s users 3 orders 1"},
		{"a step's own retry", `[{ ` + other + `, retry: { attempts: 3, backoff: 10ms } }]`, "3.03s orders 3"},
		{"a timeout", `[{ ` + call + `, timeout: 500ms }]`, "500ms users 3"},
		{"a catch", `[{ ` + call + `, timeout: 500ms, catch: [{ ` + other + ` }] }]`, "1.5s users 3 orders 1"},
		{"finally has its time", `[{ try: [{ ` + other + ` }], finally: [{ wait: 4s }, { ` + call + ` }] }]`, "6s users 3 orders 1"},
		{"undo is not the flow's time", `[{ saga: [{ ` + other + `, undo: [{ ` + call + ` }] }] }]`, "1s users 3 orders 1"},
		{"nobody waits for a tap", `[{ tap: [{ ` + other + `, timeout: 20s, fallback: 1 }] }]`, "0s orders 1"},
		{"a group has its time, after its turn", `[{ aggregate: 1, max_age: 1h, within: 2s, steps: [{ ` + other + ` }, { wait: 4s }] }]`, "2s or more orders 1"},
		{"rounds that nobody counts", `[{ each: x in query.list, steps: [{ ` + other + ` }] }]`, "1s or more orders 0+1"},
		{"rounds in a timeout", `[{ each: x in query.list, steps: [{ ` + other + ` }], timeout: 5s }]`, "5s orders 0+1"},
		{"rounds that are counted", `[{ while: state < 3, limit: 4, steps: [{ ` + other + ` }], yield: $(state + 1) }]`, "4s orders 4"},
		{"a wait", `[{ wait: 300ms }, { wait: $(query.a)s }]`, "300ms or more"},
		{"another flow", `[{ run: sub, retry: { attempts: 2, backoff: 10ms } }, { run: sub }]`, "3.01s orders 3"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := explained(t, "flow: f\ntrigger: { http: GET /f, deadline: 60s }\nsteps: "+x.steps+"\n---\nflow: sub\nsteps: [{ "+other+" }]\n", "f")
			got := f.AtMost.String()
			slices.SortFunc(f.Services, func(a, b explain.Service) int { return strings.Compare(b.Service, a.Service) })
			for _, s := range f.Services {
				got += fmt.Sprintf(" %s %d", s.Service, s.Requests)
				if s.PerRound > 0 {
					got += fmt.Sprintf("+%d", s.PerRound)
				}
			}
			if got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
}

func TestBodiesAreHeldForAReason(t *testing.T) {
	for _, x := range []struct{ name, steps, want string }{
		{"forward", `[{ forward: users }]`, "the request: streamed; the answer of users to forward: streamed; "},
		{"forward of what was read", `[{ when: body.a == 1, fail: no }, { forward: users }]`, "the request: buffered; the answer of users to forward: streamed; "},
		{"nobody reads it", `[{ call: POST orders /orders, body: $(query) }]`, "the request: unread; the answer of orders to call: buffered; "},
	} {
		t.Run(x.name, func(t *testing.T) {
			var got string
			for _, b := range explained(t, "flow: f\ntrigger: { http: POST /f }\nsteps: "+strings.ReplaceAll(x.steps, "fail: no", "fail: refused")+"\n", "f").Bodies {
				got += b.Of + ": " + b.How + "; "
			}
			if got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
}

// TestPicturesHoldAnyText draws a flow whose texts are what the languages of
// pictures would trip over.
func TestPicturesHoldAnyText(t *testing.T) {
	f := explained(t, `flow: f
trigger: { http: "GET /f/{id:[<&]+}" }
steps:
  - when: query.a != "</text>"
    log: "<b>&amp;\"'\x01\\ | ] end -->"
  - compose:
      b: { set: "a\nb" }
      a: { set: $(b + "--> n1"), when: 1 < 2 && b != null, fallback: 1 }
  - return: $(a)
`, "f")
	var svg, mermaid, dot strings.Builder
	for _, err := range []error{f.SVG(&svg), f.Draw().Mermaid(&mermaid), f.Draw().DOT(&dot)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(svg.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, svg.String())
		}
	}
	for _, line := range strings.Split(mermaid.String(), "\n") {
		if n := strings.Count(line, `"`); n != 0 && n != 2 {
			t.Errorf("quotes are open: %s", line)
		}
	}
	if want := `[label="log <b>&amp;\"' \\ | ] end -->"]`; !strings.Contains(dot.String(), want) {
		t.Errorf("%s is not in %s", want, dot.String())
	}
}
