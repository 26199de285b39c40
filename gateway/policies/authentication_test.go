package policies_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/gateway/policies"
)

// file is one that a test can write anew.
func file(t *testing.T, text string) (path string, write func(text string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	at := time.Now()
	write = func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Minute) // whatever the clock of the bubble says
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	return path, write
}

// basicAuth is a header with a user and a password.
func basicAuth(name, password string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))}
}

func TestAPIKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, line, err := policies.NewAPIKey("till-7", "gold", time.Now().Add(time.Hour))
		other, second, _ := policies.NewAPIKey("till-8", "", time.Time{})
		if err != nil || strings.Contains(line, key) || !strings.HasPrefix(key, strings.Fields(line)[1]) {
			t.Fatal(line, err)
		}
		path, write := file(t, "# partners\n\n"+line+"\n")
		w := flowtest.Serve(t, guarded(`api_key: { file: `+path+` }`), nil)
		is := func(header []string, status int, want string) {
			t.Helper()
			if got := ask(t, w, "GET", "/who", header...); got.status != status || !strings.Contains(got.body, want) {
				t.Errorf("%d: %s", got.status, got.body)
			}
		}
		is([]string{"X-API-Key", key}, 200, `{"name":"till-7","by":"api_key","plan":"gold","claims":{}}`)
		is([]string{"X-API-Key", other}, 401, `"unauthenticated"`)
		is([]string{"X-API-Key", key[:len(key)-1]}, 401, `"unauthenticated"`)
		is([]string{"X-API-Key", fmt.Sprintf("%x", sha256.Sum256([]byte(key)))}, 401, `"unauthenticated"`)
		is([]string{"X-API-Key", key, "X-API-Key", key}, 400, `"bad-request"`)
		is(nil, 401, `"unauthenticated"`)

		write(line + "\n" + second)
		time.Sleep(5 * time.Second)
		is([]string{"X-API-Key", other}, 200, `"till-8"`)

		write("this is no list of keys")
		time.Sleep(5 * time.Second)
		is([]string{"X-API-Key", other}, 200, `"till-8"`)

		time.Sleep(time.Hour)
		is([]string{"X-API-Key", key}, 401, `"unauthenticated"`)
	})
}

func TestAnAPIKeyDoesNotGoOnToBackends(t *testing.T) {
	key, line, _ := policies.NewAPIKey("till", "", time.Time{})
	path, _ := file(t, line)
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s", r.URL.RawQuery, r.Header.Get("X-Api-Key"), r.Header.Get("X-Partner"))
	})
	w := flowtest.Serve(t, `flow: pass
trigger: { http: GET /, policies: [{ api_key: { query: key, file: `+path+`, headers: { X-Partner: $(consumer.name) } } }] }
steps: [{ forward: backend }]
`, flowtest.Backends{"backend": backend})
	if got := ask(t, w, "GET", "/?a=1&key="+key, "X-Partner", "root"); got.body != "a=1||till" {
		t.Errorf("%d: %s", got.status, got.body)
	}
}

