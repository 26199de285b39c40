package steps_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// collected is a flow whose groups are complete with three items, or end, and
// which then calls /KEY.
const collected = `
- id: order
  aggregate: { name: $(body.name) }
  by: $(body.key)
  size: 3
  until: body.name == "end"
  max_idle: 10s
  max_age: 15s
  steps:
    - log: "$(group.key) $(group.reason) $(join(map(group.items, .name), \" \"))"
    - { id: made, call: PUT g /$(group.key) }
  yield: $(made.v)
- return: $(order)`

func TestAggregate(t *testing.T) {
	const open = `{"complete":false,"count":%d,"result":null}`
	serve := func(t *testing.T, text string) (*crowd, *flowtest.Gate) {
		g := &flowtest.Gate{}
		return newCrowd(t, flowtest.Serve(t, flowtest.Flow(text), flowtest.Backends{"g": g})), g
	}
	adds := func(t *testing.T, c *crowd, key string, names ...string) {
		t.Helper()
		for i, name := range names {
			c.comes(name, key)
			c.answer(name).Is(t, 200, fmt.Sprintf(open, i+1))
		}
	}
	says := func(t *testing.T, c *crowd, want string) {
		t.Helper()
		synctest.Wait()
		if got := said(c.world); got != want {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	counted := func(t *testing.T, c *crowd, what map[string]float64) {
		t.Helper()
		synctest.Wait()
		for name, want := range what {
			if got := measured(t, c.world, "event", name) + measured(t, c.world, "of", name); got != want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	}
	none := map[string]float64{"groups": 0, "items": 0, "bytes": 0, "group_lost": 0}
	for name, test := range map[string]func(t *testing.T){
		"who adds goes on at once, who completes gets the result": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a", "b")
			counted(t, c, map[string]float64{"groups": 1, "items": 2})
			c.comes("c", "k")
			g.Let("/k", flowtest.JSON(200, item(7)))
			c.answer("c").Is(t, 200, `{"complete":true,"count":3,"result":7}`)
			says(t, c, "k size a b c")
			adds(t, c, "k", "d")
			counted(t, c, map[string]float64{"item_added": 4, "group_size": 1, "groups": 1, "items": 1})
		},
		"each key on its own": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "1", "a")
			adds(t, c, "2", "b", "c")
			c.comes("d", "2")
			g.Let("/2", flowtest.JSON(200, item(7)))
			c.answer("d").Is(t, 200, `{"complete":true,"count":3,"result":7}`)
			says(t, c, "2 size b c d")
		},
		"a condition completes it": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			c.comes("end", "k")
			g.Let("/k", flowtest.JSON(200, item(7)))
			c.answer("end").Is(t, 200, `{"complete":true,"count":2,"result":7}`)
			says(t, c, "k until a end")
		},
		"time since the last item, without anyone": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			time.Sleep(10*time.Second - time.Nanosecond)
			says(t, c, "")
			time.Sleep(time.Nanosecond)
			says(t, c, "k max_idle a")
			g.Let("/k", flowtest.JSON(200, item(1)))
			counted(t, c, none)
		},
		"time since the first item": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			time.Sleep(8 * time.Second)
			c.comes("b", "k")
			c.answer("b").Is(t, 200, fmt.Sprintf(open, 2))
			time.Sleep(7*time.Second - time.Nanosecond)
			says(t, c, "")
			time.Sleep(time.Nanosecond)
			says(t, c, "k max_age a b")
			g.Let("/k", flowtest.JSON(200, item(1)))
			counted(t, c, none)
		},
		"an item puts the end off": func(t *testing.T) {
			c, g := serve(t, strings.Replace(collected, "max_age: 15s", "max_age: 1h", 1))
			adds(t, c, "k", "a")
			time.Sleep(10*time.Second - time.Nanosecond)
			c.comes("b", "k")
			c.answer("b")
			time.Sleep(10*time.Second - time.Nanosecond)
			says(t, c, "")
			time.Sleep(time.Nanosecond)
			says(t, c, "k max_idle a b")
			g.Let("/k", flowtest.JSON(200, item(1)))
		},
		"the one who completes can leave, and the steps go on": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			c.comes("end", "k")
			c.leave["end"]()
			if a := c.answer("end"); !errors.Is(a.Err, context.Canceled) {
				t.Errorf("got %v", a.Err)
			}
			synctest.Wait()
			if got := waiting(g); got != "/k" {
				t.Errorf("%q are at work", got)
			}
			g.Let("/k", flowtest.JSON(200, item(1)))
			counted(t, c, none)
			counted(t, c, map[string]float64{"group_failed": 0})
		},
		"the steps have time of their own": func(t *testing.T) {
			c, g := serve(t, strings.Replace(collected, "size: 3", "size: 3\n  timeout: 1s", 1))
			adds(t, c, "k", "a")
			c.comes("end", "k")
			c.answer("end").IsProblem(t, 504, "upstream-timeout")
			synctest.Wait()
			if got := waiting(g); got != "/k" {
				t.Errorf("%q are at work", got)
			}
			g.Let("/k", flowtest.JSON(200, item(1)))
			counted(t, c, map[string]float64{"group_failed": 0, "groups": 0})
		},
		"and it ends": func(t *testing.T) {
			c, g := serve(t, strings.Replace(collected, "size: 3", "size: 3\n  within: 2s", 1))
			adds(t, c, "k", "a")
			c.comes("end", "k")
			c.answer("end").IsProblem(t, 504, "deadline-exceeded")
			synctest.Wait()
			if got := waiting(g); got != "" {
				t.Errorf("%q are at work", got)
			}
			counted(t, c, map[string]float64{"group_failed": 1, "groups": 0})
		},
		"a failure is that of who completes, logged and counted": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			c.comes("end", "k")
			g.Let("/k", unavailable)
			c.answer("end").IsProblem(t, 502, "upstream-failed")
			counted(t, c, map[string]float64{"group_failed": 1, "groups": 0, "items": 0, "bytes": 0})
			if !strings.Contains(c.world.Log(), `the steps of an aggregate failed`) || !strings.Contains(c.world.Log(), `"items":2`) {
				t.Errorf("not logged: %s", c.world.Log())
			}
		},
		"a failure that nobody waits for is logged and counted, too": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			time.Sleep(10 * time.Second)
			synctest.Wait()
			g.Let("/k", unavailable)
			counted(t, c, map[string]float64{"group_failed": 1, "groups": 0})
			if !strings.Contains(c.world.Log(), `"reason":"max_idle"`) {
				t.Errorf("not logged: %s", c.world.Log())
			}
		},
		"some groups at a time": func(t *testing.T) {
			c, g := serve(t, strings.Replace(collected, "size: 3", "size: 1\n  at_once: 2", 1))
			for _, name := range []string{"a", "b", "c", "d"} {
				c.comes(name, name)
			}
			if got := waiting(g); got != "/a /b" {
				t.Errorf("%q are at work", got)
			}
			for _, name := range []string{"a", "b", "c", "d"} {
				g.Let("/"+name, flowtest.JSON(200, item(1)))
				c.answer(name).Is(t, 200, `{"complete":true,"count":1,"result":1}`)
				synctest.Wait()
			}
		},
		"there is room for so many groups": func(t *testing.T) {
			c, g := serve(t, strings.Replace(collected, "size: 3", "size: 3\n  groups: 2", 1))
			adds(t, c, "1", "a")
			c.comes("end", "2")
			c.comes("b", "3")
			c.answer("b").IsProblem(t, 503, "overloaded") // 2 is complete, but not done
			c.comes("b", "1")
			c.answer("b").Is(t, 200, fmt.Sprintf(open, 2))
			g.Let("/2", flowtest.JSON(200, item(1)))
			c.answer("end")
			adds(t, c, "3", "b")
			counted(t, c, map[string]float64{"item_refused": 1, "groups": 2, "items": 3})
		},
		"there is room for so many bytes": func(t *testing.T) {
			c, g := serve(t, strings.Replace(collected, "size: 3", "size: 100\n  memory: 4KB", 1))
			big := strings.Repeat("x", 1000)
			adds(t, c, "k", big, big, big)
			c.comes(big, "k")
			c.answer(big).IsProblem(t, 503, "overloaded")
			c.comes("a", strings.Repeat("y", 3000))
			c.answer("a").IsProblem(t, 503, "overloaded")
			c.comes("a", "k")
			c.answer("a").Is(t, 200, fmt.Sprintf(open, 4))
			counted(t, c, map[string]float64{"item_refused": 2, "groups": 1, "items": 4})
			time.Sleep(10 * time.Second)
			synctest.Wait()
			g.Let("/k", flowtest.JSON(200, item(1)))
			counted(t, c, none)
		},
		"an item has not come if the condition fails on it": func(t *testing.T) {
			c, g := serve(t, strings.Replace(collected, `until: body.name == "end"`, `until: int(group.items[-1].name) > 2`, 1))
			c.comes("x", "k")
			c.answer("x").IsProblem(t, 500, "expression-failed")
			counted(t, c, none)
			adds(t, c, "k", "1", "2")
			c.comes("y", "k")
			c.answer("y").IsProblem(t, 500, "expression-failed")
			counted(t, c, map[string]float64{"items": 2})
			c.comes("3", "k")
			g.Let("/k", flowtest.JSON(200, item(7)))
			c.answer("3").Is(t, 200, `{"complete":true,"count":3,"result":7}`)
			counted(t, c, none)
		},
		"a reload that leaves the step hands the groups on": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			if err := c.world.Apply(flowtest.Flow("- log: new" + collected)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			c.comes("b", "k")
			c.answer("b").Is(t, 200, fmt.Sprintf(open, 2))
			time.Sleep(10 * time.Second)
			says(t, c, "new, k max_idle a b")
			g.Let("/k", flowtest.JSON(200, item(1)))
		},
		"a reload that changes the step completes them": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a")
			if err := c.world.Apply(flowtest.Flow(strings.Replace(collected, "made.v", "made", 1))); err != nil {
				t.Fatal(err)
			}
			says(t, c, "k shutdown a")
			adds(t, c, "k", "b")
			g.Let("/k", flowtest.JSON(200, item(1)))
		},
		"Shutdown completes them, and waits": func(t *testing.T) {
			c, g := serve(t, collected)
			adds(t, c, "k", "a", "b")
			done := make(chan error)
			go func() { done <- c.world.Host.Shutdown(context.Background()) }()
			says(t, c, "k shutdown a b")
			select {
			case <-done:
				t.Error("it did not wait")
			default:
			}
			g.Let("/k", flowtest.JSON(200, item(1)))
			if err := <-done; err != nil {
				t.Error(err)
			}
		},
		"Shutdown in the moment that the time is up": func(t *testing.T) {
			c, g := serve(t, collected)
			for i := range 20 {
				adds(t, c, fmt.Sprint(i), "a")
			}
			time.Sleep(10*time.Second - time.Millisecond)
			done := make(chan error)
			time.AfterFunc(time.Millisecond, func() { done <- c.world.Host.Shutdown(context.Background()) })
			time.Sleep(time.Millisecond)
			synctest.Wait()
			for waiting(g) != "" {
				for _, path := range g.Waiting() {
					g.Let(path, flowtest.JSON(200, item(1)))
				}
				synctest.Wait()
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if n := strings.Count(said(c.world), " a"); n != 20 {
				t.Errorf("%d groups were worked on, want 20", n)
			}
		},
		"Shutdown waits as long as the steps have": func(t *testing.T) {
			c, _ := serve(t, strings.Replace(collected, "size: 3", "size: 3\n  within: 2s", 1))
			adds(t, c, "k", "a")
			begin := time.Now()
			if err := c.world.Host.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took != 2*time.Second {
				t.Errorf("it took %v", took)
			}
			if !strings.Contains(c.world.Log(), "the steps of an aggregate failed") {
				t.Errorf("not logged: %s", c.world.Log())
			}
		},
		"what a tap still brings is not lost": func(t *testing.T) {
			c, g := serve(t, "- tap:\n    - call: GET g /before\n    "+strings.ReplaceAll(strings.TrimSpace(strings.TrimSuffix(collected, "- return: $(order)")), "\n", "\n    ")+"\n- return: 1")
			c.comes("a", "k")
			c.answer("a").Is(t, 200, "1")
			done := make(chan error)
			go func() { done <- c.world.Host.Shutdown(context.Background()) }()
			synctest.Wait()
			g.Let("/before", flowtest.JSON(200, "1"))
			says(t, c, "k shutdown a")
			g.Let("/k", flowtest.JSON(200, item(1)))
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	for _, s := range []scenario{
		{name: "the elements of a list come together by what they have in common", steps: `
- each: line in body
  id: all
  limit: 1
  steps:
    - id: a
      aggregate: $(line.n)
      by: $(line.of)
      size: 2
      max_age: 1m
      steps: [{ id: sum, set: $(sum(group.items)) }]
      yield: { $if: sum > 3, key: $(group.key), sum: $(sum) }
    - filter: a.complete
  yield: $(a.result)
- return: $(all)`, post: `[{"of":"x","n":1},{"of":"y","n":2.50},{"of":"y","n":1},{"of":"x","n":1}]`, status: 200, body: `[{"key":"y","sum":3.5},null]`},
		{name: "all in one", steps: `
- each: n in body
  limit: 1
  steps:
    - aggregate: $(n)
      size: 2
      max_age: 1m
      steps: [{ log: "[$(group.key)] $(toJSON(group.items))" }]
- return: 1`, post: `[1,{"a":1.0},null,"x"]`, status: 200, body: `1`, said: `[] [1,{"a":1.0}], [] [null,"x"]`},
		{name: "an empty key", steps: "- { aggregate: 1, by: $(body.k), max_age: 1s, steps: [{ log: in }] }\n- return: 1", post: `{"k":""}`, status: 500, code: "expression-failed"},
		{name: "a saga in it is undone on its own", steps: `
- id: a
  aggregate: 1
  size: 1
  max_age: 1s
  steps:
    - saga:
        - { call: POST s /a, undo: [{ call: DELETE s /a }] }
        - { fail: bad, code: bad }
      catch: [{ log: caught }]
  yield: done
- return: $(a.result)`, status: 200, body: `done`, calls: "POST /a, DELETE /a", said: "caught"},
	} {
		s.run(t)
	}
}

// Whoever comes in whatever order, and leaves whenever: each item is in one
// group, and of each group one request knows that it is complete.
func TestAnAggregateNeitherLosesNorDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, flowtest.Flow(`
- id: g
  aggregate: $(body.name)
  by: $(body.key)
  size: 7
  until: len(group.items) % 5 == 0
  max_idle: 3ms
  max_age: 10ms
  at_once: 3
  steps: [{ log: '$(group.key)=$(join(group.items, "="))' }]
  yield: 1
- return: $(g.complete)`), nil)
		var wg sync.WaitGroup
		const clients, each = 8, 100
		for n := range clients {
			client := w.NewClient()
			wg.Go(func() {
				for i := range each {
					ctx, leave := context.WithTimeout(t.Context(), time.Duration(1+(n*i)%5)*time.Hour)
					r := w.Request("POST", "/", fmt.Sprintf(`{"name":"%d-%d","key":"k%d"}`, n, i, i%3)).WithContext(ctx)
					flowtest.Read(client.Do(r))
					leave()
					time.Sleep(time.Duration((n+i)%4) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		var items []string
		for _, group := range strings.Split(said(w), ", ") {
			parts := strings.Split(group, "=")
			if n := len(parts) - 1; n < 1 || n > 5 {
				t.Errorf("a group of %d", n)
			}
			items = append(items, parts[1:]...)
		}
		slices.Sort(items)
		if n := len(slices.Compact(slices.Clone(items))); n != clients*each || len(items) != n {
			t.Errorf("%d items in groups, %d different ones, want %d", len(items), n, clients*each)
		}
		if left := measured(t, w, "of", "bytes") + measured(t, w, "of", "groups") + measured(t, w, "of", "items"); left != 0 {
			t.Errorf("%v left", left)
		}
	})
}
