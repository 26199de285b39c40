package suite

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
)

// request is what a caller sends.
type request struct {
	method  string
	url     *url.URL
	header  http.Header
	body    []byte           // nil: none
	as      *engine.Consumer // nil: whoever the request says
	gateway string
	flow    string // that takes it; "" if none does
	host    string // that is asked; "" is any
}

// runInput is what a test runs a flow with.
type runInput struct{ with string } // JSON

// request compiles a request and finds the flow that takes it. It gives nil
// after reporting.
func (c *checker) request(cfg *requestConfig, expect *answerConfig) *request {
	at := cfg.Request
	method, target, _ := strings.Cut(at.Value, " ")
	target = strings.TrimSpace(target)
	u, err := url.ParseRequestURI(target)
	if err != nil || !strings.HasPrefix(target, "/") || strings.ToUpper(method) != method || strings.Contains(at.Value, "$(") || strings.ContainsAny(target, "{}") {
		d := dsl.Diagnostic{Span: at.Span, Code: "bad-request", Message: fmt.Sprintf("%q is not a request", at.Value), Hint: "write METHOD /path, for example GET /customers/7"}
		if strings.Contains(at.Value, "$(") || strings.Contains(target, "{") {
			d.Hint = "write the path as a caller does, for example GET /customers/7"
		}
		c.Report(d)
		return nil
	}
	r := &request{method: method, url: u, header: http.Header{}}
	query := u.Query()
	for _, name := range sortedKeys(cfg.Query) {
		query[name] = append(query[name], c.texts(cfg.Query[name])...)
	}
	u.RawQuery = query.Encode()
	for _, name := range sortedKeys(cfg.Headers) {
		key := textproto.CanonicalMIMEHeaderKey(name)
		r.header[key] = append(r.header[key], c.texts(cfg.Headers[name])...)
	}
	if n := cfg.Body.Node; n != nil {
		v, ok := c.constant(n)
		if !ok {
			return nil
		}
		media := "application/json"
		if text, is := v.Text(); is {
			r.body, media = []byte(text), "text/plain; charset=utf-8"
		} else {
			r.body = []byte(v.JSON())
		}
		if r.header["Content-Type"] == nil {
			r.header["Content-Type"] = []string{media}
		}
	}
	if !c.route(r, cfg, expect) {
		return nil
	}
	if cfg.As != nil && !c.caller(r, cfg) {
		return nil
	}
	return r
}

// caller compiles who sends a request.
func (c *checker) caller(r *request, of *requestConfig) bool {
	cfg := of.As
	r.as = &engine.Consumer{Name: cfg.Name.Value, By: cfg.By.Value, Plan: cfg.Plan}
	if n := cfg.Claims.Node; n != nil {
		v, ok := c.constant(n)
		if !ok {
			return false
		}
		claims, is := v.Decoded().(map[string]any)
		if !is {
			c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "claims are a mapping, not " + n.Describe(), Hint: "write claims: { sub: ada }"})
			return false
		}
		r.as.Claims = claims
	}
	if sub, ok := r.as.Claims["sub"].(string); ok && r.as.Name == "" {
		r.as.Name = sub
	}
	var known []string
	for _, l := range c.suite.Program.Layers(r.flow) {
		known = append(known, l.Identifies...)
	}
	d := dsl.Diagnostic{Span: cfg.By.Span, Code: engine.Anonymous.Code, Hint: engine.Anonymous.Hint}
	switch {
	case r.flow == "":
		return true
	case len(known) == 0:
		d.Message = engine.Anonymous.Message + ", so that nobody takes the test's word for it"
		if !d.Span.Valid() {
			d.Span = of.Request.Span
		}
	case cfg.By.Value != "" && !slices.Contains(known, cfg.By.Value):
		d.Message, d.Hint = fmt.Sprintf("no policy %s of this route finds out who calls", cfg.By.Value), "it is one of "+listed(known)
		d.Suggest(cfg.By.Value, known)
	default:
		return true
	}
	c.Report(d)
	return false
}

