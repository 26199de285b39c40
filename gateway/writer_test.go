package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestWriterPassesOnWhatTheServersCan(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 100_000) // several pieces
	name := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(name, big, 0o600); err != nil {
		t.Fatal(err)
	}
	serveWith := func(path string, h http.HandlerFunc) Route {
		r := route("GET", path)
		r.Handler = h
		return r
	}
	l := listen(t, newTestHandler(t, Options{},
		serveWith("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) }),
		serveWith("/copy", func(w http.ResponseWriter, _ *http.Request) {
			if n, err := w.(io.ReaderFrom).ReadFrom(io.MultiReader(bytes.NewReader(big))); n != int64(len(big)) || err != nil {
				t.Errorf("copied %d, %v", n, err)
			}
		}),
		serveWith("/write", func(w http.ResponseWriter, _ *http.Request) {
			if n, err := w.Write(big); n != len(big) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
		}),
		serveWith("/hints", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			if FromContext(r.Context()).w.begun() {
				t.Error("an interim answer counts as the answer")
			}
			w.WriteHeader(http.StatusAccepted)
			w.(http.Flusher).Flush()
			if got := FromContext(r.Context()).w.status; got != http.StatusAccepted {
				t.Errorf("status %d", got)
			}
		}),
		serveWith("/control", func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
		}),
		serveWith("/hijack", func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = rw.WriteString("mine")
			_ = rw.Flush()
		}),
	))
	for _, path := range []string{"/file", "/copy", "/write"} {
		if _, body := get(t, l, path); body != string(big) {
			t.Errorf("%s: got %d of %d bytes", path, len(body), len(big))
		}
	}
	if status, _ := get(t, l, "/hints"); status != http.StatusAccepted {
		t.Errorf("after the hints: %d", status)
	}
	get(t, l, "/control")

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
	if got, err := io.ReadAll(bufio.NewReader(conn)); string(got) != "mine" || err != nil {
		t.Errorf("hijacked: got %q, %v", got, err)
	}
}

func TestHijackedRequestsCountAsSwitched(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := route("GET", "/ws")
	done := make(chan struct{})
	r.Name, r.Handler = "ws", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
	})
	h := newTestHandler(t, Options{Metrics: newTestMetrics(t, registry)}, r)
	l := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		close(done)
	}))
	send(t, l.Addr().String(), "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
	<-done
	if got := scrape(t, registry, "weir_http_requests_total"); got != `weir_http_requests_total{gateway="test",method="GET",route="ws",status="1xx"} 1` {
		t.Errorf("got %s", got)
	}
}
