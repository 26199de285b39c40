package policies

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type jwtConfig struct {
	jwtIssuerConfig
	Issuers []jwtIssuerConfig `yaml:"issuers" doc:"Several issuers, each with its own keys and all that is said of it, in place of one. A consumer is then called by its issuer and its name, with a space between."`
	From    *tokenFromConfig  `yaml:"from" doc:"Where the token is, if not in the header Authorization, behind Bearer."`
	Scopes  []string          `yaml:"scopes" doc:"Scopes that a token must all have, in its claim scope or scp."`
	Roles   *rolesConfig      `yaml:"roles" doc:"Roles that its subject must have."`
	When    dsl.Cond          `yaml:"when" doc:"What else must be true: an expression over claims, consumer and the request, evaluated when the token has been verified."`
	Hide    bool              `yaml:"hide" doc:"Whether backends do not get the token." default:"false"`
	Require []string          `yaml:"require" doc:"Claims that a token must have." default:"[exp]"`
	Leeway  dsl.Duration      `yaml:"leeway" doc:"By how much the clocks of an issuer and this machine may differ." default:"30s" min:"0s" max:"5m"`
	MaxAge  dsl.Duration      `yaml:"max_age" doc:"How long after it was issued a token is taken at most. Default: until it expires." min:"1s"`
	Revoked *revokedConfig    `yaml:"revoked" doc:"A list of tokens that no longer hold: a line for each, jti or sub and the SHA-256 of that claim in hex. Behind a sub a time can stand: what was issued before it is revoked."`
	Bound   bool              `yaml:"certificate_bound" doc:"Whether a token holds only for the client that it was issued to: cnf in it has the SHA-256 of the certificate which the client shows on the connection (RFC 8705). The gateway has to ask for certificates." default:"false"`
	Cache   tokenCacheConfig  `yaml:"cache" doc:"What is remembered of tokens that were verified, until they expire, are revoked, or their key is no longer one of the issuer's."`
	tellConfig
	realmConfig
	optionalConfig
}

type rolesConfig struct {
	Claim string   `yaml:"claim" doc:"The claim that has the roles: a name, or the names on the way to it with dots between. A name with a slash or a colon in it is one as it stands." default:"roles"`
	Any   []string `yaml:"any" doc:"Roles of which one is enough."`
	All   []string `yaml:"all" doc:"Roles that are all needed."`
}

type tokenCacheConfig struct {
	Entries int      `yaml:"entries" doc:"How many tokens are remembered at most. 0 remembers none." default:"10000" min:"0" max:"10000000"`
	Bytes   dsl.Size `yaml:"bytes" doc:"How much memory they may take, roughly." default:"32MB" min:"0B"`
}

// JWT is the Kind of the policy jwt.
var JWT = Kind{
	Why:        "all further inside may ask who calls; who may not come in costs no more than finding that out",
	Identifies: true,
	Kind: dsl.Define("jwt", "Lets in who brings a token of an issuer that is trusted: a JWT (RFC 7519) as RFC 8725 wants it to be checked. Its claims are claims in expressions, its subject is the consumer.",
		func(c *Compiler, at *dsl.Node, cfg *jwtConfig) gateway.Middleware { return c.jwt(at, cfg) },
		dsl.Example{Name: "an issuer that says itself where its keys are", YAML: `
issuer: https://id.example
audience: shop
`},
		dsl.Example{Name: "two issuers, of which one signs with a secret", YAML: `
issuers:
  - { issuer: "https://id.example/realms/staff", audience: [shop, admin], jwks: "https://id.example/realms/staff/certs" }
  - { issuer: batch, audience: shop, secrets: [$(secret.BATCH_KEY)], consumer: client_id }
scopes: [orders.read]
headers: { X-User: $(claims.sub), X-Tenant: '$(claims["https://shop.example/tenant"] ?? "")' }
`},
		dsl.Example{Name: "roles, a condition, and tokens that were revoked", YAML: `
issuer: https://id.example/realms/shop
audience: account
roles: { claim: realm_access.roles, any: [clerk, admin] }
when: claims.email_verified == true
revoked: { file: revoked.txt }
`}),
}

type jwt struct {
	teller
	issuers []*jwtIssuer
	from    tokenFrom
	scopes  []string
	roles   roles
	when    *Cond
	hide    bool
	require []string
	leeway  time.Duration
	maxAge  time.Duration
	bound   bool
	realm   string
	// insufficient is the challenge to those who are known and may not.
	insufficient string
	revoked      func() http.RoundTripper // fetches the list; nil: nothing does
	state        *engine.Kept[*jwtState]
}

