package policies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type oidcConfig struct {
	Issuer      dsl.String          `yaml:"issuer" doc:"The provider, letter for letter as in its claim iss. Where logins, tokens and keys are it says at this URL with /.well-known/openid-configuration." required:"true"`
	Service     dsl.String          `yaml:"service" doc:"The service by which the gateway reaches the provider, if not where the URLs say: then only their paths count. Browsers go where the URLs say."`
	Endpoints   oidcEndpointsConfig `yaml:"endpoints" doc:"Where something of the provider is, if it does not say so, or has it at another origin than its own."`
	Client      oauthClientConfig   `yaml:"client" doc:"How the gateway shows the provider who it is." required:"true"`
	URL         dsl.String          `yaml:"url" doc:"The origin at which browsers reach the gateway, such as https://shop.example. The provider has to know it with the path of callback behind it." required:"true"`
	Scopes      []string            `yaml:"scopes" doc:"What is asked for. offline_access, at many providers, is what refresh tokens come with." default:"[openid]"`
	Algorithms  []string            `yaml:"algorithms" doc:"What ID tokens may be signed with. Default: all that the keys are for." enum:"RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA|Ed25519"`
	Paths       oidcPathsConfig     `yaml:"paths" doc:"The paths that belong to the policy."`
	Session     oidcSessionConfig   `yaml:"session" doc:"What browsers keep: a cookie that they cannot read, and that the gateway needs no memory for." required:"true"`
	Consumer    string              `yaml:"consumer" doc:"The claim of the ID token that names the consumer: a name, or the names on the way to it with dots between." default:"sub"`
	Plan        string              `yaml:"plan" doc:"The claim that names its plan, in the same way. Default: it has none."`
	AccessToken bool                `yaml:"access_token" doc:"Whether backends get the access token, in Authorization behind Bearer." default:"false"`
	Roles       *rolesConfig        `yaml:"roles" doc:"Roles that who has logged in must have."`
	When        dsl.Cond            `yaml:"when" doc:"What else must be true: an expression over claims, consumer and the request."`
	Revoked     *revokedConfig      `yaml:"revoked" doc:"A list of those whose sessions no longer hold: lines of sub and the SHA-256 of that claim in hex, and maybe a time: then only sessions that began before it."`
	Leeway      dsl.Duration        `yaml:"leeway" doc:"By how much the clocks of the provider and this machine may differ." default:"30s" min:"0s" max:"5m"`
	tellConfig
	realmConfig
	optionalConfig
}

type oidcPathsConfig struct {
	Callback    dsl.String `yaml:"callback" doc:"Where the provider sends browsers back to." default:"/oauth2/callback"`
	Login       dsl.String `yaml:"login" doc:"Where pages send browsers for a login; to in its query is the path to go on to. Default: none; who asks for a page is led to the login in any case."`
	Logout      dsl.String `yaml:"logout" doc:"Where a session is ended, here and at the provider." default:"/oauth2/logout"`
	AfterLogout dsl.String `yaml:"after_logout" doc:"Where browsers are sent then. The provider has to know it, behind url." default:"/"`
}

type oidcSessionConfig struct {
	Keys     []dsl.Secret `yaml:"keys" doc:"Secrets of 32 bytes or more that cookies are encrypted with: the first, while the others still open what they have closed." required:"true"`
	Cookie   dsl.String   `yaml:"cookie" doc:"The name of the cookie, behind __Host-." default:"session"`
	Lifetime dsl.Duration `yaml:"lifetime" doc:"How long after the login a session ends, whatever happens." default:"12h" min:"1m" max:"720h"`
	Idle     dsl.Duration `yaml:"idle" doc:"How long after it was used last a session ends." default:"1h" min:"1m" max:"720h"`
	Stale    dsl.Duration `yaml:"stale" doc:"For how long a session whose tokens have expired goes on when the provider is out and cannot renew them. 0s: then requests are refused with status 503." default:"0s" min:"0s" max:"24h"`
}

