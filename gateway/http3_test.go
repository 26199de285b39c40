//go:build http3

package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/gateway"
)

// listenHTTP3 has a certificate for shop.example.
func listenHTTP3(t *testing.T, cfg gateway.ListenerConfig) *shaken {
	t.Helper()
	a := flowtest.NewAuthority(t)
	if cfg.TLS == nil {
		cfg.TLS = &gateway.TLS{Certificates: certificates("shop")}
	}
	cfg.TLS.HTTP3 = true
	return mustListenTLS(t, cfg, map[string]flowtest.Certificate{"shop": a.Issue("shop.example")}, a)
}

// over3 is a client of HTTP/3 with one connection, which has the certificates.
func (s *shaken) over3(t *testing.T, own ...tls.Certificate) *http.Client {
	t.Helper()
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.authority.Pool, ServerName: "shop.example", Certificates: own},
		QUICConfig:      &quic.Config{HandshakeIdleTimeout: 2 * time.Second},
		Dial: func(ctx context.Context, _ string, cfg *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, s.Addr().String(), cfg, q)
		},
	}
	t.Cleanup(func() { _ = transport.Close() })
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// dial3 is a connection without HTTP on it.
func (s *shaken) dial3(t *testing.T, name string) (*quic.Conn, error) {
	t.Helper()
	c, err := quic.DialAddr(t.Context(), s.Addr().String(),
		&tls.Config{InsecureSkipVerify: true, ServerName: name, NextProtos: []string{http3.NextProtoH3}}, &quic.Config{HandshakeIdleTimeout: 2 * time.Second})
	if err == nil {
		t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	}
	return c, err
}

