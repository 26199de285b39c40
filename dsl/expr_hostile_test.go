package dsl

import (
	"context"
	"strings"
	"testing"
	"time"
)

const hostileBody = `{
  "price": 1.10, "name": "Ada", "max": 9223372036854775807, "min": -9223372036854775808,
  "big": 12345678901234567890, "near": 12345678901234567891, "odd": 9007199254740993, "zero": 0, "minus": -0,
  "items": [{"id": 1, "price": 1.10}, {"id": 1.0, "price": 1.1}, {"id": 2, "price": 2}],
  "o": {"p": 1.10, "q": 2}, "s": "-", "none": null
}`

func TestNumbersStayExactInEveryOperation(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`body.big == body.big`, `true`},
		{`body.big == body.near`, `false`},
		{`body.big != body.near`, `true`},
		{`body.near in [body.big]`, `false`},
		{`body.odd == 9007199254740992.0`, `false`},
		{`body.odd == 9007199254740993`, `true`},
		{`body.items[0] == body.items[1]`, `true`},
		{`uniq([body.big, body.near, body.big])`, `[12345678901234567890,12345678901234567891]`},
		{`uniq(map(body.items, .id))`, `[1,2]`},
		{`uniq(body.items)`, `[{"id":1,"price":1.10},{"id":2,"price":2}]`},
		{`filter(body.items, .price == 1.1)`, `[{"id":1,"price":1.10},{"id":1.0,"price":1.1}]`},
		{`[body.big, body.price, body.minus]`, `[12345678901234567890,1.10,-0]`},
		{`{"a": {"b": [body.price]}}`, `{"a":{"b":[1.10]}}`},
		{`reverse([body.price, 1])`, `[1,1.10]`},
		{`concat([body.price], [body.big])`, `[1.10,12345678901234567890]`},
		{`flatten([[body.price], [[body.big]]])`, `[1.10,12345678901234567890]`},
		{`take([body.price, 2], 1)`, `[1.10]`},
		{`first(map(body.items, .price))`, `1.10`},
		{`last([body.price])`, `1.10`},
		{`get(body.o, "p")`, `1.10`},
		{`find(body.items, .id == 1).price`, `1.10`},
		{`sortBy(body.items, .price)[2].price`, `2`},
		{`groupBy(body.items, .id)`, `{"1":[{"id":1,"price":1.10},{"id":1.0,"price":1.1}],"2":[{"id":2,"price":2}]}`},
		{`groupBy([{"k": "1"}, {"k": 1}], .k)`, ``},
		{`groupBy(body.items, [.id])`, ``},
		{`toPairs(body.o)`, `[["p",1.10],["q",2]]`},
		{`fromPairs(toPairs(body.o))`, `{"p":1.10,"q":2}`},
		{`fromPairs([[1, "a"], ["b", body.price]])`, `{"1":"a","b":1.10}`},
		{`fromJSON(toJSON(body.big))`, `12345678901234567890`},
		{`reduce(body.items, concat(#acc, [.price]), [])`, `[1.10,1.1,2]`},
		{`body.none ?? body.big`, `12345678901234567890`},
		{`body.zero == 0 ? body.price : 0`, `1.10`},
		{`let p = body.price; {"p": p}`, `{"p":1.10}`},
		{`body.max - 1`, `9223372036854775806`},
		{`body.max + 1`, ``},
		{`body.min - 1`, ``},
		{`body.max * 2`, ``},
		{`body.min * -1`, ``},
		{`-body.min`, ``},
		{`-body.max`, `-9223372036854775807`},
		{`body.max * 1`, `9223372036854775807`},
		{`(body.min + 1) * -1`, `9223372036854775807`},
		{`float(body.max) * 2`, `18446744073709552000`},
		{`sum([body.max, 1])`, ``},
		{`sum(body.items, .id)`, `4`},
		{`reduce([body.max, 1], #acc + #)`, ``},
		{`int(body.big)`, ``},
		{`int(body.price)`, `1`},
		{`int("12")`, `12`},
		{`body.zero % body.zero`, ``},
		{`0.1 + 0.2`, `0.30000000000000004`},
		{`1..3`, `[1,2,3]`},
		{`{"a": 1..3}`, `{"a":[1,2,3]}`},
		{`split("a-b", body.s)`, `["a","b"]`},
		{`split("a-b", body.s)[5]`, `null`},
		{`filter(body.items, .id == 9)[0]`, `null`},
		{`filter(body.items, .id == 9)[0]?.price ?? 0`, `0`},
	} {
		t.Run(c.expr, func(t *testing.T) {
			v, err := evalText(t, testScope(hostileBody), c.expr)
			var text []byte
			if err == nil {
				text, err = AppendJSON(nil, v)
			}
			if c.want == "" && err == nil || c.want != "" && (err != nil || string(text) != c.want) {
				t.Errorf("got %s (%v), want %s", text, err, c.want)
			}
		})
	}
}

func TestANumberIsNeverTakenForText(t *testing.T) {
	for _, expr := range []string{
		`len(body.price)`, `body.price[0:1]`, `first(body.price)`, `last(body.price)`, `get(body.price, 0)`,
		`body.price startsWith "1"`, `body.price contains "."`, `upper(body.price)`, `body.price + "x"`, `split(body.price, ".")`,
		`first(body.name)`, `get(body.name, 0)`,
	} {
		t.Run(expr, func(t *testing.T) {
			if v, err := evalText(t, testScope(hostileBody), expr); err == nil {
				t.Errorf("gave %v", v)
			}
		})
	}
}

