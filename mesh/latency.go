package mesh

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// latencies is a sketch of how long the replies of the last minute took: counts
// of what fell between two bounds that are 6 % apart, in 4 KiB, for ever. Failures
// are not in it: an endpoint that fails at once is no reason to lose patience with
// one that answers.
type latencies struct {
	windows [2]window // the one that is filled, and the one before
	turn    atomic.Int32
	since   atomic.Int64 // when the turn began, on the clock of the service
	mu      sync.Mutex   // turns

	read atomic.Int64 // when quantile was last computed
	last atomic.Int64 // what it was
}

type window struct {
	total  atomic.Int64
	counts [latencyBuckets]atomic.Uint32
}

const (
	latencyWindow = 30 * time.Second
	// latencyFresh is how long a quantile is not computed again.
	latencyFresh = 100 * time.Millisecond

	latencyUnit    = 16 // of microseconds, which is what is kept apart at least
	latencySteps   = 16 // between one power of two and the next
	latencyBuckets = 26 * latencySteps
)

// bucketOf is where a duration is counted: the power of two of its units, and
// the four bits below.
func bucketOf(d time.Duration) int {
	units := uint64(max(0, d/time.Microsecond)) / latencyUnit
	if units < latencySteps {
		return int(units)
	}
	exponent := bits.Len64(units) - 5 // of a number with four bits below its first
	return min(exponent*latencySteps+int(units>>exponent), latencyBuckets-1)
}

// boundOf is the upper bound of a bucket.
func boundOf(bucket int) time.Duration {
	next := uint64(bucket + 1)
	if next > latencySteps {
		exponent := next/latencySteps - 1
		next = (latencySteps + next%latencySteps) << exponent
	}
	return time.Duration(next*latencyUnit) * time.Microsecond
}

// observe counts one reply.
func (l *latencies) observe(now, took time.Duration) {
	if now-time.Duration(l.since.Load()) >= latencyWindow {
		l.next(now)
	}
	l.windows[l.turn.Load()].add(took)
}

func (w *window) add(took time.Duration) {
	w.counts[bucketOf(took)].Add(1)
	w.total.Add(1)
}

func (w *window) clear() {
	for i := range w.counts {
		w.counts[i].Store(0)
	}
	w.total.Store(0)
}

// median is how long half of the replies took at most; 0 without any.
func (w *window) median() time.Duration {
	half := (w.total.Load() + 1) / 2
	for i, n := 0, int64(0); half > 0 && i < latencyBuckets; i++ {
		if n += int64(w.counts[i].Load()); n >= half {
			return boundOf(i)
		}
	}
	return 0
}

// next forgets the older window. Counts that come meanwhile may get lost.
func (l *latencies) next(now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now-time.Duration(l.since.Load()) < latencyWindow {
		return
	}
	turn := 1 - l.turn.Load()
	l.windows[turn].clear()
	l.turn.Store(turn)
	l.since.Store(int64(now))
}

// quantile is how long all but a share of replies took; 0 as long as too few are
// known for at least one of them to lie beyond it.
func (l *latencies) quantile(now time.Duration, q float64) time.Duration {
	if read := l.read.Load(); read != 0 && now-time.Duration(read) < latencyFresh {
		return time.Duration(l.last.Load())
	}
	a, b := &l.windows[0], &l.windows[1]
	total := a.total.Load() + b.total.Load()
	const few = 20
	beyond := int64((1 - q) * float64(total))
	d := time.Duration(0)
	if total >= few && beyond >= 1 {
		for i, n := latencyBuckets-1, int64(0); i >= 0; i-- {
			if n += int64(a.counts[i].Load()) + int64(b.counts[i].Load()); n > beyond {
				d = boundOf(i)
				break
			}
		}
	}
	l.last.Store(int64(d))
	l.read.Store(max(1, int64(now)))
	return d
}
