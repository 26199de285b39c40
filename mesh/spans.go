package mesh

import (
	"sync"
	"sync/atomic"
	"time"
)

// spans counts what happened lately, in slots that each hold a part of the time
// that is looked back on and are used again when it has passed. Counting takes
// no lock, but for the turn of a slot.
type spans struct {
	width time.Duration // of one slot
	mu    sync.Mutex    // held while a slot turns to another time
	slots []span
}

// span counts during one part of the time.
type span struct {
	number atomic.Int64 // of the part, since the clock began
	counts counts
}

// counts are up to three kinds of what is counted; who counts names them.
type counts [3]atomic.Int64

// newSpans looks back on within, to one slot.
func newSpans(within time.Duration, slots int) *spans {
	return &spans{width: max(1, within/time.Duration(slots)), slots: make([]span, slots)}
}

// at are the counts of the moment. What is counted while a slot turns may get
// lost, or count for the slot before.
func (s *spans) at(now time.Duration) *counts {
	number := int64(now / s.width)
	p := &s.slots[number%int64(len(s.slots))]
	if p.number.Load() < number {
		s.mu.Lock()
		if p.number.Load() < number {
			p.counts.clear()
			p.number.Store(number)
		}
		s.mu.Unlock()
	}
	return &p.counts
}

// sum is what was counted within the time.
func (s *spans) sum(now time.Duration) (sum [len(counts{})]int64) {
	oldest := int64(now/s.width) - int64(len(s.slots)) + 1
	for i := range s.slots {
		if p := &s.slots[i]; p.number.Load() >= oldest {
			for kind := range p.counts {
				sum[kind] += p.counts[kind].Load()
			}
		}
	}
	return sum
}

func (s *spans) reset() {
	for i := range s.slots {
		s.slots[i].counts.clear()
	}
}

func (c *counts) clear() {
	for kind := range c {
		c[kind].Store(0)
	}
}
