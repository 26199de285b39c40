package flows_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/flowtest"
)

const typedFlow = `
flow: typed
trigger:
  http: "POST /orders/{id}"
  input:
    params: { id: { type: integer, minimum: 1 } }
    query:
      limit: { type: integer, default: 20, maximum: 100 }
      price: { type: number }
      tags: { type: array, items: { type: integer } }
      draft: { type: boolean, default: false }
      since: { type: string, format: date }
      required: [since]
    headers:
      X-Count: { type: integer, default: 7 }
    body:
      type: object
      required: [sku]
      properties: { sku: { type: string }, qty: { type: integer, minimum: 1 } }
steps:
  - return:
      id: $(params.id + 1)
      limit: $(query.limit + 1)
      price: $(query.price)
      tags: $(query.tags)
      first: $(query.tags?.[0] ?? 0)
      draft: "$(query.draft ? 1 : 2)"
      count: $(headers["x-count"] + 1)
      agent: $(headers["x-agent"])
      qty: $((body.qty ?? 1) * 2)
      query: $(query)
      params: $(params)
`

func TestInputIsReadAsItsTypes(t *testing.T) {
	w := flowtest.Serve(t, typedFlow, nil)
	for _, c := range []struct{ path, body, want string }{
		{"/orders/7?since=2026-01-31", `{"sku":"a"}`,
			`{"id":8,"limit":21,"price":null,"tags":null,"first":0,"draft":2,"count":8,"agent":"x","qty":2,"query":{"draft":false,"limit":20,"since":"2026-01-31"},"params":{"id":7}}`},
		{"/orders/9007199254740993?since=2026-01-31&limit=5&price=1.10&tags=3&tags=4&draft=true&more=1", `{"sku":"a","qty":3}`,
			`{"id":9007199254740994,"limit":6,"price":1.10,"tags":[3,4],"first":3,"draft":1,"count":8,"agent":"x","qty":6,"query":{"draft":true,"limit":5,"more":"1","price":1.10,"since":"2026-01-31","tags":[3,4]},"params":{"id":9007199254740993}}`},
	} {
		r := w.Request("POST", c.path, c.body)
		r.Header.Set("X-Agent", "x")
		if a := w.Send(r); a.Body != c.want {
			t.Errorf("%s: got %s", c.path, a.Body)
		}
	}
}

