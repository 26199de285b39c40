package steps_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestFirst(t *testing.T) {
	for _, s := range []scenario{
		{name: "the faster one", steps: `
- id: a
  first:
    - { call: GET s /slow }
    - { call: GET s /fast }
- return: [$(a.v), $(steps.a.status)]`, script: map[string]http.Handler{
			"GET /slow": after(2*time.Second, flowtest.JSON(200, `{"v":"slow"}`)),
			"GET /fast": after(time.Second, flowtest.JSON(201, `{"v":"fast"}`)),
		}, status: 200, body: `["fast",201]`, took: time.Second},
		{name: "success goes before speed", steps: `
- id: a
  first:
    quick: { call: GET s /down }
    sure: { call: GET s /up }
- return: [$(a.v)]`, script: map[string]http.Handler{
			"GET /down": unavailable, "GET /up": after(time.Second, flowtest.JSON(200, `{"v":1}`)),
		}, status: 200, body: `[1]`, took: time.Second},
		{name: "all failed: the failure is that of the first and tells of all", steps: `
- id: a
  first:
    left: { call: GET s /left }
    right: { fail: no way, status: 409 }
  fallback: [$(error.step), $(error.kind), $(error.status), $(error.message)]
- return: $(a)`, script: map[string]http.Handler{"GET /left": notFound}, status: 200,
			body: `["a","status",404,"all 2 steps failed: left: status: s answered with status 404; right: fail: no way"]`},
		{name: "all failed, unhandled", steps: `
- first: [{ call: GET s /a }, { call: GET s /b }]`, script: map[string]http.Handler{"GET /a": unavailable, "GET /b": unavailable},
			status: 502, code: "upstream-failed"},
		{name: "values and fallbacks win, too", steps: `
- id: a
  first:
    - { call: GET s /, timeout: 2s }
    - { call: GET stall /, timeout: 1s, fallback: 7 }
- return: [$(a)]`, script: map[string]http.Handler{"GET /": after(5*time.Second, unavailable)}, status: 200, body: `[7]`, took: time.Second},
		{name: "a branch whose when is false does not take part", steps: `
- id: a
  first:
    - { when: 1 > 2, set: 1 }
    - { call: GET s / }
- return: [$(a.id)]`, status: 200, body: `[1]`},
		{name: "no branch takes part", steps: `
- id: a
  first: [{ when: 1 > 2, set: 1 }, { when: 1 > 2, set: 2 }]
- return: [$(a)]`, status: 200, body: `[null]`},
		{name: "the time of the flow ends all", steps: `
- first: [{ call: GET stall /a }, { call: GET stall /b }]`, status: 504, code: "deadline-exceeded", took: 10 * time.Second},
		{name: "a timeout around it ends all", steps: `
- { id: a, first: [{ call: GET stall /a }, { call: GET stall /b }], timeout: 1s, fallback: $(error.kind) }
- return: $(a)`, status: 200, body: `timeout`, took: time.Second},
		{name: "again, as a whole", steps: `
- id: a
  first: [{ call: GET s /a }, { call: GET s /b }]
  retry: { backoff: 1ns, on: [503] }
- return: [$(a.id)]`, script: map[string]http.Handler{
			"GET /a": flowtest.InTurn(unavailable, after(time.Second, unavailable)),
			"GET /b": flowtest.InTurn(unavailable, flowtest.JSON(200, `{"id":"second"}`)),
		}, status: 200, body: `["second"]`},
	} {
		s.calls = anyCalls
		s.run(t)
	}
}

// Those that are beaten are cancelled, and the answer does not come before they
// have ended.
func TestFirstCancelsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := &flowtest.Stall{}
		w := flowtest.Serve(t, flowtest.Flow(`
- id: a
  first:
    - { call: GET stall /1 }
    - { call: GET fine / }
    - each: n in [1, 2]
      steps: [{ call: GET stall /2 }]
- return: $(a)`), flowtest.Backends{"stall": stall, "fine": after(time.Second, flowtest.JSON(200, "1"))})
		w.Get("/").Is(t, 200, "1")
		synctest.Wait()
		if stall.Came.Load() != 3 || stall.Gone.Load() != 3 {
			t.Errorf("%d calls came and %d have gone, want 3 and 3", stall.Came.Load(), stall.Gone.Load())
		}
	})
}
