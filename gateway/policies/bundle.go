package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// Catalog is the policies in their order, outermost first. The zero Catalog has
// none.
type Catalog struct{ kinds []Kind }

// NewCatalog refuses two kinds of one name, and every kind that says too little
// of itself.
func NewCatalog(kinds ...Kind) (Catalog, error) {
	var faults []error
	for i, k := range kinds {
		if err := k.Check(); err != nil {
			faults = append(faults, err)
		}
		if k.Why == "" {
			faults = append(faults, fmt.Errorf("policy %s: no reason for its place", k.Name))
		}
		if slices.ContainsFunc(kinds[:i], func(other Kind) bool { return other.Name == k.Name }) {
			faults = append(faults, fmt.Errorf("two policies are called %s", k.Name))
		}
	}
	return Catalog{kinds}, errors.Join(faults...)
}

// Kinds are the policies in their order, outermost first.
func (c Catalog) Kinds() []Kind { return c.kinds }

// Names are the keys of the policies in their order.
func (c Catalog) Names() []string {
	names := make([]string, len(c.kinds))
	for i, k := range c.kinds {
		names[i] = k.Name
	}
	return names
}

// place is where a policy stands in the order, or -1.
func (c Catalog) place(name string) int {
	return slices.IndexFunc(c.kinds, func(k Kind) bool { return k.Name == name })
}

// Has reports whether there is a policy of this name.
func (c Catalog) Has(name string) bool { return c.place(name) >= 0 }

// Schema describes a bundle.
func (c Catalog) Schema() *dsl.Schema {
	s := &dsl.Schema{Type: dsl.ObjectType, Doc: "A bundle of policies. They have one order, which is not that in which they are written.", Expands: true}
	for _, k := range c.kinds {
		s.Fields = append(s.Fields, dsl.Property{Key: k.Name, Schema: k.Schema()})
	}
	return s
}

// Bundle is policies that are written together, compiled. It is immutable but
// for what is kept.
type Bundle struct {
	Whose  string // in words: gateway public, bundle partners, flow orders
	Span   dsl.Span
	Places []engine.Place // what the policies need for longer than a request

	entries []*entry
	own     bool // it stands at a route
}

// reviewed is what the policy has against routes, or nil.
func (e *entry) reviewed(own bool) func(route *gateway.Route, r dsl.Reporter) {
	if e.review == nil {
		return nil
	}
	return func(route *gateway.Route, r dsl.Reporter) { e.review(route, own, r) }
}

// entry is one policy of a bundle.
type entry struct {
	kind Kind
	key  *dsl.Node
	at   *dsl.Node
	// value is what stands there, with variables and secrets in their places.
	value  *dsl.Node
	wrap   gateway.Middleware // nil: it has a fault
	asks   bool               // its expressions read who calls
	ways   []string           // in which it finds out who calls
	claims dsl.Span           // where it tells callers apart by what they say themselves; zero: it does not
	detail string             // what it does, in a few words
	review func(route *gateway.Route, own bool, r dsl.Reporter)
	// certificate is where it asks for the certificate of a client; zero: it does
	// not. proxied says that trusted proxies tell of it.
	certificate dsl.Span
	proxied     bool
	// incurious says that it does not find out who calls, as it is set, though its
	// kind can.
	incurious bool
	// scheme is how the field Authorization of every request has to begin that it
	// lets in; "": it does not ask for one.
	scheme string
	paths  []dsl.String // that are its own
}

// Where says what a bundle applies to.
type Where struct {
	Whose string // in words
	// Params are the variables of the path, where it is the path of one route.
	Params []string
	Route  bool
}

// Compile compiles the bundle that stands at n, and reports every fault.
func (c Catalog) Compile(lang *Language, n *dsl.Node, where Where, r dsl.Reporter) *Bundle {
	b := &Bundle{Whose: where.Whose, Span: n.Span, own: where.Route}
	if n.Broken() {
		return b
	}
	if n.Kind != dsl.Map {
		r.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "a bundle of policies is a mapping, not " + n.Describe(),
			Hint: "write the name of each policy with a colon, and its settings below it"})
		return b
	}
	var far *dsl.Denied
	if !where.Route {
		far = &dsl.Denied{Message: "a policy that applies to several routes does not know the variables of their paths", Hint: "write it at the trigger of the route, in policies"}
	}
	for _, f := range n.Fields {
		place := c.place(f.Key.Text)
		if place < 0 {
			d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-policy", Message: fmt.Sprintf("there is no policy %q", f.Key.Text), Hint: "the policies are " + strings.Join(c.Names(), ", ")}
			d.Suggest(f.Key.Text, c.Names())
			r.Report(d)
			continue
		}
		kind := c.kinds[place]
		e := &entry{kind: kind, key: f.Key, at: f.Value}
		b.entries = append(b.entries, e)
		compiler := &Compiler{Reporter: r, lang: lang, catalog: c, exprs: dsl.NewExpressions(r), bundle: b, entry: e}
		compiler.exprs.Index = lang.Index
		compiler.scope = newScope(lang, where.Params, far, &e.asks)
		e.value = kind.Expand(f.Value, r, lang.Env, lang.Secret, lang.Index)
		e.wrap, _ = kind.Compile(compiler, e.value)
		compiler.exprs.Close()
	}
	slices.SortStableFunc(b.entries, func(a, x *entry) int { return c.place(a.kind.Name) - c.place(x.kind.Name) })
	return b
}

