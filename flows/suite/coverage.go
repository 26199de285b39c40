package suite

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-run/weir/dsl"
)

// coverage counts how often steps ran and ways were gone, in all tests.
type coverage struct {
	mu     sync.Mutex
	counts map[place]*atomic.Int64
}

// counter is that of one place; nil if nobody counts.
func (c *coverage) counter(at place) *atomic.Int64 {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[place]*atomic.Int64{}
	}
	if c.counts[at] == nil {
		c.counts[at] = new(atomic.Int64)
	}
	return c.counts[at]
}

// Coverage is how much of a flow the tests have run.
type Coverage struct {
	Flow            string
	Steps, AllSteps int
	Ways, AllWays   int // ways through when, switch, fallback, catch and errors
	Missed          []Missed
}

// Missed is what no test does: a step that is run, or a way that is gone.
type Missed struct {
	Span dsl.Span
	What string
}

// Percent is the share of steps and ways that ran, rounded down.
func (c Coverage) Percent() int {
	if c.AllSteps+c.AllWays == 0 {
		return 100
	}
	return 100 * (c.Steps + c.Ways) / (c.AllSteps + c.AllWays)
}

// report gives the coverage of every flow, by name.
func (c *coverage) report(p *plan, flows []string) (all []Coverage) {
	ran := func(at place) bool { return c.counter(at).Load() > 0 }
	for _, flow := range flows {
		r := Coverage{Flow: flow}
		seen := map[place]bool{}
		for _, s := range p.sites[flow] {
			at := siteOf(s)
			if seen[at] {
				continue
			}
			seen[at] = true
			r.AllSteps++
			if ran(at) {
				r.Steps++
				continue
			}
			r.Missed = append(r.Missed, Missed{s.Span, "the step " + s.Name})
		}
		for _, w := range p.ways[flow] {
			at := wayOf(w)
			if seen[at] {
				continue
			}
			seen[at] = true
			r.AllWays++
			if ran(at) {
				r.Ways++
				continue
			}
			r.Missed = append(r.Missed, Missed{w.Span, w.What})
		}
		slices.SortStableFunc(r.Missed, func(a, b Missed) int {
			return cmp.Or(cmp.Compare(a.Span.Source.Name, b.Span.Source.Name), cmp.Compare(a.Span.Start, b.Span.Start))
		})
		all = append(all, r)
	}
	return all
}
