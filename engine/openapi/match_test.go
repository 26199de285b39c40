package openapi

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

func read(t *testing.T, text string) *Document {
	t.Helper()
	var ds dsl.Diagnostics
	root := dsl.ParseData(dsl.NewSource("api.yaml", text), &ds)
	d := Read(root, schema.NewDocuments(nil), &ds)
	if d == nil || ds.Len() > 0 {
		t.Fatal(ds.All())
	}
	return d
}

const routes = `
openapi: 3.1.0
servers: [{ url: "https://api.example/v1/" }, { url: /v2 }]
paths:
  /users: { get: {}, post: {} }
  /users/{id}: { get: {} }
  /users/me: { get: {}, delete: {} }
  /users/{id}/orders: { get: {} }
  /reports/daily: { get: {} }
  /reports/weekly: { get: {} }
  /files/{name}.{ext}: { get: {} }
  /files/{name}/raw: { get: {} }
  "/odd name/{x}": { get: {} }
`

func TestCallsFindTheirOperation(t *testing.T) {
	d := read(t, routes)
	for _, c := range []struct{ method, path, want, fault string }{
		{"GET", "/users", "/users", ""},
		{"GET", "/users/", "/users", ""},
		{"GET", "/users/7", "/users/{id}", ""},
		{"GET", "/users/\x00", "/users/{id}", ""},
		{"GET", "/users/me", "/users/me", ""},
		{"GET", "/users/u-\x00/orders", "/users/{id}/orders", ""},
		{"GET", "/v1/users/7", "/users/{id}", ""},
		{"GET", "/v2/users", "/users", ""},
		{"GET", "/reports/\x00", "", ""}, // one of two
		{"GET", "/reports/d\x00", "/reports/daily", ""},
		{"GET", "/files/a.txt", "/files/{name}.{ext}", ""},
		{"GET", "/files/\x00.txt", "/files/{name}.{ext}", ""},
		{"GET", "/odd%20name/1", "/odd name/{x}", ""},
		{"DELETE", "/users/me", "/users/me", ""},
		{"DELETE", "/users/7", "", "backend has no DELETE for /users/{id}"},
		{"GET", "/usrs/\x00", "", "backend has no path /usrs/{…}"},
		{"GET", "/users/7/order", "", "backend has no path /users/7/order"},
		{"GET", "/v3/users", "", "backend has no path /v3/users"},
		{"GET", "/", "", "backend has no path /"},
	} {
		t.Run(c.method+strings.ReplaceAll(c.path, Hole, "*"), func(t *testing.T) {
			var ds dsl.Diagnostics
			got, fault := "", ""
			if op := d.Operation(Call{Service: "backend", Method: c.method, Path: c.path}, &ds); op != nil {
				got = op.Path
			}
			if ds.Len() > 0 {
				fault = ds.All()[0].Message
			}
			if got != c.want || fault != c.fault {
				t.Errorf("got %q, %q", got, fault)
			}
		})
	}
}

func TestResults(t *testing.T) {
	d := read(t, `
openapi: 3.1.0
paths:
  /a:
    get:
      responses:
        "200": { content: { application/json; charset=utf-8: { schema: { type: integer } } } }
        "202": { content: { application/vnd.x+json: { schema: { type: string } } } }
        "404": { content: { application/json: { schema: { type: boolean } } } }
        4XX: { content: { application/json: { schema: { type: "null" } } } }
    delete: { responses: { "204": { description: gone } } }
    put: { responses: { default: { content: { text/plain: {} } } } }
    post: { responses: { "500": {} } }
    head: { responses: { "200": { content: { application/json: { schema: { type: integer } } } } } }
`)
	for _, c := range []struct {
		method   string
		accepted []int
		want     string
	}{
		{"GET", nil, "a whole number or text"}, {"GET", []int{404}, "true or false, a whole number or text"},
		{"GET", []int{409}, "a whole number, text or null"}, {"GET", []int{503}, "a whole number or text"},
		{"DELETE", nil, "null"}, {"PUT", nil, "text"}, {"POST", nil, "unknown"}, {"HEAD", nil, "unknown"},
	} {
		op := d.Operation(Call{Method: c.method, Path: "/a"}, &dsl.Diagnostics{})
		got := "unknown"
		if typ := op.Result(c.accepted); typ != nil {
			got = typ.Kinds.String()
		}
		if got != c.want {
			t.Errorf("%s %v: %s", c.method, c.accepted, got)
		}
	}
}

// FuzzDocument makes sure that no document breaks what reads it.
func FuzzDocument(f *testing.F) {
	f.Add(routes, "/users/7")
	f.Add(`{"openapi":"3.0.0","paths":{"/x":{"$ref":"#/paths/~1x"},"/y":{"get":{"parameters":[{"$ref":"#/paths"}],"responses":{"200":{"$ref":"#"}}}}}}`, "/y")
	f.Add("openapi: 3.1.0\npaths: { /a: { parameters: 7, get: [], post: { requestBody: x, responses: [1] } } }", "/a")
	f.Add("openapi: 3.1.0\nservers: [7, { url: [], variables: { a: 1 } }]\npaths: []", "/{")
	f.Fuzz(func(t *testing.T, text, path string) {
		var ds dsl.Diagnostics
		root := dsl.ParseData(dsl.NewSource("api.yaml", text), &ds)
		if root == nil {
			return
		}
		d := Read(root, schema.NewDocuments([]*dsl.Source{dsl.NewSource("api.yaml", text)}), &ds)
		if d == nil {
			return
		}
		for _, op := range d.Operations {
			op.Body()
			op.Result([]int{404})
			d.Operation(Call{Method: op.Method, Path: path}, &ds)
		}
		d.Starter("api.yaml")
	})
}
