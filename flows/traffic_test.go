package flows_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestAffinityIsShownAndPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, `
flow: cart
trigger: { http: GET /cart }
steps:
  - forward: carts
---
services:
  carts:
    endpoints: ["http://one", "http://two"]
    balance: round_robin
    affinity: { cookie: cart_server, key: long }
`, flowtest.Backends{"one": flowtest.JSON(200, `"one"`), "two": flowtest.JSON(200, `"two"`)})
		first := w.Get("/cart")
		first.Is(t, 200, `"one"`)
		cookie := first.Header.Get("Set-Cookie")
		if !strings.HasPrefix(cookie, "cart_server=") || !strings.HasSuffix(cookie, "; Path=/; HttpOnly; SameSite=Lax") {
			t.Error(cookie)
		}
		code, _, _ := strings.Cut(cookie, ";")
		for range 3 {
			req := w.Request("GET", "/cart", "")
			req.Header.Set("Cookie", code)
			again := w.Send(req)
			again.Is(t, 200, `"one"`)
			if set := again.Header.Get("Set-Cookie"); set != "" {
				t.Errorf("it is set again: %s", set)
			}
		}
		if metrics, page := metricsOf(t, w), servicesOf(t, w); !slices.Contains(metrics, "weir_service_affinity_requests_total") ||
			!strings.Contains(page, `"kept": 3`) || !strings.Contains(page, `"given": 1`) || !strings.Contains(page, `"moved": 0`) {
			t.Errorf("%v, %s", metrics, page)
		}
	})
}

// What a limit refuses is a failure like any other to the flow.
func TestAFallbackTakesWhatALimitRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, `
flow: price
trigger: { http: GET /price }
steps:
  - compose:
      one: { call: GET pricing /price, fallback: $(error.kind) }
      two: { call: GET pricing /price, fallback: $(error.kind) }
  - return: [$(one), $(two)]
---
services:
  pricing:
    endpoints: ["http://pricing"]
    limit: { concurrent: 1 }
    retry: { attempts: 3 }
`, flowtest.Backends{"pricing": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			flowtest.JSON(200, "7").ServeHTTP(w, r)
		})})
		began := time.Now()
		if a := w.Get("/price"); a.Status != 200 || a.Body != `["overloaded",7]` && a.Body != `[7,"overloaded"]` || time.Since(began) != time.Second {
			t.Errorf("%d %s after %v", a.Status, a.Body, time.Since(began))
		}
	})
}
