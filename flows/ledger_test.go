package flows_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// runs is a flow with the steps of a test, and another one for them to run. What is
// below /down always fails, and what is below /once fails at the first try.
const runs = `
flow: whole
trigger: { http: GET /, deadline: 10s }
BUDGET
steps:
  - STEP
  - return: done
---
flow: part
steps:
  - { id: a, call: GET stock /down/part, retry: { attempts: 3, on: [503], backoff: 1ms } }
  - return: $(a)
---
services:
  stock: { endpoints: ["http://stock"], retry: { attempts: 3, on: [503], backoff: 1ms, min_per_second: 1000 } }
`

func TestTheLedgerOfARun(t *testing.T) {
	const retried = "retry: { attempts: 3, on: [503], backoff: 1ms }"
	for _, c := range []struct {
		name, budget, step string
		requests           map[string]int // by path
		status             int
		denied             int    // of weir_flow_events_total
		log                string // that tells why
	}{
		{"a retry as it is written is never cut", "", "{ call: GET stock /down }",
			map[string]int{"/down": 3}, 502, 0, ""},
		{"two that multiply stay within the default", "", "{ call: GET stock /down, " + retried + " }",
			map[string]int{"/down": 9}, 502, 0, ""},
		{"three do not", "", "{ try: [{ call: GET stock /down, " + retried + " }], " + retried + " }",
			map[string]int{"/down": 10}, 502, 3, "status 503, not repeated, because the run's ledger is spent"},
		{"less, if so written", "retry_budget: { min: 4 }", "{ call: GET stock /down, " + retried + " }",
			map[string]int{"/down": 5}, 502, 2, "status 503, not repeated, because the run's ledger is spent"},
		{"a flow that is run shares it", "retry_budget: { min: 4 }", "{ run: part, " + retried + " }",
			map[string]int{"/down/part": 5}, 502, 3, "the run's ledger is spent"},
		{"members share it", "retry_budget: { min: 3 }", "{ compose: { a: { call: GET stock /down/a, fallback: 1 }, b: { call: GET stock /down/b, fallback: 2 } } }",
			map[string]int{"/down/": 5}, 200, 1, ""},
		{"more calls may repeat more", "retry_budget: { min: 0, share: 50% }", "{ each: \"x in [1, 2, 3, 4, 5, 6]\", limit: 1, steps: [{ call: GET stock /down, fallback: 1 }] }",
			map[string]int{"/down": 9}, 200, 6, ""},
		{"first attempts are never refused", "retry_budget: { min: 1, share: 1% }", "{ each: \"x in [1, 2, 3, 4, 5, 6]\", steps: [{ call: GET stock /down, fallback: 1 }] }",
			map[string]int{"/down": 7}, 200, 6, ""},
		{"rounds are no retries", "retry_budget: { min: 1, share: 1% }", "{ each: \"x in [1, 2, 3, 4, 5, 6]\", limit: 1, steps: [{ call: GET stock /once }] }",
			map[string]int{"/once": 7}, 200, 0, ""},
		{"what a step calls again is no first attempt", "retry_budget: { min: 2, share: 1% }", "{ try: [{ call: GET stock /a }, { call: GET stock /b }, { fail: it failed, status: 503 }], retry: { attempts: 5, on: [fail], backoff: 1ms } }",
			map[string]int{"/a": 2, "/b": 2}, 503, 1, "it failed, not repeated, because the run's ledger is spent"},
		{"a step that calls nothing asks nobody", "retry_budget: { min: 0, share: 1% }", "{ fail: it failed, status: 503, retry: { attempts: 5, on: [fail], backoff: 1ms } }",
			nil, 503, 0, ""},
		{"a tap is a run of its own", "retry_budget: { min: 2, share: 1% }", "{ tap: [{ call: GET stock /down/tap, " + retried + " }] }\n  - { call: GET stock /down/own, fallback: 1 }",
			map[string]int{"/down/tap": 3, "/down/own": 3}, 200, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				got := map[string]int{}
				w := flowtest.Serve(t, strings.NewReplacer("STEP", c.step, "BUDGET", c.budget).Replace(runs), flowtest.Backends{
					"stock": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						mu.Lock()
						defer mu.Unlock()
						got[r.URL.Path]++
						if strings.HasPrefix(r.URL.Path, "/down") || r.URL.Path == "/once" && got["/once"] == 1 {
							w.WriteHeader(503)
						}
					}),
				})
				a := w.Get("/")
				time.Sleep(time.Second) // for the tap
				if a.Status != c.status {
					t.Errorf("%d %s", a.Status, a.Body)
				}
				all := 0
				for _, n := range c.requests {
					all += n
				}
				for path, n := range got {
					all -= n
					if want, ok := c.requests[path]; ok && want != n {
						t.Errorf("%s was asked for %d times, not %d", path, n, want)
					}
				}
				if all != 0 {
					t.Errorf("requests: %v, want %v", got, c.requests)
				}
				if !strings.Contains(w.Log(), c.log) {
					t.Errorf("the log does not tell why: %s", w.Log())
				}
				if n := flowEvent(t, w, "whole", "extra_attempt_denied"); n != c.denied {
					t.Errorf("%d were denied, not %d", n, c.denied)
				}
			})
		})
	}
}
