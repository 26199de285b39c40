package flows_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// doomed are flows in which payments are down, and one that opens the breaker of
// payments.
const doomed = `
flow: order
trigger: { http: GET /, deadline: 10s }
fail_fast: true
steps: [STEPS]
ERRORS
---
flow: part
steps: [{ call: GET stock /part }, { call: GET payments / }]
---
flow: careful
steps: [{ call: GET payments / }]
errors: [{ return: 1 }]
---
flow: direct
trigger: { http: GET /direct, deadline: 10s }
steps: [{ call: GET payments / }, { return: 1 }]
---
services:
  stock: { endpoints: ["http://stock"] }
  payments: { endpoints: ["http://payments"], BREAKER }
`

func TestFailFast(t *testing.T) {
	const (
		breaker = `breaker: { failures: 1, open: 10s }`
		stock   = "{ call: GET stock / }, "
		end     = ", { return: 1 }"
	)
	for _, c := range []struct {
		name, steps string
		breaker     string
		errors      string
		status      int
		calls       int32 // of stock
	}{
		{"a call that is always made", stock + "{ call: GET payments / }" + end, breaker, "", 503, 0},
		{"the breaker of the service", stock + "{ call: GET payments / }" + end, "service_breaker: { failures: 1, open: 10s }", "", 503, 0},
		{"a member", stock + "{ compose: { a: { call: GET payments / }, b: { call: GET stock / } } }" + end, breaker, "", 503, 0},
		{"in a flow that is run", stock + "{ run: part }" + end, breaker, "", 503, 0},
		{"in steps that always run", "{ try: [{ saga: [" + stock + "{ call: PUT payments /, undo: [{ log: x }] }] }] }" + end, breaker, "", 503, 0},
		{"what is passed through", stock + "{ forward: payments }", breaker, "", 503, 0},
		{"errors answer it", stock + "{ id: pay, call: GET payments / }" + end, breaker, `errors: [{ when: error.kind == "breaker_open" && error.step == "pay", status: 418 }]`, 418, 0},

		{"nothing is asked of a flow that does not say so", stock + "{ call: GET payments / }" + end, breaker + "#", "", 503, 1},
		{"with a condition", stock + "{ when: query.no != null, call: GET payments / }" + end, breaker, "", 200, 1},
		{"with a fallback", stock + "{ call: GET payments /, fallback: 1 }" + end, breaker, "", 200, 1},
		{"with a catch around it", stock + "{ try: [{ call: GET payments / }], catch: [{ log: x }] }" + end, breaker, "", 200, 1},
		{"with a retry that waits for the breaker", stock + "{ call: GET payments /, retry: { attempts: 2, on: [breaker_open] } }" + end, breaker, "", 503, 1},
		{"in a case", stock + "{ switch: [{ when: query.no != null, steps: [{ call: GET payments / }] }] }" + end, breaker, "", 200, 1},
		{"in rounds", stock + "{ each: \"x in []\", steps: [{ call: GET payments / }] }" + end, breaker, "", 200, 1},
		{"in a race", stock + "{ first: [{ call: GET payments / }, { call: GET stock / }] }" + end, breaker, "", 200, 2},
		{"behind a return", stock + "{ when: query.no == null, return: 1 }, { call: GET payments / }" + end, breaker, "", 200, 1},
		{"behind a return in a case", stock + "{ switch: [{ when: query.no == null, steps: [{ return: 1 }] }] }, { call: GET payments / }" + end, breaker, "", 200, 1},
		{"in a flow that answers itself", stock + "{ run: careful }" + end, breaker, "", 200, 1},
		{"beside the request", stock + "{ tap: [{ call: GET payments / }] }" + end, breaker, "", 200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stock atomic.Int32
				text := strings.NewReplacer("STEPS", c.steps, "ERRORS", c.errors, "BREAKER", strings.TrimSuffix(c.breaker, "#")).Replace(doomed)
				if strings.HasSuffix(c.breaker, "#") {
					text = strings.Replace(text, "fail_fast: true\n", "", 1)
				}
				w := flowtest.Serve(t, text, flowtest.Backends{
					"payments": flowtest.JSON(503, "{}"),
					"stock": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
						stock.Add(1)
						time.Sleep(10 * time.Millisecond)
					}),
				})
				w.Get("/direct")
				time.Sleep(3*time.Second + time.Millisecond)
				a := w.Get("/")
				if a.Status != c.status || stock.Load() != c.calls {
					t.Errorf("%d %s, after %d calls", a.Status, a.Body, stock.Load())
				}
				if failed := flowEvent(t, w, "order", "failed_fast"); (failed == 1) != (c.calls == 0) {
					t.Errorf("%d runs failed fast", failed)
				}
				if c.status == 503 && c.calls == 0 {
					p := a.IsProblem(t, 503, "unavailable")
					if want := "The service payments, which this answer needs, is failing and is given time to recover; it is asked again in 7s."; p.Detail != want || a.Header.Get("Retry-After") != "7" {
						t.Errorf("%q, in %s s", p.Detail, a.Header.Get("Retry-After"))
					}
					if want := "open, the next probe is in 6.999s (for 3.001s: 1 "; !strings.Contains(w.Log(), "service payments: nothing was begun: ") || !strings.Contains(w.Log(), want) {
						t.Errorf("the log does not tell %q: %s", want, w.Log())
					}
				}
			})
		})
	}
}

