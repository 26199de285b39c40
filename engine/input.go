package engine

import (
	"context"
	"fmt"
	"maps"
	"net/textproto"
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
	params, query, headers *schema.Texts // nil: nothing is said of them
	body                   *schema.Schema
}

// of is what is said of one part of the requests, or nil.
func (s *requestSchema) of(part string) *schema.Texts {
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

// typedInput is the text of one request, read as its schemas say.
type typedInput struct{ params, query, headers map[string]any }

// requestSchema compiles what the trigger says of its requests.
func (c *Compiler) requestSchema() *requestSchema {
	cfg := c.flow.config.Trigger.Input
	if cfg == nil {
		return nil
	}
	s := &requestSchema{
		params: c.docs.Texts("params", cfg.Params, c), query: c.docs.Texts("query", cfg.Query, c), headers: c.docs.Texts("headers", cfg.Headers, c),
	}
	if s.headers != nil {
		s.headers.Static.Open = true // there are others on every request
	}
	if s.params != nil {
		for _, name := range s.params.Names() {
			if _, ok := c.flow.params[name]; !ok && c.flow.params != nil {
				d := dsl.Diagnostic{Span: keyOf(cfg.Params, name).Span, Code: "unknown-param", Message: fmt.Sprintf("the path of this flow has no variable %q", name), Hint: fmt.Sprintf("write {%s} in the path", name)}
				d.Suggest(name, slices.Sorted(maps.Keys(c.flow.params)))
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

// admission reads a request as the schemas say, and fails with all that does
// not fit.
type admission struct{ *Program }

// Run is what Step asks for.
func (p admission) Run(_ context.Context, x *Exchange) error {
	s, in := p.schema, x.In
	typed := &typedInput{}
	var all []schema.Violation
	check := func(part string, t *schema.Texts, values map[string]any) {
		all = append(all, schema.Under("/"+part, t.Check(values))...)
	}
	if s.params != nil {
		typed.params = s.params.Read(func(name string) []string {
			if v, ok := in.Params.Var(name); ok {
				return []string{v}
			}
			return nil
		})
		check("params", s.params, typed.params)
	}
	if s.query != nil {
		query := in.Query()
		typed.query = s.query.Read(func(name string) []string { return query[name] })
		for name, texts := range query {
			if _, declared := s.query.Static.Fields[name]; !declared {
				typed.query[name] = texts[0]
			}
		}
		check("query", s.query, typed.query)
	}
	if s.headers != nil {
		typed.headers = s.headers.Read(func(name string) []string { return in.Request.Header.Values(name) })
		check("headers", s.headers, typed.headers)
		for _, name := range s.headers.Names() {
			if v, ok := typed.headers[name]; ok {
				delete(typed.headers, name)
				typed.headers[textproto.CanonicalMIMEHeaderKey(name)] = v
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
		all = append(all, schema.Under("/body", found)...)
	}
	in.typed = typed
	if len(all) > 0 {
		return &Error{Kind: KindInput, Message: "the request does not fit the input of the flow: " + Said(all), Detail: notFitting, Violations: all}
	}
	return nil
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
