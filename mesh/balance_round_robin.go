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

func (r *roundRobin) Pick(c Choice) int {
	return firstUsable(c, int((r.next.Add(1)-1)%uint64(len(c.Endpoints))))
}
