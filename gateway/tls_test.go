package gateway_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/gateway"
)

// shaken is a listener with TLS, whose handler says what it was reached by.
type shaken struct {
	server *gateway.Server
	*gateway.Listener
	authority *flowtest.Authority
	dir       string
}

func listenTLS(t *testing.T, cfg gateway.ListenerConfig, files map[string]flowtest.Certificate, a *flowtest.Authority) (*shaken, error) {
	t.Helper()
	dir := t.TempDir()
	for name, c := range files {
		c.Write(t, dir, name)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), a.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string {
		if name == "" {
			return ""
		}
		return filepath.Join(dir, name)
	}
	cfg.TLS.ClientCA = in(cfg.TLS.ClientCA)
	for i := range cfg.TLS.Certificates {
		c := &cfg.TLS.Certificates[i]
		c.Cert, c.Key = in(c.Cert), in(c.Key)
	}
	server := newServer(t)
	l, err := server.Listen("127.0.0.1:0", cfg)
	if err != nil {
		return nil, err
	}
	l.Swap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		if r.TLS == nil {
			http.Error(w, "no TLS", http.StatusInternalServerError)
			return
		}
		for _, c := range r.TLS.PeerCertificates {
			_, _ = io.WriteString(w, c.Subject.CommonName)
		}
	}))
	l.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return &shaken{server: server, Listener: l, authority: a, dir: dir}, nil
}

func newServer(t *testing.T) *gateway.Server {
	t.Helper()
	m, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return gateway.NewServer(slog.New(slog.DiscardHandler), m)
}

func mustListenTLS(t *testing.T, cfg gateway.ListenerConfig, files map[string]flowtest.Certificate, a *flowtest.Authority) *shaken {
	t.Helper()
	s, err := listenTLS(t, cfg, files, a)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func certificates(names ...string) (all []gateway.CertificateFiles) {
	for _, name := range names {
		all = append(all, gateway.CertificateFiles{Cert: name + ".pem", Key: name + ".key"})
	}
	return all
}

// shown is the certificate that a client gets that asks for a name.
func (s *shaken) shown(t *testing.T, name string) string {
	t.Helper()
	c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// client speaks HTTP to the listener, and keeps its connections.
func (s *shaken) client(t *testing.T, own *flowtest.Certificate, protocols func(*http.Protocols)) *http.Client {
	cfg := &tls.Config{RootCAs: s.authority.Pool, ServerName: "shop.example"}
	if own != nil {
		cfg.Certificates = []tls.Certificate{own.Pair}
	}
	transport := &http.Transport{TLSClientConfig: cfg, Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, s.Addr().String())
		}}
	protocols(transport.Protocols)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }
func http2(p *http.Protocols) { p.SetHTTP2(true) }

func TestCertificatesAreChosenByName(t *testing.T) {
	a := flowtest.NewAuthority(t)
	s := mustListenTLS(t, gateway.ListenerConfig{TLS: &gateway.TLS{Certificates: certificates("first", "wild", "exact")}}, map[string]flowtest.Certificate{
		"first": a.Issue("first.example", "also.example"),
		"wild":  a.Issue("*.shop.example"),
		"exact": a.Issue("www.shop.example"),
	}, a)
	for asked, want := range map[string]string{
		"first.example":      "first.example",
		"also.example":       "first.example",
		"www.shop.example":   "www.shop.example",
		"WWW.Shop.Example":   "www.shop.example",
		"api.shop.example":   "*.shop.example",
		"a.api.shop.example": "first.example", // a wildcard stands for one label
		"shop.example":       "first.example",
		"other.example":      "first.example",
		"":                   "first.example",
	} {
		if got := s.shown(t, asked); got != want {
			t.Errorf("%q: shown %q, want %q", asked, got, want)
		}
	}
}

