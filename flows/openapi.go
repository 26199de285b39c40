package flows

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/schema"
)

// Documents reads the files that a source refers to, and those that these refer
// to. known are files that were read already.
func Documents(from *dsl.Source, known ...*dsl.Source) (*schema.Documents, error) {
	_, docs, _, err := documents(append([]*dsl.Source{from}, known...), nil)
	if err != nil {
		return nil, err
	}
	return schema.NewDocuments(docs), nil
}

// OpenAPI describes the routes of a program that Check made of the draft, as an
// OpenAPI 3.1 document ready to be encoded as JSON. They are those of one
// gateway, or if it has no name of all.
func (d *Draft) OpenAPI(p *Program, gateway, title, version string) map[string]any {
	w := &describer{draft: d, names: map[*dsl.Node]string{}, schemas: map[string]any{}}
	paths := map[string]any{}
	for _, f := range p.Flows {
		if f.Trigger == nil || !f.Trigger.Sound() || gateway != "" && gateway != f.Trigger.Gateway.Value && (len(p.Gateways) > 1 || f.Trigger.Gateway.Value != "") {
			continue
		}
		doc := d.flow(f.Name.Value)
		if doc == nil {
			continue
		}
		methods := []string{strings.ToLower(f.Trigger.Method)}
		if methods[0] == "" {
			methods = []string{"get", "post", "put", "patch", "delete"}
		}
		for _, path := range pathsOf(p, f) {
			item, _ := paths[path.template].(map[string]any)
			if item == nil {
				item = map[string]any{}
				paths[path.template] = item
			}
			for _, m := range methods {
				if slices.Contains(described, m) && item[m] == nil {
					op := w.operation(f, doc, m, len(methods) > 1)
					if path.version != "" {
						op["operationId"] = fmt.Sprint(op["operationId"], "-", path.version)
					}
					item[m] = op
				}
			}
		}
	}
	out := map[string]any{
		"openapi": "3.1.0", "info": map[string]any{"title": title, "version": version}, "paths": paths,
		"components": map[string]any{"schemas": w.schemas},
	}
	w.schemas["Problem"] = problemSchema
	return out
}

// versionedPath is a path that a flow has.
type versionedPath struct{ template, version string }

// pathsOf are the paths of a flow: several, if it is of versions that the path
// says.
func pathsOf(p *Program, f *engine.Flow) (all []versionedPath) {
	for _, g := range p.Gateways {
		for _, r := range g.routes {
			if r.Name != f.Name.Value {
				continue
			}
			path := versionedPath{template: template(r.Path)}
			if r.Version != nil && r.Path != f.Trigger.Path {
				path.version = r.Version.Name
			}
			if !slices.ContainsFunc(all, func(other versionedPath) bool { return other.template == path.template }) {
				all = append(all, path)
			}
		}
	}
	return all
}

// described are the methods that OpenAPI has.
var described = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// flow finds the document of a flow.
func (d *Draft) flow(name string) *dsl.Node {
	for _, doc := range d.docs {
		if n := doc.Field("flow"); n != nil && n.Text == name {
			return doc
		}
	}
	return nil
}

var variablePattern = regexp.MustCompile(`\{([A-Za-z0-9_]+):(?:[^{}]|\{[^{}]*\})*\}`)

// template is a route as OpenAPI writes it: without patterns.
func template(path string) string { return variablePattern.ReplaceAllString(path, "{$1}") }

var variableName = regexp.MustCompile(`\{([A-Za-z0-9_]+)\}`)

// describer collects the schemas that operations share.
type describer struct {
	draft   *Draft
	names   map[*dsl.Node]string
	schemas map[string]any
}

