package engine

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

const exprBody = `{
  "name": "Ada", "price": 1.10, "n": 3, "big": 12345678901234567890, "odd": 9007199254740993, "max": 9223372036854775807,
  "minus": -0, "exp": 1E5, "flag": true, "none": null, "empty": {}, "no": [], "dup": {"a": 1}, "dup": {"b": 1.50},
  "tags": ["b", "a", "c", "a"], "text": "{\"a\":[1,2.50]}", "d": "2024-02-29", "lone": "\ud800",
  "items": [{"sku": "x", "price": 1.50, "qty": 2}, {"sku": "y", "price": 10, "qty": 1, "sub": [[1.0, 1], {"k": null}]}, null],
  "nested": {"a": {"b": {"c": 42}}, "we.ird*": {"@key#": 7}, "\u0061\u0301": "accent"}
}`

// lookers are one flow's names twice: read lazily from bytes, and from a
// document that encoding/json decoded.
type lookers struct {
	frame *frame
	body  *name
	lazy  *scope
	plain plainScope
}

func newLookers(t testing.TB) *lookers {
	c := &Compiler{Reporter: &dsl.Diagnostics{}, lang: &Language{}, flow: &Flow{}}
	l := &lookers{frame: c.pushFrame()}
	l.body = c.name(l.frame, "body")
	l.lazy = &scope{frame: l.frame, c: c, names: map[string]*entry{}}
	l.lazy.names["body"] = &entry{Name: l.lazy.bound(l.body)}
	c.scope = l.lazy
	l.plain = plainScope{"body": decoded(t, exprBody)}
	return l
}

func (l *lookers) exchange() *Exchange {
	l.frame.seal()
	x := l.frame.exchange(&Input{}, nil)
	x.results[l.body.index].cell.set(JSON(exprBody))
	return x
}

// plainScope reads decoded values, with no path prepared.
type plainScope map[string]any

func (plainScope) Env() {}

func (s plainScope) Name(text string) (*dsl.Name, bool) {
	v, ok := s[text]
	return &dsl.Name{Bind: func(path dsl.Path) dsl.Read { return plainRead{v, path} }}, ok
}

func (plainScope) Names() []string { return []string{"body"} }

func (s plainScope) Loop(string, dsl.Span, *dsl.StaticType) (dsl.Scope, dsl.Var) { return s, nil }

type plainRead struct {
	value any
	path  dsl.Path
}

func (r plainRead) Value(dsl.Env) (any, error) { return walk(r.value, r.path) }

func (plainRead) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

// countdown is a context that ends when it was looked at often enough.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func textNode(text string) *dsl.Node {
	src := dsl.NewSource("fuzz.yaml", text)
	return &dsl.Node{Kind: dsl.Scalar, Type: dsl.Str, Text: text, Span: dsl.Span{Source: src, End: len(text)}}
}

