package policies_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// provider plays an issuer: what it answers can be changed.
type provider struct {
	asked atomic.Int32
	mu    sync.Mutex
	keys  string
	down  bool
	slow  time.Duration
	other string // jwks_uri, in place of its own
}

func (p *provider) set(change func(p *provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	p.mu.Lock()
	keys, down, slow, other := p.keys, p.down, p.slow, p.other
	p.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return
	}
	switch {
	case down:
		w.WriteHeader(500)
	case r.URL.Path == "/shop/.well-known/openid-configuration":
		if other == "" {
			other = "http://id/certs"
		}
		fmt.Fprintf(w, `{"issuer":"http://id/shop","jwks_uri":%q}`, other)
	case r.URL.Path == "/certs":
		_, _ = io.WriteString(w, keys)
	default:
		w.WriteHeader(404)
	}
}

// ofProvider are claims of a token that lasts.
func ofProvider(more ...object) object {
	return claimsOf(append([]object{{"iss": "http://id/shop", "exp": time.Now().Unix() + 100*24*3600}}, more...)...)
}

// issued is a program that trusts the provider.
func issued(t *testing.T, p *provider, more string) *flowtest.World {
	t.Helper()
	return flowtest.Serve(t, guarded(`jwt: { issuer: "http://id/shop", audience: shop`+more+` }`), flowtest.Backends{"id": p})
}

func status(t *testing.T, w *flowtest.World, m mint) int {
	t.Helper()
	return ask(t, w, "GET", "/who", bearer(m.token(ofProvider()))...).status
}

func TestKeysOfAnIssuer(t *testing.T) {
	one, two := mint{"RS256", "1", rsaKey()}, mint{"RS256", "2", rsaTwo()}
	both := []struct{ name, more string }{
		{"that it says itself", ""},
		{"at a URL", `, jwks: "http://id/certs"`},
		{"by a service", `, jwks: "https://public.example/certs", service: id`},
	}
	for _, c := range both {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &provider{keys: jwks(one.jwk(), two.jwk(object{"use": "enc"}))}
				w := issued(t, p, c.more)
				if got := status(t, w, one); got != 200 {
					t.Error(got)
				}
				if got := status(t, w, two); got != 401 {
					t.Error("a key that is for something else:", got)
				}
			})
		})
	}
	t.Run("OpenID Connect Discovery 4.3: at another origin", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := &provider{keys: jwks(one.jwk()), other: "http://169.254.169.254/certs"}
			w := issued(t, p, "")
			if got := status(t, w, one); got != 503 || !strings.Contains(w.Log(), "not of the issuer's origin") {
				t.Error(got, w.Log())
			}
		})
	})
}

func TestKeysAreFetchedAheadAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := mint{"RS256", "1", rsaKey()}
		p := &provider{keys: jwks(one.jwk())}
		w := issued(t, p, "")
		if got := status(t, w, one); got != 200 || p.asked.Load() != 2 {
			t.Fatal(got, p.asked.Load())
		}
		p.set(func(p *provider) { p.slow = 5 * time.Second })
		time.Sleep(11 * time.Minute)
		begun := time.Now()
		for range 20 {
			if got := status(t, w, one); got != 200 {
				t.Fatal(got)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Error("requests have waited for keys that they had:", took)
		}
		time.Sleep(time.Minute)
		if n := p.asked.Load(); n != 4 {
			t.Error("asked", n, "times, not 4")
		}
	})
}

func TestARotatedKeyIsTakenAtOnceAndAGoneOneNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := mint{"RS256", "1", rsaKey()}, mint{"RS256", "2", rsaTwo()}
		p := &provider{keys: jwks(one.jwk())}
		w := issued(t, p, `, jwks: "http://id/certs"`)
		old := one.token(ofProvider())
		if got := ask(t, w, "GET", "/who", bearer(old)...); got.status != 200 {
			t.Fatal(got.body)
		}
		time.Sleep(time.Minute)
		p.set(func(p *provider) { p.keys = jwks(one.jwk(), two.jwk()) })
		var wg sync.WaitGroup
		for range 20 { // all at once
			wg.Go(func() {
				if got := status(t, w, two); got != 200 {
					t.Error("the new key:", got)
				}
			})
			wg.Go(func() {
				if got := ask(t, w, "GET", "/who", bearer(old)...); got.status != 200 {
					t.Error("the old key:", got.body)
				}
			})
		}
		wg.Wait()
		if n := p.asked.Load(); n != 2 {
			t.Error("asked", n, "times, not twice")
		}
		p.set(func(p *provider) { p.keys = jwks(two.jwk()) })
		time.Sleep(11 * time.Minute)
		_ = status(t, w, two)
		synctest.Wait()
		if got := ask(t, w, "GET", "/who", bearer(old)...); got.status != 401 {
			t.Error("a token that was remembered is taken though its key is gone:", got.body)
		}
	})
}

