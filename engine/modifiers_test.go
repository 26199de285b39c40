package engine_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

var (
	fine  = flowtest.JSON(200, `{"v":1}`)
	down  = flowtest.JSON(503, `{"why":"inside"}`)
	empty = flowtest.JSON(200, `{}`)
)

func TestWhen(t *testing.T) {
	for _, r := range []request{
		{name: "a step that did not run is null", steps: `
- { id: a, when: 1 > 2, set: 1 }
- return: [$(a), $(steps.a.status), $(steps.a.error)]`, status: 200, body: `[null,0,null]`},
		{name: "it decides before anything else happens", backend: flowtest.InTurn(down), calls: 0, steps: `
- { id: a, when: "false", call: GET b /, retry: {}, fallback: 2 }
- return: [$(a)]`, status: 200, body: `[null]`},
		{name: "a value that is no boolean", backend: empty, steps: `
- { id: a, call: GET b / }
- { when: a.v, set: 1, id: c }
- return: [$(c)]`, status: 500, code: "expression-failed"},
		{name: "a condition that fails is not what fallback is for", backend: empty, steps: `
- { id: a, call: GET b / }
- { when: a.v.x == 1, set: 1, id: c, fallback: 2 }
- return: [$(c)]`, status: 500, code: "expression-failed"},
	} {
		r.run(t)
	}
}

func TestTimeout(t *testing.T) {
	// What ran out is in error.kind; the caller is told 504 in any case.
	stall := &flowtest.Stall{}
	errors := "\nerrors: [{ return: { kind: $(error.kind), step: $(error.step) } }]"
	for _, r := range []request{
		{name: "of the step", steps: `
- { id: a, call: GET b /, timeout: 200ms }
- return: 1` + errors, backend: stall, status: 504, body: `{"kind":"timeout","step":"a"}`, took: 200 * time.Millisecond},
		{name: "of the attempt", steps: `
- { id: a, call: GET b /, timeout: 5s }
- return: 1` + errors, more: oneSecond, backend: stall, status: 504, body: `{"kind":"timeout","step":"a"}`, took: time.Second},
		{name: "of the route", steps: `
- { id: a, call: GET b / }
- return: 1` + errors, more: `services: { b: { endpoints: ["http://b"], timeout: 1m } }`,
			backend: stall, status: 504, body: `{"kind":"deadline","step":"a"}`, took: 10 * time.Second},
		{name: "of the route before that of the step", steps: `
- { id: a, call: GET b /, timeout: 11s }
- return: 1` + errors, more: `services: { b: { endpoints: ["http://b"], timeout: 1m } }`,
			backend: stall, status: 504, body: `{"kind":"deadline","step":"a"}`, took: 10 * time.Second},
		{name: "of an outer step before that of the inner", steps: `
- try: [{ id: a, call: GET b /, timeout: 2s }]
  timeout: 1s
- return: 1` + errors, backend: stall, status: 504, body: `{"kind":"timeout","step":"a"}`, took: time.Second},
		{name: "of an outer step is not what an inner one handles", steps: `
- id: out
  try: [{ id: a, call: GET b /, fallback: 7 }]
  timeout: 1s
  catch: [{ return: { kind: $(error.kind), step: $(error.step) } }]`,
			backend: stall, status: 200, body: `{"kind":"timeout","step":"a"}`, took: time.Second},
		{name: "covers all attempts", steps: `
- { id: a, call: GET b /, timeout: 2500ms, retry: { attempts: 10, backoff: 1us } }
- return: 1` + errors, more: oneSecond, backend: flowtest.InTurn(stall), calls: 3,
			status: 504, body: `{"kind":"timeout","step":"a"}`, took: 2500 * time.Millisecond},
		{name: "leaves time for what handles it", steps: `
- { id: a, call: GET b /, timeout: 1s, fallback: $(error.kind) }
- { id: c, call: GET b /, timeout: 1s, catch: [{ call: GET b /, timeout: 1s, fallback: 1 }] }
- return: [$(a), $(steps.c.error.kind)]`, backend: stall, status: 200, body: `["timeout","timeout"]`, took: 3 * time.Second},
	} {
		r.run(t)
	}
}

const oneSecond = `services: { b: { endpoints: ["http://b"], timeout: 1s } }`

