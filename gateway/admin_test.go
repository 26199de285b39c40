package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/weir-run/weir/dsl"
)

func TestAdminEndpoints(t *testing.T) {
	var unready error
	registry := prometheus.NewRegistry()
	newTestMetrics(t, registry).inFlight.WithLabelValues("public").Set(3)
	a := NewAdmin(func() error { return unready }, registry)
	a.Access = AdminAccess{Local: true, Host: "example.com"}
	a.Handle("GET /routes", text("none"))
	check := func(method, path string, status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != status || !strings.Contains(w.Body.String(), body) {
			t.Errorf("%s %s: got %d, %s", method, path, w.Code, w.Body)
		}
	}
	check("GET", "/healthz", 200, "ok")
	check("HEAD", "/healthz", 200, "")
	check("GET", "/readyz", 200, "ready")
	check("GET", "/metrics", 200, `weir_http_requests_in_flight{gateway="public"} 3`)
	check("GET", "/routes", 200, "none")
	check("GET", "/none", 404, "route-not-found")

	unready = errors.New("draining")
	check("GET", "/healthz", 200, "ok")
	check("GET", "/readyz", 503, `"detail":"draining"`)
}

func TestScrapersThatAskForNativeHistogramsGetThem(t *testing.T) {
	registry := prometheus.NewRegistry()
	newTestMetrics(t, registry).duration.with("public", "order", "GET").observe(time.Second)
	a := NewAdmin(func() error { return nil }, registry)
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	for body := bufio.NewReader(w.Body); ; {
		var f dto.MetricFamily
		if err := protodelim.UnmarshalFrom(body, &f); err != nil {
			t.Fatal(err)
		}
		if f.GetName() == "weir_http_request_duration_seconds" {
			if h := f.Metric[0].Histogram; h.GetSchema() != 3 || len(h.PositiveDelta) != 1 || len(h.Bucket) != len(bounds) {
				t.Errorf("%v", h)
			}
			return
		}
	}
}

func TestAdminEndpointsHoldNoSecrets(t *testing.T) {
	var redactor dsl.Redactor
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" && !redactor.Empty() {
			t.Error("the answer could be compressed")
		}
		w.Header().Set("X-Kept", "1")
		w.Header().Set("Content-Length", "20")
		w.WriteHeader(http.StatusTeapot)
		for _, part := range []string{"it is open-", "sesame", "!!"} { // a secret in pieces
			_, _ = io.WriteString(w, part)
		}
	})
	for _, want := range []string{"it is open-sesame!!", "it is [secret.KEY]!!"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		Redacted(&redactor, next).ServeHTTP(w, r)
		if w.Code != http.StatusTeapot || w.Body.String() != want || w.Header().Get("X-Kept") != "1" {
			t.Errorf("got %d, %s", w.Code, w.Body)
		}
		redactor.Add(map[string]string{"secret.KEY": "open-sesame"})
	}
}

// What it shows is not for callers.
func TestTheAdminListenerIsForThisMachine(t *testing.T) {
	host, _, err := net.SplitHostPort(DefaultAdminAddr)
	if ip := net.ParseIP(host); err != nil || !ip.IsLoopback() {
		t.Errorf("%s is not an address that only this machine reaches", DefaultAdminAddr)
	}
}
