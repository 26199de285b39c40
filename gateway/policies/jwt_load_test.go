package policies_test

import (
	"crypto/ed25519"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// While callers with tokens of their own keep coming, whatever happens to the keys
// at the issuer, none with a known key is refused or waits, and the issuer is asked
// as often as it would be for one of them.
func TestKeysUnderLoad(t *testing.T) {
	const callers, every, lasts = 8, 30 * time.Second, 45 * time.Minute
	for _, c := range []struct {
		name   string
		happen func(p *provider, one, two mint) // while they come
		uses   func(at time.Duration) (second bool)
		waits  time.Duration // what one with a new key may
		most   int32         // how often the issuer is asked
	}{
		{"nothing happens", func(*provider, mint, mint) {}, never, 0, 5},
		{"the issuer is down for half an hour", func(p *provider, _, _ mint) {
			time.Sleep(5 * time.Minute)
			p.set(func(p *provider) { p.down = true })
			time.Sleep(30 * time.Minute)
			p.set(func(p *provider) { p.down = false })
		}, never, 0, 200}, // what has failed is tried again sooner
		{"the issuer is slow", func(p *provider, _, _ mint) {
			p.set(func(p *provider) { p.slow = 8 * time.Second })
		}, never, 0, 5},
		{"a key is replaced, as it should be", func(p *provider, one, two mint) {
			time.Sleep(5 * time.Minute)
			p.set(func(p *provider) { p.keys = jwks(one.jwk(), two.jwk()) })
			time.Sleep(25 * time.Minute)
			p.set(func(p *provider) { p.keys = jwks(two.jwk()) })
		}, after(20 * time.Minute), 0, 5},
		{"a key is added and used at once, by an issuer that is slow", func(p *provider, one, two mint) {
			p.set(func(p *provider) { p.slow = time.Second })
			time.Sleep(14 * time.Minute)
			p.set(func(p *provider) { p.keys = jwks(one.jwk(), two.jwk()) })
		}, after(14*time.Minute + time.Second), time.Second, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := mint{"EdDSA", "1", newEd(t)}, mint{"EdDSA", "2", newEd(t)}
				p := &provider{keys: jwks(one.jwk())}
				w := issued(t, p, `, jwks: "http://id/certs"`)
				if got := status(t, w, one); got != 200 {
					t.Fatal(got)
				}
				begun := time.Now()
				var coming sync.WaitGroup
				coming.Go(func() { c.happen(p, one, two) })
				for n := range callers {
					coming.Go(func() { callAt(t, w, begun, every*time.Duration(n)/callers, every, lasts, c.waits, one, two, c.uses) })
				}
				coming.Wait()
				if n := p.asked.Load(); n > c.most {
					t.Errorf("the issuer was asked %d times", n)
				}
			})
		})
	}
}

func newEd(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func never(time.Duration) bool { return false }

func after(d time.Duration) func(time.Duration) bool {
	return func(at time.Duration) bool { return at > d }
}

// callAt is one caller, who brings a new token each time.
func callAt(t *testing.T, w *flowtest.World, begun time.Time, first, every, lasts, waits time.Duration, one, two mint, second func(time.Duration) bool) {
	time.Sleep(first)
	for n := 0; time.Since(begun) < lasts; n++ {
		at, key := time.Since(begun), one
		bound := time.Duration(0)
		if n%2 == 0 && second(at) {
			key, bound = two, waits
		} else if second(at) && waits == 0 {
			key = two // the first one is on its way out
		}
		got := ask(t, w, "GET", "/who", bearer(key.token(ofProvider(object{"n": n, "first": first.String()})))...)
		if took := time.Since(begun) - at; got.status != 200 || took > bound {
			t.Errorf("after %v, with key %s: %d, and it took %v", at, key.kid, got.status, took)
			return
		}
		time.Sleep(every)
	}
}

// A key that is not known may be a new one for as long as the issuer does not say:
// whoever has its token is told to come again, and not that it does not hold.
func TestAnUnknownKeyOfASlowIssuerMayBeANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := mint{"EdDSA", "1", newEd(t)}, mint{"EdDSA", "2", newEd(t)}
		p := &provider{keys: jwks(one.jwk())}
		w := issued(t, p, `, jwks: "http://id/certs"`)
		if got := status(t, w, one); got != 200 {
			t.Fatal(got)
		}
		time.Sleep(time.Minute)
		p.set(func(p *provider) { p.keys, p.slow = jwks(one.jwk(), two.jwk()), 5*time.Second })
		for _, want := range []int{503, 503, 200} { // after 2s, 4s and 5s
			begun := time.Now()
			if got := status(t, w, two); got != want || time.Since(begun) > 2*time.Second {
				t.Errorf("got %d after %v, want %d", got, time.Since(begun), want)
			}
		}
	})
}
