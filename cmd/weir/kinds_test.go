package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/language"
	"github.com/weir-run/weir/flows/suite"
	"github.com/weir-run/weir/gateway/policies"
)

// component is a Kind of any type, with a program around its examples.
type component struct {
	name, doc string
	examples  []dsl.Example
	schema    *dsl.Schema
	decode    func(n *dsl.Node, r dsl.Reporter) bool
	program   func(example string) string
}

func componentOf[B dsl.Reporter, T any](k dsl.Kind[B, T], program func(example string) string) component {
	return component{
		name: k.Name, doc: k.Doc, examples: k.Examples, schema: k.Schema(), program: program,
		decode: func(n *dsl.Node, r dsl.Reporter) bool { return k.Decode(n, r) },
	}
}

// components are all that flow files can be written with.
func components(t *testing.T) []component {
	t.Helper()
	c, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	var all []component
	for _, k := range c.Steps.All() {
		all = append(all, componentOf(k, stepProgram))
	}
	for _, k := range c.Policies.Kinds() {
		all = append(all, componentOf(k.Kind, func(example string) string { return policyProgram(k, example) }))
	}
	return append(all,
		componentOf(connectors.ServiceKind, func(example string) string {
			return "services:\n  login: { endpoints: [\"http://127.0.0.1:9001\"] }\n  example:\n" + indent(4, example) + "\n"
		}),
		componentOf(flows.GatewayKind, func(example string) string {
			return "gateways:\n  example:\n" + indent(4, example) + "\n"
		}),
		componentOf(suite.TestKind, testProgram),
		componentOf(suite.MockKind, func(example string) string {
			return testProgram("test: example\nrequest: GET /customers/7\nmock:\n  users:\n" + indent(4, example))
		}))
}

// testProgram has all that the examples of tests refer to.
func testProgram(example string) string {
	return "tests:\n  -" + indent(4, example)[3:] + `
---
flow: customer
trigger: { http: "GET /customers/{id}" }
steps:
  - id: user
    call: GET users /users/$(params.id)
  - call: GET orders /orders
---
flow: price-of
input: { sku: {}, qty: { type: integer } }
steps: [{ return: 1 }]
---
gateways: { public: { listen: "127.0.0.1:0" } }
---
services:
  users: { endpoints: ["http://127.0.0.1:9001"] }
  orders: { endpoints: ["http://127.0.0.1:9001"] }
  stock: { endpoints: ["http://127.0.0.1:9001"] }
`
}

// policyProgram has all that the examples of policies refer to.
func policyProgram(k policies.Kind, example string) string {
	return "flow: example\ntrigger: { http: \"GET /example/{id}\", policies: [example] }\nsteps: [{ return: 1 }]\n---\npolicies:\n  example:\n" +
		"    " + k.Name + ":\n" + indent(6, example) + "\n---\ngateways: { public: { listen: \"127.0.0.1:0\", tls: { certificates: [{ cert: a.pem, key: a.key }], client: request, client_ca: ca.pem } } }\n---\nservices:\n" +
		"  identity: { endpoints: [\"http://127.0.0.1:9001\"] }\n"
}

// stepProgram has all that the examples of steps refer to.
func stepProgram(example string) string {
	var b strings.Builder
	b.WriteString("flow: example\ntrigger: { http: \"POST /example/{id}\" }\nsteps:\n")
	b.WriteString("  -" + indent(4, example)[3:] + "\n")
	b.WriteString("---\nflow: price-of\ninput: { sku: {}, qty: { type: integer } }\nsteps: [{ return: 1 }]\n")
	if strings.Contains(example, "use: ") {
		b.WriteString("---" + engine.TemplateSchema().Examples[0].YAML)
	}
	b.WriteString("---\ngateways: { public: { listen: \"127.0.0.1:0\" } }\n---\nservices:\n")
	for _, name := range []string{"users", "orders", "offers", "stock", "carrier", "payments"} {
		fmt.Fprintf(&b, "  %s: { endpoints: [\"http://127.0.0.1:9001\"] }\n", name)
	}
	return b.String()
}

func indent(columns int, text string) string {
	pad := strings.Repeat(" ", columns)
	return pad + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+pad)
}

func TestEveryComponentIsDocumented(t *testing.T) {
	for _, c := range components(t) {
		t.Run(c.name, func(t *testing.T) {
			documented(t, c.schema)
			if len(c.examples) == 0 {
				t.Error("no example")
			}
			for _, x := range c.examples {
				if x.Name == "" {
					t.Error("an example without a name")
				}
			}
		})
	}
	documented(t, engine.FlowSchema())
	documented(t, engine.TemplateSchema())
	documented(t, engine.ModifierSchema())
}

func documented(t *testing.T, s *dsl.Schema) {
	t.Helper()
	for _, f := range s.Fields {
		if !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("the doc of %s is no sentence: %q", f.Key, f.Doc)
		}
		documented(t, f.Schema)
		if f.Elem != nil {
			documented(t, f.Elem)
		}
	}
}

