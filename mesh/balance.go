package mesh

import (
	"net/http"
	"slices"
	"time"
)

// Balancer chooses the endpoint of an attempt. It is made for one set of
// endpoints and shared by all calls of a service, so it must be safe for
// concurrent use, and is asked on every attempt, so it should not allocate.
type Balancer interface {
	// Pick returns the index of a usable endpoint in c, or -1 if none is.
	Pick(c Choice) int
}

// Choice is what a [Balancer] chooses from, and for whom.
type Choice struct {
	Request   *http.Request
	Endpoints []*Endpoint
	now       time.Duration // on the service's clock
	tried     endpointSet
	panic     *set // in which too few are usable; nil if enough are
}

// Usable reports whether the call has not tried the endpoint yet, it is neither
// ejected nor unhealthy, its breaker lets attempts pass, and [Limit].PerEndpoint
// one more of them. If too few endpoints are usable, only the first and the last
// matter.
func (c Choice) Usable(i int) bool {
	e := c.Endpoints[i]
	return !c.tried.has(e.index) && (e.usable(c.now) || c.panic != nil && e.inPanic(c.panic)) && e.hasRoom()
}

// endpointSet is a set of indices, exact below 64. Above, two that share a
// remainder are taken for each other, which costs a choice and never an attempt:
// when all seem tried the set is emptied.
type endpointSet uint64

func (s endpointSet) has(i int) bool { return s>>(i%64)&1 == 1 }
func (s *endpointSet) add(i int)     { *s |= 1 << (i % 64) }

const (
	balanceRoundRobin   = "round_robin"
	balanceWeighted     = "weighted"
	balanceRandom       = "random"
	balanceLeastRequest = "least_request"
	balancePeakEWMA     = "peak_ewma"
	balanceRingHash     = "ring_hash"
	balanceMaglev       = "maglev"
)

// defaultBalance sees that an endpoint is slow after its first slow replies, and
// that it fails fast, which the number of attempts under way does not show.
const defaultBalance = balancePeakEWMA

// balancers makes a balancer by name, a new one for each set of endpoints.
var balancers = map[string]func(Candidates) Balancer{
	balanceRoundRobin:   newRoundRobin,
	balanceWeighted:     newWeighted,
	balanceRandom:       newRandom,
	balanceLeastRequest: newLeastRequest,
	balancePeakEWMA:     newPeakEWMA,
	balanceRingHash:     newRingHash,
	balanceMaglev:       newMaglev,
}

// Candidates are what a [Balancer] is made for.
type Candidates struct {
	Endpoints []*Endpoint // at least one
	// From is the balancer of the set before, which a new one may go on from;
	// nil if there is none.
	From Balancer

	hash   Hash
	random func() uint64
}

// tier is endpoints that are as good as each other, with their balancer. Those
// of the next tier are for when none of them is usable.
type tier struct {
	version   int
	endpoints []*Endpoint
	balancer  Balancer
}

// tiers orders the endpoints of each version by how much they are to be preferred:
// those about to end come last whatever else is true of them; a priority is what
// someone has said, and a zone only what is near.
func (s *Service) tiers(endpoints []*Endpoint, old *set) []tier {
	rank := func(e *Endpoint) (r [4]int) {
		r[0] = e.version
		if e.target.Draining {
			r[1] = 1
		}
		r[2] = e.target.Priority
		if s.cfg.Zone != "" && e.target.Zone != s.cfg.Zone {
			r[3] = 1
		}
		return r
	}
	sorted := slices.Clone(endpoints)
	slices.SortStableFunc(sorted, func(a, b *Endpoint) int {
		x, y := rank(a), rank(b)
		return slices.Compare(x[:], y[:])
	})
	var all []tier
	place := 0 // among the tiers of its version
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && rank(sorted[n]) == rank(sorted[0]) {
			n++
		}
		version := sorted[0].version
		if place++; len(all) == 0 || all[len(all)-1].version != version {
			place = 0
		}
		from := Candidates{Endpoints: sorted[:n], hash: s.cfg.Hash, random: s.cfg.Random}
		if old != nil {
			from.From = old.balancer(version, place)
		}
		all = append(all, tier{version, sorted[:n], balancers[s.cfg.Balance](from)})
		sorted = sorted[n:]
	}
	return all
}

// balancer is that of the n-th tier of a version; nil if it has fewer.
func (s *set) balancer(version, n int) Balancer {
	for i := range s.tiers {
		if s.tiers[i].version != version {
			continue
		}
		if n == 0 {
			return s.tiers[i].balancer
		}
		n--
	}
	return nil
}

// choose gives the endpoint that the balancer of the best tier of a version
// wants, nil if none is usable. If too few are, all bear the load: those that are cold, too.
func (s *set) choose(req *http.Request, tried endpointSet, version int, panics bool, now time.Duration) *Endpoint {
	var cold endpointSet
	var panic *set
	if panics {
		panic = s
	} else {
		cold = s.passOn(now)
	}
	for i := range s.tiers {
		t := &s.tiers[i]
		if t.version != version {
			continue
		}
		c := Choice{Request: req, Endpoints: t.endpoints, now: now, tried: tried | cold, panic: panic}
		i := t.balancer.Pick(c)
		if i < 0 && cold != 0 {
			c.tried = tried
			i = t.balancer.Pick(c)
		}
		if i >= 0 {
			return t.endpoints[i]
		}
	}
	return nil
}

// below scales 32 random bits to a number from 0 to n-1.
func below(bits uint32, n int) int { return int(uint64(bits) * uint64(n) >> 32) }

// weight is the endpoint's share among its like.
func (e *Endpoint) weight() int { return max(e.target.Weight, 1) }

// equalWeights reports whether no endpoint is to have more than another.
func equalWeights(endpoints []*Endpoint) bool {
	return !slices.ContainsFunc(endpoints, func(e *Endpoint) bool { return e.weight() != endpoints[0].weight() })
}

// firstUsable is the first usable endpoint from start on, around the end; -1 if
// there is none.
func firstUsable(c Choice, start int) int {
	for k := range c.Endpoints {
		if i := (start + k) % len(c.Endpoints); c.Usable(i) {
			return i
		}
	}
	return -1
}
