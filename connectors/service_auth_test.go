package connectors_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
	"github.com/weir-run/weir/mesh"
)

// What a caller of the flow sends is not what the service knows us by.
func TestAuthOfAService(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-the-pod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Authorization"]) })
	const basic = `{ basic: { user: shop, password: $(secret.TOKEN) } }`
	const oauth2 = `{ oauth2: { service: login, path: /token, client_id: shop, client_secret: $(secret.TOKEN), scopes: [a, b] } }`
	login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"for.%s.%s.%s%s","token_type":"Bearer","expires_in":3600}`, id, secret, r.FormValue("grant_type"), r.Header.Get("X-Tenant"))
	})
	bearer := fmt.Sprintf("{ bearer_file: %q }", file)
	for name, tt := range map[string]struct{ auth, steps, want string }{
		"a password, for a call":         {basic, "- { id: a, call: GET b / }\n- return: $(a)", "[Basic c2hvcDptYWRlLXVwLVRPS0VO]"},
		"a password, for a forward":      {basic, "- forward: b", "[Basic c2hvcDptYWRlLXVwLVRPS0VO]"},
		"a token, for a call":            {bearer, "- { id: a, call: GET b / }\n- return: $(a)", "[Bearer of-the-pod]"},
		"a token, for a forward":         {bearer, "- forward: b", "[Bearer of-the-pod]"},
		"an access token, for a call":    {oauth2, "- { id: a, call: GET b / }\n- return: $(a)", "[Bearer for.shop.made-up-TOKEN.client_credentials7]"},
		"an access token, for a forward": {oauth2, "- forward: b", "[Bearer for.shop.made-up-TOKEN.client_credentials7]"},
		"a call that sets another one":   {bearer, "- { id: a, call: GET b /, headers: { authorization: mine } }\n- return: $(a)", "[mine]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(tt.steps, `services: { b: { endpoints: ["http://b"], auth: `+tt.auth+` }, login: { endpoints: ["http://login"], headers: { x-tenant: 7 } } }`), flowtest.Backends{"b": told, "login": login})
			for range 2 {
				r := w.Request("GET", "/", "")
				r.Header.Set("Authorization", "of the caller")
				w.Send(r).Is(t, 200, tt.want)
			}
		})
	}
}

// What authorizes is part of what can be taken over from the program before, and
// so is who gives it; a secret is not to be seen in that.
func TestAuthIsPartOfTheKeyOfAService(t *testing.T) {
	key := func(secret, path, login string) string {
		p := flowtest.Check(t, flowtest.Flow("- forward: b", `services:
  login: `+login+`
  b: { endpoints: ["http://b"], auth: { oauth2: { service: login, path: `+path+`, client_id: shop, client_secret: `+secret+` } } }`,
			`gateways: { public: { listen: ":80" } }`))
		return p.Services[0].Key()
	}
	const login = `{ endpoints: ["http://login"] }`
	first := key("$(secret.A)", "/token", login)
	if again := key("$(secret.A)", "/token", login); again != first {
		t.Errorf("%s is not %s", again, first)
	}
	for _, other := range []string{key("$(secret.B)", "/token", login), key("$(secret.A)", "/t", login), key("$(secret.A)", "/token", `{ endpoints: ["http://l"] }`),
		key("$(secret.A)", "/token", `{ endpoints: ["http://login"], headers: { x-tenant: a } }`)} {
		if other == first {
			t.Errorf("%s stands for two", other)
		}
	}
	if strings.Contains(first, "made-up") {
		t.Error(first)
	}
}

// A backend that does not take the token gets the request once more with
// another, and a flow knows when there is none.
func TestAccessTokensThatAreNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given, seen atomic.Int64
		var down atomic.Bool
		login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if down.Load() {
				w.WriteHeader(400)
				fmt.Fprint(w, `{"error":"invalid_client"}`)
				return
			}
			fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":"60"}`, given.Add(1))
		})
		b := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen.Add(1)
			if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", given.Load()) {
				w.WriteHeader(401)
				return
			}
			io.Copy(w, r.Body)
		})
		w := flowtest.Serve(t, flowtest.Flow(`
- { id: a, call: POST b /, body: x }
- return: $(a)
`, `services:
  b: { endpoints: ["http://b"], auth: { oauth2: { service: login, path: /token, client_id: shop, client_secret: $(secret.TOKEN) } } }
  login: { endpoints: ["http://login"] }
`), flowtest.Backends{"b": b, "login": login})
		w.Get("/").Is(t, 200, "x")
		time.Sleep(11 * time.Second)
		given.Add(1) // what is in use has been revoked
		w.Get("/").Is(t, 200, "x")
		if given.Load() != 3 || seen.Load() != 3 {
			t.Errorf("%d given, %d seen", given.Load(), seen.Load())
		}
		down.Store(true)
		time.Sleep(time.Minute)
		w.Get("/").IsProblem(t, 502, "upstream-unreachable")
		st := w.Host.Program().Services[0].Client().Stats()
		if st.Credentials.Refused != 1 || st.Failures[mesh.NoCredentials] != 1 {
			t.Errorf("%+v", st)
		}
	})
}
