package policies

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// CodeLoginFailed is the code of a login that was not begun by the browser that
// ends it, or that the provider did not let happen.
const CodeLoginFailed = "login-failed"

// A login is what a browser keeps, sealed, between being sent to the provider and
// coming back: it binds the answer of the provider to the browser that asked.
type login struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // of PKCE (RFC 7636 section 4.1)
	To       string `json:"t"` // where to go on: a path with its query
	At       int64  `json:"a"` // when it began, in seconds since 1970
}

const (
	loginFor  = 10 * time.Minute
	maxLogins = 8       // that a browser has under way: one for each tab that asks
	maxReturn = 2 << 10 // bytes of where to go on
	maxCode   = 4 << 10 // bytes
)

// receive is what host asks for.
func (p *oidc) receive(w http.ResponseWriter, r *http.Request) bool {
	var answer func(http.ResponseWriter, *http.Request)
	methods := []string{http.MethodGet}
	switch path := r.URL.Path; {
	case path == p.callback:
		answer = p.back
	case path == p.logout:
		answer = p.end
		methods = append(methods, http.MethodPost)
	case path == p.login && path != "":
		answer = func(w http.ResponseWriter, r *http.Request) {
			to := r.URL.Query().Get("to")
			if !p.returns(to) {
				to = "/"
			}
			p.begin(w, r, to)
		}
	default:
		return false
	}
	if !slices.Contains(methods, r.Method) {
		w.Header()["Allow"] = []string{strings.Join(methods, ", ")}
		p.refuse(w, r, &refusal{status: http.StatusMethodNotAllowed, code: gateway.CodeMethodNotAllowed, detail: "The resource does not take this method; Allow names those that it takes."})
		return true
	}
	answer(w, r)
	return true
}

// invite is what host asks for. Only a page that a browser is about to show can be
// led away: what a script asks for could not follow, and what changes something is
// not done again afterwards.
func (p *oidc) invite(w http.ResponseWriter, r *http.Request) bool {
	if !navigates(r) {
		return false
	}
	to := r.URL.RequestURI()
	if !p.returns(to) {
		to = "/"
	}
	p.begin(w, r, to)
	return true
}

