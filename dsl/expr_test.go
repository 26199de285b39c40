package dsl

import (
	"context"
	"errors"
	"strings"
	"testing"
)

const exprBody = `{
  "name": "Ada", "n": 3, "price": 1.10, "big": 12345678901234567890, "id": 9007199254740993, "flag": true, "none": null,
  "tags": ["b", "a", "c"],
  "items": [{"sku": "x", "price": 1.50, "qty": 2}, {"sku": "y", "price": 10, "qty": 1}],
  "nested": {"a": {"b": {"c": 42}}, "we.ird*": {"@key#": 7}}
}`

func TestEvaluationGivesExactValues(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`body.name`, `"Ada"`},
		{`body.price`, `1.10`},
		{`body.big`, `12345678901234567890`},
		{`body.id`, `9007199254740993`},
		{`body.id + 1`, `9007199254740994`},
		{`body.price * 2`, `2.2`},
		{`body.price == 1.1`, `true`},
		{`body.price in [1.1, 2]`, `true`},
		{`-body.price`, `-1.1`},
		{`[body.price]`, `[1.10]`},
		{`{"p": body.price}`, `{"p":1.10}`},
		{`filter(body.items, .price > 1.2)`, `[{"price":1.50,"qty":2,"sku":"x"},{"price":10,"qty":1,"sku":"y"}]`},
		{`map(body.items, .price)`, `[1.50,10]`},
		{`map(body.items, {{"p": .price}})`, `[{"p":1.50},{"p":10}]`},
		{`sum(body.items, .price)`, `11.5`},
		{`sum(map(body.items, .price))`, `11.5`},
		{`sum(body.items, .price * .qty)`, `13`},
		{`max(map(body.items, .price))`, `10`},
		{`sortBy(body.items, .price, "desc")[0].price`, `10`},
		{`sort(body.tags)`, `["a","b","c"]`},
		{`let p = body.price; p + 1`, `2.1`},
		{`let p = body.price; [p]`, `[1.10]`},
		{`(body.flag ? body.price : 2) + 1`, `2.1`},
		{`body.none ?? body.price`, `1.10`},
		{`body.missing ?? "x"`, `"x"`},
		{`body.missing`, `null`},
		{`body.missing?.deeper`, `null`},
		{`body?.missing.deeper.still`, `null`},
		{`user.address?.city ?? "nowhere"`, `"nowhere"`},
		{`body.items[0].sku`, `"x"`},
		{`body.items[-1].sku`, `"y"`},
		{`body.items[7]`, `null`},
		{`body.items[body.n - 2].sku`, `"y"`},
		{`body["name"]`, `"Ada"`},
		{`body.nested["we.ird*"]["@key#"]`, `7`},
		{`body.nested.a.b.c`, `42`},
		{`steps.user.status == 200 && request.method == "GET"`, `true`},
		{`body.none == null`, `true`},
		{`"name" in body`, `true`},
		{`keys(body.nested)`, `["a","we.ird*"]`},
		{`toJSON(body.items[0])`, `"{\"price\":1.50,\"qty\":2,\"sku\":\"x\"}"`},
		{`fromJSON("{\"a\":1.10}").a`, `1.10`},
		{`string(body.price)`, `"1.10"`},
		{`groupBy(body.items, .sku).x[0].qty`, `2`},
		{`len(body.items)`, `2`},
		{`reduce(body.items, #acc + .price, 0)`, `11.5`},
		{`body.items | filter(.qty > 1) | map(.sku)`, `["x"]`},
		{`all(body.items, .qty > 0) and not any(body.items, .qty > 5)`, `true`},
		{`upper(body.name) + "!"`, `"ADA!"`},
		{`body.tags[0:2]`, `["b","a"]`},
		{`join(body.tags, "-")`, `"b-a-c"`},
		{`replace(body.name, "A", "Z")`, `"Zda"`},
		{`count(body.items, .price >= 1.5)`, `2`},
		{`find(body.items, .qty == 1).sku`, `"y"`},
		{`type(body.price)`, `"float"`},
		{`1 / 4`, `0.25`},
	} {
		t.Run(c.expr, func(t *testing.T) {
			got, err := evalText(t, testScope(exprBody), c.expr)
			if err != nil {
				t.Fatal(err)
			}
			text, err := AppendJSON(nil, got)
			if err != nil || string(text) != c.want {
				t.Errorf("got %s (%v), want %s", text, err, c.want)
			}
		})
	}
}

func TestRunTimeFaultsHaveAPlace(t *testing.T) {
	for _, c := range []struct{ expr, at, says string }{
		{`body.none.x`, `x`, "of null"},
		{`user.address.city`, `city`, `field "city" of null`},
		{`body.name.first`, `first`, "text has no field"},
		{`body.items.sku`, `sku`, "a list has no field"},
		{`body[body.items].x`, `items`, "not a list"},
		{`1 + body.missing`, `+`, "null"},
		{`map(body.items, .price.cents)`, `cents`, "a number has no field"},
		{`body.items[0]["sku"].x`, `x`, "text has no"},
		{`fromJSON(body.name)`, `fromJSON`, "not JSON"},
		{`toJSON(1/0)`, `toJSON`, "not a number that JSON can say"},
	} {
		t.Run(c.expr, func(t *testing.T) {
			_, err := evalText(t, testScope(exprBody), c.expr)
			var f *Fault
			if !errors.As(err, &f) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(f.Message, c.says) {
				t.Errorf("message %q does not say %q", f.Message, c.says)
			}
			got := f.Span.Source.Text[f.Span.Start:f.Span.End]
			if !strings.HasPrefix(got, c.at) && got != c.at {
				t.Errorf("place is %q, want %q (%s)", got, c.at, f.Span)
			}
		})
	}
}

