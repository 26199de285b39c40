package flows_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// secure is a program whose gateway has TLS, with more settings for it.
func secure(cert, key, more string) string {
	return fmt.Sprintf(`
flow: f
trigger: { http: GET / }
steps: [{ return: ok }]
---
gateways: { public: { listen: "public:80", tls: { certificates: [{ cert: %s, key: %s }] } %s } }
`, cert, key, more)
}

// authority is for tests in virtual time. The two ends of a connection in memory
// can both be saying goodbye, which TLS gives them 5s for.
func authority(t *testing.T) *flowtest.Authority {
	t.Cleanup(func() { time.Sleep(10 * time.Second) }) // after the program has been shut down
	return flowtest.NewAuthority(t)
}

// overTLS is a client of the gateway public. Over HTTP/2 it keeps one connection.
func overTLS(w *flowtest.World, a *flowtest.Authority, http2 bool) *http.Client {
	client := w.NewClient()
	t := client.Transport.(*http.Transport)
	t.TLSClientConfig = &tls.Config{RootCAs: a.Pool, ServerName: "shop.example"}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(!http2)
	t.Protocols.SetHTTP2(http2)
	return client
}

// load asks over connections that are kept and over such that are not, until
// it is told to stop. Each answer has to be whole.
func load(t *testing.T, w *flowtest.World, a *flowtest.Authority) (stop func() (asked int64)) {
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var asked atomic.Int64
	for i := range 6 {
		client := overTLS(w, a, i%2 == 0)
		asking.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				flowtest.Read(client.Get("https://public:80/")).Is(t, 200, "ok")
				asked.Add(1)
				if i >= 4 {
					client.CloseIdleConnections()
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	return func() int64 {
		cancel()
		asking.Wait()
		return asked.Load()
	}
}

// serial is of the certificate that a new connection is shown.
func serial(t *testing.T, w *flowtest.World, a *flowtest.Authority) int64 {
	t.Helper()
	client := overTLS(w, a, false)
	defer client.CloseIdleConnections()
	res, err := client.Get("https://public:80/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificatesAreReplacedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dir := authority(t), t.TempDir()
		cert, key := a.Issue("shop.example").Write(t, dir, "shop")
		w := flowtest.Serve(t, secure(cert, key, ""), nil)
		stop := load(t, w, a)
		for range 20 {
			next := a.Issue("shop.example")
			next.Write(t, dir, "shop")
			time.Sleep(1100 * time.Millisecond)
			if got, want := serial(t, w, a), next.Pair.Leaf.SerialNumber.Int64(); got != want {
				t.Errorf("shown certificate %d, want %d", got, want)
			}
		}
		if n := stop(); n < 1000 {
			t.Errorf("only %d requests were made", n)
		}
	})
}

func TestFilesThatDoNotFitChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dir := authority(t), t.TempDir()
		first := a.Issue("shop.example")
		cert, key := first.Write(t, dir, "shop")
		w := flowtest.Serve(t, secure(cert, key, ""), nil)
		for what, bad := range map[string]flowtest.Certificate{
			"a key of another": {Cert: first.Cert, Key: a.Issue("shop.example").Key},
			"half a file":      {Cert: first.Cert[:len(first.Cert)/2], Key: first.Key},
			"expired":          a.IssueUntil(time.Now().Add(-time.Minute), "shop.example"),
		} {
			bad.Write(t, dir, "shop")
			time.Sleep(2 * time.Second)
			if got := serial(t, w, a); got != 2 {
				t.Errorf("%s: shown certificate %d", what, got)
			}
			if !strings.Contains(w.Log(), "files of tls cannot be used") {
				t.Errorf("%s: the log does not tell", what)
			}
		}
	})
}

func TestACertificateThatEndsSoonIsTold(t *testing.T) {
	for left, want := range map[time.Duration]string{-time.Hour: "has expired at", 24 * time.Hour: "expires at", 60 * 24 * time.Hour: ""} {
		synctest.Test(t, func(t *testing.T) {
			a := authority(t)
			cert, key := a.IssueUntil(time.Now().Add(left), "shop.example").Write(t, t.TempDir(), "shop")
			w := flowtest.Serve(t, secure(cert, key, ""), nil)
			if told := strings.Contains(w.Log(), "has to be replaced"); told != (want != "") || !strings.Contains(w.Log(), want) {
				t.Errorf("%v left: the log says %s", left, w.Log())
			}
		})
	}
}

func TestSettingsOfConnectionsChangeUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dir := authority(t), t.TempDir()
		first, second := a.Issue("shop.example"), a.Issue("shop.example")
		cert, key := first.Write(t, dir, "first")
		otherCert, otherKey := second.Write(t, dir, "second")
		w := flowtest.Serve(t, secure(cert, key, ""), nil)
		stop := load(t, w, a)
		for i := range 20 {
			next := secure(cert, key, ", max_body: 1MB")
			if i%2 == 0 {
				next = secure(otherCert, otherKey, "")
			}
			if err := w.Apply(next); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
			if got, want := serial(t, w, a), int64(2+(i+1)%2); got != want {
				t.Errorf("after change %d: shown certificate %d, want %d", i, got, want)
			}
		}
		if err := w.Apply(secure(cert, otherKey, "")); err == nil || !strings.Contains(err.Error(), "gateway public: tls: ") {
			t.Errorf("a program whose files do not fit: %v", err)
		}
		if n := stop(); n < 500 {
			t.Errorf("only %d requests were made", n)
		}
	})
}

func TestAGatewayGetsAndLosesTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authority(t)
		cert, key := a.Issue("shop.example").Write(t, t.TempDir(), "shop")
		plain := "flow: f\ntrigger: { http: GET / }\nsteps: [{ return: ok }]\n"
		w := flowtest.Serve(t, plain, nil)
		for range 3 {
			w.Get("/").Is(t, 200, "ok")
			if err := w.Apply(secure(cert, key, "")); err != nil {
				t.Fatal(err)
			}
			flowtest.Read(overTLS(w, a, true).Get("https://public:80/")).Is(t, 200, "ok")
			w.Get("/").Is(t, 200, "ok") // the connection from before
			if err := w.Apply(plain); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What trusted proxies say reaches expressions, policies and backends; what
// others say reaches nobody.
func TestProxiesSayWhereRequestsComeFrom(t *testing.T) {
	const text = `
flow: f
trigger: { http: GET / }
steps: [{ return: { remote: $(request.remote) } }]
---
flow: g
trigger: { http: GET /passed }
steps: [{ forward: users }]
---
flow: guarded
trigger: { http: GET /guarded, policies: [{ ip: { allow: [192.0.2.0/24] } }] }
steps: [{ return: ok }]
---
services: { users: { endpoints: ["http://users"] } }
gateways: { public: { listen: "public:80" %s } }
`
	backend := flowtest.Backends{"users": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
			fmt.Fprintf(w, "%s ", strings.Join(r.Header[name], "|"))
		}
	})}
	says := map[string]string{"X-Forwarded-For": "203.0.113.5, 192.0.2.7", "X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https", "Forwarded": "for=192.0.2.8;host=forwarded.example"}
	for _, c := range []struct{ name, settings, remote, passed, guarded string }{
		{"nobody is trusted", "", "127.0.0.1", "127.0.0.1 public http  ", ""},
		{"the proxy is", ", trusted_proxies: [127.0.0.0/8]", "192.0.2.7", "192.0.2.7 shop.example https  ", "ok"},
		{"another one is", ", trusted_proxies: [10.0.0.0/8]", "127.0.0.1", "127.0.0.1 public http  ", ""},
		{"it writes Forwarded", ", trusted_proxies: [127.0.0.1], forwarded: forwarded", "192.0.2.8", "192.0.2.8 forwarded.example http  ", "ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flowtest.Serve(t, fmt.Sprintf(text, c.settings), backend)
			ask := func(path string) flowtest.Answer {
				r := w.Request("GET", path, "")
				for name, value := range says {
					r.Header.Set(name, value)
				}
				return w.Send(r)
			}
			ask("/").Is(t, 200, `{"remote":"`+c.remote+`"}`)
			ask("/passed").Is(t, 200, c.passed)
			if got := ask("/guarded"); (got.Body == "ok") != (c.guarded == "ok") {
				t.Errorf("guarded: %+v", got)
			}
		})
	}
}

// An authority is answered by every gateway without TLS, for the caches of all that
// have certificates issued, and HTTP-01 is only tried where there is one.
func TestAuthoritiesAreAnsweredByGatewaysWithoutTLS(t *testing.T) {
	const secure = `a: { listen: ":443", tls: { acme: { domains: [a.example], accept_terms: true, cache: /a } } }, b: { listen: ":8443", tls: { acme: { domains: [b.example], accept_terms: true, cache: /b } } }`
	for plain, want := range map[string]string{"": "", `, c: { listen: ":80" }`: "[/a /b]"} {
		p := flowtest.Check(t, "flow: f\ntrigger: { http: GET /, gateway: a }\nsteps: [{ return: ok }]\n---\ngateways: { "+secure+plain+" }\n")
		for _, g := range p.Gateways {
			c := g.Connections
			if c.TLS == nil && fmt.Sprint(c.Challenges) != want || c.TLS != nil && (c.TLS.ACME.HTTP01 != (want != "") || c.Challenges != nil) {
				t.Errorf("%s with %q: %v, %+v", g.Name.Value, plain, c.Challenges, c.TLS)
			}
		}
	}
}
