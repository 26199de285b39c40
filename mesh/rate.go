package mesh

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// Rate is what a service takes in a time, because its provider says so: requests
// are spread evenly over it, one every Per/Requests, and come no faster. Retries,
// hedges and the copies of [Mirror] are requests like any other; checks of health
// are none. Each Service counts for itself.
//
// The permits are those of failsafe-go's smooth limiter. A call that is cancelled
// while it waits for its turn leaves the turn unused: there is no giving it back,
// and the rate is then kept by more than is needed.
type Rate struct {
	// Requests is how many there may be in Per. 0 is no bound.
	Requests int
	// Per is the time; 0 is a second.
	Per time.Duration
	// Wait bounds how long a first attempt waits for its turn: it fails at once,
	// with the class [Overloaded], if that is not long enough. 0 is 1s. A retry
	// waits no longer than this beyond its pause, and a hedge does not wait.
	Wait time.Duration
}

const defaultRateWait = time.Second

func (c Rate) enabled() bool { return c.Requests > 0 }

func (c Rate) withDefaults() Rate {
	if c.enabled() {
		c.Per = orDefault(c.Per, time.Second)
		c.Wait = orDefault(c.Wait, defaultRateWait)
	}
	return c
}

func (c Rate) validate(f *faults) {
	if c.Requests < 0 {
		f.add("rate.requests", "a count cannot be negative", "")
	}
	f.nonNegative("rate.per", c.Per)
	f.nonNegative("rate.wait", c.Wait)
	per := orDefault(c.Per, time.Second)
	switch {
	case c.Requests == 0 && (c.Per > 0 || c.Wait > 0):
		f.add("rate", "no rate is given", "write rate: { limit: 100/s }")
	case c.Requests > 0 && per/time.Duration(c.Requests) == 0:
		f.add("rate.requests", "no clock is as fine as this rate", "")
	}
}

// pacer is [Rate] made ready. A nil one does nothing.
type pacer struct {
	Rate
	turns   ratelimiter.RateLimiter[any]
	waited  atomic.Int64
	refused atomic.Int64
}

func newPacer(c Rate) *pacer {
	if !c.enabled() {
		return nil
	}
	return &pacer{Rate: c, turns: ratelimiter.NewSmooth[any](uint(c.Requests), c.Per)}
}

// reserve takes a turn that comes within a time, and gives how long it takes to
// come. It is negative if there is none.
func (p *pacer) reserve(within time.Duration) time.Duration {
	wait := p.turns.TryReservePermit(max(within, 0))
	switch {
	case wait < 0:
		p.refused.Add(1)
	case wait > 0:
		p.waited.Add(1)
	}
	return wait
}

// now takes a turn if there is one at once. A nil pacer always has one.
func (p *pacer) now() bool { return p == nil || p.reserve(0) == 0 }

// turn waits for the turn of an attempt that none was reserved for. Nobody waits
// who would then have less time than a good reply usually takes.
func (r *run) turn() (Class, error) {
	p := r.service.rate
	within := p.Wait
	if left, bound := r.left(); bound {
		within = min(within, left-time.Duration(r.service.typical.Load()))
	}
	wait := p.reserve(within)
	if wait < 0 {
		return Overloaded, fmt.Errorf("its rate is %d requests in %s", p.Requests, p.Per)
	}
	if wait > 0 {
		r.wait += wait
		if err := sleep(r.req.Context(), wait); err != nil {
			return contextClass(err), err
		}
		r.now = time.Now()
	}
	return OK, nil
}

// spaced is the pause before a retry that has its turn when the pause is over. It
// is false if there is none in time.
func (r *run) spaced(pause time.Duration, useful time.Time) (time.Duration, bool) {
	p := r.service.rate
	if p == nil {
		return pause, true
	}
	wait := p.reserve(pause + p.Wait)
	if wait > pause {
		pause = wait
	}
	if wait < 0 || !r.fits(pause, useful) {
		return 0, false
	}
	r.reserved = true
	return pause, true
}

// RateStats are the counters of [Rate].
type RateStats struct {
	Waited  int64 // attempts that had to wait for their turn
	Refused int64 // attempts that had none in time: calls, retries, hedges and copies
}

func (p *pacer) stats() *RateStats {
	if p == nil {
		return nil
	}
	return &RateStats{Waited: p.waited.Load(), Refused: p.refused.Load()}
}
