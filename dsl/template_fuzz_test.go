package dsl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// raw is a scope whose values are at hand as JSON text, as bodies are, with
// white space in it.
type raw struct{ *values }

func (r raw) Name(text string) (*Name, bool) {
	n, ok := r.values.Name(text)
	if !ok || n.Bind == nil || n.Type != TypeAny {
		return n, ok
	}
	return &Name{Bind: func(p Path) Read { return rawRead{n.Bind(p)} }}, true
}

func (r raw) Loop(name string, at Span, static *StaticType) (Scope, Var) {
	s, v := r.values.Loop(name, at, static)
	return raw{s.(*values)}, v
}

type rawRead struct{ Read }

func (r rawRead) JSON(env Env) (string, bool, error) {
	v, err := r.Value(env)
	if err != nil {
		return "", false, err
	}
	text, err := AppendJSON(nil, v)
	if err != nil {
		return "", false, nil
	}
	var spaced bytes.Buffer
	err = json.Indent(&spaced, text, "\t", " ")
	return " " + spaced.String() + "\r\n", true, err
}

// shapeReference is what a shape means, by the slowest way there is.
type shapeReference struct {
	exprs *Expressions
	env   Env
	steps int
}

var errLong = errors.New("too long for the reference")

func (s *shapeReference) value(n *Node, scope Scope) (v any, kept bool, err error) {
	if s.steps++; s.steps > 20000 {
		return nil, false, errLong
	}
	switch n.Kind {
	case List:
		list := []any{}
		for _, item := range n.Items {
			v, kept, err := s.value(item, scope)
			if err != nil {
				return nil, false, err
			}
			if kept {
				list = append(list, v)
			}
		}
		return list, true, nil
	case Map:
		if each := n.Field("$each"); each != nil {
			return s.each(n, each, scope)
		}
		if cond := n.Field("$if"); cond != nil {
			if keep, err := s.exprs.Compile(cond, scope).Bool(context.Background(), s.env); err != nil || !keep {
				return nil, false, err
			}
		}
		v, err := s.object(n, scope)
		return v, true, err
	}
	if n.Type != Str {
		text, err := scalarJSON(n)
		return DecodeJSON(string(text)), true, err
	}
	t := s.exprs.Text(n, PlainText, scope)
	if e, ok := t.Whole(); ok {
		v, err := e.Eval(context.Background(), s.env)
		return v, true, err
	}
	text, err := t.String(context.Background(), s.env)
	return strings.ToValidUTF8(text, "\ufffd"), true, err
}

func (s *shapeReference) object(n *Node, scope Scope) (any, error) {
	object := map[string]any{}
	for _, f := range n.Fields {
		name := f.Key.Text
		if name == "$each" || name == "$if" {
			continue
		}
		v, kept, err := s.value(f.Value, scope)
		if err != nil {
			return nil, err
		}
		if kept {
			object[strings.Replace(name, "$$", "$", min(1, strings.Count(name[:min(2, len(name))], "$$")))] = v
		}
	}
	return object, nil
}

func (s *shapeReference) each(n, each *Node, scope Scope) (any, bool, error) {
	item, index, from, _ := SplitEach(each)
	v, err := s.exprs.CompilePart(each, from, len(each.Text), scope).Eval(context.Background(), s.env)
	if err != nil {
		return nil, false, err
	}
	items, ok := v.([]any)
	if !ok {
		return nil, false, NotList(each.Span, v)
	}
	inner, itemVar := scope.Loop(item.Value, item.Span, nil)
	var indexVar Var
	if index.Value != "" {
		inner, indexVar = inner.Loop(index.Value, index.Span, Static(IsInt))
	}
	list := []any{}
	for i, item := range items {
		itemVar.Set(s.env, item)
		if indexVar != nil {
			indexVar.Set(s.env, i)
		}
		if cond := n.Field("$if"); cond != nil {
			if keep, err := s.exprs.Compile(cond, inner).Bool(context.Background(), s.env); err != nil {
				return nil, false, err
			} else if !keep {
				continue
			}
		}
		v, err := s.object(n, inner)
		if err != nil {
			return nil, false, err
		}
		list = append(list, v)
	}
	return list, true, nil
}

