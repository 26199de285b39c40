package mesh

import (
	"net/http"
	"sync/atomic"
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
	tried     endpointSet
	tier      int
}

// Usable reports whether the endpoint is one of those to choose from now (its
// priority, and that it is not about to end, decide), the call has not tried it
// yet, and its breaker lets attempts pass.
func (c Choice) Usable(i int) bool {
	return c.Endpoints[i].tier == c.tier && !c.tried.has(i) && c.Endpoints[i].breaker.mayPass()
}

// endpointSet is a set of indices, exact below 64. Above, two that share a
// remainder are taken for each other, which costs a choice and never an attempt:
// when all seem tried the set is emptied.
type endpointSet uint64

func (s endpointSet) has(i int) bool { return s>>(i%64)&1 == 1 }
func (s *endpointSet) add(i int)     { *s |= 1 << (i % 64) }

const balanceRoundRobin = "round_robin"

// balancers makes a balancer by name, a new one for each set of endpoints. from
// is the one of the set before, which it may go on from; nil if there is none.
var balancers = map[string]func(endpoints []*Endpoint, from Balancer) Balancer{
	balanceRoundRobin: func(_ []*Endpoint, from Balancer) Balancer {
		if r, ok := from.(*roundRobin); ok {
			return r
		}
		return new(roundRobin)
	},
}

// roundRobin takes the endpoints in turn and passes over those not usable.
type roundRobin struct{ next atomic.Uint64 }

func (r *roundRobin) Pick(c Choice) int {
	n := uint64(len(c.Endpoints))
	start := r.next.Add(1) - 1
	for k := range n {
		if i := int((start + k) % n); c.Usable(i) {
			return i
		}
	}
	return -1
}
