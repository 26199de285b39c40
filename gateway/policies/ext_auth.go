package policies

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

type extAuthConfig struct {
	Service   dsl.String             `yaml:"service" doc:"The service that decides."`
	Path      dsl.String             `yaml:"path" doc:"The path that it is asked at, with a query maybe. With protocol: ext_authz it stands before the path of the request. Default: /."`
	URL       dsl.String             `yaml:"url" doc:"Where it is asked, instead of service and path."`
	Protocol  string                 `yaml:"protocol" doc:"How the request is told: forward_auth asks with GET and X-Forwarded-Method, -Proto, -Host, -Uri and -For, as Traefik does; auth_request with GET and X-Original-Method, X-Original-URL and X-Original-URI, as is usual with nginx; ext_authz with the method, the path, the query and the host of the request, as Envoy does. The first two ask with POST if a body goes along." default:"forward_auth" enum:"forward_auth|auth_request|ext_authz"`
	Send      []string               `yaml:"send" doc:"Headers of the request that it gets." default:"[Authorization, Cookie]"`
	Set       map[string]dsl.Text    `yaml:"set" doc:"Further headers that it gets, such as X-Tenant: $(params.tenant). One whose value is empty is not sent."`
	Body      dsl.Size               `yaml:"body" doc:"How much of a body it gets. A request whose body is longer is refused with status 413. 0B: it gets none, and the body is not waited for." default:"0B" max:"64MB"`
	Pass      []string               `yaml:"pass" doc:"Headers of an answer that says yes which go on to the flow and to backends. What the caller sent in them is taken away."`
	Answer    []string               `yaml:"answer" doc:"Headers of an answer that says no which the caller gets. Set-Cookie is one of an answer that says yes, too." default:"[WWW-Authenticate, Set-Cookie, Location]"`
	Consumer  *extAuthConsumerConfig `yaml:"consumer" doc:"Where the answer says who calls. Default: it does not, and consumer is whom another policy has found out."`
	Timeout   dsl.Duration           `yaml:"timeout" doc:"How long an answer may take, with all that the service does for it." default:"2s" min:"1ms" max:"1m"`
	OnFailure string                 `yaml:"on_failure" doc:"What becomes of requests when the service cannot be asked, or answers with a status of 500 or above: deny refuses them with status 503, allow lets everyone in." default:"deny" enum:"deny|allow"`
	Cache     *extAuthCacheConfig    `yaml:"cache" doc:"What is remembered of answers that say yes. Default: nothing."`
	tellConfig
	optionalConfig
}

type extAuthConsumerConfig struct {
	Header dsl.String `yaml:"header" doc:"The header that names the consumer."`
	Claim  dsl.String `yaml:"claim" doc:"What names it in a body of JSON, instead: a name, or the names on the way to it with dots between. All of the body is claims then."`
	Plan   dsl.String `yaml:"plan" doc:"The header or the claim that names its plan. Default: it has none."`
}

type extAuthCacheConfig struct {
	By      dsl.Text     `yaml:"by" doc:"What a decision depends on: requests for which this text is the same get the same. One for which it is empty is always asked about." required:"true"`
	TTL     dsl.Duration `yaml:"ttl" doc:"For how long a yes is remembered. Cache-Control of the answer can make it less: no-store, no-cache, max-age." default:"10s" min:"1s" max:"1h"`
	Entries int          `yaml:"entries" doc:"How many are remembered at most." default:"10000" min:"2" max:"1000000"`
}

