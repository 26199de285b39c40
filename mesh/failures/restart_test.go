package failures

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// load makes calls that may be repeated, from some callers at once, until it is
// ended. None may fail.
type load struct {
	good    atomic.Int64
	ended   atomic.Bool
	callers sync.WaitGroup
}

func (t *trial) load(s *mesh.Service) *load {
	l := new(load)
	for range 8 {
		l.callers.Go(func() {
			for !l.ended.Load() {
				call := mesh.Call{Record: true}
				if got, err := t.get(s, &call); got != "fine" || err != nil {
					t.Errorf("%q, %v: %+v", got, err, call.Records)
					return
				}
				l.good.Add(1)
				time.Sleep(time.Millisecond) // callers have other things to do
			}
		})
	}
	return l
}

func (l *load) end() {
	l.ended.Store(true)
	l.callers.Wait()
}

// more waits until some calls have been made that began after now.
func (t *trial) more(l *load) {
	t.Helper()
	from := l.good.Load()
	t.eventually("calls go on", func() bool { return t.Failed() || l.good.Load() > from+100 })
}

// All endpoints end and come back one after the other, under load. What is under
// way on them is finished before, or breaks off in its middle: no call fails that
// may be repeated.
func TestARollingRestart(t *testing.T) {
	over(t, ways, func(t *trial) {
		for name, stop := range map[string]func(*backend){"drained": (*backend).drain, "killed": (*backend).kill} {
			t.Run(name, func(test *testing.T) {
				test.Parallel()
				t := &trial{T: test, way: t.way}
				var fleet []*backend
				for range 3 {
					fleet = append(fleet, t.serve(func(w http.ResponseWriter, r *http.Request) {
						_, _ = w.Write([]byte("fi"))
						_ = http.NewResponseController(w).Flush()
						_, _ = w.Write([]byte("ne"))
					}))
				}
				s := t.open(mesh.Config{Timeout: time.Minute, Retry: mesh.Retry{Attempts: 3}, Breaker: mesh.Breaker{Failures: 5, Open: 10 * time.Millisecond, MaxOpen: 50 * time.Millisecond}}, fleet...)
				l := t.load(s)
				for i, b := range fleet {
					t.more(l)
					stop(b)
					t.more(l)
					b.run()
					from := s.Stats().Endpoints[i]
					t.eventually("the endpoint is used again", func() bool {
						now := s.Stats().Endpoints[i]
						return t.Failed() || now.Breaker.State == "closed" && now.Attempts > from.Attempts+now.Failures[mesh.Connect]-from.Failures[mesh.Connect]
					})
				}
				t.more(l)
				l.end()
			})
		}
	})
}