// FuzzExpressions holds expressions that look into bytes against the same
// expressions on decoded values: same value, same text, same fault.
func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{
		`body.name`, `body.price * 2`, `body.big == body.big`, `body.items[0].price + body.items[1].price`, `body.dup.a`, `body.dup.b`,
		`body.nested["we.ird*"]["@key#"]`, `body.nested.a?.b.c`, `body.none?.x.y`, `body.none.x`, `body.lone`, `body.items[2]?.sku`, `body.items[9]`,
		`map(body.items, #?.price)`, `filter(body.items, #?.qty > 1)`, `map(body.tags, {{"t": #, "p": body.price}})`,
		`sum(map(filter(body.items, # != null), .price))`, `groupBy(body.tags, #)`, `sortBy(filter(body.items, # != null), .price, "desc")`,
		`reduce(body.tags, #acc + #, "")`, `let x = body.items; x[1].sub[0][0]`, `keys(body.nested)`, `toPairs(body.dup)`, `fromPairs([["a", body.exp]])`,
		`toJSON(body)`, `fromJSON(body.text).a[1]`, `string(body)`, `len(body.text)`, `uniq(body.tags)`, `sort(body.tags)`, `flatten(body.items[1].sub)`,
		`body.name in ["Ada"]`, `"a" in body.dup`, `body.n in 1..5`, `body["na" + "me"]`, `body.items[body.n - 2].sku`, `body.tags[1:3]`,
		`body.flag ? body.price : body.big`, `if body.flag { body.exp } else { 0 }`, `body?.missing[0]["x"] ?? body.minus`, `body.max + 1`, `-body.n`,
		`body.name matches "^A" and not (body.name contains "z")`, `split(body.name, "")`, `join(body.tags, "-")`, `replace(body.name, "A", "\u0000")`,
		`date(body.d).Year()`, `duration("1h").Seconds()`, `int(body.price)`, `float(body.big)`, `round(body.price)`, `max(body.n, body.price)`,
		`any(body.items, #?.qty == 2)`, `count(1..100, # % 2 == 0)`, `first(body.tags)`, `last(body.no)`, `get(body, "name")`, `body.items | map(#?.sku) | filter(# != null)`,
		`[body, body.none, {"a": body.empty}]`, `concat(body.tags, [body.price])`, `/* ' */ body.n // '`, "`raw`", `"é\u00e9"`, `{"a": 1}.a`, `type(body.big)`,
		`body . name`, `body.items[0]?.["sku"]`, `body.items?.[0].sku`, `not body.flag`, `body.n..body.n+2`, `1..3 | map(# * body.price)`,
		`mean(map(1..4, #))`, `median([body.price, 2])`, `findIndex(body.tags, # == "c")`, `toBase64(body.name)`, `trim(body.name, "A")`, `lastIndexOf(body.name, "a")`,
		`body == body`, `body.dup == {"b": 1.5}`, `body.items == body.items`, `body.empty ?? 1`, `abs(body.minus)`, `bitand(body.n, 1)`, `reverse(body.tags)`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "now") {
			return // it gives another value each time
		}
		var lazyFaults, plainFaults dsl.Diagnostics
		l := newLookers(t)
		lazy := dsl.NewExpressions(&lazyFaults).Compile(textNode(text), l.lazy)
		plain := dsl.NewExpressions(&plainFaults).Compile(textNode(text), l.plain)
		for _, d := range lazyFaults.All() {
			if d.Span.Start < 0 || d.Span.End < d.Span.Start || d.Span.End > len(text) || d.Message == "" {
				t.Fatalf("%q: fault without a place or a message: %+v", text, d)
			}
		}
		if (lazy == nil) != (plain == nil) || lazyFaults.Len() != plainFaults.Len() {
			t.Fatalf("%q: faults %v and %v", text, lazyFaults.All(), plainFaults.All())
		}
		if lazy == nil {
			if !lazyFaults.Failed() {
				t.Fatalf("%q: nothing was compiled and nothing reported", text)
			}
			return
		}
		x := l.exchange()
		got, err := lazy.Eval(&countdown{context.Background(), 5000}, x)
		want, wantErr := plain.Eval(&countdown{context.Background(), 5000}, l.plain)
		if !sameFault(err, wantErr) {
			t.Fatalf("%q: got %v, want %v", text, err, wantErr)
		}
		if err != nil {
			checkFault(t, text, err)
			return
		}
		gotText, gotErr := dsl.AppendJSON(nil, got)
		wantText, wantErr := dsl.AppendJSON(nil, want)
		if string(gotText) != string(wantText) || !sameFault(gotErr, wantErr) {
			t.Fatalf("%q: got %s (%v), want %s (%v)", text, gotText, gotErr, wantText, wantErr)
		}
		spliced, err := lazy.AppendJSON(&countdown{context.Background(), 5000}, x, nil)
		if (err == nil) != (gotErr == nil) {
			t.Fatalf("%q: the splice gives %v, the value %v", text, err, gotErr)
		}
		if err == nil && !reflect.DeepEqual(decoded(t, string(spliced)), decoded(t, string(wantText))) {
			t.Fatalf("%q: spliced %s, want %s", text, spliced, wantText)
		}
	})
}

func checkFault(t *testing.T, text string, err error) {
	t.Helper()
	if errors.Is(err, context.DeadlineExceeded) {
		return
	}
	var fault *dsl.Fault
	if !errors.As(err, &fault) || !fault.Span.Valid() || fault.Message == "" || len(fault.Message) > 300 {
		t.Fatalf("%q: fault without a place or a short message: %v", text, err)
	}
}