func (c *Compiler) jwt(at *dsl.Node, cfg *jwtConfig) gateway.Middleware {
	p := &jwt{
		from: c.tokenFrom(at, cfg.From), scopes: cfg.Scopes, hide: cfg.Hide, require: cfg.Require, leeway: time.Duration(cfg.Leeway), maxAge: time.Duration(cfg.MaxAge), bound: cfg.Bound,
		realm: cfg.checked(c), teller: c.teller(at, cfg.tellConfig),
	}
	p.insufficient = "Bearer " + p.realm + `, error="insufficient_scope"`
	if cfg.Bound {
		c.entry.certificate = at.Field("certificate_bound").KeySpan()
	}
	open := c.jwtIssuers(p, at, cfg)
	if cfg.Roles != nil {
		p.roles = roles{claimPathOf(cfg.Roles.Claim), cfg.Roles.Any, cfg.Roles.All}
		if len(p.roles.any)+len(p.roles.all) == 0 {
			c.Report(dsl.Diagnostic{Span: at.Field("roles").KeySpan(), Code: "empty-policy", Message: "roles asks for no role", Hint: "add any or all"})
		}
	}
	if cfg.When.Node != nil {
		p.when = c.Cond(cfg.When)
	}
	revoked, client := c.revocationsOf(at, cfg.Revoked)
	p.revoked = client
	entries, bytes := cfg.Cache.Entries, int(cfg.Cache.Bytes)
	p.state = Keep(c, func() *jwtState {
		s := &jwtState{cache: newTokenCache(entries, bytes), revoked: revoked()}
		for _, open := range open {
			s.rings = append(s.rings, open())
		}
		return s
	})
	return c.identified(p, cfg.optionalConfig)
}

// challenge is what identifier asks for.
func (p *jwt) challenge() string { return "Bearer " + p.realm }

// The refusals of RFC 6750 section 3.1. Why a token does not hold is told to who
// has proved that it once did: all others learn nothing that helps them to make
// a better one.
func (p *jwt) invalid(description string) *refusal {
	return &refusal{status: http.StatusUnauthorized, code: CodeUnauthenticated, detail: description + ".",
		challenge: "Bearer " + p.realm + `, error="invalid_token", error_description="` + description + `"`}
}

func (p *jwt) badRequest(err error) *refusal {
	return &refusal{status: http.StatusBadRequest, code: gateway.CodeBadRequest, err: err, detail: "This request does not say in one way who sends it.",
		challenge: "Bearer " + p.realm + `, error="invalid_request"`}
}

const (
	tokenInvalid = "The token does not hold"
	tokenExpired = "The token has expired"
)

// identify is what identifier asks for.
func (p *jwt) identify(q *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	text, err := p.from.read(r)
	if err != nil {
		return nil, p.badRequest(err)
	}
	if text == "" {
		return nil, nil
	}
	if p.hide {
		p.from.hide(r)
	}
	s, now := p.state.It(), time.Now()
	sum := sha256.Sum256(bytesOf(text))
	v := s.cache.find(&sum)
	switch {
	case v == nil:
	case p.holds(r.Context(), s, v, now):
		s.cached.Add(1)
	default:
		s.cache.drop(&sum)
		v = nil
	}
	if v == nil {
		var no *refusal
		if v, no = p.verify(r.Context(), s, text, now); no != nil {
			return nil, no
		}
		s.verified.Add(1)
		s.cache.add(&sum, v)
	}
	if p.bound && !boundTo(v.consumer.Claims, r) {
		s.refused.Add(1)
		return nil, p.invalid(tokenInvalid)
	}
	if s.revoked != nil {
		list, err := s.revoked.current(r.Context(), now, fetcher(p.revoked))
		if err != nil {
			return nil, unavailable(err)
		}
		if list.has(&v.marks) {
			s.refused.Add(1)
			return nil, p.invalid(tokenInvalid)
		}
	}
	return v.consumer, nil
}

// holds reports whether what was verified once still is. That it has expired is
// for verify to tell.
func (p *jwt) holds(ctx context.Context, s *jwtState, v *verified, now time.Time) bool {
	return s.rings[v.issuer].tend(ctx, now, fetcher(p.issuers[v.issuer].client)) && now.Before(v.until) && !v.key.gone.Load()
}

// bytesOf are the bytes of a text, for those who only read them.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

func fetcher(client func() http.RoundTripper) http.RoundTripper {
	if client == nil {
		return nil
	}
	return client()
}

