package flows

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/gateway/policies"
)

// bundle is a named bundle of policies.
type bundle struct {
	name dsl.String
	node *dsl.Node
	used bool
	made *policies.Bundle
}

// declareBundle keeps a bundle for later: bundles are compiled when all services
// are known.
func (c *checker) declareBundle(name dsl.String, n *dsl.Node) {
	c.bundles[name.Value] = &bundle{name: name, node: n}
}

// policyKeys tells who writes a policy beside other keys, or as a step, where it is
// written.
type policyKeys struct {
	dsl.Reporter
	has func(name string) bool
}

// Report implements dsl.Reporter.
func (p policyKeys) Report(d dsl.Diagnostic) {
	if d.Code == "unknown-key" || d.Code == "no-verb" {
		if name := d.Span.Text(); p.has(name) {
			d.Hint = fmt.Sprintf("%s is a policy: write it at a gateway or a trigger, as policies: [{ %s: ... }]", name, name)
		}
	}
	p.Reporter.Report(d)
}

// tellsPolicies is r, with hints for policies that stand where none can.
func (c *checker) tellsPolicies(r dsl.Reporter) dsl.Reporter {
	return policyKeys{r, c.catalog.Policies.Has}
}

// guard compiles the policies and says of each flow whether it knows who calls.
// It comes before flows are compiled, and after all else is declared.
func (c *checker) guard() {
	lang := &policies.Language{Env: c.env.Env, Secret: c.secret, Documents: c.documents, Index: c.env.Index, Log: c.env.Log, Service: c.serviceOf,
		MadeUp: c.env.Secrets == nil || c.env.Secrets.madeUp}
	for _, name := range slices.Sorted(maps.Keys(c.bundles)) {
		b := c.bundles[name]
		b.made = c.catalog.Policies.Compile(lang, b.node, policies.Where{Whose: "policies " + name}, &c.ds)
		c.program.bundles = append(c.program.bundles, b.made)
	}
	c.served, c.shown = map[*engine.Flow]served{}, map[dsl.Span]bool{}
	byName := map[string]*Gateway{}
	of := map[*Gateway][]*policies.Bundle{}
	for _, g := range c.program.Gateways {
		byName[g.Name.Value] = g
		of[g] = c.applied(lang, g.policies, policies.Where{Whose: "gateway " + g.Name.Value})
		unrouted := c.catalog.Policies.Apply(of[g], nil, nil, dsl.Related{Span: g.Name.Span, Message: "the gateway"}, &c.ds)
		g.Policies = unrouted.Layers
		c.certificatesOf(g, unrouted)
		c.own(g, of[g], unrouted)
	}
	for _, f := range c.program.Flows {
		if f.Trigger == nil || !f.Trigger.Sound() {
			continue
		}
		own := c.applied(lang, f.Trigger.Policies, policies.Where{Whose: "flow " + f.Name.Value, Params: f.Params(), Route: true})
		s := served{by: c.gatewayOf(f, byName)}
		if s.by == nil {
			f.Trigger.Identified = true // or not: it is not known
			continue
		}
		s.policies = c.catalog.Policies.Apply(of[s.by], own, f.Trigger.Without, dsl.Related{Span: f.Trigger.Span, Message: "the route"}, &c.ds)
		f.Trigger.Identified = s.policies.Identified || c.partial
		c.served[f] = s
		c.certificatesOf(s.by, s.policies)
		c.own(s.by, of[s.by], s.policies)
	}
	if !c.partial {
		c.unguardedWrites()
		c.limitsOfAnyone()
	}
}

