package flows_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// What is left of the time of the first flow is what those behind it have.
func TestADeadlineTravelsThroughGateways(t *testing.T) {
	const chain = `
flow: outer
trigger: { http: GET /, gateway: public, deadline: 1s }
steps:
  - { call: GET stock / }
  - { call: GET inner /inner }
  - return: 1
---
flow: inner
trigger: { http: GET /inner, gateway: inner, deadline: 10s }
steps:
  - { call: GET stock / }
  - { call: GET last / }
  - return: 1
---
gateways:
  public: { listen: "public:80" }
  inner: { listen: "inner:80", deadline_header: HEADER }
services:
  inner: { endpoints: ["http://inner"], deadline_header: HEADER }
  stock: { endpoints: ["http://stock"] }
  last: { endpoints: ["http://last"], deadline_header: HEADER }
`
	for header, want := range map[string]string{"x-time-left": "800", "Grpc-Timeout": "800m", "": ""} {
		t.Run(header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				text := strings.ReplaceAll(chain, "HEADER", header)
				if header == "" {
					text = strings.ReplaceAll(chain, ", deadline_header: HEADER", "")
				}
				var told string
				w := flowtest.Serve(t, text, flowtest.Backends{
					"stock": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { work(r, 100*time.Millisecond) }),
					"last": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						told = r.Header.Get("X-Time-Left") + r.Header.Get("Grpc-Timeout")
						work(r, 5*time.Second)
					}),
				})
				began := time.Now()
				a := w.Get("/")
				synctest.Wait()
				if a.Status != 504 && a.Status != 502 { // the inner one says 504 in the same moment
					t.Errorf("%d %s", a.Status, a.Body)
				}
				if took := time.Since(began); took.Round(10*time.Millisecond) != time.Second || told != want {
					t.Errorf("after %v; the last was told %q, not %q", took, told, want)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// A caller can have less time than its route gives, and not more.
func TestACallerShortensItsDeadline(t *testing.T) {
	const flow = `
flow: slow
trigger: { http: GET /, deadline: 1s }
steps: [{ call: GET slow / }]
---
gateways: { public: { listen: "public:80", deadline_header: X-Left } }
services: { slow: { endpoints: ["http://slow"] } }
`
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, flow, flowtest.Backends{"slow": new(flowtest.Stall)})
		for left, want := range map[string]time.Duration{"50": 50 * time.Millisecond, "99999999": time.Second, "0": time.Second, "soon": time.Second, "-1": time.Second} {
			r := w.Request("GET", "/", "")
			r.Header.Set("X-Left", left)
			began := time.Now()
			w.Send(r).IsProblem(t, 504, "deadline-exceeded")
			if took := time.Since(began); took != want {
				t.Errorf("%s: %v, not %v", left, took, want)
			}
		}
	})
}
