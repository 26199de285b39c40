package mesh

import (
	"sync/atomic"
	"time"
)

// outcomes are what a breaker looks back on. Adding takes no lock, so that
// success costs next to nothing.
type outcomes interface {
	add(now time.Duration, m mark)
	count(now time.Duration) tally
	reset()
}

// mark is one outcome among them.
type mark uint32

const (
	counted mark = 1 << iota
	failed
	slow
)

func (m mark) bit(of mark) int64 {
	if m&of != 0 {
		return 1
	}
	return 0
}

// tally is what they come to.
type tally struct{ total, failed, slow int64 }

// lastMarks are the last len(slots) outcomes.
type lastMarks struct {
	next         atomic.Uint64
	slots        []atomic.Uint32
	failed, slow atomic.Int64
}

func (w *lastMarks) add(_ time.Duration, m mark) {
	w.put((w.next.Add(1)-1)%uint64(len(w.slots)), m)
}

// put keeps the sums right whoever else puts at the same moment: each change of
// a slot is accounted for by the one who made it.
func (w *lastMarks) put(i uint64, m mark) {
	before := mark(w.slots[i].Swap(uint32(m)))
	if d := m.bit(failed) - before.bit(failed); d != 0 {
		w.failed.Add(d)
	}
	if d := m.bit(slow) - before.bit(slow); d != 0 {
		w.slow.Add(d)
	}
}

func (w *lastMarks) count(time.Duration) tally {
	return tally{int64(min(w.next.Load(), uint64(len(w.slots)))), w.failed.Load(), w.slow.Load()}
}

func (w *lastMarks) reset() {
	for i := range w.slots {
		w.put(uint64(i), 0)
	}
	w.next.Store(0)
}

// timedMarks are the outcomes within a time, to a tenth of it.
type timedMarks struct{ *spans }

func newTimedMarks(within time.Duration) timedMarks { return timedMarks{newSpans(within, 10)} }

func (w timedMarks) add(now time.Duration, m mark) {
	c := w.at(now)
	c[0].Add(1)
	c[1].Add(m.bit(failed))
	c[2].Add(m.bit(slow))
}

func (w timedMarks) count(now time.Duration) tally {
	sum := w.sum(now)
	return tally{total: sum[0], failed: sum[1], slow: sum[2]}
}
