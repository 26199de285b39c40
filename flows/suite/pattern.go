package suite

import (
	"context"
	"fmt"
	"math/big"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// pattern is what a test expects of a value: a value, or a condition about it,
// at any depth. An object may have more fields, unless the match is exact; a
// list has as many items. What is null is absent, and the other way round, as
// in expressions.
type pattern struct {
	at     dsl.Span
	kind   dsl.NodeKind
	cond   *dsl.Expr // of a scalar that is one whole $(...)
	value  any       // of any other scalar
	fields []fieldPattern
	items  []*pattern
}

type fieldPattern struct {
	name string
	*pattern
}

// it is the value that a condition is about.
const it = "it"

// pattern compiles what is expected. It gives nil if nothing is, or after
// reporting a fault.
func (c *checker) pattern(n *dsl.Node, scope names) *pattern {
	if n == nil || n.Broken() {
		return nil
	}
	p := &pattern{at: n.Span, kind: n.Kind}
	switch n.Kind {
	case dsl.Map:
		p.at = n.KeySpan()
		for _, f := range n.Fields {
			if v := c.pattern(f.Value, scope); v != nil {
				name := f.Key.Text
				if strings.HasPrefix(name, "$$") {
					name = name[1:]
				}
				p.fields = append(p.fields, fieldPattern{name, v})
			}
		}
	case dsl.List:
		p.at = n.KeySpan()
		for _, item := range n.Items {
			if v := c.pattern(item, scope); v != nil {
				p.items = append(p.items, v)
			}
		}
	default:
		return c.leaf(n, p, scope)
	}
	return p
}

func (c *checker) leaf(n *dsl.Node, p *pattern, scope names) *pattern {
	if n.Type == dsl.Str && strings.Contains(n.Text, "$(") {
		t := c.exprs.Text(n, dsl.PlainText, scope)
		if t == nil {
			return nil
		}
		if e, ok := t.Whole(); ok {
			p.cond = e
			return p
		}
		s, ok := t.Static()
		if !ok {
			c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-expectation", Message: "what is expected is a value or one whole condition, not text with expressions inside",
				Hint: `write a condition about it, such as $(it startsWith "Hello")`})
			return nil
		}
		p.value = s
		return p
	}
	shape := c.exprs.Shape(n, scope)
	if shape == nil {
		return nil
	}
	text, err := shape.AppendJSON(context.Background(), values{}, nil)
	if err != nil {
		c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-expectation", Message: err.Error(), Hint: "put it in quotes to expect text"})
		return nil
	}
	p.value = dsl.DecodeJSON(string(text))
	return p
}

// matcher compares values with patterns and keeps what does not fit.
type matcher struct {
	exact  bool
	env    values
	faults []dsl.Diagnostic
}

func (m *matcher) fault(at dsl.Span, hint, format string, args ...any) {
	m.faults = append(m.faults, dsl.Diagnostic{Span: at, Code: codeExpected, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// codeExpected is the code of everything that is not as a test expects.
const codeExpected = "not-as-expected"

// match compares a value, which faults call path.
func (m *matcher) match(path string, p *pattern, got any) {
	switch {
	case p == nil:
	case p.cond != nil:
		m.condition(path, p, got)
	case p.kind == dsl.Map:
		m.object(path, p, got)
	case p.kind == dsl.List:
		m.list(path, p, got)
	case !same(p.value, got):
		m.fault(p.at, difference(p.value, got), "%s is %s, not %s", path, shown(got), shown(p.value))
	}
}

func (m *matcher) condition(path string, p *pattern, got any) {
	ok, err := p.cond.Bool(context.Background(), m.env.with(it, got))
	switch {
	case err != nil:
		m.fault(p.cond.Span(), "it is "+shown(got), "the condition about %s fails: %v", path, err)
	case !ok:
		m.fault(p.cond.Span(), "", "%s is %s, for which this is not true", path, shown(got))
	}
}

func (m *matcher) object(path string, p *pattern, got any) {
	object, ok := got.(map[string]any)
	if !ok {
		m.fault(p.at, "", "%s is %s, not an object", path, shown(got))
		return
	}
	expected := map[string]bool{}
	for _, f := range p.fields {
		expected[f.name] = true
		if _, there := object[f.name]; !there && f.cond == nil && (f.kind != dsl.Scalar || f.value != nil) {
			m.fault(f.at, "it has "+fieldsOf(object), "%s is not there", join(path, f.name))
			continue
		}
		m.match(join(path, f.name), f.pattern, object[f.name])
	}
	if !m.exact {
		return
	}
	for _, name := range sortedKeys(object) {
		if !expected[name] {
			m.fault(p.at, "expect it, or leave out exact", "%s is there, with %s, and is not expected", join(path, name), shown(object[name]))
		}
	}
}

func (m *matcher) list(path string, p *pattern, got any) {
	list, ok := got.([]any)
	switch {
	case !ok:
		m.fault(p.at, "", "%s is %s, not a list", path, shown(got))
	case len(list) != len(p.items):
		m.fault(p.at, "it is "+shown(got), "%s has %s, not %d", path, count(len(list), "item"), len(p.items))
	default:
		for i := range list {
			m.match(fmt.Sprintf("%s[%d]", path, i), p.items[i], list[i])
		}
	}
}

// same compares scalars; numbers by their value, whatever they are written as.
func same(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x.Cmp(y) == 0
	}
	switch a.(type) {
	case nil, bool, string:
		return a == b
	}
	return false
}

func number(v any) (*big.Rat, bool) {
	switch v.(type) {
	case int, float64, dsl.Number:
		text, err := dsl.AppendJSON(nil, v)
		if err != nil || len(text) > 400 || strings.ContainsAny(string(text), "eE") && len(text) > 30 {
			return nil, false
		}
		return new(big.Rat).SetString(string(text))
	}
	return nil, false
}

// difference shows where two longer texts part, or says nothing.
func difference(want, got any) string {
	a, ok := want.(string)
	b, text := got.(string)
	if !ok || !text || len(a) < 20 && len(b) < 20 {
		return ""
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if i == 0 {
		return ""
	}
	line := 1 + strings.Count(a[:i], "\n")
	from := max(0, i-15)
	return fmt.Sprintf("they part at character %d of line %d: %s, not %s", i-strings.LastIndexByte(a[:i], '\n'), line, excerpt(b, from), excerpt(a, from))
}

func excerpt(s string, from int) string {
	lead := ""
	if from > 0 {
		lead = "…"
	}
	return shown(lead + cut(strings.ToValidUTF8(s[from:], ""), 40))
}

func cut(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// shown is a value as faults show it.
func shown(v any) string {
	if v == nil {
		return "null"
	}
	text, err := dsl.AppendJSON(nil, v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return cut(string(text), 200)
}

func join(path, name string) string { return path + "." + name }

func fieldsOf(object map[string]any) string {
	if len(object) == 0 {
		return "no fields"
	}
	return cut(strings.Join(sortedKeys(object), ", "), 200)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
