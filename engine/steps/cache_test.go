package steps_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

const cached = `
- id: got
  cache: item/$(body.key)
  ttl: 1m
  steps: [{ id: answer, call: GET g /$(body.key) }]
  yield: $(answer.v)
- return: [$(got)]`

// item is what a backend has for a key, so many times asked.
func item(v any) string { return fmt.Sprintf(`{"v":%v,"more":"not kept"}`, v) }

func TestCache(t *testing.T) {
	serve := func(t *testing.T, text string) (*crowd, *flowtest.Gate) {
		g := &flowtest.Gate{}
		return newCrowd(t, flowtest.Serve(t, flowtest.Flow(text), flowtest.Backends{"g": g})), g
	}
	asked := func(t *testing.T, g *flowtest.Gate, n int) {
		t.Helper()
		synctest.Wait()
		if g.Arrived() != n {
			t.Errorf("%d calls came, want %d", g.Arrived(), n)
		}
	}
	for name, test := range map[string]func(t *testing.T){
		"as long as it is good": func(t *testing.T) {
			c, g := serve(t, cached)
			c.comes("a", "k")
			g.Let("/k", flowtest.JSON(200, item(1)))
			c.answer("a").Is(t, 200, "[1]")
			time.Sleep(time.Minute - time.Nanosecond)
			c.comes("b", "k")
			c.answer("b").Is(t, 200, "[1]")
			time.Sleep(time.Nanosecond)
			c.comes("c", "k")
			g.Let("/k", flowtest.JSON(200, item(2)))
			c.answer("c").Is(t, 200, "[2]")
			asked(t, g, 2)
			if hits, misses := measured(t, c.world, "event", "hit"), measured(t, c.world, "event", "miss"); hits != 1 || misses != 2 {
				t.Errorf("%v hits and %v misses, want 1 and 2", hits, misses)
			}
		},
		"each key on its own": func(t *testing.T) {
			c, g := serve(t, cached)
			c.comes("a", "1")
			c.comes("b", "2")
			g.Let("/1", flowtest.JSON(200, item(1)))
			g.Let("/2", flowtest.JSON(200, item(2)))
			c.answer("a").Is(t, 200, "[1]")
			c.answer("b").Is(t, 200, "[2]")
		},
		"a failure is shared by those who wait for it, and not kept": func(t *testing.T) {
			c, g := serve(t, cached)
			c.comes("a", "k")
			c.comes("b", "k")
			g.Let("/k", unavailable)
			c.answer("a").IsProblem(t, 502, "upstream-failed")
			c.answer("b").IsProblem(t, 502, "upstream-failed")
			c.comes("c", "k")
			g.Let("/k", flowtest.JSON(200, item(1)))
			c.answer("c").Is(t, 200, "[1]")
			asked(t, g, 2)
		},
		"those who come while it is made wait for it": func(t *testing.T) {
			c, g := serve(t, cached)
			names := strings.Split("abcdefgh", "")
			for _, name := range names {
				c.comes(name, "k")
			}
			asked(t, g, 1)
			g.Let("/k", flowtest.JSON(200, item(1)))
			for _, name := range names {
				c.answer(name).Is(t, 200, "[1]")
			}
		},
		"the one who leads can leave, and the others get it": func(t *testing.T) {
			c, g := serve(t, cached)
			c.comes("a", "k")
			c.comes("b", "k")
			c.leave["a"]()
			if a := c.answer("a"); !errors.Is(a.Err, context.Canceled) {
				t.Errorf("got %v", a.Err)
			}
			synctest.Wait()
			g.Let("/k", flowtest.JSON(200, item(1)))
			c.answer("b").Is(t, 200, "[1]")
			asked(t, g, 1)
		},
		"one who waits can leave": func(t *testing.T) {
			c, g := serve(t, cached)
			c.comes("a", "k")
			c.comes("b", "k")
			c.leave["b"]()
			c.answer("b")
			g.Let("/k", flowtest.JSON(200, item(1)))
			c.answer("a").Is(t, 200, "[1]")
		},
		"when all have left, the call is over": func(t *testing.T) {
			for _, order := range []string{"a b", "b a"} {
				c, g := serve(t, cached)
				c.comes("a", "k")
				c.comes("b", "k")
				for _, name := range strings.Fields(order) {
					c.leave[name]()
					c.answer(name)
					time.Sleep(100 * time.Millisecond) // the gateway looks every few milliseconds whether the client is there
					synctest.Wait()
				}
				if got := waiting(g); got != "" {
					t.Errorf("%s: %q are at work for nobody", order, got)
				}
				c.comes("c", "k")
				g.Let("/k", flowtest.JSON(200, item(1)))
				c.answer("c").Is(t, 200, "[1]")
			}
		},
		"when the time of the one who leads is up, another leads": func(t *testing.T) {
			c, g := serve(t, cached)
			c.comes("a", "k")
			time.Sleep(time.Second)
			c.comes("b", "k")
			c.comes("c", "k")
			c.answer("a").IsProblem(t, 504, "deadline-exceeded")
			asked(t, g, 2)
			g.Let("/k", flowtest.JSON(200, item(1)))
			c.answer("b").Is(t, 200, "[1]")
			c.answer("c").Is(t, 200, "[1]")
		},
		"the step's own timeout is one, for who leads and who waits": func(t *testing.T) {
			c, g := serve(t, strings.Replace(cached, "  ttl: 1m", "  ttl: 1m\n  timeout: 1s", 1))
			c.comes("a", "k")
			time.Sleep(500 * time.Millisecond)
			c.comes("b", "k")
			c.answer("a").IsProblem(t, 504, "upstream-timeout")
			c.answer("b").IsProblem(t, 504, "upstream-timeout")
			asked(t, g, 2)
		},
		"what was not asked for the longest goes when there is no room": func(t *testing.T) {
			c, g := serve(t, strings.Replace(cached, "  ttl: 1m", "  ttl: 1m\n  entries: 2", 1))
			get := func(key string, calls int) {
				t.Helper()
				c.comes("x", key)
				if waiting(g) != "" {
					g.Let("/"+key, flowtest.JSON(200, item(1)))
				}
				c.answer("x").Is(t, 200, "[1]")
				asked(t, g, calls)
			}
			get("1", 1)
			get("2", 2)
			get("1", 2)
			get("3", 3) // 2 goes
			get("1", 3)
			get("2", 4)
			if n := measured(t, c.world, "event", "evicted"); n != 2 {
				t.Errorf("%v evicted, want 2", n)
			}
		},
		"it takes no more memory than it may": func(t *testing.T) {
			c, g := serve(t, strings.Replace(cached, "  ttl: 1m", "  ttl: 1m\n  memory: 2KB", 1))
			big := `"` + strings.Repeat("x", 1000) + `"`
			for i := range 10 {
				key := fmt.Sprint(i)
				c.comes(key, key)
				g.Let("/"+key, flowtest.JSON(200, item(big)))
				c.answer(key).Is(t, 200, "["+big+"]")
				if n := measured(t, c.world, "of", "bytes"); n > 2000 || n < 1000 {
					t.Errorf("it takes %v bytes, may take 2000", n)
				}
			}
			c.comes("huge", "huge")
			huge := `"` + strings.Repeat("x", 3000) + `"`
			g.Let("/huge", flowtest.JSON(200, item(huge)))
			c.answer("huge").Is(t, 200, "["+huge+"]")
			if n := measured(t, c.world, "of", "entries"); n != 1 {
				t.Errorf("%v entries, want the one that fits", n)
			}
		},
		"it outlives a reload that does not change the step": func(t *testing.T) {
			c, g := serve(t, cached)
			c.comes("a", "k")
			g.Let("/k", flowtest.JSON(200, item(1)))
			c.answer("a").Is(t, 200, "[1]")
			for _, tt := range []struct {
				text  string
				calls int
			}{
				{"- log: another step\n" + cached[1:], 1},
				{strings.Replace(cached, "1m", "2m", 1), 2},
				{strings.Replace(cached, "1m", "2m", 1), 2},
				{strings.Replace(cached, "answer.v", "answer.v + 0", 1), 3},
			} {
				if err := c.world.Apply(flowtest.Flow(tt.text)); err != nil {
					t.Fatal(err)
				}
				c.comes("a", "k")
				if waiting(g) != "" {
					g.Let("/k", flowtest.JSON(200, item(1)))
				}
				c.answer("a").Is(t, 200, "[1]")
				asked(t, g, tt.calls)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	for _, s := range []scenario{
		{name: "an empty key", steps: "- { id: a, cache: $(body.key), ttl: 1s, steps: [{ log: made }], yield: 1 }\n- return: [$(a)]", post: `{}`, status: 500, code: "expression-failed"},
		{name: "values keep their types", steps: `
- each: n in [1, 2]
  limit: 1
  id: twice
  steps:
    - id: a
      cache: k
      ttl: 1s
      steps: [{ log: made }]
      yield: { text: "$(body.t)", n: $(body.n), null: $(body.none), list: $(body.l), sum: $(body.n + 1) }
  yield: $(a)
- return: '$(twice[0] == twice[1] ? twice[1] : twice)'`, post: `{"t":"é","n":1.50,"l":[1]}`, status: 200, body: `{"list":[1],"n":1.50,"null":null,"sum":2.5,"text":"é"}`, said: "made"},
		{name: "null is a result, too", steps: `
- { id: a, cache: k, ttl: 1s, steps: [{ log: made }], yield: null }
- { id: b, set: 1 }
- return: [$(a)]`, status: 200, body: "[null]", said: "made"},
	} {
		s.run(t)
	}
}

const once = `
- idempotent: $(body.key)
  match: $(body.name)
  steps:
    - { id: answer, call: POST g /$(body.name) }
    - return: { id: $(answer.v) }
      status: 201
      headers: { location: /things/$(answer.v) }`

func TestIdempotent(t *testing.T) {
	serve := func(t *testing.T, text string) (*crowd, *flowtest.Gate) {
		g := &flowtest.Gate{}
		return newCrowd(t, flowtest.Serve(t, flowtest.Flow(text), flowtest.Backends{"g": g})), g
	}
	is := func(t *testing.T, a flowtest.Answer, v string) {
		t.Helper()
		a.Is(t, 201, `{"id":`+v+`}`)
		if got := a.Header.Get("Location"); got != "/things/"+v {
			t.Errorf("location %q", got)
		}
	}
	for name, test := range map[string]func(t *testing.T){
		"the answer is given again": func(t *testing.T) {
			c, g := serve(t, once)
			c.comes("a", "k")
			g.Let("/a", flowtest.JSON(200, item(7)))
			is(t, c.answer("a"), "7")
			time.Sleep(24*time.Hour - time.Nanosecond)
			c.comes("a", "k")
			is(t, c.answer("a"), "7")
			time.Sleep(time.Nanosecond)
			c.comes("a", "k")
			g.Let("/a", flowtest.JSON(200, item(8)))
			is(t, c.answer("a"), "8")
		},
		"a duplicate waits for the answer, though the first one leaves": func(t *testing.T) {
			c, g := serve(t, once)
			c.comes("a", "k")
			leave := c.leave["a"]
			c.comes("a", "k")
			leave()
			synctest.Wait()
			g.Let("/a", flowtest.JSON(200, item(7)))
			is(t, c.answer("a"), "7")
			if g.Arrived() != 1 {
				t.Errorf("%d calls", g.Arrived())
			}
		},
		"a failure is not kept": func(t *testing.T) {
			c, g := serve(t, once)
			c.comes("a", "k")
			g.Let("/a", unavailable)
			c.answer("a").IsProblem(t, 502, "upstream-failed")
			c.comes("a", "k")
			g.Let("/a", flowtest.JSON(200, item(7)))
			is(t, c.answer("a"), "7")
		},
		"another request with the same key is refused": func(t *testing.T) {
			c, g := serve(t, once)
			c.comes("a", "k")
			c.comes("b", "k")
			c.answer("b").IsProblem(t, 422, "idempotency-key-reused")
			g.Let("/a", flowtest.JSON(200, item(7)))
			is(t, c.answer("a"), "7")
			c.comes("b", "k")
			c.answer("b").IsProblem(t, 422, "idempotency-key-reused")
		},
		"without a key it does nothing": func(t *testing.T) {
			c, g := serve(t, once)
			c.comes("a", "")
			c.answer("a").IsProblem(t, 400, "bad-request")
			if g.Arrived() != 0 {
				t.Errorf("%d calls", g.Arrived())
			}
		},
		"answers do not share their headers": func(t *testing.T) {
			c, g := serve(t, once)
			c.comes("a", "k")
			g.Let("/a", flowtest.JSON(200, item(7)))
			first := c.answer("a")
			c.comes("a", "k")
			if second := c.answer("a"); first.Header.Get("X-Request-Id") == second.Header.Get("X-Request-Id") {
				t.Error("the answer has the request id of another")
			}
		},
		"the first to come is the first to be forgotten": func(t *testing.T) {
			c, g := serve(t, strings.Replace(once, "  match: $(body.name)", "  entries: 2", 1))
			get := func(key string, calls int) {
				t.Helper()
				c.comes("a", key)
				if waiting(g) != "" {
					g.Let("/a", flowtest.JSON(200, item(7)))
				}
				is(t, c.answer("a"), "7")
				if g.Arrived() != calls {
					t.Errorf("%d calls, want %d", g.Arrived(), calls)
				}
			}
			get("1", 1)
			get("2", 2)
			get("1", 2)
			get("3", 3) // 1 goes
			get("2", 3)
			get("1", 4)
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	for _, s := range []scenario{
		{name: "a value", steps: `
- each: n in [1, 2]
  limit: 1
  id: both
  steps: [{ id: a, idempotent: $(body.key), steps: [{ id: x, call: POST s / }], yield: $(x.id) }]
  yield: $(a)
- return: $(both)`, post: `{"key":"k"}`, status: 200, body: "[1,1]", calls: "POST /"},
		{name: "a saga in it", steps: `
- idempotent: $(body.key)
  steps:
    - saga:
        - { call: POST s /a, undo: [{ call: DELETE s /a }] }
        - { fail: bad, code: bad }`, post: `{"key":"k"}`, status: 500, code: "bad", calls: "POST /a, DELETE /a"},
	} {
		s.run(t)
	}
}
