package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Route is one entry of a gateway: requests of one method to the paths of one
// template.
//
// A path template is made of literal segments, {name} for one segment,
// {name:pattern} for one segment that matches a regular expression,
// {name}.json for a part of one, and, at the end, {name:.*} or {name:.+} for
// all that follows. Literals are written decoded. A trailing slash makes a
// different path. Of several routes that take a path the most specific wins,
// compared segment by segment from the left: literal, pattern, {name}, rest; of
// two patterns the one that matches less. Two routes that take the same request
// and are equally specific are refused.
type Route struct {
	Gateway string
	Method  string // "" takes any method; GET also takes HEAD
	Path    string
	// Hosts are those whose requests the route takes: names, and *.name for all
	// below one. None: all. The most specific host comes before the most specific
	// path.
	Hosts   []dsl.String
	Span    dsl.Span // where the route is written
	Name    string   // the flow's name; a label of metrics and logs
	Handler http.Handler
	// Deadline bounds the whole request; the time left is on the request's
	// context. 0 is none.
	Deadline time.Duration
	// MaxBody caps the request's body in bytes. 0 is the gateway's cap,
	// negative is none.
	MaxBody int64
	// Layers are the policies of the route, outermost first.
	Layers []Layer

	index     int // in Router.routes
	variables []string
}

// Var is a variable of a path and its decoded value.
type Var struct{ Name, Value string }

// Router finds routes by method and path. It is immutable and safe for
// concurrent use.
type Router struct {
	roots   []*node // the first that has a route for a request decides
	routes  []Route
	hosts   *hosts // nil: no route names one
	foreign bool   // no route takes the host at all
}

// NewRouter builds the router of one gateway. It reports every route that no
// request could reach, or that another one contradicts, and returns nil if it
// reported any.
func NewRouter(routes []Route, r dsl.Reporter) *Router {
	rt := &Router{routes: slices.Clone(routes)}
	all := sites{}
	sound := true
	for i := range rt.routes {
		route := &rt.routes[i]
		route.index = i
		names, ok := checkHosts(route, r)
		sound = sound && ok
		for _, host := range names {
			if !all.of(host).route(route, r) {
				sound = false
				break // it is told once
			}
		}
	}
	for _, b := range all {
		for _, c := range b.crossings {
			if x, y := meet(c.a, c.b); x != nil {
				r.Report(crossed(x, y, c.shared))
				sound = false
			}
		}
	}
	if !sound {
		return nil
	}
	all.router(rt)
	return rt
}

func (b *builder) route(route *Route, r dsl.Reporter) bool {
	if !checkMethod(route, r) {
		return false
	}
	segments, err := b.known.parse(route.Path)
	if err != nil {
		d := dsl.Diagnostic{Span: route.Span, Code: "bad-route", Message: err.message, Hint: err.hint}
		if at, ok := route.Span.Find(err.typed); ok {
			d.Mend(err.hint, dsl.Edit{Span: at, New: err.meant})
		}
		r.Report(d)
		return false
	}
	route.variables = variableNames(segments)
	other := b.add(route, segments)
	if other == nil {
		return true
	}
	r.Report(ambiguous(route, other))
	return false
}

func crossed(x, y *Route, shared string) dsl.Diagnostic {
	if x.index > y.index {
		x, y = y, x
	}
	d := dsl.Diagnostic{
		Span:    y.Span,
		Code:    "ambiguous-route",
		Message: fmt.Sprintf("routes %s and %s take some of the same requests, and neither is the more specific", y, x),
		Hint:    "make the patterns exclude each other, or one a part of the other",
		Related: []dsl.Related{{Span: x.Span, Message: fmt.Sprintf("%s stands here", x)}},
	}
	if shared != "" {
		d.Hint = fmt.Sprintf("both patterns match %q: %s", shared, d.Hint)
	}
	return d
}

func ambiguous(route, other *Route) dsl.Diagnostic {
	d := dsl.Diagnostic{
		Span:    route.Span,
		Code:    "ambiguous-route",
		Message: fmt.Sprintf("route %s takes the same requests as route %s", route, other),
		Hint:    "remove one, or set them apart by method, by a literal segment or by a pattern such as {id:[0-9]+}",
		Related: []dsl.Related{{Span: other.Span, Message: fmt.Sprintf("%s stands here", other)}},
	}
	if route.Path == other.Path {
		d.Message = fmt.Sprintf("route %s is defined twice", route)
		d.Hint = "remove one, or change its method or path"
	}
	return d
}