// When a probe is due, one run goes on to make it. The others fail fast until it
// has: what they would do on the way there is in vain.
func TestFailFastLetsOneRunProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stock, payments atomic.Int32
		var well atomic.Bool
		text := strings.NewReplacer("STEPS", "{ call: GET stock / }, { call: GET payments / }, { return: 1 }", "ERRORS", "", "BREAKER", "breaker: { failures: 1, open: 10s }").Replace(doomed)
		w := flowtest.Serve(t, text, flowtest.Backends{
			"payments": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if payments.Add(1); !well.Load() {
					w.WriteHeader(503)
				}
			}),
			"stock": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				stock.Add(1)
				time.Sleep(200 * time.Millisecond)
			}),
		})
		send := func(n int) (good int32) {
			var all sync.WaitGroup
			var ok atomic.Int32
			for range n {
				all.Go(func() {
					if w.Get("/").Status == 200 {
						ok.Add(1)
					}
				})
			}
			all.Wait()
			return ok.Load()
		}
		steps := []struct {
			name            string
			wait            time.Duration
			well            bool
			good            int32
			stock, payments int32 // calls
		}{
			{"it opens", 0, false, 0, 20, 20},
			{"nothing is done while it is open", 5 * time.Second, true, 0, 0, 0},
			{"a probe is due before a run would get there", 4900 * time.Millisecond, true, 1, 1, 1},
			{"it is closed", 0, true, 20, 20, 20},
		}
		for i, s := range steps {
			time.Sleep(s.wait)
			well.Store(s.well)
			stock.Store(0)
			payments.Store(0)
			if i == 0 { // how long stock takes is learned
				well.Store(true)
				for range 30 {
					send(1)
				}
				well.Store(false)
				stock.Store(0)
				payments.Store(0)
			}
			good := send(20)
			if got := payments.Load(); good != s.good || stock.Load() != s.stock || got > s.payments || got < min(1, s.payments) {
				t.Errorf("%s: %d of 20 were answered, after %d and %d calls", s.name, good, stock.Load(), got)
			}
		}
	})
}

// A run that was let through and fails on the way leaves its place to the next.
func TestFailFastLeavesTheProbeToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick, broken atomic.Bool
		text := strings.NewReplacer("STEPS", "{ call: GET stock / }, { call: GET payments / }, { return: 1 }", "ERRORS", "", "BREAKER", "breaker: { failures: 1, open: 10s }").Replace(doomed)
		down := func(is *atomic.Bool) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if is.Load() {
					w.WriteHeader(503)
				}
			})
		}
		w := flowtest.Serve(t, text, flowtest.Backends{"payments": down(&sick), "stock": down(&broken)})
		sick.Store(true)
		w.Get("/")
		time.Sleep(11 * time.Second)
		sick.Store(false)
		broken.Store(true)
		if a := w.Get("/"); a.Status != 502 {
			t.Errorf("stock is down: %d %s", a.Status, a.Body)
		}
		broken.Store(false)
		if a := w.Get("/"); a.Status != 200 {
			t.Errorf("nobody probes: %d %s", a.Status, a.Body)
		}
	})
}
