package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows/flowtest"
)

// everything is a flow that leaves something in every corner of its Exchange,
// depending on the request: results of all kinds, errors, loops in loops, and
// steps that are skipped. It must be read only by the request it belongs to.
const everything = `
- { id: who, set: $(body.who) }
- { id: skipped, when: body.more, set: $(body.who) }
- compose:
    echo: { call: POST b /echo, body: { who: $(body.who), list: $(body.list) }, headers: { x-who: $(body.who) } }
    down: { call: GET b /down, when: body.more, fallback: { who: $(body.who), kind: $(error.kind) } }
    both: { set: [$(who), $(echo.who)] }
- id: rounds
  each: x in body.list
  steps:
    - { id: odd, when: x.n % 2 == 1, set: "$(body.who)-$(x.n)" }
    - id: inner
      each: y in x.ys
      limit: 2
      steps: [{ id: twice, when: body.more, set: "$(y)$(y)" }]
      yield: { y: $(y), twice: $(twice), who: $(body.who) }
  yield: { n: $(x.n), odd: $(odd), inner: $(inner) }
- id: tried
  try:
    - { id: hidden, when: body.more, set: $(body.who) }
    - { when: body.more, fail: failed for $(body.who), status: 409 }
  catch: [{ id: told, set: $(error.message) }]
- { id: shared, run: shared, with: { who: $(body.who), more: $(body.more) } }
- return:
    who: $(who)
    skipped: $(skipped)
    echo: $(echo)
    header: $(steps.echo.headers["x-who"])
    status: $(steps.down.status)
    down: $(down)
    kind: '$(steps.down.error?.kind)'
    tried: '$(steps.tried.error?.message)'
    both: $(both)
    rounds: $(rounds)
    shapes: [{ $each: z in body.list, n: $(z.n), who: $(body.who) }]
    shared: $(shared)
  headers: { x-who: $(who) }`

const sharedFlow = `
flow: shared
input: { who: { type: string }, more: { type: boolean } }
steps:
  - { id: mine, when: input.more, set: $(input.who) }
  - return: { who: $(input.who), mine: $(mine) }`

// expected is what everything answers.
func expected(who string, more bool, list [][]string) string {
	or := func(text, otherwise string) string {
		if more {
			return text
		}
		return otherwise
	}
	q := func(s string) string { return fmt.Sprintf("%q", s) }
	var items, rounds, shapes []string
	for n, ys := range list {
		var quoted, inner []string
		for _, y := range ys {
			quoted = append(quoted, q(y))
			inner = append(inner, fmt.Sprintf(`{"y":%s,"twice":%s,"who":%s}`, q(y), or(q(y+y), "null"), q(who)))
		}
		odd := "null"
		if n%2 == 1 {
			odd = q(fmt.Sprintf("%s-%d", who, n))
		}
		items = append(items, fmt.Sprintf(`{"n":%d,"ys":[%s]}`, n, strings.Join(quoted, ",")))
		rounds = append(rounds, fmt.Sprintf(`{"n":%d,"odd":%s,"inner":[%s]}`, n, odd, strings.Join(inner, ",")))
		shapes = append(shapes, fmt.Sprintf(`{"n":%d,"who":%s}`, n, q(who)))
	}
	return fmt.Sprintf(`{"who":%[1]s,"skipped":%[2]s,"echo":{"who":%[1]s,"list":[%[3]s]},"header":%[1]s,"status":%[4]s,"down":%[5]s,"kind":%[6]s,"tried":%[7]s,"both":[%[1]s,%[1]s],"rounds":[%[8]s],"shapes":[[%[9]s]],"shared":{"who":%[1]s,"mine":%[2]s}}`,
		q(who), or(q(who), "null"), strings.Join(items, ","), or("503", "0"), or(`{"who":`+q(who)+`,"kind":"status"}`, "null"),
		or(`"status"`, "null"), or(q("failed for "+who), "null"), strings.Join(rounds, ","), strings.Join(shapes, ","))
}

func TestRequestsDoNotSeeEachOther(t *testing.T) {
	const clients, requests = 8, 60
	backend := http.NewServeMux()
	backend.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Who", r.Header.Get("X-Who"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, r.Body)
	})
	backend.Handle("/down", flowtest.JSON(503, `{"inside":1}`))
	w := flowtest.Serve(t, flowtest.Flow(everything, sharedFlow), flowtest.Backends{"b": backend})
	var wg sync.WaitGroup
	for c := range clients {
		client := w.NewClient()
		wg.Go(func() {
			for i := range requests {
				who := fmt.Sprintf("c%dr%d", c, i)
				more := (c+i)%3 == 0
				list := make([][]string, (c*i)%5)
				for n := range list {
					for y := range (n + i) % 4 {
						list[n] = append(list[n], fmt.Sprintf("%s.%d.%d", who, n, y))
					}
				}
				var items []string
				for n, ys := range list {
					quoted := ""
					if len(ys) > 0 {
						quoted = `"` + strings.Join(ys, `","`) + `"`
					}
					items = append(items, fmt.Sprintf(`{"n":%d,"ys":[%s]}`, n, quoted))
				}
				body := fmt.Sprintf(`{"who":%q,"more":%t,"list":[%s]}`, who, more, strings.Join(items, ","))
				a := flowtest.Read(client.Do(w.Request("POST", "/", body)))
				if want := expected(who, more, list); a.Err != nil || a.Status != 200 || a.Body != want || a.Header.Get("X-Who") != who {
					t.Errorf("%s\ngot  %d %s %v\nwant %s", body, a.Status, a.Body, a.Err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A result that was not set reads as null, whatever the Exchange held before.
func TestAnExchangeIsAsNewWhenItIsUsedAgain(t *testing.T) {
	n := 0
	p := program(t, `
- { id: a, when: input.first, set: { x: 1, y: [1, 2] } }
- { id: c, when: input.first, probe: p, fallback: 1 }
- when: input.first
  each: v in [1, 2]
  steps: [{ id: d, set: $(v) }]
- return: [$(a), $(c), '$(steps.c.error?.kind)', '$(a?.x)', '$(a?.y?.[1])', $(steps.c.status), $(steps.a.took), $(steps.a.headers.x)]
input: { first: { type: boolean } }`,
		func(context.Context, string) error { n++; return fmt.Errorf("failed") })
	for i := range 20 {
		first := i%2 == 0
		want := `[null,null,null,null,null,0,"0s",null]`
		if first {
			want = `[{"x":1,"y":[1,2]},1,"internal",1,2,0,"0s",null]`
		}
		a, failed := p.Run(t.Context(), &engine.Input{With: engine.JSON(fmt.Sprintf(`{"first":%t}`, first))})
		if failed != nil {
			t.Fatal(failed)
		}
		if got := a.Body.JSON(); got != want {
			t.Errorf("run %d: got %s, want %s", i, got, want)
		}
		a.Release()
	}
	if n != 10 {
		t.Errorf("the probe ran %d times, want 10", n)
	}
}