// verify finds out whether a token holds: what it is, whose it claims to be, with
// which of the issuer's keys it is signed, and only then what it says.
func (p *jwt) verify(ctx context.Context, s *jwtState, text string, now time.Time) (*verified, *refusal) {
	refuse := func(description string) (*verified, *refusal) {
		s.refused.Add(1)
		return nil, p.invalid(description)
	}
	t, err := parseToken(text)
	if err != nil {
		return refuse(tokenInvalid)
	}
	i := p.issuerOf(t)
	if i < 0 || !p.issuers[i].takes(t) {
		return refuse(tokenInvalid)
	}
	issuer := p.issuers[i]
	k, err := issuer.signer(ctx, s.rings[i], t, now)
	if err != nil {
		return nil, unavailable(err)
	}
	if k == nil {
		return refuse(tokenInvalid)
	}
	until, description := p.inTime(t, now)
	if description != "" {
		return refuse(description)
	}
	for _, name := range p.require {
		if t.claims[name] == nil {
			return refuse(tokenInvalid)
		}
	}
	name := textOf(issuer.consumer.in(t.claims))
	if name == "" || !issuer.isFor(t) {
		return refuse(tokenInvalid)
	}
	return &verified{
		consumer: &engine.Consumer{Name: issuer.prefix + name, By: "jwt", Plan: textOf(issuer.plan.in(t.claims)), Claims: t.claims},
		until:    until, issuer: i, key: k, marks: marksOf(t.claims),
		size: verifiedSize + claimsFactor*len(text),
	}, nil
}

// Claims that are decoded take more room than their text: a map of small values
// about eight times as much.
const (
	verifiedSize = 512 // bytes
	claimsFactor = 8
)

// inTime gives until when a token holds, or why it does not.
func (p *jwt) inTime(t *token, now time.Time) (until time.Time, description string) {
	until = now.AddDate(1, 0, 0) // one without an end is looked at again
	if exp, ok := date(t.claims["exp"]); ok {
		until = exp.Add(p.leeway)
	}
	issued, dated := date(t.claims["iat"])
	if p.maxAge > 0 {
		if !dated {
			return until, tokenInvalid
		}
		if end := issued.Add(p.maxAge + p.leeway); end.Before(until) {
			until = end
		}
	}
	if !now.Before(until) {
		return until, tokenExpired
	}
	if begin, ok := date(t.claims["nbf"]); ok && now.Add(p.leeway).Before(begin) {
		return until, tokenInvalid
	}
	if dated && now.Add(p.leeway).Before(issued) {
		return until, tokenInvalid
	}
	return until, ""
}

// issuerOf gives the issuer that a token claims to be of, or -1. Its keys are the
// only ones that the token is tried with.
func (p *jwt) issuerOf(t *token) int {
	name, _ := t.claims["iss"].(string)
	for i, issuer := range p.issuers {
		if issuer.any || name != "" && issuer.name == name {
			return i
		}
	}
	return -1
}

// admit is what identifier asks for.
func (p *jwt) admit(q *gateway.Request, r *http.Request) *refusal {
	claims := q.Input().Consumer.Claims
	if !hasScopes(claims, p.scopes) {
		return forbidden(p.insufficient+`, scope="`+strings.Join(p.scopes, " ")+`"`, nil)
	}
	if !p.roles.held(claims) {
		return forbidden(p.insufficient, nil)
	}
	if p.when != nil {
		if ok, err := p.when.Holds(r.Context()); err != nil || !ok {
			return forbidden(p.insufficient, err)
		}
	}
	if err := p.tell(r.Context(), q, r); err != nil {
		return forbidden(p.insufficient, err)
	}
	return nil
}

// jwtState is what outlives requests, and programs that have the same policy.
type jwtState struct {
	cache   *tokenCache
	rings   []*keyring // by the number of the issuer
	revoked *revocations

	cached, verified, refused atomic.Int64
}

// Observe is what engine.Observed asks for.
func (s *jwtState) Observe(show func(name string, total bool, value int64)) {
	show("tokens_cached", true, s.cached.Load())
	show("tokens_verified", true, s.verified.Load())
	show("tokens_refused", true, s.refused.Load())
	entries, bytes := s.cache.held()
	show("cache_entries", false, int64(entries))
	show("cache_bytes", false, int64(bytes))
	for i, r := range s.rings {
		if r.fresh != nil {
			name := "keys"
			if len(s.rings) > 1 {
				name = fmt.Sprintf("keys_%d", i+1)
			}
			r.fresh.observe(name, show)
		}
	}
	if s.revoked != nil {
		s.revoked.fresh.observe("revoked", show)
	}
}

// Close is what engine.Keeper asks for.
func (s *jwtState) Close() {
	for _, r := range s.rings {
		r.close()
	}
	if s.revoked != nil {
		s.revoked.fresh.close()
	}
}
