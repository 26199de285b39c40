package engine_test

import (
	"context"
	"testing"

	"github.com/weir-run/weir/engine"
)

// costs are flows whose memory is accounted for: what one run of the whole flow
// allocates on a body of JSON when all pools are warm. A flow that does nothing
// allocates nothing: its Exchange is pooled.
var costs = []struct {
	name   string
	steps  string
	allocs float64
}{
	{"nothing", `- probe: p`, 0},

	// The body is looked through once and nothing of it is copied. What is left
	// are the values themselves: an expression sees a text as a Go value, whose
	// header is on the heap.
	{"three reads, none of them a text", `- { when: body.age == 36 && body.on && body.address.no == 7, probe: p }`, 0},
	{"three reads, two of them texts", `- { when: body.name == "Ada" && body.age == 36 && body.address.city == "London", probe: p }`, 2},

	{"set of a part of the body", `- { id: a, set: $(body.address) }`, 0},
	{"set of a condition", `- { id: a, set: $(body.age > 18) }`, 0},
	{"set of a shape: its JSON", `- { id: a, set: { name: $(body.name), tags: $(body.tags) } }`, 1},

	// Of a template there is nothing left but a place for each input.
	{"a use of a template", `
- { id: a, use: told, with: { part: $(body.address), word: x, wait: 2s } }
---
template: told
input: { part: {}, word: { type: string }, wait: { type: duration }, more: { default: 1 } }
steps: [{ when: input.word == "x" && input.part.no == 7, probe: p }]
yield: $(input.part)
`, 0},

	// An answer is written into a pooled buffer; parts of the body are copied
	// there as they stand. A text with expressions inside takes their values one
	// by one, each a Go value.
	{"return of ten fields", tenFields + `, j: $(body.address.city) }`, 0},
	{"return of ten fields, one of them a text of two values", tenFields + `, j: "$(body.name) of $(body.address.city)" }`, 2},
}

const (
	body = `{"name":"Ada","age":36,"address":{"city":"London","zip":"N1","no":7},"tags":["a","b"],"on":true,"rate":1.25}`

	tenFields = `- return: { a: $(body.name), b: $(body.age), c: $(body.address), d: $(body.address.zip),` +
		` e: $(body.tags), f: $(body.on), g: $(body.rate), h: 1, i: text`
)

// warm gives one run of a flow over body, with pools that others have filled.
func warm(tb testing.TB, steps string) func() {
	p := program(tb, steps, func(context.Context, string) error { return nil }, "trigger: { http: POST / }")
	in := &engine.Input{Body: engine.JSON(body)}
	ctx := context.Background()
	run := func() {
		a, failed := p.Run(ctx, in)
		if failed != nil {
			tb.Fatal(failed)
		}
		a.Release()
	}
	run()
	return run
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop what they are given")
	}
	for _, c := range costs {
		if got := testing.AllocsPerRun(200, warm(t, c.steps)); got > c.allocs {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, c.allocs)
		}
	}
}

func BenchmarkFlow(b *testing.B) {
	for _, c := range costs {
		b.Run(c.name, func(b *testing.B) {
			run := warm(b, c.steps)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
