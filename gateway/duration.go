package gateway

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// durations are histograms of how long something took, by labels. Each has two
// kinds of buckets, for one count: a few whose bounds people know, which every
// scraper reads, and those of a native histogram, each 9% wider than the one
// before, for scrapers that ask for them.
//
// They are not those of client_golang, where native buckets are in a map: counting
// takes more than twice as long there. Here a bucket is a place in an array, of
// which the parts are there that have a value: 64 bytes for each twofold of time.
type durations struct {
	desc *prometheus.Desc

	mu sync.Mutex
	of map[[3]string]*duration
}

func newDurations(name, help string, labels [3]string) *durations {
	return &durations{desc: prometheus.NewDesc(name, help, labels[:], nil), of: map[[3]string]*duration{}}
}

// with is the series that has the labels.
func (d *durations) with(labels ...string) *duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := [3]string(labels)
	h := d.of[key]
	if h == nil {
		h = &duration{desc: d.desc, labels: key, since: time.Now()}
		d.of[key] = h
	}
	return h
}

// Describe is what prometheus.Collector asks for.
func (d *durations) Describe(to chan<- *prometheus.Desc) { to <- d.desc }

// Collect is what prometheus.Collector asks for.
func (d *durations) Collect(to chan<- prometheus.Metric) {
	d.mu.Lock()
	all := make([]*duration, 0, len(d.of))
	for _, h := range d.of {
		all = append(all, h)
	}
	d.mu.Unlock()
	for _, h := range all {
		to <- h
	}
}

// bounds are those of the buckets that people know, in seconds.
var bounds = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Of the native buckets: 2^schema for each twofold, from a microsecond to 48 days.
// What takes less is in the bucket of zero, and what takes more in the last.
const (
	schema   = 3
	fold     = 1 << schema
	shortest = -20 // powers of two, in seconds
	longest  = 22
)

// parts are where the buckets of a twofold end, between a half and one.
var parts = func() (p [fold]float64) {
	for i := range p {
		p[i] = math.Pow(2, float64(i-fold)/fold)
	}
	return p
}()

// duration is one series. It is safe for concurrent use.
type duration struct {
	desc   *prometheus.Desc
	labels [3]string
	since  time.Time

	zero      atomic.Uint64
	native    [longest - shortest]atomic.Pointer[[fold]atomic.Uint64]
	sum       atomic.Int64 // nanoseconds
	known     [len(bounds) + 1]atomic.Uint64
	exemplars [len(bounds) + 1]atomic.Pointer[exemplar]
}

// exemplar is a request that fell into a bucket.
type exemplar struct {
	took  float64 // seconds
	trace string
	at    time.Time
}

// observe counts one that took so long. The native bucket is counted first: a
// scrape, which reads them last, never sees less there.
func (h *duration) observe(took time.Duration) {
	seconds := took.Seconds()
	if key := nativeKey(seconds); key < 0 {
		h.zero.Add(1)
	} else {
		h.twofold(key / fold)[key%fold].Add(1)
	}
	h.sum.Add(int64(took))
	h.known[knownBucket(seconds)].Add(1)
}

// exemplify is observe for one whose trace is kept beside the count.
func (h *duration) exemplify(took time.Duration, trace string, now time.Time) {
	h.observe(took)
	h.exemplars[knownBucket(took.Seconds())].Store(&exemplar{took.Seconds(), trace, now})
}

func (h *duration) twofold(i int) *[fold]atomic.Uint64 {
	at := &h.native[i]
	if p := at.Load(); p != nil {
		return p
	}
	at.CompareAndSwap(nil, new([fold]atomic.Uint64))
	return at.Load()
}

func knownBucket(seconds float64) int {
	for i, bound := range bounds {
		if seconds <= bound {
			return i
		}
	}
	return len(bounds)
}

// nativeKey is the place of a bucket, from 0 for the first above 2^shortest;
// negative for what is not above that.
func nativeKey(seconds float64) int {
	frac, exp := math.Frexp(seconds) // from a half to below one, times 2^exp
	if seconds <= 0 || exp <= shortest {
		return -1
	}
	part := 0
	for part < fold && frac > parts[part] {
		part++
	}
	// A bucket has its upper bound: exactly a half is in the twofold before.
	return min((exp-1-shortest)*fold+part-1, (longest-shortest)*fold-1)
}

// Desc is what prometheus.Metric asks for.
func (h *duration) Desc() *prometheus.Desc { return h.desc }

// Write is what prometheus.Metric asks for.
func (h *duration) Write(out *dto.Metric) error {
	buckets := make(map[float64]uint64, len(bounds))
	up := uint64(0)
	for i, bound := range bounds {
		up += h.known[i].Load()
		buckets[bound] = up
	}
	n := native{count: h.zero.Load()}
	zero := n.count
	for i := range h.native {
		p := h.native[i].Load()
		for j := range fold {
			if p != nil {
				n.add(i*fold+j, p[j].Load())
			}
		}
	}
	m, err := prometheus.NewConstHistogramWithCreatedTimestamp(h.desc, n.count, time.Duration(h.sum.Load()).Seconds(), buckets, h.since, h.labels[:]...)
	if err != nil {
		return err
	}
	if m, err = h.exemplified(m); err != nil {
		return err
	}
	if err = m.Write(out); err != nil {
		return err
	}
	to := out.Histogram
	to.Schema, to.ZeroThreshold, to.ZeroCount = new(int32(schema)), new(math.Ldexp(1, shortest)), &zero
	to.PositiveSpan, to.PositiveDelta = n.spans, n.deltas
	if len(n.spans) == 0 {
		to.PositiveSpan = []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(0))}} // that it is native all the same
	}
	for _, b := range to.Bucket {
		if b.Exemplar != nil {
			to.Exemplars = append(to.Exemplars, b.Exemplar)
		}
	}
	return nil
}

// exemplified is m with the exemplars that there are.
func (h *duration) exemplified(m prometheus.Metric) (prometheus.Metric, error) {
	var all []prometheus.Exemplar
	for i := range h.exemplars {
		if e := h.exemplars[i].Load(); e != nil {
			all = append(all, prometheus.Exemplar{Value: e.took, Labels: prometheus.Labels{"trace_id": e.trace}, Timestamp: e.at})
		}
	}
	if len(all) == 0 {
		return m, nil
	}
	return prometheus.NewMetricWithExemplars(m, all...)
}

// native collects buckets in the form of client_model: runs of them, and each
// count as the difference to the one before.
type native struct {
	spans  []*dto.BucketSpan
	deltas []int64
	count  uint64 // of all
	last   int64  // of the bucket before
	next   int    // the place after the last run
}

func (n *native) add(place int, count uint64) {
	if count == 0 {
		return
	}
	n.count += count
	if len(n.spans) == 0 || place != n.next {
		offset := place - n.next // from the last run; of the first its own place
		if len(n.spans) == 0 {
			offset = place + 1 + shortest*fold
		}
		n.spans = append(n.spans, &dto.BucketSpan{Offset: new(int32(offset)), Length: new(uint32(0))})
	}
	*n.spans[len(n.spans)-1].Length++
	n.deltas = append(n.deltas, int64(count)-n.last)
	n.last, n.next = int64(count), place+1
}
