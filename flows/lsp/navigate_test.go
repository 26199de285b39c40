package lsp

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/creachadair/jrpc2"

	"github.com/weir-run/weir/dsl"
)

// where is a place as file:line:column, from 1.
func (d *desk) where(all []location) string {
	var out []string
	for _, l := range all {
		out = append(out, fmt.Sprintf("%s:%d:%d", filepath.Base(l.URI.path()), l.Range.Start.Line+1, l.Range.Start.Character+1))
	}
	return strings.Join(out, " ")
}

// beside is a program with everything that can be named.
const beside = shop + `
-- checks.test.yaml --
tests:
  - test: one
    request: GET /customers/1
    mock:
      users: { body: { id: "1", first: Ada, orders: [] } }
      steps.price: { body: { price: 2 } }
    expect: { calls: { users: 1 }, steps: { user: $(it.id == "1") } }
  - test: two
    run: price-of
    with: { sku: a }
`

func TestDefinitions(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a service", half + "  - call: GET us‸ers /x\n", "site.yaml:3:3"},
		{"a flow", half + "  - run: price‸-of\n", "site.yaml:6:7"},
		{"a template", half + "  - use: look‸up\n    with: { service: orders, id: a }\n", "site.yaml:12:11"},
		{"a service that a template is given", half + "  - use: lookup\n    with: { service: ord‸ers, id: a }\n", "site.yaml:4:3"},
		{"a gateway", "flow: a\ntrigger: { http: GET /, gateway: pub‸lic }\nsteps: []\n", "site.yaml:1:13"},
		{"a step", half + "  - return: $(us‸er.first)\n", "profile.yaml:4:9"},
		{"a step, at its end", half + "  - return: $(user‸)\n", "profile.yaml:4:9"},
		{"a step, by what stands beside it", half + "  - return: $(steps.us‸er.status)\n", "profile.yaml:4:9"},
		{"a parameter", "flow: a\ntrigger: { http: 'GET /{id}' }\nsteps: [{ return: $(params.i‸d) }]\n", "profile.yaml:2:18"},
		{"an input", "flow: a\ninput: { x: { type: string } }\nsteps: [{ return: $(input.x‸) }]\n", "profile.yaml:2:13"},
		{"a variable of a loop", half + "  - each: o in user.orders\n    steps: [{ log: $(o‸.sku) }]\n", "profile.yaml:9:11"},
		{"a variable of a shape", half + "  - return: { list: { $each: o in user.orders, x: $(o‸.sku) } }\n", "profile.yaml:9:30"},
		{"a file", "services: { u: { endpoints: [x], openapi: use‸rs.json } }\n", "users.json:1:1"},
		{"a file that is imported", "imports:\n  - si‸te.yaml\n", "site.yaml:1:1"},
		{"a place in a file", half + "output: { $ref: 'users.json#/components/schemas/U‸ser' }\n", "users.json:3:28"},
		{"a place in the schema", half + "output: { $ref: '#/$defs/a‸', $defs: { a: { type: object } } }\n", "profile.yaml:9:39"},
		{"a step, beside a line that cannot be read", half + "  - return: $(us‸er.first)\n  : [\n", "profile.yaml:4:9"},
		{"a step, beside a fault", half + "  - cal: x\n  - return: $(us‸er.first)\n", "profile.yaml:4:9"},
		{"itself", strings.Replace(half, "id: user", "id: us‸er", 1), "profile.yaml:4:9"},
		{"nothing", half + "  - return: $(len‸(user.first))\n", ""},
		{"what is unknown", half + "  - return: $(usr‸)\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := editing(t, beside, "profile.yaml", c.text)
			got, err := d.definition(context.Background(), &d.cursor)
			if err != nil || d.where(got) != c.want {
				t.Errorf("got %s (%v), want %s", d.where(got), err, c.want)
			}
		})
	}
}

