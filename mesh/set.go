package mesh

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// set is the endpoints of a service at one moment, with the balancer made for
// them. It is immutable, but for what its endpoints count.
type set struct {
	endpoints []*Endpoint
	balancer  Balancer
	tiers     int // see Endpoint.tier
}

// update makes targets the endpoints of the service. Those that were there
// before keep their connections, breakers and statistics; those that are gone
// close their connections when the calls on them have ended. Targets are valid
// and no two have the same place. It is called by one goroutine at a time.
func (s *Service) update(targets []discovery.Target) {
	old := s.set.Load()
	next := &set{endpoints: make([]*Endpoint, len(targets))}
	before := map[place]*Endpoint{}
	var from Balancer
	if old != nil {
		from = old.balancer
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
		}
	}
	next.tiers = rank(next.endpoints)
	next.balancer = balancers[s.cfg.Balance](next.endpoints, from)
	s.set.Store(next)
	for _, e := range before {
		e.transport.close()
	}
}

// rank sorts endpoints into tiers, which are used one after the other: those
// that are about to end come after all others, and among either kind the
// priorities count. It returns how many tiers there are.
func rank(endpoints []*Endpoint) int {
	type key struct {
		draining int
		priority int
	}
	keyOf := func(e *Endpoint) key {
		if e.target.Draining {
			return key{1, e.target.Priority}
		}
		return key{0, e.target.Priority}
	}
	var keys []key
	for _, e := range endpoints {
		keys = append(keys, keyOf(e))
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(a.draining-b.draining, a.priority-b.priority) })
	keys = slices.Compact(keys)
	for _, e := range endpoints {
		e.tier = slices.Index(keys, keyOf(e))
	}
	return len(keys)
}

// place is where the connections of a target lead to, and what they are told.
type place struct{ url, host string }

func placeOf(t discovery.Target) place { return place{t.URL, t.Host} }

// pick chooses an endpoint, which it adds to tried, and takes its breaker's
// permit. An endpoint that was tried is chosen again only when there is no other,
// and one of a later tier only when there is none of an earlier one.
func (s *set) pick(req *http.Request, tried *endpointSet, clock func() time.Duration) (*Endpoint, permit, error) {
	if len(s.endpoints) == 0 {
		return nil, permit{}, errNoEndpoint
	}
	for range 2 * len(s.endpoints) {
		i := -1
		for tier := 0; i < 0 && tier < s.tiers; tier++ {
			i = s.balancer.Pick(Choice{Request: req, Endpoints: s.endpoints, tried: *tried, tier: tier})
		}
		switch {
		case i >= 0:
			tried.add(i) // also if another call took the probe since the balancer looked
			if leave, ok := s.endpoints[i].breaker.acquire(); ok {
				return s.endpoints[i], leave, nil
			}
		case *tried != 0:
			*tried = 0
		default:
			return nil, permit{}, s.breakersOpen(clock())
		}
	}
	return nil, permit{}, s.breakersOpen(clock())
}

// breakersOpen is the error of a call that no endpoint may be tried for. It says
// when that changes.
func (s *set) breakersOpen(now time.Duration) error {
	next := int64(never)
	for _, e := range s.endpoints {
		next = min(next, e.breaker.blockedUntil.Load())
	}
	if next == never {
		return errors.New("the breakers of all endpoints are open, and a probe is under way")
	}
	return fmt.Errorf("the breakers of all endpoints are open, the next probe is in %v",
		max(0, time.Duration(next)-now).Round(time.Millisecond))
}

func (s *set) anyUsable() bool {
	for _, e := range s.endpoints {
		if e.breaker.mayPass() {
			return true
		}
	}
	return false
}
