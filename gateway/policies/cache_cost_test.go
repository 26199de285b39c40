package policies

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// kept is a place that holds what it opens.
func kept[T engine.Keeper](tb testing.TB, open func() T) *engine.Kept[T] {
	k := engine.KeepFor("test", "cache", "", open)
	k.Open(nil)
	tb.Cleanup(k.It().Close)
	return k
}

// cachedPage is a gateway with one page behind a cache, if it has one.
func cachedPage(tb testing.TB, with bool, body string) http.Handler {
	metrics, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	p := cache{store: kept(tb, func() *cacheStore { return openCacheStore(1 << 20) }), crew: kept(tb, openCrew), maxEntry: 1 << 20, asks: true}
	route := gateway.Route{Gateway: "public", Method: http.MethodGet, Path: "/items/{id}", Name: "items", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Cache-Control"] = []string{"max-age=60"}
		w.Header()["Etag"] = []string{`"a"`}
		_, _ = w.Write([]byte(body))
	})}
	if with {
		route.Layers = []gateway.Layer{{Policy: "cache", Wrap: func(next http.Handler) http.Handler { p.next = next; return &p }}}
	}
	var faults dsl.Diagnostics
	return gateway.NewHandler(gateway.NewRouter([]gateway.Route{route}, &faults), gateway.Options{Gateway: "public", Log: slog.New(slog.DiscardHandler), Metrics: metrics})
}

// blank is a writer whose header is new for each request, as a server's is.
type blank struct{ header http.Header }

func (w *blank) Header() http.Header              { return w.header }
func (*blank) Write(p []byte) (int, error)        { return len(p), nil }
func (*blank) WriteHeader(int)                    {}
func (*blank) SetWriteDeadline(_ time.Time) error { return nil }

func TestAHitAllocatesNothing(t *testing.T) {
	w := &blank{http.Header{}}
	for _, c := range []struct {
		name   string
		header http.Header
	}{
		{"a hit", http.Header{}},
		{"a 304", http.Header{"If-None-Match": {`"a"`}}},
		{"a hit with wishes", http.Header{"Cache-Control": {"max-age=30"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			count := func(with bool) float64 {
				h := cachedPage(t, with, "page")
				r := httptest.NewRequest(http.MethodGet, "/items/7?x=1", nil)
				r.Header = c.header
				h.ServeHTTP(w, r)
				return testing.AllocsPerRun(200, func() {
					clear(w.header)
					h.ServeHTTP(w, r)
				})
			}
			// Without a cache the page itself makes two fields.
			if with, without := count(true), count(false)-2; with > without {
				t.Errorf("%v allocations, %v without a cache", with, without)
			}
		})
	}
}

func BenchmarkCache(b *testing.B) {
	body := string(make([]byte, 1024))
	run := func(b *testing.B, h http.Handler, header http.Header) {
		r := httptest.NewRequest(http.MethodGet, "/items/7?x=1", nil)
		r.Header = header
		w := &blank{http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}
	}
	b.Run("hit", func(b *testing.B) { run(b, cachedPage(b, true, body), http.Header{}) })
	b.Run("304", func(b *testing.B) { run(b, cachedPage(b, true, body), http.Header{"If-None-Match": {`"a"`}}) })
	b.Run("none", func(b *testing.B) { run(b, cachedPage(b, false, body), http.Header{}) })
	b.Run("by hand", func(b *testing.B) { run(b, cachedByHand(body), http.Header{}) })
}

// cachedByHand is the least that a handler does who keeps answers itself: a map by URL,
// the age, and the fields.
func cachedByHand(body string) http.Handler {
	type page struct {
		header http.Header
		body   []byte
		at     time.Time
	}
	var mu sync.RWMutex
	pages := map[string]*page{"/items/7?x=1": {http.Header{"Cache-Control": {"max-age=60"}, "Etag": {`"a"`}, "Content-Length": {"1024"}, "Content-Type": {"text/plain"}}, []byte(body), time.Now()}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.RLock()
		p := pages[r.URL.RequestURI()]
		mu.RUnlock()
		for name, values := range p.header {
			w.Header()[name] = values
		}
		w.Header()["Age"] = []string{strconv.Itoa(int(time.Since(p.at) / time.Second))}
		_, _ = w.Write(p.body)
	})
}