// eventually waits for what a peer gets to know in its own time.
func eventually(t *testing.T, happens func() bool) {
	t.Helper()
	for !happens() {
		select {
		case <-t.Context().Done():
			t.Fatal("it did not happen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestHTTP3IsAnsweredAndTold(t *testing.T) {
	s := listenHTTP3(t, gateway.ListenerConfig{})
	s.Swap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("Connection", "close") // of HTTP/1.1
		if r.ContentLength == 0 {
			w.Header().Set("X-Body", "none")
		}
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	}))
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than all windows
	for _, c := range []struct {
		name   string
		client *http.Client
		proto  string
		told   string
	}{
		{"3", s.over3(t), "HTTP/3.0", ""},
		{"2", s.client(t, nil, http2), "HTTP/2.0", `h3=":443"`},
		{"1.1", s.client(t, nil, http1), "HTTP/1.1", `h3=":443"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, err := c.client.Get("https://shop.example/a")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			h := resp.Header
			if h.Get("X-Proto") != c.proto || h.Get("Alt-Svc") != c.told || h.Get("X-Body") != "none" || c.proto == "HTTP/3.0" && h["Connection"] != nil {
				t.Errorf("got %v", h)
			}
			req, _ := http.NewRequest("POST", "https://shop.example/a", io.MultiReader(bytes.NewReader(big)))
			req.Trailer = http.Header{"X-Sum": {"7"}}
			if resp, err = c.client.Do(req); err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, big) || resp.Trailer.Get("X-Sum") != "7" {
				t.Errorf("%d bytes came back, %v, with %v", len(got), err, resp.Trailer)
			}
		})
	}
	resp, err := s.client(t, nil, http2).Get("https://shop.example:8443/")
	if err != nil || resp.Header.Get("Alt-Svc") != `h3=":8443"` {
		t.Errorf("got %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

func TestHTTP3RequestsPassTheGatewaysChecks(t *testing.T) {
	m, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	var ds dsl.Diagnostics
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			status := http.StatusTeapot
			if errors.Is(err, gateway.ErrBodyTooLarge) {
				status = http.StatusRequestEntityTooLarge
			} else if errors.Is(err, gateway.ErrBodyTooSlow) {
				status = http.StatusRequestTimeout
			}
			w.WriteHeader(status)
		}
	})
	router := gateway.NewRouter([]gateway.Route{{Gateway: "g", Method: "GET", Path: "/a", Name: "a", Handler: echo}, {Gateway: "g", Method: "POST", Path: "/a", Name: "b", Handler: echo}}, &ds)
	s := listenHTTP3(t, gateway.ListenerConfig{MaxHeaderBytes: 16 << 10})
	s.Swap(gateway.NewHandler(router, gateway.Options{Gateway: "g", Log: slog.New(slog.DiscardHandler), Metrics: m, MaxBody: 100, MaxFields: 10, StallTimeout: 300 * time.Millisecond}))
	client := s.over3(t)
	slow, end := io.Pipe()
	defer end.Close()
	for name, c := range map[string]struct {
		method, url string
		change      func(*http.Request)
		status      int
	}{
		"what is right":          {"GET", "/a", nil, 200},
		"a path with dots":       {"GET", "/%2e%2e/a", nil, 400},
		"a path of two slashes":  {"GET", "//a", nil, 400},
		"a host that is none":    {"GET", "/a", func(r *http.Request) { r.Host = "a:0" }, 400},
		"a path that is unknown": {"GET", "/b", nil, 404},
		"TRACE":                  {"TRACE", "/a", nil, 501},
		"a long URL":             {"GET", "/a?" + strings.Repeat("x", 9000), nil, 414},
		"many fields": {"GET", "/a", func(r *http.Request) {
			for i := range 11 {
				r.Header.Set("X-"+string(rune('a'+i)), "1")
			}
		}, 431},
		"a large header":    {"GET", "/a", func(r *http.Request) { r.Header.Set("X-A", strings.Repeat("x", 17<<10)) }, 431},
		"a large body":      {"POST", "/a", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 101))) }, 413},
		"a body that hangs": {"POST", "/a", func(r *http.Request) { r.Body = slow }, 408},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, "https://shop.example"+c.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(req)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("got %s", resp.Status)
			}
		})
	}
}

func TestHTTP3CutsOffAClientThatDoesNotRead(t *testing.T) {
	m, _ := gateway.NewMetrics(prometheus.NewRegistry())
	var ds dsl.Diagnostics
	failed := make(chan error, 1)
	router := gateway.NewRouter([]gateway.Route{{Gateway: "g", Method: "GET", Path: "/a", Name: "a", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 64<<10)
		for {
			if _, err := w.Write(piece); err != nil {
				failed <- err
				return
			}
		}
	})}}, &ds)
	s := listenHTTP3(t, gateway.ListenerConfig{})
	s.Swap(gateway.NewHandler(router, gateway.Options{Gateway: "g", Log: slog.New(slog.DiscardHandler), Metrics: m, StallTimeout: 200 * time.Millisecond}))
	resp, err := s.over3(t).Get("https://shop.example/a")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-failed
}

func TestHTTP3CertificatesAreChosenByNameAndReloaded(t *testing.T) {
	a := flowtest.NewAuthority(t)
	s := mustListenTLS(t, gateway.ListenerConfig{TLS: &gateway.TLS{HTTP3: true, Certificates: certificates("shop", "other")}}, map[string]flowtest.Certificate{
		"shop": a.Issue("shop.example"), "other": a.Issue("other.example"),
	}, a)
	shown := func(name string) string {
		c, err := s.dial3(t, name)
		if err != nil {
			t.Fatal(err)
		}
		return c.ConnectionState().TLS.PeerCertificates[0].Subject.CommonName
	}
	if got := shown("other.example"); got != "other.example" {
		t.Errorf("got %s", got)
	}
	before := s.over3(t)
	get := func() flowtest.Answer { return flowtest.Read(before.Get("https://shop.example/")) }
	if got := get(); got.Status != 200 {
		t.Fatalf("got %+v", got)
	}
	a.Issue("fresh.example", "shop.example").Write(t, s.dir, "shop")
	eventually(t, func() bool { return shown("shop.example") == "fresh.example" })
	if got := get(); got.Status != 200 {
		t.Errorf("the connection from before got %+v", got)
	}
}

func TestHTTP3ClientsShowTheirCertificates(t *testing.T) {
	a, stranger := flowtest.NewAuthority(t), flowtest.NewAuthority(t)
	partner, forged := a.Issue("partner-7"), stranger.Issue("partner-7")
	for name, c := range map[string]struct {
		client string
		own    []tls.Certificate
		status int // 0: no connection
		body   string
	}{
		"asked for and shown":     {"request", []tls.Certificate{partner.Pair}, 200, "partner-7"},
		"asked for and not shown": {"request", nil, 200, ""},
		"asked for and forged":    {"request", []tls.Certificate{forged.Pair}, 0, ""},
		"required and shown":      {"require", []tls.Certificate{partner.Pair}, 200, "partner-7"},
		"required and not shown":  {"require", nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustListenTLS(t, gateway.ListenerConfig{TLS: &gateway.TLS{HTTP3: true, Certificates: certificates("shop"), Client: c.client, ClientCA: "ca.pem"}},
				map[string]flowtest.Certificate{"shop": a.Issue("shop.example")}, a)
			if got := flowtest.Read(s.over3(t, c.own...).Get("https://shop.example/")); got.Status != c.status || got.Body != c.body {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestHTTP3ConnectionsAreCounted(t *testing.T) {
	for name, cfg := range map[string]gateway.ListenerConfig{"in all": {MaxConnections: 1}, "by address": {MaxPerAddress: 1}} {
		t.Run(name, func(t *testing.T) {
			s := listenHTTP3(t, cfg)
			first, err := s.dial3(t, "shop.example")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.dial3(t, "shop.example"); err == nil {
				t.Error("a second one was taken")
			}
			if got := flowtest.Read(s.client(t, nil, http2).Get("https://shop.example/")); got.Status == 200 {
				t.Error("one by TCP was taken")
			}
			_ = first.CloseWithError(0, "")
			eventually(t, func() bool {
				c, err := s.dial3(t, "shop.example")
				if err == nil {
					_ = c.CloseWithError(0, "")
				}
				return err == nil
			})
		})
	}
}

func TestHTTP3EndsConnectionsThatAskForNothing(t *testing.T) {
	s := listenHTTP3(t, gateway.ListenerConfig{IdleTimeout: 100 * time.Millisecond})
	c, err := quic.DialAddr(t.Context(), s.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}},
		&quic.Config{KeepAlivePeriod: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	str, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = str.Write([]byte{1, 40, 0}) // the beginning of a header of 40 bytes
	<-c.Context().Done()
}

func TestHTTP3RapidResetsEndTheConnection(t *testing.T) {
	s := listenHTTP3(t, gateway.ListenerConfig{})
	s.Swap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	conn, err := s.dial3(t, "shop.example")
	if err != nil {
		t.Fatal(err)
	}
	client := (&http3.Transport{}).NewClientConn(conn)
	for sent := 0; conn.Context().Err() == nil; sent++ {
		if sent > 10000 {
			t.Fatal("it is open still")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://shop.example/", nil)
		if resp, err := client.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
		cancel()
	}
}

func TestHTTP3ShutdownLetsRequestsEnd(t *testing.T) {
	s := listenHTTP3(t, gateway.ListenerConfig{})
	begun, end := make(chan struct{}), make(chan struct{})
	s.Swap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		_, _ = io.WriteString(w, "done")
	}))
	got := make(chan flowtest.Answer)
	client := s.over3(t)
	go func() { got <- flowtest.Read(client.Get("https://shop.example/")) }()
	idle, err := s.dial3(t, "shop.example")
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	stopped := make(chan error)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	<-idle.Context().Done() // a client that stays is closed
	close(end)
	if r := <-got; r.Body != "done" {
		t.Errorf("got %+v", r)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	socket, err := net.ListenPacket("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = socket.Close()
}

func TestHTTP3ShutdownIsBounded(t *testing.T) {
	s := listenHTTP3(t, gateway.ListenerConfig{})
	begun, cause := make(chan struct{}), make(chan error, 1)
	s.Swap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	}))
	got := make(chan flowtest.Answer)
	client := s.over3(t)
	go func() { got <- flowtest.Read(client.Get("https://shop.example/")) }()
	<-begun
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Shutdown(ended); err == nil {
		t.Error("nothing was cut off")
	}
	if err := <-cause; err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("the request ended of %v", err)
	}
	<-got // what the handler still said, or nothing
}

// The socket of connections that end slowly is that of the listener that comes
// after on the same address.
func TestHTTP3FollowsTheConfiguration(t *testing.T) {
	s := listenHTTP3(t, gateway.ListenerConfig{Name: "g"})
	client := s.over3(t)
	get := func(c *http.Client) flowtest.Answer { return flowtest.Read(c.Get("https://shop.example/")) }
	if got := get(client); got.Status != 200 {
		t.Fatalf("got %+v", got)
	}
	files := []gateway.CertificateFiles{{Cert: s.dir + "/shop.pem", Key: s.dir + "/shop.key"}}
	for range 2 {
		for _, on := range []bool{false, true} {
			use, err := s.Prepare(gateway.ListenerConfig{Name: "g", TLS: &gateway.TLS{Certificates: files, HTTP3: on}})
			if err != nil {
				t.Fatal(err)
			}
			use()
			if got := get(client); got.Status != 200 {
				t.Errorf("the connection from before got %+v", got)
			}
			c, err := s.dial3(t, "shop.example")
			if (err == nil) != on {
				t.Errorf("with http3 %v: %v", on, err)
			}
			if err == nil {
				_ = c.CloseWithError(0, "")
			}
			told := flowtest.Read(s.client(t, nil, http1).Get("https://shop.example/")).Header.Get("Alt-Svc")
			if (told != "") != on {
				t.Errorf("with http3 %v clients are told %q", on, told)
			}
		}
	}
}

func TestHTTP3AnAddressIsFreeWhileConnectionsEnd(t *testing.T) {
	s := listenHTTP3(t, gateway.ListenerConfig{})
	begun, end := make(chan struct{}), make(chan struct{})
	s.Swap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		_, _ = io.WriteString(w, "old")
	}))
	got := make(chan flowtest.Answer)
	client := s.over3(t)
	go func() { got <- flowtest.Read(client.Get("https://shop.example/")) }()
	<-begun
	s.Stop()
	files := []gateway.CertificateFiles{{Cert: s.dir + "/shop.pem", Key: s.dir + "/shop.key"}}
	next, err := s.server.Listen(s.Addr().String(), gateway.ListenerConfig{TLS: &gateway.TLS{Certificates: files, HTTP3: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Shutdown(context.Background()) }()
	next.Swap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "new") }))
	next.Start()
	if r := flowtest.Read(s.over3(t).Get("https://shop.example/")); r.Body != "new" {
		t.Errorf("got %+v", r)
	}
	close(end)
	if r := <-got; r.Body != "old" {
		t.Errorf("got %+v", r)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if r := flowtest.Read(s.over3(t).Get("https://shop.example/")); r.Body != "new" {
		t.Errorf("after the end of the one before got %+v", r)
	}
}
