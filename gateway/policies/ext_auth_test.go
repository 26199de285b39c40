package policies_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// decided is a site behind a service that decides: what comes in is forwarded to
// a backend, which shows what it got.
func decided(t *testing.T, policy string, decides http.HandlerFunc, names ...string) *flowtest.World {
	t.Helper()
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, name := range names {
			fmt.Fprintf(w, "%s=%q ", name, r.Header[name])
		}
		fmt.Fprintf(w, "body=%q", body)
	})
	return flowtest.Serve(t, `flow: pass
trigger: { http: "ANY /{path:.*}", policies: [{ `+policy+` }], max_body: 1MB, deadline: 20s }
steps: [{ forward: backend }]
`, flowtest.Backends{"auth": decides, "backend": backend})
}

func rules(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(code)
		if code != 204 && code != 304 {
			fmt.Fprint(w, "inside")
		}
	}
}

func TestExtAuthDecidesByStatus(t *testing.T) {
	for _, c := range []struct {
		name    string
		decides http.HandlerFunc
		want    int
		code    string
		header  map[string]string
	}{
		{"200", rules(200), 200, "", nil},
		{"204", rules(204), 200, "", nil},
		{"401 with a challenge", rules(401, "WWW-Authenticate", `Bearer realm="a"`, "Set-Cookie", "a=1", "X-Inside", "1"), 401, "unauthenticated",
			map[string]string{"Www-Authenticate": `Bearer realm="a"`, "Set-Cookie": "a=1", "X-Inside": ""}},
		{"403", rules(403), 403, "forbidden", nil},
		{"a redirect", rules(302, "Location", "https://id.example/login", "Set-Cookie", "state=1"), 302, "unauthenticated",
			map[string]string{"Location": "https://id.example/login", "Set-Cookie": "state=1", "Proxy-Status": `weir; error=http_request_denied; details="ext_auth"`}},
		{"a redirect that leads nowhere", rules(302), 403, "forbidden", nil},
		{"not modified, which is no answer to this", rules(304, "Location", "/"), 403, "forbidden", nil},
		{"404: it is not what decides", rules(404), 403, "forbidden", nil},
		{"400", rules(400), 403, "forbidden", nil},
		{"500", rules(500), 503, "unavailable", map[string]string{"Retry-After": "5"}},
		{"429", rules(429), 503, "unavailable", nil},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "unavailable", nil},
		{"what is no status of HTTP", func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(c, "HTTP/1.1 OK\r\n\r\n")
			_ = c.Close()
		}, 503, "unavailable", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := decided(t, `ext_auth: { service: auth }`, c.decides)
			w.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			got := ask(t, w, "GET", "/a")
			if got.status != c.want || got.problem.Code != c.code || strings.Contains(got.body, "inside") {
				t.Errorf("%d %s", got.status, got.body)
			}
			for name, want := range c.header {
				if have := got.header.Get(name); have != want {
					t.Errorf("%s: %q, not %q", name, have, want)
				}
			}
			if c.want != 200 && got.header.Get("Proxy-Status") == "" {
				t.Error("it does not say which policy refused")
			}
		})
	}
}

