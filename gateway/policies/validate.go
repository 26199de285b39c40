package policies

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/openapi"
	"github.com/weir-run/weir/engine/schema"
	"github.com/weir-run/weir/gateway"
)

// Codes of the problems of the policy validate, beside those that a gateway has for
// the same.
const CodeInvalidAnswer = "invalid-answer"

type validateConfig struct {
	OpenAPI     dsl.String `yaml:"openapi" doc:"An OpenAPI document (3.0 or 3.1), relative to this file. A request is held against the operation of its method and path: parameters, Content-Type, body."`
	Operation   dsl.String `yaml:"operation" doc:"The operationId of the operation, where it is not that of the method and path of requests."`
	Params      *dsl.Node  `yaml:"params" doc:"Without openapi: the variables of the path, as input.params of a trigger has them."`
	Query       *dsl.Node  `yaml:"query" doc:"Without openapi: the parameters of the query, as input.query of a trigger has them."`
	Headers     *dsl.Node  `yaml:"headers" doc:"Without openapi: headers, as input.headers of a trigger has them."`
	Body        *dsl.Node  `yaml:"body" doc:"Without openapi: the schema of the body, which is JSON then (JSON Schema 2020-12), or { $ref: FILE } relative to this file."`
	Strict      bool       `yaml:"strict" doc:"Whether parameters of the query that the operation does not have are refused." default:"false"`
	Undescribed string     `yaml:"undescribed" doc:"What becomes of requests for which the document has no operation: they are refused with 404 or 405, or they pass unseen." default:"refuse" enum:"refuse|pass"`
	Responses   string     `yaml:"responses" doc:"What becomes of answers that the operation does not have: nothing; they are reported in the log and counted; or the caller gets 502 in their place, for which answers with a body that is looked at are held until they are whole. Problems of Weir itself and answers with status 206 and 304 are not looked at." default:"pass" enum:"pass|report|refuse"`
	MaxResponse dsl.Size   `yaml:"max_response" doc:"How much of an answer is kept to be looked at. Larger ones are not looked at by report, and refused by refuse." default:"1MB" min:"1KB" max:"64MB"`
	Shadow      bool       `yaml:"shadow" doc:"Whether requests that do not fit are let through, counted and told in the log: to find out what a document would refuse." default:"false"`
}

// Validate is the Kind of the policy validate.
var Validate = Kind{
	Why:      "a request is looked at as the flow gets it, and not at all where a kept answer does",
	Together: true,
	Kind: dsl.Define("validate",
		"Lets requests through that are as an OpenAPI document or JSON Schemas say. What is not is answered with status 400 (415 for a body of another Content-Type) and all that does not fit, by JSON pointer. A body is only read if there is something to look at in it; what else there is to a request does not hold it up.",
		compileValidate,
		dsl.Example{Name: "a parameter of the query and a body", YAML: `
query: { dry_run: { type: boolean } }
body: { type: object, properties: { sku: { type: string, pattern: "^[A-Z]{2}-[0-9]+$" } }, required: [sku] }
`},
		dsl.Example{Name: "what would be refused, without refusing it", YAML: `
headers: { X-Tenant: { type: string, minLength: 3 }, required: [X-Tenant] }
shadow: true
`}),
}

// check is what requests of one operation, or all requests, are held against.
type check interface {
	// parameters gives what a request does not keep to besides its body.
	parameters(r *http.Request, q *gateway.Request, vars func(string) (string, bool)) []schema.Violation
	// body finds what a body has to be like; nil: it may be anything. ok is false if
	// there can be no body of this type, and types are those that there can be.
	body(contentType string) (body bodyCheck, ok bool)
	needsBody() (need bool, types []string)
	answers() *openapi.Answers // nil: they may be anything
}

type bodyCheck interface {
	Check(contentType, text string) []schema.Violation
}

type validate struct {
	of          *described // nil: always
	always      check
	pass        bool // requests without an operation
	shadow      bool
	answer      string
	maxResponse int
	state       *engine.Kept[*validateState]
}

func compileValidate(c *Compiler, at *dsl.Node, cfg *validateConfig) gateway.Middleware {
	p := &validate{pass: cfg.Undescribed == "pass", shadow: cfg.Shadow, answer: cfg.Responses, maxResponse: int(cfg.MaxResponse)}
	fault := func(key, message, hint string) {
		span := at.KeySpan()
		if n := at.Field(key); n != nil {
			span = n.KeySpan()
		}
		c.Report(dsl.Diagnostic{Span: span, Code: "bad-policy", Message: message, Hint: hint})
	}
	parts := []string{"params", "query", "headers", "body"}
	own := slices.IndexFunc(parts, func(key string) bool { return at.Field(key) != nil })
	switch {
	case cfg.OpenAPI.Value == "" && own < 0:
		c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "empty-policy", Message: "validate has nothing that requests are held against", Hint: "add openapi, or one of params, query, headers and body"})
	case cfg.OpenAPI.Value != "" && own >= 0:
		fault(parts[own], "openapi says what requests are like, and so does "+parts[own], "keep one of them; a second validate can stand in another bundle")
	case cfg.OpenAPI.Value == "":
		for _, key := range []string{"operation", "strict", "undescribed", "responses", "max_response"} {
			if at.Field(key) != nil {
				fault(key, key+" is about an OpenAPI document, and there is none", "add openapi, or remove it")
			}
		}
		p.always = c.schemas(cfg)
	default:
		c.compileDescribed(p, at, cfg)
	}
	if cfg.Shadow && cfg.Responses == "refuse" {
		fault("shadow", "shadow refuses nothing, and responses: refuse does", "write responses: report")
	}
	p.state = Keep(c, func() *validateState { return &validateState{} })
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, next) })
	}
}

