package flows_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-run/weir/flows/flowtest"
)

const withChecks = `
flow: orders
trigger: { http: GET / }
steps:
  - { id: all, call: GET orders / }
  - return: $(all)
---
services:
  orders:
    endpoints: ["http://well", "http://sick"]
    balance: round_robin
    health: { http: { path: /health, status: [204], headers: { x-probe: here } }, interval: 10s }
`

// A reload that leaves the service what it is goes on with its checks; one that
// changes it ends them, and begins its own.
func TestAServiceIsCheckedWhileItIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		w := flowtest.Serve(t, withChecks, flowtest.Backends{
			"well": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/health" {
					w.Header().Set("Content-Type", "application/json")
					w.Write([]byte("1"))
					return
				}
				checks.Add(1)
				if r.Header.Get("X-Probe") == "here" {
					w.WriteHeader(204)
				}
			}),
			"sick": flowtest.JSON(200, "2"),
		})
		time.Sleep(30 * time.Second)
		for range 4 {
			w.Get("/").Is(t, 200, "1")
		}
		synctest.Wait()
		before := checks.Load()
		if err := w.Apply(strings.Replace(withChecks, "return: $(all)", "return: [$(all)]", 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := checks.Load(); n != before {
			t.Errorf("%d checks at a reload that does not touch the service", n-before)
		}
		for range 4 {
			w.Get("/").Is(t, 200, "[1]")
		}
		err := testutil.CollectAndCompare(w.Host.Collector(), strings.NewReader(`
# HELP weir_service_endpoint_healthy 1 while the checks of the endpoint's health let it be used.
# TYPE weir_service_endpoint_healthy gauge
weir_service_endpoint_healthy{endpoint="http://sick",service="orders"} 0
weir_service_endpoint_healthy{endpoint="http://well",service="orders"} 1
# HELP weir_service_panic 1 while too few endpoints are usable, so that all are used.
# TYPE weir_service_panic gauge
weir_service_panic{service="orders"} 0
`), "weir_service_endpoint_healthy", "weir_service_panic")
		if err != nil {
			t.Error(err)
		}
		if page := servicesOf(t, w); !strings.Contains(page, `"state": "unhealthy"`) || !strings.Contains(page, "the status is 200, and not 204") {
			t.Error(page)
		}
		if err := w.Apply(strings.Replace(withChecks, "interval: 10s", "interval: 1h", 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before = checks.Load()
		time.Sleep(10 * time.Minute)
		if n := checks.Load(); n != before {
			t.Errorf("%d checks of a service that is not there any more", n-before)
		}
	})
}