func TestAbsenceEndsAWholeChain(t *testing.T) {
	for _, expr := range []string{
		`body.missing?.x.y`, `body.missing?.x[0].y`, `body.missing?.["x"].y`, `body?.missing[0]["x"]`,
		`let b = body; b.missing?.x.y.z`, `let b = body; b.missing?.x[0].z`,
		`map([body], .missing?.x.y)[0]`, `map([body], #.missing?.x[0].y)[0]`,
	} {
		t.Run(expr, func(t *testing.T) {
			if v, err := evalText(t, testScope(hostileBody), expr); v != nil || err != nil {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
}

// What takes exponential room or quadratic time with expr's own functions must
// end with a fault or at once.
func TestGrowthIsBounded(t *testing.T) {
	for _, c := range []struct {
		expr  string
		fails bool
	}{
		{`len(uniq(1..30000))`, false},
		{`len(uniq(map(1..30000, {{"id": #}})))`, false},
		{`reduce(1..40, concat(#acc, #acc), [1])`, true},
		{`flatten(reduce(1..40, [#acc, #acc], 0))`, true},
		{`string(reduce(1..40, [#acc, #acc], ""))`, true},
		{`max(reduce(1..40, [#acc, #acc], 1))`, true},
		{`let a = reduce(1..40, [#acc, #acc], 0); let b = reduce(1..40, [#acc, #acc], 0); a == b`, true},
		{`let a = reduce(1..300000, [#acc], 0); a == a`, true},
		{`flatten(reduce(1..300000, [#acc], 0))`, true},
		{`uniq([reduce(1..300000, [#acc], 0)])`, true},
		{`uniq([reduce(1..40, [#acc, #acc], 0)])`, true},
		{`let s = repeat("a,", 1000000); len(map(1..1000, split(s, ",")))`, true},
		{`let s = repeat("a", 10000000); len(map(1..1000, now().Format(s)))`, true},
		{`let s = 1..300000; len(map(1..1000, sort(s)))`, true},
		{`let s = 1..100000; len(map(1..1000, groupBy(s, #)))`, true},
		{`len(split(repeat("a", 60000000), ""))`, true},
		{`len(fromJSON("[" + repeat("{\"a\":1},", 1000000) + "1]"))`, true},
		{`int(repeat("x", 1000000))`, true},
	} {
		t.Run(c.expr, func(t *testing.T) {
			v, err := evalText(t, testScope(hostileBody), c.expr)
			if err == nil {
				_, err = AppendJSON(nil, v)
			}
			if (err != nil) != c.fails {
				t.Errorf("got %v", err)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestHostileSourcesCompileInTime(t *testing.T) {
	for name, text := range map[string]string{
		"overloaded functions":      strings.Repeat("join(", 90) + `["a"]` + strings.Repeat(")", 90),
		"nested replaces":           strings.Repeat("replace(", 90) + `"a"` + strings.Repeat(`, "a", 1)`, 90),
		"parentheses in a comment":  "/* ' */" + strings.Repeat("(", 8000) + "/* ' */",
		"brackets behind a comment": "// '\n" + strings.Repeat("[", 8000),
		"many large ranges":         strings.TrimSuffix(strings.Repeat("len(1..999999)+", 900), "+"),
		"overloads that do not fit": strings.Repeat("trimPrefix(", 90) + "1" + strings.Repeat(")", 90),
		"nested sorts":              strings.Repeat("sort(", 90) + "1" + strings.Repeat(")", 90),
		"nested predicates":         strings.Repeat("map([1],", 90) + "#" + strings.Repeat(")", 90),
		"ternaries":                 strings.Repeat("true?1:", 2000) + "1",
		"not not":                   strings.Repeat("not ", 4000) + "true",
		"coalescing":                strings.Repeat("body.a??", 2000) + "1",
		"members":                   "let a = body; a" + strings.Repeat(".b", 8000),
		"optional members":          "let a = body; a" + strings.Repeat("?.b", 5000),
		"lets":                      strings.Repeat("let a=1;", 2000) + "1",
		"sequence":                  strings.Repeat("1;", 8000) + "1",
		"a list":                    "[" + strings.Repeat("1,", 8000) + "1]",
		"one long name":             strings.Repeat("a", 16000),
		"conditions":                strings.Repeat("if true {1} else ", 900) + "{1}",
		"pipes":                     "[1]" + strings.Repeat("|map(#)", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var ds Diagnostics
			scope := testScope(hostileBody)
			if e := NewExpressions(&ds).Compile(scalar(t, text), scope); e != nil {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_, _ = e.Eval(ctx, scope) // it may fail, but it must end
			}
			t.Log(time.Since(start), ds.Len())
			if ds.Len() > 3000 {
				t.Errorf("%d faults", ds.Len())
			}
		})
	}
}

func TestPatternsCannotComeFromARequest(t *testing.T) {
	var ds Diagnostics
	NewExpressions(&ds).Compile(scalar(t, `"x" matches body.name`), testScope(hostileBody))
	if !ds.Failed() || !strings.Contains(ds.All()[0].Message, "pattern") {
		t.Errorf("got %v", ds.All())
	}
}
