package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// metaSchema is https://spec.openapis.org/oas/3.1/schema of the OpenAPI
// Initiative (Apache License 2.0).
const metaSchema = "testdata/oas-3.1.json"

// valid holds what weir openapi prints of a directory against the schema of
// OpenAPI 3.1, and the schemas in it against that of JSON Schema.
func valid(t *testing.T, dir string, flags ...string) map[string]any {
	t.Helper()
	var out, faults bytes.Buffer
	p := &process{stdout: &out, stderr: &faults, env: os.LookupEnv, terminal: isTerminal, args: append([]string{"openapi", dir}, flags...)}
	if err := p.command().Execute(); err != nil {
		t.Fatal(err, faults.String())
	}
	text, err := os.ReadFile(metaSchema)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("oas.json", meta); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("oas.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s: %v\n%s", dir, err, out.String())
	}
	var doc map[string]any
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for name := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		c := jsonschema.NewCompiler()
		if err := c.AddResource("api.json", v); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compile("api.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return doc
}

func TestOpenAPIOfTheExamples(t *testing.T) {
	readmes, err := filepath.Glob(root + "/examples/*/README.md")
	if err != nil || len(readmes) == 0 {
		t.Fatal(err)
	}
	for _, readme := range readmes {
		dir := filepath.Dir(readme)
		t.Run(filepath.Base(dir), func(t *testing.T) { valid(t, dir) })
	}
}

const imported = `openapi: 3.0.3
info: { title: User Service, version: "1" }
servers: [{ url: "https://api.example/v1" }]
paths:
  /users:
    get:
      operationId: listUsers
      summary: "All users: paged"
      parameters:
        - { name: limit, in: query, schema: { type: integer, default: 20, maximum: 100 } }
        - { name: "filter[name]", in: query, schema: { type: string } }
        - { name: tag, in: query, required: true, schema: { type: array, items: { type: string } } }
        - { name: X-Tenant, in: header, required: true, schema: { type: string } }
      responses: { "200": { description: ok, content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/User" } } } } } }
    post:
      requestBody: { $ref: "#/components/requestBodies/user" }
      responses: { "201": { description: ok, content: { application/json: { schema: { $ref: "#/components/schemas/User" } } } } }
  /users/{user-id}:
    parameters: [{ name: user-id, in: path, required: true, schema: { type: integer } }]
    get: { responses: { "200": { description: ok, content: { application/json: { schema: { $ref: "#/components/schemas/User" } } } } } }
    delete: { responses: { "204": { description: gone } } }
    head: { responses: { "200": { description: there } } }
    trace: { responses: { "200": { description: there } } }
components:
  requestBodies:
    user: { required: true, content: { application/json: { schema: { $ref: "#/components/schemas/User" } } } }
  schemas:
    User: { type: object, required: [name], properties: { name: { type: string, example: Ada }, age: { type: integer, minimum: 0, exclusiveMinimum: true, nullable: true }, boss: { $ref: "#/components/schemas/User" } } }
`

// TestImportedFlowsPassTheCheck makes flows of a document, checks them, and
// describes them again.
func TestImportedFlowsPassTheCheck(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	schema, err := os.ReadFile(filepath.Join(sources, metaSchema))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"users.yaml": imported, metaSchema: string(schema)} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var out, faults bytes.Buffer
	run := func(args ...string) {
		t.Helper()
		p := &process{stdout: &out, stderr: &faults, env: os.LookupEnv, terminal: isTerminal, args: args}
		if err := p.command().Execute(); err != nil {
			t.Fatal(args, err, out.String(), faults.String())
		}
	}
	run("import", "openapi", "users.yaml")
	if err := os.WriteFile("flows.yaml", out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	relative := out.String()
	out.Reset()
	run("import", "openapi", filepath.Join(dir, "users.yaml"))
	if out.String() != relative {
		t.Errorf("by an absolute path it is\n%s", out.String())
	}
	out.Reset()
	run("check", ".")
	if want := "ok: 5 flows, 1 service, 1 gateway in 1 file\n"; out.String() != want {
		t.Errorf("check: %s", out.String())
	}
	run("fmt", "--check", "flows.yaml")
	doc := valid(t, ".")
	user := doc["components"].(map[string]any)["schemas"].(map[string]any)["User"].(map[string]any)["properties"].(map[string]any)
	if got, _ := json.Marshal(user["age"]); string(got) != `{"exclusiveMinimum":0,"type":["integer","null"]}` {
		t.Errorf("age is %s", got)
	}
	if paths := doc["paths"].(map[string]any); len(paths) != 2 || len(paths["/users/{user_id}"].(map[string]any)) != 3 {
		t.Errorf("paths are %v", paths)
	}
}

// sources is where the sources of this package are, wherever a test goes.
var sources, _ = os.Getwd()
