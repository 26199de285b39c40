package suite

import (
	"context"
	"testing/synctest"
)

// Calls that a flow makes at the same time come in whatever order the scheduler
// has for them, and the answer to one can keep the others from being made: a
// failure cancels what stands beside it. A test must not depend on that. So
// nothing is answered before the bubble has come to rest: before all that can
// run without time passing has run, and all that is called at that moment has
// been called.

// calm is the rest of a bubble, which one goroutine waits for on behalf of all:
// synctest.Wait is for one at a time.
type calm struct{ waits chan wait }

// wait is somebody who waits for rest; an end also for what those before it do
// then.
type wait struct {
	over chan struct{}
	end  bool
}

func newCalm() *calm {
	c := &calm{waits: make(chan wait)}
	go c.keep()
	return c
}

// keep wakes all who wait when there is rest, and the ends when nobody else waits
// for it.
func (c *calm) keep() {
	var calls, ends []wait
	for {
		if len(calls)+len(ends) == 0 {
			w, ok := <-c.waits
			if !ok {
				return
			}
			calls, ends = sorted(w, calls, ends)
		}
		synctest.Wait()
		for more := true; more; {
			select {
			case w := <-c.waits:
				calls, ends = sorted(w, calls, ends)
			default:
				more = false
			}
		}
		if len(calls) > 0 {
			calls = wake(calls)
		} else {
			ends = wake(ends)
		}
	}
}

func sorted(w wait, calls, ends []wait) (_, _ []wait) {
	if w.end {
		return calls, append(ends, w)
	}
	return append(calls, w), ends
}

func wake(all []wait) []wait {
	for _, w := range all {
		close(w.over)
	}
	return all[:0]
}

// call waits for rest.
func (c *calm) call(ctx context.Context) error {
	w := wait{over: make(chan struct{})}
	select {
	case c.waits <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-w.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end waits until all is done that takes no time.
func (c *calm) end() {
	w := wait{over: make(chan struct{}), end: true}
	c.waits <- w
	<-w.over
}

// close ends the keeper. Nobody may wait any more.
func (c *calm) close() { close(c.waits) }