// ExtAuth is the Kind of the policy ext_auth.
var ExtAuth = Kind{
	Why:        "what others decide can depend on who calls, and costs a call: who is refused before costs none",
	Identifies: true,
	Kind: dsl.Define("ext_auth", "Asks a service whether a request may come in: a status of 2xx says yes, 401 and 403 say no, and a redirect sends the caller elsewhere, such as to a page where one signs in. All else refuses the request, too.",
		func(c *Compiler, at *dsl.Node, cfg *extAuthConfig) gateway.Middleware { return c.extAuth(at, cfg) },
		dsl.Example{Name: "a service that answers who it is", YAML: `
url: https://auth.example/verify
pass: [X-User, X-Groups]
consumer: { header: X-User }
`},
		dsl.Example{Name: "what is allowed, and remembered for each token and path", YAML: `
url: https://auth.example/check
protocol: ext_authz
send: [Authorization]
cache: { by: '$(request.method) $(request.path) $(headers.Authorization ?? "")', ttl: 30s }
`}),
}

// extAuth is immutable and shared by all requests.
type extAuth struct {
	teller
	question
	policy   string
	several  bool // it is one of several ways: without credentials it is not asked
	optional bool
	pass     []string // canonical
	swapped  []string // of pass, those that the service gets from the caller, too; folded
	answer   []string // canonical
	names    extAuthNames
	allow    bool // when it cannot be asked
	by       *dsl.TextTemplate
	ttl      time.Duration
	state    *engine.Kept[*extAuthState]
}

func (c *Compiler) extAuth(at *dsl.Node, cfg *extAuthConfig) gateway.Middleware {
	fault := func(span dsl.Span, message, hint string) {
		c.Report(dsl.Diagnostic{Span: span, Code: "bad-policy", Message: message, Hint: hint})
	}
	p := &extAuth{
		teller: c.teller(at, cfg.tellConfig), question: c.question(at, cfg), policy: c.Policy(), several: c.ways != nil, optional: cfg.Optional,
		pass: c.fieldNames(at.Field("pass"), cfg.Pass), answer: c.fieldNames(at.Field("answer"), cfg.Answer), allow: cfg.OnFailure == "allow",
	}
	for _, name := range p.pass {
		if slices.Contains(p.send, name) {
			p.swapped = append(p.swapped, folded(name))
		} else {
			p.spoofs = append(p.spoofs, folded(name))
		}
	}
	names := cfg.Consumer != nil
	if names {
		p.names = extAuthNames{header: http.CanonicalHeaderKey(cfg.Consumer.Header.Value)}
		if cfg.Consumer.Claim.Value != "" {
			p.names.claim = claimPathOf(cfg.Consumer.Claim.Value)
		}
		if p.names.header != "" && p.names.claim == nil {
			p.names.planHeader = http.CanonicalHeaderKey(cfg.Consumer.Plan.Value)
		} else if cfg.Consumer.Plan.Value != "" {
			p.names.planClaim = claimPathOf(cfg.Consumer.Plan.Value)
		}
		if (p.names.header == "") == (p.names.claim == nil) {
			fault(at.Field("consumer").KeySpan(), "a consumer is named in one place", "write header or claim")
		}
	}
	switch {
	case p.names.claim != nil && p.protocol == "ext_authz":
		fault(at.Field("consumer").KeySpan(), "with ext_authz a HEAD is asked about with HEAD, and such answers have no body", "write header, or choose another protocol")
	case !names && p.several:
		fault(at.KeySpan(), "one of several ways finds out who calls, and this one does not", "add consumer, with the header or the claim that names it")
	case !names && cfg.Optional:
		fault(at.Field("optional").KeySpan(), "who calls is not asked for, so that nobody needs to be allowed", "remove it, or add consumer")
	case names && p.allow && !cfg.Optional && !p.several:
		fault(at.Field("on_failure").KeySpan(), "nobody is let in when the service cannot say who calls", "add optional: true, which lets in those who are nobody, or remove on_failure")
	}
	entries := 0
	if cfg.Cache != nil {
		entries, p.ttl, p.by = cfg.Cache.Entries, time.Duration(cfg.Cache.TTL), c.Text(cfg.Cache.By, dsl.PlainText)
		if _, static := staticOf(p.by); static {
			c.Report(dsl.Diagnostic{Span: cfg.Cache.By.Node.Span, Code: "same-key", Message: "this key is the same for all requests: who is let in once lets in all others", Hint: "write all that the decision depends on, such as $(headers.Authorization)"})
		}
		if cfg.Body > 0 {
			fault(at.Field("cache").KeySpan(), "a decision that the body is part of cannot be remembered", "remove cache or body")
		}
	}
	detail := "asks " + p.where
	if p.allow {
		detail += ", and lets everyone in when that cannot be done"
	}
	c.Describe(detail)
	log := c.Log()
	p.state = Keep(c, func() *extAuthState { return newExtAuthState(log, entries, p.allow) })
	if names {
		return c.identified(p, cfg.optionalConfig)
	}
	c.entry.incurious = true
	return p.wrap
}

