package lsp

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(t testing.TB) Options {
	t.Helper()
	verbs, err := dsl.NewCatalog(slices.Concat(steps.All(), connectors.All())...)
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Catalog: &flows.Catalog{Steps: verbs}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Version: "v1",
		Env: func(name string) (string, bool) { return "outside", name == "PLACE" },
	}
}

// write makes files of an archive, and gives their directory.
func write(t testing.TB, archive string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shop is what files are written beside.
const shop = `
-- site.yaml --
gateways: { public: { listen: ':0' } }
services:
  users: { endpoints: ['http://127.0.0.1:1'], openapi: users.json }
  orders: { endpoints: ['http://127.0.0.1:2'] }
---
flow: price-of
summary: What one costs.
input: { sku: { type: string }, qty: { type: integer, default: 1 } }
output: { type: object, properties: { price: { type: number }, currency: { enum: [EUR, USD] } } }
steps: [{ return: { price: 1, currency: EUR } }]
---
template: lookup
summary: One thing of a service.
input: { service: { type: service }, id: { type: string } }
steps:
  - id: thing
    call: GET $(input.service) /things/$(input.id)
yield: $(thing)
-- users.json --
{"openapi": "3.1.0", "info": {"title": "users", "version": "1"}, "paths": {"/users/{id}": {"get": {"summary": "One user.", "responses": {"200": {"description": "ok",
"content": {"application/json": {"schema": {"$ref": "#/components/schemas/User"}}}}}}}},
"components": {"schemas": {"User": {"type": "object", "required": ["id", "first", "orders"], "properties": {
"id": {"type": "string"}, "first": {"type": "string"}, "address": {"type": "object", "properties": {"city": {"type": "string"}}},
"orders": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}}}},
"Order": {"type": "object", "properties": {"sku": {"type": "string"}, "qty": {"type": "integer"}, "lines": {"type": "array", "items": {"type": "object", "properties": {"note": {"type": "string"}}}}}}}}}
`

// desk is a server with an open document in which a cursor is.
type desk struct {
	*server
	dir    string
	doc    *document
	cursor cursorParams
}

// edit opens a document beside the files of an archive. Its text has a cursor.
func editing(t testing.TB, archive, name, s string) *desk {
	t.Helper()
	text, offset := marked(t, s)
	d := &desk{server: newServer(options(t)), dir: write(t, archive)}
	d.snippets = true
	d.folders = []string{d.dir}
	path := filepath.Join(d.dir, name)
	d.doc = &document{uri: fileURI(path), path: path, text: text}
	d.documents[path] = d.doc
	d.cursor = cursorParams{documentID{d.doc.uri}, text.position(offset, inUTF16)}
	return d
}

func labels(items []completionItem) string {
	slices.SortStableFunc(items, func(a, b completionItem) int { return strings.Compare(a.SortText, b.SortText) })
	var all []string
	for _, i := range items {
		all = append(all, i.Label)
	}
	return strings.Join(all, " ")
}

func slogDiscard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func contentOf(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