func TestReferences(t *testing.T) {
	rest := "  - return: { a: $(user.id), b: $(steps.user.status), c: $(price.price) }\n"
	for _, c := range []struct{ name, text, want string }{
		{"a step, in tests, too", strings.Replace(half, "id: user", "id: us‸er", 1) + rest, "checks.test.yaml:7:45 profile.yaml:4:9 profile.yaml:9:20 profile.yaml:9:41"},
		{"a mocked step", strings.Replace(half, "id: price", "id: pri‸ce", 1) + rest, "checks.test.yaml:6:13 profile.yaml:6:9 profile.yaml:9:60"},
		{"a service", strings.Replace(half, "GET users", "GET us‸ers", 1) + rest, "checks.test.yaml:5:7 checks.test.yaml:7:24 profile.yaml:5:15 site.yaml:3:3"},
		{"a flow", strings.Replace(half, "price-of", "price‸-of", 1) + rest, "checks.test.yaml:9:10 profile.yaml:7:10 site.yaml:6:7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := editing(t, beside, "profile.yaml", c.text)
			p := referenceParams{cursorParams: d.cursor}
			p.Context.IncludeDeclaration = true
			got, err := d.references(context.Background(), &p)
			if err != nil || d.where(got) != c.want {
				t.Errorf("got %s (%v), want %s", d.where(got), err, c.want)
			}
		})
	}
}

