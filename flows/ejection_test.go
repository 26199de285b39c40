package flows_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestMetricsShowWhatIsEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, `
flow: orders
trigger: { http: GET / }
steps:
  - { call: GET orders /, fallback: null }
  - return: 1
---
services:
  orders:
    endpoints: ["http://well", "http://sick"]
    balance: round_robin
    ejection: { failures: 3 }
`, flowtest.Backends{
			"well": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			"sick": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }),
		})
		for range 10 {
			w.Get("/")
		}
		err := testutil.CollectAndCompare(w.Host.Collector(), strings.NewReader(`
# HELP weir_service_endpoint_ejected 1 while the endpoint is left out for failing more than the others.
# TYPE weir_service_endpoint_ejected gauge
weir_service_endpoint_ejected{endpoint="http://sick",service="orders"} 1
weir_service_endpoint_ejected{endpoint="http://well",service="orders"} 0
# HELP weir_service_endpoint_ejections_total How often the endpoint was ejected.
# TYPE weir_service_endpoint_ejections_total counter
weir_service_endpoint_ejections_total{endpoint="http://sick",service="orders"} 1
weir_service_endpoint_ejections_total{endpoint="http://well",service="orders"} 0
# HELP weir_service_panic 1 while too few endpoints are usable, so that all are used.
# TYPE weir_service_panic gauge
weir_service_panic{service="orders"} 0
# HELP weir_service_panic_attempts_total Attempts made while too few endpoints were usable.
# TYPE weir_service_panic_attempts_total counter
weir_service_panic_attempts_total{service="orders"} 0
`), "weir_service_endpoint_ejected", "weir_service_endpoint_ejections_total", "weir_service_panic", "weir_service_panic_attempts_total")
		if err != nil {
			t.Error(err)
		}
	})
}
