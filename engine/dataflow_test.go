package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows/flowtest"
)

// Members run as soon as, and not before, all that they refer to is there:
// held against a model on random graphs, whose members are let through one at
// a time in random order.
func TestComposeFollowsTheData(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 0))
				n := 2 + rnd.IntN(9)
				needs := make([][]int, n) // by members in an order that is possible
				for i := range needs {
					for j := range i {
						if rnd.IntN(3) == 0 {
							needs[i] = append(needs[i], j)
						}
					}
				}
				var text strings.Builder
				text.WriteString("- compose:\n")
				for _, i := range rnd.Perm(n) { // the order they are written in does not matter
					fmt.Fprintf(&text, "    m%d: { call: GET b /m%d, query: { needs: [", i, i)
					for _, j := range needs[i] {
						fmt.Fprintf(&text, "$(m%d), ", j)
					}
					text.WriteString("] } }\n")
				}
				text.WriteString("- return: 1")
				gate := &flowtest.Gate{}
				w := flowtest.Serve(t, flowtest.Flow(text.String()), flowtest.Backends{"b": gate})
				done := make(chan flowtest.Answer)
				go func() { done <- w.Get("/") }()

				finished := make([]bool, n)
				for range n {
					synctest.Wait()
					var ready []string
					for i := range n {
						if !finished[i] && !slices.ContainsFunc(needs[i], func(j int) bool { return !finished[j] }) {
							ready = append(ready, fmt.Sprintf("/m%d", i))
						}
					}
					slices.Sort(ready)
					if got := gate.Waiting(); !slices.Equal(got, ready) {
						t.Fatalf("%s\nrunning: %v, want %v", text.String(), got, ready)
					}
					next := ready[rnd.IntN(len(ready))]
					var i int
					fmt.Sscanf(next, "/m%d", &i)
					finished[i] = true
					gate.Let(next, flowtest.JSON(200, fmt.Sprint(i)))
				}
				(<-done).Is(t, 200, "1")
			})
		})
	}
}

func TestComposeEndsWithItsFirstFailure(t *testing.T) {
	const text = `
- compose:
    slow: { call: GET b /slow }
    bad: { call: GET b /bad }
    after: { call: GET b /after, query: { v: $(slow), w: $(bad) } }
  catch: [{ return: [$(error.step), $(error.kind), $(error.status)] }]
- return: 1`
	synctest.Test(t, func(t *testing.T) {
		gate := &flowtest.Gate{}
		w := flowtest.Serve(t, flowtest.Flow(text), flowtest.Backends{"b": gate})
		done := make(chan flowtest.Answer)
		go func() { done <- w.Get("/") }()
		synctest.Wait()
		gate.Let("/bad", flowtest.JSON(500, `"inside"`))
		begin := time.Now()
		(<-done).Is(t, 200, `["bad","status",500]`)
		synctest.Wait()
		if got := gate.Waiting(); len(got) != 0 || gate.Arrived() != 2 {
			t.Errorf("%v still runs, %d calls came; want the sibling cancelled and nothing started", got, gate.Arrived())
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the answer waited %v for the sibling", took)
		}
	})
	t.Run("but not with one that is handled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gate := &flowtest.Gate{}
			w := flowtest.Serve(t, flowtest.Flow(`
- compose:
    slow: { call: GET b /slow }
    bad: { call: GET b /bad, fallback: $(error.status) }
    after: { call: GET b /after, query: { v: $(bad) } }
- return: [$(slow), $(bad), $(after)]`), flowtest.Backends{"b": gate})
			done := make(chan flowtest.Answer)
			go func() { done <- w.Get("/") }()
			synctest.Wait()
			gate.Let("/bad", flowtest.JSON(500, `1`))
			synctest.Wait()
			gate.Let("/after", flowtest.JSON(200, `2`))
			gate.Let("/slow", flowtest.JSON(200, `3`))
			(<-done).Is(t, 200, `[3,500,2]`)
		})
	})
}