func TestRetry(t *testing.T) {
	after := func(n int, first http.Handler) *flowtest.Script {
		s := flowtest.InTurn()
		for range n {
			s.Handlers = append(s.Handlers, first)
		}
		s.Handlers = append(s.Handlers, fine)
		return s
	}
	const ask = "\n- return: $(a.v)\nerrors: [{ return: '$(error.kind) $(error.status) $(error.attempts)' }]"
	for _, r := range []request{
		{name: "until it succeeds", backend: after(2, down), calls: 3, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns } }` + ask, status: 200, body: `1`},
		{name: "until the attempts are used up", backend: after(3, down), calls: 3, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns } }` + ask, status: 502, body: `status 503 3`},
		{name: "also of a POST, because the step says so", backend: after(1, down), calls: 2, steps: `
- { id: a, call: POST b /, retry: { backoff: 1ns } }` + ask, status: 200, body: `1`},
		{name: "not of what another attempt does not help", backend: after(1, flowtest.JSON(404, `{}`)), calls: 1, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns } }` + ask, status: 502, body: `status 404 1`},
		{name: "of a status that is listed", backend: after(1, flowtest.JSON(404, `{}`)), calls: 2, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns, on: [404] } }` + ask, status: 200, body: `1`},
		{name: "of a class of statuses that is listed", backend: after(1, flowtest.JSON(501, `{}`)), calls: 2, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns, on: [5xx] } }` + ask, status: 200, body: `1`},
		{name: "not of another class", backend: after(1, flowtest.JSON(404, `{}`)), calls: 1, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns, on: [5xx] } }` + ask, status: 502, body: `status 404 1`},
		{name: "not of one that is not listed", backend: after(1, down), calls: 1, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns, on: [404] } }` + ask, status: 502, body: `status 503 1`},
		{name: "of bad JSON", backend: after(1, flowtest.JSON(200, `{"v":`)), calls: 2, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns, on: [malformed] } }` + ask, status: 200, body: `1`},
		{name: "of a broken connection", backend: after(2, flowtest.Broken(`{"v":`)), calls: 3, steps: `
- { id: a, call: GET b /, retry: { backoff: 1ns, on: [reset] } }` + ask, status: 200, body: `1`},
		{name: "of several steps", backend: after(1, empty), calls: 2, steps: `
- try:
    - { id: a, call: GET b / }
    - { when: a.v == nil, fail: no v yet }
    - return: $(a.v)
  retry: { backoff: 1ns, on: [fail] }
errors: [{ return: '$(error.kind)' }]`, status: 200, body: `1`},
		{name: "counts the attempts of the service, too", backend: after(9, down), calls: 6, more: `
services: { b: { endpoints: ["http://b"], retry: { attempts: 3, backoff: 1ns } } }`, steps: `
- { id: a, call: GET b /, retry: { attempts: 2, backoff: 1ns } }` + ask, status: 502, body: `status 503 6`},
		{name: "is not begun when the deadline is nearer than the pause", backend: after(1, down), calls: 1, steps: `
- { id: a, call: GET b /, retry: { backoff: 100000h, max_backoff: 100000h } }` + ask, status: 502, body: `status 503 1`},
		{name: "is not begun when the step's timeout is nearer than the pause", backend: after(1, down), calls: 1, steps: `
- { id: a, call: GET b /, timeout: 1s, retry: { backoff: 100000h, max_backoff: 100000h }, fallback: { v: 2 } }` + ask, status: 200, body: `2`},
	} {
		r.run(t)
	}
}

// The pause before attempt n+1 is random below a bound that doubles with n.
func TestRetryPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var came []time.Time
		backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			came = append(came, time.Now())
			down.ServeHTTP(w, r)
		})
		w := flowtest.Serve(t, flowtest.Flow(`
- { call: GET b /, retry: { attempts: 6, backoff: 100ms, max_backoff: 300ms }, fallback: 1 }
- return: 1`), flowtest.Backends{"b": backend})
		bounds := []time.Duration{100, 200, 300, 300, 300}
		longest := make([]time.Duration, len(bounds))
		for range 20 {
			came = nil
			w.Get("/")
			if len(came) != len(bounds)+1 {
				t.Fatalf("%d attempts, want %d", len(came), len(bounds)+1)
			}
			for i, bound := range bounds {
				pause := came[i+1].Sub(came[i])
				if pause >= bound*time.Millisecond {
					t.Errorf("a pause of %v after attempt %d, want less than %dms", pause, i+1, bound)
				}
				longest[i] = max(longest[i], pause)
			}
		}
		for i := range longest {
			if longest[i] == 0 {
				t.Errorf("no pause at all after attempt %d", i+1)
			}
		}
	})
}