// String is the route as people write it: GET /users/{id}.
func (r *Route) String() string {
	if r.Method == "" {
		return r.Path
	}
	return r.Method + " " + r.Path
}

func checkMethod(route *Route, r dsl.Reporter) bool {
	d := dsl.Diagnostic{Span: route.Span, Code: "bad-route"}
	m := route.Method
	switch {
	case m == "":
		return true
	case m == http.MethodConnect || m == http.MethodTrace:
		d.Message = fmt.Sprintf("method %s is never served", m)
		d.Hint = "write another, such as GET or POST"
	case strings.ToUpper(m) != m && tokenChars.spells(m):
		d.Message = fmt.Sprintf("method %q is not in upper case", m)
		d.Hint = "write " + strings.ToUpper(m)
		if at, ok := route.Span.Find(m + " "); ok {
			d.Mend(d.Hint, dsl.Edit{Span: at, New: strings.ToUpper(m) + " "})
		}
	case !tokenChars.spells(m) || m[0] < 'A':
		d.Message = fmt.Sprintf("%q is not an HTTP method", m)
		d.Hint = "write one such as GET or POST"
	default:
		if near, ok := d.SuggestWord(m, knownMethods); ok && near != m {
			d.Severity, d.Code = dsl.Warning, "unknown-method"
			d.Message = fmt.Sprintf("no client is known to send the method %s", m)
			d.Hint = "did you mean " + near + "?"
			r.Report(d)
		}
		return true
	}
	r.Report(d)
	return false
}

// knownMethods are those that a misspelt one may be meant to be.
var knownMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "LOCK", "UNLOCK", "COPY", "MOVE", "MKCOL", "PROPFIND", "PROPPATCH", "REPORT", "SEARCH"}

// tokenChars is RFC 9110, section 5.6.2.
var tokenChars = chars(alphanumeric + "!#$%&'*+-.^_`|~")

// Verdict is what a router says about a request.
type Verdict uint8

// A request is answered by its route only when it is Matched.
const (
	Matched          Verdict = iota
	NotFound                 // 404: no route takes the path
	MethodNotAllowed         // 405: routes take the path, none of them the method
	BadPath                  // 400: no route may see the path
	Misdirected              // 421: every route is for other hosts
)

// String is the code of the problem that the verdict leads to.
func (v Verdict) String() string {
	switch v {
	case NotFound:
		return CodeRouteNotFound
	case MethodNotAllowed:
		return CodeMethodNotAllowed
	case BadPath:
		return CodeBadPath
	case Misdirected:
		return CodeMisdirected
	default:
		return "matched"
	}
}

// Match finds the route of a request and appends its path's variables to vars.
// It does not allocate when vars has room and no segment mixes text with
// variables.
//
// A path with an empty segment in it (//) matches only where a {rest:.*} takes
// it, and is a BadPath otherwise. A path with dot segments, backslashes,
// control characters or invalid UTF-8, in clear or percent-encoded, always is.
func (rt *Router) Match(method string, u *url.URL, vars []Var) (*Route, []Var, Verdict) {
	path, ok := routingPath(u)
	if !ok {
		return nil, vars, BadPath
	}
	before := len(vars)
	s := search{path: path, method: method, vars: vars}
	var route *Route
	for _, root := range rt.roots {
		if route = s.find(root, 1); route != nil {
			break
		}
		s.vars = s.vars[:before]
	}
	if route == nil {
		return nil, vars[:before], rt.refuse(path)
	}
	for i, name := range route.variables {
		s.vars[before+i].Name = name
	}
	return route, s.vars, Matched
}

func (rt *Router) refuse(path string) Verdict {
	switch {
	case len(rt.methods(path)) > 0:
		return MethodNotAllowed
	case strings.Contains(path, "//"):
		return BadPath
	case rt.foreign:
		return Misdirected
	default:
		return NotFound
	}
}

func (rt *Router) methods(path string) []string {
	s := search{path: path, gather: true}
	for _, root := range rt.roots {
		s.find(root, 1)
	}
	return s.allow
}

// Allow is the value of the Allow field for a path (RFC 9110, section 10.2.1):
// the methods of all routes that take it, with HEAD where there is GET, and
// OPTIONS, which the gateway itself answers.
func (rt *Router) Allow(u *url.URL) string {
	path, ok := routingPath(u)
	if !ok {
		return ""
	}
	methods := rt.methods(path)
	if len(methods) == 0 {
		return ""
	}
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	methods = append(methods, http.MethodOptions)
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// Routes are the router's routes in the order given.
func (rt *Router) Routes() []Route { return slices.Clone(rt.routes) }
