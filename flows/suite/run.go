package suite

import (
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Result is what came of one test.
type Result struct {
	Test   *Test
	Faults []dsl.Diagnostic // what is not as expected; none: the test has passed
	Took   time.Duration    // virtual
	Status int
}

// Passed reports whether all is as expected.
func (r Result) Passed() bool { return len(r.Faults) == 0 }

// Select gives the tests whose name, or the name of whose flow, matches; nil
// matches all.
func (s *Suite) Select(pattern *regexp.Regexp) []*Test {
	if pattern == nil {
		return s.Tests
	}
	return slices.DeleteFunc(slices.Clone(s.Tests), func(t *Test) bool {
		return !pattern.MatchString(t.Name) && !pattern.MatchString(t.Flow)
	})
}

// Run runs tests, some at a time, and reports each in their order. It gives how
// much of the program they have run.
func (s *Suite) Run(tests []*Test, report func(Result)) []Coverage {
	cover := &coverage{}
	inOrder(len(tests), func(i int) Result {
		o := s.play(tests[i], cover, nil)
		faults := tests[i].expect.judge(o)
		if len(faults) == 0 {
			faults = o.unused // where a test goes wrong, it may go elsewhere
		}
		return Result{Test: tests[i], Faults: faults, Took: o.took, Status: o.status}
	}, report)
	var flows []string
	for _, f := range s.Program.Flows {
		if !s.Program.Imported(f.Name.Span) { // its tests are elsewhere
			flows = append(flows, f.Name.Value)
		}
	}
	return cover.report(s.plan, flows)
}

// inOrder computes n results on all processors, and reports them from the first
// to the last, each as soon as those before it are there.
func inOrder[T any](n int, compute func(i int) T, report func(T)) {
	results := make([]chan T, n)
	for i := range results {
		results[i] = make(chan T, 1)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
	)
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				results[i] <- compute(i)
			}
		})
	}
	for _, result := range results {
		report(<-result)
	}
	wg.Wait()
}