func TestExpressionsAreBoundedOnUntrustedValues(t *testing.T) {
	for _, expr := range []string{
		`reduce(1..40, #acc + #acc, body.name)`,
		`len(repeat(body.name, 100000000))`,
		`len(join(map(1..900000, repeat("x", 1000)), ""))`,
		`len(replace(repeat("a", 1000000), "a", repeat("b", 1000)))`,
		`len(toJSON(map(1..100000, body.items[0].sku + repeat("x", 10000))))`,
		`len(1..100000000)`,
		`len(string(map(1..900000, body)))`,
	} {
		t.Run(expr, func(t *testing.T) {
			if v, err := evalText(t, testScope(exprBody), expr); err == nil {
				t.Errorf("gave %v", v)
			}
		})
	}
}

func TestLoopsStopWhenTheContextEnds(t *testing.T) {
	scope := testScope(exprBody)
	var ds Diagnostics
	e := NewExpressions(&ds).Compile(scalar(t, `count(1..2000, count(1..2000, count(1..2000, # > 0) > 0) > 0)`), scope)
	cause := errors.New("out of time")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := e.Eval(ctx, scope); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestConditionsAreBooleans(t *testing.T) {
	scope := testScope(exprBody)
	var ds Diagnostics
	e := NewExpressions(&ds).Compile(scalar(t, `body.missing`), scope)
	if _, err := e.Bool(context.Background(), scope); err == nil || !strings.Contains(err.Error(), "??") {
		t.Errorf("got %v", err)
	}
}

func TestFaultsInTheTextOfAnExpression(t *testing.T) {
	for _, c := range []struct{ expr, code, says, hint string }{
		{`bdy.x`, "unknown-name", `unknown name "bdy"`, `did you mean "body"?`},
		{`request.metod`, "unknown-field", `request has no field "metod"`, `did you mean "method"?`},
		{`steps.usr.status`, "unknown-field", `steps has no field "usr"`, `did you mean "user"?`},
		{`steps`, "incomplete-name", `steps is not a value itself`, `user`},
		{`later.x`, "name-out-of-reach", `later has not run yet`, `move it up`},
		{`steps.user.status == "200"`, "bad-expression", `a whole number and text cannot be compared`, `convert`},
		{`lenght(body)`, "unknown-function", `unknown function "lenght"`, `did you mean "len"?`},
		{`body.x = 1`, "bad-expression", `= compares nothing`, `==`},
		{`body.x AND body.y`, "bad-expression", `"AND" is no operator`, `write and`},
		{`NOT body.x`, "bad-expression", `"NOT" is no operator`, `write not`},
		{`body.x is null`, "bad-expression", `"is" is no operator`, `write ==`},
		{`body.x gte 3`, "bad-expression", `"gte" is no operator`, `write >=`},
		{`contains(body.x, "a")`, "bad-expression", `"contains" is an operator`, `write x contains y`},
		{`body.x == None`, "unknown-name", `"None"`, `write null`},
		{`body.x +`, "bad-expression", `ends too early`, `missing at its end`},
		{`"abc`, "bad-expression", `the quote is never closed`, `close it`},
		{`$env`, "unknown-name", `unknown name "$env"`, ``},
		{`::repeat("x", 9)`, "bad-expression", `without ::`, ``},
		{`request.method.x`, "unknown-field", `is text and has no fields`, ``},
		{strings.Repeat("(", 5000), "expression-too-deep", "nests deeper", ""},
		{strings.Repeat("-", 5000) + "1", "expression-too-deep", "nests deeper", ""},
		{strings.Repeat("1+", 10000) + "1", "expression-too-long", "the limit is", ""},
		{`$(body.x)`, "expression-in-expression", "bare expression", "body.x"},
		{`body.x-id`, "unknown-name", "read as minus", `body["x-id"]`},
		{`let body = 1; body`, "name-taken", "already has a meaning", ""},
	} {
		t.Run(c.expr[:min(len(c.expr), 30)], func(t *testing.T) {
			var ds Diagnostics
			if e := NewExpressions(&ds).Compile(scalar(t, c.expr), testScope(`{}`)); e != nil {
				t.Fatal("compiled")
			}
			d := ds.All()[0]
			if d.Code != c.code || !strings.Contains(d.Message, c.says) || !strings.Contains(d.Hint, c.hint) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestAllUnknownNamesAreReportedAtOnce(t *testing.T) {
	var ds Diagnostics
	NewExpressions(&ds).Compile(scalar(t, `bdy.x + requst.method + usr.y`), testScope(`{}`))
	if ds.Len() != 3 {
		t.Errorf("got %d faults: %v", ds.Len(), ds.All())
	}
}

func TestConcurrentEvaluationIsSafe(t *testing.T) {
	scope := testScope(exprBody)
	var ds Diagnostics
	e := NewExpressions(&ds).Compile(scalar(t, `sum(body.items, .price * .qty) + body.n`), scope)
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			for range 200 {
				if v, err := e.Eval(context.Background(), scope); err != nil || v != 16.0 {
					done <- errors.New("wrong value")
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	scope := testScope(exprBody)
	n := scalar(b, `steps.user.status == 200 && body.n > 2 || len(filter(body.items, .price > 1)) > 0`)
	var ds Diagnostics
	x := NewExpressions(&ds)
	b.ReportAllocs()
	for b.Loop() {
		x.Compile(n, scope)
	}
}