// navigates reports whether a request is for a page that a browser shows by itself.
func navigates(r *http.Request) bool {
	if r.Method != http.MethodGet || r.Header["Upgrade"] != nil || r.Header["Sec-Purpose"] != nil || r.Header["X-Requested-With"] != nil {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// ownPath reports whether a text is a path of this origin, with a query maybe, and
// nothing that a browser would take for another one.
func ownPath(text string) bool {
	if text == "" || len(text) > maxReturn || text[0] != '/' || strings.HasPrefix(text, "//") || strings.ContainsAny(text, `\#`) {
		return false
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// returns reports whether a login can go on to a path: one of its own would lead
// in a circle.
func (p *oidc) returns(to string) bool {
	path, _, _ := strings.Cut(to, "?")
	return ownPath(to) && path != p.callback && path != p.login && path != p.logout
}

// begin sends a browser to the provider.
func (p *oidc) begin(w http.ResponseWriter, r *http.Request, to string) {
	now := time.Now()
	said, err := p.state.It().known.places(r.Context(), now, fetcher(p.provider.discovery))
	if err != nil {
		p.refuse(w, r, unavailable(err))
		return
	}
	slot := p.slot(r)
	l := &login{State: strconv.Itoa(slot) + rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(), To: to, At: now.Unix()}
	plain, err := json.Marshal(l)
	if err != nil {
		p.refuse(w, r, unavailable(err))
		return
	}
	challenge := sha256.Sum256([]byte(l.Verifier))
	p.lead(w, said.authorization, url.Values{
		"response_type": {"code"}, "client_id": {p.oauth.id}, "redirect_uri": {p.url + p.callback}, "scope": {p.scope}, "state": {l.State}, "nonce": {l.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}, setCookie(p.loginCookie(slot), p.sealer.seal(p.purpose+"login", plain), int(loginFor.Seconds())))
}

func (p *oidc) loginCookie(slot int) string { return p.cookie + "-login-" + strconv.Itoa(slot) }

// slot is the number of a login: one that the browser does not have under way, if
// there is. So many tabs can ask at once, and no page can have a browser collect
// cookies until servers refuse its requests.
func (p *oidc) slot(r *http.Request) int {
	var b [1]byte
	_, _ = rand.Read(b[:]) // it does not fail
	for i := range maxLogins {
		slot := (int(b[0]) + i) % maxLogins
		if r.Header["Cookie"] == nil || len(r.CookiesNamed(p.loginCookie(slot))) == 0 {
			return slot
		}
	}
	return int(b[0]) % maxLogins
}

// lead redirects a browser to a page with more in its query.
func (p *oidc) lead(w http.ResponseWriter, at *url.URL, query url.Values, cookies ...string) {
	to := *at
	all := to.Query()
	for name, values := range query {
		all[name] = values
	}
	to.RawQuery = all.Encode()
	redirect(w, to.String(), cookies)
}

// redirect sends a browser elsewhere, and tells nobody where it was.
func redirect(w http.ResponseWriter, to string, cookies []string) {
	h := w.Header()
	h["Location"] = []string{to}
	if cookies != nil {
		h["Set-Cookie"] = append(h["Set-Cookie"], cookies...)
	}
	h["Cache-Control"] = []string{"no-store"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusSeeOther)
}

func (p *oidc) refuse(w http.ResponseWriter, r *http.Request, no *refusal) {
	w.Header()["Referrer-Policy"] = []string{"no-referrer"}
	no.answer(w, r, "oidc")
}

func (p *oidc) failed(status int, detail string, err error) *refusal {
	p.state.It().refused.Add(1)
	return &refusal{status: status, code: CodeLoginFailed, detail: detail, err: err}
}

// back takes what the provider sends a browser back with (OpenID Connect Core
// 3.1.2.5).
func (p *oidc) back(w http.ResponseWriter, r *http.Request) {
	now, query := time.Now(), r.URL.Query()
	l, slot := p.begun(r, query, now)
	if l == nil {
		if p.read(r, now) != nil { // a page of the history, in a browser that is logged in
			redirect(w, p.url+"/", nil)
			return
		}
		p.refuse(w, r, p.failed(http.StatusBadRequest, "This login was not begun by this browser, or too long ago. Begin it again.", nil))
		return
	}
	w.Header()["Set-Cookie"] = append(w.Header()["Set-Cookie"], setCookie(p.loginCookie(slot), "", 0)) // it serves once
	s, no := p.complete(r.Context(), l, query, now)
	if no != nil {
		p.refuse(w, r, no)
		return
	}
	fields, ok := p.set(p.seal(s), s, now)
	if !ok {
		p.refuse(w, r, p.failed(http.StatusForbidden, "The login cannot be kept.", errors.New("the session is larger than cookies are: ask for fewer claims, or leave out access_token")))
		return
	}
	p.state.It().logins.Add(1)
	redirect(w, p.url+l.To, fields)
}

// begun is the login that a browser comes back from; nil: it has begun none such.
func (p *oidc) begun(r *http.Request, query url.Values, now time.Time) (*login, int) {
	state := query["state"]
	if len(state) != 1 || len(state[0]) < 2 || len(state[0]) > 64 {
		return nil, 0
	}
	slot := int(state[0][0] - '0')
	if slot < 0 || slot >= maxLogins {
		return nil, 0
	}
	found := r.CookiesNamed(p.loginCookie(slot))
	if len(found) != 1 {
		return nil, 0
	}
	plain, ok := p.sealer.open(p.purpose+"login", found[0].Value)
	l := &login{}
	if !ok || json.Unmarshal(plain, l) != nil || subtle.ConstantTimeCompare([]byte(l.State), []byte(state[0])) != 1 || now.Sub(time.Unix(l.At, 0)) > loginFor || !p.returns(l.To) {
		return nil, 0
	}
	return l, slot
}

// complete makes a session of the answer of the provider.
func (p *oidc) complete(ctx context.Context, l *login, query url.Values, now time.Time) (*session, *refusal) {
	known := p.state.It().known
	said, err := known.places(ctx, now, fetcher(p.provider.discovery))
	if err != nil {
		return nil, unavailable(err)
	}
	const denied, broken = "The provider did not log you in.", "What the provider says does not hold."
	// RFC 9207 section 2.4: an answer of another provider would carry our code there.
	if iss := query["iss"]; len(iss) > 1 || len(iss) == 1 && iss[0] != p.provider.issuer.name || len(iss) == 0 && said.tellsIssuer {
		return nil, p.failed(http.StatusForbidden, broken, errors.New("the answer to a login is of another issuer"))
	}
	if code := query.Get("error"); code != "" {
		if !isErrorCode(code) {
			code = "an error that is none"
		}
		err := fmt.Errorf("the provider refuses a login: %s", code)
		switch code {
		case "server_error", "temporarily_unavailable":
			return nil, unavailable(err)
		}
		return nil, p.failed(http.StatusForbidden, denied, err)
	}
	code := query["code"]
	if len(code) != 1 || code[0] == "" || len(code[0]) > maxCode {
		return nil, p.failed(http.StatusBadRequest, broken, errors.New("the answer to a login has no code"))
	}
	s := &session{ID: rand.Text(), Nonce: l.Nonce, Born: now.Unix()}
	err = p.exchange(ctx, s, said, url.Values{"grant_type": {"authorization_code"}, "code": {code[0]}, "redirect_uri": {p.url + p.callback}, "code_verifier": {l.Verifier}}, true)
	var oauth *oauthError
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, errIDToken) || errors.As(err, &oauth) && oauth.code == "invalid_grant":
		return nil, p.failed(http.StatusForbidden, broken, err)
	}
	return nil, unavailable(err)
}

// exchange asks the provider for tokens. first says that they are of a login, for
// which there has to be an ID token with its nonce.
func (p *oidc) exchange(ctx context.Context, s *session, said *oidcEndpoints, form url.Values, first bool) error {
	answer, err := p.oauth.post(ctx, fetcher(p.provider.tokenClient), said.token, form, false)
	if err != nil {
		return err
	}
	if kind, _ := answer["token_type"].(string); !strings.EqualFold(kind, "Bearer") {
		return fmt.Errorf("%w: the token that came with it is none for bearers", errIDToken)
	}
	access, _ := answer["access_token"].(string)
	text, _ := answer["id_token"].(string)
	if access != "" && !isAccessToken(access) || first && text == "" {
		return fmt.Errorf("%w: there is none, or the access token is none", errIDToken)
	}
	var claims map[string]any
	if text != "" {
		if claims, err = p.provider.idToken(ctx, p.state.It().known, text, access, p.leeway); err != nil {
			return err
		}
		nonce, has := claims["nonce"]
		if (first || has) && nonce != s.Nonce {
			return fmt.Errorf("%w: it is of another login", errIDToken)
		}
		if !first { // OpenID Connect Core 12.2
			before, err := readObject(string(s.Claims))
			if err != nil || before["sub"] != claims["sub"] {
				return fmt.Errorf("%w: it is of someone else", errIDToken)
			}
		}
	}
	return p.fill(s, claims, answer, time.Now())
}

// refresh gives the session that takes the place of one whose tokens are renewed.
func (p *oidc) refresh(ctx context.Context, s *session) (*session, error) {
	said, err := p.state.It().known.places(ctx, time.Now(), fetcher(p.provider.discovery))
	if err != nil {
		return nil, err
	}
	next := *s
	if err := p.exchange(ctx, &next, said, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.Refresh}}, false); err != nil {
		return nil, fmt.Errorf("a session cannot be renewed: %w", err)
	}
	return &next, nil
}

// end ends a session, here and at the provider (OpenID Connect RP-Initiated Logout
// 1.0). The provider is told who asks by the name of the client: an ID token would
// stand in the URL.
func (p *oidc) end(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" || p.fetch.Check(r) != nil {
		p.refuse(w, r, &refusal{status: http.StatusForbidden, code: CodeCrossOrigin, detail: "A page of another origin may not cause this request."})
		return
	}
	kept := p.state.It()
	if s := p.read(r, now); s != nil {
		id := sha256.Sum256([]byte(s.ID))
		kept.ended.add(&id, &verified{size: verifiedSize})
	}
	said, err := kept.known.places(r.Context(), now, fetcher(p.provider.discovery))
	if err != nil || said.endSession == nil {
		redirect(w, p.url+p.after, p.unset())
		return
	}
	p.lead(w, said.endSession, url.Values{"client_id": {p.oauth.id}, "post_logout_redirect_uri": {p.url + p.after}}, p.unset()...)
}

// lifeOf reads how long something lasts, which some servers write as text.
func lifeOf(v any) (time.Duration, bool) {
	const year = 366 * 24 * 3600
	var n float64
	switch v := v.(type) {
	case int:
		n = float64(v)
	case float64:
		n = v
	case dsl.Number:
		n = v.Float()
	case string:
		n, _ = strconv.ParseFloat(v, 64)
	}
	if !(n >= 1) {
		return 0, false
	}
	return time.Duration(min(n, year)) * time.Second, true
}