func TestUnknownKeysDoNotMakeUsAskMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := mint{"RS256", "1", rsaKey()}
		p := &provider{keys: jwks(one.jwk())}
		w := issued(t, p, `, jwks: "http://id/certs"`)
		_ = status(t, w, one)
		p.set(func(p *provider) { p.slow = 3 * time.Second })
		time.Sleep(time.Minute)
		asked := p.asked.Load()
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				forged := mint{"RS256", fmt.Sprint("forged-", i), rsaTwo()}
				if got := status(t, w, forged); got != 401 && got != 503 { // it may be a new one while the issuer is asked
					t.Error(got)
				}
			})
		}
		for range 60 {
			time.Sleep(500 * time.Millisecond)
			begun := time.Now()
			if got := status(t, w, one); got != 200 || time.Since(begun) != 0 {
				t.Fatal("who has a key that is known:", got, time.Since(begun))
			}
		}
		wg.Wait()
		if n := p.asked.Load() - asked; n < 2 || n > 4 {
			t.Errorf("asked %d times in 30s", n)
		}
	})
}

func TestKeysOutliveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := mint{"RS256", "1", rsaKey()}, mint{"RS256", "2", rsaTwo()}
		p := &provider{keys: jwks(one.jwk())}
		w := issued(t, p, `, jwks: "http://id/certs", stale: 2h`)
		if got := status(t, w, one); got != 200 {
			t.Fatal(got)
		}
		p.set(func(p *provider) { p.down = true })
		for range 11 {
			time.Sleep(10 * time.Minute)
			if got := status(t, w, one); got != 200 {
				t.Fatal("in the outage:", got)
			}
			synctest.Wait()
		}
		if got := status(t, w, two); got != 503 {
			t.Error("a key that may be a new one:", got)
		}
		time.Sleep(11 * time.Minute)
		answer := ask(t, w, "GET", "/who", bearer(one.token(ofProvider()))...)
		if answer.status != 503 || answer.header.Get("Retry-After") == "" || answer.problem.Code != "unavailable" || strings.Contains(answer.body, "certs") {
			t.Error("keys that are too old:", answer.status, answer.body)
		}
		p.set(func(p *provider) { p.down = false })
		time.Sleep(time.Minute)
		if got := status(t, w, one); got != 200 {
			t.Error("when it is back:", got)
		}
	})
}

func TestAnIssuerThatIsDownFromTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := mint{"RS256", "1", rsaKey()}
		p := &provider{keys: jwks(one.jwk()), down: true}
		w := issued(t, p, `, jwks: "http://id/certs"`)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got := status(t, w, one); got != 503 {
					t.Error(got)
				}
			})
		}
		wg.Wait()
		if n := p.asked.Load(); n > 5 {
			t.Errorf("100 requests asked it %d times", n)
		}
		p.set(func(p *provider) { p.down = false })
		time.Sleep(time.Minute)
		if got := status(t, w, one); got != 200 {
			t.Error(got)
		}
	})
}

func TestKeysStayOverAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := mint{"RS256", "1", rsaKey()}
		p := &provider{keys: jwks(one.jwk())}
		w := issued(t, p, `, jwks: "https://public.example/certs", service: id`)
		_ = status(t, w, one)
		// The service is another one now, and so is its client.
		text := guarded(`jwt: { issuer: "http://id/shop", audience: shop, jwks: "https://public.example/certs", service: id }`,
			`services: { id: { endpoints: ["http://id"], timeout: 7s } }`)
		if err := w.Apply(text); err != nil {
			t.Fatal(err)
		}
		if got := status(t, w, one); got != 200 || p.asked.Load() != 1 {
			t.Error(got, p.asked.Load())
		}
		time.Sleep(11 * time.Minute)
		_ = status(t, w, one)
		synctest.Wait()
		if n := p.asked.Load(); n != 2 {
			t.Error("asked", n, "times, not twice: the keys are not fetched by the client of the program that is served")
		}
	})
}

func TestATokenIsForgottenWhenItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mints()["HS256"]
		w := flowtest.Serve(t, guarded(`jwt: { issuer: "https://id.example", audience: shop, secrets: ["`+secretText+`"], leeway: 10s, max_age: 4m }`), nil)
		token := m.token(claimsOf(object{"exp": time.Now().Unix() + 60}))
		long := m.token(claimsOf(object{"exp": time.Now().Unix() + 600}))
		for _, c := range []struct {
			wait        time.Duration
			token, long int
		}{{0, 200, 200}, {69 * time.Second, 200, 200}, {2 * time.Second, 401, 200}, {3 * time.Minute, 401, 401}} {
			time.Sleep(c.wait)
			if a, b := ask(t, w, "GET", "/who", bearer(token)...).status, ask(t, w, "GET", "/who", bearer(long)...).status; a != c.token || b != c.long {
				t.Errorf("after %v: %d and %d", c.wait, a, b)
			}
		}
	})
}
