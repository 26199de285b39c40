package connectors

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/openapi"
	"github.com/weir-run/weir/engine/schema"
)

// Describe reads the service's OpenAPI document, if it names one. Calls that are
// compiled after it are checked against it.
func (s *Service) Describe(docs *schema.Documents, r dsl.Reporter) {
	if s.openAPI.Value == "" {
		return
	}
	if root := docs.Open(s.openAPI, r); root != nil {
		s.api = openapi.Read(root, docs, r)
	}
}

// API is the service's OpenAPI document, or nil. It is there while a program is
// compiled, and for as long as Forget is not called.
func (s *Service) API() *openapi.Document { return s.api }

// Forget lets go of the document, which nothing needs once the program is
// compiled.
func (s *Service) Forget() { s.api = nil }

// contract checks a call against the service's document.
func (s *call) contract(c *engine.Compiler, at *dsl.Node, cfg *callConfig, method dsl.String, from int) {
	if s.service == nil || s.service.api == nil || !slices.Contains(methods, s.method) {
		return
	}
	name, n := s.service.Name.Value, cfg.Call.Node
	op := s.service.api.Operation(openapi.Call{
		Service: name, Method: s.method, Path: dsl.Pattern(n.Text[from:], openapi.Hole), At: n.At(from, len(n.Text)), Span: method.Span,
	}, c)
	if op == nil {
		return
	}
	s.result.Hold(op.Result(s.accept))
	what := fmt.Sprintf("%s %s of %s", op.Method, op.Path, name)
	related := []dsl.Related{{Span: op.At, Message: "the operation"}}
	checkQuery(c, at, cfg, op, what, related)
	checkHeaders(c, at, cfg, op, what, related)
	body := op.Body()
	switch key := at.Field("call").KeySpan(); {
	case cfg.Body.Node == nil && body.Required:
		c.Report(dsl.Diagnostic{Span: key, Code: "missing-body", Message: what + " needs a body", Hint: "add body:", Related: related})
	case s.method == http.MethodGet || s.method == http.MethodHead: // that is a fault of its own
	case cfg.Body.Node != nil && !body.Declared && s.body != nil:
		c.Report(dsl.Diagnostic{Span: cfg.Body.Node.KeySpan(), Code: "unexpected-body", Message: what + " takes no body", Hint: "remove it, or add requestBody to the document", Related: related})
	case s.body != nil && body.JSON:
		c.Fits(cfg.Body, body.Type, "body")
	}
}

func checkQuery(c *engine.Compiler, at *dsl.Node, cfg *callConfig, op *openapi.Operation, what string, related []dsl.Related) {
	var known, meant []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	if query := at.Field("query"); query != nil {
		for _, f := range query.Fields {
			i := slices.IndexFunc(op.Parameters, func(p openapi.Parameter) bool { return p.In == "query" && p.Name == f.Key.Text })
			if i >= 0 {
				if shape, ok := cfg.Query[f.Key.Text]; ok && shape.Node != nil && !shape.Node.Broken() {
					c.Fits(shape, asText(op.Parameters[i].Type, shape.Node), "query."+f.Key.Text)
				}
				continue
			}
			if slices.ContainsFunc(known, func(k string) bool {
				return strings.HasPrefix(f.Key.Text, k+"[") || strings.HasSuffix(k, "[]") && k == f.Key.Text+"[]"
			}) {
				continue // the field of a deep object
			}
			d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-parameter", Message: fmt.Sprintf("%s has no query parameter %q", what, f.Key.Text), Related: related}
			if near, ok := d.Suggest(f.Key.Text, known); ok {
				meant = append(meant, near)
			} else if len(known) > 0 {
				d.Hint = "it has " + strings.Join(known, ", ")
			} else {
				d.Hint = "it has none; remove it, or add it to the document"
			}
			c.Report(d)
		}
	}
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required && !slices.Contains(meant, p.Name) && at.Field("query").Field(p.Name) == nil {
			c.Report(dsl.Diagnostic{Span: at.Field("call").KeySpan(), Code: "missing-parameter", Message: fmt.Sprintf("%s needs the query parameter %q", what, p.Name),
				Hint: fmt.Sprintf("add query: { %s: ... }", p.Name), Related: related})
		}
	}
}

// asText is the type of a parameter as it can be given: on the wire all of them
// are text, so that a number can be given as its text and text as a number; a
// list can be one of its elements, and null leaves a parameter out.
func asText(t *dsl.StaticType, n *dsl.Node) *dsl.StaticType {
	if t == nil || t.Kinds&dsl.IsObject != 0 || n.Kind == dsl.Map {
		return nil
	}
	out := *t
	out.Kinds |= dsl.IsNull
	if t.Kinds&dsl.IsList != 0 {
		if out.Elem = asText(t.Elem, n); out.Elem == nil {
			return nil
		}
		out.Kinds, out.Values = out.Kinds|out.Elem.Kinds, out.Elem.Values
	}
	const scalars = dsl.IsText | dsl.IsNumber | dsl.IsBool
	switch _, err := strconv.ParseFloat(n.Text, 64); {
	case n.Kind != dsl.Scalar || strings.Contains(n.Text, "$("), n.Type != dsl.Str && out.Kinds&dsl.IsText != 0:
		out.Kinds |= scalars
	case out.Kinds&dsl.IsNumber != 0 && err == nil, out.Kinds&dsl.IsBool != 0 && (n.Text == "true" || n.Text == "false"):
		out.Kinds |= dsl.IsText
	}
	return &out
}

// ofProtocol are the headers that OpenAPI leaves to other parts of a document.
var ofProtocol = []string{"Accept", "Content-Type", "Authorization"}

func checkHeaders(c *engine.Compiler, at *dsl.Node, cfg *callConfig, op *openapi.Operation, what string, related []dsl.Related) {
	for _, p := range op.Parameters {
		name := textproto.CanonicalMIMEHeaderKey(p.Name)
		if p.In != "header" || !p.Required || slices.Contains(ofProtocol, name) {
			continue
		}
		given := false
		for written := range cfg.Headers {
			given = given || textproto.CanonicalMIMEHeaderKey(written) == name
		}
		if given {
			continue
		}
		c.Report(dsl.Diagnostic{Span: at.Field("call").KeySpan(), Code: "missing-parameter", Message: fmt.Sprintf("%s needs the header %q", what, p.Name),
			Hint: fmt.Sprintf("add headers: { %s: ... }", p.Name), Related: related})
	}
}
