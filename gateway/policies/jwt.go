package policies

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
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
	Require []string          `yaml:"require" doc:"Claims that a token must have." default:"[exp]"`
	MaxAge  dsl.Duration      `yaml:"max_age" doc:"How long after it was issued a token is taken at most. Default: until it expires." min:"1s"`
	Cache   tokenCacheConfig  `yaml:"cache" doc:"What is remembered of tokens that were verified, until they expire, are revoked, or their key is no longer one of the issuer's."`
	bearerConfig
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
	bearer
	issuers []*jwtIssuer
	require []string
	maxAge  time.Duration
	state   *engine.Kept[*jwtState]
}

func (c *Compiler) jwt(at *dsl.Node, cfg *jwtConfig) gateway.Middleware {
	p := &jwt{require: cfg.Require, maxAge: time.Duration(cfg.MaxAge)}
	revoked := c.bearer(&p.bearer, at, &cfg.bearerConfig)
	open := c.jwtIssuers(p, at, cfg)
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

// identify is what identifier asks for.
func (p *jwt) identify(q *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	text, no := p.token(r)
	if text == "" || no != nil {
		return nil, no
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
		if v, no = p.verify(r.Context(), s, text, now); no != nil {
			return nil, no
		}
		s.verified.Add(1)
		s.cache.add(&sum, v)
	}
	if no = p.stands(r, s.revoked, v, now); no != nil {
		s.refused.Add(1)
		return nil, no
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
	until, description := inTime(t.claims, now, p.leeway, p.maxAge)
	if description != "" {
		return refuse(description)
	}
	for _, name := range p.require {
		if t.claims[name] == nil {
			return refuse(tokenInvalid)
		}
	}
	name := textOf(issuer.consumer.in(t.claims))
	if name == "" || !issuer.audience.has(t.claims) {
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
