package policies_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		w := entered(t, p, `, scopes: [openid, email], consumer: email`)
		b := newBrowser(t, w)
		led := b.page("/who?a=1&b=%2F")
		to, err := url.Parse(led.Header.Get("Location"))
		if err != nil || led.Status != 303 {
			t.Fatal(led)
		}
		asked := to.Query()
		for name, want := range map[string]string{
			"response_type": "code", "client_id": "shop", "redirect_uri": "https://shop.example/oauth2/callback", "scope": "openid email", "code_challenge_method": "S256", "theme": "shop",
		} {
			if asked.Get(name) != want {
				t.Errorf("%s: %q", name, asked.Get(name))
			}
		}
		if len(asked.Get("code_challenge")) != 43 || len(asked.Get("state")) < 22 || len(asked.Get("nonce")) < 22 {
			t.Error(asked)
		}
		back := b.page("/oauth2/callback?" + p.login(t, to.String()).Encode())
		if back.Status != 303 || back.Header.Get("Location") != "https://shop.example/who?a=1&b=%2F" || back.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Fatal(back.Status, back.Header, back.Body, w.Log())
		}
		if v := p.forms[0].Get("code_verifier"); len(v) < 43 || len(v) > 128 {
			t.Error("RFC 7636 4.1:", v)
		}
		if len(b.cookies) != 1 {
			t.Error("more than the session is kept:", b.cookies)
		}
		got := b.page("/who")
		is(t, got, 200, `"name":"ada@shop.example","by":"oidc"`)
		if got.Header.Get("Cache-Control") != "private" || got.Header["Set-Cookie"] != nil {
			t.Error(got.Header)
		}
		if claims := claimsIn(t, got); claims["sub"] != "ada" || claims["nonce"] != nil {
			t.Error(claims)
		}
		p.unseen(t, w, to.String(), back.Header.Get("Location"), b.cookies["__Host-session"], got.Body)
	})
}

func TestLoginsAreForPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Replace(guarded(loginPolicy("")), "http: GET /who", "http: ANY /who", 1)
		w := flowtest.Serve(t, text, flowtest.Backends{"id": newLoginProvider()})
		for _, c := range []struct {
			name, method string
			header       []string
			status       int
		}{
			{"a page", "GET", asPage, 303},
			{"a page, of a browser that does not say so", "GET", []string{"Accept", "text/html,*/*"}, 303},
			{"a program", "GET", nil, 401},
			{"a script", "GET", []string{"Accept", "text/html", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 401},
			{"an image", "GET", []string{"Accept", "*/*", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 401},
			{"a frame", "GET", []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 401},
			{"a page that is fetched ahead", "GET", append([]string{"Sec-Purpose", "prefetch"}, asPage...), 401},
			{"XMLHttpRequest", "GET", []string{"Accept", "text/html", "X-Requested-With", "XMLHttpRequest"}, 401},
			{"a form", "POST", asPage, 401},
			{"a deletion", "DELETE", asPage, 401},
		} {
			got := newBrowser(t, w).send(c.method, "/who", c.header...)
			if got.Status != c.status {
				t.Errorf("%s: %d %s", c.name, got.Status, got.Body)
			}
			if c.status == 401 && (got.Header.Get("Www-Authenticate") != `Cookie realm="api"` || got.Header["Set-Cookie"] != nil) {
				t.Error(c.name, got.Header)
			}
		}
	})
}

