package policies

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Directions of bodies.
const (
	inward = iota
	outward
	directions
)

// byteFlow says when bytes may pass: a leaky bucket for each key and direction, as
// in buckets, but nothing is refused. What passes is put into the bucket at once,
// also beyond its depth, and waits until so much has leaked: those who share one
// pass in the order in which they came.
type byteFlow struct {
	*table
	rates  [directions]int64 // bytes per second; 0: no limit
	depth  [directions]int64 // nanoseconds
	pieces [directions]int   // bytes that pass at once
	base   time.Time
	seed   maphash.Seed

	bytes   [directions]atomic.Int64
	waiting atomic.Int64
	waited  atomic.Int64 // nanoseconds
}

const (
	// grain is what is not worth a wait: it is added to the next one.
	grain = time.Millisecond
	// awake is how long a writer is left alone while it waits.
	awake = time.Second
	// pieces pass eight times in a second, at least, so that several who share a
	// limit come by turns and streams do not stutter.
	piecesPerSecond    = 8
	smallest, greatest = 512, 32 << 10
)

func openByteFlow(rates [directions]int64, burst int64, memory dsl.Size) *byteFlow {
	f := &byteFlow{table: newTable(directions, memory), rates: rates, base: time.Now(), seed: maphash.MakeSeed()}
	for d, rate := range rates {
		if rate == 0 {
			continue
		}
		f.depth[d] = int64(time.Second)
		if burst > 0 {
			f.depth[d] = f.need(d, burst)
		}
		f.pieces[d] = int(min(max(rate/piecesPerSecond, smallest), greatest))
	}
	return f
}

// need is how long so many bytes take.
func (f *byteFlow) need(direction int, bytes int64) int64 {
	return int64(float64(bytes) / float64(f.rates[direction]) * float64(time.Second))
}

// take counts bytes that are about to pass, and tells how long they wait.
func (f *byteFlow) take(hash uint64, direction, bytes int, at time.Time) time.Duration {
	f.bytes[direction].Add(int64(bytes))
	now := int64(at.Sub(f.base))
	s := f.lock(hash)
	defer s.mu.Unlock()
	r := f.find(s, hash)
	if r == nil {
		r = f.place(s, hash, func(r row) int64 { return r.until() - now })
	}
	full := min(max(r[1+direction]-now, 0)+f.need(direction, int64(bytes)), maxDebt)
	r[1+direction] = now + full
	return time.Duration(full - f.depth[direction])
}

// Close is what engine.Keeper asks for.
func (f *byteFlow) Close() {}

// Observe is what engine.Observed asks for.
func (f *byteFlow) Observe(show func(name string, total bool, value int64)) {
	show("request_bytes", true, f.bytes[inward].Load())
	show("response_bytes", true, f.bytes[outward].Load())
	show("waited_ms", true, time.Duration(f.waited.Load()).Milliseconds())
	show("waiting", false, f.waiting.Load())
	var sum tally
	sum.count(f.table)
	show("evicted", true, sum.evicted)
	show("keys", false, sum.keys)
	show("bytes", false, sum.bytes)
}
