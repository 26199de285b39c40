package policies

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/openapi"
	"github.com/weir-run/weir/engine/schema"
	"github.com/weir-run/weir/gateway"
)

// described finds the operation of a request by the paths of an OpenAPI document,
// as a gateway finds routes: so it does not matter how a route writes its path, or
// whether it takes all that there are.
type described struct {
	router *gateway.Router
	checks map[string]*operationCheck // by the name of the router's route
}

// operation is what was found for a request.
type operation struct {
	check check // nil: there is none
	vars  func(name string) (string, bool)
	allow string // the methods that the path has, if it is there
}

func (d *described) find(r *http.Request) operation {
	asked := gateway.Asked{Method: r.Method, URL: r.URL}
	found := d.router.Match(asked, nil)
	if found.Route == nil {
		return operation{allow: d.router.Allow(r.URL)}
	}
	with := d.checks[found.Route.Name]
	return operation{check: with, vars: func(name string) (string, bool) {
		for i, v := range found.Vars {
			if with.variables[i] == name {
				return v.Value, true
			}
		}
		return "", false
	}}
}

// operationCheck holds requests against an operation of an OpenAPI document.
type operationCheck struct {
	requests  *openapi.Requests
	replies   *openapi.Answers
	variables []string // of the path, in the order of the template
}

func (o *operationCheck) parameters(r *http.Request, _ *gateway.Request, vars func(string) (string, bool)) []schema.Violation {
	return o.requests.Parameters(openapi.Incoming{Var: vars, Query: r.URL.RawQuery, Header: r.Header})
}

func (o *operationCheck) needsBody() (bool, []string) {
	return o.requests.Required, o.requests.MediaTypes()
}

func (o *operationCheck) body(contentType string) (bodyCheck, bool) {
	if !o.requests.Declared {
		return nil, true // a body that nobody asked for means nothing (RFC 9110, section 9.3.1)
	}
	c := o.requests.Body(contentType)
	switch {
	case c == nil:
		return nil, false
	case !c.Looks(contentType):
		return nil, true
	}
	return c, true
}

func (o *operationCheck) answers() *openapi.Answers { return o.replies }

func (c *Compiler) compileDescribed(p *validate, at *dsl.Node, cfg *validateConfig) {
	root := c.Documents().Open(cfg.OpenAPI, c)
	if root == nil {
		return
	}
	doc := openapi.Read(root, c.Documents(), c)
	if doc == nil {
		return
	}
	compiled := func(op *openapi.Operation) *operationCheck {
		o := &operationCheck{requests: op.Requests(cfg.Strict, c), variables: templateNames(op.Path)}
		if cfg.Responses != "pass" {
			o.replies = op.Answers(c)
		}
		return o
	}
	if cfg.Operation.Value != "" {
		if op := c.operation(doc, cfg); op != nil {
			p.always = compiled(op)
		}
		return
	}
	p.of = &described{checks: map[string]*operationCheck{}}
	var routes []gateway.Route
	for _, op := range doc.Operations {
		if op.Method == http.MethodTrace {
			continue // which is never served
		}
		name := op.Method + " " + op.Path
		p.of.checks[name] = compiled(op)
		for _, base := range doc.Bases() {
			r := gateway.Route{Method: op.Method, Path: base + plainTemplate(op.Path), Name: name, Span: op.At}
			if !slices.ContainsFunc(routes, func(other gateway.Route) bool { return other.Method == r.Method && other.Path == r.Path }) {
				routes = append(routes, r)
			}
		}
	}
	if p.of.router = gateway.NewRouter(routes, c); p.of.router == nil {
		return
	}
	c.Describe(fmt.Sprintf("%d operations of %s", len(doc.Operations), cfg.OpenAPI.Value))
	c.Review(func(route *gateway.Route, own bool, r dsl.Reporter) {
		coverage{doc: doc, file: cfg.OpenAPI.Value, at: at.KeySpan(), pass: p.pass}.review(route, own, r)
	})
}

