package policies_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// introspector plays a server that tells of tokens.
type introspector struct {
	mu     sync.Mutex
	tokens map[string]any // what it says of each
	status int            // 0: 200
	slow   time.Duration
	asked  []http.Request
	forms  []string
}

func (s *introspector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	s.asked, s.forms = append(s.asked, *r), append(s.forms, r.PostForm.Encode())
	answer, status, slow := s.tokens[r.PostForm.Get("token")], s.status, s.slow
	s.mu.Unlock()
	time.Sleep(slow)
	if answer == nil {
		answer = object{"active": false}
	}
	w.Header().Set("Content-Type", "application/json")
	if status != 0 {
		w.WriteHeader(status)
	}
	_, _ = w.Write(jsonOf(answer))
}

func (s *introspector) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *introspector) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// ofServer is what a server says of a token that holds.
func ofServer(more ...object) object {
	return claimsOf(append([]object{{"active": true, "scope": "read", "client_id": "till", "token_type": "Bearer", "iat": nil, "exp": time.Now().Unix() + 3600}}, more...)...)
}

// introspected is a program that asks the server.
func introspected(t *testing.T, s *introspector, more string) *flowtest.World {
	t.Helper()
	return flowtest.Serve(t, guarded(`introspection: { url: "http://id/introspect", client: { id: "ga te", secret: "s:ecret" }`+more+` }`), flowtest.Backends{"id": s})
}