// constant is the value of a shape in which only the environment and secrets can be read.
func (c *checker) constant(n *dsl.Node) (engine.Value, bool) {
	shape := c.exprs.Shape(n, c.given)
	if shape == nil {
		return engine.Value{}, false
	}
	b, err := shape.AppendJSON(context.Background(), values{}, nil)
	if err != nil {
		c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-expression", Message: err.Error(), Hint: "only env and secret can be read here"})
		return engine.Value{}, false
	}
	return written(b), true
}

// texts are the values of a header or a parameter.
func (c *checker) texts(s dsl.Shape) (texts []string) {
	if s.Node == nil {
		return nil
	}
	if s.Node.Kind == dsl.Map {
		c.Report(dsl.Diagnostic{Span: s.Node.KeySpan(), Code: "wrong-type", Message: "this is text or a list of texts, not a mapping", Hint: "write one text"})
		return nil
	}
	v, ok := c.constant(s.Node)
	if !ok {
		return nil
	}
	return textsOf(v.Decoded())
}

// textsOf is a value as a header or a parameter carries it.
func textsOf(v any) (texts []string) {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		for _, item := range v {
			texts = append(texts, textsOf(item)...)
		}
		return texts
	}
	b, err := dsl.AppendText(nil, v)
	if err != nil {
		b = []byte(shown(v))
	}
	return []string{string(b)}
}

// route finds the gateway and the flow that a request goes to.
func (c *checker) route(r *request, cfg *requestConfig, expect *answerConfig) bool {
	gateways := c.suite.Program.Gateways
	if name := cfg.Gateway; name.Value != "" {
		c.uses("gateway", name, dsl.Span{})
		var known []string
		gateways = nil
		for _, g := range c.suite.Program.Gateways {
			known = append(known, g.Name.Value)
			if g.Name.Value == name.Value {
				gateways = []*flows.Gateway{g}
			}
		}
		if gateways == nil {
			d := dsl.Diagnostic{Span: name.Span, Code: "unknown-gateway", Message: fmt.Sprintf("there is no gateway %q", name.Value), Hint: "it is one of " + listed(known)}
			d.Suggest(name.Value, known)
			c.Report(d)
			return false
		}
	}
	var takers []string
	for _, g := range gateways {
		flow, host, ok := g.Match(r.header.Get("Host"), gateway.Asked{Method: r.method, URL: r.url, Header: r.header})
		if !ok {
			continue
		}
		takers = append(takers, g.Name.Value)
		r.flow, r.host, r.gateway = flow, host, g.Name.Value
	}
	switch {
	case len(takers) == 1:
		return true
	case len(takers) > 1:
		c.Report(dsl.Diagnostic{Span: cfg.Request.Span, Code: "several-gateways", Message: "several gateways take this request", Hint: "add gateway: " + strings.Join(takers, " or gateway: ")})
		return false
	}
	if !expect.refusal() {
		c.Report(dsl.Diagnostic{Span: cfg.Request.Span, Code: "unknown-route", Message: "no flow takes this request", Hint: c.nearestRoute(r)})
		return false
	}
	if len(gateways) != 1 {
		c.Report(dsl.Diagnostic{Span: cfg.Request.Span, Code: "several-gateways", Message: "no flow takes this request, and there are several gateways that could refuse it",
			Hint: "add gateway: and the one that gets it"})
		return false
	}
	r.gateway = gateways[0].Name.Value
	return true
}

// answer is what the answer must be; nil if nothing is said of it.
func (cfg *expectConfig) answer() *answerConfig {
	if cfg == nil {
		return nil
	}
	return &cfg.answerConfig
}

// refusal reports whether this is what a gateway answers where no flow is.
func (cfg *answerConfig) refusal() bool {
	if cfg == nil || cfg.Status.Node == nil {
		return false
	}
	switch cfg.Status.Node.Text {
	case "400", "404", "405", "501", "204":
		return true
	}
	return false
}