// What an attempt left behind is not seen by the next one.
func TestRetryBeginsAnew(t *testing.T) {
	first := flowtest.JSON(200, `{"v":1,"again":true}`)
	second := flowtest.JSON(200, `{"v":2,"again":false}`)
	for _, r := range []request{
		{name: "a result of a step that is skipped this time", backend: flowtest.InTurn(first, second), calls: 2, steps: `
- try:
    - { id: a, call: GET b / }
    - { id: c, when: a.again, set: 5 }
    - { when: a.again, fail: once more }
    - return: [$(c), $(a.v)]
  retry: { backoff: 1ns, on: [fail] }`, status: 200, body: `[null,2]`},
		{name: "an error that did not happen this time", backend: flowtest.InTurn(down, down, fine, fine), calls: 4, steps: `
- try:
    - { id: a, call: GET b /, fallback: 0 }
    - { call: GET b / }
    - return: [$(a), $(steps.a.error)]
  retry: { backoff: 1ns }`, status: 200, body: `[{"v":1},null]`},
		{name: "members of a compose", backend: flowtest.InTurn(first, second), calls: 2, steps: `
- compose:
    a: { call: GET b / }
    c: { when: a.again, set: 5 }
    d: { when: "a.again && c == 5", fail: once more }
  retry: { backoff: 1ns, on: [fail] }
- return: [$(c), $(a.v)]`, status: 200, body: `[null,2]`},
		{name: "members of a compose that is skipped this time", backend: flowtest.InTurn(first, second), calls: 2, steps: `
- try:
    - { id: a, call: GET b / }
    - { when: a.again, compose: { c: { set: 5 } } }
    - { when: a.again, fail: once more }
    - return: [$(c), $(a.v)]
  retry: { backoff: 1ns, on: [fail] }`, status: 200, body: `[null,2]`},
	} {
		r.run(t)
	}
}

