package suite

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// mock stands for a service, or for a step.
type mock struct {
	name    string   // as expectations call it: a service, or steps.ID
	step    string   // the id of the step; "" for a service
	at      dsl.Span // of the name
	raced   bool     // only branches of races ask for it
	answers []*answer
	cases   bool // the first that fits answers, and not one after the other
}

// unused are the mocks of a test that nobody asked, and that are not optional.
// Where a step fails, or a race is won, others are given up, which may have asked
// or not: such a run says nothing of what is not asked.
func (p *player) unused() (faults []dsl.Diagnostic) {
	for _, m := range p.test.mocks {
		if p.asked[m] == 0 && !p.stumbled && !m.raced && !slices.ContainsFunc(m.answers, func(a *answer) bool { return a.optional }) {
			faults = append(faults, dsl.Diagnostic{Span: m.at, Code: "unused-mock", Message: "nothing asks for the mock of " + m.name,
				Hint: "remove it; write optional: true in it if it is for --faults, or for some values of env only"})
		}
	}
	return faults
}

// answer is what a mock gives once.
type answer struct {
	at      dsl.Span
	router  *gateway.Router // of when, if that is METHOD /path
	when    *dsl.Expr       // of when, if that is a condition
	sent    *sentPattern
	status  int
	headers []header
	body    *dsl.ShapeTemplate
	delay   time.Duration
	fail    string

	optional     bool
	undocumented bool
	contract     *contract // nil: which operation it is of is known when it is asked
	settled      bool      // all of it was held against the contract
	statusAt     dsl.Span  // of the status, if it is written
	bodyNode     *dsl.Node // nil: there is no body
}

type header struct {
	name  string
	value *dsl.ShapeTemplate
}

// sentPattern is what a request must be.
type sentPattern struct {
	method, path   *pattern
	query, headers []fieldPattern
	body           *pattern
	exact          bool
}

// mock compiles one entry of mock.
func (c *checker) mock(f dsl.Field) *mock {
	name := dsl.String{Value: f.Key.Text, Span: f.Key.Span}
	if !c.target(name) || f.Value.Broken() {
		return nil
	}
	m := &mock{name: name.Value, at: name.Span}
	calls := slices.DeleteFunc(slices.Clone(c.calls), func(call callSite) bool { return !call.of(m.name) })
	m.raced = len(calls) > 0 && !slices.ContainsFunc(calls, func(call callSite) bool { return !call.raced })
	m.step, _ = strings.CutPrefix(name.Value, "steps.")
	if m.step == name.Value {
		m.step = ""
	}
	entries := []*dsl.Node{f.Value}
	if f.Value.Kind == dsl.List {
		entries = f.Value.Items
	}
	if len(entries) == 0 {
		c.Report(dsl.Diagnostic{Span: f.Key.Span, Code: "empty-mock", Message: "this list has no mocks", Hint: "write what is answered, such as { body: { id: 1 } }"})
		return nil
	}
	m.cases = slices.ContainsFunc(entries, func(n *dsl.Node) bool { return n.Field("when") != nil })
	for i, n := range entries {
		if n.Kind != dsl.Map {
			if !n.Broken() {
				c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "a mock is a mapping, not " + n.Describe(), Hint: "write what is answered, such as { body: { id: 1 } } or { status: 503 }"})
			}
			return nil
		}
		if m.cases && i < len(entries)-1 && n.Field("when") == nil {
			c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "mixed-mocks", Message: "of mocks with when only the last can do without", Hint: "add when:, or move it to the end"})
		}
		if m.step != "" {
			for _, key := range []string{"when", "sent"} {
				if n := n.Field(key); n != nil {
					c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "misplaced-key", Message: key + " is about a request, and a mocked step sends none", Hint: "mock the service, or remove it"})
				}
			}
		}
		c.name = name.Value
		if a, ok := MockKind.Compile(c, n); ok {
			m.answers = append(m.answers, a)
		}
	}
	return m
}

var routePattern = regexp.MustCompile(`^([A-Z]+)\s+(/.*)$`)

func compileMock(c *checker, at *dsl.Node, cfg *mockConfig) *answer {
	a := &answer{at: at.KeySpan(), status: cfg.Status, delay: time.Duration(cfg.Delay), fail: cfg.Fail, optional: cfg.Optional, undocumented: cfg.Undocumented}
	if n := at.Field("status"); n != nil {
		a.statusAt = n.Span
	}
	var unknown dsl.Reporter = c
	if cfg.Undocumented {
		unknown = &dsl.Diagnostics{}
	}
	a.contract = c.contractOf(cfg, unknown)
	scope := c.asked(cfg.When.Value, a.contract)
	if n := at.Field("when"); n != nil {
		if m := routePattern.FindStringSubmatch(cfg.When.Value); m != nil {
			method := m[1]
			if method == "ANY" {
				method = ""
			}
			a.router = gateway.NewRouter([]gateway.Route{{Method: method, Path: m[2], Span: cfg.When.Span, Name: c.name, Handler: http.NotFoundHandler()}}, c)
		} else {
			a.when = c.exprs.Condition(n, scope)
		}
	}
	if cfg.Sent != nil {
		a.sent = c.sent(at.Field("sent"), cfg.Sent, scope)
	}
	for _, name := range sortedKeys(cfg.Headers) {
		if n := cfg.Headers[name].Node; n != nil {
			if shape := c.exprs.Shape(n, scope); shape != nil {
				a.headers = append(a.headers, header{textproto.CanonicalMIMEHeaderKey(name), shape})
			}
		}
	}
	if n := cfg.Body.Node; n != nil {
		a.bodyNode, a.body = n, c.exprs.Shape(n, scope)
	}
	if a.fail == "" {
		c.keeps(a, at)
		return a
	}
	for _, key := range []string{"status", "headers", "body"} {
		if n := at.Field(key); n != nil {
			c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "misplaced-key", Message: key + " has no meaning where there is no answer", Hint: "remove it, or remove fail"})
		}
	}
	return a
}