func TestRename(t *testing.T) {
	rest := "  - return: { a: $(user.id), b: $(steps.user.status), c: '$(price.price ?? user.first)' }\n"
	for _, c := range []struct{ name, text, to, want, refused string }{
		{"a step", strings.Replace(half, "id: user", "id: us‸er", 1) + rest, "customer", "5", ""},
		{"a flow with a dash", strings.Replace(half, "price-of", "price‸-of", 1) + rest, "cost-of", "3", ""},
		{"a template", half + "  - use: look‸up\n    with: { service: orders, id: a }\n", "one-of", "2", ""},
		{"a service that a template is given", half + "  - use: lookup\n    with: { service: ord‸ers, id: a }\n", "shipments", "2", ""},
		{"a service", strings.Replace(half, "GET users", "GET us‸ers", 1) + rest, "people", "4", ""},
		{"a variable of a loop", half + rest + "  - each: o‸ in user.orders\n    steps: [{ log: $(o.sku) }, { log: '$(o.qty)' }]\n", "item", "3", ""},
		{"a variable of a shape", half + "  - return: { a: { $each: o in user.orders, x: $(o‸.sku) } }\n", "item", "2", ""},
		{"in quotes", strings.Replace(half, "id: user", "id: 'us‸er'", 1) + rest, "customer", "5", ""},
		{"to a name that is taken", strings.Replace(half, "id: user", "id: us‸er", 1) + rest, "price", "", `"price" already has a meaning here`},
		{"to a name of the language", strings.Replace(half, "id: user", "id: us‸er", 1) + rest, "body", "", `"body" has a meaning in the language`},
		{"to a name that expressions cannot read", strings.Replace(half, "id: user", "id: us‸er", 1) + rest, "a-b", "", "cannot be used in expressions"},
		{"to no name", strings.Replace(half, "id: user", "id: us‸er", 1) + rest, "a b", "", "is no name"},
		{"in a program with errors", strings.Replace(half, "id: user", "id: us‸er", 1) + "  - cal: x\n", "customer", "", "has errors"},
		{"what has no name", half + "  - ret‸urn: $(user.id)\n", "x", "", "cannot be renamed"},
		{"a parameter", half + "  - return: $(params.i‸d)\n", "x", "", "cannot be renamed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := editing(t, beside, "profile.yaml", c.text)
			before, _ := d.findings(d.programOf(d.doc.path))
			got, err := d.rename(context.Background(), &renameParams{d.cursor, c.to})
			if c.refused != "" {
				if err == nil || !strings.Contains(err.(*jrpc2.Error).Message, c.refused) {
					t.Errorf("got %v, want a refusal with %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, edits := range got.Changes {
				n += len(edits)
			}
			if fmt.Sprint(n) != c.want {
				t.Errorf("%d edits: %v", n, got.Changes)
			}
			// The client makes the edits, and nothing is wrong.
			for u, edits := range got.Changes {
				src := slices.IndexFunc(before.files.Sources, func(s *dsl.Source) bool { return s.Name == u.path() })
				d.documents[u.path()] = &document{uri: u, path: u.path(), text: newText(applied(before.files.Sources[src].Text, edits))}
			}
			d.changes++
			after, _ := d.findings(d.programOf(d.doc.path))
			if !after.sound {
				t.Errorf("behind it: %v", after.faults)
			}
		})
	}
	d := editing(t, beside, "profile.yaml", strings.Replace(half, "GET users", "GET us‸ers", 1)+rest)
	got, err := d.prepareRename(context.Background(), &d.cursor)
	if err != nil || got == nil || *got != (renamed{span{position{4, 14}, position{4, 19}}, "users"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// applied makes edits as a client does.
func applied(s string, edits []edit) string {
	t := newText(s)
	slices.SortFunc(edits, func(a, b edit) int { return t.offset(b.Range.Start, inUTF16) - t.offset(a.Range.Start, inUTF16) })
	for _, e := range edits {
		s = s[:t.offset(e.Range.Start, inUTF16)] + e.NewText + s[t.offset(e.Range.End, inUTF16):]
	}
	return s
}

func TestHover(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a key with a default", "services: { a: { time‸out: 1s } }\n", "**timeout**: duration from 1ms, default 10s"},
		{"a verb", half + "  - ca‸ll: GET users /x\n", "Sends a request to a service"},
		{"a modifier", half + "  - call: GET users /x\n    time‸out: 1s\n", "How long the step may take"},
		{"a key of a flow", "flow: a\nsum‸mary: x\n", "What the flow is for"},
		{"a name", half + "  - return: $(us‸er)\n", "**user**: { address?: { city: text }"},
		{"a field", half + "  - return: $(user.or‸ders)\n", "**orders**: list of { lines: list of"},
		{"a field in a predicate", half + "  - return: $(filter(user.orders, .qt‸y > 1))\n", "**qty**: a whole number"},
		{"a parameter", half + "  - return: $(params.i‸d)\n", "**id**: text"},
		{"an enum", half + "  - return: $(price.curr‸ency)\n", `**currency**: "EUR" or "USD"`},
		{"a function", half + "  - return: $(up‸per(user.first))\n", "upper("},
		{"a condition", half + "  - when: user.fi‸rst == \"x\"\n    call: GET users /x\n", "**first**: text"},
		{"a service", half + "  - call: GET us‸ers /x\n", "service **users**\n\n```yaml\nusers: { endpoints:"},
		{"a flow", half + "  - run: price‸-of\n", "flow **price-of**\n\nWhat one costs."},
		{"a template", half + "  - use: look‸up\n    with: { service: orders, id: a }\n", "template **lookup**\n\nOne thing of a service."},
		{"a step", strings.Replace(half, "id: user", "id: us‸er", 1), "step **user**"},
		{"a member of a compose", half + "  - compose:\n      a‸b: { call: GET users /x }\n", "step **ab**"},
		{"nothing", half + "  - return: 1‸2\n", ""},
		{"a comment", "flow: a # fl‸ow\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := editing(t, beside, "profile.yaml", c.text)
			got, err := d.server.hover(context.Background(), &d.cursor)
			if err != nil {
				t.Fatal(err)
			}
			if got == nil {
				got = &hover{}
			}
			if !strings.Contains(got.Contents.Value, c.want) || c.want == "" && got.Contents.Value != "" {
				t.Errorf("got %s", got.Contents.Value)
			}
		})
	}
}
