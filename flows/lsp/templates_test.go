package lsp

import (
	"context"
	"strings"
	"testing"
)

// shared is a template, and a flow that uses it.
const shared = `template: lookup
summary: One thing of a service.
input:
  service: { type: service }
  id: { type: string }
  patience: { type: duration, default: 1s }
steps:
  - id: thing
    call: GET $(input.service) /users/$(input.id)
    timeout: $(input.patience)
yield: $(thing)
---
flow: profile
trigger: { http: 'GET /customers/{id}' }
steps:
  - id: user
    use: lookup
    with: { service: users, id: $(params.id) }
`

func TestTemplatesInEditors(t *testing.T) {
	at := func(text string) string { return strings.Replace(shared, strings.ReplaceAll(text, "‸", ""), text, 1) }
	for _, c := range []struct{ name, text, want string }{
		{"a template", at("use: look‸up"), "profile.yaml:1:11"},
		{"an input that is a value", at("/users/$(input.i‸d)"), "profile.yaml:5:7"},
		{"an input that is a literal", at("timeout: $(input.pat‸ience)"), "profile.yaml:6:13"},
		{"a step of a template", at("yield: $(th‸ing)"), "profile.yaml:8:9"},
		{"a service that is given", at("service: us‸ers"), "site.yaml:3:3"},
		{"what a use gives", shared + "  - return: $(us‸er.first)\n", "profile.yaml:16:9"},
	} {
		t.Run("the definition of "+c.name, func(t *testing.T) {
			d := editing(t, shop, "profile.yaml", c.text)
			if got, err := d.definition(context.Background(), &d.cursor); err != nil || d.where(got) != c.want {
				t.Errorf("got %s (%v), want %s", d.where(got), err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, text, want, without string }{
		{"a template", shared + "  - use: ‸", "lookup", "price-of"},
		{"its inputs", shared + "  - use: lookup\n    with: { ‸", "id patience service", ""},
		{"a document", "tem‸", "template", ""},
		{"a key of a template", "template: a\n‸", "input steps summary yield", "trigger"},
		{"a step in it", "template: a\nsteps:\n  - ‸", "call use", "template: "},
		{"names inside", at("/users/$(‸input.id)"), "input", "params"},
		{"inputs inside", at("/users/$(input.‸id)"), "id patience service", ""},
		{"what a use gives", shared + "  - return: $(user.‸)\n", "address first orders", ""},
	} {
		t.Run("the completion of "+c.name, func(t *testing.T) {
			d := editing(t, shop, "profile.yaml", c.text)
			items, err := d.completion(context.Background(), &d.cursor)
			if err != nil {
				t.Fatal(err)
			}
			offers(t, items, c.want, c.without)
		})
	}
}
