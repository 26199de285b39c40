package steps_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-run/weir/flows/flowtest"
)

// order is a saga of three steps with undo, and one that is last and has none.
const order = `
- id: order
  saga:
    - { id: hold, call: POST s /holds, undo: [{ call: DELETE s /holds/$(hold.id) }] }
    - { id: charge, call: POST s /charges, undo: [{ call: DELETE s /charges/$(charge.id), retry: { on: [503], backoff: 1ns } }] }
    - { id: parcel, call: POST s /parcels, undo: [{ call: DELETE s /parcels/$(parcel.id) }] }
    - { call: PUT s /done }
  yield: $(hold.id) $(charge.id) $(parcel.id)
  catch:
    - return: { why: "$(error.step) $(error.kind) $(error.status)", left: $(error.undo) }
      status: 500
- return: $(order)`

func TestSaga(t *testing.T) {
	type script = map[string]http.Handler
	for _, s := range []scenario{
		{name: "nothing fails", steps: order, status: 200, body: `1 2 3`, calls: "POST /holds, POST /charges, POST /parcels, PUT /done"},
		{name: "the first step fails", steps: order, script: script{"POST /holds": notFound},
			status: 500, body: `{"why":"hold status 404","left":[]}`, calls: "POST /holds"},
		{name: "the second fails", steps: order, script: script{"POST /charges": notFound},
			status: 500, body: `{"why":"charge status 404","left":[]}`, calls: "POST /holds, POST /charges, DELETE /holds/1"},
		{name: "the third fails", steps: order, script: script{"POST /parcels": notFound},
			status: 500, body: `{"why":"parcel status 404","left":[]}`, calls: "POST /holds, POST /charges, POST /parcels, DELETE /charges/2, DELETE /holds/1"},
		{name: "the last fails", steps: order, script: script{"PUT /done": notFound},
			status: 500, body: `{"why":"call status 404","left":[]}`,
			calls: "POST /holds, POST /charges, POST /parcels, PUT /done, DELETE /parcels/3, DELETE /charges/2, DELETE /holds/1"},
		{name: "a compensation fails: the others run, and it is told", steps: order, script: script{"PUT /done": notFound, "DELETE /parcels/3": notFound},
			status: 500, body: `{"why":"call status 404","left":[{"attempts":1,"kind":"status","message":"call: s answered with status 404","status":404,"step":"parcel"}]}`,
			calls: "POST /holds, POST /charges, POST /parcels, PUT /done, DELETE /parcels/3, DELETE /charges/2, DELETE /holds/1"},
		{name: "a compensation is tried again", steps: order, script: script{"PUT /done": notFound, "DELETE /charges/2": flowtest.InTurn(unavailable, unavailable, flowtest.JSON(204, ""))},
			status: 500, body: `{"why":"call status 404","left":[]}`,
			calls: "POST /holds, POST /charges, POST /parcels, PUT /done, DELETE /parcels/3, DELETE /charges/2, DELETE /charges/2, DELETE /charges/2, DELETE /holds/1"},
		{name: "all compensations fail, each is told", steps: order, script: script{"PUT /done": notFound, "DELETE /parcels/3": notFound, "DELETE /charges/2": unavailable, "DELETE /holds/1": notFound},
			status: 500, calls: anyCalls, body: `{"why":"call status 404","left":[` +
				`{"attempts":1,"kind":"status","message":"call: s answered with status 404","status":404,"step":"parcel"},` +
				`{"attempts":3,"kind":"status","message":"call: s answered with status 503","status":503,"step":"charge"},` +
				`{"attempts":1,"kind":"status","message":"call: s answered with status 404","status":404,"step":"hold"}]}`},
		{name: "nobody handles it", steps: `
- saga:
    - { call: POST s /holds, undo: [{ call: DELETE s /holds }] }
    - { fail: bad, status: 409, code: bad }`, status: 409, code: "bad", calls: "POST /holds, DELETE /holds"},
		{name: "return is success", steps: `
- saga:
    - { call: POST s /holds, undo: [{ call: DELETE s /holds }] }
    - return: 1`, status: 200, body: "1", calls: "POST /holds"},
		{name: "a step that did not run is not undone", steps: `
- saga:
    - { when: 1 > 2, call: POST s /holds, undo: [{ call: DELETE s /holds }] }
    - { fail: bad, code: bad }`, status: 500, code: "bad"},
		{name: "a step whose failure was handled has done nothing", steps: `
- saga:
    - { call: POST s /holds, undo: [{ call: DELETE s /holds }], fallback: 1 }
    - { fail: bad, code: bad }`, script: script{"POST /holds": notFound}, status: 500, code: "bad", calls: "POST /holds"},
		{name: "whether a call that timed out did something is not known", steps: `
- saga:
    - { call: PUT s /holds/7, timeout: 1s, undo: [{ call: DELETE s /holds/7 }] }`,
			script: script{"PUT /holds/7": after(time.Minute, notFound)}, status: 504, code: "upstream-timeout", calls: "PUT /holds/7, DELETE /holds/7", took: time.Second},
		{name: "nor whether one did that was answered with 503", steps: `
- saga:
    - { call: PUT s /holds/7, undo: [{ call: DELETE s /holds/7 }] }`,
			script: script{"PUT /holds/7": unavailable}, status: 502, code: "upstream-failed", calls: "PUT /holds/7, DELETE /holds/7"},
		{name: "but without its result it cannot be undone, if undo needs that", steps: `
- saga:
    - { id: hold, call: PUT s /holds/7, undo: [{ call: DELETE s /holds/$(hold.id) }] }`,
			script: script{"PUT /holds/7": unavailable}, status: 502, code: "upstream-failed", calls: "PUT /holds/7"},
		{name: "what timed out and was handled is undone when a later step fails", steps: `
- saga:
    - { call: PUT s /holds/7, undo: [{ call: DELETE s /holds/7 }], fallback: 1 }
    - { fail: bad, code: bad }`, script: script{"PUT /holds/7": unavailable}, status: 500, code: "bad", calls: "PUT /holds/7, DELETE /holds/7"},
		{name: "the deadline of the route: undo has its own time", steps: `
- saga:
    - { call: POST s /holds, undo: [{ call: DELETE s /holds }] }
    - call: GET stall /`, status: 504, code: "deadline-exceeded", calls: "POST /holds, DELETE /holds", took: 10 * time.Second},
		{name: "a compensation that hangs has a bound, and so have all together", steps: `
- saga:
    - { call: POST s /a, undo: [{ call: DELETE s /a }] }
    - { call: POST s /b, undo: [{ call: DELETE stall / }] }
    - { fail: bad }
  undo_timeout: 3s
  catch: [{ return: "$(error.undo[0].step) $(error.undo[0].kind), $(error.undo[1].kind)" }]`,
			status: 200, body: "call deadline, deadline", calls: "POST /a, POST /b", took: 3 * time.Second},
		{name: "rounds of a loop are undone with what they worked on", steps: `
- saga:
    - each: n in [1, 2, 3]
      limit: 1
      steps:
        - { id: thing, call: POST s /things, query: { n: $(n) }, undo: [{ call: DELETE s /things/$(thing.id), query: { n: $(n) } }] }
        - { when: n == 3, fail: bad, code: bad }`, status: 500, code: "bad",
			calls: "POST /things?n=1, POST /things?n=2, POST /things?n=3, DELETE /things/3?n=3, DELETE /things/2?n=2, DELETE /things/1?n=1"},
		{name: "rounds of while, too", steps: `
- saga:
    - while: state < 2
      from: 0
      steps: [{ call: POST s /things/$(state), undo: [{ call: DELETE s /things/$(state) }] }]
      yield: $(state + 1)
    - { fail: bad, code: bad }`, status: 500, code: "bad", calls: "POST /things/0, POST /things/1, DELETE /things/1, DELETE /things/0"},
		{name: "members of a compose in the order in which they ended", steps: `
- saga:
    - compose:
        a: { call: POST s /a, undo: [{ call: DELETE s /a/$(a.id) }] }
        b: { call: POST s /b, body: $(a), undo: [{ call: DELETE s /b }] }
    - { fail: bad, code: bad }`, status: 500, code: "bad", calls: "POST /a, POST /b, DELETE /b, DELETE /a/1"},
		{name: "an attempt is undone before the next", steps: `
- saga:
    - try:
        - { id: hold, call: POST s /holds, undo: [{ call: DELETE s /holds/$(hold.id) }] }
        - { call: PUT s /done }
      retry: { attempts: 2, backoff: 1ns, on: [503] }
    - { fail: bad, code: bad }`, script: script{"PUT /done": flowtest.InTurn(unavailable, flowtest.JSON(200, "1"))}, status: 500, code: "bad",
			calls: "POST /holds, PUT /done, DELETE /holds/1, POST /holds, PUT /done, DELETE /holds/4"},
		{name: "there is no other attempt if one cannot be undone", steps: `
- saga:
    - try:
        - { id: hold, call: POST s /holds, undo: [{ call: DELETE s /holds/$(hold.id) }] }
        - { call: PUT s /done }
      retry: { attempts: 3, backoff: 1ns, on: [503] }
  catch: [{ return: "$(len(error.undo)) $(error.undo[0].step)" }]`, script: script{"PUT /done": unavailable, "DELETE /holds/1": notFound}, status: 200, body: "1 hold",
			calls: "POST /holds, PUT /done, DELETE /holds/1"},
		{name: "a saga that is tried again begins where it began", steps: `
- saga:
    - { call: POST s /holds, undo: [{ call: DELETE s /holds }] }
    - { call: PUT s /done }
  retry: { attempts: 2, backoff: 1ns, on: [503] }
- return: 1`, script: script{"PUT /done": flowtest.InTurn(unavailable, flowtest.JSON(200, "1"))}, status: 200, body: "1",
			calls: "POST /holds, PUT /done, DELETE /holds, POST /holds, PUT /done"},
		{name: "a branch that was beaten is undone, the winner if the saga fails", steps: `
- saga:
    - id: offer
      first:
        - { call: PUT s /slow, undo: [{ call: DELETE s /slow }] }
        - try: [{ wait: 1ms }, { call: PUT s /fast, undo: [{ call: DELETE s /fast }] }]
    - { wait: 5s }
    - { fail: bad, code: bad }`, script: script{"PUT /slow": after(time.Hour, notFound), "PUT /fast": after(time.Second, flowtest.JSON(200, "1"))},
			status: 500, code: "bad", calls: "PUT /slow, PUT /fast, DELETE /slow, DELETE /fast", took: 6*time.Second + time.Millisecond},
		{name: "a saga in a saga: what the inner one did is undone with the outer", steps: `
- saga:
    - saga: [{ call: POST s /inner, undo: [{ call: DELETE s /inner }] }]
    - { call: POST s /outer, undo: [{ call: DELETE s /outer }] }
    - { fail: bad, code: bad }`, status: 500, code: "bad", calls: "POST /inner, POST /outer, DELETE /outer, DELETE /inner"},
		{name: "and once only if the inner one failed", steps: `
- saga:
    - { call: POST s /outer, undo: [{ call: DELETE s /outer }] }
    - saga: [{ call: POST s /inner, undo: [{ call: DELETE s /inner }] }, { fail: bad, code: bad }]`,
			status: 500, code: "bad", calls: "POST /outer, POST /inner, DELETE /inner, DELETE /outer"},
		{name: "the flow it runs is one step", steps: `
- saga:
    - { id: a, run: sub, undo: [{ call: DELETE s /sub/$(a) }] }
    - { fail: bad, code: bad }`, more: "flow: sub\nsteps: [{ id: x, call: POST s /sub }, { return: $(x.id) }]", status: 500, code: "bad", calls: "POST /sub, DELETE /sub/1"},
		{name: "undo knows why", steps: `
- saga:
    - { call: POST s /a, undo: [{ log: "$(error.message)" }] }
    - { fail: bad, code: bad }`, status: 500, code: "bad", calls: "POST /a", said: "bad"},
	} {
		s.run(t)
	}
}

func TestASagaIsUndoneForAClientThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		w := flowtest.Serve(t, flowtest.Flow(`
- saga:
    - { call: POST s /a, undo: [{ call: DELETE s /a }] }
    - compose:
        b: { call: POST s /b, undo: [{ call: DELETE s /b }] }
        c: { call: GET stall / }
- return: 1`), flowtest.Backends{"s": s, "stall": &flowtest.Stall{}})
		ctx, leave := context.WithCancel(t.Context())
		go w.Send(w.Request("GET", "/", "").WithContext(ctx))
		synctest.Wait()
		leave()
		time.Sleep(time.Second) // the gateway looks every few milliseconds whether the client is there
		synctest.Wait()
		if got, want := s.asked(), "POST /a, POST /b, DELETE /b, DELETE /a"; got != want {
			t.Errorf("asked for %q, want %q", got, want)
		}
	})
}

func TestAFailedCompensationIsLoggedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := flowtest.Flow(strings.ReplaceAll(order, "catch:", "retry: { on: [404], backoff: 1ns }\n  catch:"))
		w := flowtest.Serve(t, text, flowtest.Backends{"s": &shop{script: map[string]http.Handler{
			"PUT /done": notFound, "DELETE /parcels/3": notFound, "DELETE /holds/1": unavailable,
		}}})
		w.Get("/")
		for _, step := range []string{"parcel", "hold"} {
			if !strings.Contains(w.Log(), `"flow":"get","request_id":"`) || !strings.Contains(w.Log(), `"step":"`+step+`"`) {
				t.Errorf("the log does not tell that %s is left: %s", step, w.Log())
			}
		}
		counts := func(want string) {
			t.Helper()
			r := prometheus.NewRegistry()
			r.MustRegister(w.Host.Collector())
			if err := testutil.GatherAndCompare(r, strings.NewReader(`
# HELP weir_step_events_total What happened to a step, such as a hit of its cache or a compensation that failed.
# TYPE weir_step_events_total counter
weir_step_events_total{event="undo_failed",flow="get",step="order"} `+want+`
weir_step_events_total{event="undo_failed",flow="post",step="order"} 0
`), "weir_step_events_total"); err != nil {
				t.Error(err)
			}
		}
		counts("2")
		if err := w.Apply(strings.ReplaceAll(text, "PUT s /done", "PUT s /finished")); err != nil {
			t.Fatal(err)
		}
		counts("2") // it is the same step, if not the same text
	})
}
