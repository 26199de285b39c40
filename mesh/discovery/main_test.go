package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mustParse reads a location that is good.
func mustParse(t testing.TB, text string) Location {
	t.Helper()
	l, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// watched is what a source has told so far.
type watched struct {
	mu       sync.Mutex
	found    [][]Target
	failures []string
}

// watch watches a source until the test ends or stop is called, which returns
// when Watch has.
func watch(t testing.TB, s Source) (w *watched, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	w = &watched{}
	var watching sync.WaitGroup
	watching.Go(func() {
		s.Watch(ctx, func(targets []Target) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.found = append(w.found, slices.Clone(targets))
		}, func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.failures = append(w.failures, err.Error())
		})
	})
	stop = sync.OnceFunc(func() { cancel(); watching.Wait() })
	t.Cleanup(stop)
	return w, stop
}

// last is what was found last, sorted, one target a line.
func (w *watched) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.found) == 0 {
		return ""
	}
	return shown(w.found[len(w.found)-1])
}

func (w *watched) failure() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) == 0 {
		return ""
	}
	return w.failures[len(w.failures)-1]
}

func (w *watched) counts() (found, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.found), len(w.failures)
}

func shown(targets []Target) string {
	var lines []string
	for _, t := range targets {
		line := t.URL
		for _, more := range []struct {
			name  string
			value any
			zero  bool
		}{
			{"host", t.Host, t.Host == ""}, {"weight", t.Weight, t.Weight == 0}, {"zone", t.Zone, t.Zone == ""},
			{"priority", t.Priority, t.Priority == 0}, {"version", t.Version, t.Version == ""}, {"draining", t.Draining, !t.Draining},
		} {
			if !more.zero {
				line += fmt.Sprintf(" %s=%v", more.name, more.value)
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// lines joins what is expected.
func lines(l ...string) string { return strings.Join(l, "\n") }