// OIDC is the Kind of the policy oidc.
var OIDC = Kind{
	Why:        "all further inside may ask who calls; who may not come in costs no more than finding that out",
	Identifies: true,
	Kind: dsl.Define("oidc", "Lets in who has logged in at a provider of OpenID Connect with a browser: by an authorization code with PKCE. Who asks for a page is led to the login and back; other requests get status 401. "+
		"What the ID token says is claims in expressions.",
		func(c *Compiler, at *dsl.Node, cfg *oidcConfig) gateway.Middleware { return c.oidc(at, cfg) },
		dsl.Example{Name: "pages for who has logged in", YAML: `
issuer: https://id.example/realms/shop
client: { id: shop, secret: $(secret.SHOP) }
url: https://shop.example
scopes: [openid, email, offline_access]
session: { keys: [$(secret.SESSION_KEY)] }
headers: { X-User: $(consumer.name) }
`},
		dsl.Example{Name: "a backend that takes access tokens, for staff; a key that is being replaced", YAML: `
issuer: https://id.example/realms/staff
client: { id: desk, auth: none }
url: https://desk.example
session: { keys: [$(secret.SESSION_KEY), $(secret.SESSION_KEY_BEFORE)], lifetime: 9h, idle: 30m }
roles: { claim: realm_access.roles, any: [clerk] }
access_token: true
`}),
}

type oidc struct {
	teller
	provider                       *oidcProvider
	oauth                          *oauthClient
	sealer                         *sealer
	purpose                        string // of what is sealed, with what it is after
	url                            string
	scope                          string
	callback, login, logout, after string
	cookie                         string
	lifetime, idle, stale, leeway  time.Duration
	consumer, plan                 claimPath
	access                         bool
	roles                          roles
	when                           *Cond
	asks                           string
	revoked                        func() http.RoundTripper
	fetch                          http.CrossOriginProtection
	state                          *engine.Kept[*oidcState]
}

func (c *Compiler) oidc(at *dsl.Node, cfg *oidcConfig) gateway.Middleware {
	p := &oidc{
		teller: c.teller(at, cfg.tellConfig), oauth: c.oauthClient(at.Field("client"), &cfg.Client), sealer: c.sealer(cfg.Session.Keys),
		purpose: fmt.Sprintf("%q %q %q ", cfg.Issuer.Value, cfg.Client.ID.Value, cfg.Session.Cookie.Value), url: cfg.URL.Value, scope: strings.Join(cfg.Scopes, " "),
		callback: cfg.Paths.Callback.Value, login: cfg.Paths.Login.Value, logout: cfg.Paths.Logout.Value, after: cfg.Paths.AfterLogout.Value,
		cookie: "__Host-" + cfg.Session.Cookie.Value, access: cfg.AccessToken, consumer: claimPathOf(cfg.Consumer), roles: c.roles(at, cfg.Roles), asks: "Cookie " + cfg.checked(c),
		lifetime: time.Duration(cfg.Session.Lifetime), idle: time.Duration(cfg.Session.Idle), stale: time.Duration(cfg.Session.Stale), leeway: time.Duration(cfg.Leeway),
	}
	if cfg.Plan != "" {
		p.plan = claimPathOf(cfg.Plan)
	}
	if cfg.When.Node != nil {
		p.when = c.Cond(cfg.When)
	}
	c.oidcFaults(at, cfg)
	c.oidcPaths(at, &cfg.Paths)
	revoked, client := c.revocationsOf(at, cfg.Revoked)
	p.revoked = client
	provider, known := c.oidcProvider(cfg)
	p.provider = provider
	p.state = Keep(c, func() *oidcState {
		return &oidcState{known: known(), ended: newTokenCache(mostEnded, 1<<30), revoked: revoked()}
	})
	return c.identified(p, cfg.optionalConfig)
}

func (c *Compiler) oidcFaults(at *dsl.Node, cfg *oidcConfig) {
	fault := func(span dsl.Span, message, hint string) {
		c.Report(dsl.Diagnostic{Span: span, Code: "bad-policy", Message: message, Hint: hint})
	}
	if cfg.URL.Value == "" || cfg.Session.Cookie.Value == "" && len(cfg.Session.Keys) == 0 {
		return // what stands there is none of these, as has been told
	}
	if message, hint, _ := originFault(cfg.URL.Value); message != "" || strings.Contains(cfg.URL.Value, "*") {
		if message == "" {
			message, hint = "browsers reach the gateway at one origin", "write it without a star"
		}
		c.Report(dsl.Diagnostic{Span: cfg.URL.Span, Code: "bad-origin", Message: message, Hint: hint})
	} else if u, err := url.Parse(cfg.URL.Value); err == nil && u.Scheme != "https" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
		fault(cfg.URL.Span, "browsers keep the cookie of a session for https alone", "write https://"+u.Host)
	}
	if !isToken(cfg.Session.Cookie.Value) {
		fault(cfg.Session.Cookie.Span, fmt.Sprintf("%q is not the name of a cookie", cfg.Session.Cookie.Value), "use letters, digits and -")
	}
	if len(cfg.Session.Keys) == 0 {
		fault(at.Field("session").KeySpan(), "there is no key to encrypt cookies with", "write keys: [$(secret.NAME)]")
	}
	if !strings.Contains(" "+strings.Join(cfg.Scopes, " ")+" ", " openid ") {
		fault(at.Field("scopes").KeySpan(), "a login is not asked for", "add openid")
	}
	if cfg.Session.Idle > cfg.Session.Lifetime && at.Field("session").Field("idle") != nil {
		fault(at.Field("session").Field("idle").KeySpan(), "a session ends before it has been idle for so long", "write an idle that is shorter than lifetime")
	}
}