// operation finds the one that operation names, whose variables the route has to
// have.
func (c *Compiler) operation(doc *openapi.Document, cfg *validateConfig) *openapi.Operation {
	var known []string
	for _, op := range doc.Operations {
		if op.ID != cfg.Operation.Value {
			known = append(known, op.ID)
			continue
		}
		c.Describe(fmt.Sprintf("%s of %s", op.ID, cfg.OpenAPI.Value))
		for _, name := range op.PathParameters() {
			c.hasParam(name, cfg.Operation.Span, dsl.Related{Span: op.At, Message: "the operation"})
		}
		return op
	}
	d := dsl.Diagnostic{Span: cfg.Operation.Span, Code: "unknown-operation", Message: fmt.Sprintf("%s has no operation %q", cfg.OpenAPI.Value, cfg.Operation.Value), Hint: "write the operationId of one that it has, or leave it out: the method and the path find it"}
	d.Suggest(cfg.Operation.Value, known)
	c.Report(d)
	return nil
}

// hasParam reports that the path has no variable of a name.
func (c *Compiler) hasParam(name string, at dsl.Span, related ...dsl.Related) {
	params := c.scope.names["params"]
	d := dsl.Diagnostic{Span: at, Code: "unknown-param", Related: related}
	switch _, ok := params.Fields[name]; {
	case ok:
		return
	case params.Denied != nil:
		d.Message, d.Hint = params.Denied.Message, params.Denied.Hint
	default:
		d.Message, d.Hint = fmt.Sprintf("the path of this route has no variable %q", name), fmt.Sprintf("write {%s} in the path", name)
		var known []string
		for other := range params.Fields {
			known = append(known, other)
		}
		slices.Sort(known)
		d.Suggest(name, known)
	}
	c.Report(d)
}

func (c *Compiler) knownParams(names []string, at *dsl.Node) {
	for _, name := range names {
		c.hasParam(name, at.Field(name).KeySpan())
	}
}

var templateVariable = regexp.MustCompile(`\{[^{}]*\}`)

// templateNames are the variables of an OpenAPI path.
func templateNames(template string) (names []string) {
	for _, v := range templateVariable.FindAllString(template, -1) {
		names = append(names, v[1:len(v)-1])
	}
	return names
}

// plainTemplate is an OpenAPI path with names that a gateway's may have.
func plainTemplate(template string) string {
	n := 0
	return templateVariable.ReplaceAllStringFunc(template, func(string) string {
		n++
		return "{v" + strconv.Itoa(n) + "}"
	})
}

// coverage tells of routes for which a document has no operation.
type coverage struct {
	doc  *openapi.Document
	file string
	at   dsl.Span // of the policy
	pass bool
}

func (v coverage) review(route *gateway.Route, own bool, r dsl.Reporter) {
	path, rest := holed(route.Path)
	if rest {
		return // it has many operations, or none: requests will tell
	}
	methods := []string{route.Method}
	if route.Method == "" {
		methods = []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"}
	}
	var missing dsl.Diagnostics
	for _, m := range methods {
		var ds dsl.Diagnostics
		v.doc.Operation(openapi.Call{Service: v.file, Method: m, Path: path, At: route.Span, Span: route.Span}, &ds)
		if ds.Len() == 0 {
			return
		}
		missing = ds
	}
	for _, d := range missing.All() {
		if !own || v.pass {
			d.Severity, d.Code = dsl.Warning, "undescribed-route"
			d.Hint = strings.TrimSuffix(d.Hint, ".") + "; requests are refused: add the operation, or write without: [validate] or undescribed: pass"
			d.Related = []dsl.Related{{Span: v.at, Message: "what requests are held against"}}
		}
		if v.pass {
			d.Severity, d.Hint = dsl.Note, "nothing is said of its requests, which pass unseen"
		}
		r.Report(d)
	}
}

// holed is the path of a route with a hole for each variable. rest says that it ends
// with one for all that follows.
func holed(path string) (text string, rest bool) {
	var b strings.Builder
	depth, start := 0, 0
	for i, c := range path {
		switch {
		case c == '{':
			if depth++; depth == 1 {
				start = i
			}
		case c == '}':
			if depth--; depth == 0 {
				rest = rest || strings.HasSuffix(path[start:i], ":.*") || strings.HasSuffix(path[start:i], ":.+")
				b.WriteString(openapi.Hole)
			}
		case depth == 0:
			b.WriteRune(c)
		}
	}
	return b.String(), rest
}