func TestExtAuthTellsOfTheRequestAsOthersDo(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		want         string
	}{
		{"Traefik", `service: auth, path: "/verify?rd=1"`,
			`GET /verify?rd=1 auth X-Forwarded-Method=[DELETE] X-Forwarded-Proto=[http] X-Forwarded-Host=[public:80] X-Forwarded-Uri=[/a%2Fb?x=1&y] X-Forwarded-For=[127.0.0.1] Authorization=[Bearer t] Cookie=[] X-Tenant=[]`},
		{"nginx", `url: "http://auth/verify", protocol: auth_request, send: [], set: { X-Tenant: 'of $(request.method)' }`,
			`GET /verify auth X-Forwarded-For=[127.0.0.1] X-Original-Method=[DELETE] X-Original-Url=[http://public:80/a%2Fb?x=1&y] X-Original-Uri=[/a%2Fb?x=1&y] Authorization=[] Cookie=[] X-Tenant=[of DELETE]`},
		{"Envoy", `service: auth, path: /check/, protocol: ext_authz, send: [Authorization, Cookie, X-Other]`,
			`DELETE /check/a%2Fb?x=1&y public:80 X-Forwarded-Proto=[http] X-Forwarded-For=[127.0.0.1] Authorization=[Bearer t] Cookie=[] X-Tenant=[]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Value
			w := decided(t, `ext_auth: { `+c.policy+` }`, func(w http.ResponseWriter, r *http.Request) {
				got := r.Method + " " + r.RequestURI + " " + r.Host
				for _, name := range []string{"X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-For", "X-Original-Method", "X-Original-Url", "X-Original-Uri"} {
					if r.Header[name] != nil {
						got += fmt.Sprintf(" %s=%s", name, r.Header[name])
					}
				}
				for _, name := range []string{"Authorization", "Cookie", "X-Tenant"} {
					got += fmt.Sprintf(" %s=%s", name, r.Header[name])
				}
				asked.Store(got)
			})
			// What the caller says in the names of the gateway is not believed.
			ask(t, w, "DELETE", "/a%2Fb?x=1&y", "Authorization", "Bearer t", "X-Tenant", "own", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/public", "X-Original-URL", "/public", "X-Original-Method", "GET")
			if got, _ := asked.Load().(string); got != c.want {
				t.Errorf("asked\n%s, not\n%s", got, c.want)
			}
		})
	}
}

func TestExtAuthPassesOnWhatItsServiceSaysAndNobodyElse(t *testing.T) {
	var answers atomic.Value
	w := decided(t, `ext_auth: { service: auth, pass: [X-User, X-Group, Authorization] }`, func(w http.ResponseWriter, r *http.Request) {
		answers.Load().(http.HandlerFunc)(w, r)
	}, "X-User", "X_user", "X-Group", "Authorization")
	spoofed := []string{"X-User", "root", "X_user", "root", "X-Group", "wheel", "Authorization", "Bearer own"}
	answers.Store(rules(200, "X-User", "ada", "X-Group", "a", "X-Group", "b", "X-Other", "no", "Authorization", "Bearer inner"))
	if got := ask(t, w, "GET", "/", spoofed...); got.body != `X-User=["ada"] X_user=[] X-Group=["a" "b"] Authorization=["Bearer inner"] body=""` {
		t.Error(got.body)
	}
	if got := ask(t, w, "GET", "/", append(spoofed, "Connection", "X-User, Authorization")...); !strings.HasPrefix(got.body, `X-User=["ada"] X_user=[] X-Group=["a" "b"] Authorization=["Bearer inner"]`) {
		t.Error("a caller has what the policy says taken away:", got.body)
	}
	answers.Store(rules(200))
	if got := ask(t, w, "GET", "/", spoofed...); got.body != `X-User=[] X_user=[] X-Group=[] Authorization=[] body=""` {
		t.Error(got.body)
	}
	answers.Store(rules(200, "Set-Cookie", "session=2"))
	if got := ask(t, w, "GET", "/"); got.header.Get("Set-Cookie") != "session=2" {
		t.Error(got.header)
	}
}

func TestExtAuthNamesTheConsumer(t *testing.T) {
	serve := func(t *testing.T, policy string, decides http.HandlerFunc) *flowtest.World {
		return flowtest.Serve(t, guarded(`ext_auth: { url: "http://auth/", `+policy+` }`), flowtest.Backends{"auth": decides})
	}
	for _, c := range []struct {
		name, policy string
		decides      http.HandlerFunc
		status       int
		want         string
	}{
		{"in a header", `consumer: { header: X-User, plan: X-Plan }`, rules(200, "X-User", "ada", "X-Plan", "gold"), 200, `{"name":"ada","by":"ext_auth","plan":"gold","claims":{}}`},
		{"in JSON, with exact numbers", `consumer: { claim: user.id, plan: plan }`, flowtest.JSON(200, `{"user":{"id":9007199254740993},"plan":"gold"}`).ServeHTTP, 200,
			`{"name":"9007199254740993","by":"ext_auth","plan":"gold","claims":{"plan":"gold","user":{"id":9007199254740993}}}`},
		{"nowhere", `consumer: { header: X-User }`, rules(200), 401, `"unauthenticated"`},
		{"twice", `consumer: { header: X-User }`, rules(200, "X-User", "ada", "X-User", "eve"), 401, `"unauthenticated"`},
		{"nowhere, which is allowed", `consumer: { header: X-User }, optional: true`, rules(200), 200, `"name":null`},
		{"a no is one, also where nobody is allowed", `consumer: { header: X-User }, optional: true`, rules(401), 401, `"unauthenticated"`},
		{"in what is no JSON", `consumer: { claim: sub }`, rules(200), 403, `"forbidden"`},
		{"in JSON with a name twice", `consumer: { claim: sub }`, flowtest.JSON(200, `{"sub":"ada","sub":"root"}`).ServeHTTP, 403, `"forbidden"`},
		{"in too much JSON", `consumer: { claim: sub }`, flowtest.JSON(200, `{"sub":"ada","x":"`+strings.Repeat("x", 70000)+`"}`).ServeHTTP, 403, `"forbidden"`},
		{"in no body", `consumer: { claim: sub }`, rules(204), 401, `"unauthenticated"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ask(t, serve(t, c.policy, c.decides), "GET", "/who"); got.status != c.status || !strings.Contains(got.body, c.want) {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	t.Run("and backends are told of it", func(t *testing.T) {
		w := decided(t, `ext_auth: { service: auth, consumer: { claim: sub }, headers: { X-Sub: $(claims.sub) } }`, flowtest.JSON(200, `{"sub":"ada"}`).ServeHTTP, "X-Sub")
		if got := ask(t, w, "GET", "/", "X-Sub", "root"); got.body != `X-Sub=["ada"] body=""` {
			t.Error(got.body)
		}
	})
	t.Run("as one of several ways it is asked about credentials only", func(t *testing.T) {
		var asked atomic.Int32
		path, _ := file(t, "")
		w := flowtest.Serve(t, guarded(`any_of: { of: [{ ext_auth: { url: "http://auth/", consumer: { header: X-User } } }, { api_key: { file: `+path+` } }] }`), flowtest.Backends{"auth": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			rules(200, "X-User", "ada")(w, r)
		})})
		if got := ask(t, w, "GET", "/who"); got.status != 401 || asked.Load() != 0 {
			t.Errorf("%d %s, asked %d times", got.status, got.body, asked.Load())
		}
		if got := ask(t, w, "GET", "/who", "Authorization", "Bearer x"); got.status != 200 || asked.Load() != 1 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestExtAuthAsksAboutBodies(t *testing.T) {
	var got atomic.Value
	w := decided(t, `ext_auth: { service: auth, body: 16B }`, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.Store(fmt.Sprintf("%s %s %s", r.Method, r.Header.Get("Content-Type"), body))
	})
	send := func(body io.Reader) flowtest.Answer {
		r, _ := http.NewRequest("PUT", "http://public/", body)
		r.Header.Set("Content-Type", "text/plain")
		return w.Send(r)
	}
	send(strings.NewReader("sixteen bytes...")).Is(t, 200, `body="sixteen bytes..."`)
	if got.Load() != "POST text/plain sixteen bytes..." {
		t.Error(got.Load())
	}
	send(struct{ io.Reader }{strings.NewReader("chunks")}).Is(t, 200, `body="chunks"`)
	send(strings.NewReader("seventeen bytes..")).IsProblem(t, 413, "body-too-large")
	send(struct{ io.Reader }{strings.NewReader("seventeen bytes in chunks")}).IsProblem(t, 413, "body-too-large")
}

func TestExtAuthThatCannotBeAsked(t *testing.T) {
	for _, c := range []struct {
		name, more string
		status     int
		log        []string
	}{
		{"lets nobody in", "", 503, []string{"WARN requests are refused: the service that decides about them cannot be asked", "INFO the service that decides about requests answers again"}},
		{"lets everyone in, where that is said", ", on_failure: allow", 200, []string{"WARN everyone is let in: the service that decides about requests cannot be asked", "INFO the service that decides about requests answers again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				slow.Store(true)
				w := decided(t, `ext_auth: { service: auth, timeout: 1s, pass: [X-User]`+c.more+` }`, func(w http.ResponseWriter, r *http.Request) {
					if slow.Load() {
						<-r.Context().Done()
					}
				}, "X-User")
				for range 5 {
					began := time.Now()
					got := ask(t, w, "GET", "/", "X-User", "root")
					if got.status != c.status || strings.Contains(got.body, "root") {
						t.Errorf("%d %s", got.status, got.body)
					}
					if took := time.Since(began); took > 1100*time.Millisecond {
						t.Errorf("it took %v", took)
					}
				}
				slow.Store(false)
				for range 20 {
					if got := ask(t, w, "GET", "/"); got.status != 200 {
						t.Errorf("%d %s", got.status, got.body)
					}
					time.Sleep(time.Second)
				}
				if got := told(t, w, "ext_auth"); strings.Join(got, "\n") != strings.Join(c.log, "\n") {
					t.Errorf("%q", got)
				}
			})
		})
	}
	t.Run("does not let in whoever does not wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := flowtest.Serve(t, `flow: pass
trigger: { http: GET /, policies: [{ ext_auth: { url: "http://auth/", on_failure: allow } }] }
steps: [{ return: 1 }]
---
gateways: { public: { listen: "public:80", deadline_header: X-Deadline } }
`, flowtest.Backends{"auth": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(100 * time.Millisecond)
				w.WriteHeader(401)
			})})
			if got := ask(t, w, "GET", "/", "X-Deadline", "50"); got.status != 504 && got.status != 401 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	})
}

func TestExtAuthRemembersWhoWasLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		var answers atomic.Value
		answers.Store(rules(200, "X-User", "ada"))
		w := decided(t, `ext_auth: { service: auth, pass: [X-User], cache: { by: '$(headers.Authorization ?? "")', ttl: 30s, entries: 100 } }`, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			answers.Load().(http.HandlerFunc)(w, r)
		}, "X-User")
		is := func(token string, want int, times int32) {
			t.Helper()
			asked.Store(0)
			for range 3 {
				got := ask(t, w, "GET", "/", "Authorization", token, "X-User", "root")
				if got.status != want || want == 200 && got.body != `X-User=["ada"] body=""` {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			if n := asked.Load(); n != times {
				t.Errorf("asked %d times, not %d", n, times)
			}
		}
		is("Bearer a", 200, 1)
		is("Bearer b", 200, 1)
		is("", 200, 3) // nobody's
		time.Sleep(31 * time.Second)
		is("Bearer a", 200, 1)
		answers.Store(rules(401))
		is("Bearer a", 200, 0)
		is("Bearer c", 401, 3) // a no is not remembered: who signs in is let in at once
		for _, header := range []string{"no-store", "max-age=0", "no-cache"} {
			answers.Store(rules(200, "X-User", "ada", "Cache-Control", header))
			is("Bearer "+header, 200, 3)
		}
		answers.Store(rules(200, "X-User", "ada", "Set-Cookie", "a=1"))
		is("Bearer d", 200, 3)
		answers.Store(rules(200, "X-User", "ada"))
		for i := range 1000 {
			ask(t, w, "GET", "/", "Authorization", fmt.Sprint("Bearer ", i))
		}
		is("Bearer a", 200, 1) // there is room for so many
	})
}
