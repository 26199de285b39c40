package mesh

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

const defaultPanic = 0.5

// overload is what becomes of a service of which so few endpoints are usable
// that those would be overwhelmed: all have to bear the load again (Envoy's panic
// threshold). It is nil for a service that leaves out none, but for its breakers.
type overload struct {
	below float64 // this share of usable endpoints
	clock func() time.Duration
	// hurt is when all endpoints that are out for a time are usable again, unless
	// another one is lost; 0 if all are. unwell is how many are out until a check
	// finds them well. As long as nothing fails one look at both is enough.
	hurt     atomic.Int64
	unwell   atomic.Int64
	changes  atomic.Uint64 // of what endpoints are usable
	attempts atomic.Int64  // whose endpoint was picked with too few usable
}

func newOverload(c Config, clock func() time.Duration) *overload {
	if !c.Ejection.enabled() && !c.Health.enabled() {
		return nil
	}
	return &overload{below: c.Panic, clock: clock}
}

// verdict is whether too few endpoints of a version are usable, for as long as
// nothing changes: to look at all of them is more than each pick may cost while
// one is out.
type verdict struct {
	changes uint64        // of the overload, before all were looked at
	until   time.Duration // when the first of those that are out for a time is back
	panics  bool
}

// panics reports whether too few endpoints of a version are usable.
func (o *overload) panics(s *set, version int, now time.Duration) bool {
	if o == nil {
		return false
	}
	until, unwell := o.hurt.Load(), o.unwell.Load()
	if until == 0 && unwell == 0 {
		return false
	}
	if until <= int64(now) {
		o.hurt.CompareAndSwap(until, 0)
		if unwell == 0 {
			return false
		}
	}
	var known *atomic.Pointer[verdict]
	if version >= 0 && version < len(s.verdicts) {
		known = &s.verdicts[version]
		if v := known.Load(); v != nil && v.changes == o.changes.Load() && now < v.until {
			return v.panics
		}
	}
	v := &verdict{changes: o.changes.Load(), until: math.MaxInt64}
	usable, all := 0, 0
	for _, e := range s.endpoints {
		if e.version != version || !e.inPanic(s) {
			continue
		}
		all++
		if e.usable(now) {
			usable++
			continue
		}
		for _, back := range []time.Duration{e.ejection.back(), e.breaker.back()} {
			if back > now {
				v.until = min(v.until, back)
			}
		}
	}
	v.panics = float64(usable) < o.below*float64(all)-rounding
	if known != nil {
		known.Store(v)
	}
	return v.panics
}

// changed takes that an endpoint is out until a time, or back before the time
// that was told. Whatever changes what usable says, but the passing of time, says
// so here, or by found, afterwards.
func (o *overload) changed(until time.Duration) {
	raise(&o.hurt, int64(until))
	o.changes.Add(1)
}

// found takes that a check found one more endpoint unhealthy, or one less.
func (o *overload) found(unhealthy int64) {
	o.unwell.Add(unhealthy)
	o.changes.Add(1)
}

// inPanic reports whether the endpoint is one of those that are used when too few
// are usable. If all are draining they are all there is.
func (e *Endpoint) inPanic(s *set) bool { return !e.target.Draining || s.live == 0 }

// usable reports whether attempts may go to the endpoint at a time on the service's
// clock.
func (e *Endpoint) usable(now time.Duration) bool {
	return !e.ejection.out(now) && !e.health.out() && e.breaker.mayPass(now)
}

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

func (o *overload) stats(s *set) *PanicStats {
	if o == nil {
		return nil
	}
	at := o.clock()
	now := slices.ContainsFunc(s.tiers, func(t tier) bool { return o.panics(s, t.version, at) })
	return &PanicStats{Now: now, Attempts: o.attempts.Load()}
}

// validatePanic also holds what ejection may take away against what has to stay.
func (c Config) validatePanic(f *faults) {
	switch {
	case !f.share("panic", c.Panic):
	case c.Panic > 0 && !c.Ejection.enabled() && !c.Health.enabled():
		f.add("panic", "nothing leaves out endpoints", "write ejection or health beside panic")
	default:
		c.Ejection.spares(f, orDefault(c.Panic, defaultPanic))
	}
}