// nearestRoute names the route that a request may have been meant for.
func (c *checker) nearestRoute(r *request) string {
	var routes, filled []string
	for _, f := range c.suite.Program.Flows {
		if f.Trigger == nil || f.Trigger.Path == "" {
			continue
		}
		method := f.Trigger.Method
		if method == "" {
			method = r.method
		}
		routes = append(routes, method+" "+f.Trigger.Path)
		filled = append(filled, method+" "+fill(f.Trigger.Path, r.url.Path))
	}
	if i := slices.IndexFunc(filled, func(s string) bool { return strings.HasSuffix(s, " "+r.url.Path) }); i >= 0 {
		return "its path is that of " + routes[i]
	}
	if near, ok := dsl.Nearest(r.method+" "+r.url.Path, filled); ok {
		return "did you mean " + near + "?"
	}
	return "the routes are " + listed(routes) + "; a test of what the gateway answers expects status: 404 or 405"
}

// fill puts the segments of a path into the variables of a template.
func fill(template, path string) string {
	parts, segments := strings.Split(template, "/"), strings.Split(path, "/")
	if len(parts) != len(segments) {
		return template
	}
	for i, part := range parts {
		if strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") {
			parts[i] = segments[i]
		}
	}
	return strings.Join(parts, "/")
}

func (c *checker) find(flow string) *engine.Flow {
	for _, f := range c.suite.Program.Flows {
		if f.Name.Value == flow {
			return f
		}
	}
	return nil
}

// run compiles the run of a flow.
func (c *checker) run(t *Test, cfg *testConfig) bool {
	c.uses("flow", cfg.Run, dsl.Span{})
	flow := c.find(cfg.Run.Value)
	if flow == nil {
		var known []string
		for _, f := range c.suite.Program.Flows {
			if f.Trigger == nil {
				known = append(known, f.Name.Value)
			}
		}
		d := dsl.Diagnostic{Span: cfg.Run.Span, Code: "unknown-flow", Message: fmt.Sprintf("there is no flow %q", cfg.Run.Value), Hint: "the flows without a trigger are " + listed(known)}
		d.Suggest(cfg.Run.Value, known)
		c.Report(d)
		return false
	}
	if flow.Trigger != nil {
		c.Report(dsl.Diagnostic{Span: cfg.Run.Span, Code: "flow-has-trigger", Message: fmt.Sprintf("flow %q has a trigger", flow.Name.Value),
			Hint: "write request: METHOD /path", Related: []dsl.Related{{Span: flow.Trigger.Span, Message: "the trigger"}}})
		return false
	}
	t.Flow, c.flow = flow.Name.Value, flow
	with := []byte{'{'}
	inputs := flow.Inputs()
	sound := true
	for _, name := range sortedKeys(cfg.With) {
		if _, known := inputs[name]; known {
			continue
		}
		sound = false
		d := dsl.Diagnostic{Span: cfg.With[name].Node.KeySpan(), Code: "unknown-input", Message: fmt.Sprintf("flow %q takes no %q", flow.Name.Value, name),
			Hint: "it takes " + listed(sortedKeys(inputs))}
		d.Suggest(name, sortedKeys(inputs))
		c.Report(d)
	}
	for _, name := range sortedKeys(inputs) {
		value, given := cfg.With[name]
		if !given {
			value = inputs[name].Default
		}
		if value.Node == nil {
			if sound {
				c.Report(dsl.Diagnostic{Span: cfg.Run.Span, Code: "missing-input", Message: fmt.Sprintf("flow %q needs %q", flow.Name.Value, name), Hint: fmt.Sprintf("add with: { %s: ... }", name)})
			}
			sound = false
			continue
		}
		v, ok := c.constant(value.Node)
		if !ok {
			sound = false
			continue
		}
		if len(with) > 1 {
			with = append(with, ',')
		}
		with = append(dsl.AppendJSONString(with, name), ':')
		with = append(with, v.JSON()...)
	}
	t.run = &runInput{with: string(append(with, '}'))}
	return sound
}
