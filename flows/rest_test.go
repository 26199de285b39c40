package flows_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// chain has a first step that may fail, and a second that takes half of the
// time that there is for both.
const chain = `
flow: order
trigger: { http: GET /, deadline: 1s }
steps:
  - STEP
  - { id: order, call: GET orders / }
  - return: $(order)
---
services:
  stock: { endpoints: ["http://stock"], RETRY }
  orders: { endpoints: ["http://orders"] }
`

func TestARetryLeavesTheRestOfTheFlowItsTime(t *testing.T) {
	const ofService = `retry: { attempts: 2, on: [503], backoff: 1ms }`
	tests := map[string]struct {
		step, retry string
		known       bool          // how long the rest takes
		failsAfter  time.Duration // the first attempt
		status      int
		took        time.Duration // at most
		stock, more int64         // calls of the services
	}{
		"a failure in time is repeated":              {"{ id: stock, call: GET stock / }", ofService, true, 100 * time.Millisecond, 200, 620 * time.Millisecond, 2, 1},
		"a late one is the answer":                   {"{ id: stock, call: GET stock / }", ofService, true, 600 * time.Millisecond, 502, 600 * time.Millisecond, 1, 0},
		"what is not known is no reason":             {"{ id: stock, call: GET stock / }", ofService, false, 600 * time.Millisecond, 504, time.Second, 2, 1},
		"the retry of a step asks, too":              {"{ id: stock, call: GET stock /, retry: { attempts: 2, on: [503], backoff: 1ms } }", "", true, 600 * time.Millisecond, 502, 600 * time.Millisecond, 1, 0},
		"so does a call within steps":                {"{ compose: { a: { call: GET stock / } } }", ofService, true, 600 * time.Millisecond, 502, 600 * time.Millisecond, 1, 0},
		"the timeout of a step is a bound by itself": {"{ id: stock, call: GET stock /, timeout: 400ms }", ofService, true, 100 * time.Millisecond, 200, 620 * time.Millisecond, 2, 1},
		"finally does not care":                      {"{ try: [ { fail: it failed, when: query.fail != null } ], finally: [ { call: GET stock / } ] }", ofService, true, 600 * time.Millisecond, 500, time.Second, 2, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stock, more atomic.Int64
				var late atomic.Bool
				w := flowtest.Serve(t, strings.NewReplacer("STEP", test.step, "RETRY", test.retry).Replace(chain), flowtest.Backends{
					"stock": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						stock.Add(1)
						if late.CompareAndSwap(true, false) {
							work(r, test.failsAfter)
							w.WriteHeader(503)
							return
						}
						work(r, 10*time.Millisecond)
					}),
					"orders": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						more.Add(1)
						work(r, 500*time.Millisecond)
						w.Write([]byte("1"))
					}),
				})
				if test.known {
					for range 40 {
						if a := w.Get("/"); a.Status != 200 {
							t.Fatal(a.Status, a.Body)
						}
					}
				}
				stock.Store(0)
				more.Store(0)
				late.Store(true)
				began := time.Now()
				a := w.Get("/?fail=1")
				if took := time.Since(began); a.Status != test.status || took > test.took+time.Millisecond || stock.Load() != test.stock || more.Load() != test.more {
					t.Errorf("%d after %v, with %d and %d calls: %s", a.Status, took, stock.Load(), more.Load(), a.Body)
				}
			})
		})
	}
}

// work takes a while, unless nobody waits for it any more.
func work(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}