var shapeSeeds = []string{
	`a: 1`, `[1, 2.50, "x", null, true, ~]`, `$(body)`, `text`, `""`, `null`, `{}`, `[]`, `"$(body.name) and $(body.price)"`, `$$(body)`,
	"a: $(body.name)\nb: { c: [$(body.price), $(body.big)] }", "n: 0x10\nm: +5\nf: .5\ng: 1.10\nh: 12345678901234567890\ni: +12345678901234567890\nj: 0xFFFFFFFFFFFFFFFFFF",
	"$each: i in body.items\nsku: $(i.sku)", "$each: i, n in body.items\nn: $(n)\nsku: \"$(n)-$(i.sku)\"", "$if: body.flag\na: 1", "$if: not body.flag\na: 1",
	"- { $if: body.flag, a: 1 }\n- 2\n- { $if: not body.flag, b: 1 }", "- { $if: not body.flag, b: 1 }\n- { $if: not body.flag, b: 1 }\n- 3",
	"a: { $if: not body.flag, x: 1 }\nb: 2\nc: { $if: body.flag }\nd: { $each: t in body.tags, t: $(t) }", "a: { $if: not body.flag, x: 1 }\nb: { $if: not body.flag, x: 1 }",
	"$each: i in body.items\n$if: i.price > 2\nx: { $each: t in body.tags, $if: t != \"a\", v: [$(t), $(i.sku)] }", "- $each: t in body.tags\n- - $each: t in body.tags",
	"$each: i in body.none\nx: 1", "$each: i in body.none ?? []\nx: 1", "$$each: 1\n$$if: 2\n$$$x: 3", "\"a\\\"b\\u0000\": \"\\u2028 $(body.name)\\x7f\"",
	"'[': '{ $(body.tags)'\n']': { $if: body.flag, '{': '[' }", "a: \"[\"\nb: { $if: body.flag, c: \"{\" }\nd: 1", "- \"[\"\n- { $if: not body.flag }\n- \"{\"", "{ $if: body.flag }",
	"a: $([1, {\"b\": body.price}])\nb: $(1..3)\nc: $(body.missing)\nd: \"x$(body.missing)y\"", "$each: x in 1..3\n$if: x % 2 == 1\nv: $(x * body.price)", "a: |\n  line $(body.name)\n  $$( two\n",
}

// FuzzShapes holds the JSON that shapes write against a slow reading of them.
func FuzzShapes(f *testing.F) {
	for _, seed := range shapeSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "now") || strings.Contains(text, "..") && len(text) > 200 {
			return
		}
		var ds Diagnostics
		docs := Parse(NewSource("fuzz.yaml", text), &ds)
		if ds.Failed() || len(docs) != 1 {
			return
		}
		for _, scope := range []Scope{testScope(exprBody), raw{testScope(exprBody)}} {
			env := scope.(Env)
			x := NewExpressions(&ds)
			shape := x.Shape(docs[0], scope)
			if ds.Failed() {
				return
			}
			if shape == nil {
				t.Fatalf("%q: nothing was compiled and nothing reported", text)
			}
			ref := shapeReference{exprs: x, env: env}
			want, kept, wantErr := ref.value(docs[0], scope)
			if errors.Is(wantErr, errLong) {
				return
			}
			const before = `{"before":[`
			got, err := shape.AppendJSON(context.Background(), env, []byte(before))
			if err == nil && !strings.HasPrefix(string(got), before) {
				t.Fatalf("%q: what stood before became %q", text, got)
			}
			got = got[min(len(before), len(got)):]
			if wantErr == nil {
				_, wantErr = AppendJSON(nil, want)
			}
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%q: got %s, %v; want %v, %v", text, got, err, want, wantErr)
			}
			if err != nil {
				continue
			}
			if !kept {
				want = nil
			}
			wantText, _ := AppendJSON(nil, want)
			if !json.Valid(got) || !reflect.DeepEqual(DecodeJSON(string(got)), DecodeJSON(string(wantText))) {
				t.Fatalf("%q: got %s, want %s", text, got, wantText)
			}
		}
	})
}
