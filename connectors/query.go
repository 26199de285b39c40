package connectors

import (
	"context"
	"net/url"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// parameter is one parameter of a query.
type parameter struct {
	name   string
	key    string // escaped, with =
	static string // key and value, if the value is known
	shape  *dsl.ShapeTemplate
}

// compileQuery compiles the parameters that stand at n; nil are none.
func compileQuery(c *engine.Compiler, n *dsl.Node) (query []parameter) {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		if f.Value.Kind == dsl.Map {
			c.Report(dsl.Diagnostic{Span: f.Value.Span, Code: "wrong-type", Message: "the value of a query parameter is text or a list of texts", Hint: "write one text, such as $(toJSON(x)), or a parameter for each field"})
			continue
		}
		p := parameter{name: f.Key.Text, key: url.QueryEscape(f.Key.Text) + "="}
		if p.shape = c.Shape(dsl.Shape{Node: f.Value}); p.shape == nil {
			continue
		}
		if f.Value.Kind == dsl.Scalar && f.Value.Type != dsl.Str && f.Value.Type != dsl.Null {
			p.static = p.key + url.QueryEscape(f.Value.Text)
		} else if t, ok := p.shape.Text(); ok {
			if s, ok := t.Static(); ok {
				p.static = p.key + url.QueryEscape(s)
			}
		}
		query = append(query, p)
	}
	return query
}

// queryOf appends parameters to a query, which is empty or escaped. A value that is
// null gives none, a list several.
func queryOf(ctx context.Context, x *engine.Exchange, query string, all []parameter) (string, error) {
	if len(all) == 0 {
		return query, nil
	}
	b := []byte(query)
	add := func(texts ...string) {
		if len(b) > 0 {
			b = append(b, '&')
		}
		for _, t := range texts {
			b = append(b, t...)
		}
	}
	for i := range all {
		p := &all[i]
		if p.static != "" {
			add(p.static)
			continue
		}
		v, err := engine.ValueOf(ctx, x, p.shape)
		if err != nil {
			return "", err
		}
		texts, err := v.Texts()
		if err != nil {
			return "", &dsl.Fault{Span: p.shape.Span(), Message: err.Error(), Err: err}
		}
		for _, t := range texts {
			add(p.key, url.QueryEscape(t))
		}
	}
	return string(b), nil
}

// rewritten is the query of a caller with parameters in place of those of the same
// names. What stays is as it came, byte by byte, but for what cannot be read: the
// service might take that for one of those names.
func rewritten(ctx context.Context, x *engine.Exchange, query string, all []parameter) (string, error) {
	var kept strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" || replaces(all, name, value) {
			continue
		}
		if kept.Len() > 0 {
			kept.WriteByte('&')
		}
		kept.WriteString(pair)
	}
	return queryOf(ctx, x, kept.String(), all)
}

// replaces reports whether a pair of a query does not stay beside parameters.
func replaces(all []parameter, name, value string) bool {
	if strings.Contains(name, ";") || strings.Contains(value, ";") {
		return true // some separate pairs by it
	}
	decoded, err := url.QueryUnescape(name)
	if err != nil {
		return true
	}
	for i := range all {
		if all[i].name == decoded {
			return true
		}
	}
	return false
}
