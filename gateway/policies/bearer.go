package policies

import (
	"net/http"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// bearerConfig is what policies have in common to which callers bring tokens.
type bearerConfig struct {
	From    *tokenFromConfig `yaml:"from" doc:"Where the token is, if not in the header Authorization, behind Bearer."`
	Scopes  []string         `yaml:"scopes" doc:"Scopes that a token must all have, in its claim scope or scp."`
	Roles   *rolesConfig     `yaml:"roles" doc:"Roles that its subject must have."`
	When    dsl.Cond         `yaml:"when" doc:"What else must be true: an expression over claims, consumer and the request, evaluated when the token has been found good."`
	Hide    bool             `yaml:"hide" doc:"Whether backends do not get the token." default:"false"`
	Leeway  dsl.Duration     `yaml:"leeway" doc:"By how much the clocks of an issuer and this machine may differ." default:"30s" min:"0s" max:"5m"`
	Revoked *revokedConfig   `yaml:"revoked" doc:"A list of tokens that no longer hold: a line for each, jti or sub and the SHA-256 of that claim in hex. Behind a sub a time can stand: what was issued before it is revoked."`
	Bound   bool             `yaml:"certificate_bound" doc:"Whether a token holds only for the client that it was issued to: cnf in it has the SHA-256 of the certificate which the client shows on the connection (RFC 8705). The gateway has to ask for certificates." default:"false"`
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

// bearer takes tokens from requests and decides what those may do who brought
// them (RFC 6750). Whether a token holds is for the policy that it is a part of.
type bearer struct {
	teller
	from   tokenFrom
	scopes []string
	roles  roles
	when   *Cond
	hide   bool
	leeway time.Duration
	bound  bool
	realm  string
	// insufficient is the challenge to those who are known and may not.
	insufficient string
	revoked      func() http.RoundTripper // fetches the list; nil: nothing does
}

// bearer compiles b, and gives what opens the list of tokens that are revoked.
func (c *Compiler) bearer(b *bearer, at *dsl.Node, cfg *bearerConfig) (open func() *revocations) {
	*b = bearer{
		from: c.tokenFrom(at, cfg.From), scopes: cfg.Scopes, hide: cfg.Hide, leeway: time.Duration(cfg.Leeway), bound: cfg.Bound,
		realm: cfg.checked(c), teller: c.teller(at, cfg.tellConfig), roles: c.roles(at, cfg.Roles),
	}
	if cfg.From == nil {
		c.wants("Bearer", cfg.optionalConfig)
	}
	b.insufficient = "Bearer " + b.realm + `, error="insufficient_scope"`
	if cfg.Bound {
		c.entry.certificate = at.Field("certificate_bound").KeySpan()
	}
	if cfg.When.Node != nil {
		b.when = c.Cond(cfg.When)
	}
	open, b.revoked = c.revocationsOf(at, cfg.Revoked)
	return open
}

// challenge is what identifier asks for.
func (b *bearer) challenge() string { return "Bearer " + b.realm }

// The refusals of RFC 6750 section 3.1. Why a token does not hold is told to who
// has proved that it once did: all others learn nothing that helps them to make
// a better one.
func (b *bearer) invalid(description string) *refusal {
	return &refusal{status: http.StatusUnauthorized, code: CodeUnauthenticated, detail: description + ".",
		challenge: "Bearer " + b.realm + `, error="invalid_token", error_description="` + description + `"`}
}

func (b *bearer) badRequest(err error) *refusal {
	return &refusal{status: http.StatusBadRequest, code: gateway.CodeBadRequest, err: err, detail: "This request does not say in one way who sends it.",
		challenge: "Bearer " + b.realm + `, error="invalid_request"`}
}

const (
	tokenInvalid = "The token does not hold"
	tokenExpired = "The token has expired"
)

// token is that of a request; "" is none.
func (b *bearer) token(r *http.Request) (string, *refusal) {
	text, err := b.from.read(r)
	if err != nil {
		return "", b.badRequest(err)
	}
	if text != "" && b.hide {
		b.from.hide(r)
	}
	return text, nil
}

// stands refuses tokens that hold, but not for this client, or no longer.
func (b *bearer) stands(r *http.Request, list *revocations, v *verified, now time.Time) *refusal {
	if b.bound && !boundTo(v.consumer.Claims, r) {
		return b.invalid(tokenInvalid)
	}
	if list == nil {
		return nil
	}
	revoked, err := list.current(r.Context(), now, fetcher(b.revoked))
	if err != nil {
		return unavailable(err)
	}
	if revoked.has(&v.marks) {
		return b.invalid(tokenInvalid)
	}
	return nil
}

// inTime gives until when claims hold, or why they do not. A maxAge of 0 is none.
func inTime(claims map[string]any, now time.Time, leeway, maxAge time.Duration) (until time.Time, description string) {
	until = now.AddDate(1, 0, 0) // one without an end is looked at again
	if exp, ok := date(claims["exp"]); ok {
		until = exp.Add(leeway)
	}
	issued, dated := date(claims["iat"])
	if maxAge > 0 {
		if !dated {
			return until, tokenInvalid
		}
		if end := issued.Add(maxAge + leeway); end.Before(until) {
			until = end
		}
	}
	if !now.Before(until) {
		return until, tokenExpired
	}
	if begin, ok := date(claims["nbf"]); ok && now.Add(leeway).Before(begin) {
		return until, tokenInvalid
	}
	if dated && now.Add(leeway).Before(issued) {
		return until, tokenInvalid
	}
	return until, ""
}

// admit is what identifier asks for.
func (b *bearer) admit(q *gateway.Request, r *http.Request) *refusal {
	claims := q.Input().Consumer.Claims
	if !hasScopes(claims, b.scopes) {
		return forbidden(b.insufficient+`, scope="`+strings.Join(b.scopes, " ")+`"`, nil)
	}
	if !b.roles.held(claims) {
		return forbidden(b.insufficient, nil)
	}
	if b.when != nil {
		if ok, err := b.when.Holds(r.Context()); err != nil || !ok {
			return forbidden(b.insufficient, err)
		}
	}
	if err := b.tell(r.Context(), q, r); err != nil {
		return forbidden(b.insufficient, err)
	}
	return nil
}
