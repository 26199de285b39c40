package policies

import (
	"net/http"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/openapi"
	"github.com/weir-run/weir/engine/schema"
	"github.com/weir-run/weir/gateway"
)

// schemas holds requests against JSON Schemas that stand in the policy.
type schemas struct {
	params, query, headers *schema.Texts // nil: nothing is said of them
	json                   *openapi.Content
}

func (c *Compiler) schemas(cfg *validateConfig) *schemas {
	docs := c.Documents()
	s := &schemas{params: docs.Texts("params", cfg.Params, c), query: docs.Texts("query", cfg.Query, c), headers: docs.Texts("headers", cfg.Headers, c)}
	if cfg.Body != nil {
		s.json = openapi.JSON(docs.Compile(cfg.Body, c))
	}
	if s.params != nil {
		c.knownParams(s.params.Names(), cfg.Params)
	}
	return s
}

func (s *schemas) parameters(r *http.Request, q *gateway.Request, vars func(string) (string, bool)) (all []schema.Violation) {
	if s.params != nil {
		all = append(all, schema.Under("/params", s.params.Check(s.params.Read(func(name string) []string {
			if v, ok := vars(name); ok {
				return []string{v}
			}
			return nil
		})))...)
	}
	if s.query != nil {
		query := q.Input().Query()
		typed := s.query.Read(func(name string) []string { return query[name] })
		for _, name := range sortedKeys(query) {
			texts := query[name]
			switch f, declared := s.query.Static.Fields[name]; {
			case !declared:
				typed[name] = texts[0]
			case len(texts) > 1 && f.Type.Kinds&dsl.IsList == 0: // a backend could take another than is looked at
				all = append(all, schema.Violation{Pointer: "/query/" + name, Message: "must be there once"})
			}
		}
		all = append(all, schema.Under("/query", s.query.Check(typed))...)
	}
	if s.headers != nil {
		all = append(all, schema.Under("/headers", s.headers.Check(s.headers.Read(r.Header.Values)))...)
	}
	return all
}

func (s *schemas) needsBody() (bool, []string) { return s.json != nil, []string{"application/json"} }

func (s *schemas) body(contentType string) (bodyCheck, bool) {
	switch {
	case s.json == nil:
		return nil, true
	case !openapi.IsJSON(contentType):
		return nil, false
	}
	return s.json, true
}

func (*schemas) answers() *openapi.Answers { return nil }
