package mesh

import "sync/atomic"

// roundRobin takes the endpoints in turn and passes over those not usable.
type roundRobin struct{ next atomic.Uint64 }

func newRoundRobin(c Candidates) Balancer {
	if r, ok := c.From.(*roundRobin); ok {
		return r
	}
	return new(roundRobin)
}

// Pick gives the turn of an endpoint that is not usable up, and does not leave it
// to the neighbor, which would get the shares of both for as long as that lasts.
// What this call alone passes over it does not go back to.
func (r *roundRobin) Pick(c Choice) int {
	n := uint64(len(c.Endpoints))
	i := 0
	for range n {
		i = int((r.next.Add(1) - 1) % n)
		if c.Usable(i) {
			return i
		}
		if c.tried.has(c.Endpoints[i].index) {
			break
		}
	}
	return firstUsable(c, i)
}