func (c *checker) sent(at *dsl.Node, cfg *sentConfig, scope names) *sentPattern {
	scope.values = append([]string{it}, scope.values...)
	return &sentPattern{
		method: c.texty(cfg.Method.Node, scope), path: c.texty(cfg.Path.Node, scope),
		query: c.textFields(at.Field("query"), scope), headers: c.textFields(at.Field("headers"), scope),
		body: c.pattern(cfg.Body.Node, scope), exact: cfg.Exact,
	}
}

// texty compiles what is expected of a text: 20 stands for "20".
func (c *checker) texty(n *dsl.Node, scope names) *pattern {
	p := c.pattern(n, scope)
	if p == nil {
		return nil
	}
	for _, q := range append([]*pattern{p}, p.items...) {
		if texts := textsOf(q.value); len(texts) == 1 && q.cond == nil && q.kind == dsl.Scalar {
			q.value = texts[0]
		}
	}
	return p
}

func (c *checker) textFields(n *dsl.Node, scope names) (fields []fieldPattern) {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		if p := c.texty(f.Value, scope); p != nil {
			fields = append(fields, fieldPattern{f.Key.Text, p})
		}
	}
	return fields
}

// message is a request that a flow has sent.
type message struct {
	service string
	step    string // "" if it is not known
	span    dsl.Span
	method  string
	path    string
	query   map[string][]string
	header  http.Header
	body    engine.Value
	raw     *http.Request
}

// values are what expressions see of the request.
func (m *message) values() values {
	query := map[string]any{}
	for name, v := range m.query {
		query[name] = v[0]
	}
	return values{
		"params":  map[string]any{},
		"request": map[string]any{"method": m.method, "path": m.path},
		"query":   query,
		"headers": m.header,
		"body":    m.body.Decoded(),
	}
}

// choose finds the answer to the n-th request, counted from 0, and what its
// expressions see. It gives nil if none fits.
func (m *mock) choose(n int, sent *message) (*answer, values, error) {
	if !m.cases {
		return m.answers[min(n, len(m.answers)-1)], sent.values(), nil
	}
	for _, a := range m.answers {
		env := sent.values()
		switch {
		case a.router != nil:
			found := a.router.Match(gateway.Asked{Method: sent.method, URL: sent.raw.URL}, nil)
			if found.Route == nil {
				continue
			}
			params := map[string]any{}
			for _, v := range found.Vars {
				params[v.Name] = v.Value
			}
			env["params"] = params
		case a.when != nil:
			fits, err := a.when.Bool(context.Background(), env)
			if err != nil {
				return nil, nil, err
			}
			if !fits {
				continue
			}
		}
		return a, env, nil
	}
	return nil, nil, nil
}

// judge compares a request with what the mock says was sent.
func (s *sentPattern) judge(sent *message, env values) []dsl.Diagnostic {
	m := &matcher{env: env, exact: s.exact}
	what := "the request to " + sent.service + ": "
	m.match(what+"method", s.method, sent.method)
	m.match(what+"path", s.path, sent.path)
	for _, f := range s.query {
		m.match(what+"query."+f.name, f.pattern, oneOrMany(f.pattern, sent.query[f.name]))
	}
	for _, f := range s.headers {
		m.match(what+"headers."+f.name, f.pattern, oneOrMany(f.pattern, sent.header.Values(f.name)))
	}
	m.match(what+"body", s.body, sent.body.Decoded())
	return m.faults
}

// oneOrMany is the values of a field as a pattern compares them: a list with a
// list, else all in one text (RFC 9110 section 5.3).
func oneOrMany(p *pattern, texts []string) any {
	if p.kind == dsl.List {
		list := []any{}
		for _, t := range texts {
			list = append(list, t)
		}
		return list
	}
	if len(texts) == 0 {
		return nil
	}
	return strings.Join(texts, ", ")
}

// given is the content of an answer as it goes out.
type given struct {
	header http.Header
	text   string // of the body
	ofStep bool   // it is the result of a step, which has no headers of its own
}

// give makes the answer to a request that has these values.
func (a *answer) give(env values) (*given, error) {
	header, body, err := a.render(env)
	if err != nil || a.body == nil {
		return &given{header: header}, err
	}
	text, media := body.JSON(), "application/json"
	if t, is := body.Text(); is {
		text, media = t, "text/plain; charset=utf-8"
	}
	if header["Content-Type"] == nil {
		header["Content-Type"] = []string{media}
	}
	return &given{header: header, text: text}, nil
}

// render is the content of an answer.
func (a *answer) render(env values) (header http.Header, body engine.Value, err error) {
	ctx := context.Background()
	header = http.Header{}
	for _, h := range a.headers {
		text, err := h.value.AppendJSON(ctx, env, nil)
		if err != nil {
			return nil, body, fmt.Errorf("header %s: %w", h.name, err)
		}
		header[h.name] = slices.Concat(header[h.name], textsOf(dsl.DecodeJSON(string(text))))
	}
	if a.body == nil {
		return header, body, nil
	}
	b, err := a.body.AppendJSON(ctx, env, nil)
	if err != nil {
		return nil, body, err
	}
	return header, written(b), nil
}

// written is what a shape has come to. Text stays text, as it does in flows.
func written(json []byte) engine.Value {
	if json[0] == '"' {
		return engine.Go(dsl.DecodeJSON(string(json)))
	}
	return engine.JSON(string(json))
}
