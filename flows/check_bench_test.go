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
	sources, verbs := generated(manyFlows), catalog()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	b.ResetTimer()
	var p *flows.Program
	for range b.N {
		var faults []dsl.Diagnostic
		if p, faults = flows.Check(&flows.Files{Sources: sources}, verbs, flows.Environment{Env: none}); p == nil {
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
