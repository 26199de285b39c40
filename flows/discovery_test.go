package flows_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-run/weir/flows/flowtest"
)

// registry plays Consul, which knows of one instance of everything once it is
// asked after a while.
type registry struct {
	after time.Duration
	mu    sync.Mutex
	first int // questions that are not about what has changed since
}

func (c *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wait := c.after
	if r.URL.Query().Has("index") {
		wait = time.Minute
	} else {
		c.mu.Lock()
		c.first++
		c.mu.Unlock()
	}
	select {
	case <-time.After(wait):
	case <-r.Context().Done():
		return
	}
	w.Header().Set("X-Consul-Index", "7")
	fmt.Fprint(w, `[{"Node":{"Address":"orders-1"},"Service":{"Port":80}}]`)
}

// orders is a program whose service is looked for in Consul.
const orders = `
flow: orders
trigger: { http: GET /, deadline: 2s }
steps:
  - { id: all, call: GET orders /all }
  - return: $(all)
---
services:
  orders: { endpoints: ["consul://orders/v2?server=http://consul"] }
`

// places answer with the name and the path that they are called by.
func places(c *registry) flowtest.Backends {
	return flowtest.Backends{"consul": c, "orders-1": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", r.Host+r.URL.Path)
	})}
}

func TestAProgramGoesLiveWhenItsServicesAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		c := &registry{after: time.Second}
		w := flowtest.Serve(t, orders, places(c))
		if took := time.Since(started); took != time.Second {
			t.Errorf("live after %v", took)
		}
		synctest.Wait() // it is told by whoever looks
		if !strings.Contains(w.Log(), `"msg":"endpoints found","service":"orders","source":"consul://orders/v2?server=http://consul","endpoints":1`) {
			t.Error(w.Log())
		}
		if a := w.Get("/"); a.Body != `"orders.service.consul/v2/all"` {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		// A program with the same service takes over what has been found.
		if err := w.Apply(orders + "---\nflow: more\ntrigger: { http: GET /more }\nsteps: [ return: 1 ]\n"); err != nil {
			t.Fatal(err)
		}
		if a := w.Get("/"); a.Status != 200 || c.first != 1 {
			t.Errorf("%d %s; asked %d times for what there is", a.Status, a.Body, c.first)
		}
		err := testutil.CollectAndCompare(w.Host.Collector(), strings.NewReader(`
# HELP weir_service_discovery_failures_total Looks of a source that failed.
# TYPE weir_service_discovery_failures_total counter
weir_service_discovery_failures_total{service="orders",source="consul://orders/v2?server=http://consul"} 0
# HELP weir_service_discovery_last_success_timestamp_seconds When a source was last looked at with success.
# TYPE weir_service_discovery_last_success_timestamp_seconds gauge
weir_service_discovery_last_success_timestamp_seconds{service="orders",source="consul://orders/v2?server=http://consul"} 9.46684801e+08
# HELP weir_service_discovery_targets Places that a source has found last.
# TYPE weir_service_discovery_targets gauge
weir_service_discovery_targets{service="orders",source="consul://orders/v2?server=http://consul"} 1
`), "weir_service_discovery_failures_total", "weir_service_discovery_last_success_timestamp_seconds", "weir_service_discovery_targets")
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAServiceThatIsNotFoundKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		w := flowtest.Serve(t, orders+"  other: { endpoints: [\"http://orders-1\"] }\n---\nflow: other\ntrigger: { http: GET /other }\nsteps: [{ call: GET other /, id: o }, { return: $(o) }]\n",
			places(&registry{after: time.Hour}))
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("live after %v", took)
		}
		if !strings.Contains(w.Log(), `"msg":"a service is served before it is found","service":"orders","error":"service orders: no_endpoint: there is no endpoint: consul://orders/v2?server=http://consul has told nothing in 3s"`) {
			t.Error(w.Log())
		}
		if a := w.Get("/other"); a.Body != `"orders-1/"` {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		started = time.Now()
		if a := w.Get("/"); a.Status != http.StatusBadGateway || time.Since(started) != 2*time.Second || strings.Contains(a.Body, "consul") {
			t.Errorf("%d %s after %v", a.Status, a.Body, time.Since(started))
		}
		started = time.Now()
		if a := w.Get("/"); a.Status != http.StatusBadGateway || time.Since(started) > 0 {
			t.Errorf("%d %s after %v", a.Status, a.Body, time.Since(started))
		}
	})
}

func TestShutdownEndsTheLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, orders, places(&registry{}))
		started := time.Now()
		if err := w.Host.Shutdown(context.Background()); err != nil || time.Since(started) > 0 {
			t.Errorf("%v after %v", err, time.Since(started))
		}
	})
}

// A program that waits for its services holds up neither who asks how those of
// the one before are, nor the end.
func TestWhoWaitsForServicesKeepsNobodyElseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, "flow: here\ntrigger: { http: GET /here }\nsteps: [ return: 1 ]\n", places(&registry{after: time.Hour}))
		applied := make(chan error)
		go func() { applied <- w.Apply(orders) }()
		time.Sleep(time.Second)
		started := time.Now()
		admin := httptest.NewRecorder()
		for _, asked := range []http.Handler{w.Host.RoutesHandler(), w.Host.ServicesHandler()} {
			asked.ServeHTTP(admin, httptest.NewRequest("GET", "/", nil))
		}
		if !strings.Contains(admin.Body.String(), "/here") || time.Since(started) > 0 {
			t.Errorf("%s after %v", admin.Body, time.Since(started))
		}
		if a := w.Get("/here"); a.Body != "1" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if err := w.Host.Shutdown(context.Background()); err != nil || time.Since(started) >= time.Second { // net/http looks for idle connections every few milliseconds
			t.Errorf("%v after %v", err, time.Since(started))
		}
		if err := <-applied; err == nil || err.Error() != "shutting down" || strings.Contains(w.Log(), "before it is found") {
			t.Errorf("%v; logged: %s", err, w.Log())
		}
		if err := w.Host.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
