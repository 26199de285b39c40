package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

func compile(t testing.TB, text string, files ...*dsl.Source) (*schema.Schema, *dsl.StaticType, []dsl.Diagnostic) {
	t.Helper()
	var ds dsl.Diagnostics
	roots := dsl.Parse(dsl.NewSource("dir/flow.yaml", text), &ds)
	if ds.Failed() {
		t.Fatal(ds.All()[0].Message)
	}
	docs := schema.NewDocuments(files)
	s := docs.Compile(roots[0], &ds)
	return s, docs.Type(roots[0], roots[0]), ds.All()
}

func TestViolationsSayWhereAndWhat(t *testing.T) {
	for _, c := range []struct{ schema, value, want string }{
		{`{ type: object, properties: { id: { type: integer }, name: { type: string } }, required: [id, name] }`, `{"id":"x"}`, `/id must be a whole number, not text; /name is required`},
		{`{ type: array, items: { type: number, minimum: 2.5 } }`, `[3, 1, "x"]`, `/1 must be at least 2.5; /2 must be a number, not text`},
		{`{ type: integer }`, `12345678901234567890`, ``},
		{`{ type: integer, maximum: 9007199254740992 }`, `9007199254740993`, ` must be at most 9007199254740992`},
		{`{ multipleOf: 0.01 }`, `19.99`, ``},
		{`{ type: object, properties: { a: {} }, additionalProperties: false }`, `{"a/b":1,"c":2}`, `/a~1b is not known here; /c is not known here`},
		{`{ enum: [a, b, 3] }`, `"c"`, ` must be one of a, b, 3`},
		{`{ const: { a: 1 } }`, `1`, ` must be {"a":1}`},
		{`{ format: email }`, `"x"`, ` must be an email`},
		{`{ pattern: "^a+$" }`, `"b"`, ` must match the pattern ^a+$`},
		{`{ minLength: 1, maxLength: 3 }`, `""`, ` must have at least 1 character`},
		{`{ uniqueItems: true, minItems: 2 }`, `[1, 1.0]`, ` must not have equal elements, as 0 and 1 are`},
		{`{ oneOf: [{ type: string }, { type: integer }] }`, `true`, ` fits none of the forms that it can have`},
		{`{ oneOf: [{ type: number }, { type: integer }] }`, `1`, ` fits more than one of the forms of which it can have one`},
		{`{ not: { type: string } }`, `"x"`, ` has a form that is excluded`},
		{`{ dependentRequired: { a: [b] } }`, `{"a":1}`, `/b is required beside a`},
		{`{ allOf: [{ required: [a] }, { required: [b] }] }`, `{}`, `/a is required; /b is required`},
		{`{ $ref: "#/$defs/n", $defs: { n: { type: object, properties: { next: { $ref: "#/$defs/n" }, v: { type: integer } } } } }`, `{"next":{"next":{"v":true}}}`, `/next/next/v must be a whole number, not true or false`},
		{`{ $ref: "../shared/order.json#/$defs/item" }`, `{"sku":1}`, `/sku must be text, not a number`},
		{`{ properties: { x: { $ref: "item.yaml" } } }`, `{"x":{"sku":1}}`, `/x/sku must be text, not a number`},
		{`{ minimum: 1 }`, `1e999999999`, ` holds a number that is out of all bounds`},
		{`{ minimum: 1 }`, strings.Repeat("9", 5000), ` holds a number that is out of all bounds`},
		{`{ type: array }`, "[" + strings.Repeat("1,", 300_000) + "1]", ` holds more than 200000 values, which is the most that is checked`},
		{`{ type: array, minItems: 20000, items: { type: integer } }`, "[" + strings.Repeat("1,", 20_000) + `"x"]`, ` does not fit, somewhere behind its first values`},
		{`{ type: array, minItems: 20000, items: { type: integer } }`, `["x",` + strings.Repeat("1,", 20_000) + `"x"]`, `/0 must be a whole number, not text`},
		{`{ type: array, minItems: 20000, items: { type: integer } }`, "[" + strings.Repeat("1,", 20_000) + `1]`, ``},
	} {
		t.Run(c.schema, func(t *testing.T) {
			s, _, faults := compile(t, c.schema, dsl.NewSource("shared/order.json", `{ "$defs": { "item": { "properties": { "sku": { "type": "string" } } } } }`),
				dsl.NewSource("dir/item.yaml", `$ref: ../shared/order.json#/$defs/item`))
			if s == nil {
				t.Fatal(faults)
			}
			var got []string
			for _, v := range s.Check(dsl.DecodeJSON(c.value)) {
				got = append(got, v.Pointer+" "+v.Message)
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestBadSchemasHaveAPlace(t *testing.T) {
	files := []*dsl.Source{
		dsl.NewSource("dir/broken.json", `{ "a": `),
		dsl.NewSource("dir/bad.json", "{\n  \"properties\": { \"a\": { \"type\": \"strin\" } }\n}"),
		dsl.NewSource("dir/ok.json", `{}`),
	}
	for _, c := range []struct{ schema, at, says string }{
		{`{ type: strng }`, `dir/flow.yaml:1:9`, `there is no type "strng" (did you mean "string"?)`},
		{`{ properties: { a: { type: [list, "null"] } } }`, `dir/flow.yaml:1:29`, `(did you mean "array"?)`},
		{`{ patern: x }`, `dir/flow.yaml:1:3`, `unknown keyword "patern" (did you mean "pattern"?)`},
		{`{ pattern: "(" }`, `dir/flow.yaml:1:12`, `"(" is not a regular expression`},
		{`{ properties: { a: { minimum: x } } }`, `dir/flow.yaml:1:31`, `this must be a number, not text in a schema`},
		{`{ required: id }`, `dir/flow.yaml:1:13`, `this must be a list, not text`},
		{`{ $ref: "#/$defs/a" }`, `dir/flow.yaml:1:9`, `there is nothing at #/$defs/a`},
		{`{ $ref: nofile.json }`, `dir/flow.yaml:1:9`, `there is no file "nofile.json"`},
		{`{ $ref: okk.json }`, `dir/flow.yaml:1:9`, `did you mean "ok.json"?`},
		{`{ $ref: "http://example.com/x.json" }`, `dir/flow.yaml:1:9`, `only files can be referred to`},
		{`{ $ref: broken.json }`, `dir/broken.json:1:1`, ``},
		{`{ $ref: bad.json }`, `dir/bad.json:2:34`, `there is no type "strin"`},
		{`{ $ref: "#no" }`, `dir/flow.yaml:1:1`, `the schema cannot be used`},
		{`{ type: string, nullable: true }`, `dir/flow.yaml:1:17`, `nullable is a keyword of OpenAPI 3.0`},
		{`[a]`, `dir/flow.yaml:1:1`, `a schema is a mapping, not a list`},
	} {
		t.Run(c.schema, func(t *testing.T) {
			s, _, faults := compile(t, c.schema, files...)
			if s != nil || len(faults) == 0 {
				t.Fatal("no fault was found")
			}
			d := faults[0]
			if got := fmt.Sprintf("%s (%s)", d.Message, d.Hint); d.Span.String() != c.at || !strings.Contains(got, c.says) {
				t.Errorf("%s: %s", d.Span, got)
			}
		})
	}
}

func TestTypesOfSchemas(t *testing.T) {
	for _, c := range []struct {
		schema, path, want string
	}{
		{`{ type: integer }`, ``, `a whole number`},
		{`{ type: [string, "null"] }`, ``, `text or null`},
		{`{ type: string, nullable: true }`, ``, `text or null`},
		{`{ enum: [1, a] }`, ``, `a whole number or text`},
		{`{ properties: { a: { type: array, items: { type: number } } } }`, `a.0`, `a number`},
		{`{ properties: { a: { type: string }, b: {} }, required: [b] }`, `a`, `text or null`},
		{`{ properties: { a: { type: string, default: x }, b: {} }, required: [b] }`, `a`, `text`},
		{`{ allOf: [{ properties: { a: { type: string } } }, { properties: { b: { type: integer } } }] }`, `b`, `a whole number`},
		{`{ oneOf: [{ properties: { a: { type: string } } }, { properties: { a: { type: integer } } }] }`, `a`, `a whole number or text`},
		{`{ type: object, additionalProperties: { type: boolean } }`, `any`, `true or false`},
		{`{ properties: { a: {} }, additionalProperties: true }`, `any`, `unknown`},
		{`{ properties: { a: {} } }`, `any`, `none`},
		{`{ type: object }`, `any`, `unknown`},
		{`{ $defs: { t: { properties: { kids: { type: array, items: { $ref: "#/$defs/t" } }, n: { type: integer } } } }, $ref: "#/$defs/t" }`, `kids.0.kids.0.n`, `a whole number`},
		{`{ $defs: { t: { oneOf: [{ $ref: "#/$defs/t" }, { type: string }] } }, $ref: "#/$defs/t" }`, ``, `unknown`},
		{`{ $defs: { a: { allOf: [{ $ref: "#/$defs/b" }, { properties: { x: { type: string } } }] }, b: { properties: { up: { $ref: "#/$defs/a" } } } }, $ref: "#/$defs/a" }`, `up.up.x`, `text`},
		{`{}`, ``, `unknown`},
		{`{ $ref: "#/$defs/x", description: d, $defs: { x: { type: string } } }`, ``, `text`},
		{`{ prefixItems: [{ type: string }] }`, `0`, `unknown`},
	} {
		t.Run(c.schema, func(t *testing.T) {
			_, typ, _ := compile(t, c.schema)
			got := "none"
			for _, name := range strings.FieldsFunc(c.path, func(r rune) bool { return r == '.' }) {
				if name == "0" {
					typ = typ.Element()
					continue
				}
				f, ok := typ.Fields[name]
				if !ok && !typ.Open {
					typ = &dsl.StaticType{}
					break
				}
				if !ok {
					f.Type = typ.Rest
				}
				if typ = f.Type; f.Optional {
					typ = typ.OrNull()
				}
			}
			switch {
			case typ == nil || typ.Kinds == 1<<16-1:
				got = "unknown"
			case typ.Kinds != 0:
				got = typ.Kinds.String()
			}
			if got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}
