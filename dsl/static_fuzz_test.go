package dsl

import (
	"context"
	"testing"
	"time"
)

// FuzzStaticTypes makes sure that no expression breaks the check of types, and
// that what is known of a value is not wrong: an expression that gives a value
// gives one of the kinds that it is said to.
func FuzzStaticTypes(f *testing.F) {
	for _, expr := range []string{
		`order.items[0].sku + "x"`, `map(order.items, .qty * 2)[0]`, `order.status == "open" ? 1 : "a"`, `sum(order.items, .price) / 2`,
		`(order.rest ?? order.items) | len`, `let x = first(order.items); x.qty`, `keys(order.customer)[0]`, `{"a": [1, "b"]}.a`, `order.items[:1]`,
		`reduce(order.items, #acc + .qty, 0)`, `groupBy(order.items, .sku)`, `order["status"]`, `[1, 2.5, nil][0]`, `max(1, 2)`, `order?.customer?.name`,
		`upper(order.status) in ["OPEN"]`, `not (order.status matches "^o")`, `concat([1], ["a"])`, `get(order, "status")`, `1..3`, `-order.items[0].qty`,
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scope := typedScope()
		scope.vars["order"] = DecodeJSON(`{"id":1,"total":2.5,"paid":true,"status":"open","items":[{"sku":"x","price":1.5,"qty":2,"note":"n"}],
			"customer":{"name":"Ada","mail":"m"},"parent":{"name":"p","parts":[{"name":"q","parts":[]}]},"labels":{"a":"b"},"rest":{},"either":1,"maybe":null}`)
		x := NewExpressions(&Diagnostics{})
		defer x.Close()
		e := x.Compile(scalar(t, text), scope)
		if e == nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		v, err := e.Eval(ctx, scope)
		if err != nil {
			return
		}
		static := x.StaticType(e)
		if got := kindsOf(v); v != nil && !static.can(got) {
			t.Errorf("%s gives %s, and not %s", text, got, static.Kinds)
		}
	})
}

func kindsOf(v any) Kinds {
	switch v := v.(type) {
	case nil:
		return IsNull
	case bool:
		return IsBool
	case string:
		return IsText
	case int:
		return IsInt
	case float64:
		if v == float64(int(v)) {
			return IsNumber
		}
		return IsFloat
	case Number:
		return IsNumber
	case []any:
		return IsList
	case map[string]any, map[any][]any:
		return IsObject
	}
	return IsTime | IsDuration
}