// certificatesOf reports policies that ask for what no client of a gateway can
// show: they would let nobody in.
func (c *checker) certificatesOf(g *Gateway, applied policies.Applied) {
	asked := g.Connections.TLS != nil && g.Connections.TLS.Client != ""
	report := func(at []dsl.Span, message, hint string) {
		for _, span := range at {
			if !c.shown[span] {
				c.shown[span] = true
				c.ds.Report(dsl.Diagnostic{Span: span, Code: "no-client-certificates", Message: fmt.Sprintf(message, g.Name.Value), Hint: hint,
					Related: []dsl.Related{{Span: g.Name.Span, Message: "the gateway"}}})
			}
		}
	}
	if !asked {
		report(applied.Certificates, "gateway %s does not ask clients for certificates", "write client: require, or request, and client_ca in its tls")
	}
	if len(g.Connections.Proxies.Trusted) == 0 {
		report(applied.Passed, "gateway %s trusts no proxy that could pass certificates on", "write its networks as trusted_proxies of the gateway, or remove forwarded")
	}
}

// own gives a gateway the routes that belong to policies themselves.
func (c *checker) own(g *Gateway, of []*policies.Bundle, applied policies.Applied) {
	for _, o := range applied.Owned {
		name := o.Policy + " " + o.Path.Value
		if slices.ContainsFunc(g.routes, func(r gateway.Route) bool { return r.Name == name && r.Span == o.Path.Span }) {
			continue // of several flows that have the policy
		}
		g.routes = append(g.routes, gateway.Route{Gateway: g.Name.Value, Path: o.Path.Value, Span: o.Path.Span, Name: name,
			Handler: http.NotFoundHandler(), Layers: c.catalog.Policies.Reach(of, o)})
	}
}

// unguardedWrites warns of routes that change something for whoever asks, on a
// gateway that asks others who they are.
func (c *checker) unguardedWrites() {
	asks := map[*Gateway]*engine.Flow{} // the first that does
	for _, f := range c.program.Flows {
		if s, ok := c.served[f]; ok && s.policies.Identified && asks[s.by] == nil {
			asks[s.by] = f
		}
	}
	for _, f := range c.program.Flows {
		s, ok := c.served[f]
		if !ok || s.policies.Identified || asks[s.by] == nil || len(f.Trigger.Without) > 0 || !slices.Contains([]string{"POST", "PUT", "PATCH", "DELETE"}, f.Trigger.Method) {
			continue
		}
		if slices.ContainsFunc(s.policies.Layers, func(l gateway.Layer) bool {
			return l.Policy == "ip" || l.Policy == "authorize" || l.Policy == "ext_auth"
		}) {
			continue
		}
		by := "jwt"
		for _, l := range c.served[asks[s.by]].policies.Layers {
			if len(l.Identifies) > 0 {
				by = l.Policy
			}
		}
		c.ds.Report(dsl.Diagnostic{Span: f.Trigger.Span, Severity: dsl.Warning, Code: "unguarded-write",
			Message: fmt.Sprintf("anyone may send %s %s, while other routes of gateway %s find out who calls", f.Trigger.Method, f.Trigger.Path, s.by.Name.Value),
			Hint:    fmt.Sprintf("add %s to its policies; if it is for everyone, write %s at the gateway, and without: [%s] here", by, by, by),
			Related: []dsl.Related{{Span: asks[s.by].Trigger.Span, Message: "this one has " + by}}})
	}
}

// limitsOfAnyone warns of limits that whoever sends another header has anew.
func (c *checker) limitsOfAnyone() {
	told := map[dsl.Span]bool{}
	for _, f := range c.program.Flows {
		s, ok := c.served[f]
		if !ok || s.policies.Identified {
			continue
		}
		for _, at := range s.policies.Believing {
			if told[at] {
				continue
			}
			told[at] = true
			c.ds.Report(dsl.Diagnostic{Span: at, Severity: dsl.Warning, Code: "limit-by-claim", Message: "a caller that sends something else here has a limit of its own, as often as it likes",
				Hint: "leave out by, which counts by address, or add a policy that finds out who calls", Related: []dsl.Related{{Span: f.Trigger.Span, Message: "here nobody finds out who calls"}}})
		}
	}
}

// served is where a flow is served, and under which policies.
type served struct {
	by       *Gateway
	policies policies.Applied
}

