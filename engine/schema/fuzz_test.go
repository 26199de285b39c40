package schema_test

import (
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// FuzzSchema makes sure that no schema breaks a check, and no value a request.
func FuzzSchema(f *testing.F) {
	f.Add(`{ type: object, properties: { a: { $ref: "#" }, b: { type: [integer, "null"], minimum: 1 } }, required: [a] }`, `{"a":{"b":1e5},"b":"x"}`)
	f.Add(`{ oneOf: [{ $ref: "#" }, { allOf: [{ $ref: "#/oneOf/0" }] }], enum: [1, a, null, {}] }`, `[1, 1.0, "x"]`)
	f.Add(`{ $ref: "other.json#/a", multipleOf: 0.01 }`, `0.1e-399`)
	f.Add(`{ uniqueItems: true, items: { format: uuid, pattern: "^a*$" }, prefixItems: [7] }`, `[[], {}, 9999999999999999999999]`)
	f.Add(`[{ $id: "x:y", $anchor: a, $ref: "#a", $dynamicRef: "#b" }]`, `null`)
	other := `{ "a": { "type": "number", "exclusiveMinimum": 1 }, "b": { "$ref": "flow.yaml" } }`
	f.Fuzz(func(t *testing.T, text, value string) {
		var ds dsl.Diagnostics
		root := dsl.ParseData(dsl.NewSource("flow.yaml", text), &ds)
		if root == nil {
			return
		}
		docs := schema.NewDocuments([]*dsl.Source{dsl.NewSource("other.json", other), dsl.NewSource("flow.yaml", text)})
		s, before := docs.Compile(root, &ds), ds.Failed()
		if s == nil && !before {
			t.Error("a schema cannot be used, and nobody is told")
		}
		if typ := docs.Type(root, root); typ != nil {
			dsl.Join(typ, dsl.Meet(typ, typ.OrNull())).Element()
		}
		if s != nil && dsl.CheckJSON(value) == nil {
			s.Check(dsl.DecodeJSON(value))
		}
	})
}
