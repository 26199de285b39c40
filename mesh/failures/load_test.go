package failures

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// together makes calls from some callers at once, n in all.
func together(callers, n int, call func()) {
	var left atomic.Int64
	left.Store(int64(n))
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for left.Add(-1) >= 0 {
				call()
			}
		})
	}
	running.Wait()
}

// Ten thousand calls are retried once each. The replies that nobody sees keep no
// connection and no goroutine.
func TestRetriesLeaveNothingBehind(t *testing.T) {
	const calls = 10_000
	restores(t)
	for _, w := range []way{ways[0], ways[2]} { // one after the other: goroutines are counted
		t.Run(w.name, func(test *testing.T) {
			t := &trial{T: test, way: w}
			var requests atomic.Int64
			b := t.serve(func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1)%2 == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				_, _ = io.WriteString(w, strings.Repeat("x", 3000))
			})
			s := t.open(mesh.Config{Timeout: time.Minute, Retry: mesh.Retry{Attempts: 2, Backoff: 1, MaxBackoff: 1, Budget: 1}}, b)
			call := func() {
				if _, err := t.get(s, new(mesh.Call)); err != nil {
					t.Error(err)
				}
			}
			call()
			goroutines := runtime.NumGoroutine()
			for range calls - 1 {
				call()
			}
			st := s.Stats()
			if e := st.Endpoints[0]; st.Retries != calls || e.InFlight != 0 || e.Dialed != 1 || e.Closed != 0 {
				t.Errorf("%+v", st)
			}
			t.eventually("there are no more goroutines than after one call", func() bool { return runtime.NumGoroutine() <= goroutines })
			if accepted, open := b.connections(); accepted != 1 || open != 1 {
				t.Errorf("%d connections, %d open", accepted, open)
			}
		})
	}
}

// The load that retries add to a service that fails is bounded by the default
// budget, with pauses between attempts and whatever share of them fails, where
// that of failsafe-go is not: see budget.go. The reserve, which is for services
// that are hardly called, is small, so that it does not matter how long this takes.
func TestRetryLoad(t *testing.T) {
	const calls = 1200
	over(t, []way{ways[0], ways[2]}, func(t *trial) {
		for _, share := range []float64{0.1, 0.5, 1} {
			t.Run(fmt.Sprint(share), func(test *testing.T) {
				test.Parallel()
				t := &trial{T: test, way: t.way}
				var requests atomic.Int64
				b := t.serve(func(w http.ResponseWriter, _ *http.Request) {
					if n := requests.Add(1); float64(n%10) < 10*share {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				})
				s := t.open(mesh.Config{Timeout: time.Minute, Retry: mesh.Retry{Attempts: 4, Backoff: 10 * time.Millisecond, MinPerSecond: 1}}, b)
				together(32, calls, func() {
					if _, err := t.get(s, new(mesh.Call)); err != nil {
						t.Error(err)
					}
				})
				load := float64(requests.Load()) / calls
				if t.Logf("%.3f requests for a call", load); load > 1.25 {
					t.Errorf("%.3f requests for a call, %+v", load, s.Stats())
				}
			})
		}
	})
}