// TestIDTokens holds the policy against what OpenID Connect asks of a client.
func TestIDTokens(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *loginProvider)
		status int
	}{
		{"OpenID Connect Core 3.1.3.7: one that holds", func(*loginProvider) {}, 303},
		{"OpenID Connect Core 3.1.3.7: another issuer", func(p *loginProvider) { p.claims = object{"iss": "http://id/other"} }, 403},
		{"OpenID Connect Core 3.1.3.7: no issuer", func(p *loginProvider) { p.claims = object{"iss": nil} }, 403},
		{"OpenID Connect Core 3.1.3.7: another audience", func(p *loginProvider) { p.claims = object{"aud": "till"} }, 403},
		{"OpenID Connect Core 3.1.3.7: several audiences without azp", func(p *loginProvider) { p.claims = object{"aud": []any{"shop", "till"}} }, 403},
		{"OpenID Connect Core 3.1.3.7: several audiences, for us", func(p *loginProvider) { p.claims = object{"aud": []any{"shop", "till"}, "azp": "shop"} }, 303},
		{"OpenID Connect Core 3.1.3.7: azp is another", func(p *loginProvider) { p.claims = object{"azp": "till"} }, 403},
		{"OpenID Connect Core 3.1.3.7: the nonce of another login", func(p *loginProvider) { p.claims = object{"nonce": "other"} }, 403},
		{"OpenID Connect Core 3.1.3.7: no nonce", func(p *loginProvider) { p.claims = object{"nonce": nil} }, 403},
		{"OpenID Connect Core 3.1.3.7: it has expired", func(p *loginProvider) { p.claims = object{"exp": 946684000} }, 403},
		{"OpenID Connect Core 3.1.3.7: it does not expire", func(p *loginProvider) { p.claims = object{"exp": nil} }, 403},
		{"OpenID Connect Core 3.1.3.7: it was not issued", func(p *loginProvider) { p.claims = object{"iat": nil} }, 403},
		{"OpenID Connect Core 3.1.3.7: it is issued in the future", func(p *loginProvider) { p.claims = object{"iat": 4102444800} }, 403},
		{"OpenID Connect Core 3.1.3.7: no subject", func(p *loginProvider) { p.claims = object{"sub": nil} }, 403},
		{"OpenID Connect Core 3.1.3.7: the secret of the client as a key of HMAC", func(p *loginProvider) { p.header = object{"alg": "HS256"}; p.signs.alg = "RS256" }, 403},
		{"OpenID Connect Core 3.1.3.7: none", func(p *loginProvider) { p.header = object{"alg": "none"} }, 403},
		{"OpenID Connect Core 3.1.3.7: keys of someone else", func(p *loginProvider) { p.answer = object{"id_token": mint{"RS256", "1", rsaTwo()}.token(claimsOf())} }, 403},
		{"OpenID Connect Core 3.1.3.7: an access token", func(p *loginProvider) { p.header = object{"typ": "at+jwt"} }, 403},
		{"OpenID Connect Core 3.1.3.6: the hash of another access token", func(p *loginProvider) { p.claims = object{"at_hash": encode64(make([]byte, 16))} }, 403},
		{"OpenID Connect Core 3.1.3.6: a hash that is no text", func(p *loginProvider) { p.claims = object{"at_hash": 7} }, 403},
		{"OpenID Connect Core 3.1.3.6: the hash of the access token", func(p *loginProvider) {
			p.claims, p.answer = object{"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}, object{"access_token": "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"}
		}, 303},
		{"OpenID Connect Core 3.1.3.3: no ID token", func(p *loginProvider) { p.answer = object{"id_token": nil} }, 403},
		{"OpenID Connect Core 3.1.3.3: another kind of access token", func(p *loginProvider) { p.answer = object{"token_type": "DPoP"} }, 403},
		{"OpenID Connect Core 3.1.3.3: an ID token that is large", func(p *loginProvider) { p.claims = object{"blob": strings.Repeat("x", 20<<10)} }, 403},
		{"OpenID Connect Core 3.1.3.3: no refresh token, and no time", func(p *loginProvider) { p.answer = object{"refresh_token": nil, "expires_in": nil} }, 303},
		{"RFC 6749 5.2: the client is not known", func(p *loginProvider) { p.answer = object{"access_token": "a\nb"} }, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newLoginProvider()
				c.change(p)
				w := entered(t, p, "")
				b := newBrowser(t, w)
				back := b.enter(p, "/who")
				if back.Status != c.status {
					t.Fatal(back.Status, back.Body, w.Log())
				}
				if c.status == 303 {
					is(t, b.page("/who"), 200, `"name":"ada"`)
					return
				}
				is(t, back, c.status, `"login-failed"`)
				if len(b.cookies) != 0 {
					t.Error("something is kept:", b.cookies)
				}
				p.unseen(t, w, back.Body)
			})
		})
	}
}

