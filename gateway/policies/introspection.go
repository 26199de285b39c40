package policies

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type introspectionConfig struct {
	URL      dsl.String               `yaml:"url" doc:"Where the server tells of tokens: its introspection_endpoint." required:"true"`
	Service  dsl.String               `yaml:"service" doc:"The service that is asked, if it is not reached where the URL says: then only the path of the URL counts."`
	Client   oauthClientConfig        `yaml:"client" doc:"How the gateway shows the server who it is." required:"true"`
	Issuer   dsl.String               `yaml:"issuer" doc:"Who must have issued a token, letter for letter as in iss. Default: whoever the server knows."`
	Audience *dsl.Node                `yaml:"audience" doc:"Whom the tokens are for: a text, or a list of which one must be in aud. any takes tokens for others, too."`
	Consumer string                   `yaml:"consumer" doc:"The claim that names the consumer: a name, or the names on the way to it with dots between. Tokens of programs often have client_id and no sub." default:"sub"`
	Plan     string                   `yaml:"plan" doc:"The claim that names its plan, in the same way. Default: it has none."`
	Cache    introspectionCacheConfig `yaml:"cache" doc:"For how long answers are believed, and how many are remembered."`
	bearerConfig
}

type introspectionCacheConfig struct {
	MaxAge   dsl.Duration `yaml:"max_age" doc:"How long it is believed at most that a token holds: a token that is revoked holds for as long. It is never longer than until the token expires. 0s asks each time." default:"1m" min:"0s" max:"24h"`
	Negative dsl.Duration `yaml:"negative" doc:"How long it is believed that a token does not hold." default:"10s" min:"0s" max:"1h"`
	Stale    dsl.Duration `yaml:"stale" doc:"For how long, beyond max_age, it is believed that a token holds when the server cannot be asked. 0s: then requests are refused with status 503." default:"0s" min:"0s" max:"24h"`
	tokenCacheConfig
}

// Introspection is the Kind of the policy introspection.
var Introspection = Kind{
	Why:        "all further inside may ask who calls; who may not come in costs no more than finding that out",
	Identifies: true,
	Kind: dsl.Define("introspection", "Lets in who brings a token of which an authorization server says that it holds (RFC 7662): for tokens that only their server can read. What the server says is claims in expressions. "+
		"Requests that bring the same token at once ask once.",
		func(c *Compiler, at *dsl.Node, cfg *introspectionConfig) gateway.Middleware {
			return c.introspection(at, cfg)
		},
		dsl.Example{Name: "tokens of a server that keeps them", YAML: `
url: https://id.example/oauth2/introspect
client: { id: shop-gateway, secret: $(secret.INTROSPECTION) }
audience: shop
scopes: [orders.read]
`},
		dsl.Example{Name: "tokens of programs, believed for a while when the server is out", YAML: `
url: https://id.example/oauth2/introspect
service: identity
client: { id: shop-gateway, secret: $(secret.INTROSPECTION), auth: post }
audience: any
consumer: client_id
cache: { max_age: 30s, stale: 10m }
`}),
}

type introspection struct {
	bearer
	oauth                   *oauthClient
	at                      *url.URL
	client                  func() http.RoundTripper
	issuer                  string
	audience                audience
	consumer, plan          claimPath
	maxAge, negative, stale time.Duration
	state                   *engine.Kept[*introspectionState]
}

func (c *Compiler) introspection(at *dsl.Node, cfg *introspectionConfig) gateway.Middleware {
	p := &introspection{
		oauth: c.oauthClient(at.Field("client"), &cfg.Client), issuer: cfg.Issuer.Value, audience: c.audience(at, cfg.Audience), consumer: claimPathOf(cfg.Consumer),
		maxAge: time.Duration(cfg.Cache.MaxAge), negative: time.Duration(cfg.Cache.Negative), stale: time.Duration(cfg.Cache.Stale),
	}
	if cfg.Plan != "" {
		p.plan = claimPathOf(cfg.Plan)
	}
	revoked := c.bearer(&p.bearer, at, &cfg.bearerConfig)
	p.client, p.at, _ = c.fetchFrom(cfg.URL, cfg.Service)
	entries, bytes := cfg.Cache.Entries, int(cfg.Cache.Bytes)
	p.state = Keep(c, func() *introspectionState {
		// Of those that do not hold anyone can make as many as they like: they have
		// room of their own.
		return &introspectionState{active: newTokenCache(entries*3/4, bytes*3/4), inactive: newTokenCache(entries/4, bytes/4), revoked: revoked()}
	})
	return c.identified(p, cfg.optionalConfig)
}

// identify is what identifier asks for.
func (p *introspection) identify(_ *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	text, no := p.token(r)
	if text == "" || no != nil {
		return nil, no
	}
	s, now := p.state.It(), time.Now()
	if !isAccessToken(text) {
		s.refused.Add(1)
		return nil, p.invalid(tokenInvalid)
	}
	v, no := p.find(r.Context(), s, text, now)
	if no == nil {
		no = p.stands(r, s.revoked, v, now)
	}
	if no != nil {
		s.refused.Add(1)
		return nil, no
	}
	return v.consumer, nil
}