func staticOf(t *dsl.TextTemplate) (text string, static bool) {
	if t == nil {
		return "", false
	}
	return t.Static()
}

// fieldNames are the names of headers that stand in a list.
func (c *Compiler) fieldNames(at *dsl.Node, names []string) (canonical []string) {
	for i, name := range names {
		message, hint := engine.HeaderFault(name)
		if strings.EqualFold(name, "Host") {
			message, hint = "Host tells where a request goes, and is no header to choose", "remove it"
		}
		if message != "" {
			c.Report(dsl.Diagnostic{Span: at.Items[i].Span, Code: "bad-header", Message: message, Hint: hint})
			continue
		}
		canonical = append(canonical, http.CanonicalHeaderKey(name))
	}
	return canonical
}

// challenge is what identifier asks for: the service says itself what it wants.
func (p *extAuth) challenge() string { return "" }

// identify is what identifier asks for.
func (p *extAuth) identify(q *gateway.Request, r *http.Request) (*engine.Consumer, *refusal) {
	if p.several && !slices.ContainsFunc(p.send, func(name string) bool { return r.Header[name] != nil }) {
		return nil, nil
	}
	y, no := p.decide(q, r)
	if no != nil {
		return nil, no
	}
	return y.consumer, nil
}

// wrap is the policy where it does not find out who calls.
func (p *extAuth) wrap(next http.Handler) http.Handler {
	refuser := &authentication{policy: p.policy}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := gateway.FromContext(r.Context())
		p.cleanse(r)
		_, no := p.decide(q, r)
		if no == nil {
			no = p.admit(q, r)
		}
		if no != nil {
			refuser.refuse(w, r, nil, no)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// decide asks whether a request may come in, and passes on what a yes says.
func (p *extAuth) decide(q *gateway.Request, r *http.Request) (*extAuthYes, *refusal) {
	s, now := p.state.It(), time.Now()
	sum, keyed := p.cacheKey(q, r)
	var y *extAuthYes
	if keyed {
		if y = s.cache.find(&sum); y != nil && !now.Before(y.until) {
			s.cache.drop(&sum)
			y = nil
		}
	}
	if y != nil {
		s.cached.Add(1)
	} else {
		var no *refusal
		if y, no = p.ask(q, r, s); no != nil {
			return nil, no
		}
		if keyed && y.ttl > 0 {
			y.until = now.Add(y.ttl)
			s.cache.add(&sum, y)
		}
	}
	cleanse(r.Header, p.swapped)
	maps.Copy(r.Header, y.pass)
	if y.cookies != nil {
		q.BeforeAnswer(y.cookies)
	}
	return y, nil
}

// failed is what becomes of a request whose service could not be asked.
func (p *extAuth) failed(s *extAuthState, err error) (*extAuthYes, *refusal) {
	s.failed.Add(1)
	s.heard.note(time.Now(), err)
	if p.allow {
		s.open.Add(1)
		return &extAuthYes{}, nil
	}
	no := unavailable(fmt.Errorf("ext_auth: %w", err))
	no.detail = "It cannot be found out at present whether this request may come in."
	return nil, no
}
