package policies

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// CodeOriginNotAllowed is that of a preflight from an origin that cors does not
// have.
const CodeOriginNotAllowed = "origin-not-allowed"

type corsConfig struct {
	Origins     []dsl.String `yaml:"origins" doc:"Whose pages may read the answers: https://shop.example, https://*.shop.example for all hosts below it, http://localhost:* for all ports, or \"*\" for everyone." required:"true"`
	Methods     []dsl.String `yaml:"methods" doc:"The methods that pages may use besides those that browsers send unasked (GET, HEAD, POST). Default: each that a route takes."`
	Headers     []dsl.String `yaml:"headers" doc:"The headers that pages may send besides those that browsers send unasked, or \"*\" for all but Authorization." default:"[Authorization, Content-Type]"`
	Expose      []dsl.String `yaml:"expose" doc:"The headers of answers that pages may read, or \"*\" for all." default:"[Retry-After, X-Request-Id]"`
	Credentials bool         `yaml:"credentials" doc:"Whether browsers send cookies, passwords and client certificates along. Then no list can have a star." default:"false"`
	MaxAge      dsl.Duration `yaml:"max_age" doc:"For how long a browser need not ask again." default:"10m" min:"0s" max:"24h"`
}

// CORS is the Kind of the policy cors.
var CORS = Kind{
	Why:       "preflights carry no credentials, so that it answers them before anyone asks for some; and pages can read what the policies further inside refuse",
	Preflight: true,
	Kind: dsl.Define("cors", "Lets pages of other origins read the answers, as the Fetch standard says. It answers the preflights of every route; "+
		"what a backend says in these headers is replaced.",
		func(c *Compiler, at *dsl.Node, cfg *corsConfig) gateway.Middleware {
			p := &cors{origins: compileOrigins(c, cfg.Origins)}
			if len(cfg.Origins) == 0 && at.Field("origins") != nil {
				c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "cors has no origins", Hint: "add some, such as https://shop.example"})
			}
			p.methods = tokens(c, cfg.Methods, "method")
			p.headers = joined(tokens(c, cfg.Headers, "header"))
			p.expose = joined(tokens(c, cfg.Expose, "header"))
			p.maxAge = []string{strconv.FormatInt(int64(time.Duration(cfg.MaxAge)/time.Second), 10)}
			if p.credentials = cfg.Credentials; p.credentials {
				refuseStars(c, at, cfg)
			}
			return func(next http.Handler) http.Handler { return &corsHandler{p, next} }
		},
		dsl.Example{Name: "the pages of a shop, with its cookies", YAML: "origins: [https://shop.example, https://*.shop.example]\ncredentials: true"},
		dsl.Example{Name: "what everyone may read", YAML: `origins: ["*"]`}),
}

type cors struct {
	*origins
	methods         []string // nil: each that a route takes
	headers, expose []string // one text, or nil for none
	maxAge          []string
	credentials     bool
}

// tokens are texts that name methods or headers.
func tokens(r dsl.Reporter, texts []dsl.String, of string) (all []string) {
	for _, t := range texts {
		d := dsl.Diagnostic{Span: t.Span, Code: "bad-policy"}
		switch upper := strings.ToUpper(t.Value); {
		case !isToken(t.Value) || of == "method" && t.Value == "*":
			d.Message, d.Hint = fmt.Sprintf("%q is not the name of a %s", t.Value, of), "use letters, digits and -"
		case of == "method" && upper != t.Value:
			d.Message, d.Hint = "methods are compared exactly, and those of HTTP are in upper case", "write "+upper
		default:
			all = append(all, t.Value)
			continue
		}
		r.Report(d)
	}
	return all
}

func joined(texts []string) []string {
	if len(texts) == 0 {
		return nil
	}
	return []string{strings.Join(texts, ", ")}
}

// refuseStars: with credentials browsers take a star for a name like any other
// (Fetch, 3.3.5), and a gateway that gave back whatever origin came would let
// every page act as whoever looks at it.
func refuseStars(c *Compiler, at *dsl.Node, cfg *corsConfig) {
	for _, list := range [][]dsl.String{cfg.Origins, cfg.Headers, cfg.Expose} {
		for _, t := range list {
			if t.Value == "*" {
				c.Report(dsl.Diagnostic{Span: t.Span, Code: "bad-policy", Message: "browsers take no star where credentials are sent along",
					Hint: "list what is allowed, or remove credentials", Related: []dsl.Related{{Span: at.Field("credentials").KeySpan(), Message: "here they are"}}})
			}
		}
	}
}

type corsHandler struct {
	*cors
	next http.Handler
}

func (p *corsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := gateway.FromContext(r.Context())
	q.BeforeAnswer(p.cors)
	switch {
	case !gateway.Preflight(r) || q.Asked == nil:
		p.next.ServeHTTP(w, r) // what no route takes is told as to everyone
	case p.allowed(r) == nil:
		gateway.Refuse(w, r, "cors", gateway.Problem{Status: http.StatusForbidden, Code: CodeOriginNotAllowed, Detail: "Pages of this origin may not call this resource."})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// allowed is the field Origin of a request if its pages may read the answer. One
// that came twice is none.
func (p *cors) allowed(r *http.Request) []string {
	if o := r.Header["Origin"]; len(o) == 1 && p.have(o[0]) {
		return o
	}
	return nil
}

var (
	anyOrigin     = []string{"*"}
	yes           = []string{"true"}
	varyOrigin    = []string{"Origin"}
	varyPreflight = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
)

// EditHeader is what gateway.HeaderEditor asks for.
func (p *cors) EditHeader(q *gateway.Request, status int, h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	r := q.Input().Request
	preflight := q.Asked != nil && status == http.StatusNoContent
	switch {
	case preflight:
		h["Vary"] = varyPreflight
	case !p.any:
		vary(h, "Origin", varyOrigin)
	}
	origin := p.allowed(r)
	switch {
	case p.any:
		origin = anyOrigin // whoever asks, so that caches need not tell them apart
	case origin == nil:
		return
	}
	h["Access-Control-Allow-Origin"] = origin
	if p.credentials {
		h["Access-Control-Allow-Credentials"] = yes
	}
	switch {
	case preflight:
		p.grant(r, h)
	case p.expose != nil:
		h["Access-Control-Expose-Headers"] = p.expose
	}
}

// grant answers a preflight. It names the one method that was asked for: a
// browser remembers those that it is told for the whole path, of which other
// routes may have other origins.
func (p *cors) grant(r *http.Request, h http.Header) {
	asked := r.Header["Access-Control-Request-Method"]
	if isToken(asked[0]) && (p.methods == nil || slices.Contains(p.methods, asked[0])) {
		h["Access-Control-Allow-Methods"] = asked
	}
	if p.headers != nil && r.Header["Access-Control-Request-Headers"] != nil {
		h["Access-Control-Allow-Headers"] = p.headers
	}
	h["Access-Control-Max-Age"] = p.maxAge
}

// vary adds the name of a field to Vary, unless it is there. alone holds nothing
// else, and is shared.
func vary(h http.Header, name string, alone []string) {
	had := h["Vary"]
	if had == nil {
		h["Vary"] = alone
		return
	}
	for _, line := range had {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, name) {
				return
			}
		}
	}
	h["Vary"] = append(had[:len(had):len(had)], name)
}
