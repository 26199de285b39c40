package policies

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// buckets is the engine.Limiter of rates in one process: a leaky bucket for each
// key and limit.
//
// The generic cell rate algorithm (GCRA, ITU-T I.371) keeps one number for each
// bucket: when it will be empty again, if nothing more comes. A request of cost c
// adds c intervals to that, and is let in if what is in the bucket then is not
// more than it holds, burst intervals. There are no windows whose borders let in
// twice as much, nothing has to be filled up by a clock, and a bucket that is
// empty need not be kept at all. The time is the monotonic one, in nanoseconds
// since the limiter was opened.
type buckets struct {
	*table
	limits []bucket
	base   time.Time
	seed   maphash.Seed
}

// bucket is one limit.
type bucket struct {
	interval int64 // nanoseconds for one
	burst    int64
}

func (l bucket) depth() int64 { return l.burst * l.interval }

// need is what a cost adds to the bucket; a negative one takes away as much.
func (l bucket) need(cost int64) int64 {
	if most := maxDebt / l.interval; cost > most || cost < -most {
		return maxDebt * (cost>>63 | 1)
	}
	return cost * l.interval
}

// maxDebt is what a bucket may hold at most, burst or not: a request that costs
// more is not remembered for longer.
const maxDebt = int64(365 * 24 * time.Hour)

// newBuckets takes limits that have depths of up to maxDebt, and a memory for
// all of their entries.
func newBuckets(limits []bucket, memory dsl.Size) *buckets {
	return &buckets{table: newTable(len(limits), memory), limits: limits, base: time.Now(), seed: maphash.MakeSeed()}
}

// Take is what engine.Limiter asks for.
func (b *buckets) Take(_ context.Context, key []byte, cost int64, at time.Time, left []engine.Balance) bool {
	hash, now := maphash.Bytes(b.seed, key), int64(at.Sub(b.base))
	s := b.lock(hash)
	defer s.mu.Unlock()
	r := b.find(s, hash)
	granted := true
	for i, l := range b.limits {
		need := l.need(cost)
		// What costs more than the bucket holds is let in when it is empty.
		over := r.debt(i, now) + min(need, l.depth()) - l.depth()
		left[i].Wait = time.Duration(max(over, 0))
		granted = granted && (over <= 0 || need == 0)
	}
	if !granted {
		s.refused++
		cost = 0
	} else {
		s.granted++
	}
	b.add(s, hash, r, cost, now, left)
	return granted
}

// Settle is what engine.Limiter asks for.
func (b *buckets) Settle(_ context.Context, key []byte, more int64, at time.Time, left []engine.Balance) {
	hash, now := maphash.Bytes(b.seed, key), int64(at.Sub(b.base))
	s := b.lock(hash)
	defer s.mu.Unlock()
	b.add(s, hash, b.find(s, hash), more, now, left)
}

// add changes what is in the buckets of a key, and tells what is left. s.mu is
// held.
func (b *buckets) add(s *shard, hash uint64, r row, cost, now int64, left []engine.Balance) {
	if r == nil && cost > 0 {
		r = b.place(s, hash, func(r row) int64 { return r.until() - now })
	}
	for i, l := range b.limits {
		debt := r.debt(i, now)
		if cost != 0 {
			debt = min(max(debt+l.need(cost), 0), maxDebt)
			if r != nil {
				r[1+i] = now + debt
			}
		}
		left[i].Left = max((l.depth()-debt)/l.interval, 0)
		left[i].Next = time.Duration(debt - (l.depth() - (left[i].Left+1)*l.interval))
	}
}

// debt is what is in a bucket. A key without a row has none.
func (r row) debt(i int, now int64) int64 {
	if r == nil {
		return 0
	}
	return max(r[1+i]-now, 0)
}

// until is when all buckets of a row will be empty.
func (r row) until() int64 {
	last := r[1]
	for _, t := range r[2:] {
		last = max(last, t)
	}
	return last
}