func TestIntrospection(t *testing.T) {
	for _, c := range []struct {
		name, more string
		answer     any
		status     int
		body       string
	}{
		{"RFC 7662 2.2: a token that holds", `, audience: shop`, ofServer(), 200, `"name":"ada","by":"introspection"`},
		{"RFC 7662 2.2: the claims are exact", `, audience: shop`, `{"active":true,"aud":"shop","sub":"ada","limit":12345678901234567890}`, 200, `"limit":12345678901234567890`},
		{"RFC 7662 2.2: one that does not", `, audience: any`, object{"active": false}, 401, `"unauthenticated"`},
		{"RFC 7662 2.2: what else is said of one that does not", `, audience: any`, ofServer(object{"active": false}), 401, `"unauthenticated"`},
		{"RFC 7662 2.2: active is missing", `, audience: any`, object{"sub": "ada"}, 503, `"unavailable"`},
		{"RFC 7662 2.2: active is text", `, audience: any`, ofServer(object{"active": "true"}), 503, `"unavailable"`},
		{"RFC 7662 2.2: active is a number", `, audience: any`, ofServer(object{"active": 1}), 503, `"unavailable"`},
		{"RFC 7662 2.2: active stands there twice", `, audience: any`, `{"active":false,"active":true,"sub":"ada"}`, 503, `"unavailable"`},
		{"RFC 7662 2.2: a list", `, audience: any`, `[{"active":true}]`, 503, `"unavailable"`},
		{"RFC 7662 2.2: no JSON", `, audience: any`, `<html>active</html>`, 503, `"unavailable"`},
		{"RFC 7662 2.2: a large answer", `, audience: any`, ofServer(object{"blob": strings.Repeat("x", 300<<10)}), 503, `"unavailable"`},
		{"RFC 7662 2.2: a subject that is no text", `, audience: any`, ofServer(object{"sub": 7}), 503, `"unavailable"`},
		{"RFC 7662 4: it has expired", `, audience: any`, ofServer(object{"exp": 1000}), 401, `"unauthenticated"`},
		{"RFC 7662 4: not yet", `, audience: any`, ofServer(object{"nbf": 253402300799}), 401, `"unauthenticated"`},
		{"RFC 7662 4: another audience", `, audience: [shop, till]`, ofServer(object{"aud": []any{"admin"}}), 401, `"unauthenticated"`},
		{"RFC 7662 4: no audience", `, audience: shop`, ofServer(object{"aud": nil}), 401, `"unauthenticated"`},
		{"RFC 7662 4: one of its audiences", `, audience: [shop, till]`, ofServer(object{"aud": []any{"admin", "till"}}), 200, `"ada"`},
		{"RFC 7662 4: another issuer", `, audience: any, issuer: "https://other.example"`, ofServer(), 401, `"unauthenticated"`},
		{"RFC 7662 4: no issuer", `, audience: any, issuer: "https://id.example"`, ofServer(object{"iss": nil}), 401, `"unauthenticated"`},
		{"RFC 7662 4: the issuer", `, audience: any, issuer: "https://id.example"`, ofServer(), 200, `"ada"`},
		{"a refresh token", `, audience: any`, ofServer(object{"token_type": "refresh_token"}), 401, `"unauthenticated"`},
		{"nobody", `, audience: any`, ofServer(object{"sub": nil}), 401, `"unauthenticated"`},
		{"a program", `, audience: any, consumer: client_id, plan: plan`, ofServer(object{"sub": nil, "plan": "gold"}), 200, `"name":"till","by":"introspection","plan":"gold"`},
		{"scopes", `, audience: any, scopes: [read]`, ofServer(), 200, `"ada"`},
		{"too few scopes", `, audience: any, scopes: [read, write]`, ofServer(), 403, `"forbidden"`},
		{"a condition that is not met", `, audience: any, when: 'claims.client_id == "other"'`, ofServer(), 403, `"forbidden"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &introspector{tokens: map[string]any{"t0ken": c.answer}}
				w := introspected(t, s, c.more)
				for range 2 {
					if got := ask(t, w, "GET", "/who", bearer("t0ken")...); got.status != c.status || !strings.Contains(got.body, c.body) {
						t.Errorf("%d: %s", got.status, got.body)
					}
				}
				if strings.Contains(w.Log(), "t0ken") || strings.Contains(w.Log(), "s:ecret") {
					t.Error("a token or a secret is in the log:", w.Log())
				}
			})
		})
	}
}

func TestIntrospectionAsks(t *testing.T) {
	for _, c := range []struct {
		name, auth    string
		authorization string
		form          string
	}{
		{"RFC 7662 2.1: with a password", "basic", basicAuth("ga+te", "s%3Aecret")[1], "token=t0ken&token_type_hint=access_token"},
		{"RFC 6749 2.3.1: in the form", "post", "", "client_id=ga+te&client_secret=s%3Aecret&token=t0ken&token_type_hint=access_token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &introspector{tokens: map[string]any{"t0ken": ofServer()}}
				w := flowtest.Serve(t, guarded(`introspection: { url: "https://elsewhere.example/x?y=1", service: id, client: { id: ga te, secret: "s:ecret", auth: `+c.auth+` }, audience: shop }`), flowtest.Backends{"id": s})
				if got := ask(t, w, "GET", "/who", bearer("t0ken")...); got.status != 200 {
					t.Fatal(got.status, got.body)
				}
				r := &s.asked[0]
				if r.Method != "POST" || r.URL.RequestURI() != "/x?y=1" || r.Header.Get("Authorization") != c.authorization || s.forms[0] != c.form || r.Header.Get("Accept") != "application/json" {
					t.Error(r.Method, r.URL, r.Header, s.forms)
				}
			})
		})
	}
}

func TestAnswersOfIntrospectionAreBelievedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		s := &introspector{tokens: map[string]any{"a": ofServer(), "short": ofServer(object{"exp": now + 20})}}
		w := introspected(t, s, `, audience: shop, leeway: 0s, cache: { max_age: 1m, negative: 10s }`)
		is := func(token string, status, calls int) {
			t.Helper()
			if got := ask(t, w, "GET", "/who", bearer(token)...); got.status != status || s.calls() != calls {
				t.Errorf("%s: %d after %d calls, want %d after %d: %s", token, got.status, s.calls(), status, calls, got.body)
			}
		}
		is("a", 200, 1)
		is("a", 200, 1)
		is("b", 401, 2)
		is("b", 401, 2)
		is("short", 200, 3)
		s.set(func() { s.tokens["b"], s.tokens["a"] = ofServer(), nil })
		time.Sleep(11 * time.Second)
		is("b", 200, 4)
		is("a", 200, 4)
		time.Sleep(10 * time.Second)
		is("short", 401, 5) // never longer than until it expires
		time.Sleep(40 * time.Second)
		is("a", 401, 6)
		is("a", 401, 6)
		is("b", 200, 6)
	})
}

func TestIntrospectionAsksOnceForAllWhoBringATokenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &introspector{tokens: map[string]any{"a": ofServer(), "b": ofServer(object{"sub": "eve"})}, slow: time.Second}
		w := introspected(t, s, `, audience: shop`)
		var all sync.WaitGroup
		for i := range 40 {
			token, name := "a", `"ada"`
			if i%2 == 0 {
				token, name = "b", `"eve"`
			}
			all.Go(func() {
				if got := ask(t, w, "GET", "/who", bearer(token)...); got.status != 200 || !strings.Contains(got.body, name) {
					t.Error(got.status, got.body)
				}
			})
		}
		all.Wait()
		if s.calls() != 2 {
			t.Error("asked", s.calls())
		}
	})
}

func TestIntrospectionWhenTheServerIsOut(t *testing.T) {
	for _, c := range []struct {
		name, more string
		status     []int // at once, after 2m, after 12m
	}{
		{"RFC 7662 4: nobody is let in", "", []int{200, 503, 503}},
		{"with stale answers, for as long as is said", ", cache: { stale: 10m }", []int{200, 200, 503}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &introspector{tokens: map[string]any{"a": ofServer()}}
				w := introspected(t, s, `, audience: shop`+c.more)
				for i, wait := range []time.Duration{0, 2 * time.Minute, 10 * time.Minute} {
					time.Sleep(wait)
					if got := ask(t, w, "GET", "/who", bearer("a")...); got.status != c.status[i] {
						t.Errorf("%d: %d: %s", i, got.status, got.body)
					}
					s.set(func() { s.status = 500 })
				}
				if got := ask(t, w, "GET", "/who", bearer("b")...); got.status != 503 || got.header.Get("Retry-After") == "" {
					t.Error("a token that nobody knows:", got.status, got.body)
				}
			})
		})
	}
	t.Run("RFC 7662 2.3: the gateway is not known to the server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &introspector{tokens: map[string]any{"a": object{"error": "invalid_client", "error_description": "a and s:ecret"}}, status: 401}
			w := introspected(t, s, `, audience: shop`)
			if got := ask(t, w, "GET", "/who", bearer("a")...); got.status != 503 || !strings.Contains(w.Log(), "invalid_client") || strings.Contains(w.Log(), "s:ecret") {
				t.Error(got.status, got.body, w.Log())
			}
		})
	})
}

func TestTokensThatCannotBeOnesAreNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &introspector{}
		w := introspected(t, s, `, audience: shop`)
		for _, token := range []string{strings.Repeat("x", 17<<10), "a\xffb", "a\tb"} {
			if got := ask(t, w, "GET", "/who", bearer(token)...); got.status != 401 {
				t.Errorf("%.10q: %d %s", token, got.status, got.body)
			}
		}
		if got := ask(t, w, "GET", "/who"); got.status != 401 || got.header.Get("Www-Authenticate") != `Bearer realm="api"` {
			t.Error(got.status, got.header)
		}
		if s.calls() != 0 {
			t.Error("asked", s.calls())
		}
	})
}

func TestManyTokensThatDoNotHoldLeaveRoomForThoseThatDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &introspector{tokens: map[string]any{"a": ofServer()}}
		w := introspected(t, s, `, audience: shop, cache: { entries: 100, max_age: 1h, negative: 1h }`)
		for i := range 1000 {
			_ = ask(t, w, "GET", "/who", bearer(fmt.Sprint("none", i))...)
			if i%100 == 0 {
				if got := ask(t, w, "GET", "/who", bearer("a")...); got.status != 200 {
					t.Error(got.status)
				}
			}
		}
		if s.calls() != 1001 {
			t.Error("asked", s.calls())
		}
	})
}

func TestIntrospectedTokensCanBeRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, write := file(t, "# nobody\n")
		s := &introspector{tokens: map[string]any{"a": ofServer(object{"jti": "1"})}}
		w := introspected(t, s, `, audience: shop, revoked: { file: `+path+` }`)
		for _, want := range []int{200, 401} {
			if got := ask(t, w, "GET", "/who", bearer("a")...); got.status != want {
				t.Error(got.status, got.body)
			}
			write("jti 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b") // of 1
			time.Sleep(5 * time.Second)
		}
	})
}
