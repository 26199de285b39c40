package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestLongTargetsAreRefused(t *testing.T) {
	h := newTestHandler(t, Options{MaxURL: 20}, route("GET", "/{rest:.*}"))
	for target, want := range map[string]int{"/" + strings.Repeat("a", 19): 200, "/" + strings.Repeat("a", 20): 414, "/?" + strings.Repeat("a", 19): 414} {
		if w := do(h, "GET", target); w.Code != want || want == 414 && w.Header().Get("Connection") != "close" {
			t.Errorf("%s: %d %v", target, w.Code, w.Header())
		}
	}
}

func TestTooManyFieldsOfHTTP2AreRefused(t *testing.T) {
	h := newTestHandler(t, Options{MaxFields: 3}, route("GET", "/a"))
	for n, want := range map[int]int{3: 200, 4: 431} {
		r := httptest.NewRequest("GET", "/a", nil)
		r.ProtoMajor, r.Proto = 2, "HTTP/2.0"
		for range n {
			r.Header.Add("X", "y")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d fields: %d", n, w.Code)
		}
	}
}

// closed reports whether a connection is closed without a word.
func closed(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 1))
	ne, slow := err.(net.Error)
	return n == 0 && !(slow && ne.Timeout())
}

func TestConnectionsAreCounted(t *testing.T) {
	for name, cfg := range map[string]ListenerConfig{"in all": {MaxConnections: 3}, "by address": {MaxPerAddress: 3}} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			s := NewServer(slog.New(slog.DiscardHandler), newTestMetrics(t, registry))
			t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
			cfg.Name = "public"
			l := mustListen(t, s, "127.0.0.1:0", cfg)
			l.Swap(text("ok"))
			l.Start()
			var open []net.Conn
			dial := func() net.Conn {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			for range 3 {
				open = append(open, dial())
			}
			if !closed(t, dial()) {
				t.Error("the fourth connection stays open")
			}
			for i, c := range open {
				if closed(t, c) {
					t.Errorf("connection %d is closed", i)
				}
			}
			if got := scrape(t, registry, "weir_http_connections"); got != `weir_http_connections{gateway="public"} 3` {
				t.Error(got)
			}
			if got := scrape(t, registry, "weir_http_connections_rejected_total"); !strings.HasSuffix(got, " 1") {
				t.Error(got)
			}
			for _, c := range open {
				c.Close()
			}
			for range 100 { // the server learns of it a little later
				if !closed(t, dial()) {
					return
				}
			}
			t.Error("those that have closed are counted")
		})
	}
}

func TestConnectionsAreCountedByNeighbourhood(t *testing.T) {
	for text, want := range map[string]string{"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::", "[fe80::1%eth0]:1": "fe80::"} {
		if got := neighbourhood(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text))); got.String() != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// Thousands of connections that send a byte now and then hold up nobody, and are
// gone when their time for a header is over.
func TestSlowConnectionsHoldUpNobody(t *testing.T) {
	const slow = 2000
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
		s := NewServer(slog.New(slog.DiscardHandler), newTestMetrics(t, prometheus.NewRegistry()))
		s.Open = func(string, string) (net.Listener, error) { return p, nil }
		l := mustListen(t, s, ":80", ListenerConfig{})
		l.Swap(text("ok"))
		l.Start()
		defer func() { _ = s.Shutdown(context.Background()) }()
		connect := func() net.Conn {
			near, far := net.Pipe()
			p.conns <- far
			return near
		}
		ended := make(chan time.Duration, slow)
		for range slow {
			c, begin := connect(), time.Now()
			go func() { _, _ = io.Copy(io.Discard, c) }()
			go func() {
				defer c.Close()
				for _, b := range []byte("GET / HTTP/1.1\r\nHost: x\r\nX-Long: aaaaaaaaaaaaaaaaaaa") {
					if _, err := c.Write([]byte{b}); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				ended <- time.Since(begin)
			}()
		}
		time.Sleep(time.Second)
		c := connect()
		defer c.Close()
		go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
		if answer, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(answer), "ok") {
			t.Errorf("got %q, %v", answer, err)
		}
		for range slow {
			if took := <-ended; took > 7*time.Second {
				t.Fatalf("a slow connection was open for %v", took)
			}
		}
		synctest.Wait()
		if n := l.census.all; n != 0 {
			t.Errorf("%d connections are counted", n)
		}
	})
}

// A client of HTTP/2 that takes back all that it asks for is cut off.
func TestRapidResetsEndTheConnection(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := NewServer(slog.New(slog.DiscardHandler), newTestMetrics(t, registry))
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	l := mustListen(t, s, "127.0.0.1:0", ListenerConfig{Name: "public", H2C: true})
	l.Swap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	l.Start()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "x"}} {
		_ = encoder.WriteField(f)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c)
	}()
	for sent := range 100 * maxResets {
		stream := uint32(2*sent + 1)
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}) != nil {
			break
		}
		if framer.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
			break
		}
		block.Reset()
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "x"}} {
			_ = encoder.WriteField(f)
		}
	}
	<-ended // the connection
	if got := scrape(t, registry, "weir_http_connections"); got != `weir_http_connections{gateway="public"} 0` {
		t.Error(got)
	}
}
