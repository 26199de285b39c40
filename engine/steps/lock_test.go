package steps_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/weir-run/weir/flows/flowtest"
)

// crowd are requests that are on their way at the same time.
type crowd struct {
	t       *testing.T
	world   *flowtest.World
	answers map[string]chan flowtest.Answer
	leave   map[string]context.CancelFunc
}

func newCrowd(t *testing.T, w *flowtest.World) *crowd {
	return &crowd{t: t, world: w, answers: map[string]chan flowtest.Answer{}, leave: map[string]context.CancelFunc{}}
}

// comes sends a request: POST / with a body that has its name, a key and a path
// to call. It has got as far as it can when comes returns.
func (c *crowd) comes(name, key string) {
	ctx, leave := context.WithCancel(c.t.Context())
	answer := make(chan flowtest.Answer, 1)
	c.answers[name], c.leave[name] = answer, leave
	r := c.world.Request("POST", "/", fmt.Sprintf(`{"name":%q,"key":%q}`, name, key)).WithContext(ctx)
	go func() { answer <- c.world.Send(r) }()
	synctest.Wait()
}

// answer is what a request got.
func (c *crowd) answer(name string) flowtest.Answer {
	defer c.leave[name]()
	return <-c.answers[name]
}

// steps gives one number of the steps of a program.
func measured(t *testing.T, w *flowtest.World, label, value string) (sum float64) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(w.Host.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if has(m, label, value) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func has(m *dto.Metric, label, value string) bool {
	for _, l := range m.Label {
		if l.GetName() == label && l.GetValue() == value {
			return true
		}
	}
	return false
}

func waiting(g *flowtest.Gate) string { return strings.Join(g.Waiting(), " ") }

const locked = `
- id: got
  lock: key/$(body.key)
  queue: 2
  steps: [{ id: answer, call: GET g /$(body.name) }]
  yield: $(answer)
- return: $(got)`

func TestLock(t *testing.T) {
	one := flowtest.JSON(200, "1")
	serve := func(t *testing.T) (*crowd, *flowtest.Gate) {
		g := &flowtest.Gate{}
		return newCrowd(t, flowtest.Serve(t, flowtest.Flow(locked), flowtest.Backends{"g": g})), g
	}
	is := func(t *testing.T, g *flowtest.Gate, want string) {
		t.Helper()
		synctest.Wait()
		if got := waiting(g); got != want {
			t.Errorf("%q are at work, want %q", got, want)
		}
	}
	for name, test := range map[string]func(t *testing.T){
		"one at a time, in the order of coming": func(t *testing.T) {
			c, g := serve(t)
			for _, name := range []string{"c", "a", "b"} {
				c.comes(name, "k")
			}
			for _, name := range []string{"c", "a", "b"} {
				is(t, g, "/"+name)
				g.Let("/"+name, one)
				c.answer(name).Is(t, 200, "1")
			}
			if n := measured(t, c.world, "of", "keys"); n != 0 {
				t.Errorf("%v keys are left", n)
			}
		},
		"keys do not know each other": func(t *testing.T) {
			c, g := serve(t)
			c.comes("a", "1")
			c.comes("b", "2")
			is(t, g, "/a /b")
			g.Let("/a", one)
			g.Let("/b", one)
			c.answer("a").Is(t, 200, "1")
			c.answer("b").Is(t, 200, "1")
		},
		"a failure gives the key back": func(t *testing.T) {
			c, g := serve(t)
			c.comes("a", "k")
			c.comes("b", "k")
			g.Let("/a", unavailable)
			c.answer("a").IsProblem(t, 502, "upstream-failed")
			is(t, g, "/b")
			g.Let("/b", one)
			c.answer("b").Is(t, 200, "1")
		},
		"the queue has an end": func(t *testing.T) {
			c, g := serve(t)
			for _, name := range []string{"a", "b", "c", "d"} {
				c.comes(name, "k")
			}
			c.answer("d").IsProblem(t, 503, "overloaded")
			if n := measured(t, c.world, "event", "refused"); n != 1 {
				t.Errorf("%v refused, want 1", n)
			}
			for _, name := range []string{"a", "b", "c"} {
				g.Let("/"+name, one)
				c.answer(name).Is(t, 200, "1")
				synctest.Wait()
			}
		},
		"who leaves makes room": func(t *testing.T) {
			c, g := serve(t)
			for _, name := range []string{"a", "b", "c"} {
				c.comes(name, "k")
			}
			c.leave["b"]()
			if a := c.answer("b"); !errors.Is(a.Err, context.Canceled) {
				t.Errorf("got %v", a.Err)
			}
			time.Sleep(100 * time.Millisecond) // a call that has only begun may be told a moment later
			c.leave["a"]()                     // it has the key
			c.answer("a")
			is(t, g, "/c")
			g.Let("/c", one)
			c.answer("c").Is(t, 200, "1")
			if n := measured(t, c.world, "of", "keys") + measured(t, c.world, "of", "waiting"); n != 0 {
				t.Errorf("%v keys and waiters are left", n)
			}
		},
		"nobody waits longer than there is time": func(t *testing.T) {
			c, g := serve(t)
			c.comes("a", "k")
			time.Sleep(time.Second)
			c.comes("b", "k")
			c.answer("a").IsProblem(t, 504, "deadline-exceeded")
			is(t, g, "/b")
			c.answer("b").IsProblem(t, 504, "deadline-exceeded")
		},
		"it holds across flows and reloads": func(t *testing.T) {
			c, g := serve(t)
			c.comes("a", "k")
			if err := c.world.Apply(strings.ReplaceAll(flowtest.Flow(locked), "key/$(body.key)", `$("key/k")`)); err != nil {
				t.Fatal(err)
			}
			c.comes("b", "other")
			is(t, g, "/a")
			g.Let("/a", one)
			c.answer("a").Is(t, 200, "1")
			is(t, g, "/b")
			g.Let("/b", one)
			c.answer("b").Is(t, 200, "1")
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	s := scenario{name: "an empty key", steps: "- { lock: $(body.key), steps: [{ log: in }] }\n- return: 1", post: `{"key":""}`, status: 500, code: "expression-failed"}
	s.run(t)
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &flowtest.Gate{}
		w := flowtest.Serve(t, flowtest.Flow(`
- id: got
  limit: 2
  by: $(body.key)
  steps: [{ id: answer, call: GET g /$(body.name) }]
  yield: $(answer)
- return: $(got)`), flowtest.Backends{"g": g})
		c := newCrowd(t, w)
		for _, name := range []string{"a", "b", "c", "d"} {
			c.comes(name, "k")
		}
		c.comes("x", "other")
		if got := waiting(g); got != "/a /b /x" {
			t.Errorf("%q are at work", got)
		}
		for _, name := range []string{"b", "a", "c", "x", "d"} {
			g.Let("/"+name, flowtest.JSON(200, "1"))
			c.answer(name).Is(t, 200, "1")
			synctest.Wait()
		}
	})
}
