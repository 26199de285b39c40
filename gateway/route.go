package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
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
	Hosts []dsl.String
	// Match is what else requests must be like. Of the routes of one method and
	// path that take a request, the one that wants more is taken: all that the
	// others want, and something else. Two of which neither does are refused, unless
	// no request can be as both want it.
	Match   []Condition
	Version *Version // nil: it has none
	Span    dsl.Span // where the route is written
	Name    string   // the flow's name; a label of metrics and logs
	// Revision tells spans and logs which state of the flow is served.
	Revision string
	Handler  http.Handler
	// Deadline bounds the whole request; the time left is on the request's
	// context. 0 is none.
	Deadline time.Duration
	// MaxBody caps the request's body in bytes. 0 is the gateway's cap,
	// negative is none.
	MaxBody int64
	// Priority is that of its requests, as limits of the gateway and those of
	// services go by it.
	Priority engine.Priority
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
	roots    []*node // the first that has a route for a request decides
	routes   []Route
	hosts    *hosts    // nil: no route names one
	foreign  bool      // no route takes the host at all
	versions *Versions // nil: no route has one
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
		if route.Version != nil {
			rt.versions = route.Version.of
		}
		names, ok := checkHosts(route, r)
		ok = checkMatch(route, r) && ok
		sound = sound && ok
		if !ok {
			continue
		}
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
	told := map[*Route]bool{}
	for _, b := range all {
		b.root.leaves(func(l *leaf) { l.shadowed(told, r) })
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
	other, as := b.add(route, segments)
	if other == nil {
		return true
	}
	if d := ambiguous(route, other); as.onlyA || as.onlyB || as.unknown {
		d.Message = fmt.Sprintf("routes %s and %s take some of the same requests, and neither wants all that the other does", route, other)
		d.Hint = "add what the one wants to the other, or that it is not there: { present: false }"
		r.Report(d)
	} else {
		r.Report(d)
	}
	return false
}

// checkMatch makes the conditions of a route ready for use.
func checkMatch(route *Route, r dsl.Reporter) (sound bool) {
	sound = true
	route.Match = slices.Clone(route.Match)
	for i := range route.Match {
		c := &route.Match[i]
		c.Values = slices.Clone(c.Values)
		if message, hint := c.check(); message != "" {
			r.Report(dsl.Diagnostic{Span: c.Span, Code: "bad-match", Message: message, Hint: hint})
			sound = false
			continue
		}
		for j := range route.Match[:i] {
			if first := &route.Match[j]; first.alike(*c) {
				r.Report(dsl.Diagnostic{Span: c.Span, Code: "bad-match", Message: fmt.Sprintf("this route wants two things of the %s %s", c.In, c.Name), Hint: "keep one of them; what is chosen by version needs no match",
					Related: []dsl.Related{{Span: first.Span, Message: "the other one"}}})
				sound = false
			}
		}
	}
	return sound
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
		d.Hint = "remove one, change its method or path, or tell them apart with match"
	}
	return d
}

// String is the route as people write it: GET /users/{id}. What else it wants
// stands behind, in brackets.
func (r *Route) String() string {
	text := r.Path
	if r.Method != "" {
		text = r.Method + " " + r.Path
	}
	for i := range r.Match {
		text += " [" + r.Match[i].String() + "]"
	}
	return text
}

// takesMethod reports whether the route is for requests of a method.
func (r *Route) takesMethod(method string) bool {
	return r.Method == "" || r.Method == method || r.Method == http.MethodGet && method == http.MethodHead
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
	Unmatched                // 404: routes take the path and the method, and want something else, too
	NotAcceptable            // 406: one of these wants another Accept, and no more
	UnsupportedType          // 415: another Content-Type, and no more
	UnknownVersion           // 400, by path 404: another version, and no more
)

