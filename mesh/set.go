package mesh

import (
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// set is the endpoints of a service at one moment, with the balancers made for
// them. It is immutable, but for what its endpoints count and what is known of them
// for a while.
type set struct {
	endpoints []*Endpoint
	tiers     []tier
	live      int                       // endpoints that are not draining
	verdicts  []atomic.Pointer[verdict] // of each version
	ramping   atomic.Pointer[ramping]   // nil until somebody looked
	homes     map[string]*Endpoint      // by their codes; nil without affinity
}

// update makes targets the endpoints of the service. Those that were there
// before keep their connections, breakers and statistics; those that are gone
// close their connections when the calls on them have ended. Targets are valid
// and no two have the same place. It is called by one goroutine at a time.
func (s *Service) update(targets []discovery.Target) {
	old := s.set.Load()
	next := &set{endpoints: make([]*Endpoint, len(targets)), verdicts: make([]atomic.Pointer[verdict], max(1, len(s.cfg.Versions)))}
	before := map[place]*Endpoint{}
	if old != nil {
		for _, e := range old.endpoints {
			before[placeOf(e.target)] = e
		}
	}
	for i, target := range targets {
		if e := before[placeOf(target)]; e != nil {
			next.endpoints[i] = &Endpoint{target: target, vitals: e.vitals}
			delete(before, placeOf(target))
		} else {
			next.endpoints[i] = newEndpoint(target, s.cfg, s.clock)
			next.endpoints[i].limit = s.limit.perEndpoint()
			next.endpoints[i].health.begin()
			if old != nil && len(old.endpoints) > 0 {
				next.endpoints[i].warmup.begin()
			}
		}
		next.endpoints[i].index, next.endpoints[i].version = i, s.split.indexOf(target.Version)
		if !target.Draining {
			next.live++
		}
	}
	next.tiers = s.tiers(next.endpoints, old)
	next.homes = s.affinity.homes(next.endpoints)
	s.set.Store(next)
	if s.limit != nil {
		s.limit.picks.Wake() // where to go may be new
	}
	for _, e := range before {
		e.close()
	}
}

// place is where the connections of a target lead to, and what they are told.
type place struct{ url, host string }

func placeOf(t discovery.Target) place { return place{t.URL, t.Host} }

// pick is the choice of an endpoint for one attempt.
type pick struct {
	endpoint *Endpoint
	leave    permit
	why      string
}

// release gives back what was taken, if no outcome is known.
func (p pick) release() {
	p.leave.release()
	p.endpoint.exit()
}

// Why an endpoint was picked.
const (
	pickedBalanced = "balanced"
	pickedUntried  = "not tried yet"
	pickedAgain    = "all were tried"
	pickedInPanic  = "too few are usable"
	pickedFallback = "its version has none"
	pickedKept     = "its caller is kept there"
)

// tried is what a call has tried. It holds for one set of endpoints after the
// other: which places the endpoints have may change between two attempts.
type tried struct {
	in    *set
	marks endpointSet // indices of in
	count int
	seen  [2 * maxAttempts]*vitals // each attempt may be hedged

	version  int  // of the call
	fellBack bool // from the version that was chosen for it
	panicked bool // too few were usable for one of them
	kept     bool // an endpoint was asked for
}

func (t *tried) add(i int) {
	t.marks.add(i)
	t.seen[t.count%len(t.seen)] = t.in.endpoints[i].vitals
	t.count++
}

// look takes the endpoints that the service has now.
func (t *tried) look(s *set) {
	if t.in == s {
		return
	}
	t.in, t.marks = s, 0
	for _, v := range t.seen[:min(t.count, len(t.seen))] {
		if i := slices.IndexFunc(s.endpoints, func(e *Endpoint) bool { return e.vitals == v }); i >= 0 {
			t.marks.add(i)
		}
	}
}

// pick chooses an endpoint for the next attempt, and takes its breaker's
// permit and a place at it.
// One that was tried is chosen again only when there is no other, and one of a
// later tier only when there is none of an earlier one. now is about what time it
// is: looking at the clock costs more than the rest.
func (t *tried) pick(service *Service, req *http.Request, now time.Time) (pick, error) {
	s := service.set.Load()
	t.look(s)
	if len(s.endpoints) == 0 {
		return pick{}, errNoEndpoint
	}
	why := pickedBalanced
	if t.marks != 0 {
		why = pickedUntried
	}
	o, at := service.cfg.overload, now.Sub(service.opened)
	for range 2 * len(s.endpoints) {
		if t.fallBack(service.split, at) {
			why = pickedFallback
		}
		panics := o.panics(s, t.version, at)
		e := t.home(service.affinity, req, at)
		kept := e != nil
		if !kept {
			e = s.choose(req, t.marks, t.version, panics, at)
		}
		switch {
		case e != nil:
			t.add(e.index) // also if another call took the probe since the balancer looked
			leave, ok := e.breaker.acquire()
			if (ok || panics) && e.enter() {
				switch {
				case kept:
					why = pickedKept
				case panics:
					o.attempts.Add(1)
					t.panicked, why = true, pickedInPanic
				}
				return pick{e, leave, why}, nil
			}
			if ok {
				leave.release()
			}
		case t.marks != 0:
			t.marks, why = 0, pickedAgain
		case o == nil:
			return pick{}, t.unavailable(service, at)
		} // the last usable one was lost since panics looked, or all are full
	}
	return pick{}, t.unavailable(service, at)
}

// unavailable is the error of a pick that found nothing.
func (t *tried) unavailable(service *Service, at time.Duration) error {
	if service.limit.perEndpoint() != nil && t.in.anyUsable(t.version, at) {
		return errFull
	}
	return t.unusable(service)
}

// breakersOpen is the error of a call that no endpoint may be tried for: it says
// why, and when that changes.
func (s *set) breakersOpen(version int) error {
	var first *breaker // to be probed
	err := errNoEndpoint
	for _, e := range s.endpoints {
		if e.version != version {
			continue
		}
		err = errNoneUsable
		if e.breaker != nil && (first == nil || e.breaker.blockedUntil.Load() < first.blockedUntil.Load()) {
			first = e.breaker
		}
	}
	if first == nil {
		return err
	}
	return errors.New("the breakers of all endpoints are " + first.refusal())
}

var errNoneUsable = errors.New("all endpoints are left out")

func (s *set) anyUsable(version int, at time.Duration) bool {
	for _, e := range s.endpoints {
		if e.version == version && (e.ejection != nil || e.health != nil || e.breaker.mayPass(at)) { // where endpoints are left out, all are usable if none is
			return true
		}
	}
	return false
}