// applied are the bundles of a list: those that it names, and those in it.
func (c *checker) applied(lang *policies.Language, items []*dsl.Node, where policies.Where) (all []*policies.Bundle) {
	for _, n := range items {
		switch {
		case n.Broken():
			c.partial = true
		case n.Kind == dsl.Map:
			made := c.catalog.Policies.Compile(lang, n, where, &c.ds)
			c.program.bundles = append(c.program.bundles, made)
			all = append(all, made)
		case n.Kind == dsl.Scalar:
			if b := c.bundleOf(dsl.String{Value: n.Text, Span: n.Span}); b != nil {
				all = append(all, b)
			}
		default:
			c.ds.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "an item of policies is a name or a mapping, not " + n.Describe(), Hint: "write the name of a bundle"})
		}
	}
	return all
}

func (c *checker) bundleOf(name dsl.String) *policies.Bundle {
	if c.env.Index != nil {
		c.env.Index.Use("policies", name, dsl.Span{})
	}
	if b := c.bundles[name.Value]; b != nil {
		b.used = true
		return b.made
	}
	if c.partial {
		return nil
	}
	d := dsl.Diagnostic{Span: name.Span, Code: "unknown-policies", Message: fmt.Sprintf("there is no bundle of policies %q", name.Value),
		Hint: "define it: policies: { " + name.Value + ": { ... } }"}
	if c.catalog.Policies.Has(name.Value) {
		d.Hint = fmt.Sprintf("%s is a policy: write { %s: { ... } }, or the name of a bundle that has it", name.Value, name.Value)
	}
	d.Suggest(name.Value, slices.Sorted(maps.Keys(c.bundles)))
	c.ds.Report(d)
	return nil
}

// serviceOf finds a service that a policy names. An origin is a service that
// nobody has to define: the policies that name it share it.
func (c *checker) serviceOf(name dsl.String, r dsl.Reporter) (client func() http.RoundTripper, ok bool) {
	if c.env.Index != nil && !strings.Contains(name.Value, "://") {
		c.env.Index.Use("service", name, dsl.Span{})
	}
	var known []string
	c.asked[name.Value] = true
	for _, s := range c.program.Services {
		if s.Name.Value == name.Value {
			return func() http.RoundTripper { return roundTripper{s} }, true
		}
		known = append(known, s.Name.Value)
	}
	if strings.Contains(name.Value, "://") {
		text := fmt.Sprintf("endpoints: [%q]", name.Value)
		for _, n := range dsl.Parse(dsl.NewSource(name.Value, text), &c.ds) {
			if s, ok := connectors.ServiceKind.Compile(&c.ds, n); ok {
				s.Name = name
				c.program.Services = append(c.program.Services, s)
				return func() http.RoundTripper { return roundTripper{s} }, true
			}
		}
		return nil, false
	}
	if !c.partial {
		d := dsl.Diagnostic{Span: name.Span, Code: "unknown-service", Message: fmt.Sprintf("there is no service %q", name.Value), Hint: "define it in services:"}
		d.Suggest(name.Value, known)
		r.Report(d)
	}
	return nil, false
}

// roundTripper is the client of a service, as policies know it.
type roundTripper struct{ service *connectors.Service }

// RoundTrip is what http.RoundTripper asks for.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.service.Client().RoundTrip(r)
}

// unusedBundles warns of bundles that nothing names.
func (c *checker) unusedBundles() {
	for _, name := range slices.Sorted(maps.Keys(c.bundles)) {
		if b := c.bundles[name]; !b.used && !c.program.Imported(b.name.Span) {
			c.ds.Report(dsl.Diagnostic{Span: b.name.Span, Severity: dsl.Warning, Code: "unused-policies", Message: fmt.Sprintf("nothing uses the policies %q", name),
				Hint: "name them in policies: of a gateway or a trigger, or remove them"})
		}
	}
}

// Layers are the policies of the route of a flow, outermost first.
func (p *Program) Layers(flow string) []gateway.Layer {
	for _, g := range p.Gateways {
		for i := range g.routes {
			if g.routes[i].Name == flow {
				return g.routes[i].Layers
			}
		}
	}
	return nil
}
