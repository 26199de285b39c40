package flows_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

const manyFlows = 1000

// generated are files of n flows with ten expressions each, no two flows with
// the same ones.
func generated(n int) []*dsl.Source {
	const perFile = 100
	all := []*dsl.Source{dsl.NewSource("site.yaml", "gateways: { public: { listen: ':0' } }\nservices: { backend: { endpoints: ['http://127.0.0.1:1'] } }\n")}
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `flow: customer-%04[1]d
trigger:
  http: GET /customers-%04[1]d/{id}
  deadline: 2s
steps:
  - id: user
    call: GET backend /users/$(params.id)
  - id: orders
    when: user.active && user.segment != "s%04[1]d"
    call: GET backend /orders
    query: { user: $(user.id) }
  - return:
      id: $(user.id)
      name: $(user.first) $(user.last)
      city: $(user.address?.city ?? "none-%04[1]d")
      large: $(len(filter(orders ?? [], .qty > %[2]d)))
      value: $(sum(map(orders ?? [], .price * .qty)))
      segment: $(upper(user.segment) + "-%04[1]d")
---
`, i, i%7)
		if i%perFile == perFile-1 || i == n-1 {
			all = append(all, dsl.NewSource(fmt.Sprintf("flows-%03d.yaml", i/perFile), text.String()))
			text.Reset()
		}
	}
	return all
}

// BenchmarkCheck1000Flows is what a start and every reload cost, and what the
// program that comes of it holds.
func BenchmarkCheck1000Flows(b *testing.B) {
	benchmarkCheck(b, &flows.Files{Sources: generated(manyFlows)})
}

// BenchmarkCheck1000TypedFlows is the same for a service with an OpenAPI
// document, and with input and output that have schemas.
func BenchmarkCheck1000TypedFlows(b *testing.B) {
	files := &flows.Files{Sources: generated(manyFlows), Documents: []*dsl.Source{dsl.NewSource("backend.yaml", document(200))}}
	files.Sources[0] = dsl.NewSource("site.yaml", strings.Replace(files.Sources[0].Text, "endpoints:", "openapi: backend.yaml, endpoints:", 1))
	for i, s := range files.Sources[1:] {
		text := strings.ReplaceAll(s.Text, "  deadline: 2s\n", "  deadline: 2s\n  input: { params: { id: { type: string, pattern: '^[0-9]+$' } }, query: { limit: { type: integer, default: 20 } } }\n"+
			"output: { type: object, required: [id], properties: { id: { type: string }, name: { type: string }, city: { type: string }, large: { type: integer }, value: { type: number }, segment: { type: string } } }\n")
		files.Sources[i+1] = dsl.NewSource(s.Name, text)
	}
	benchmarkCheck(b, files)
}

// document describes the services of the flows among n others.
func document(n int) string {
	var b strings.Builder
	b.WriteString(`openapi: 3.1.0
info: { title: Backend, version: "1" }
paths:
  /users/{id}: { get: { responses: { "200": { description: ok, content: { application/json: { schema: { $ref: "#/components/schemas/User" } } } } } } }
  /orders:
    get:
      parameters: [{ name: user, in: query, required: true, schema: { type: string } }]
      responses: { "200": { description: ok, content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/Order" } } } } } }
`)
	for i := range n {
		fmt.Fprintf(&b, "  /things-%[1]d/{id}: { get: { responses: { \"200\": { description: ok, content: { application/json: { schema: { $ref: \"#/components/schemas/Thing%[1]d\" } } } } } } }\n", i)
	}
	b.WriteString(`components:
  schemas:
    User:
      required: [id, first, last, segment, active]
      properties: { id: { type: string }, first: { type: string }, last: { type: string }, segment: { type: string }, active: { type: boolean }, address: { properties: { city: { type: string } } } }
    Order: { required: [qty, price], properties: { qty: { type: integer }, price: { type: number }, user: { $ref: "#/components/schemas/User" } } }
`)
	for i := range n {
		fmt.Fprintf(&b, "    Thing%[1]d: { properties: { id: { type: integer }, user: { $ref: \"#/components/schemas/User\" }, next: { $ref: \"#/components/schemas/Thing%[2]d\" } } }\n", i, (i+1)%n)
	}
	return b.String()
}

func benchmarkCheck(b *testing.B, files *flows.Files) {
	verbs := catalog()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	b.ResetTimer()
	var p *flows.Program
	for range b.N {
		var faults []dsl.Diagnostic
		if p, faults = flows.Check(files, verbs, flows.Environment{Env: none}); p == nil {
			b.Fatal(faults)
		}
	}
	b.StopTimer()
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/manyFlows, "resident-B/flow")
	runtime.KeepAlive(p)
}

func none(string) (string, bool) { return "", false }