func TestInputThatDoesNotFitIsToldAtOnce(t *testing.T) {
	w := flowtest.Serve(t, typedFlow, nil)
	for _, c := range []struct{ path, body, want string }{
		{"/orders/x?limit=many&price=1,5&tags=a&tags=1&draft=yes&since=today", `{"qty":0}`,
			`/params/id must be a whole number, not text
/query/draft must be true or false, not text
/query/limit must be a whole number, not text
/query/price must be a number, not text
/query/since must be a date
/query/tags/0 must be a whole number, not text
/body/qty must be at least 1
/body/sku is required`},
		{"/orders/0?limit=101", ``, `/params/id must be at least 1
/query/limit must be at most 100
/query/since is required
/body is required`},
		{"/orders/1?since=2026-01-31&limit=1e999999999", `{"sku":"a"}`, `/query holds a number that is out of all bounds`},
	} {
		a := w.Post(c.path, c.body)
		var problem struct {
			Code   string
			Errors []struct{ Pointer, Message string }
		}
		if err := json.Unmarshal([]byte(a.Body), &problem); err != nil || a.Status != http.StatusBadRequest || problem.Code != "invalid-request" {
			t.Fatal(a.Status, a.Body, err)
		}
		var got []string
		for _, e := range problem.Errors {
			got = append(got, e.Pointer+" "+e.Message)
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
	}
}

func TestClosedQuery(t *testing.T) {
	w := flowtest.Serve(t, `
flow: closed
trigger:
  http: GET /
  input: { query: { q: {}, additionalProperties: false } }
steps:
  - return: $(query.q)
`, nil)
	if a := w.Get("/?q=1"); a.Body != "1" {
		t.Error(a.Body)
	}
	if a := w.Get("/?q=1&z=2"); a.Status != 400 || !strings.Contains(a.Body, `{"pointer":"/query/z","message":"is not known here"}`) {
		t.Error(a.Body)
	}
}

func TestHandlersAnswerViolations(t *testing.T) {
	w := flowtest.Serve(t, `
flow: answered
trigger:
  http: POST /
  input: { body: { type: object, properties: { a: { type: integer } } } }
steps:
  - return: 1
errors:
  - when: error.kind == "input"
    return: '$(map(error.violations, .pointer + ": " + .message))'
    status: 422
`, nil)
	if a := w.Post("/", `{"a":"x"}`); a.Status != 422 || a.Body != `["/body/a: must be a whole number, not text"]` {
		t.Error(a.Status, a.Body)
	}
}

func TestValidateKnowsWhoIsToBlame(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"name":7}`)
	})
	schema := `{ type: object, properties: { name: { type: string } } }`
	w := flowtest.Serve(t, `
flow: caller
trigger: { http: POST /caller }
steps:
  - id: copy
    set: { name: $(body.name) }
  - id: checked
    validate: $(copy)
    schema: `+schema+`
  - return: $(checked.name)
---
flow: foreign
trigger: { http: POST /foreign }
steps:
  - id: user
    call: GET backend /
  - validate: $(user)
    schema: `+schema+`
---
flow: caught
trigger: { http: POST /caught }
steps:
  - id: checked
    validate: $(body)
    schema: `+schema+`
    fallback: $(error.violations[0].pointer)
  - return: $(checked)
`, flowtest.Backends{"backend": backend})
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/caller", `{"name":"Ada"}`, 200, "Ada"},
		{"/caller", `{"name":1}`, 400, `"errors":[{"pointer":"/name","message":"must be text, not a number"}]`},
		{"/foreign", `{}`, 502, `"code":"upstream-malformed"`},
		{"/caught", `{"name":1}`, 200, "/name"},
	} {
		if a := w.Post(c.path, c.body); a.Status != c.status || !strings.Contains(a.Body, c.want) {
			t.Errorf("%s: %d %s", c.path, a.Status, a.Body)
		}
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func names(files *flows.Files) string {
	var all []string
	for _, s := range files.Sources {
		all = append(all, filepath.Base(s.Name))
	}
	all = append(all, "|")
	for _, s := range files.Documents {
		all = append(all, filepath.Base(s.Name))
	}
	return strings.Join(all, " ")
}

func TestLoadReadsTheFilesThatFlowFilesReferTo(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"flows/a.yaml":          "flow: a\ntrigger: { http: POST /, input: { body: { $ref: ../shared/order.json } } }\nsteps: [{ return: $(body.id) }]\n",
		"flows/users.yaml":      "openapi: 3.1.0\npaths: {}\ncomponents: { $ref: './more.yaml#/x' }\n",
		"flows/more.yaml":       "x: 1\n",
		"flows/loose.yaml":      "\"$schema\": https://json-schema.org/draft/2020-12/schema\n",
		"flows/services.yaml":   "services:\n  s: { endpoints: [\"http://127.0.0.1:1\"] } # openapi: 'users.yaml'\ngateways: { g: { listen: \":0\" } }\n",
		"shared/order.json":     `{ "type": "object", "properties": { "id": { "$ref": "id.json#/$defs/id" }, "up": { "$ref": "order.json" }, "no": { "$ref": "none.json" } } }`,
		"shared/id.json":        `{ "$defs": { "id": { "type": "integer" } } }`,
		"flows/.hidden/x.yaml":  "a: [",
		"shared/unrelated.json": "{",
	})
	load := func() *flows.Files {
		files, err := flows.Load([]string{filepath.Join(dir, "flows")})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	first := load()
	if got := names(first); got != "a.yaml services.yaml | more.yaml users.yaml id.json order.json" && got != "a.yaml services.yaml | more.yaml id.json order.json users.yaml" {
		t.Error(got)
	}
	if p, faults := flows.Check(first, catalog(), flows.Environment{Log: slog.New(slog.DiscardHandler)}); p == nil {
		if len(faults) != 1 || !strings.Contains(faults[0].Message, `no file "none.json"`) {
			t.Error(faults)
		}
	} else {
		t.Error("a missing file is no fault")
	}
	write(t, dir, map[string]string{"shared/id.json": `{ "$defs": { "id": { "type": "string" } } }`})
	second := load()
	if second.Hash == first.Hash {
		t.Error("a change of a document is none of the program")
	}
	write(t, dir, map[string]string{"shared/none.json": `{}`})
	third := load()
	if third.Hash == second.Hash {
		t.Error("a new document is none of the program")
	}
	if p, faults := flows.Check(third, catalog(), flows.Environment{Log: slog.New(slog.DiscardHandler)}); p == nil {
		t.Error(faults)
	}
}

func TestAChangeOfASchemaIsAChangeOfTheProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	write(t, dir, map[string]string{
		"a.yaml":               "flow: a\ntrigger: { http: POST /, input: { body: { $ref: ../shared/a.json } } }\nsteps: [{ return: $(body.id) }]\n---\ngateways: { public: { listen: \"127.0.0.1:0\" } }\n",
		"../shared/a.json":     `{ "properties": { "id": { "$ref": "id/id.json" } } }`,
		"../shared/id/id.json": `{ "type": "integer" }`,
	})
	w := watch(t, dir)
	w.write("../shared/a.json", `{ "properties": { "name": {} } }`)
	if r := w.next(); r.OK() {
		t.Error("a field that is gone is no fault")
	}
	w.write("../shared/a.json", `{ "properties": { "id": { "$ref": "no.json" } } }`)
	if r := w.next(); r.OK() {
		t.Error("a file that is not there is no fault")
	}
	w.write("../shared/no.json", `{ "type": "string" }`)
	if r := w.next(); !r.OK() {
		t.Error("a file that has come is not seen", r.Diagnostics)
	}
}
