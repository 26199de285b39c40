package steps_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// said gives the messages of the flow's log steps, in order.
func said(w *flowtest.World) string {
	var messages []string
	for line := range strings.Lines(w.Log()) {
		var entry struct{ Msg, Flow, Step string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Flow != "" && entry.Step == "" {
			messages = append(messages, entry.Msg)
		}
	}
	return strings.Join(messages, ", ")
}

func TestFinallyRunsInAnyCase(t *testing.T) {
	late := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		w.WriteHeader(500)
	})
	for _, tt := range []struct {
		name   string
		steps  string
		status int
		body   string // or
		code   string
		said   string
		took   time.Duration
	}{
		{name: "success", steps: `
- try: [{ log: body }]
  finally: [{ log: finally }]
- return: 1`, status: 200, body: "1", said: "body, finally"},
		{name: "failure", steps: `
- try: [{ fail: bad, code: bad }]
  finally: [{ log: finally }]
- return: 1`, status: 500, code: "bad", said: "finally"},
		{name: "return", steps: `
- try: [{ return: 2 }]
  finally: [{ log: finally }]
- return: 1`, status: 200, body: "2", said: "finally"},
		{name: "the timeout of the step", steps: `
- try: [{ call: GET stall / }]
  timeout: 1s
  finally: [{ call: GET fine / }, { log: finally }]
- return: 1`, status: 504, code: "upstream-timeout", said: "finally", took: time.Second},
		{name: "the deadline of the route", steps: `
- try: [{ call: GET stall / }]
  finally: [{ call: GET fine / }, { log: finally }]
- return: 1`, status: 504, code: "deadline-exceeded", said: "finally", took: 10 * time.Second},
		{name: "after catch, as everywhere", steps: `
- try: [{ log: body }, { fail: bad }]
  catch: [{ log: catch $(error.message) }]
  finally: [{ log: finally }]
- return: 1`, status: 200, body: "1", said: "body, catch bad, finally"},
		{name: "after a catch that returns", steps: `
- try: [{ fail: bad }]
  catch: [{ return: 3 }]
  finally: [{ log: finally }]`, status: 200, body: "3", said: "finally"},
		{name: "after a catch that fails", steps: `
- try: [{ fail: bad }]
  catch: [{ fail: worse, code: worse }]
  finally: [{ log: finally }]`, status: 500, code: "worse", said: "finally"},
		{name: "after fallback", steps: `
- try: [{ fail: bad }]
  fallback: 1
  finally: [{ log: finally }]
- return: 1`, status: 200, body: "1", said: "finally"},
		{name: "once, after all attempts", steps: `
- try: [{ log: body }, { fail: bad, code: bad }]
  retry: { on: [fail], backoff: 1ns }
  finally: [{ log: finally }]`, status: 500, code: "bad", said: "body, body, body, finally"},
		{name: "not if the step does not run", steps: `
- try: [{ log: body }]
  when: 1 > 2
  finally: [{ log: finally }]
- return: 1`, status: 200, body: "1", said: ""},
		{name: "its failure counts if there is no other", steps: `
- try: [{ return: 2 }]
  finally: [{ fail: bad, code: bad }]`, status: 500, code: "bad"},
		{name: "its failure takes a return back", steps: `
- try:
    - try: [{ return: 2 }]
      finally: [{ fail: bad }]
  catch: [{ log: catch }]
- return: 3`, status: 200, body: "3", said: "catch"},
		{name: "its failure leaves nothing of a return", steps: `
- try:
    - try: [{ return: 2 }]
      finally: [{ fail: bad }]
  fallback: 1`, status: 204, body: ""},
		{name: "its failure does not hide another", steps: `
- try: [{ fail: first, code: first }]
  finally: [{ fail: bad, code: bad }]`, status: 500, code: "first"},
		{name: "the inner one first", steps: `
- try:
    - try: [{ fail: bad, code: bad }]
      finally: [{ log: inner }]
  finally: [{ log: outer }]`, status: 500, code: "bad", said: "inner, outer"},
		{name: "in a compose that another member ends", steps: `
- compose:
    a:
      try: [{ call: GET stall / }]
      finally: [{ call: GET fine / }, { log: finally }]
    b: { call: GET late / }`, status: 502, code: "upstream-failed", said: "finally", took: time.Second},
		{name: "within its own time", steps: `
- try: [{ log: body }]
  finally: [{ call: GET stall /, fallback: 1 }, { log: never }]
- return: 1`, status: 504, code: "deadline-exceeded", said: "body", took: 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := flowtest.Serve(t, flowtest.Flow(tt.steps), flowtest.Backends{
					"stall": &flowtest.Stall{}, "fine": flowtest.JSON(200, "1"), "late": late,
				})
				begin := time.Now()
				a := w.Get("/")
				if took := time.Since(begin).Truncate(time.Microsecond); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				if tt.code != "" {
					a.IsProblem(t, tt.status, tt.code)
				} else {
					a.Is(t, tt.status, tt.body)
				}
				if got := said(w); got != tt.said {
					t.Errorf("logged %q, want %q", got, tt.said)
				}
			})
		})
	}
}

func TestTryYields(t *testing.T) {
	for _, s := range []scenario{
		{name: "what its steps gave", steps: `
- id: sum
  try: [{ id: a, call: GET s /a }, { id: b, call: GET s /b }]
  yield: $(a.id + b.id)
- return: [$(sum)]`, status: 200, body: "[3]", calls: "GET /a, GET /b"},
		{name: "the fallback if they fail", steps: `
- id: sum
  try: [{ id: a, call: GET s /a }, { fail: bad }]
  yield: $(a.id)
  fallback: $(error.message)
- return: $(sum)`, status: 200, body: "bad", calls: "GET /a"},
		{name: "null if they fail and it is caught", steps: `
- id: sum
  try: [{ fail: bad }]
  yield: 1
  catch: [{ log: caught }]
- return: [$(sum), $(steps.sum.error.kind)]`, status: 200, body: `[null,"fail"]`, said: "caught"},
		{name: "the last of its attempts", steps: `
- id: got
  try: [{ id: a, call: GET s /a }, { fail: again, when: a.id < 3 }]
  yield: $(a.id)
  retry: { on: [fail], backoff: 1ns }
- return: [$(got)]`, status: 200, body: "[3]", calls: "GET /a, GET /a, GET /a"},
		{name: "what is not asked for is not there, but whether it failed", steps: `
- id: done
  try: [{ log: in }]
  catch: [{ log: caught }]
- return: [$(steps.done.error), $(done)]`, status: 200, body: "[null,null]", said: "in"},
	} {
		s.run(t)
	}
}

func TestFinallyRunsForAClientThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		held := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			w.WriteHeader(204)
		})
		w := flowtest.Serve(t, flowtest.Flow(`
- try: [{ call: GET stall / }]
  catch: [{ log: catch }]
  finally: [{ call: DELETE held /, retry: {} }, { log: finally }]
- log: after`), flowtest.Backends{"stall": &flowtest.Stall{}, "held": held})
		ctx, leave := context.WithCancel(t.Context())
		go w.Send(w.Request("GET", "/", "").WithContext(ctx))
		time.Sleep(100 * time.Millisecond) // a call that has only begun may be told a moment later
		leave()
		synctest.Wait()
		close(release)
		synctest.Wait()
		if got := said(w); got != "finally" {
			t.Errorf("logged %q, want only what finally says", got)
		}
	})
}
