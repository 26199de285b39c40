package mesh

import "sync/atomic"

// weighted takes the endpoints in turn, each as often as its weight says and
// its turns spread evenly: gRPC's static stride scheduler (proposal A58), which
// is exact where picking by chance is not, and needs neither a lock nor a walk
// over all endpoints per pick as the smooth round robin of nginx does.
//
// The sequence goes around the endpoints. In round g the endpoint i, of weight w
// in units of the largest one, is taken if g*w passes a whole number, that is, in
// w of all rounds. Each starts half a unit off from the one before it, so that
// those of equal weight do not take their turns in the same rounds.
type weighted struct {
	next   *atomic.Uint64
	shares []uint64 // of units
}

const units = 1<<16 - 1

func newWeighted(c Candidates) Balancer {
	w := &weighted{next: new(atomic.Uint64), shares: make([]uint64, len(c.Endpoints))}
	if from, ok := c.From.(*weighted); ok {
		w.next = from.next
	}
	largest := 1
	for _, e := range c.Endpoints {
		largest = max(largest, e.weight())
	}
	for i, e := range c.Endpoints {
		w.shares[i] = max(1, uint64(e.weight())*units/uint64(largest))
	}
	return w
}

func (w *weighted) Pick(c Choice) int {
	n := uint64(len(w.shares))
	// An endpoint of the largest weight is taken in every round; what is beyond
	// a few rounds is for when that one is not usable.
	const rounds = 4
	i := 0
	for range rounds * n {
		seq := w.next.Add(1) - 1
		i = int(seq % n)
		const half = units / 2
		if at := (w.shares[i]*(seq/n) + uint64(i)*half) % units; at >= units-w.shares[i] && c.Usable(i) {
			return i
		}
	}
	return firstUsable(c, i)
}