func TestProtocolsAreNegotiated(t *testing.T) {
	a := flowtest.NewAuthority(t)
	files := map[string]flowtest.Certificate{"shop": a.Issue("shop.example")}
	for _, c := range []struct {
		name      string
		tls       gateway.TLS
		protocols func(*http.Protocols)
		want      string // "" is none
	}{
		{"HTTP/2", gateway.TLS{}, http2, "HTTP/2.0"},
		{"HTTP/1.1", gateway.TLS{}, http1, "HTTP/1.1"},
		{"both", gateway.TLS{}, func(p *http.Protocols) { http1(p); http2(p) }, "HTTP/2.0"},
		{"both, of a gateway without HTTP/2", gateway.TLS{HTTP1: true}, func(p *http.Protocols) { http1(p); http2(p) }, "HTTP/1.1"},
		{"HTTP/2 alone, of a gateway without", gateway.TLS{HTTP1: true}, http2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := c.tls
			cfg.Certificates = certificates("shop")
			s := mustListenTLS(t, gateway.ListenerConfig{TLS: &cfg}, files, a)
			got := flowtest.Read(s.client(t, nil, c.protocols).Get("https://shop.example/"))
			if proto := got.Header.Get("X-Proto"); proto != c.want || (c.want == "") != (got.Err != nil) {
				t.Errorf("got %q, %v", proto, got.Err)
			}
		})
	}
}

func TestAClientThatLeavesIsNoticedBelowTLS(t *testing.T) {
	a := flowtest.NewAuthority(t)
	for name, protocols := range map[string]func(*http.Protocols){"HTTP/1.1": http1, "HTTP/2": http2} {
		t.Run(name, func(t *testing.T) {
			s := mustListenTLS(t, gateway.ListenerConfig{TLS: &gateway.TLS{Certificates: certificates("one")}},
				map[string]flowtest.Certificate{"one": a.Issue("shop.example")}, a)
			c := s.client(t, nil, protocols)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			ended := make(chan struct{})
			s.Swap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				leave()
				<-r.Context().Done()
				close(ended)
			}))
			r, err := http.NewRequestWithContext(ctx, "GET", "https://"+s.Addr().String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Do(r); err == nil {
				t.Error("answered")
			}
			<-ended
		})
	}
}