func TestEach(t *testing.T) {
	item := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path)
	})
	for _, r := range []request{
		{name: "an empty list", steps: `
- { id: list, each: "n in []", yield: $(n) }
- return: $(list)`, status: 200, body: `[]`},
		{name: "nothing is no list", backend: empty, steps: `
- { id: a, call: GET b / }
- { id: list, each: n in a.items, yield: $(n) }
- return: $(list)`, status: 500, code: "expression-failed"},
		{name: "absence can be given a meaning", backend: empty, steps: `
- { id: a, call: GET b / }
- { id: list, each: "n in a.items ?? []", yield: $(n) }
- return: $(list)`, status: 200, body: `[]`},
		{name: "a list that is JSON, with its place", backend: flowtest.JSON(200, `[{"v":1.10},{"v":12345678901234567890},null]`), steps: `
- { id: a, call: GET b / }
- { id: list, each: "n, i in a", yield: { i: $(i), n: $(n) } }
- return: $(list)`, status: 200, body: `[{"i":0,"n":{"v":1.10}},{"i":1,"n":{"v":12345678901234567890}},{"i":2,"n":null}]`},
		{name: "lists of ranges and words", steps: `
- { id: a, each: n in 1..3, yield: $(n * 2) }
- { id: c, each: 's in split("x,y", ",")', yield: $(s + "!") }
- return: [$(a), $(c)]`, status: 200, body: `[[2,4,6],["x!","y!"]]`},
		{name: "each in compose in each", backend: item, steps: `
- id: all
  each: x in [1, 2]
  steps:
    - compose:
        own: { call: GET b /$(x) }
        inner:
          each: y in [3, 4]
          steps: [{ id: deep, call: "GET b /$(x)/$(y)" }]
          yield: [$(x), $(y), $(deep)]
        both: { set: [$(own), $(inner)] }
  yield: $(both)
- return: $(all)`, status: 200,
			body: `[["/1",[[1,3,"/1/3"],[1,4,"/1/4"]]],["/2",[[2,3,"/2/3"],[2,4,"/2/4"]]]]`},
		{name: "a step that is skipped in one round has no result of another", steps: `
- id: list
  each: n in 1..100
  steps:
    - { id: odd, when: n % 2 == 1, set: $(n) }
    - { id: even, when: n % 2 == 0, set: $(n) }
  yield: $((odd ?? 0) + (even ?? 0) == n && (odd == nil || even == nil))
- return: "$(all(list, # == true))"`, status: 200, body: `true`},
	} {
		r.run(t)
	}
}

func TestEachKeepsItsLimitAndTheOrder(t *testing.T) {
	const n, limit = 12, 3
	synctest.Test(t, func(t *testing.T) {
		gate := &flowtest.Gate{}
		w := flowtest.Serve(t, flowtest.Flow(fmt.Sprintf(`
- id: list
  each: n in 1..%d
  limit: %d
  steps: [{ id: a, call: GET b /$(n) }]
  yield: $(a)
- return: $(list)`, n, limit)), flowtest.Backends{"b": gate})
		done := make(chan flowtest.Answer)
		go func() { done <- w.Get("/") }()
		var want []string
		for i := range n {
			synctest.Wait()
			waiting := gate.Waiting()
			if len(waiting) != min(limit, n-i) || gate.Arrived() != min(n, i+limit) {
				t.Fatalf("%v run and %d have started after %d ended", waiting, gate.Arrived(), i)
			}
			last := waiting[len(waiting)-1] // the answers come out of order
			gate.Let(last, flowtest.JSON(200, last[1:]))
			want = append(want, fmt.Sprint(i+1))
		}
		(<-done).Is(t, 200, "["+strings.Join(want, ",")+"]")
	})
}

func TestEachEndsWithItsFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &flowtest.Gate{}
		w := flowtest.Serve(t, flowtest.Flow(`
- each: n in 1..100
  limit: 4
  steps: [{ id: a, call: GET b /$(n) }]
- return: 1`), flowtest.Backends{"b": gate})
		done := make(chan flowtest.Answer)
		go func() { done <- w.Get("/") }()
		synctest.Wait()
		gate.Let("/2", flowtest.JSON(404, `"inside"`))
		(<-done).IsProblem(t, 502, "upstream-failed")
		synctest.Wait()
		if got := gate.Waiting(); len(got) != 0 || gate.Arrived() != 4 {
			t.Errorf("%v still run, %d calls came; want the others cancelled and nothing started", got, gate.Arrived())
		}
	})
}

func TestEachOfALargeList(t *testing.T) {
	const n = 20000
	var list bytes.Buffer
	list.WriteByte('[')
	for i := range n {
		fmt.Fprintf(&list, `{"id":%d},`, i)
	}
	list.Truncate(list.Len() - 1)
	list.WriteByte(']')
	w := flowtest.Serve(t, flowtest.Flow(`
- { id: list, each: x in body, limit: 16, steps: [{ id: y, set: $(x.id) }], yield: { id: $(y) } }
- return: $(list)`), nil)
	w.Post("/", list.String()).Is(t, 200, list.String())
}

// probe is a verb of these tests: it calls a function with the name it has.
type probe struct {
	name string
	of   *dsl.ShapeTemplate
	fn   func(ctx context.Context, name string) error
}

func (p *probe) Run(ctx context.Context, x *engine.Exchange) error {
	if p.of != nil {
		if _, err := engine.ValueOf(ctx, x, p.of); err != nil {
			return err
		}
	}
	return p.fn(ctx, p.name)
}