// String is the code of the problem that the verdict leads to.
func (v Verdict) String() string {
	switch v {
	case NotFound, Unmatched:
		return CodeRouteNotFound
	case MethodNotAllowed:
		return CodeMethodNotAllowed
	case BadPath:
		return CodeBadPath
	case Misdirected:
		return CodeMisdirected
	case NotAcceptable:
		return CodeNotAcceptable
	case UnsupportedType:
		return CodeUnsupportedType
	case UnknownVersion:
		return CodeUnknownVersion
	default:
		return "matched"
	}
}

// Asked is what a router decides by. The zero Header is that of a request without
// any.
type Asked struct {
	Method string
	URL    *url.URL
	Header http.Header
	// Preflight says that the header is that of the preflight for the request:
	// routes are found that some header would choose, of several the first.
	Preflight bool
}

// Found is what a router says about a request.
type Found struct {
	Route   *Route // nil unless Matched
	Vars    []Var
	Choice  *Choice // nil: host, path and method decide
	Verdict Verdict
}

// Match finds the route of a request and appends its path's variables to vars.
// It does not allocate when vars has room, no segment mixes text with
// variables, and routes want nothing of the query.
//
// A path with an empty segment in it (//) matches only where a {rest:.*} takes
// it, and is a BadPath otherwise. A path with dot segments, backslashes,
// control characters or invalid UTF-8, in clear or percent-encoded, always is.
func (rt *Router) Match(a Asked, vars []Var) Found {
	path, ok := routingPath(a.URL)
	if !ok {
		return Found{Vars: vars, Verdict: BadPath}
	}
	before := len(vars)
	s := search{path: path, method: a.Method, vars: vars, asked: a}
	var route *Route
	for _, root := range rt.roots {
		if route = s.find(root, 1); route != nil {
			break
		}
		s.vars = s.vars[:before]
	}
	if route == nil {
		return Found{Vars: vars[:before], Choice: s.choice, Verdict: rt.refuse(&s)}
	}
	for i, name := range route.variables {
		s.vars[before+i].Name = name
	}
	return Found{Route: route, Vars: s.vars, Choice: s.choice}
}

func (rt *Router) refuse(s *search) Verdict {
	there := rt.taking(s.path)
	of := slices.DeleteFunc(slices.Clone(there), func(r *Route) bool { return !r.takesMethod(s.method) })
	switch {
	case len(of) > 0:
		return s.unmet(of)
	case len(there) > 0:
		return MethodNotAllowed
	case strings.Contains(s.path, "//"):
		return BadPath
	case rt.foreign:
		return Misdirected
	}
	if _, names := rt.Offered(s.asked); len(names) > 0 {
		return UnknownVersion
	}
	return NotFound
}

// unmet says what keeps a request from each of the routes: if it is one thing for
// one of them, it is that.
func (s *search) unmet(routes []*Route) Verdict {
	verdict := Unmatched
	for _, r := range routes {
		var failed []*Condition
		for i := range r.Match {
			if c := &r.Match[i]; !c.holds(s.asked.Header, s.values) {
				failed = append(failed, c)
			}
		}
		if len(failed) != 1 {
			continue
		}
		switch c := failed[0]; {
		case r.Version != nil && c.In == r.Version.of.In && strings.EqualFold(c.Name, r.Version.of.Name):
			verdict = max(verdict, UnknownVersion)
		case c.In == InHeader && c.Name == "Content-Type":
			verdict = max(verdict, UnsupportedType)
		case c.In == InHeader && c.Name == "Accept":
			verdict = max(verdict, NotAcceptable)
		}
	}
	return verdict
}

// taking are the routes that take a path, whatever else they want.
func (rt *Router) taking(path string) []*Route {
	s := search{path: path, gather: true}
	for _, root := range rt.roots {
		s.find(root, 1)
	}
	return s.there
}

// Allow is the value of the Allow field for a path (RFC 9110, section 10.2.1):
// the methods of all routes that take it, with HEAD where there is GET, and
// OPTIONS, which the gateway itself answers.
func (rt *Router) Allow(u *url.URL) string {
	path, ok := routingPath(u)
	if !ok {
		return ""
	}
	var methods []string
	for _, r := range rt.taking(path) {
		methods = append(methods, r.Method)
	}
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
