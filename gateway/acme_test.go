package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/gateway/acme"
)

// issuing is a listener whose certificates an authority issues, and one without
// TLS, in processes that come one after the other.
type issuing struct {
	t         *testing.T
	authority *flowtest.ACME
	config    gateway.ListenerConfig
	secure    *gateway.Listener
	plain     *gateway.Listener
	server    *gateway.Server
}

func newIssuing(t *testing.T, domains ...string) *issuing {
	t.Helper()
	a := flowtest.NewACME(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, a.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(t.TempDir(), "cache")
	s := &issuing{t: t, authority: a, config: gateway.ListenerConfig{Name: "secure", TLS: &gateway.TLS{ACME: &acme.Config{
		Domains: domains, Directory: a.URL, Email: "ops@shop.example", Cache: cache, CA: ca, HTTP01: true,
	}}}}
	t.Cleanup(func() { s.stop() })
	return s
}

// start begins a process.
func (s *issuing) start() {
	s.t.Helper()
	metrics, err := gateway.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = gateway.NewServer(slog.New(slog.DiscardHandler), metrics)
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	listen := func(c gateway.ListenerConfig) *gateway.Listener {
		l, err := s.server.Listen("127.0.0.1:0", c)
		if err != nil {
			s.t.Fatal(err)
		}
		l.Swap(ok)
		return l
	}
	s.plain = listen(gateway.ListenerConfig{Name: "plain", Challenges: []string{s.config.TLS.ACME.Cache}})
	s.secure = listen(s.config)
	s.authority.Look(s.secure.Addr().String(), s.plain.Addr().String())
	s.plain.Start()
	s.secure.Start()
}

func (s *issuing) stop() {
	if s.server != nil {
		_ = s.server.Shutdown(context.Background())
	}
}

// shown is the certificate for a name, if there is one.
func (s *issuing) shown(name string) (tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", s.secure.Addr().String(), &tls.Config{RootCAs: s.authority.Pool, ServerName: name, NextProtos: []string{"h2"}})
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.ConnectionState(), nil
}

// await tries until there is no fault any more.
func (s *issuing) await(what string, try func() error) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			_, _, faults := s.authority.Issued()
			s.t.Fatalf("%s: %v; the authority says %v", what, err, errors.Join(faults...))
		}
	}
}

func (s *issuing) awaitShown(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.await(name, func() error { _, err := s.shown(name); return err })
	}
}

func TestCertificatesAreIssued(t *testing.T) {
	for _, c := range []struct {
		name  string
		offer []string
		spoil func(*issuing)
		ways  []string
	}{
		{"by TLS-ALPN-01", []string{"http-01", "tls-alpn-01"}, func(*issuing) {}, []string{"tls-alpn-01", "tls-alpn-01"}},
		{"by HTTP-01, which alone is offered", []string{"dns-01", "http-01"}, func(*issuing) {}, []string{"http-01", "http-01"}},
		{"by HTTP-01, where port 443 leads elsewhere", []string{"http-01", "tls-alpn-01"},
			func(s *issuing) { s.authority.Look("127.0.0.1:1", s.plain.Addr().String()) }, []string{"http-01", "http-01"}},
		{"to a listener that asks for certificates of clients", []string{"tls-alpn-01"}, func(*issuing) {}, []string{"tls-alpn-01", "tls-alpn-01"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newIssuing(t, "shop.example", "www.shop.example")
			s.authority.Ways = c.offer
			if strings.Contains(c.name, "clients") {
				s.config.TLS.Client, s.config.TLS.ClientCA = "require", s.config.TLS.ACME.CA
			}
			s.start()
			c.spoil(s)
			s.await("certificates", func() error {
				if n, _, _ := s.authority.Issued(); n < 2 {
					return errors.New("not all are issued")
				}
				return nil
			})
			s.awaitShown("shop.example", "www.shop.example")
			if _, ways, faults := s.authority.Issued(); !slices.Equal(ways, c.ways) {
				t.Errorf("proved by %v, %v", ways, errors.Join(faults...))
			}
			if state, err := s.shown("shop.example"); err != nil || state.NegotiatedProtocol != "h2" {
				t.Errorf("speaks %q, %v", state.NegotiatedProtocol, err)
			}
			if _, err := s.shown("other.example"); err == nil {
				t.Error("a name that is not its own is shown a certificate that holds")
			}
		})
	}
}

// What was issued is used by the next process, and by a configuration that leaves
// it as it is.
func TestIssuedCertificatesAreKept(t *testing.T) {
	s := newIssuing(t, "shop.example")
	s.start()
	s.awaitShown("shop.example")
	s.config.MaxFields = 50
	use, err := s.secure.Prepare(s.config)
	if err != nil {
		t.Fatal(err)
	}
	use()
	s.awaitShown("shop.example")
	s.stop()
	s.start()
	if _, err := s.shown("shop.example"); err != nil {
		t.Errorf("right after the start: %v", err)
	}
	more := *s.config.TLS.ACME
	more.Domains = []string{"shop.example", "new.example"}
	s.config.TLS = &gateway.TLS{ACME: &more}
	if use, err = s.secure.Prepare(s.config); err != nil {
		t.Fatal(err)
	}
	use()
	if _, err := s.shown("shop.example"); err != nil {
		t.Errorf("right after a change: %v", err)
	}
	s.awaitShown("new.example")
	if n, _, faults := s.authority.Issued(); n != 2 || len(faults) > 0 {
		t.Errorf("%d certificates were issued, want one for each domain: %v", n, errors.Join(faults...))
	}
	err = filepath.WalkDir(more.Cache, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 || strings.Contains(path, ".new-") {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestIssuedCertificatesAreRenewedInTime(t *testing.T) {
	s := newIssuing(t, "shop.example")
	s.authority.Lifetime = 4 * time.Second
	s.start()
	s.awaitShown("shop.example")
	first, err := s.shown("shop.example")
	if err != nil {
		t.Fatal(err)
	}
	s.await("another certificate", func() error {
		state, err := s.shown("shop.example")
		if err != nil {
			t.Fatalf("in between: %v", err)
		}
		if state.PeerCertificates[0].SerialNumber.Cmp(first.PeerCertificates[0].SerialNumber) == 0 {
			return errors.New("it is the first one")
		}
		return nil
	})
}

// Until there is a certificate handshakes fail, and all else goes on.
func TestAnAuthorityThatCannotBeReachedHoldsUpNobody(t *testing.T) {
	s := newIssuing(t, "shop.example")
	s.config.TLS.ACME.Directory = "https://127.0.0.1:1/directory"
	s.start()
	if _, err := s.shown("shop.example"); err == nil {
		t.Error("there is a certificate")
	}
	resp, err := http.Get("http://" + s.plain.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the other listener answers %s", resp.Status)
	}
}

// What looks like a challenge and is none goes to the routes, and no file of the
// cache can be read.
func TestOnlyTokensAreAnsweredFor(t *testing.T) {
	s := newIssuing(t, "shop.example")
	s.start()
	s.awaitShown("shop.example")
	if err := os.WriteFile(filepath.Join(s.config.TLS.ACME.Cache, "challenges", "open_Sesame-1"), []byte("there"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/.well-known/acme-challenge/open_Sesame-1":         "there",
		"/.well-known/acme-challenge/none":                  "ok",
		"/.well-known/acme-challenge/":                      "ok",
		"/.well-known/acme-challenge/..%2f..%2faccount.key": "ok",
		"/.well-known/acme-challenge/open_Sesame-1/x":       "ok",
		"/open_Sesame-1":                                    "ok",
	} {
		resp, err := http.Get("http://" + s.plain.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}
