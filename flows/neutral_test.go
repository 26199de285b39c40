package flows_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/mesh"
)

const joined = `
flow: whole
trigger: { http: GET /, deadline: 10s }
steps:
  - STEP
  - return: 1
---
flow: part
steps: [{ call: GET slow / }]
---
services:
  slow: { endpoints: ["http://slow-1", "http://slow-2"], hedge: { extra: 10% }, retry: { attempts: 3, on: [connect, reset, timeout, 5xx], backoff: 1ms },
          breaker: { failures: 1 }, service_breaker: { failures: 1 }, ejection: { failures: 1 } }
  quick: { endpoints: ["http://quick"] }
  broken: { endpoints: ["http://broken"] }
`

// A call whose result nobody needs any more, because another has brought it or all
// is lost, is cancelled, and that is held against nobody: not by breakers or
// ejection, and not in any number of failures.
func TestWhatAJoinCancelsIsNobodysFailure(t *testing.T) {
	const slow = "{ call: GET slow / }"
	for _, c := range []struct {
		name, step string
		leaves     bool // the caller, after 20ms
		failures   map[mesh.Class]int64
	}{
		{"a race that is won", "{ first: [{ call: GET quick / }, " + slow + "] }", false, nil},
		{"a race within a member", "{ compose: { a: { first: [{ call: GET quick / }, " + slow + "] }, b: { call: GET quick / } } }", false, nil},
		{"more of a branch", "{ first: [{ call: GET quick / }, { try: [{ compose: { a: " + slow + ", b: " + slow + " } }], timeout: 5s, retry: { attempts: 3 } }] }", false, nil},
		{"a flow in a branch", "{ first: [{ call: GET quick / }, { run: part }] }", false, nil},
		{"a compose that has failed", "{ compose: { a: { call: GET broken / }, b: " + slow + " }, catch: [{ log: x }] }", false, nil},
		{"rounds of which one has failed", "{ each: \"x in ['broken', 'slow', 'slow']\", steps: [{ switch: [{ when: x == 'slow', steps: [" + slow + "] }, { steps: [{ call: GET broken / }] }] }], catch: [{ log: x }] }", false, nil},

		{"the timeout of a step is the service's", "{ call: GET slow /, timeout: 20ms, fallback: 1 }", false, map[mesh.Class]int64{mesh.Timeout: 1}},
		{"a caller who leaves is told apart", slow, true, map[mesh.Class]int64{mesh.Canceled: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stall flowtest.Stall
				late := func(status int) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						work(r, 20*time.Millisecond)
						w.WriteHeader(status)
					})
				}
				w := flowtest.Serve(t, strings.Replace(joined, "STEP", c.step, 1), flowtest.Backends{
					"slow-1": &stall, "slow-2": &stall, "quick": late(200), "broken": late(500)})
				r := w.Request("GET", "/", "")
				if c.leaves {
					ctx, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
					defer leave()
					r = r.WithContext(ctx)
				}
				if a := w.Send(r); !c.leaves && a.Status != 200 {
					t.Errorf("%d %s", a.Status, a.Body)
				}
				synctest.Wait()
				if stall.Came.Load() == 0 || stall.Came.Load() != stall.Gone.Load() {
					t.Errorf("%d calls came, and %d were cancelled", stall.Came.Load(), stall.Gone.Load())
				}
				got := statsOf(t, w, "slow")
				same := func(whose string, failures map[mesh.Class]int64) {
					for class := range mesh.Overloaded + 1 {
						if failures[class] != c.failures[class] {
							t.Errorf("%d of %s against %s, not %d", failures[class], class, whose, c.failures[class])
						}
					}
				}
				same("the service", got.Failures)
				sum, open := map[mesh.Class]int64{}, 0
				for _, e := range got.Endpoints {
					for class, n := range e.Failures {
						sum[class] += n
					}
					if e.Breaker.State != "closed" {
						open++
					}
					if e.InFlight != 0 || c.failures == nil && (e.Ejection.Out || e.Ejection.Times > 0) {
						t.Errorf("%+v", e)
					}
				}
				same("endpoints", sum)
				faults := int(c.failures[mesh.Timeout])
				if open != faults || (got.Breaker.State != "closed") != (faults > 0) || got.Retries != 0 {
					t.Errorf("%d breakers of endpoints are open, that of the service is %s; %d retries", open, got.Breaker.State, got.Retries)
				}
			})
		})
	}
}