// Applied are the policies of one route, or of what a gateway has no route for.
type Applied struct {
	Layers     []gateway.Layer // outermost first
	Identified bool            // one of them finds out who calls
	// Believing are the places where one of them tells callers apart by what they
	// say of themselves.
	Believing []dsl.Span
	// Certificates are the places where one of them asks for the certificate that a
	// client shows on its connection, Passed those where trusted proxies pass it on.
	Certificates, Passed []dsl.Span
	// Owned are the paths that belong to one of them.
	Owned []Owned
}

// Owned is a path of a gateway that no flow is for, but a policy itself.
type Owned struct {
	Path   dsl.String
	Policy string // its key

	entry *entry
	whose string
}

// Reach are the layers that requests for an owned path go through: those of the
// gateway that stand outside of the policy and do not ask who calls, and itself.
func (c Catalog) Reach(gatewayOf []*Bundle, own Owned) []gateway.Layer {
	place := c.place(own.entry.kind.Name)
	var outer []*entry
	from := map[*entry]string{own.entry: own.whose}
	for _, b := range gatewayOf {
		for _, e := range b.entries {
			if e.wrap != nil && !e.kind.Identifies && c.place(e.kind.Name) < place {
				outer, from[e] = append(outer, e), b.Whose
			}
		}
	}
	slices.SortStableFunc(outer, func(a, x *entry) int { return c.place(a.kind.Name) - c.place(x.kind.Name) })
	var layers []gateway.Layer
	for _, e := range append(outer, own.entry) {
		layers = append(layers, e.layer(from[e]))
	}
	return layers
}

func (e *entry) layer(from string) gateway.Layer {
	return gateway.Layer{Policy: e.kind.Name, From: from, Span: e.key.Span, Detail: e.detail, Wrap: e.wrap, Preflight: e.kind.Preflight, Identifies: e.ways}
}

// Apply puts bundles together, those of the gateway first. Of each policy the
// nearest applies, but for those that apply together. The policies of the gateway
// that are named in without do not. at is the route or the gateway, and says which.
func (c Catalog) Apply(gatewayOf, route []*Bundle, without []dsl.String, at dsl.Related, r dsl.Reporter) Applied {
	type found struct {
		*entry
		bundle *Bundle
		level  int
	}
	byPlace := make([][]found, len(c.kinds))
	var had []string
	for level, bundles := range [][]*Bundle{gatewayOf, route} {
		for _, b := range bundles {
			for _, e := range b.entries {
				p := c.place(e.kind.Name)
				if level == 0 {
					had = append(had, e.kind.Name)
					if slices.ContainsFunc(without, func(w dsl.String) bool { return w.Value == e.kind.Name }) {
						continue
					}
				}
				if k := len(byPlace[p]); k > 0 && !e.kind.Together {
					if last := byPlace[p][k-1]; last.level == level && last.entry != e {
						r.Report(dsl.Diagnostic{Span: e.key.Span, Code: "policy-twice",
							Message: fmt.Sprintf("%s has the policy %s, and so has %s, which applies beside it", b.Whose, e.kind.Name, last.bundle.Whose),
							Hint:    "leave out one of them: bundles have no order that could choose",
							Related: []dsl.Related{{Span: last.key.Span, Message: "the other one"}, {Span: at.Span, Message: "where both apply"}}})
						continue
					}
					byPlace[p] = nil
				}
				byPlace[p] = append(byPlace[p], found{e, b, level})
			}
		}
	}
	for _, w := range without {
		if !slices.Contains(had, w.Value) {
			d := dsl.Diagnostic{Span: w.Span, Code: "unknown-policy", Message: fmt.Sprintf("the gateway has no policy %q that could be left out", w.Value), Hint: "remove it"}
			d.Suggest(w.Value, had)
			r.Report(d)
		}
	}
	var out Applied
	var first *entry // that asks for a field Authorization
	for _, all := range byPlace {
		for _, f := range all {
			if first != nil && f.scheme != "" && f.scheme != first.scheme {
				r.Report(dsl.Diagnostic{Span: f.key.Span, Code: "bad-policy",
					Message: fmt.Sprintf("nobody comes in: %s asks for Authorization: %s, and %s for Authorization: %s", first.kind.Name, first.scheme, f.kind.Name, f.scheme),
					Hint:    fmt.Sprintf("if one of them is enough, write any_of: { of: [%s: ..., %s: ...] }", first.kind.Name, f.kind.Name),
					Related: []dsl.Related{{Span: first.key.Span, Message: "the other one"}, at}})
			} else if f.scheme != "" {
				first = f.entry
			}
			if f.kind.Identifies && !f.incurious {
				out.Identified = true
			}
			if f.asks && !out.Identified {
				r.Report(dsl.Diagnostic{Span: f.key.Span, Code: engine.Anonymous.Code, Message: fmt.Sprintf("%s asks who calls, and %s", f.kind.Name, engine.Anonymous.Message),
					Hint: engine.Anonymous.Hint, Related: []dsl.Related{at}})
			}
			if f.claims.Source != nil {
				out.Believing = append(out.Believing, f.claims)
			}
			switch {
			case f.certificate.Source == nil:
			case f.proxied:
				out.Passed = append(out.Passed, f.certificate)
			default:
				out.Certificates = append(out.Certificates, f.certificate)
			}
			if f.wrap != nil {
				l := f.layer(f.bundle.Whose)
				l.Review = f.reviewed(f.bundle.own)
				out.Layers = append(out.Layers, l)
				for _, path := range f.paths {
					out.Owned = append(out.Owned, Owned{path, f.kind.Name, f.entry, f.bundle.Whose})
				}
			}
		}
	}
	return out
}
