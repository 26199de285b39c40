package steps_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestWhile(t *testing.T) {
	pages := map[string]http.Handler{
		"GET /items?cursor=first": flowtest.JSON(200, `{"items":[1,2.50],"next":"two"}`),
		"GET /items?cursor=two":   flowtest.JSON(200, `{"items":[12345678901234567],"next":"three"}`),
		"GET /items?cursor=three": flowtest.JSON(200, `{"items":[]}`),
	}
	const paging = `
- id: all
  while: state.next != null
  from: { next: first, items: [] }
  steps:
    - id: page
      call: GET s /items
      query: { cursor: $(state.next) }
  yield:
    next: $(page.next)
    items: $(concat(state.items, page.items))
`
	for _, s := range []scenario{
		{name: "pages", steps: paging + "- return: $(all.items)", script: pages, status: 200, body: `[1,2.50,12345678901234567]`,
			calls: "GET /items?cursor=first, GET /items?cursor=two, GET /items?cursor=three"},
		{name: "it may not run at all: the result is what it began with", steps: `
- { id: a, while: state.on, from: $(body), yield: 1 }
- return: $(a)`, post: `{"on":false,"n":1}`, status: 200, body: `{"on":false,"n":1}`},
		{name: "without from it begins with null", steps: `
- id: a
  while: (state ?? 0) < 3
  yield: $((state ?? 0) + 1)
- return: [$(a)]`, status: 200, body: `[3]`},
		{name: "polling", steps: `
- id: job
  while: now.status == "running"
  as: now
  from: $(body)
  steps:
    - wait: 500ms
    - { id: poll, call: GET s /jobs/$(now.id) }
  yield: $(poll)
- return: $(job.result)`, post: `{"id":7,"status":"running"}`, script: map[string]http.Handler{"GET /jobs/7": flowtest.InTurn(
			flowtest.JSON(200, `{"id":7,"status":"running"}`), flowtest.JSON(200, `{"id":7,"status":"done","result":"r"}`))},
			status: 200, body: `r`, calls: "GET /jobs/7, GET /jobs/7", took: time.Second},
		{name: "as many rounds as the limit", steps: `
- { id: a, while: state < 3, from: 0, limit: 3, yield: $(state + 1) }
- return: [$(a)]`, status: 200, body: `[3]`},
		{name: "more rounds than the limit", steps: `
- { id: a, while: state < 4, from: 0, limit: 3, yield: $(state + 1), fallback: "$(error.kind): $(error.message)" }
- return: $(a)`, status: 200, body: `overloaded: the condition is still true after 3 rounds`},
		{name: "the time of the flow", steps: `
- while: state < 1000000
  from: 0
  limit: 100000
  steps: [{ call: GET s / }]
  yield: $(state)`, script: map[string]http.Handler{"GET /": after(time.Second, flowtest.JSON(200, "1"))},
			status: 504, code: "deadline-exceeded", calls: anyCalls, took: 10 * time.Second},
		{name: "a failure of a round is that of the step", steps: `
- while: state < 3
  from: 0
  steps: [{ fail: "round $(state)", when: state == 2, code: bad }]
  yield: $(state + 1)
  catch: [{ return: $(error.message) }]`, status: 200, body: "round 2"},
		{name: "in a compose, and in itself", steps: `
- compose:
    a: { while: state < 3, from: 0, yield: $(state + 1) }
    b:
      while: outer < a
      as: outer
      from: 0
      steps: [{ id: sub, while: inner < 2, as: inner, from: 0, yield: $(inner + 1) }]
      yield: $(outer + sub)
- return: [$(b)]`, status: 200, body: `[4]`},
	} {
		s.run(t)
	}
}

func TestWait(t *testing.T) {
	for _, s := range []scenario{
		{name: "a duration", steps: "- wait: 1500ms\n- return: 1", status: 200, body: "1", took: 1500 * time.Millisecond},
		{name: "an expression beside its unit", steps: "- wait: $(body.n)s\n- return: 1", post: `{"n":1.5}`, status: 200, body: "1", took: 1500 * time.Millisecond},
		{name: "an expression that is a duration", steps: "- wait: $(duration(body.d))\n- return: 1", post: `{"d":"2s"}`, status: 200, body: "1", took: 2 * time.Second},
		{name: "no time", steps: "- wait: 0s\n- return: 1", status: 200, body: "1"},
		{name: "what is no duration", steps: "- wait: $(body.d)\n- return: 1", post: `{"d":2}`, status: 500, code: "expression-failed"},
		{name: "less than no time", steps: "- wait: $(body.d)s\n- return: 1", post: `{"d":-1}`, status: 500, code: "expression-failed"},
		{name: "longer than there is time: it is not begun", steps: "- { wait: $(body.d)s, fallback: $(error.kind), id: a }\n- return: $(a)", post: `{"d":11}`, status: 200, body: "deadline"},
		{name: "the same for a fixed one in a step with less time", steps: "- { id: a, try: [{ wait: 2s }], timeout: 1s, fallback: 1 }\n- return: [$(a)]", status: 200, body: "[1]"},
	} {
		s.run(t)
	}
}