func (w *describer) operation(f *engine.Flow, doc *dsl.Node, method string, several bool) map[string]any {
	op := map[string]any{"operationId": f.Name.Value}
	if several {
		op["operationId"] = f.Name.Value + "-" + method
	}
	if f.Summary != "" {
		op["summary"] = f.Summary
	}
	input := doc.Field("trigger").Field("input")
	var parameters []any
	for _, m := range variableName.FindAllStringSubmatch(template(f.Trigger.Path), -1) {
		s := any(map[string]any{"type": "string"})
		if n := input.Field("params").Field(m[1]); n != nil {
			s = w.schema(n, n)
		}
		parameters = append(parameters, map[string]any{"name": m[1], "in": "path", "required": true, "schema": s})
	}
	for _, m := range f.Trigger.Match {
		parameters = append(parameters, matched(m)...)
	}
	for _, part := range []struct{ key, in string }{{"query", "query"}, {"headers", "header"}} {
		parameters = append(parameters, w.parameters(input.Field(part.key), part.in)...)
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if body := input.Field("body"); body != nil {
		op["requestBody"] = map[string]any{"required": true, "content": content("application/json", w.schema(body, body))}
	}
	op["responses"] = w.responses(doc, input != nil)
	return op
}

// matched is a condition of a route as a parameter. OpenAPI leaves Accept and
// Content-Type to other parts of a document.
func matched(m engine.Match) []any {
	if m.Header && (strings.EqualFold(m.Name, "Accept") || strings.EqualFold(m.Name, "Content-Type")) || m.Present != nil && !*m.Present {
		return nil
	}
	s := map[string]any{"type": "string"}
	if len(m.Is) > 0 {
		s["enum"] = m.Is
	}
	if m.Pattern != "" {
		s["pattern"] = "^(?:" + m.Pattern + ")$"
	}
	in := "query"
	if m.Header {
		in = "header"
	}
	return []any{map[string]any{"name": m.Name, "in": in, "required": true, "schema": s}}
}

func (w *describer) parameters(n *dsl.Node, in string) (all []any) {
	if n == nil {
		return nil
	}
	var required []string
	if list := n.Field("required"); list != nil {
		for _, item := range list.Items {
			required = append(required, item.Text)
		}
	}
	for _, f := range n.Fields {
		if f.Value.Kind != dsl.Map {
			continue
		}
		p := map[string]any{"name": f.Key.Text, "in": in, "schema": w.schema(f.Value, f.Value)}
		if slices.Contains(required, f.Key.Text) {
			p["required"] = true
		}
		all = append(all, p)
	}
	return all
}

func content(media string, s any) map[string]any {
	return map[string]any{media: map[string]any{"schema": s}}
}

var problemSchema = map[string]any{
	"type": "object", "description": "A problem document (RFC 9457).",
	"properties": map[string]any{
		"type": map[string]any{"type": "string"}, "title": map[string]any{"type": "string"}, "status": map[string]any{"type": "integer"},
		"detail": map[string]any{"type": "string"}, "code": map[string]any{"type": "string"}, "request_id": map[string]any{"type": "string"},
		"errors": map[string]any{"type": "array", "items": map[string]any{"type": "object", "properties": map[string]any{
			"pointer": map[string]any{"type": "string"}, "message": map[string]any{"type": "string"}}}},
	},
}

func problem(description string) map[string]any {
	return map[string]any{"description": description, "content": content("application/problem+json", map[string]any{"$ref": "#/components/schemas/Problem"})}
}

// responses are those that the steps return, those that errors answers with,
// and the problems of Weir itself.
func (w *describer) responses(doc *dsl.Node, checked bool) map[string]any {
	all := map[string]any{"default": problem("The flow failed.")}
	if checked {
		all["400"] = problem("The request does not fit.")
	}
	if handlers := doc.Field("errors"); handlers != nil {
		for _, h := range handlers.Items {
			if code, ok := status(h.Field("status")); ok {
				all[code] = problem("A failure that the flow answers.")
			}
		}
	}
	codes := map[string]bool{}
	returned(doc.Field("steps"), func(n *dsl.Node) {
		code, ok := status(n.Field("status"))
		body := n.Field("return")
		switch {
		case ok:
		case n.Field("status") != nil:
			return // an expression
		case body.Kind == dsl.Scalar && body.Type == dsl.Null:
			code = "204"
		default:
			code = "200"
		}
		codes[code] = true
	})
	if len(codes) == 0 {
		codes["204"] = true // a flow that returns nothing
	}
	output := doc.Field("output")
	for code := range codes {
		r := map[string]any{"description": "The answer."}
		switch {
		case code == "204":
		case strings.HasPrefix(code, "2") && output != nil:
			r["content"] = content("application/json", w.schema(output, output))
		case strings.HasPrefix(code, "2"):
			r["content"] = content("*/*", map[string]any{})
		}
		all[code] = r
	}
	return all
}

func status(n *dsl.Node) (string, bool) {
	if n == nil || n.Kind != dsl.Scalar || n.Type != dsl.Int {
		return "", false
	}
	return n.Text, true
}

// returned calls found for every return below a node.
func returned(n *dsl.Node, found func(*dsl.Node)) {
	if n == nil {
		return
	}
	for _, item := range n.Items {
		if item.Kind == dsl.Map && item.Field("return") != nil {
			found(item)
		}
		returned(item, found)
	}
	for _, f := range n.Fields {
		if f.Key.Text != "return" && f.Key.Text != "set" && f.Key.Text != "body" && f.Key.Text != "schema" {
			returned(f.Value, found)
		}
	}
}

// schema is a schema for JSON, with all that it refers to among the components.
func (w *describer) schema(n, root *dsl.Node) any {
	switch n.Kind {
	case dsl.List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = w.schema(item, root)
		}
		return list
	case dsl.Map:
		object := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			if f.Key.Text == "$ref" && f.Value.Kind == dsl.Scalar {
				if target, base, _ := w.draft.others.Follow(f.Value, root); target != nil && strings.HasSuffix(f.Value.Text, "/schema") && len(n.Fields) == 1 {
					return w.schema(target, base) // part of another document's operation, which has no name
				} else if target != nil {
					object["$ref"] = "#/components/schemas/" + w.component(f.Value, target, base)
					continue
				}
			}
			if f.Key.Text != "$defs" {
				object[f.Key.Text] = w.schema(f.Value, root)
			}
		}
		return schema.Renewed(object, root)
	}
	return schema.Plain(n)
}

var notComponent = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// component puts what a reference means among the schemas, and gives its name.
func (w *describer) component(ref, target, root *dsl.Node) string {
	if name, ok := w.names[target]; ok {
		return name
	}
	if again := target.Field("$ref"); again != nil && len(target.Fields) == 1 {
		if further, base, _ := w.draft.others.Follow(again, root); further != nil {
			w.names[target] = "" // for a reference that comes back to itself
			w.names[target] = w.component(again, further, base)
			return w.names[target]
		}
	}
	file, fragment, _ := strings.Cut(ref.Text, "#")
	name := filepath.Base(fragment)
	if strings.Trim(fragment, "/") == "" {
		name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	if name = strings.Trim(notComponent.ReplaceAllString(name, "-"), "-."); name == "" {
		name = "schema"
	}
	for base, n := name, 2; w.schemas[name] != nil || name == "Problem"; n++ {
		name = fmt.Sprint(base, strconv.Itoa(n))
	}
	w.names[target] = name
	w.schemas[name] = true // taken, while it is made
	w.schemas[name] = w.schema(target, root)
	return name
}