// TestExamplesCompile holds what we show to what we advise.
func TestExamplesCompile(t *testing.T) {
	kinds, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range components(t) {
		for _, x := range c.examples {
			t.Run(c.name+"/"+x.Name, func(t *testing.T) {
				text := c.program(x.YAML)
				files := &flows.Files{Sources: []*dsl.Source{dsl.NewSource("example.yaml", text)}}
				program, ds := suite.Check(flows.Parse(files), kinds, flows.Environment{
					Env: func(string) (string, bool) { return "", false }, Log: slog.New(slog.DiscardHandler),
				})
				ds = slices.DeleteFunc(ds, func(d dsl.Diagnostic) bool {
					return d.Severity == dsl.Note || d.Code == "unused-value" || d.Code == "no-flows" // an example is one component
				})
				if program == nil || len(ds) > 0 {
					var b strings.Builder
					dsl.Render(&b, ds, dsl.RenderOptions{})
					t.Errorf("%s\nin\n%s", b.String(), text)
				}
			})
		}
	}
}

// TestSchemasAgreeWithTheDecoder puts values of every form under every key of
// every example, and compares what the two say.
func TestSchemasAgreeWithTheDecoder(t *testing.T) {
	values := []string{"~", "1", "-1", "100000", "1.5", "text", "true", "2s", "10MB", "50%", "[]", "[1]", "[text]", "{}", "{ a: 1 }", "[{ when: a }]"}
	for _, c := range components(t) {
		t.Run(c.name, func(t *testing.T) {
			schema := compileSchema(t, c.schema)
			keys := []string{"unknown_key"}
			for _, f := range c.schema.Fields {
				keys = append(keys, f.Key)
			}
			for _, x := range c.examples {
				whole := parse(t, x.YAML)
				agree(t, c, schema, own(whole, keys))
				for _, key := range keys {
					agree(t, c, schema, own(whole, slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == key })))
					for _, value := range values {
						agree(t, c, schema, with(own(whole, keys), parse(t, key+": "+value)))
					}
				}
			}
		})
	}
}

func parse(t *testing.T, text string) *dsl.Node {
	t.Helper()
	var ds dsl.Diagnostics
	docs := dsl.Parse(dsl.NewSource("example.yaml", text), &ds)
	if ds.Failed() || len(docs) != 1 {
		t.Fatalf("%v in %s", ds.All(), text)
	}
	return docs[0]
}

// own is n with only the given keys: modifiers belong to the step, not to the
// kind.
func own(n *dsl.Node, keys []string) *dsl.Node {
	out := *n
	out.Fields = nil
	for _, f := range n.Fields {
		if slices.Contains(keys, f.Key.Text) {
			out.Fields = append(out.Fields, f)
		}
	}
	return &out
}

// with is n with a field of another mapping in the place of its own.
func with(n, other *dsl.Node) *dsl.Node {
	out := *n
	out.Fields = slices.DeleteFunc(slices.Clone(n.Fields), func(f dsl.Field) bool { return f.Key.Text == other.Fields[0].Key.Text })
	out.Fields = append(out.Fields, other.Fields[0])
	return &out
}

func compileSchema(t *testing.T, s *dsl.Schema) *jsonschema.Schema {
	t.Helper()
	return compileJSON(t, s.JSONSchema())
}

func compileJSON(t *testing.T, schema map[string]any) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("kind.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("kind.json")
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return compiled
}

func agree(t *testing.T, c component, schema *jsonschema.Schema, n *dsl.Node) {
	t.Helper()
	var ds dsl.Diagnostics
	decoded := c.decode(n, &ds)
	text, err := json.Marshal(plain(n))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); (err == nil) != decoded {
		t.Errorf("%s: the decoder says %t (%v), the schema says %v", text, decoded, ds.All(), err)
	}
}

// plain is a node as JSON has it.
func plain(n *dsl.Node) any {
	switch n.Kind {
	case dsl.List:
		list := []any{}
		for _, item := range n.Items {
			list = append(list, plain(item))
		}
		return list
	case dsl.Map:
		m := map[string]any{}
		for _, f := range n.Fields {
			m[f.Key.Text] = plain(f.Value)
		}
		return m
	}
	switch n.Type {
	case dsl.Null:
		return nil
	case dsl.Bool:
		return n.Text == "true"
	case dsl.Int, dsl.Float:
		if f, err := strconv.ParseFloat(n.Text, 64); err == nil {
			return f
		}
	}
	return n.Text
}

// TestGrammarHasEverySection makes sure that the formatter, editors and the
// schema know all that programs are made of.
func TestGrammarHasEverySection(t *testing.T) {
	c, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	g := language.Grammar(c)
	for _, name := range flows.Sections {
		s := g.Sections[name]
		if s == nil {
			t.Errorf("the grammar does not have %s", name)
		} else if s.Doc == "" {
			t.Errorf("%s: no doc", name)
		}
	}
	if len(g.Sections) != len(flows.Sections) {
		t.Errorf("the grammar has %d sections, programs %d", len(g.Sections), len(flows.Sections))
	}
}
