package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/weir-run/weir/dsl"
)

// manyRoutes spreads n routes over services of twenty, one of each kind among
// them, as a large installation has them.
func manyRoutes(n int) []Route {
	routes := make([]Route, n)
	for i := range routes {
		path := fmt.Sprintf("/api/service%d/resource%d", i/20, i%20)
		switch i % 4 {
		case 1:
			path += "/{id}"
		case 2:
			path += "/{id:[0-9]+}/detail"
		case 3:
			path += "/{rest:.*}"
		}
		routes[i] = Route{Method: http.MethodGet, Path: path, Name: fmt.Sprint("flow-", i), Handler: http.NotFoundHandler()}
	}
	return routes
}

func mustRouter(tb testing.TB, routes []Route) *Router {
	tb.Helper()
	var faults dsl.Diagnostics
	rt := NewRouter(routes, &faults)
	if rt == nil {
		tb.Fatalf("routes are refused: %+v", faults.All())
	}
	return rt
}

var benchKinds = []struct {
	name   string
	offset int
	tail   string
}{{"literal", 0, ""}, {"parameter", 1, "/42"}, {"pattern", 2, "/42/detail"}, {"rest", 3, "/a/b/c"}}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{4, 100, 1000, 10000} {
		rt := mustRouter(b, manyRoutes(n))
		for _, kind := range benchKinds {
			i := n/2/4*4 + kind.offset
			u := &url.URL{Path: fmt.Sprintf("/api/service%d/resource%d%s", i/20, i%20, kind.tail)}
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				b.ReportAllocs()
				var room [4]Var
				for b.Loop() {
					if route := rt.Match(Asked{Method: http.MethodGet, URL: u}, room[:0]).Route; route != &rt.routes[i] {
						b.Fatal("wrong route", route)
					}
				}
			})
		}
	}
}

// BenchmarkServeMux is the reference that BenchmarkMatch is read against.
func BenchmarkServeMux(b *testing.B) {
	for _, n := range []int{4, 10000} {
		mux := http.NewServeMux()
		for i := range n {
			path := fmt.Sprintf("GET /api/service%d/resource%d", i/20, i%20)
			mux.Handle(path+[]string{"", "/{id}", "/{id}/detail", "/{rest...}"}[i%4], http.NotFoundHandler())
		}
		i := n/2/4*4 + 1
		r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/api/service%d/resource%d/42", i/20, i%20), nil)
		b.Run(fmt.Sprintf("parameter/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mux.Handler(r)
			}
		})
	}
}

func BenchmarkNewRouter(b *testing.B) {
	routes := manyRoutes(10000)
	b.ReportAllocs()
	for b.Loop() {
		mustRouter(b, routes)
	}
}

// BenchmarkHandler is the cost of all layers, without the server.
func BenchmarkHandler(b *testing.B) {
	h := newTestHandler(b, Options{}, Route{Method: http.MethodGet, Path: "/users/{id}", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	r := httptest.NewRequest(http.MethodGet, "/users/7", nil)
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

// discard is a writer that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// SetWriteDeadline is there because a server's writer has it.
func (d discard) SetWriteDeadline(time.Time) error { return nil }
