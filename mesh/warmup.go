package mesh

import (
	"sync/atomic"
	"time"
)

// warmup gives an endpoint that is new, or back, less than its share at first:
// a process that has just started has empty caches and no compiled code, and
// would be overwhelmed by what the others bear. It is nil without a slow start.
type warmup struct {
	over   time.Duration
	clock  func() time.Duration
	random func() uint64
	ramps  *ramps
	from   atomic.Int64 // when it began; 0 is not under way
}

// ramps are those of all endpoints of a service.
type ramps struct {
	last  atomic.Int64  // when the last of them ends; 0 if all have
	begun atomic.Uint64 // how many
}

// ramping are the endpoints of a set that have not ended their ramp, and maybe some
// that have: each pick draws for them, and need not look at all.
type ramping struct {
	begun     uint64 // of the service, before all were looked at
	endpoints []*Endpoint
}

// coldest is the share that an endpoint begins with. With none it would stay as
// cold as it is.
const coldest = 0.1

func newWarmup(cfg Config, clock func() time.Duration) *warmup {
	if cfg.SlowStart == 0 {
		return nil
	}
	return &warmup{over: cfg.SlowStart, clock: clock, random: cfg.Random, ramps: cfg.ramps}
}

// begin starts the ramp. It may be called at any time.
func (w *warmup) begin() {
	if w != nil {
		w.beginAt(max(1, w.clock()))
	}
}

// beginAt starts the ramp at a time on the service's clock, unless it is to start
// later already.
func (w *warmup) beginAt(at time.Duration) {
	if w != nil {
		raise(&w.from, int64(at))
		raise(&w.ramps.last, int64(at+w.over))
		w.ramps.begun.Add(1)
	}
}

// raise makes v at least to.
func raise(v *atomic.Int64, to int64) {
	for {
		if at := v.Load(); at >= to || v.CompareAndSwap(at, to) {
			return
		}
	}
}

// share is the part of its share of attempts that the endpoint is to get at a time on the
// service's clock, from coldest to 1.
func (e *Endpoint) share(now time.Duration) float64 {
	if e.warmup == nil {
		return 1
	}
	from := e.warmup.from.Load()
	switch passed := now - time.Duration(from); {
	case from == 0:
		return 1
	case passed >= e.warmup.over:
		e.warmup.from.CompareAndSwap(from, 0)
		return 1
	default:
		return max(coldest, float64(passed)/float64(e.warmup.over))
	}
}

// passOn draws which endpoints leave this attempt to others, which is how one
// that is cold gets less than its share whatever the balancer is. It is drawn
// before the balancer is asked, who would else offer the attempt again in turn.
func (s *set) passOn(now time.Duration) (cold endpointSet) {
	w := s.endpoints[0].warmup
	if w == nil || w.ramps.last.Load() == 0 {
		return 0
	}
	if until := w.ramps.last.Load(); until <= int64(now) {
		w.ramps.last.CompareAndSwap(until, 0)
	}
	for _, e := range s.onRamp(w.ramps) {
		if share := e.share(now); share < 1 && unit(w.random()) >= share {
			cold.add(e.index)
		}
	}
	return cold
}

// onRamp are the endpoints whose ramp may be under way.
func (s *set) onRamp(all *ramps) []*Endpoint {
	r := s.ramping.Load()
	if begun := all.begun.Load(); r == nil || r.begun != begun {
		r = &ramping{begun: begun}
		for _, e := range s.endpoints {
			if e.warmup.from.Load() != 0 {
				r.endpoints = append(r.endpoints, e)
			}
		}
		s.ramping.Store(r)
	}
	return r.endpoints
}

// unit makes a number of [0, 1) of random bits.
func unit(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }
