// Package openapi reads OpenAPI documents, versions 3.0 and 3.1, as far as calls,
// mocks and requests can be checked against them: paths, parameters, bodies, and
// what is known of the answers. It reads nodes with places, so that a fault can show where the
// document says otherwise.
package openapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Document is what one OpenAPI document says. It is immutable and safe for
// concurrent use.
type Document struct {
	Title      string
	Version    string   // such as 3.1.0
	Servers    []string // URLs, with the defaults of their variables
	Operations []*Operation

	docs  *schema.Documents
	paths []*path
	bases []string // the paths of Servers, without a slash at the end
}

// path is one entry of paths.
type path struct {
	template string
	segments []string
	methods  []*Operation
}

// Operation is one method of one path.
type Operation struct {
	Method, Path string
	ID, Summary  string
	Parameters   []Parameter // those of the path item, too
	At           dsl.Span    // of the method

	document *Document
	self     place
}

// Parameter is one parameter of an operation.
type Parameter struct {
	Name     string
	In       string // path, query, header or cookie
	Required bool
	Schema   *dsl.Node // nil: there is none
	Type     *dsl.StaticType
	Text     string // what it is for

	self    place
	content place  // of its only media type, if it is JSON
	style   string // how it is written as text (OpenAPI 3.1, section 4.8.12.2)
	explode bool
}

// place is a node, and the root that references in it start at.
type place struct{ node, root *dsl.Node }

// field is a part of the place; a place without a node has none.
func (p place) field(key string) place { return place{p.node.Field(key), p.root} }

