// Package usage counts who uses what, without a store: for each route how many
// requests, bytes and failures, how long they took, how many consumers there are
// and which use it most. Memory is bounded whatever callers do, since all that
// grows with them is a sketch: small, of a known error, and mergeable, so that
// minutes make hours and hours days.
package usage

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Latency is a histogram of durations whose quantiles are off by at most 5%
// (DDSketch: Masson, Rim and Lee, 2019), from a microsecond to a quarter of an
// hour. Its zero value is empty.
type Latency struct{ counts [latencyBuckets]uint32 }

const (
	latencyError   = .05
	latencyGamma   = (1 + latencyError) / (1 - latencyError)
	latencyBuckets = 208
)

var latencyScale = 1 / math.Log(latencyGamma)

// Add counts one duration.
func (l *Latency) Add(d time.Duration) { l.add(latencyBucket(d)) }

func latencyBucket(d time.Duration) int {
	if micros := d.Microseconds(); micros > 1 {
		return min(int(math.Ceil(math.Log(float64(micros))*latencyScale)), latencyBuckets-1)
	}
	return 0
}

func (l *Latency) add(bucket int) {
	if l.counts[bucket] < math.MaxUint32 {
		l.counts[bucket]++
	}
}

// Merge adds what other has.
func (l *Latency) Merge(other *Latency) {
	for i, n := range other.counts {
		l.counts[i] = uint32(min(uint64(l.counts[i])+uint64(n), math.MaxUint32))
	}
}

// Quantile is the duration that the share q of all do not exceed; 0 of none.
func (l *Latency) Quantile(q float64) time.Duration {
	var all uint64
	for _, n := range l.counts {
		all += uint64(n)
	}
	if all == 0 {
		return 0
	}
	rank := uint64(q * float64(all-1))
	for i, n := range l.counts {
		if uint64(n) > rank {
			return time.Duration(2 * math.Pow(latencyGamma, float64(i)) / (latencyGamma + 1) * float64(time.Microsecond))
		}
		rank -= uint64(n)
	}
	return 0
}

// Distinct counts different texts, off by 3% as a rule (HyperLogLog: Flajolet,
// Fusy, Gandouet and Meunier, 2007). Its zero value is empty.
type Distinct struct{ registers []byte }

const (
	distinctBits = 10
	distinctSize = 1 << distinctBits
)

// Add counts a text.
func (d *Distinct) Add(text string) { d.add(hashed(text)) }

// hashed is a hash that is the same in each process: FNV-1a.
func hashed(text string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 0x100000001b3
	}
	return mix(h)
}

func (d *Distinct) add(x uint64) {
	if d.registers == nil {
		d.registers = make([]byte, distinctSize)
	}
	i := x >> (64 - distinctBits)
	d.registers[i] = max(d.registers[i], byte(bits.LeadingZeros64(x<<distinctBits|1<<(distinctBits-1)))+1)
}

// mix spreads what FNV leaves in the lower bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Merge adds what other has.
func (d *Distinct) Merge(other *Distinct) {
	if other.registers == nil {
		return
	}
	if d.registers == nil {
		d.registers = make([]byte, distinctSize)
	}
	for i, r := range other.registers {
		d.registers[i] = max(d.registers[i], r)
	}
}

// Count is about how many different ones were added.
func (d *Distinct) Count() int64 {
	if d.registers == nil {
		return 0
	}
	sum, empty := 0., 0
	for _, r := range d.registers {
		sum += math.Pow(2, -float64(r))
		if r == 0 {
			empty++
		}
	}
	const m = distinctSize
	estimate := .7213 / (1 + 1.079/m) * m * m / sum
	if estimate <= 2.5*m && empty > 0 {
		estimate = m * math.Log(float64(m)/float64(empty)) // few: linear counting is better
	}
	return int64(estimate + .5)
}

// Top has those that came most often (Space-Saving: Metwally, Agrawal and El
// Abbadi, 2005): whoever made more than one in mostTop of all is in it, and each
// count is too large by at most its Over. Its zero value is empty.
type Top struct{ Of []Counted }

// Counted is how often someone came.
type Counted struct {
	Name  string `json:"consumer"`
	Count int64  `json:"requests"`
	Over  int64  `json:"over,omitempty"` // by how much Count may be too large

	hash uint64 // of Name; 0 is not known yet. Names themselves are all over the memory
}

const mostTop = 32

// Add counts one. It keeps a copy of the name.
func (t *Top) Add(name string) { t.add(name, hashed(name)) }

func (t *Top) add(name string, hash uint64) {
	least := -1
	for i := range t.Of {
		c := &t.Of[i]
		if c.hash == 0 {
			c.hash = hashed(c.Name)
		}
		if c.hash == hash && c.Name == name {
			c.Count++
			return
		}
		if least < 0 || c.Count < t.Of[least].Count {
			least = i
		}
	}
	if len(t.Of) < mostTop {
		t.Of = append(t.Of, Counted{Name: strings.Clone(name), Count: 1, hash: hash})
		return
	}
	n := t.Of[least].Count
	t.Of[least] = Counted{Name: strings.Clone(name), Count: n + 1, Over: n, hash: hash}
}

// least is how often someone may have come who is not in it.
func (t *Top) least() int64 {
	if len(t.Of) < mostTop {
		return 0
	}
	return slices.MinFunc(t.Of, func(a, b Counted) int { return cmp.Compare(a.Count, b.Count) }).Count
}

// Merge adds what other has.
func (t *Top) Merge(other *Top) {
	mine, theirs := t.least(), other.least()
	all := make(map[string]Counted, len(t.Of)+len(other.Of))
	for _, c := range t.Of {
		all[c.Name] = Counted{Name: c.Name, Count: c.Count + theirs, Over: c.Over + theirs}
	}
	for _, c := range other.Of {
		if has, both := all[c.Name]; both {
			all[c.Name] = Counted{Name: c.Name, Count: has.Count - theirs + c.Count, Over: has.Over - theirs + c.Over}
		} else {
			all[c.Name] = Counted{Name: c.Name, Count: c.Count + mine, Over: c.Over + mine}
		}
	}
	t.Of = t.Of[:0]
	for _, c := range all {
		t.Of = append(t.Of, c)
	}
	t.sort()
	t.Of = t.Of[:min(len(t.Of), mostTop)]
}

func (t *Top) sort() {
	slices.SortFunc(t.Of, func(a, b Counted) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
}
