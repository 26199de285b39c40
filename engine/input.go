package engine

import (
	"context"
	"fmt"
	"maps"
	"net/textproto"
	"regexp"
	"slices"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// inputConfig is what a trigger says of its requests. The parts that come as
// text are mappings of name to schema; required and additionalProperties can
// stand beside the names, as in JSON Schema: a schema is neither a list nor true
// or false.
type inputConfig struct {
	Params  *dsl.Node `yaml:"params" doc:"The variables of the path: a mapping of name to schema. A value is read as its schema's type, so that an integer is a number in expressions."`
	Query   *dsl.Node `yaml:"query" doc:"The parameters of the query: a mapping of name to schema, with required: [names] and additionalProperties: false beside the names. A default stands in for a parameter that is absent; a list takes a parameter that is repeated."`
	Headers *dsl.Node `yaml:"headers" doc:"Headers: a mapping of name to schema, with required: [names] beside the names."`
	Body    *dsl.Node `yaml:"body" doc:"The schema of the body (JSON Schema 2020-12), or { $ref: FILE } relative to this file."`
}

// requestSchema checks requests before any step of a flow runs.
type requestSchema struct {
	params, query, headers *textSchema // nil: nothing is said of them
	body                   *schema.Schema
}

// of is what is said of one part of the requests, or nil.
func (s *requestSchema) of(part string) *textSchema {
	switch {
	case s == nil:
		return nil
	case part == "params":
		return s.params
	case part == "query":
		return s.query
	}
	return s.headers
}

// textSchema is the schema of values that come as text.
type textSchema struct {
	fields []textField
	object *schema.Schema
	static *dsl.StaticType
}

type textField struct {
	name     string
	static   *dsl.StaticType
	fallback any
	has      bool // a fallback
}

// typedInput is the text of one request, read as its schemas say.
type typedInput struct{ params, query, headers map[string]any }

// requestSchema compiles what the trigger says of its requests.
func (c *Compiler) requestSchema() *requestSchema {
	cfg := c.flow.config.Trigger.Input
	if cfg == nil {
		return nil
	}
	s := &requestSchema{
		params: c.textSchema("params", cfg.Params), query: c.textSchema("query", cfg.Query), headers: c.textSchema("headers", cfg.Headers),
	}
	if s.headers != nil {
		s.headers.static.Open = true // there are others on every request
	}
	if s.params != nil {
		for _, f := range s.params.fields {
			if _, ok := c.flow.params[f.name]; !ok && c.flow.params != nil {
				d := dsl.Diagnostic{Span: keyOf(cfg.Params, f.name).Span, Code: "unknown-param", Message: fmt.Sprintf("the path of this flow has no variable %q", f.name), Hint: fmt.Sprintf("write {%s} in the path", f.name)}
				d.Suggest(f.name, slices.Sorted(maps.Keys(c.flow.params)))
				c.Report(d)
			}
		}
	}
	if cfg.Body != nil {
		s.body = c.docs.Compile(cfg.Body, c)
	}
	return s
}

// Output is what is known of what a flow returns.
func (c *Compiler) Output(f *Flow) *dsl.StaticType {
	if n := f.config.Output; n != nil {
		return c.docs.Type(n, n)
	}
	return nil
}

// Schema compiles the schema that stands at n, and gives what is known of
// values that fit it. The schema is nil after a fault was reported.
func (c *Compiler) Schema(n *dsl.Node) (*schema.Schema, *dsl.StaticType) {
	return c.docs.Compile(n, c), c.docs.Type(n, n)
}

func (c *Compiler) textSchema(what string, n *dsl.Node) *textSchema {
	if n == nil || n.Broken() {
		return nil
	}
	if n.Kind != dsl.Map {
		c.Report(dsl.Diagnostic{Span: n.Span, Code: "wrong-type", Message: fmt.Sprintf("%s is a mapping of name to schema here, not %s", what, n.Describe()), Hint: "write " + what + ": { name: { type: string } }"})
		return nil
	}
	s := &textSchema{static: &dsl.StaticType{Kinds: dsl.IsObject, Fields: map[string]dsl.StaticField{}}}
	object, properties := *n, *n
	object.Fields, properties.Fields = nil, nil
	required := map[string]bool{}
	for _, f := range n.Fields {
		switch {
		case f.Key.Text == "required" && f.Value.Kind == dsl.List:
			object.Fields = append(object.Fields, f)
			for _, item := range f.Value.Items {
				required[item.Text] = true
			}
		case f.Key.Text == "additionalProperties" && f.Value.Type == dsl.Bool:
			object.Fields = append(object.Fields, f)
		default:
			properties.Fields = append(properties.Fields, f)
		}
	}
	key := &dsl.Node{Kind: dsl.Scalar, Type: dsl.Str, Span: n.Span, Text: "properties"}
	object.Fields = append(object.Fields, dsl.Field{Key: key, Value: &properties})
	for _, f := range properties.Fields {
		t := c.docs.Type(f.Value, f.Value)
		if t == nil {
			t = dsl.Static(dsl.IsText)
		}
		if t.Kinds&(dsl.IsObject) != 0 {
			c.Report(dsl.Diagnostic{Span: f.Value.Span, Code: "bad-schema", Message: fmt.Sprintf("%s comes as text, and text is read as no object", f.Key.Text), Hint: "write type: string, and read it with fromJSON"})
		}
		field := textField{name: f.Key.Text, static: t}
		if value := f.Value.Field("default"); value != nil {
			field.fallback, field.has = schema.Plain(value), true
		}
		certain := required[field.name] || field.has || what == "params"
		s.static.Fields[field.name] = dsl.StaticField{Type: t, Optional: !certain, Required: certain}
		s.fields = append(s.fields, field)
	}
	if s.object = c.docs.Compile(&object, c); s.object == nil {
		return nil
	}
	return s
}

// admission reads a request as the schemas say, and fails with all that does
// not fit.
type admission struct{ *Program }

// Run is what Step asks for.
func (p admission) Run(_ context.Context, x *Exchange) error {
	s, in := p.schema, x.In
	typed := &typedInput{}
	var all []schema.Violation
	check := func(part string, t *textSchema, values map[string]any) {
		all = append(all, under("/"+part, t.object.Check(values))...)
	}
	if s.params != nil {
		typed.params = s.params.read(func(name string) []string {
			if v, ok := in.Params.Var(name); ok {
				return []string{v}
			}
			return nil
		})
		check("params", s.params, typed.params)
	}
	if s.query != nil {
		query := in.Query()
		typed.query = s.query.read(func(name string) []string { return query[name] })
		for name, texts := range query {
			if _, declared := s.query.static.Fields[name]; !declared {
				typed.query[name] = texts[0]
			}
		}
		check("query", s.query, typed.query)
	}
	if s.headers != nil {
		typed.headers = s.headers.read(func(name string) []string { return in.Request.Header.Values(name) })
		check("headers", s.headers, typed.headers)
		for _, f := range s.headers.fields {
			if v, ok := typed.headers[f.name]; ok {
				delete(typed.headers, f.name)
				typed.headers[textproto.CanonicalMIMEHeaderKey(f.name)] = v
			}
		}
	}
	if s.body != nil {
		body, err := x.results[p.request.index].whole()
		if err != nil {
			return err
		}
		found := s.body.Check(body)
		if len(found) > 0 && in.Body.Null() {
			found = []schema.Violation{{Message: "is required"}}
		}
		all = append(all, under("/body", found)...)
	}
	in.typed = typed
	if len(all) > 0 {
		return &Error{Kind: KindInput, Message: "the request does not fit the input of the flow: " + Said(all), Detail: notFitting, Violations: all}
	}
	return nil
}

func under(part string, all []schema.Violation) []schema.Violation {
	for i := range all {
		all[i].Pointer = part + all[i].Pointer
	}
	return all
}

const notFitting = "The request does not fit what this route takes."

// Said is the first of some violations, for logs.
func Said(all []schema.Violation) string {
	text := all[0].Pointer + " " + all[0].Message
	if len(all) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(all)-1)
	}
	return text
}

func (t *textSchema) read(texts func(name string) []string) map[string]any {
	values := make(map[string]any, len(t.fields))
	for i := range t.fields {
		f := &t.fields[i]
		switch given := texts(f.name); {
		case len(given) > 0:
			values[f.name] = fromTexts(given, f.static)
		case f.has:
			values[f.name] = f.fallback
		}
	}
	return values
}

// fromTexts reads text as a value of the type. What does not look like one
// stays text, and does not fit then.
func fromTexts(texts []string, t *dsl.StaticType) any {
	if t.Kinds&dsl.IsList == 0 || len(texts) == 1 && t.Kinds&^dsl.IsList&^dsl.IsNull != 0 {
		return fromText(texts[0], t.Kinds)
	}
	kinds := dsl.IsText
	if e := t.Element(); e != nil {
		kinds = e.Kinds
	}
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = fromText(text, kinds)
	}
	return list
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func fromText(text string, k dsl.Kinds) any {
	switch {
	case k&dsl.IsNumber != 0 && jsonNumber.MatchString(text):
		return dsl.DecodeJSON(text)
	case k&dsl.IsBool != 0 && (text == "true" || text == "false"):
		return text == "true"
	}
	return text
}
