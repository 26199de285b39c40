package dsl

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Expand resolves the $(env.NAME) and $(secret.NAME) of configuration that is
// needed before any request is there. It gives n itself if there are none. A
// variable that is not set is a fault, unless the expression says with ?? what it
// means. What holds a secret can be decoded to nothing but a Secret. A secret
// that nobody has looked for leaves the text as it is written. The index is told
// of the expressions; nil: nobody wants to know.
func Expand(n *Node, r Reporter, env func(string) (string, bool), secret *Name, index Index) *Node {
	e := newExpander(r, env, secret, index)
	defer e.exprs.Close()
	return e.node(n)
}

type expander struct {
	exprs *Expressions
	r     Reporter
	scope envScope
}

func newExpander(r Reporter, env func(string) (string, bool), secret *Name, index Index) *expander {
	e := &expander{exprs: NewExpressions(r), r: r, scope: envScope{env, secret}}
	e.exprs.Index = index
	return e
}

func (e *expander) node(n *Node) *Node {
	switch n.Kind {
	case List:
		for i, item := range n.Items {
			if x := e.node(item); x != item {
				out := *n
				out.Items = append([]*Node(nil), n.Items...)
				out.Items[i] = x
				n = &out
			}
		}
	case Map:
		for i, f := range n.Fields {
			if x := e.node(f.Value); x != f.Value {
				out := *n
				out.Fields = append([]Field(nil), n.Fields...)
				out.Fields[i].Value = x
				n = &out
			}
		}
	case Scalar:
		if strings.Contains(n.Text, "$(") {
			return e.scalar(n)
		}
	}
	return n
}

func (e *expander) scalar(n *Node) *Node {
	unknown := *n
	unknown.broken = true
	t := e.exprs.Text(n, PlainText, e.scope)
	if t == nil {
		return &unknown
	}
	for _, p := range t.parts {
		if p.expr == nil {
			continue
		}
		if v, err := p.expr.Eval(context.Background(), e.scope); err == nil && v == nil {
			e.r.Report(Diagnostic{Span: p.expr.Span(), Code: "unset-variable", Message: fmt.Sprintf("%s is not set", p.expr),
				Hint: fmt.Sprintf("set it, or give a default: $(%s ?? \"...\")", p.expr)})
			return &unknown
		}
	}
	text, err := t.String(context.Background(), e.scope)
	if errors.Is(err, errUnknownSecret) {
		text, err = n.Text, nil
	}
	if err != nil {
		d := Diagnostic{Span: n.Span, Code: "bad-expression", Message: err.Error(), Hint: "only variables and secrets can be read here, as env.NAME and secret.NAME, and they are text"}
		if f := (*Fault)(nil); errors.As(err, &f) {
			d.Span = f.Span
		}
		e.r.Report(d)
		return &unknown
	}
	out := &Node{Kind: Scalar, Style: n.Style, Type: resolve(text), Span: n.Span, Text: text, from: n.Span.Start, key: n.key, held: e.exprs.heldText(n)}
	if out.held != nil {
		out.Type = Str // whatever it looks like
	}
	return out
}

// envScope knows the names env and secret.
type envScope struct {
	lookup func(string) (string, bool)
	secret *Name // nil: there are none
}

// Env is what Env asks for.
func (envScope) Env() {}

// Name is what Scope asks for.
func (s envScope) Name(name string) (*Name, bool) {
	switch {
	case name == "env":
		return EnvName(s.lookup), true
	case name == "secret" && s.secret != nil:
		return s.secret, true
	}
	return nil, false
}

// Names is what Scope asks for.
func (envScope) Names() []string { return []string{"env", "secret"} }

// Loop is what Scope asks for. Text has no loops.
func (s envScope) Loop(string, Span, *StaticType) (Scope, Var) { return s, nil }

// EnvName is the name env: env.NAME is the text of a variable, or null. The
// whole environment is not to be had: it holds what was never meant for flows.
func EnvName(lookup func(string) (string, bool)) *Name {
	return &Name{Type: TypeObject, Bind: func(p Path) Read {
		if len(p) != 1 || p[0].IsIndex {
			return nil
		}
		return envRead{lookup, p[0].Name}
	}}
}

type envRead struct {
	lookup func(string) (string, bool)
	name   string
}

// Value is what Read asks for.
func (r envRead) Value(Env) (any, error) {
	if v, ok := r.lookup(r.name); ok {
		return v, nil
	}
	return nil, nil
}

// JSON is what Read asks for.
func (envRead) JSON(Env) (string, bool, error) { return "", false, nil }