// program compiles the steps of a flow in which probe: NAME calls fn, after it
// has evaluated what stands beside it as of:. Further sections of the flow can
// stand in front of the steps.
func program(t testing.TB, text string, fn func(ctx context.Context, name string) error, sections ...string) *engine.Program {
	t.Helper()
	type config struct {
		Probe dsl.String `yaml:"probe" required:"true"`
		Of    dsl.Shape  `yaml:"of"`
	}
	kind := dsl.Define("probe", "Tells the test.", func(c *engine.Compiler, _ *dsl.Node, cfg *config) engine.Step {
		p := &probe{name: cfg.Probe.Value, fn: fn}
		if cfg.Of.Node != nil {
			p.of = c.Shape(cfg.Of)
		}
		return p
	})
	verbs, err := dsl.NewCatalog(append(steps.All(), kind)...)
	if err != nil {
		t.Fatal(err)
	}
	var faults dsl.Diagnostics
	docs := dsl.Parse(dsl.NewSource("test.yaml", strings.Join(append([]string{"flow: test"}, sections...), "\n")+"\nsteps:\n"+strings.TrimSpace(text)), &faults)
	var f *engine.Flow
	if len(docs) > 0 {
		things := &engine.Resources{}
		for _, doc := range docs[1:] {
			template := engine.DeclareTemplate(doc, &faults)
			engine.Provide(things, "template", template.Name.Value, template)
		}
		if f = engine.DeclareFlow(docs[0], &faults); f != nil {
			f.Compile(&engine.Language{Steps: verbs, Resources: things}, &faults)
		}
	}
	if faults.Failed() {
		var b strings.Builder
		dsl.Render(&b, faults.All(), dsl.RenderOptions{})
		t.Fatal(b.String())
	}
	return f.Program()
}

// goroutine is the id of the goroutine it is called on.
func goroutine() (id int) {
	b := make([]byte, 64)
	fmt.Sscanf(string(b[:runtime.Stack(b, false)]), "goroutine %d ", &id)
	return id
}

func TestComposeWorksOnTheCallersGoroutine(t *testing.T) {
	for _, tt := range []struct {
		name, steps string
		here        []string // members that must run where compose was called
		others      int      // goroutines beside that
	}{
		{"one member", `- compose: { a: { probe: a } }`, []string{"a"}, 0},
		{"a chain", `- compose: { a: { probe: a }, b: { probe: b, of: $(a) }, c: { probe: c, of: $(b) } }`, []string{"a", "b", "c"}, 0},
		{"the last of those that are ready", `- compose: { a: { probe: a }, b: { probe: b }, c: { probe: c } }`, []string{"c"}, 2},
		{"the last of those that got ready", `- compose: { a: { probe: a }, b: { probe: b, of: $(a) }, c: { probe: c, of: $(a) } }`, []string{"a", "c"}, 1},
		{"each, one at a time", `- { each: n in 1..3, limit: 1, steps: [{ probe: a }] }`, []string{"a"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			ran := map[string]int{}
			p := program(t, tt.steps, func(_ context.Context, name string) error {
				mu.Lock()
				defer mu.Unlock()
				ran[name] = goroutine()
				return nil
			})
			if _, failed := p.Run(t.Context(), &engine.Input{}); failed != nil {
				t.Fatal(failed)
			}
			others := map[int]bool{}
			for name, id := range ran {
				if slices.Contains(tt.here, name) != (id == goroutine()) {
					t.Errorf("%s ran on goroutine %d, the caller is %d", name, id, goroutine())
				}
				if id != goroutine() {
					others[id] = true
				}
			}
			if len(others) != tt.others {
				t.Errorf("%d other goroutines, want %d", len(others), tt.others)
			}
		})
	}
}

func TestAPanicIsAFailureLikeAnyOther(t *testing.T) {
	for name, text := range map[string]string{
		"in a step":                           `- probe: panic`,
		"in a compose":                        `- compose: { a: { probe: panic }, b: { probe: wait } }`,
		"in a compose on the caller's":        `- compose: { b: { probe: wait }, a: { probe: panic } }`,
		"in an each":                          `- { each: n in 1..3, steps: [{ probe: panic }] }`,
		"in an each, one at a time":           `- { each: n in 1..3, limit: 1, steps: [{ probe: panic }] }`,
		"in an each in a compose":             `- compose: { a: { each: n in 1..3, steps: [{ probe: panic }] }, b: { probe: wait } }`,
		"while another panics":                `- compose: { a: { probe: panic }, b: { probe: panic }, c: { probe: panic } }`,
		"in a member that a chain leads to":   `- compose: { a: { probe: fine }, b: { probe: panic, of: $(a) } }`,
		"and finally runs, which panics, too": `- { try: [{ probe: panic }], finally: [{ probe: panic }] }`,
	} {
		t.Run(name, func(t *testing.T) {
			p := program(t, text, func(ctx context.Context, name string) error {
				switch name {
				case "panic":
					panic("inside")
				case "wait":
					<-ctx.Done()
					return context.Cause(ctx)
				}
				return nil
			})
			for range 3 { // what it leaves behind must not matter to the next
				_, failed := p.Run(t.Context(), &engine.Input{})
				if failed == nil || failed.Kind != engine.KindInternal || failed.HTTPStatus() != 500 {
					t.Errorf("got %v, want an internal failure", failed)
				}
			}
		})
	}
}