func (p place) text(key string) string {
	if n := p.node.Field(key); n != nil && n.Kind == dsl.Scalar {
		return n.Text
	}
	return ""
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// Read reads a document. It gives nil after reporting that it is none.
func Read(root *dsl.Node, docs *schema.Documents, r dsl.Reporter) *Document {
	d := &Document{docs: docs}
	top := place{root, root}
	d.Version = top.text("openapi")
	if !strings.HasPrefix(d.Version, "3.") {
		x := dsl.Diagnostic{Span: root.KeySpan(), Code: "bad-openapi", Message: "this file is not an OpenAPI document", Hint: "it begins with openapi: 3.1.0, or 3.0"}
		if n := root.Field("openapi"); n != nil {
			x.Span, x.Message = n.Span, fmt.Sprintf("version %s of OpenAPI is not known", d.Version)
		} else if n := root.Field("swagger"); n != nil {
			x.Span, x.Message, x.Hint = n.Span, "this is a document of Swagger, which came before OpenAPI 3", "convert it to OpenAPI 3"
		}
		r.Report(x)
		return nil
	}
	d.Title = top.field("info").text("title")
	if servers := root.Field("servers"); servers != nil {
		for _, item := range servers.Items {
			d.addServer(place{item, root})
		}
	}
	paths := root.Field("paths")
	if paths == nil {
		return d
	}
	for _, f := range paths.Fields {
		item := d.follow(place{f.Value, root}, r)
		if item.node == nil || !strings.HasPrefix(f.Key.Text, "/") {
			continue
		}
		p := &path{template: f.Key.Text, segments: split(f.Key.Text)}
		d.paths = append(d.paths, p)
		for _, m := range item.node.Fields {
			if !slices.Contains(methods, m.Key.Text) || m.Value.Kind != dsl.Map {
				continue
			}
			op := &Operation{Method: strings.ToUpper(m.Key.Text), Path: p.template, At: m.Key.Span, document: d, self: place{m.Value, item.root}}
			op.ID, op.Summary = op.self.text("operationId"), op.self.text("summary")
			op.parameters(item, r)
			p.methods = append(p.methods, op)
			d.Operations = append(d.Operations, op)
		}
	}
	return d
}

// Bases are what can stand before the paths of the document: nothing, and the paths
// of its servers.
func (d *Document) Bases() []string { return append([]string{""}, d.bases...) }

func (d *Document) addServer(s place) {
	address := s.text("url")
	variables := s.field("variables")
	if variables.node != nil {
		for _, f := range variables.node.Fields {
			address = strings.ReplaceAll(address, "{"+f.Key.Text+"}", place{f.Value, s.root}.text("default"))
		}
	}
	d.Servers = append(d.Servers, address)
	if _, rest, ok := strings.Cut(address, "://"); ok {
		_, base, _ := strings.Cut(rest, "/")
		address = "/" + base
	}
	if address = strings.TrimSuffix(address, "/"); address != "" {
		d.bases = append(d.bases, address)
	}
}

// follow gives what a reference means, or the place itself. A reference to
// nothing is a warning: the document is somebody else's.
func (d *Document) follow(p place, r dsl.Reporter) place {
	for range 16 {
		ref := p.node.Field("$ref")
		if ref == nil {
			break
		}
		target, root, why := d.docs.Follow(ref, p.root)
		if target == nil {
			if why == "" {
				why = "this reference cannot be followed"
			}
			r.Report(dsl.Diagnostic{Span: ref.Span, Severity: dsl.Warning, Code: "unknown-reference", Message: why, Hint: "what it refers to is not checked; correct the document"})
			return place{}
		}
		p = place{target, root}
	}
	return p
}

// parameters takes those of the operation, and those of its path that it does
// not have itself.
func (o *Operation) parameters(item place, r dsl.Reporter) {
	for _, owner := range []place{o.self, item} {
		list := owner.field("parameters")
		if list.node == nil {
			continue
		}
		for _, n := range list.node.Items {
			p := o.document.follow(place{n, list.root}, r)
			if p.node == nil {
				continue
			}
			x := Parameter{Name: p.text("name"), In: p.text("in"), Required: p.text("required") == "true", Text: p.text("description")}
			if slices.ContainsFunc(o.Parameters, func(y Parameter) bool { return y.Name == x.Name && y.In == x.In }) {
				continue
			}
			if s := p.field("schema"); s.node != nil {
				x.self, x.Schema, x.Type = s, s.node, o.document.docs.Type(s.node, s.root)
			} else if s, ok := jsonOf(p.field("content")); ok {
				x.content = s
			}
			x.style, x.explode = styleOf(p, x.In)
			o.Parameters = append(o.Parameters, x)
		}
	}
}

// styleOf is how a parameter is written. Those of the query and of cookies repeat
// their name for each value, unless explode says otherwise.
func styleOf(p place, in string) (style string, explode bool) {
	style = p.text("style")
	if style == "" {
		style = map[string]string{"query": "form", "cookie": "form"}[in]
		if style == "" {
			style = "simple"
		}
	}
	explode = style == "form"
	if text := p.text("explode"); text != "" {
		explode = text == "true"
	}
	return style, explode
}

// Body is what a request of the operation sends.
type Body struct {
	Declared bool
	Required bool
	JSON     bool // there is a form of it in JSON
	Schema   *dsl.Node
	Type     *dsl.StaticType // of the JSON
}

// Body tells what the operation takes.
func (o *Operation) Body() Body {
	p := o.document.follow(o.self.field("requestBody"), silent{})
	if p.node == nil {
		return Body{}
	}
	b := Body{Declared: true, Required: p.text("required") == "true"}
	if s, ok := jsonOf(p.field("content")); ok {
		b.JSON = true
		if s.node != nil {
			b.Schema, b.Type = s.node, o.document.docs.Type(s.node, s.root)
		}
	}
	return b
}

// silent takes faults that are reported elsewhere.
type silent struct{}

// Report is what dsl.Reporter asks for.
func (silent) Report(dsl.Diagnostic) {}

// jsonOf gives the schema of the JSON in a content; ok is false if there is no
// JSON.
func jsonOf(content place) (s place, ok bool) {
	if content.node == nil {
		return place{}, false
	}
	for _, f := range content.node.Fields {
		media, _, _ := strings.Cut(f.Key.Text, ";")
		media = strings.TrimSpace(media)
		if media == "application/json" || strings.HasSuffix(media, "+json") || media == "*/*" || media == "application/*" {
			return place{f.Value, content.root}.field("schema"), true
		}
	}
	return place{}, false
}

// Result is what is known of the body of an answer that is no failure: one with
// a status below 400, or one of those accepted.
func (o *Operation) Result(accepted []int) *dsl.StaticType {
	responses := o.self.field("responses")
	if responses.node == nil || o.Method == "HEAD" {
		return nil
	}
	var all *dsl.StaticType
	found := false
	add := func(p place) {
		t := o.answer(p)
		if found {
			t = dsl.Join(all, t)
		}
		all, found = t, true
	}
	for _, f := range responses.node.Fields {
		if strings.HasPrefix(f.Key.Text, "2") {
			add(place{f.Value, responses.root})
		}
	}
	other := responses.field("default")
	if !found && other.node != nil {
		add(other)
	}
	if !found {
		return nil
	}
	for _, status := range accepted {
		code := strconv.Itoa(status)
		if p := responses.field(code); p.node != nil {
			add(p)
		} else if p := responses.field(code[:1] + "XX"); p.node != nil {
			add(p)
		}
	}
	return all
}

// answer is the type of one response.
func (o *Operation) answer(p place) *dsl.StaticType {
	if p = o.document.follow(p, silent{}); p.node == nil {
		return nil
	}
	content := p.field("content")
	if content.node == nil || len(content.node.Fields) == 0 {
		return dsl.Static(dsl.IsNull)
	}
	s, ok := jsonOf(content)
	if ok {
		return o.document.docs.Type(s.node, s.root)
	}
	if len(content.node.Fields) == 1 && strings.HasPrefix(content.node.Fields[0].Key.Text, "text/") {
		return dsl.Static(dsl.IsText)
	}
	return nil
}

// Success is the status of an answer of success that comes first in the
// document, 200 if there is none.
func (o *Operation) Success() int {
	if responses := o.self.node.Field("responses"); responses != nil {
		for _, f := range responses.Fields {
			if n, err := strconv.Atoi(f.Key.Text); err == nil && 200 <= n && n < 300 {
				return n
			}
		}
	}
	return 200
}
