package flows_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

const lookup = `template: lookup
input: { service: { type: service }, path: { type: string }, id: {}, patience: { type: duration, default: 1s } }
steps:
  - id: thing
    call: GET $(input.service) /$(input.path)/$(input.id)
    accept: [404]
    timeout: $(input.patience)
    fallback: null
  - when: steps.thing.status == 404
    log: no $(input.path) $(input.id)
yield: { name: '$(thing?.name ?? "nobody")', known: $(steps.thing.status == 200) }
---
`

// looking are flows that look up many things, through the template or with its
// steps written out.
func looking(written bool) *flows.Files {
	const flowsOf, each = 50, 20
	var b strings.Builder
	b.WriteString("gateways: { public: { listen: ':0' } }\nservices: { backend: { endpoints: ['http://127.0.0.1:1'] } }\n---\n")
	if !written {
		b.WriteString(lookup)
	}
	for i := range flowsOf {
		fmt.Fprintf(&b, "flow: f%d\ntrigger: { http: 'GET /%d/{id}' }\nsteps:\n", i, i)
		for k := range each {
			name := fmt.Sprintf("s%d", k)
			if !written {
				fmt.Fprintf(&b, "  - id: %s\n    use: lookup\n    with: { service: backend, path: p%d, id: $(params.id) }\n", name, k)
				continue
			}
			fmt.Fprintf(&b, `  - id: %[1]s_thing
    call: GET backend /p%[2]d/$(params.id)
    accept: [404]
    timeout: 1s
    fallback: null
  - when: steps.%[1]s_thing.status == 404
    log: no p%[2]d $(params.id)
  - id: %[1]s
    set: { name: '$(%[1]s_thing?.name ?? "nobody")', known: $(steps.%[1]s_thing.status == 200) }
`, name, k)
		}
		b.WriteString("  - return: [" + strings.TrimSuffix(strings.Repeat("$(s0), $(s19), ", 1), ", ") + "]\n---\n")
	}
	return &flows.Files{Sources: []*dsl.Source{dsl.NewSource("flows.yaml", b.String())}}
}

// TestATemplateCostsWhatItsStepsWouldWrittenOut compares by what a check
// allocates, which is the same each time.
func TestATemplateCostsWhatItsStepsWouldWrittenOut(t *testing.T) {
	cost := func(written bool) float64 {
		draft := flows.Parse(looking(written))
		return testing.AllocsPerRun(1, func() {
			p, faults := draft.Check(catalog(), flows.Environment{Env: none})
			if p == nil {
				t.Fatal(faults)
			}
		})
	}
	used, written := cost(false), cost(true)
	if ratio := used / written; ratio > 1.5 {
		t.Errorf("1,000 uses cost %.2f times what their steps cost written out", ratio)
	} else {
		t.Logf("%.2f", ratio)
	}
}

func BenchmarkCheck1000Uses(b *testing.B)           { benchmarkLooking(b, false) }
func BenchmarkCheck1000UsesWrittenOut(b *testing.B) { benchmarkLooking(b, true) }

func benchmarkLooking(b *testing.B, written bool) {
	files, verbs := looking(written), catalog()
	b.ReportAllocs()
	for b.Loop() {
		if p, faults := flows.Check(files, verbs, flows.Environment{Env: none}); p == nil {
			b.Fatal(faults)
		}
	}
}
