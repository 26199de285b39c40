package flows_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-run/weir/flows/flowtest"
)

const limited = `
flow: one
trigger: { http: "GET /one", deadline: 5s }
steps:
  - call: GET slow /one
    retry: { attempts: 2, on: [connect, 503] }
  - return: ok
---
services:
  slow:
    endpoints: ["http://a", "http://b"]
    retry: { attempts: 3, on: [connect, 503] }
    breaker: { failures: 1 }
    service_breaker: { failures: 1 }
    ejection: { failures: 1 }
    limit: { concurrent: 1 }
`

// slowIs is the state of the service as GET /services has it.
func slowIs(t *testing.T, w *flowtest.World) (state struct {
	Retries  int                      `json:"retries"`
	Breaker  struct{ State string }   `json:"breaker"`
	Limit    map[string]any           `json:"limit"`
	Failures []struct{ Class string } `json:"failures"`

	Endpoints []struct {
		State    string
		Attempts int
		Failures []any
	}
}) {
	t.Helper()
	var all struct{ Services []json.RawMessage }
	text := servicesOf(t, w)
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all.Services) != 1 {
		t.Fatalf("%v in %s", err, text)
	}
	if err := json.Unmarshal(all.Services[0], &state); err != nil {
		t.Fatal(err)
	}
	return state
}

func TestACallBeyondTheLimitIsAnsweredWith503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &flowtest.Gate{}
		w := flowtest.Serve(t, limited, flowtest.Backends{"a": gate, "b": gate})
		first := make(chan flowtest.Answer, 1)
		go func() { first <- w.Get("/one") }()
		synctest.Wait()
		begun := time.Now()
		for range 3 {
			p := w.Get("/one").IsProblem(t, 503, "overloaded")
			if p.Detail != "There is too much to do at the moment." {
				t.Errorf("%+v", p)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("refusing took %v", took)
		}
		gate.Let("/one", flowtest.JSON(200, "1"))
		(<-first).Is(t, 200, `ok`)
		s := slowIs(t, w)
		if s.Retries != 0 || s.Breaker.State != "closed" || s.Limit["refused"] != 3.0 || s.Limit["in_use"] != 0.0 || len(s.Failures) != 1 || s.Failures[0].Class != "overloaded" {
			t.Errorf("%+v", s)
		}
		for _, e := range s.Endpoints {
			if e.State != "ready" || len(e.Failures) > 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestACallThatCannotKeepItsDeadlineIsNotQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Second) })
		w := flowtest.Serve(t, strings.Replace(limited, "concurrent: 1", "concurrent: 1, queue: 10, wait: 1h", 1), flowtest.Backends{"a": slow, "b": slow})
		w.Get("/one").Is(t, 200, `ok`) // it takes three seconds
		var all sync.WaitGroup
		all.Go(func() { w.Get("/one").Is(t, 200, `ok`) })
		synctest.Wait()
		begun := time.Now()
		p := w.Get("/one").IsProblem(t, 503, "overloaded") // it has five, and gives up when three are left
		if took := time.Since(begun); took != 2*time.Second || p.Detail != "There is too much to do at the moment to answer in time." {
			t.Errorf("%+v after %v", p, took)
		}
		all.Wait()
		if s := slowIs(t, w); s.Limit["late"] != 1.0 || s.Limit["refused_by"].(map[string]any)["normal"] != 1.0 {
			t.Errorf("%+v", s)
		}
	})
}

// Each flow has the priority of its trigger; a step can have its own; what a flow
// runs has that of the flow, and what nobody waits for the lowest.
func TestPrioritiesOfFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var served []string
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			served = append(served, r.URL.Path)
			mu.Unlock()
			time.Sleep(time.Second)
		})
		w := flowtest.Serve(t, `
flow: first
trigger: { http: GET /first }
steps: [{ call: GET slow /first }, { return: ok }]
---
flow: low
trigger: { http: GET /low, priority: low }
steps: [{ call: GET slow /low }, { return: ok }]
---
flow: normal
trigger: { http: GET /normal }
steps: [{ call: GET slow /normal }, { return: ok }]
---
flow: own
trigger: { http: GET /own, priority: low }
steps: [{ call: GET slow /own, priority: critical }, { return: ok }]
---
flow: forwards
trigger: { http: GET /forwards }
steps: [{ forward: slow, priority: critical }]
---
flow: runs
trigger: { http: GET /runs, priority: high }
steps: [{ run: shared }, { return: ok }]
---
flow: shared
steps:
  - each: n in [1]
    steps: [{ call: GET slow /shared }]
  - return: ok
---
flow: taps
trigger: { http: GET /taps, priority: critical }
steps: [{ tap: [{ call: GET slow /tapped }] }, { return: ok }]
---
services:
  slow: { endpoints: ["http://a"], limit: { concurrent: 1, queue: 10, wait: 1h } }
`, flowtest.Backends{"a": slow})
		var all sync.WaitGroup
		for _, path := range []string{"/first", "/taps", "/low", "/normal", "/runs", "/own", "/forwards"} {
			all.Go(func() {
				if a := w.Get(path); a.Status != 200 {
					t.Errorf("%s: %d %s", path, a.Status, a.Body)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		time.Sleep(2 * time.Second)
		if want := []string{"/first", "/own", "/forwards", "/shared", "/normal", "/tapped", "/low"}; !slices.Equal(served, want) {
			t.Errorf("served %v, want %v", served, want)
		}
	})
}

func TestMetricsShowTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &flowtest.Gate{}
		w := flowtest.Serve(t, `
flow: one
trigger: { http: GET /one, priority: high }
steps: [{ call: GET slow /one }, { return: ok }]
---
services:
  slow: { endpoints: ["http://a"], limit: { adaptive: { max: 1 } } }
`, flowtest.Backends{"a": gate})
		first := make(chan flowtest.Answer, 1)
		go func() { first <- w.Get("/one") }()
		synctest.Wait()
		w.Get("/one").IsProblem(t, 503, "overloaded")
		err := testutil.CollectAndCompare(w.Host.Collector(), strings.NewReader(`
# HELP weir_service_limit How many calls may be under way now; 0 is any number.
# TYPE weir_service_limit gauge
weir_service_limit{service="slow"} 1
# HELP weir_service_limit_in_use Calls that have a place under the limit.
# TYPE weir_service_limit_in_use gauge
weir_service_limit_in_use{service="slow"} 1
# HELP weir_service_limit_late_total Calls that the limit refused because they had too little time left to wait.
# TYPE weir_service_limit_late_total counter
weir_service_limit_late_total{service="slow"} 0
# HELP weir_service_limit_refused_total Calls that the limit refused.
# TYPE weir_service_limit_refused_total counter
weir_service_limit_refused_total{priority="high",service="slow"} 1
weir_service_limit_refused_total{priority="normal",service="slow"} 0
`), "weir_service_limit", "weir_service_limit_in_use", "weir_service_limit_late_total", "weir_service_limit_refused_total")
		if err != nil {
			t.Error(err)
		}
		gate.Let("/one", flowtest.JSON(200, "1"))
		(<-first).Is(t, 200, `ok`)
	})
}
