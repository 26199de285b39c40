package dsl

import (
	"context"
	"testing"
)

// values is a Scope and Env over decoded values, as plain as can be.
type values struct {
	names map[string]*Name
	vars  map[string]any
}

func (v *values) Env() {}

func (v *values) Name(name string) (*Name, bool) {
	n, ok := v.names[name]
	return n, ok
}

func (v *values) Names() []string { return sortedKeys(v.names) }

func (v *values) Loop(name string, _ Span, static *StaticType) (Scope, Var) {
	inner := &values{names: map[string]*Name{}, vars: v.vars}
	for k, n := range v.names {
		inner.names[k] = n
	}
	inner.add(name, TypeAny, nil)
	inner.names[name].Static = static
	return inner, loopVar{v, name}
}

type loopVar struct {
	values *values
	name   string
}

func (l loopVar) Set(_ Env, v any)           { l.values.vars[l.name] = v }
func (l loopVar) SetJSON(_ Env, text string) { l.values.vars[l.name] = DecodeJSON(text) }

// add declares a name with its value.
func (v *values) add(name string, t ValueType, value any) {
	v.vars[name] = value
	v.names[name] = &Name{Type: t, Bind: func(p Path) Read { return valueRead{v, name, p} }}
}

type valueRead struct {
	values *values
	name   string
	path   Path
}

func (r valueRead) Value(Env) (any, error) {
	v := r.values.vars[r.name]
	for _, key := range r.path {
		var err error
		if v, err = Member(v, key); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (r valueRead) JSON(Env) (string, bool, error) { return "", false, nil }

// testScope has a body, two steps and the fields around them.
func testScope(body string) *values {
	v := &values{names: map[string]*Name{}, vars: map[string]any{}}
	v.add("body", TypeAny, DecodeJSON(body))
	v.add("user", TypeAny, DecodeJSON(`{"first":"Ada","last":"Love lace","address":null}`))
	v.add("method", TypeString, "GET")
	v.add("status", TypeInt, 200)
	v.names["request"] = &Name{Type: TypeObject, Fields: map[string]*Name{"method": v.names["method"]}}
	v.names["steps"] = &Name{Type: TypeObject, Fields: map[string]*Name{
		"user": {Type: TypeObject, Fields: map[string]*Name{"status": v.names["status"]}},
	}}
	v.names["later"] = &Name{Denied: &Denied{Message: "later has not run yet", Hint: "move it up"}}
	return v
}

// scalar makes a node as if text were a whole file.
func scalar(t testing.TB, text string) *Node {
	t.Helper()
	src := NewSource("test.yaml", text)
	return &Node{Kind: Scalar, Type: Str, Text: text, Span: Span{Source: src, End: len(text)}}
}

func evalText(t testing.TB, scope *values, text string) (any, error) {
	t.Helper()
	var ds Diagnostics
	e := NewExpressions(&ds).Compile(scalar(t, text), scope)
	if e == nil {
		t.Fatalf("%s: %s", text, ds.All()[0].Message)
	}
	return e.Eval(context.Background(), scope)
}
