package mesh

import (
	"math"
	"net/http"
	"sync/atomic"
	"time"
)

// peakEWMA takes, of two endpoints drawn by weight, the one whose next reply is
// expected sooner: how long its replies take, times how many attempts would be
// under way there. It is Finagle's, which Linkerd has too.
type peakEWMA struct {
	lots
	random func() uint64
}

func newPeakEWMA(c Candidates) Balancer { return &peakEWMA{newLots(c.Endpoints), c.random} }

func (p *peakEWMA) Pick(c Choice) int {
	return p.lighter(c, p.random, func(e *Endpoint) float64 {
		return e.latency.load(e.inFlight.Load()) - ln(int64(e.weight()))
	})
}

const (
	// latencyDecay is how long what was seen of an endpoint counts: after it, a
	// peak weighs 1/e. Finagle and Linkerd have 10 s.
	latencyDecay = 10 * time.Second
	// failurePenalty is the least latency that a failure counts as. An endpoint
	// that fails is often the fastest to answer, and would get all calls. The
	// endpoint may ask for more with Retry-After, up to maxPenalty. Both are
	// Linkerd's.
	failurePenalty = 5 * time.Second
	maxPenalty     = 300 * time.Second
)

// latency is how long replies of an endpoint take: a moving average over time
// that jumps up to each peak and sinks slowly, since being late to see that an
// endpoint is slow costs more than being late to see that it is fast again.
//
// It sinks without being written: at time t an average c of time s is worth
// c*exp((s-t)/decay). All are divided by the same exp(t/decay), so which of two
// is less does not depend on t, and their logarithms, log c + s/decay, can be
// compared without looking at the clock.
//
// The fields are not written as one. A sample that is lost to another one of
// the same moment, or weighed by the other's age, is one sample.
type latency struct {
	level atomic.Uint64 // float64 bits of the logarithm; 0 until there is a sample
	cost  atomic.Uint64 // float64 bits of the average, in ns
	at    atomic.Int64  // of the last sample, by the service's clock
}

// load is the logarithm of what it costs to send another attempt, for comparing.
// An endpoint of which nothing is known gets one attempt at once and no more
// until that has come back: what it can take is not known either.
func (l *latency) load(inFlight int64) float64 {
	level := math.Float64frombits(l.level.Load())
	switch {
	case level != 0:
		return level + ln(inFlight+1)
	case inFlight == 0:
		return math.Inf(-1)
	}
	return 1e12 + float64(inFlight)
}

// ln is the natural logarithm; those of the numbers in daily use are kept.
func ln(n int64) float64 {
	if uint64(n) < uint64(len(naturals)) {
		return naturals[n]
	}
	return math.Log(float64(n))
}

var naturals = func() (naturals [256]float64) {
	for n := range naturals {
		naturals[n] = math.Log(float64(n))
	}
	return naturals
}()

// learn takes the outcome of an attempt into account. That a caller gave up
// says at least that it took so long. A nil latency learns nothing.
func (l *latency) learn(now, took time.Duration, class Class, resp *http.Response) {
	if l == nil {
		return
	}
	old := math.Float64frombits(l.cost.Load())
	cost := float64(max(took, 2)) // so that no level is 0
	switch {
	case class.neutral() && cost < old:
		return
	case class.endpointFault() || resp != nil && resp.StatusCode == http.StatusTooManyRequests:
		cost = max(cost, float64(failurePenalty))
		if resp != nil {
			cost = max(cost, float64(min(retryAfter(resp.Header), maxPenalty)))
		}
	}
	if cost < old {
		w := math.Exp(-float64(max(0, now-time.Duration(l.at.Load()))) / float64(latencyDecay))
		cost = old*w + cost*(1-w)
	}
	l.cost.Store(math.Float64bits(cost))
	l.at.Store(int64(now))
	l.level.Store(math.Float64bits(math.Log(cost) + float64(now)/float64(latencyDecay)))
}