func TestFallbackAndCatch(t *testing.T) {
	const show = "{ step: $(error.step), kind: $(error.kind), status: $(error.status), attempts: $(error.attempts), why: '$(error.body?.why)' }"
	for _, r := range []request{
		{name: "a fallback is a value", backend: down, steps: `
- { id: a, call: GET b /, fallback: [] }
- return: { a: $(a), n: $(len(a)) }`, status: 200, body: `{"a":[],"n":0}`},
		{name: "null is one", backend: down, steps: `
- { id: a, call: GET b /, fallback: null }
- return: { a: $(a) }`, status: 200, body: `{"a":null}`},
		{name: "it sees the failure", backend: down, steps: `
- { id: a, call: GET b /, fallback: ` + show + ` }
- return: $(a)`, status: 200, body: `{"step":"a","kind":"status","status":503,"attempts":1,"why":"inside"}`},
		{name: "of a fail", steps: `
- { id: a, fail: no $(request.method) today, status: 409, code: not-today, fallback: ["$(error.message)", $(error.code), $(error.status)] }
- return: $(a)`, status: 200, body: `["no GET today","not-today",409]`},
		{name: "of a refused connection", steps: `
- { id: a, call: GET b /, fallback: ` + show + ` }
- return: $(a)`, status: 200, body: `{"step":"a","kind":"connect","status":0,"attempts":1,"why":null}`},
		{name: "of bad JSON", backend: flowtest.JSON(200, `{`), steps: `
- { id: a, call: GET b /, fallback: [$(error.kind), $(error.status)] }
- return: $(a)`, status: 200, body: `["malformed",200]`},
		{name: "of an expression", backend: empty, steps: `
- { id: a, call: GET b / }
- { id: c, set: $(a.v.w), fallback: $(error.kind) }
- return: { c: $(c) }`, status: 200, body: `{"c":"expression"}`},
		{name: "of a flow that is run: the innermost step is named", backend: down, steps: `
- { id: a, run: shared, fallback: ` + show + ` }
- return: $(a)`, more: "flow: shared\nsteps: [{ id: deep, call: GET b / }, { return: 1 }]",
			status: 200, body: `{"step":"deep","kind":"status","status":503,"attempts":1,"why":"inside"}`},
		{name: "a failure stays readable beside the result", backend: down, steps: `
- { id: a, call: GET b /, fallback: 1 }
- return: [$(steps.a.status), $(steps.a.error.kind), $(steps.a.error.status)]`, status: 200, body: `[503,"status",503]`},
		{name: "no failure is null", backend: fine, steps: `
- { id: a, call: GET b /, fallback: 1 }
- return: [$(steps.a.status), $(steps.a.error), '$(steps.a.error?.kind)']`, status: 200, body: `[200,null,null]`},
		{name: "all of the error", steps: `
- { id: a, fail: Too many, code: too-many, status: 422, fallback: null }
- return: [$(steps.a.error.code), $(steps.a.error.detail), $(steps.a.error.violations), $(steps.a.error.undo)]`, status: 200, body: `["too-many","Too many",[],[]]`},
		{name: "nothing of an error that is none", steps: `
- { id: a, set: 1, fallback: null }
- return: ['$(steps.a.error?.code)', '$(steps.a.error?.violations)', $(a)]`, status: 200, body: `[null,null,1]`},
		{name: "a fallback that fails", backend: down, steps: `
- { id: a, call: GET b /, fallback: $(error.body.why.deeper) }
- return: $(a)`, status: 500, code: "expression-failed"},
		{name: "a catch goes on behind the step", backend: down, steps: `
- id: a
  call: GET b /
  catch: [{ id: c, set: $(error.status) }, { log: it was $(c) }]
- return: [$(a), $(steps.a.status)]`, status: 200, body: `[null,503]`},
		{name: "a catch returns", backend: down, steps: `
- call: GET b /
  catch: [{ return: { was: $(error.status) }, status: 203 }]
- return: 1`, status: 203, body: `{"was":503}`},
		{name: "a catch fails: its failure is the one that counts", backend: down, steps: `
- call: GET b /
  catch: [{ fail: sorry, status: 418, code: teapot }]
- return: 1`, status: 418, code: "teapot"},
		{name: "the failure of a catch can be caught", backend: down, steps: `
- try:
    - call: GET b /
      catch: [{ id: inner, fail: sorry, status: 418 }]
  catch: [{ return: [$(error.step), $(error.status)] }]`, status: 200, body: `["inner",418]`},
		{name: "a catch of a catch", backend: down, steps: `
- call: GET b /
  catch:
    - { id: c, fail: sorry, status: 418, catch: [{ return: $(error.step) }] }`, status: 200, body: `c`},
		{name: "of a compose: the member is named", backend: down, steps: `
- compose: { a: { call: GET b / }, c: { set: 1 } }
  catch: [{ return: [$(error.step), $(error.status)] }]
- return: 1`, status: 200, body: `["a",503]`},
		{name: "of an each: the step is named", backend: down, steps: `
- each: n in [1, 2]
  steps: [{ id: a, call: GET b / }]
  catch: [{ return: [$(error.step), $(error.status)] }]
- return: 1`, status: 200, body: `["a",503]`},
		{name: "inside an each, for one element", backend: flowtest.InTurn(fine, down, fine), calls: 3, steps: `
- each: n in [1, 2, 3]
  id: list
  limit: 1
  steps: [{ id: a, call: GET b /, fallback: { v: $(error.status) } }]
  yield: $(a.v)
- return: $(list)`, status: 200, body: `[1,503,1]`},
		{name: "accept makes a status no failure", backend: flowtest.JSON(404, `{"v":2}`), steps: `
- { id: a, call: GET b /, accept: [404], fallback: 1 }
- return: [$(a.v), $(steps.a.status), $(steps.a.error)]`, status: 200, body: `[2,404,null]`},
	} {
		r.run(t)
	}
}

func TestBesideAResult(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(30 * time.Millisecond)
		w.Header().Add("X-Many", "1")
		w.Header().Add("X-Many", "2")
		w.WriteHeader(202)
	})
	r := request{backend: slow, steps: `
- { id: a, call: GET b / }
- { id: c, set: 1 }
- return:
    status: $(steps.a.status)
    many: $(steps.a.headers["x-many"])
    none: $(steps.a.headers.nothing)
    took: $(steps.a.took)
    body: $(a)
    error: $(steps.a.error)
    c: $(steps.c.status)`, status: 200, took: 30 * time.Millisecond,
		body: `{"status":202,"many":"1, 2","none":null,"took":"30ms","body":null,"error":null,"c":0}`}
	r.run(t)
}