// isAccessToken reports whether a text can be a token (RFC 6749, appendix A.12).
func isAccessToken(text string) bool {
	if len(text) > maxToken {
		return false
	}
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// find gives what is known of a token, by its hash: the token itself is not kept.
func (p *introspection) find(ctx context.Context, s *introspectionState, text string, now time.Time) (*verified, *refusal) {
	sum := sha256.Sum256(bytesOf(text))
	known := s.active.find(&sum)
	if known != nil && now.Before(known.until) {
		s.cached.Add(1)
		return known, nil
	}
	if v := s.inactive.find(&sum); v != nil && now.Before(v.until) {
		s.cached.Add(1)
		return nil, p.invalid(tokenInvalid)
	}
	v, err := s.asking.do(ctx, &sum, func(ctx context.Context) (*verified, error) { return p.ask(ctx, s, &sum, text) })
	switch {
	case err == nil && v == nil:
		return nil, p.invalid(tokenInvalid)
	case err == nil:
		return v, nil
	case errors.Is(ctx.Err(), context.Canceled): // who asks has gone: that says nothing of the server
		return nil, unavailable(err)
	case known != nil && now.Before(known.last):
		s.stale.Add(1)
		later := *known
		later.until = now.Add(retryLater) // so that not each request waits for who does not answer
		if known.last.Before(later.until) {
			later.until = known.last
		}
		s.active.add(&sum, &later)
		return &later, nil
	}
	return nil, unavailable(err)
}

// ask asks the server for a token, and remembers what it says. Nil is a token that
// does not hold.
func (p *introspection) ask(ctx context.Context, s *introspectionState, sum *[sha256.Size]byte, text string) (*verified, error) {
	s.asked.Add(1)
	answer, err := p.oauth.post(ctx, fetcher(p.client), p.at, url.Values{"token": {text}, "token_type_hint": {"access_token"}}, true)
	if err != nil {
		s.failed.Add(1)
		return nil, fmt.Errorf("it cannot be found out whether a token holds: %w", err)
	}
	now := time.Now()
	v, err := p.read(answer, now)
	if err != nil {
		s.failed.Add(1)
		return nil, fmt.Errorf("what %s says of a token cannot be understood: %w", p.at.Redacted(), err)
	}
	if v == nil {
		s.active.drop(sum)
		if p.negative > 0 {
			s.inactive.add(sum, &verified{until: now.Add(p.negative), size: verifiedSize})
		}
		return nil, nil
	}
	if p.maxAge > 0 {
		s.active.add(sum, v)
	}
	return v, nil
}

// read reads what the server says (RFC 7662 section 2.2). Nil is a token that does
// not hold, or not here.
func (p *introspection) read(answer map[string]any, now time.Time) (*verified, error) {
	active, ok := answer["active"].(bool)
	if !ok {
		return nil, errors.New("active is neither true nor false")
	}
	if !active {
		return nil, nil
	}
	delete(answer, "active")
	if err := (&token{claims: answer}).wellFormed(); err != nil {
		return nil, err
	}
	if p.issuer != "" && answer["iss"] != p.issuer || !p.audience.has(answer) || isRefreshToken(answer) {
		return nil, nil
	}
	last, description := inTime(answer, now, p.leeway, 0)
	name := textOf(p.consumer.in(answer))
	if description != "" || name == "" {
		return nil, nil
	}
	v := &verified{
		consumer: &engine.Consumer{Name: name, By: "introspection", Plan: textOf(p.plan.in(answer)), Claims: answer},
		until:    earlier(now.Add(p.maxAge), last), last: earlier(now.Add(p.maxAge+p.stale), last), marks: marksOf(answer), size: verifiedSize,
	}
	for name, value := range answer {
		v.size += claimsFactor * (len(name) + sizeOf(value))
	}
	return v, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sizeOf is how many bytes a value has as JSON, roughly.
func sizeOf(v any) (n int) {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		for _, item := range v {
			n += 1 + sizeOf(item)
		}
	case map[string]any:
		for name, member := range v {
			n += len(name) + sizeOf(member)
		}
	}
	return n + 8
}

// isRefreshToken reports whether a token is one that servers tell of as well, and
// that is for them alone.
func isRefreshToken(answer map[string]any) bool {
	return answer["token_type"] == "refresh_token" || answer["token_use"] == "refresh_token" || answer["typ"] == "Refresh"
}

// introspectionState is what outlives requests, and programs that have the same
// policy.
type introspectionState struct {
	active, inactive *tokenCache
	asking           flights[*verified]
	revoked          *revocations

	cached, asked, failed, refused, stale atomic.Int64
}

// Observe is what engine.Observed asks for.
func (s *introspectionState) Observe(show func(name string, total bool, value int64)) {
	show("tokens_cached", true, s.cached.Load())
	show("tokens_asked", true, s.asked.Load())
	show("tokens_refused", true, s.refused.Load())
	show("tokens_stale", true, s.stale.Load())
	show("server_failures", true, s.failed.Load())
	entries, bytes := s.active.held()
	more, moreBytes := s.inactive.held()
	show("cache_entries", false, int64(entries+more))
	show("cache_bytes", false, int64(bytes+moreBytes))
	if s.revoked != nil {
		s.revoked.fresh.observe("revoked", show)
	}
}

// Close is what engine.Keeper asks for.
func (s *introspectionState) Close() {
	s.asking.close()
	if s.revoked != nil {
		s.revoked.fresh.close()
	}
}