func TestBasic(t *testing.T) {
	hash := func(password string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	synctest.Test(t, func(t *testing.T) {
		path, write := file(t, "ada:"+hash("pass:word")+"\n")
		w := flowtest.Serve(t, guarded(`basic: { file: `+path+`, realm: reports }`), nil)
		is := func(header []string, status int) {
			t.Helper()
			got := ask(t, w, "GET", "/who", header...)
			if got.status != status {
				t.Errorf("%d: %s", got.status, got.body)
			}
			if challenge := got.header.Get("Www-Authenticate"); status == 401 && challenge != `Basic realm="reports", charset="UTF-8"` {
				t.Error("RFC 7617 2:", challenge)
			}
		}
		for range 2 {
			is(basicAuth("ada", "pass:word"), 200)
		}
		is(basicAuth("ada", "pass"), 401)
		is(basicAuth("eve", "pass:word"), 401)
		is(basicAuth("ada", strings.Repeat("p", 100)), 401)
		is(basicAuth("ada", ""), 401)
		is([]string{"Authorization", "Basic !!!"}, 401)
		is([]string{"Authorization", "Basic YWRh"}, 401)
		is(nil, 401)
		write("ada:" + hash("another") + "\n")
		time.Sleep(5 * time.Second)
		is(basicAuth("ada", "pass:word"), 401) // it was remembered
		is(basicAuth("ada", "another"), 200)
	})
}

func TestAnyOfLetsInByTheFirstWayThatIsTried(t *testing.T) {
	m := mints()["ES256"]
	key, line, _ := policies.NewAPIKey("till", "", time.Time{})
	path, _ := file(t, line)
	of := `of: [{ jwt: { issuer: "https://id.example", audience: shop, keys: ` + publicKeys(m) + `, scopes: [read], headers: { X-User: $(claims.sub) } } }, { api_key: { file: ` + path + ` } }]`
	for _, c := range []struct {
		name, more string
		header     []string
		status     int
		body       string
		challenges []string
	}{
		{"the first", "", bearer(m.token(claimsOf(object{"scope": "read"}))), 200, `"by":"jwt"`, nil},
		{"the second", "", []string{"X-API-Key", key}, 200, `"name":"till","by":"api_key"`, nil},
		{"both", "", append(bearer(m.token(claimsOf(object{"scope": "read"}))), "X-API-Key", key), 200, `"by":"jwt"`, nil},
		{"the first does not hold, though the second would", "", append(bearer("x.y.z"), "X-API-Key", key), 401, "unauthenticated",
			[]string{`Bearer realm="api", error="invalid_token", error_description="The token does not hold"`, `ApiKey realm="api"`}},
		{"the first holds and may not", "", append(bearer(m.token(claimsOf())), "X-API-Key", key), 403, "forbidden", []string{`Bearer realm="api", error="insufficient_scope", scope="read"`}},
		{"RFC 9110 11.6.1: none", "", nil, 401, "unauthenticated", []string{`Bearer realm="api"`, `ApiKey realm="api"`}},
		{"none, where that is allowed", ", optional: true", nil, 200, `"name":null`, nil},
		{"one that does not hold, where none is allowed", ", optional: true", []string{"X-API-Key", "x"}, 401, "unauthenticated", []string{`Bearer realm="api"`, `ApiKey realm="api"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flowtest.Serve(t, guarded(`any_of: { `+of+c.more+` }`), nil)
			got := ask(t, w, "GET", "/who", c.header...)
			if got.status != c.status || !strings.Contains(got.body, c.body) || strings.Join(got.header["Www-Authenticate"], "\n") != strings.Join(c.challenges, "\n") {
				t.Errorf("%d %q: %s", got.status, got.header["Www-Authenticate"], got.body)
			}
		})
	}
}

func TestRevokedTokens(t *testing.T) {
	hash := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	m := mints()["HS256"]
	policy := func(where string) string {
		return guarded(`jwt: { issuer: "https://id.example", audience: shop, secrets: ["` + secretText + `"], revoked: { ` + where + ` } }`)
	}
	t.Run("in a file", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			path, write := file(t, "# nobody\n")
			w := flowtest.Serve(t, policy("file: "+path), nil)
			now := time.Now().Unix()
			early, late := m.token(claimsOf(object{"jti": "1"})), m.token(claimsOf(object{"jti": "2", "iat": now + 20}))
			other := m.token(claimsOf(object{"jti": "3", "sub": "eve", "iat": nil}))
			for _, c := range []struct {
				list               string
				early, late, other int
			}{
				{"", 200, 200, 200},
				{"jti " + hash("1"), 401, 200, 200},
				{fmt.Sprintf("sub %s %d", hash("ada"), now+10), 401, 200, 200},
				{"sub " + hash("ada") + " " + time.Unix(now+60, 0).Format(time.RFC3339), 401, 401, 200},
				{"sub " + hash("eve") + " 1\nsub " + hash("ada"), 401, 401, 401},
				{"jti", 401, 401, 401}, // what cannot be read changes nothing
				{"", 200, 200, 200},
			} {
				write(c.list)
				time.Sleep(5 * time.Second)
				for i, token := range []string{early, late, other} {
					if got := ask(t, w, "GET", "/who", bearer(token)...); got.status != []int{c.early, c.late, c.other}[i] {
						t.Errorf("%q: token %d: %d %s", c.list, i+1, got.status, got.body)
					}
				}
			}
		})
	})
	t.Run("in a file that is not there", func(t *testing.T) {
		w := flowtest.Serve(t, policy("file: "+filepath.Join(t.TempDir(), "none")), nil)
		if got := ask(t, w, "GET", "/who", bearer(m.token(claimsOf()))...); got.status != 503 {
			t.Errorf("%d: %s", got.status, got.body)
		}
	})
	t.Run("at a URL", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			list, down := "", false
			backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if down {
					w.WriteHeader(500)
				}
				fmt.Fprint(w, list)
			})
			w := flowtest.Serve(t, policy(`url: "http://revoked/list", stale: 10m`), flowtest.Backends{"revoked": backend})
			token := m.token(claimsOf(object{"jti": "1", "exp": time.Now().Unix() + 3600}))
			is := func(want int) {
				t.Helper()
				if got := ask(t, w, "GET", "/who", bearer(token)...); got.status != want {
					t.Errorf("%d: %s", got.status, got.body)
				}
			}
			is(200)
			list = "jti " + hash("1")
			time.Sleep(21 * time.Second)
			is(401)
			down = true
			time.Sleep(5 * time.Minute)
			is(401)
			list, down = "", false
			time.Sleep(time.Minute)
			_ = ask(t, w, "GET", "/who", bearer(token)...)
			synctest.Wait()
			is(200)
			down = true
			time.Sleep(11 * time.Minute)
			is(503)
		})
	})
}
