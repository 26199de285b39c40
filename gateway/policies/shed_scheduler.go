package policies

import (
	"runtime/metrics"
	"time"
)

// schedulerWaits tells how long goroutines of this process wait for a processor,
// as the runtime counts it of one in eight.
type schedulerWaits struct {
	sample [1]metrics.Sample
	before []uint64
}

// recent is the time that a tenth of those which began to run since it was last
// called have waited longer for: most are woken by who runs and take over at once,
// so that the median says nothing. It is not safe for concurrent use.
func (s *schedulerWaits) recent() time.Duration {
	s.sample[0].Name = "/sched/latencies:seconds"
	metrics.Read(s.sample[:])
	if s.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := s.sample[0].Value.Float64Histogram()
	if len(s.before) != len(h.Counts) {
		s.before = make([]uint64, len(h.Counts))
	}
	var all, longer uint64
	for i, n := range h.Counts {
		all += n - s.before[i]
	}
	longest := time.Duration(0)
	for i := len(h.Counts) - 1; i >= 0; i-- {
		if longer += h.Counts[i] - s.before[i]; longer*10 > all {
			longest = time.Duration(max(h.Buckets[i], 0) * float64(time.Second))
			break
		}
	}
	copy(s.before, h.Counts)
	return longest
}
