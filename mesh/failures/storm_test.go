package failures

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// A thousand callers come at the moment in which a breaker may be probed: one of
// them is the probe, and the others are told at once that the breaker is open.
func TestAHalfOpenStorm(t *testing.T) {
	const callers = 1000
	over(t, ways, func(t *trial) {
		var healthy atomic.Bool
		var seen atomic.Int64
		release := make(chan struct{})
		b := t.serve(func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1); !healthy.Load() {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			<-release
			fine(w, r)
		})
		s := t.open(mesh.Config{Timeout: time.Minute, Breaker: mesh.Breaker{Failures: 3, Open: 10 * time.Millisecond}}, b)
		for range 3 {
			if _, err := t.get(s, new(mesh.Call)); err != nil {
				t.Error(err)
			}
		}
		healthy.Store(true)
		open := s.Stats().Endpoints[0].Breaker
		t.eventually("a probe may start", func() bool { return !time.Now().Before(open.NextProbe) })
		before := seen.Load()
		var refused, probes atomic.Int64
		var storm sync.WaitGroup
		for range callers {
			storm.Go(func() {
				switch _, err := t.get(s, new(mesh.Call)); {
				case err == nil:
					probes.Add(1)
				case t.class(err) == mesh.BreakerOpen:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		t.eventually("all others are refused", func() bool { return refused.Load() == callers-1 })
		close(release)
		storm.Wait()
		if n := seen.Load() - before; open.State != "open" || n != 1 || probes.Load() != 1 {
			t.Errorf("breaker %s, %d requests in the storm, %d probes, %d refused", open.State, n, probes.Load(), refused.Load())
		}
		if got, err := t.get(s, new(mesh.Call)); got != "fine" || err != nil {
			t.Errorf("closed again: %q, %v", got, err)
		}
	})
}
