package steps

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// spool does work that nobody waits for: some at a time, the rest in a queue
// that has an end. It has no goroutine as long as there is nothing to do.
type spool struct {
	atOnce, queue int
	within        time.Duration // for each piece of work, and for all that is left at Close

	ctx    context.Context
	cancel context.CancelCauseFunc
	busy   sync.WaitGroup

	mu      sync.Mutex
	workers int
	waiting []func(ctx context.Context)
	closed  bool
}

func newSpool(atOnce, queue int, within time.Duration) *spool {
	s := &spool{atOnce: atOnce, queue: queue, within: within}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// add takes work, unless so much waits already.
func (s *spool) add(work func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return false
	case s.workers < s.atOnce:
		s.workers++
		s.busy.Go(func() { s.work(work) })
		return true
	case len(s.waiting) < s.queue:
		s.waiting = append(s.waiting, work)
		return true
	}
	return false
}

// work does one piece after the other until nothing waits.
func (s *spool) work(next func(ctx context.Context)) {
	for next != nil {
		ctx, cancel := context.WithTimeoutCause(s.ctx, s.within, errWithin)
		next(ctx)
		cancel()
		s.mu.Lock()
		next = nil
		if len(s.waiting) > 0 {
			next = s.waiting[0]
			s.waiting[0] = nil
			s.waiting = s.waiting[1:]
		} else {
			s.workers--
		}
		s.mu.Unlock()
	}
}

var errWithin = fmt.Errorf("the time of a detached step is up: %w", context.DeadlineExceeded)

// Observe is what engine.Observed asks for.
func (s *spool) Observe(show func(name string, total bool, value int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	show("waiting", false, int64(len(s.waiting)))
	show("running", false, int64(s.workers))
}

// Close takes no more work, and returns when what it has is done, or has been
// told that its time is up.
func (s *spool) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	late := time.AfterFunc(s.within, func() { s.cancel(errWithin) })
	defer late.Stop()
	s.busy.Wait()
	s.cancel(nil)
}