func TestHTTP2WithoutTLSHasToBeAskedFor(t *testing.T) {
	for _, asked := range []bool{false, true} {
		l, err := newServer(t).Listen("127.0.0.1:0", gateway.ListenerConfig{H2C: asked})
		if err != nil {
			t.Fatal(err)
		}
		l.Swap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
		l.Start()
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		got := flowtest.Read((&http.Client{Transport: transport}).Get("http://" + l.Addr().String()))
		if (got.Body == "HTTP/2.0") != asked {
			t.Errorf("asked for %v: got %+v", asked, got)
		}
		transport.CloseIdleConnections()
		if err := l.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	a := flowtest.NewAuthority(t)
	files := map[string]flowtest.Certificate{"shop": a.Issue("shop.example")}
	for _, c := range []struct {
		least string
		spoke uint16
		taken bool
	}{{"", tls.VersionTLS11, false}, {"", tls.VersionTLS12, true}, {"1.2", tls.VersionTLS13, true}, {"1.3", tls.VersionTLS12, false}, {"1.3", tls.VersionTLS13, true}} {
		s := mustListenTLS(t, gateway.ListenerConfig{TLS: &gateway.TLS{Certificates: certificates("shop"), MinVersion: c.least}}, files, a)
		conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: c.spoke})
		if (err == nil) != c.taken {
			t.Errorf("%q and %s: %v", c.least, tls.VersionName(c.spoke), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestClientsShowTheirCertificates(t *testing.T) {
	a, stranger := flowtest.NewAuthority(t), flowtest.NewAuthority(t)
	partner, forged, expired := a.Issue("partner-7"), stranger.Issue("partner-7"), a.IssueUntil(time.Now().Add(-time.Minute), "partner-7")
	for _, c := range []struct {
		name, client string
		own          *flowtest.Certificate
		status       int // 0: no connection
		body         string
	}{
		{"asked for and shown", "request", &partner, 200, "partner-7"},
		{"asked for and not shown", "request", nil, 200, ""},
		{"asked for and forged", "request", &forged, 0, ""},
		{"required and shown", "require", &partner, 200, "partner-7"},
		{"required and not shown", "require", nil, 0, ""},
		{"required and forged", "require", &forged, 0, ""},
		{"required and expired", "require", &expired, 0, ""},
		{"not asked for", "", &partner, 200, ""},
	} {
		for proto, protocols := range map[string]func(*http.Protocols){"HTTP/1.1": http1, "HTTP/2": http2} {
			t.Run(c.name+" over "+proto, func(t *testing.T) {
				cfg := &gateway.TLS{Certificates: certificates("shop"), Client: c.client}
				if c.client != "" {
					cfg.ClientCA = "ca.pem"
				}
				s := mustListenTLS(t, gateway.ListenerConfig{TLS: cfg}, map[string]flowtest.Certificate{"shop": a.Issue("shop.example")}, a)
				got := flowtest.Read(s.client(t, c.own, protocols).Get("https://shop.example/"))
				if got.Status != c.status || got.Body != c.body {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

func TestAListenerDoesNotOpenWithFilesThatCannotBeUsed(t *testing.T) {
	a := flowtest.NewAuthority(t)
	good, other := a.Issue("shop.example"), a.Issue("other.example")
	for _, c := range []struct {
		name  string
		files map[string]flowtest.Certificate
		ca    string
		want  []string
	}{
		{"missing", nil, "", []string{"shop.pem", "no such file"}},
		{"mismatched", map[string]flowtest.Certificate{"shop": {Cert: good.Cert, Key: other.Key}}, "", []string{"shop.pem with", "shop.key", "private key does not match"}},
		{"no certificate", map[string]flowtest.Certificate{"shop": {Cert: []byte("hello"), Key: good.Key}}, "", []string{"shop.pem", "failed to find any PEM data"}},
		{"a key for a certificate", map[string]flowtest.Certificate{"shop": {Cert: good.Key, Key: good.Key}}, "", []string{"shop.pem"}},
		{"too large", map[string]flowtest.Certificate{"shop": {Cert: []byte(strings.Repeat("x", 2<<20)), Key: good.Key}}, "", []string{"shop.pem is larger than"}},
		{"an authority without a certificate", map[string]flowtest.Certificate{"shop": good}, "shop.key", []string{"shop.key has no certificate"}},
		{"an authority that is not there", map[string]flowtest.Certificate{"shop": good}, "none.pem", []string{"none.pem", "no such file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := listenTLS(t, gateway.ListenerConfig{TLS: &gateway.TLS{Certificates: certificates("shop"), Client: "require", ClientCA: c.ca}}, c.files, a)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

// A client that speaks no TLS, or says nothing at all, holds up nobody.
func TestHandshakesThatFailAreEachAlone(t *testing.T) {
	a := flowtest.NewAuthority(t)
	s := mustListenTLS(t, gateway.ListenerConfig{TLS: &gateway.TLS{Certificates: certificates("shop")}}, map[string]flowtest.Certificate{"shop": a.Issue("shop.example")}, a)
	silent, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	plain, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, _ = io.WriteString(plain, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if answer, _ := io.ReadAll(plain); !strings.Contains(string(answer), "400 Bad Request") {
		t.Errorf("plain HTTP: %q", answer)
	}
	garbage, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	_, _ = garbage.Write([]byte{0x16, 3, 1, 0xff, 0xff, 0, 0})
	if got := flowtest.Read(s.client(t, nil, http1).Get("https://shop.example/")); got.Status != 200 {
		t.Errorf("got %+v", got)
	}
}
