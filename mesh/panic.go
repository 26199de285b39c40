package mesh

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// verdict is whether too few endpoints of a version are usable, for as long as
// nothing changes: to look at all of them is more than each pick may cost while
// one is out.
type verdict struct {
	changes uint64        // of the ejector, before all were looked at
	until   time.Duration // when the first of those that are out is back
	panics  bool
}

// panics reports whether so few endpoints of a version are usable that those would be
// overwhelmed, and all have to bear the load again.
func (x *ejector) panics(s *set, version int) bool {
	if x == nil {
		return false
	}
	until := x.hurt.Load()
	if until == 0 {
		return false
	}
	now := x.clock()
	if until <= int64(now) {
		x.hurt.CompareAndSwap(until, 0)
		return false
	}
	var known *atomic.Pointer[verdict]
	if version >= 0 && version < len(s.verdicts) {
		known = &s.verdicts[version]
		if v := known.Load(); v != nil && v.changes == x.changes.Load() && now < v.until {
			return v.panics
		}
	}
	v := &verdict{changes: x.changes.Load(), until: math.MaxInt64}
	usable, all := 0, 0
	for _, e := range s.endpoints {
		if e.version != version || !e.inPanic(s) {
			continue
		}
		all++
		if e.usable() {
			usable++
			continue
		}
		for _, back := range []time.Duration{e.ejection.back(), e.breaker.back()} {
			if back > now {
				v.until = min(v.until, back)
			}
		}
	}
	v.panics = float64(usable) < x.Panic*float64(all)-rounding
	if known != nil {
		known.Store(v)
	}
	return v.panics
}

// changed takes that an endpoint is out until a time, or back before the time
// that was told. Whatever changes what usable says, but the passing of time, says
// so here afterwards.
func (x *ejector) changed(until time.Duration) {
	raise(&x.hurt, int64(until))
	x.changes.Add(1)
}

// inPanic reports whether the endpoint is one of those that are used when too few
// are usable. If all are draining they are all there is.
func (e *Endpoint) inPanic(s *set) bool { return !e.target.Draining || s.live == 0 }

// usable reports whether attempts may go to the endpoint.
func (e *Endpoint) usable() bool { return !e.ejection.out() && e.breaker.mayPass() }

// back is when the endpoint is no longer left out, or was; 0 if it never was.
func (j *ejection) back() time.Duration {
	if j == nil {
		return 0
	}
	return time.Duration(j.until.Load())
}

// back is when a probe may start; 0 while the breaker is closed.
func (b *breaker) back() time.Duration {
	if b == nil {
		return 0
	}
	return time.Duration(b.blockedUntil.Load())
}

// PanicStats say whether too few endpoints are usable, so that all are used.
type PanicStats struct {
	Now      bool
	Attempts int64 // whose endpoint was picked that way
}

func (x *ejector) stats(s *set) *PanicStats {
	if x == nil {
		return nil
	}
	now := slices.ContainsFunc(s.tiers, func(t tier) bool { return x.panics(s, t.version) })
	return &PanicStats{Now: now, Attempts: x.panicked.Load()}
}
