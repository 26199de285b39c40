package policies

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/engine"
)

func sealerOf(t testing.TB, keys ...string) *sealer {
	t.Helper()
	s := &sealer{}
	for _, key := range keys {
		s.add(key)
	}
	return s
}

func TestASealIsForOnePurpose(t *testing.T) {
	one, two := sealerOf(t, "one"), sealerOf(t, "two", "one")
	text := one.seal("a", []byte("ada"))
	if plain, ok := two.open("a", text); !ok || string(plain) != "ada" {
		t.Error("an older key does not open")
	}
	if _, ok := one.open("b", text); ok {
		t.Error("another purpose opens")
	}
	if _, ok := one.open("a", two.seal("a", nil)); ok {
		t.Error("another key opens")
	}
	if text == one.seal("a", []byte("ada")) {
		t.Error("two texts are the same")
	}
	for i := range text {
		if _, ok := one.open("a", text[:i]+"."+text[i+1:]); ok {
			t.Fatal("a text that was changed opens")
		}
	}
}

// FuzzSessionCookies holds that no cookies end the process or stand for someone.
func FuzzSessionCookies(f *testing.F) {
	p := &oidc{cookie: "__Host-session", sealer: sealerOf(f, "key"), lifetime: time.Hour, idle: time.Hour, state: engine.KeepFor("f", "oidc", "", func() *oidcState { return nil })}
	for _, seed := range []string{"", "__Host-session=1abc", "__Host-session=2a; __Host-session-1=b", "__Host-session=9; ;=", "__Host-session=1" + p.sealer.seal("login", []byte(`{"n":"ada"}`)), "__Host-session-login-0=a"} {
		f.Add(seed, "0state")
	}
	f.Fuzz(func(t *testing.T, cookies, state string) {
		r := &http.Request{Header: http.Header{"Cookie": {cookies}}}
		if p.read(r, time.Now()) != nil {
			t.Errorf("%q is a session", cookies)
		}
		if l, _ := p.begun(r, url.Values{"state": {state}}, time.Now()); l != nil {
			t.Errorf("%q is a login", cookies)
		}
		p.conceal(r)
		for _, c := range r.Cookies() {
			if p.owns(c.Name) {
				t.Errorf("%q goes on", c.Name)
			}
		}
	})
}

// FuzzOwnPath holds that what a login goes on to stays at the origin, however a
// browser reads it.
func FuzzOwnPath(f *testing.F) {
	for _, seed := range []string{"/", "//a", `/\a`, "/a?b=//c", "/\ta", "/%5ca", "/a#b", "/..//a", "/@a", "/:80"} {
		f.Add(seed)
	}
	base := &url.URL{Scheme: "https", Host: "shop.example", Path: "/x/y"}
	f.Fuzz(func(t *testing.T, text string) {
		if !ownPath(text) {
			return
		}
		for _, read := range []string{text, strings.ReplaceAll(text, `\`, "/")} {
			to, err := base.Parse(read)
			if err != nil || to.Host != "shop.example" || to.Scheme != "https" {
				t.Errorf("%q leads to %v", text, to)
			}
		}
	})
}
