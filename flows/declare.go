package flows

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// Sections are the top-level keys of a document that is no flow.
var Sections = []string{"services", "gateways", "policies", "tests", "imports"}

// planned are sections of the language that this version does not have.
var planned = []string{"functions"}

func (c *checker) declare(doc *dsl.Node) {
	if doc.Broken() {
		c.partial = true
		return
	}
	if doc.Kind != dsl.Map {
		c.ds.Report(dsl.Diagnostic{Span: doc.KeySpan(), Code: "wrong-type", Message: "a document is a mapping, not " + doc.Describe(),
			Hint: "begin it with flow: name, or with services: or gateways:"})
		return
	}
	if name := doc.Field("flow"); name != nil {
		if len(c.only) == 0 || slices.Contains(c.only, name.Text) {
			c.declareFlow(c.alone(doc))
		}
		return
	}
	if doc.Field("template") != nil {
		c.declareTemplate(c.alone(doc))
		return
	}
	if steps, trigger := doc.Field("steps"), doc.Field("trigger"); steps != nil || trigger != nil {
		c.ds.Report(dsl.Diagnostic{Span: doc.KeySpan(), Code: "missing-key", Message: "this flow has no name", Hint: "add flow: name"})
		c.partial = true
		return
	}
	for _, f := range doc.Fields {
		c.section(f)
	}
}

// alone takes what is not of it out of the document of a flow or a template, and
// declares other sections.
func (c *checker) alone(doc *dsl.Node) *dsl.Node {
	what := "flow"
	if doc.Field(what) == nil {
		what = "template"
	}
	mixed := func(f dsl.Field) bool {
		return slices.Contains(Sections, f.Key.Text) || slices.Contains(planned, f.Key.Text) || f.Key.Text == "template" && what == "flow"
	}
	if !slices.ContainsFunc(doc.Fields, mixed) {
		return doc
	}
	own := *doc
	own.Fields = nil
	for i, f := range doc.Fields {
		if !mixed(f) {
			own.Fields = append(own.Fields, f)
			continue
		}
		d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: fmt.Sprintf("%s cannot stand in the document of a %s", f.Key.Text, what),
			Hint: "put it into a document of its own, behind a line ---"}
		_, column := f.Key.Span.Position()
		if line, _ := doc.Span.Position(); column == 1 && line > 0 && i > 0 && !slices.ContainsFunc(doc.Fields[i:], func(f dsl.Field) bool { return !mixed(f) }) {
			d.Mend("begin a document of its own", dsl.Edit{Span: dsl.Span{Source: f.Key.Span.Source, Start: f.Key.Span.Start, End: f.Key.Span.Start}, New: "---\n"})
		}
		c.ds.Report(d)
		if slices.Contains(Sections, f.Key.Text) {
			c.section(f)
		}
	}
	return &own
}

func (c *checker) section(f dsl.Field) {
	switch name := f.Key.Text; {
	case name == "services":
		c.entries(f, "service", func(name dsl.String, n *dsl.Node) {
			s, ok := connectors.ServiceKind.Compile(&c.ds, dsl.Expand(n, &c.ds, c.env.Env, c.secret, c.env.Index))
			if !ok {
				s = &connectors.Service{}
			}
			s.Name = name
			c.program.Services = append(c.program.Services, s)
		})
	case name == "gateways":
		c.entries(f, "gateway", func(name dsl.String, n *dsl.Node) {
			g, ok := GatewayKind.Compile(c.tellsPolicies(&c.ds), GatewayKind.Expand(n, &c.ds, c.env.Env, c.secret, c.env.Index))
			if !ok {
				g = &Gateway{}
			}
			g.Name = name
			c.program.Gateways = append(c.program.Gateways, g)
		})
	case name == "policies":
		c.entries(f, "policies", c.declareBundle)
	case name == "tests":
		c.tests(f)
	case name == "imports":
		c.imports(f)
	case name == "templates":
		c.partial = true
		c.ds.Report(dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: "there is no section templates", Hint: "begin a document of its own for each, with template: name"})
	case slices.Contains(planned, name):
		c.ds.Report(dsl.Diagnostic{Span: f.Key.Span, Code: "unsupported-section", Message: fmt.Sprintf("this version of Weir does not have %s", name),
			Hint: "remove the section; flow, services and gateways are there"})
	default:
		d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: fmt.Sprintf("unknown section %q", name), Hint: "a document holds a flow, a template, or sections: " + strings.Join(Sections, ", ")}
		if c.catalog.Policies.Has(name) {
			d.Hint = fmt.Sprintf("%s is a policy: write it in a bundle, policies: { NAME: { %s: ... } }, or at a gateway or a trigger", name, name)
			c.ds.Report(d)
			return
		}
		if _, ok := d.SuggestWord(name, append([]string{"flow", "template"}, Sections...)); ok {
			c.partial = true
		}
		c.ds.Report(d)
	}
}

func (c *checker) declareFlow(doc *dsl.Node) {
	f := engine.DeclareFlow(doc, c.tellsPolicies(&c.ds))
	if f == nil {
		c.partial = true
	} else if c.unique("flow", f.Name) {
		c.program.Flows = append(c.program.Flows, f)
	}
}

func (c *checker) declareTemplate(doc *dsl.Node) {
	t := engine.DeclareTemplate(doc, &c.ds)
	if t == nil {
		c.partial = true
	} else if c.unique("template", t.Name) {
		c.templates = append(c.templates, t)
	}
}

// entries declares the named things of a section.
func (c *checker) entries(section dsl.Field, noun string, declare func(name dsl.String, n *dsl.Node)) {
	if v := section.Value; v.Kind != dsl.Map {
		c.partial = true
		if !v.Broken() {
			c.ds.Report(dsl.Diagnostic{Span: section.Key.Span, Code: "wrong-type", Message: fmt.Sprintf("%s is a mapping of name to %s, not %s", section.Key.Text, noun, v.Describe()),
				Hint: fmt.Sprintf("write the name of each %s with a colon, and what it is below", noun)})
		}
		return
	}
	for _, f := range section.Value.Fields {
		name := dsl.String{Value: f.Key.Text, Span: f.Key.Span}
		if c.unique(noun, name) {
			declare(name, f.Value)
		}
	}
}

// unique reports a second thing of one name, showing both.
func (c *checker) unique(noun string, name dsl.String) bool {
	if c.env.Index != nil {
		c.env.Index.Define(noun, name)
	}
	key := noun + " " + name.Value
	if at, taken := c.defined[key]; taken {
		c.ds.Report(dsl.Diagnostic{Span: name.Span, Code: "duplicate-" + noun, Message: fmt.Sprintf("there are two %ss named %q", noun, name.Value),
			Hint: "rename one of them", Related: []dsl.Related{{Span: at, Message: "the other one"}}})
		return false
	}
	c.defined[key] = name.Span
	return true
}
