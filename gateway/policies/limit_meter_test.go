package policies

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// caller believes whoever says who it is: NAME of PLAN.
var caller = Kind{
	Why: "tests have no tokens", Identifies: true,
	Kind: dsl.Define("caller", "Finds out who calls.", func(c *Compiler, _ *dsl.Node, _ *struct{}) gateway.Middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if name := r.Header.Get("X-Name"); name != "" {
					gateway.FromContext(r.Context()).Input().Consumer = &engine.Consumer{Name: name, By: "caller", Plan: r.Header.Get("X-Plan")}
				}
				next.ServeHTTP(w, r)
			})
		}
	}),
}

// guarded is a handler behind policies, which do not come from a file.
func guarded(tb testing.TB, bundle string) http.Handler {
	tb.Helper()
	h, end := opened(tb, bundle)
	tb.Cleanup(end)
	return h
}

// opened is guarded until it is ended.
func opened(tb testing.TB, bundle string) (h http.Handler, end func()) {
	tb.Helper()
	h, _, end = before(tb, bundle, gateway.Route{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })})
	return h, end
}

// before puts policies before a route, until it is ended, and shows what they
// count.
func before(tb testing.TB, bundle string, route gateway.Route) (h http.Handler, count func(name string) int64, end func()) {
	tb.Helper()
	h, keepers, end := beforeKeepers(tb, bundle, route)
	return h, func(name string) (n int64) {
		for _, k := range keepers {
			k.(engine.Observed).Observe(func(other string, _ bool, value int64) {
				if other == name {
					n += value
				}
			})
		}
		return n
	}, end
}

// beforeKeepers is before, with what the policies keep.
func beforeKeepers(tb testing.TB, bundle string, route gateway.Route) (h http.Handler, keepers []engine.Keeper, end func()) {
	tb.Helper()
	catalog, err := NewCatalog(append([]Kind{caller}, All()...)...)
	if err != nil {
		tb.Fatal(err)
	}
	var faults dsl.Diagnostics
	nodes := dsl.Parse(dsl.NewSource("test", bundle), &faults)
	b := catalog.Compile(&Language{Env: func(string) (string, bool) { return "", false }}, nodes[0], Where{}, &faults)
	for _, place := range b.Places {
		keepers = append(keepers, place.Open(nil))
	}
	layers := catalog.Apply(nil, []*Bundle{b}, nil, dsl.Related{}, &faults).Layers
	route.Path, route.Layers = "/", layers
	routes := gateway.NewRouter([]gateway.Route{route}, &faults)
	metrics, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil || len(faults.All()) > 0 {
		tb.Fatal(err, faults.All())
	}
	return gateway.NewHandler(routes, gateway.Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics}), keepers, func() {
		for _, k := range keepers {
			k.Close()
		}
	}
}

// from sends a request from an address, as a caller of a plan.
func from(h http.Handler, remote, name, plan string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = remote
	r.Header.Set("X-Name", name)
	r.Header.Set("X-Plan", plan)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestCallersAreToldApart(t *testing.T) {
	for _, c := range []struct {
		name                  string
		remote, caller        string
		otherRemote, otherOne string
		together              bool
	}{
		{"two addresses", "192.0.2.1:1", "", "192.0.2.2:1", "", false},
		{"two ports of one", "192.0.2.1:1", "", "192.0.2.1:2", "", true},
		{"two networks of IPv6", "[2001:db8:0:1::1]:1", "", "[2001:db8:0:2::1]:1", "", false},
		{"two addresses of one network of IPv6", "[2001:db8:0:1::1]:1", "", "[2001:db8:0:1:ffff::9]:1", "", true},
		{"an address in the clothes of IPv6", "192.0.2.1:1", "", "[::ffff:192.0.2.1]:1", "", true},
		{"addresses with a zone", "[fe80::1%eth0]:1", "", "[fe80::2%eth1]:1", "", true},
		{"sockets, which have no address", "@", "", "@", "", true},
		{"two consumers at one address", "192.0.2.1:1", "ada", "192.0.2.1:1", "bob", false},
		{"one consumer at two addresses", "192.0.2.1:1", "ada", "192.0.2.2:1", "ada", true},
		{"a consumer who is called like an address", "192.0.2.1:1", "", "192.0.2.2:1", "192.0.2.1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := guarded(t, "{ caller: {}, rate_limit: { rate: 1/h } }")
			if got := from(h, c.remote, c.caller, ""); got.Code != 200 {
				t.Fatal(got.Code)
			}
			want := 200
			if c.together {
				want = 429
			}
			if got := from(h, c.otherRemote, c.otherOne, ""); got.Code != want {
				t.Errorf("%d, not %d", got.Code, want)
			}
		})
	}
}

func TestPlansHaveTheirOwnLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t, "{ caller: {}, rate_limit: { rate: 1/h, plans: { gold: { rate: 100/h, burst: 3, also: [{ rate: 2/m }, { rate: 9/s }] }, silver: { rate: 2/h } } } }")
		for _, c := range []struct {
			name, plan string
			many       int
			policy     string
		}{
			{"ada", "gold", 2, `"100/h";q=100;w=3600;weir-burst=3, "2/m";q=2;w=60, "9/s";q=9;w=1`},
			{"bob", "silver", 2, `"2/h";q=2;w=3600`},
			{"cyd", "", 1, `"1/h";q=1;w=3600`},
			{"dan", "tin", 1, `"1/h";q=1;w=3600`},
			{"", "", 1, `"1/h";q=1;w=3600`},
			{"ada", "silver", 2, `"2/h";q=2;w=3600`}, // a plan that changes begins anew
		} {
			for i := range c.many + 1 {
				got := from(h, "192.0.2.1:1", c.name, c.plan)
				if (got.Code == 200) != (i < c.many) || got.Header().Get("RateLimit-Policy") != c.policy {
					t.Errorf("%s of %s, request %d: %d %v", c.name, c.plan, i, got.Code, got.Header())
				}
			}
		}
		if got := from(h, "192.0.2.1:1", "ada", "gold"); got.Header().Get("RateLimit") != `"2/m";r=0;t=30` {
			t.Errorf("%v", got.Header())
		}
		time.Sleep(30 * time.Second)
		if got := from(h, "192.0.2.1:1", "ada", "gold"); got.Header().Get("RateLimit") != `"100/h";r=0;t=6, "2/m";r=0;t=30, "9/s";r=8;t=1` {
			t.Errorf("%v", got.Header())
		}
	})
}

// discard is a writer that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header              { return d.header }
func (d discard) Write(p []byte) (int, error)      { return len(p), nil }
func (d discard) WriteHeader(int)                  {}
func (d discard) SetWriteDeadline(time.Time) error { return nil }

// passing is a request through a handler, and what it allocates.
func passing(tb testing.TB, h http.Handler) func() {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := discard{http.Header{}}
	run := func() {
		clear(w.header)
		h.ServeHTTP(w, r)
		if w.header["Retry-After"] != nil {
			tb.Fatal("refused")
		}
	}
	run()
	return run
}

func TestALimitAllocatesOnceForARequest(t *testing.T) {
	bare := testing.AllocsPerRun(200, passing(t, guarded(t, "{}")))
	for bundle, most := range map[string]float64{
		"{ rate_limit: { rate: 1000000/s } }":                                                             1,
		"{ quota: { limit: 1000000000, per: day } }":                                                      1,
		"{ rate_limit: { rate: 1000000/s, fields: false } }":                                              1,
		"{ rate_limit: { rate: 1000000/s, also: [{ rate: 100000000/h }] } }":                              1,
		"{ rate_limit: { rate: 1000000/s, by: $(request.remote), answer_cost: { status: { 2xx: 2 } } } }": 2, // the text of an expression
	} {
		if got := testing.AllocsPerRun(200, passing(t, guarded(t, bundle))); got > bare+most {
			t.Errorf("%s: %v allocations beside %v, want at most %v", bundle, got-bare, bare, most)
		}
	}
}

// BenchmarkRateLimit is what the policy costs beside what is written by hand: a
// bucket of tokens for each address, in a map, with the same fields.
func BenchmarkRateLimit(b *testing.B) {
	run := func(name string, h http.Handler) {
		b.Run(name, func(b *testing.B) {
			run := passing(b, h)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
	run("none", guarded(b, "{}"))
	run("weir", guarded(b, "{ rate_limit: { rate: 1000000/s } }"))
	run("weir, two limits", guarded(b, "{ rate_limit: { rate: 1000000/s, also: [{ rate: 100000000/h }] } }"))
	run("by hand", byHand(guarded(b, "{}")))
}

func byHand(next http.Handler) http.Handler {
	type tokens struct {
		left float64
		at   time.Time
	}
	var mu sync.Mutex
	all := map[string]*tokens{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		now := time.Now()
		mu.Lock()
		k := all[host]
		if k == nil {
			k = &tokens{1e6, now}
			all[host] = k
		}
		k.left, k.at = min(k.left+now.Sub(k.at).Seconds()*1e6, 1e6), now
		granted := k.left >= 1
		if granted {
			k.left--
		}
		left := int(k.left)
		mu.Unlock()
		if !granted {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Header().Set("RateLimit-Policy", `"1000000/s";q=1000000;w=1`)
		w.Header().Set("RateLimit", fmt.Sprintf(`"1000000/s";r=%d;t=1`, left))
		next.ServeHTTP(w, r)
	})
}