func (p *validate) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	q := gateway.FromContext(r.Context())
	if q.Route == nil {
		next.ServeHTTP(w, r)
		return
	}
	with, vars := p.always, q.Var
	if p.of != nil {
		found := p.of.find(r)
		if with = found.check; with == nil {
			if p.undescribed(w, r, q, found) {
				next.ServeHTTP(w, r)
			}
			return
		}
		vars = found.vars
	}
	if !p.admits(w, r, q, with, vars) {
		return
	}
	if answers := with.answers(); answers != nil && p.answer != "pass" {
		p.held(w, r, q, answers, next)
		return
	}
	next.ServeHTTP(w, r)
}

// undescribed reports whether a request goes on for which there is no operation,
// or answers it.
func (p *validate) undescribed(w http.ResponseWriter, r *http.Request, q *gateway.Request, found operation) bool {
	switch {
	case p.pass:
		return true
	case p.shadow:
		p.note(q, "a request for which there is no operation would be refused", nil)
		return true
	}
	p.state.It().refused.Add(1)
	problem := gateway.Problem{Status: http.StatusNotFound, Code: gateway.CodeRouteNotFound, Detail: "There is nothing at this path."}
	if found.allow != "" {
		w.Header()["Allow"] = []string{found.allow}
		problem = gateway.Problem{Status: http.StatusMethodNotAllowed, Code: gateway.CodeMethodNotAllowed, Detail: "The resource does not take this method; Allow names those that it takes."}
	}
	gateway.Refuse(w, r, "validate", problem)
	return false
}

// mostTold is how many things that do not fit are told of one request.
const mostTold = 100

// admits looks at a request, and answers it if it is refused.
func (p *validate) admits(w http.ResponseWriter, r *http.Request, q *gateway.Request, with check, vars func(string) (string, bool)) bool {
	all := with.parameters(r, q, vars)
	if problem, err := p.admitBody(w, r, with, &all); err != nil || problem.Status != 0 {
		if p.shadow && err == nil {
			p.note(q, "a request would be refused: "+problem.Detail, nil)
			return true
		}
		q.Err = err
		p.state.It().refused.Add(1)
		gateway.Refuse(w, r, "validate", problem)
		return false
	}
	switch {
	case len(all) == 0:
		return true
	case p.shadow:
		p.note(q, "a request would be refused", all)
		return true
	}
	p.state.It().refused.Add(1)
	gateway.Refuse(w, r, "validate", gateway.Problem{Status: http.StatusBadRequest, Code: gateway.CodeInvalidRequest,
		Detail: "The request does not fit what this route takes.", Extensions: map[string]any{"errors": all[:min(len(all), mostTold)]}})
	return false
}

// admitBody looks at the body. It gives a problem for one that cannot be looked at;
// what does not fit is added to all.
func (p *validate) admitBody(w http.ResponseWriter, r *http.Request, with check, all *[]schema.Violation) (problem gateway.Problem, err error) {
	need, types := with.needsBody()
	if r.ContentLength == 0 {
		if need {
			*all = append(*all, schema.Violation{Pointer: "/body", Message: "is required"})
		}
		return problem, nil
	}
	contentType := r.Header.Get("Content-Type")
	body, ok := with.body(contentType)
	switch {
	case !ok:
		if !p.shadow && types != nil {
			w.Header()["Accept"] = []string{strings.Join(types, ", ")} // RFC 9110, section 15.5.16
		}
		return gateway.Problem{Status: http.StatusUnsupportedMediaType, Code: gateway.CodeUnsupportedType, Detail: "The resource does not take a body of this Content-Type."}, nil
	case body == nil:
		return problem, nil
	case gateway.IsEncoded(r):
		return gateway.BodyEncoded, nil
	}
	text, problem, err := gateway.ReadBody(r)
	switch {
	case err != nil:
		return problem, err
	case text == "" && need: // one in chunks, which did not say how long it is
		*all = append(*all, schema.Violation{Pointer: "/body", Message: "is required"})
	case text != "":
		*all = append(*all, schema.Under("/body", body.Check(contentType, text))...)
	}
	return problem, nil
}

// note counts what is let through all the same, and tells of it in the log once a
// second at most: callers decide how often it happens.
func (p *validate) note(q *gateway.Request, message string, all []schema.Violation) {
	s := p.state.It()
	s.shadowed.Add(1)
	s.tell(q, message, all)
}

// validateState is what the policy has counted.
type validateState struct {
	refused, shadowed atomic.Int64 // requests
	faulty, unchecked atomic.Int64 // answers
	told, keptQuiet   atomic.Int64 // when, in seconds; and what was not told since
}

func (s *validateState) tell(q *gateway.Request, message string, all []schema.Violation) {
	now, last := time.Now().Unix(), s.told.Load()
	if now == last || !s.told.CompareAndSwap(last, now) {
		s.keptQuiet.Add(1)
		return
	}
	attrs := []any{"route", q.Route.Name, "request_id", q.ID}
	if len(all) > 0 {
		attrs = append(attrs, "fault", engine.Said(all))
	}
	if n := s.keptQuiet.Swap(0); n > 0 {
		attrs = append(attrs, "others", n)
	}
	q.Log().Warn(message, attrs...)
}

// Observe is what engine.Observed asks for.
func (s *validateState) Observe(show func(name string, total bool, value int64)) {
	show("requests_refused", true, s.refused.Load())
	show("requests_shadowed", true, s.shadowed.Load())
	show("answers_faulty", true, s.faulty.Load())
	show("answers_unchecked", true, s.unchecked.Load())
}

// Close is what engine.Keeper asks for.
func (s *validateState) Close() {}