// oidcPaths are routes of the gateway.
func (c *Compiler) oidcPaths(at *dsl.Node, cfg *oidcPathsConfig) {
	seen := map[string]bool{}
	for _, own := range []struct {
		key  string
		path dsl.String
	}{{"callback", cfg.Callback}, {"login", cfg.Login}, {"logout", cfg.Logout}} {
		path := own.path
		if path.Value == "" {
			continue
		}
		if at.Field("paths").Field(own.key) == nil {
			path.Span = at.KeySpan()
		}
		if path.Value[0] != '/' || strings.ContainsAny(path.Value, "{}?#%") || seen[path.Value] {
			c.Report(dsl.Diagnostic{Span: path.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is no path that the policy could have for itself", path.Value), Hint: "write one such as /oauth2/callback, of its own for each"})
			continue
		}
		seen[path.Value] = true
		c.entry.paths = append(c.entry.paths, path)
	}
	if after := cfg.AfterLogout; after.Value != "" && !ownPath(after.Value) {
		c.Report(dsl.Diagnostic{Span: after.Span, Code: "bad-policy", Message: fmt.Sprintf("%q is no path of the gateway", after.Value), Hint: "write one such as /"})
	}
}

// challenge is what identifier asks for. The scheme is registered nowhere, as
// there is none for cookies.
func (p *oidc) challenge() string { return p.asks }

// conceal is what concealer asks for.
func (p *oidc) conceal(r *http.Request) {
	if r.Header["Cookie"] != nil {
		withoutCookies(r, p.owns)
	}
}

// identify is what identifier asks for.
func (p *oidc) identify(q *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	now := time.Now()
	s := p.read(r, now)
	if s == nil {
		return nil, nil
	}
	kept := p.state.It()
	s, fields, no := p.renewed(r.Context(), s, now)
	if s == nil || no != nil {
		return nil, no
	}
	consumer := p.who(s)
	if consumer == nil {
		return nil, nil
	}
	if kept.revoked != nil {
		list, err := kept.revoked.current(r.Context(), now, fetcher(p.revoked))
		if err != nil {
			return nil, unavailable(err)
		}
		m := marksOf(consumer.Claims)
		m.hasID, m.issued = false, s.Born
		if list.has(&m) {
			return nil, nil // another login may hold
		}
	}
	q.BeforeAnswer(p)
	if fields != nil {
		c := &withCookies{policy: p, fields: fields}
		c.key = s.key()
		q.BeforeAnswer(c)
	}
	if p.access && s.Access != "" {
		r.Header["Authorization"] = []string{"Bearer " + s.Access}
	}
	return consumer, nil
}

// renewed gives the session to go on with, and what the browser is to be told of
// it. Nil is a session that has ended.
func (p *oidc) renewed(ctx context.Context, s *session, now time.Time) (*session, []string, *refusal) {
	text := ""
	for range maxRenewals {
		if s.Refresh == "" || s.Due == 0 || now.Unix() < s.Due {
			break
		}
		next, err := p.renew(ctx, s, now)
		switch {
		case next.ended:
			return nil, nil, nil
		case next.text != "":
			text = next.text
			if s = p.unseal(text, now); s == nil {
				return nil, nil, nil
			}
			continue
		case p.good(s, now):
		default:
			return nil, nil, unavailable(err)
		}
		break
	}
	if s.Refresh != "" && s.Due != 0 && !p.good(s, now) {
		return nil, nil, nil
	}
	if text == "" {
		if now.Sub(time.Unix(s.Seen, 0)) < p.idle/8 {
			return s, nil, nil
		}
		touched := *s
		touched.Seen = now.Unix()
		s, text = &touched, p.seal(&touched)
	}
	fields, ok := p.set(text, s, now)
	if !ok {
		return nil, nil, nil
	}
	return s, fields, nil
}

// good reports whether the tokens of a session still hold, or may go on for a
// while when they cannot be renewed.
func (p *oidc) good(s *session, now time.Time) bool {
	return now.Before(time.Unix(s.Until, 0).Add(p.stale))
}

// renew changes the refresh token of a session, once for all who ask for it. While
// the tokens hold nobody waits for it long.
func (p *oidc) renew(ctx context.Context, s *session, now time.Time) (renewal, error) {
	kept, key := p.state.It(), s.key()
	known := kept.renewals.find(&key)
	if known.text != "" || known.ended || now.Before(known.pause) {
		return known, errRenewal
	}
	if p.good(s, now) {
		within, end := context.WithTimeout(ctx, unknownWait)
		defer end()
		ctx = within
	}
	return kept.renewing.do(ctx, &key, func(ctx context.Context) (renewal, error) {
		if known := kept.renewals.find(&key); known.text != "" || known.ended {
			return known, nil // it has ended between the look above and this
		}
		kept.refreshed.Add(1)
		next, err := p.refresh(ctx, s)
		now := time.Now()
		var one renewal
		var said *oauthError
		switch {
		case err == nil:
			one.text = p.seal(next)
		case errors.Is(err, errIDToken) || errors.As(err, &said) && said.code == "invalid_grant":
			one.ended = true
		default:
			kept.failed.Add(1)
			one.pause = now.Add(retryLater)
		}
		kept.renewals.add(&key, one, now)
		return one, err
	})
}

var errRenewal = errors.New("the provider did not renew a session a moment ago")

// admit is what identifier asks for.
func (p *oidc) admit(q *gateway.Request, r *http.Request) *refusal {
	if !p.roles.held(q.Input().Consumer.Claims) {
		return forbidden("", nil)
	}
	if p.when != nil {
		if ok, err := p.when.Holds(r.Context()); err != nil || !ok {
			return forbidden("", err)
		}
	}
	return p.teller.admit(q, r)
}

// oidcState is what outlives requests, and programs that have the same policy.
type oidcState struct {
	known    *oidcKnown
	renewing flights[renewal]
	renewals renewals
	ended    *tokenCache // sessions that were logged out before their time
	revoked  *revocations

	logins, refused, refreshed, failed atomic.Int64
}

const (
	mostEnded = 100000
	// maxRenewals bounds how many sessions of a row are followed: the cookie of a
	// request may be older than the last but one.
	maxRenewals = 4
)

// Observe is what engine.Observed asks for.
func (s *oidcState) Observe(show func(name string, total bool, value int64)) {
	show("logins", true, s.logins.Load())
	show("logins_refused", true, s.refused.Load())
	show("renewals", true, s.refreshed.Load())
	show("renewal_failures", true, s.failed.Load())
	if s.known.fresh != nil {
		s.known.fresh.observe("discovery", show)
	}
	if s.known.ring.fresh != nil {
		s.known.ring.fresh.observe("keys", show)
	}
	if s.revoked != nil {
		s.revoked.fresh.observe("revoked", show)
	}
}

// Close is what engine.Keeper asks for.
func (s *oidcState) Close() {
	s.renewing.close()
	s.known.close()
	if s.revoked != nil {
		s.revoked.fresh.close()
	}
}

// fill takes over what came with tokens.
func (p *oidc) fill(s *session, claims, answer map[string]any, now time.Time) error {
	if claims != nil {
		for _, name := range []string{"nonce", "at_hash", "c_hash"} { // which are of the token, not of anyone
			delete(claims, name)
		}
		if textOf(p.consumer.in(claims)) == "" {
			return fmt.Errorf("%w: it does not name the consumer", errIDToken)
		}
		text, err := dsl.AppendJSON(nil, claims)
		if err != nil {
			return err
		}
		s.Claims = json.RawMessage(text)
	}
	s.Seen = now.Unix()
	if p.access {
		s.Access, _ = answer["access_token"].(string)
	}
	if refresh, _ := answer["refresh_token"].(string); refresh != "" {
		s.Refresh = refresh
	}
	s.Due, s.Until = 0, 0
	if life, ok := lifeOf(answer["expires_in"]); ok {
		s.Until = now.Add(life).Unix()
		s.Due = now.Add(life - min(life/5, time.Minute)).Unix()
	}
	return nil
}
