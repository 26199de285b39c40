package gateway

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newTestHandler builds the whole gateway over the routes, with what o leaves
// out filled in by something silent.
func newTestHandler(tb testing.TB, o Options, routes ...Route) http.Handler {
	tb.Helper()
	if o.Gateway == "" {
		o.Gateway = "test"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = newTestMetrics(tb, prometheus.NewRegistry())
	}
	return NewHandler(mustRouter(tb, routes), o)
}

func newTestMetrics(tb testing.TB, r prometheus.Registerer) *Metrics {
	tb.Helper()
	m, err := NewMetrics(r)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// route makes a route from "GET /path"; the handler answers with its name.
func route(method, path string) Route {
	return Route{Method: method, Path: path, Name: method + " " + path, Handler: text(method + " " + path)}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func do(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

// scrape is what /metrics says of one metric.
func scrape(tb testing.TB, g prometheus.Gatherer, name string) string {
	tb.Helper()
	w := do(NewAdmin(func() error { return nil }, g), "GET", "/metrics")
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}
