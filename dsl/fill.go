package dsl

import (
	"reflect"
	"strings"
)

// A Filler knows values for expressions that stand where only a literal can, or,
// if must is false, where one can. It gets an expression without its parentheses,
// n.Text[from:to]. With ok false the expression stays as it is. A value of nil has
// been reported.
type Filler func(n *Node, from, to int, must bool) (value *Node, ok bool)

// Literals gives n with the expressions replaced that stand where the kind takes
// literals: text as it is, numbers, durations, sizes, statuses, and the first
// words of a Text whose tag says literal:"2". The structs that also points to are
// those of Compile. Behind the first words of a Text a literal can stand, too, if
// it is the same text there. A value that stands alone may be of any form; inside
// of text it is a scalar. It is n itself if there is nothing to replace.
func (k Kind[B, T]) Literals(n *Node, fill Filler, also ...any) *Node {
	if n.Kind != Map {
		return n
	}
	plans := []*plan{planOf(k.config)}
	for _, target := range also {
		plans = append(plans, planOf(reflect.TypeOf(target).Elem()))
	}
	return literals(fill.scalar).object(n, plans...)
}

// Expand resolves the $(env.NAME) and $(secret.NAME) that stand where the kind
// takes literals, as the function Expand does for all of a mapping: what a kind
// takes as expressions is left for its compile function.
func (k Kind[B, T]) Expand(n *Node, r Reporter, env func(string) (string, bool), secret *Name, index Index) *Node {
	e := newExpander(r, env, secret, index)
	defer e.exprs.Close()
	return literals(func(n *Node, end int) *Node {
		if end < len(n.Text) {
			return n
		}
		return e.node(n)
	}).object(n, planOf(k.config))
}

// literals gives what stands for a scalar of which the part before end must be
// literal.
type literals func(n *Node, end int) *Node

func (replace literals) object(n *Node, plans ...*plan) *Node {
	if n.Kind != Map {
		return n
	}
	return n.each(func(f Field) *Node {
		for _, p := range plans {
			if i, ok := p.byKey[f.Key.Text]; ok {
				if x := &p.fields[i]; x.literals != none {
					return replace.value(f.Value, x.shape, x.literals)
				}
				break
			}
		}
		return f.Value
	})
}

// each is n with another value for each field, or item.
func (n *Node) each(fn func(f Field) *Node) *Node {
	out := *n
	changed := false
	change := func(f Field) *Node {
		v := fn(f)
		changed = changed || v != f.Value
		return v
	}
	out.Items, out.Fields = make([]*Node, len(n.Items)), make([]Field, len(n.Fields))
	for i, item := range n.Items {
		out.Items[i] = change(Field{Value: item})
	}
	for i, f := range n.Fields {
		out.Fields[i] = Field{f.Key, change(f)}
	}
	if !changed {
		return n
	}
	return &out
}

// value replaces in a value that is to have a shape. words are the literal ones of
// a Text.
func (replace literals) value(n *Node, s *shape, words int) *Node {
	s = s.target()
	switch s.form {
	case formShape, formCond, formSteps, formBlock, formBranches, formBundles, formSeveral:
		return n
	case formTemplate:
		if n.Kind != Scalar || words == 0 {
			return n
		}
		return replace(n, endOfWords(n.Text, words))
	case formNode:
		if n.Kind != Scalar || !isExpression(n.Text) {
			return n
		}
		return replace(n, len(n.Text))
	}
	switch {
	case n.Kind == Scalar:
		return replace(n, len(n.Text))
	case n.Kind == Map && s.form == formObject:
		return replace.object(n, planOf(s.typ))
	case s.elem != nil:
		return n.each(func(f Field) *Node { return replace.value(f.Value, s.elem, 0) })
	}
	return n
}

// isExpression reports whether a text is one whole $(...).
func isExpression(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "$(") && closing(text, 1) == len(text)-1
}

// endOfWords is where the first words of a text end. Those of an expression are
// one.
func endOfWords(text string, words int) int {
	i := 0
	for ; words > 0; words-- {
		i += len(text[i:]) - len(strings.TrimLeft(text[i:], " "))
		for i < len(text) && text[i] != ' ' {
			if end := closing(text, i+1); strings.HasPrefix(text[i:], "$(") && end > 0 {
				i = end
			}
			i++
		}
	}
	return i
}

// Fill gives n with expressions replaced wherever they stand: in scalars, at any
// depth.
func (fill Filler) Fill(n *Node) *Node {
	if n.Kind == Scalar {
		return fill.scalar(n, 0)
	}
	return n.each(func(f Field) *Node { return fill.Fill(f.Value) })
}

// scalar fills a text of which the part before end must be literal.
func (fill Filler) scalar(n *Node, end int) *Node {
	if n.broken || !strings.Contains(n.Text, "$(") {
		return n
	}
	var s splicer
	done := 0 // how much of the text is in s
	for i := 0; i < len(n.Text); {
		open := strings.Index(n.Text[i:], "$(")
		if open < 0 {
			break
		}
		open += i
		shut := closing(n.Text, open+1)
		if shut < 0 {
			break // it is reported where the text is read
		}
		if i = shut + 1; open > 0 && n.Text[open-1] == '$' {
			i = open + 2
			continue
		}
		value, ok := fill(n, open+2, shut, open < end)
		switch {
		case !ok:
			continue
		case value == nil:
			return n.Unknown()
		case strings.TrimSpace(n.Text) == n.Text[open:shut+1]:
			return value.at(n.key)
		}
		s.same(n, done, open)
		s.other(n, open, shut+1, value.Text)
		done = shut + 1
	}
	if done == 0 {
		return n
	}
	s.same(n, done, len(n.Text))
	out := *n
	out.Text, out.runs = s.text.String(), s.runs
	if n.Style == Plain {
		out.Type = resolve(out.Text)
	}
	return &out
}

// at is n as the value of another key.
func (n *Node) at(key *Node) *Node {
	out := *n
	out.key = key
	return &out
}

// Unknown is n as a value of which a fault has been reported.
func (n *Node) Unknown() *Node {
	out := *n
	out.broken = true
	return &out
}

// ScalarAt is a scalar that stands for something at a place. No part of it has a
// place of its own.
func ScalarAt(text string, at Span) *Node {
	return &Node{Kind: Scalar, Type: resolve(text), Text: text, Span: at, from: at.Start, runs: []run{{0, len(text), at.Start, at.End - at.Start}}}
}

// splicer makes the text of a scalar from parts of another and texts between.
type splicer struct {
	text strings.Builder
	runs []run
}

// same adds n.Text[from:to].
func (s *splicer) same(n *Node, from, to int) {
	for i := from; i < to; {
		next, verbatim := to, true
		if n.runs != nil {
			r := n.runs[n.origin().runAt(i)]
			next, verbatim = min(to, max(r.text+r.textLen, i+1)), r.textLen == r.srcLen
		}
		at := n.At(i, next)
		if verbatim {
			at.End = at.Start + next - i
		}
		s.runs = append(s.runs, run{s.text.Len(), next - i, at.Start, at.End - at.Start})
		s.text.WriteString(n.Text[i:next])
		i = next
	}
}

// other adds a text that stands for n.Text[from:to].
func (s *splicer) other(n *Node, from, to int, text string) {
	at := n.At(from, to)
	s.runs = append(s.runs, run{s.text.Len(), len(text), at.Start, at.End - at.Start})
	s.text.WriteString(text)
}
