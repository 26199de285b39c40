package policies_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// loginProvider plays a provider of OpenID Connect. What it says can be changed.
type loginProvider struct {
	mu        sync.Mutex
	signs     mint
	claims    object                // more of an ID token
	header    object                // more of its header
	answer    object                // more of an answer with tokens
	discovery object                // more of what it says of itself
	logins    map[string]url.Values // by code: what was asked for
	refresh   map[string]bool       // tokens that hold
	forms     []url.Values          // of requests for tokens
	issued    []string              // tokens, none of which is to be seen anywhere
	down      bool
	slow      time.Duration
}

func newLoginProvider() *loginProvider {
	return &loginProvider{signs: mint{"RS256", "1", rsaKey()}, logins: map[string]url.Values{}, refresh: map[string]bool{}}
}

func (p *loginProvider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

const providerName = "http://id/shop"

func (p *loginProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	down, slow := p.down, p.slow
	p.mu.Unlock()
	_ = r.ParseForm() // the end of the connection is only seen behind it
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case down:
		w.WriteHeader(503)
	case r.URL.Path == "/shop/.well-known/openid-configuration":
		said := object{"issuer": providerName, "jwks_uri": "http://id/certs", "authorization_endpoint": "http://id/login?theme=shop", "token_endpoint": "http://id/token", "end_session_endpoint": "http://id/logout"}
		maps.Copy(said, p.discovery)
		_, _ = w.Write(jsonOf(said))
	case r.URL.Path == "/certs":
		_, _ = io.WriteString(w, jwks(p.signs.jwk()))
	case r.URL.Path == "/token" && r.Method == "POST":
		p.tokens(w, r)
	default:
		w.WriteHeader(404)
	}
}

func (p *loginProvider) tokens(w http.ResponseWriter, r *http.Request) {
	p.forms = append(p.forms, r.PostForm)
	refuse := func() {
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"a secret of the provider"}`)
	}
	if r.Header.Get("Authorization") != basicAuth("shop", "s%3Aecret")[1] {
		w.WriteHeader(401)
		_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
		return
	}
	nonce := any(nil)
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		asked := p.logins[r.PostForm.Get("code")]
		delete(p.logins, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if asked == nil || encode64(sum[:]) != asked.Get("code_challenge") || asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri") {
			refuse()
			return
		}
		nonce = asked.Get("nonce")
	case "refresh_token":
		old := r.PostForm.Get("refresh_token")
		if !p.refresh[old] {
			refuse()
			return
		}
		delete(p.refresh, old) // each holds once
	}
	n := len(p.issued)
	access, refresh := fmt.Sprintf("access-%d", n), fmt.Sprintf("refresh-%d", n)
	p.refresh[refresh] = true
	claims := claimsOf(object{"iss": providerName, "aud": "shop", "email": "ada@shop.example", "nonce": nonce}, p.claims)
	id := p.signs.token(claims, p.header)
	p.issued = append(p.issued, access, refresh, id)
	answer := object{"access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": refresh, "id_token": id}
	maps.Copy(answer, p.answer)
	maps.DeleteFunc(answer, func(_ string, v any) bool { return v == nil })
	_, _ = w.Write(jsonOf(answer))
}

// count is how many requests for tokens were of a kind.
func (p *loginProvider) count(grant string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, form := range p.forms {
		if form.Get("grant_type") == grant {
			n++
		}
	}
	return n
}

// login is what happens in the browser at the provider: it gives what the browser
// is sent back with.
func (p *loginProvider) login(t *testing.T, location string) url.Values {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, "http://id/login?") {
		t.Fatalf("not sent to the provider, but to %q", location)
	}
	asked := u.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	code := fmt.Sprintf("code-%d-%s", len(p.logins), asked.Get("nonce")[:4])
	p.logins[code] = asked
	return url.Values{"state": {asked.Get("state")}, "code": {code}}
}

// browser keeps cookies, and follows nothing by itself.
type browser struct {
	t       *testing.T
	client  *http.Client
	cookies map[string]string
	names   []string // in the order in which they came
}

func newBrowser(t *testing.T, w *flowtest.World) *browser {
	client := w.NewClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{t: t, client: client, cookies: map[string]string{}}
}

func (b *browser) clone() *browser {
	return &browser{b.t, b.client, maps.Clone(b.cookies), slices.Clone(b.names)}
}

var asPage = []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none"}

// page asks as a browser does for a page.
func (b *browser) page(path string) flowtest.Answer { return b.send("GET", path, asPage...) }

func (b *browser) send(method, path string, header ...string) flowtest.Answer {
	b.t.Helper()
	r, err := http.NewRequest(method, "http://public:80"+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	var all []string
	for _, name := range b.names {
		if value, ok := b.cookies[name]; ok {
			all = append(all, name+"="+value)
		}
	}
	if all != nil {
		r.Header.Set("Cookie", strings.Join(all, "; "))
	}
	res, err := b.client.Do(r)
	if err == nil {
		b.keep(res)
	}
	return flowtest.Read(res, err)
}

func (b *browser) keep(res *http.Response) {
	for _, c := range res.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || len(c.Raw) > 4096 {
			b.t.Error("a cookie that is not as it should be:", c.Raw)
		}
		if res.Header.Get("Cache-Control") != "no-store" {
			b.t.Error("an answer with a cookie can be stored:", res.Header)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		if !slices.Contains(b.names, c.Name) {
			b.names = append(b.names, c.Name)
		}
		b.cookies[c.Name] = c.Value
	}
}

// enter logs in, for a page.
func (b *browser) enter(p *loginProvider, path string) flowtest.Answer {
	b.t.Helper()
	led := b.page(path)
	if led.Status != 303 {
		b.t.Fatal("not led to the login:", led.Status, led.Body)
	}
	return b.page("/oauth2/callback?" + p.login(b.t, led.Header.Get("Location")).Encode())
}

// loggedIn is a browser that has.
func loggedIn(t *testing.T, w *flowtest.World, p *loginProvider) *browser {
	t.Helper()
	b := newBrowser(t, w)
	if back := b.enter(p, "/who"); back.Status != 303 || back.Header.Get("Location") != "https://shop.example/who" {
		t.Fatal(back.Status, back.Header.Get("Location"), back.Body, w.Log())
	}
	return b
}

const (
	sessionKey  = "no more than an example of a key: 0123456789"
	sessionNext = "no more than another example of one: 0123456789"
)

// loginPolicy is oidc with more settings.
func loginPolicy(more string) string {
	if !strings.Contains(more, "session:") {
		more += `, session: { keys: ["` + sessionKey + `"] }`
	}
	return `oidc: { issuer: "` + providerName + `", client: { id: shop, secret: "s:ecret" }, url: "https://shop.example"` + more + ` }`
}

// entered is a program that has people log in.
func entered(t *testing.T, p *loginProvider, more string) *flowtest.World {
	t.Helper()
	return flowtest.Serve(t, guarded(loginPolicy(more)), flowtest.Backends{"id": p})
}

// unseen checks that no token has got to where others see it.
func (p *loginProvider) unseen(t *testing.T, w *flowtest.World, texts ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range append(texts, w.Log()) {
		for _, token := range append(p.issued, "s:ecret", "a secret of the provider") {
			if strings.Contains(text, token) {
				t.Errorf("%.20s… is to be seen in %s", token, text)
			}
		}
	}
}

func claimsIn(t *testing.T, a flowtest.Answer) object {
	t.Helper()
	var said struct{ Claims object }
	if err := json.Unmarshal([]byte(a.Body), &said); err != nil {
		t.Fatal(err, a.Body)
	}
	return said.Claims
}

func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