// TestCallbacks is of what a browser can be sent back with, by anyone.
func TestCallbacks(t *testing.T) {
	for _, c := range []struct {
		name, discovery string
		change          func(b *browser, answer url.Values)
		status          int
		body            string
	}{
		{"RFC 6749 10.12: the state of another browser", "", func(b *browser, _ url.Values) { clear(b.cookies) }, 400, `"login-failed"`},
		{"RFC 6749 10.12: no state", "", func(_ *browser, a url.Values) { a.Del("state") }, 400, `"login-failed"`},
		{"RFC 6749 10.12: two states", "", func(_ *browser, a url.Values) { a.Add("state", "x") }, 400, `"login-failed"`},
		{"RFC 6749 10.12: another state", "", func(_ *browser, a url.Values) { a.Set("state", a.Get("state")+"x") }, 400, `"login-failed"`},
		{"RFC 6749 10.12: a state of no login", "", func(_ *browser, a url.Values) { a.Set("state", "9"+a.Get("state")[1:]) }, 400, `"login-failed"`},
		{"RFC 6749 10.12: a large state", "", func(_ *browser, a url.Values) { a.Set("state", a.Get("state")+strings.Repeat("x", 5000)) }, 400, `"login-failed"`},
		{"RFC 6749 10.12: a cookie that was changed", "", func(b *browser, _ url.Values) {
			for name, v := range b.cookies {
				b.cookies[name] = v[:len(v)-4] + "AAAA"
			}
		}, 400, `"login-failed"`},
		{"RFC 6749 10.12: too late", "", func(*browser, url.Values) { time.Sleep(11 * time.Minute) }, 400, `"login-failed"`},
		{"RFC 6749 10.12: the cookie of another tab", "", func(b *browser, a url.Values) {
			other := b.clone()
			clear(other.cookies)
			other.page("/who")
			b.cookies = other.cookies
		}, 400, `"login-failed"`},
		{"RFC 6749 4.1.2: no code", "", func(_ *browser, a url.Values) { a.Del("code") }, 400, `"login-failed"`},
		{"RFC 6749 4.1.2: two codes", "", func(_ *browser, a url.Values) { a.Add("code", "x") }, 400, `"login-failed"`},
		{"RFC 6749 4.1.2: a code that the provider does not know", "", func(_ *browser, a url.Values) { a.Set("code", "x") }, 403, `"login-failed"`},
		{"RFC 6749 4.1.2.1: the login was refused", "", func(_ *browser, a url.Values) {
			a.Set("error", "access_denied")
			a.Set("error_description", "<script>a secret of the provider")
		}, 403, `"login-failed"`},
		{"RFC 6749 4.1.2.1: the provider is out", "", func(_ *browser, a url.Values) { a.Set("error", "temporarily_unavailable") }, 503, `"unavailable"`},
		{"RFC 6749 4.1.2.1: an error that breaks lines", "", func(_ *browser, a url.Values) { a.Set("error", "a\nb") }, 403, `"login-failed"`},
		{"RFC 9207 2.4: the issuer", "true", func(_ *browser, a url.Values) { a.Set("iss", providerName) }, 303, ""},
		{"RFC 9207 2.4: another issuer", "", func(_ *browser, a url.Values) { a.Set("iss", "https://evil.example") }, 403, `"login-failed"`},
		{"RFC 9207 2.4: two issuers", "", func(_ *browser, a url.Values) { a["iss"] = []string{providerName, providerName} }, 403, `"login-failed"`},
		{"RFC 9207 2.4: none, of a provider that tells", "true", func(*browser, url.Values) {}, 403, `"login-failed"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newLoginProvider()
				if c.discovery != "" {
					p.discovery = object{"authorization_response_iss_parameter_supported": true}
				}
				w := entered(t, p, "")
				b := newBrowser(t, w)
				answer := p.login(t, b.page("/who").Header.Get("Location"))
				c.change(b, answer)
				got := b.page("/oauth2/callback?" + answer.Encode())
				if got.Status != c.status || !strings.Contains(got.Body, c.body) {
					t.Fatal(got.Status, got.Body, w.Log())
				}
				if b.cookies["__Host-session"] != "" != (c.status == 303) {
					t.Error(b.cookies)
				}
				p.unseen(t, w, got.Body)
			})
		})
	}
	t.Run("RFC 6749 10.5: an answer serves once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newLoginProvider()
			w := entered(t, p, "")
			b := newBrowser(t, w)
			path := "/oauth2/callback?" + p.login(t, b.page("/who").Header.Get("Location")).Encode()
			before := b.clone()
			if got := b.page(path); got.Status != 303 {
				t.Fatal(got.Status, got.Body)
			}
			if got := b.page(path); got.Status != 303 || got.Header.Get("Location") != "https://shop.example/" {
				t.Error("in a browser that is logged in:", got.Status, got.Header)
			}
			delete(b.cookies, "__Host-session")
			is(t, b.page(path), 400, `"login-failed"`)
			is(t, before.page(path), 403, `"login-failed"`) // with the cookies from before: the provider knows the code no more
			if p.count("authorization_code") != 2 {
				t.Error(p.count("authorization_code"))
			}
			is(t, b.send("POST", "/oauth2/callback"), 405, `"method-not-allowed"`)
		})
	})
}

func TestALoginGoesOnToOwnPathsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		w := entered(t, p, `, paths: { login: /in }`)
		for to, want := range map[string]string{
			"/who?a=1": "/who?a=1", "": "/", "//evil.example": "/", `/\evil.example`: "/", `\/evil.example`: "/", "https://evil.example/": "/", "javascript:alert(1)": "/", "/\tevil": "/",
			"/\r\nSet-Cookie: a=b": "/", "/%2f%2fevil.example": "/%2f%2fevil.example", "who": "/", "/in?to=/who": "/", "/oauth2/callback?code=1": "/", "/oauth2/logout": "/", "/a#b": "/",
			"/" + strings.Repeat("a", 3000): "/", "///evil.example": "/", "/ü": "/", "/@evil.example": "/@evil.example", "/:80/": "/:80/",
		} {
			b := newBrowser(t, w)
			led := b.page("/in?" + url.Values{"to": {to}}.Encode())
			back := b.page("/oauth2/callback?" + p.login(t, led.Header.Get("Location")).Encode())
			if got := back.Header.Get("Location"); back.Status != 303 || got != "https://shop.example"+want {
				t.Errorf("%q: %d %q", to, back.Status, got)
			}
		}
		// What was asked for may look like another origin, too.
		b := newBrowser(t, w)
		is(t, b.page("//evil.example/x"), 400, `"bad-path"`)
	})
}

func TestTabsLogInBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		w := entered(t, p, "")
		b := newBrowser(t, w)
		var answers []url.Values
		for range 8 {
			answers = append(answers, p.login(t, b.page("/who").Header.Get("Location")))
		}
		if len(b.cookies) != 8 {
			t.Error(len(b.cookies))
		}
		for _, answer := range answers {
			if got := b.page("/oauth2/callback?" + answer.Encode()); got.Status != 303 {
				t.Error(got.Status, got.Body)
			}
		}
		for range 50 {
			delete(b.cookies, "__Host-session")
			b.page("/who")
		}
		if len(b.cookies) > 8 {
			t.Error("cookies pile up:", len(b.cookies))
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		p.answer = object{"expires_in": nil, "refresh_token": nil}
		w := entered(t, p, `, session: { keys: ["`+sessionKey+`"], lifetime: 8h, idle: 30m }`)
		b := loggedIn(t, w, p)
		idle := b.clone()
		for range 24 { // 8 hours of use
			is(t, b.page("/who"), 200, `"ada"`)
			time.Sleep(20 * time.Minute)
		}
		if got := b.page("/who"); got.Status != 303 {
			t.Error("longer than it lasts:", got.Status)
		}
		if got := idle.page("/who"); got.Status != 303 {
			t.Error("not used:", got.Status)
		}
		if got := idle.send("GET", "/who"); got.Status != 401 {
			t.Error(got.Status)
		}
	})
}

func TestCookiesThatAreNoSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		w := entered(t, p, "")
		b := loggedIn(t, w, p)
		good := b.cookies["__Host-session"]
		other := newBrowser(t, w)
		other.page("/who")
		var login string
		for _, v := range other.cookies {
			login = v
		}
		for name, value := range map[string]string{
			"empty": "", "text": "1abc", "a number too large": "9" + good[1:], "a number too small": "0" + good[1:], "more parts than there are": "2" + good[1:], "cut": good[:len(good)-3],
			"changed": good[:20] + "A" + good[21:] + "A", "longer": good + "AAAA", "of a login": "1" + login, "padding": good + "=", "huge": "1" + strings.Repeat("A", 30<<10),
		} {
			b.cookies["__Host-session"] = value
			if got := b.send("GET", "/who"); got.Status != 401 {
				t.Errorf("%s: %d %s", name, got.Status, got.Body)
			}
		}
		b.cookies["__Host-session"] = good
		is(t, b.page("/who"), 200, `"ada"`)
		is(t, newBrowser(t, w).send("GET", "/who", "Cookie", "__Host-session="+good+"; __Host-session="+good), 401, "")
	})
}

func TestKeysOfCookiesAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		keys := func(all string) string { return guarded(loginPolicy(`, session: { keys: [` + all + `] }`)) }
		w := flowtest.Serve(t, keys(`"`+sessionKey+`"`), flowtest.Backends{"id": p})
		b := loggedIn(t, w, p)
		for _, c := range []struct {
			keys   string
			status int
		}{{`"` + sessionNext + `", "` + sessionKey + `"`, 200}, {`"` + sessionNext + `"`, 401}} {
			if err := w.Apply(keys(c.keys)); err != nil {
				t.Fatal(err)
			}
			if got := b.send("GET", "/who"); got.Status != c.status {
				t.Errorf("%s: %d %s", c.keys, got.Status, got.Body)
			}
		}
	})
	t.Run("those of another client open nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newLoginProvider()
			w := entered(t, p, "")
			b := loggedIn(t, w, p)
			if err := w.Apply(strings.Replace(guarded(loginPolicy("")), "id: shop", "id: desk", 1)); err != nil {
				t.Fatal(err)
			}
			if got := b.send("GET", "/who"); got.Status != 401 {
				t.Error(got.Status)
			}
		})
	})
}

func TestLargeSessionsAreKeptInSeveralCookies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		p.claims = object{"groups": strings.Repeat("g", 7000)}
		w := entered(t, p, "")
		b := loggedIn(t, w, p)
		if len(b.cookies) != 3 {
			t.Error(len(b.cookies))
		}
		is(t, b.page("/who"), 200, `"ada"`)
		part := b.cookies["__Host-session-1"]
		delete(b.cookies, "__Host-session-1")
		is(t, b.send("GET", "/who"), 401, "")
		b.cookies["__Host-session-1"] = part
		p.set(func() { p.claims = nil })
		time.Sleep(290 * time.Second)
		is(t, b.page("/who"), 200, `"ada"`) // renewed, and small: what is left of the others does no harm
		is(t, b.page("/who"), 200, `"ada"`)
		p.set(func() { p.claims = object{"groups": strings.Repeat("g", 11700)} })
		is(t, newBrowser(t, w).enter(p, "/who"), 403, `"login-failed"`)
	})
}

func TestTokensAreRenewedAheadAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		w := entered(t, p, "")
		b := loggedIn(t, w, p)
		is(t, b.page("/who"), 200, `"ada"`)
		time.Sleep(241 * time.Second)
		p.set(func() { p.slow = time.Second })
		var all sync.WaitGroup
		var tabs []*browser
		for range 20 {
			tab := b.clone()
			tabs = append(tabs, tab)
			all.Go(func() { is(t, tab.send("GET", "/who"), 200, `"ada"`) })
		}
		all.Wait()
		if n := p.count("refresh_token"); n != 1 {
			t.Error("renewed", n)
		}
		is(t, b.page("/who"), 200, `"ada"`) // with the cookie from before, whose token does not hold any more
		time.Sleep(241 * time.Second)
		is(t, b.page("/who"), 200, `"ada"`)
		is(t, tabs[0].page("/who"), 200, `"ada"`)
		if n := p.count("refresh_token"); n != 2 {
			t.Error("renewed", n)
		}
		p.unseen(t, w, b.cookies["__Host-session"])
	})
}

func TestTokensThatCannotBeRenewed(t *testing.T) {
	for _, c := range []struct {
		name, more string
		change     func(p *loginProvider)
		status     []int // of scripts, when it is due, and when the tokens have expired
	}{
		{"the provider is out", "", func(p *loginProvider) { p.down = true }, []int{200, 503}},
		{"the provider is out, and the session may go on", `, session: { keys: ["` + sessionKey + `"], stale: 10m }`, func(p *loginProvider) { p.down = true }, []int{200, 200}},
		{"the provider does not answer", "", func(p *loginProvider) { p.slow = time.Hour }, []int{200, 503}},
		{"RFC 6749 5.2: the token was revoked", "", func(p *loginProvider) { clear(p.refresh) }, []int{401, 401}},
		{"OpenID Connect Core 12.2: an ID token of someone else", "", func(p *loginProvider) { p.claims = object{"sub": "eve"} }, []int{401, 401}},
		{"OpenID Connect Core 12.2: an ID token of another login", "", func(p *loginProvider) { p.claims = object{"nonce": "x"} }, []int{401, 401}},
		{"OpenID Connect Core 12.2: no ID token", "", func(p *loginProvider) { p.answer = object{"id_token": nil} }, []int{200, 200}},
		{"RFC 6749 6: no other refresh token", "", func(p *loginProvider) { p.answer = object{"refresh_token": nil} }, []int{200, 401}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newLoginProvider()
				w := entered(t, p, c.more)
				b := loggedIn(t, w, p)
				p.set(func() { c.change(p) })
				time.Sleep(242 * time.Second)
				for i, want := range c.status {
					for range 2 {
						if got := b.send("GET", "/who"); got.Status != want {
							t.Errorf("%d: %d %s", i, got.Status, got.Body)
						}
					}
					time.Sleep(250 * time.Second)
				}
				p.unseen(t, w)
			})
		})
	}
}

func TestALogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		w := entered(t, p, `, paths: { after_logout: /bye }`)
		b := loggedIn(t, w, p)
		stolen := b.clone()
		is(t, b.send("GET", "/oauth2/logout", "Sec-Fetch-Site", "cross-site"), 403, `"cross-origin-request"`)
		is(t, b.send("POST", "/oauth2/logout", "Origin", "https://evil.example"), 403, `"cross-origin-request"`)
		is(t, b.page("/who"), 200, `"ada"`)
		got := b.page("/oauth2/logout")
		if to := got.Header.Get("Location"); got.Status != 303 || to != "http://id/logout?client_id=shop&post_logout_redirect_uri=https%3A%2F%2Fshop.example%2Fbye" {
			t.Error("OpenID Connect RP-Initiated Logout 2:", got.Status, to)
		}
		if len(b.cookies) != 0 {
			t.Error(b.cookies)
		}
		is(t, stolen.send("GET", "/who"), 401, "")
		p.set(func() { p.down = true })
		if got := b.page("/oauth2/logout"); got.Status != 303 {
			t.Error("without a session:", got.Status, got.Body)
		}
	})
}

func TestWhatBackendsGetOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			fmt.Fprintf(w, "%s|%s|%s", r.Header.Get("Cookie"), r.Header.Get("Authorization"), r.Header.Get("X-User"))
		})
		m := mints()["ES256"]
		program := func(more string) string {
			return guarded(loginPolicy(more), "flow: pass\ntrigger: { http: GET /pass, policies: [{ any_of: { of: [{ jwt: { issuer: \"https://id.example\", audience: shop, hide: true, keys: "+publicKeys(m)+
				" } }, { "+loginPolicy(more)+" }] } }], without: [] }\nsteps: [{ forward: backend }]\n")
		}
		text := strings.Replace(program(`, access_token: true, headers: { X-User: $(claims.email) }`), ", without: []", "", 1)
		text = text[strings.Index(text, "---\nflow: pass"):] + "---\ngateways: { public: { listen: \"public:80\" } }\n"
		w := flowtest.Serve(t, text, flowtest.Backends{"id": p, "backend": backend})
		b := newBrowser(t, w)
		b.enter(p, "/pass")
		b.names, b.cookies["theme"] = append(b.names, "theme"), "dark"
		got := b.send("GET", "/pass", "X-User", "root")
		if got.Body != "theme=dark|Bearer access-0|ada@shop.example" || got.Header.Get("Cache-Control") != "max-age=60, private" {
			t.Error(got.Status, got.Body, got.Header)
		}
		// Who brings a token is known by that, and the session goes no further either.
		if got := b.send("GET", "/pass", bearer(m.token(claimsOf()))...); got.Body != "theme=dark||" {
			t.Error(got.Status, got.Body)
		}
		got = newBrowser(t, w).send("GET", "/pass")
		if got.Status != 401 || strings.Join(got.Header["Www-Authenticate"], "; ") != `Bearer realm="api"; Cookie realm="api"` {
			t.Error(got.Status, got.Header)
		}
	})
}

func TestLoginsNeedTheProvider(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *loginProvider)
		log    string
	}{
		{"which is out", func(p *loginProvider) { p.down = true }, "status 503"},
		{"OpenID Connect Discovery 4.3: which is another", func(p *loginProvider) { p.discovery = object{"issuer": "http://id/other"} }, "not \\\"http://id/shop\\\""},
		{"OpenID Connect Discovery 4.3: which leads elsewhere for tokens", func(p *loginProvider) { p.discovery = object{"token_endpoint": "http://169.254.169.254/"} }, "not of the issuer's origin"},
		{"OpenID Connect Discovery 4.3: which leads elsewhere for logins", func(p *loginProvider) { p.discovery = object{"authorization_endpoint": "javascript:alert(1)"} }, "not of the issuer's origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newLoginProvider()
				c.change(p)
				w := entered(t, p, "")
				got := newBrowser(t, w).page("/who")
				is(t, got, 503, `"unavailable"`)
				if got.Header["Set-Cookie"] != nil || !strings.Contains(w.Log(), c.log) {
					t.Error(got.Header, w.Log())
				}
			})
		})
	}
	t.Run("whose places are written", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newLoginProvider()
			p.discovery = object{"issuer": "http://id/other"} // which is not asked
			w := entered(t, p, `, endpoints: { authorization: "http://id/login?x=1", token: "http://id/token", jwks: "http://id/certs" }`)
			b := loggedIn(t, w, p)
			is(t, b.page("/who"), 200, `"ada"`)
			if got := b.page("/oauth2/logout"); got.Header.Get("Location") != "https://shop.example/" {
				t.Error(got.Status, got.Header)
			}
		})
	})
}

func TestSessionsOfThoseWhoAreRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, write := file(t, "# nobody\n")
		p := newLoginProvider()
		w := entered(t, p, `, revoked: { file: `+path+` }`)
		b := loggedIn(t, w, p)
		is(t, b.page("/who"), 200, `"ada"`)
		time.Sleep(10 * time.Second)
		write(fmt.Sprintf("sub 7b3a9b7c6e5ab4d0c9b0bd9f3bf9a16a9b1fd4ee1ffbe4b62c06fd1bd6bb2d43 %d\nsub %s %d", time.Now().Unix(), sumOf("ada"), time.Now().Unix()))
		time.Sleep(5 * time.Second)
		is(t, b.send("GET", "/who"), 401, "")
		is(t, loggedIn(t, w, p).page("/who"), 200, `"ada"`) // one that began since
	})
}

// TestSessionsOfAnotherPolicy holds that a policy names consumers by its own
// claims: what another with the same keys goes by may be what people choose.
func TestSessionsOfAnotherPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLoginProvider()
		p.claims = object{"nick": "root", "tier": "gold"}
		chosen := loggedIn(t, entered(t, p, `, consumer: nick, plan: tier`), p)
		is(t, chosen.page("/who"), 200, `"name":"root"`)
		b := newBrowser(t, entered(t, p, ""))
		b.cookies, b.names = chosen.cookies, chosen.names
		got := b.page("/who")
		is(t, got, 200, `"name":"ada"`)
		if strings.Contains(got.Body, `"plan":"gold"`) {
			t.Error(got.Body)
		}
		other := newBrowser(t, entered(t, p, `, consumer: staff_number`))
		other.cookies, other.names = chosen.cookies, chosen.names
		if got := other.page("/who"); got.Status != 303 {
			t.Error("who has no name comes in:", got.Status, got.Body)
		}
	})
}
