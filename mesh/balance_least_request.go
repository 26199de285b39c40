package mesh

// leastRequest takes, of two endpoints drawn by weight, the one with fewer
// attempts under way for its weight.
type leastRequest struct {
	lots
	random func() uint64
}

func newLeastRequest(c Candidates) Balancer {
	return &leastRequest{newLots(c.Endpoints), c.random}
}

func (l *leastRequest) Pick(c Choice) int {
	return l.lighter(c, l.random, func(e *Endpoint) float64 { return float64(e.inFlight.Load()) / float64(e.weight()) })
}
