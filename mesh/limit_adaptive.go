package mesh

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Adaptive finds out how many calls a service can have under way: as long as
// replies come as soon as they usually do, there may be more; when they take
// longer, or the service says that it has too much to do, there are fewer.
type Adaptive struct {
	// Max switches it on: what the limit never exceeds.
	Max int
	// Min is what it never falls below. 0 is 5, or Max if that is less.
	Min int
	// Start is what it begins with. 0 is 20, within Min and Max.
	Start int
}

const (
	defaultAdaptiveMin   = 5
	defaultAdaptiveStart = 20
)

func (a Adaptive) enabled() bool { return a.Max > 0 }

func (a Adaptive) withDefaults() Adaptive {
	if a.enabled() {
		a.Min = orDefault(a.Min, min(defaultAdaptiveMin, a.Max))
		a.Start = orDefault(a.Start, min(max(defaultAdaptiveStart, a.Min), a.Max))
	}
	return a
}

func (a Adaptive) validate(f *faults) {
	for _, n := range []struct {
		field string
		value int
	}{{"limit.adaptive.max", a.Max}, {"limit.adaptive.min", a.Min}, {"limit.adaptive.start", a.Start}} {
		if n.value < 0 {
			f.add(n.field, "a count cannot be negative", "")
		}
	}
	d := a.withDefaults()
	switch {
	case a.Max == 0 && (a.Min > 0 || a.Start > 0):
		f.add("limit.adaptive", "there is no max", "write max: 200")
	case a.Max >= 0 && a.Min > a.Max:
		f.add("limit.adaptive.min", "min is more than max", fmt.Sprintf("write min: %d or less", a.Max))
	case a.Start > 0 && (a.Start < d.Min || a.Start > a.Max):
		f.add("limit.adaptive.start", "start is not between min and max", fmt.Sprintf("write a number from %d to %d", d.Min, a.Max))
	}
}

// adaptive is [Adaptive] made ready.
//
// It is not failsafe-go's: that one knows replies and nothing else. A failure
// that is recorded counts as a quick reply, and one that is dropped as nothing at
// all, so that the limit of a service that turns away half of its calls grows in
// either case; and it moves by one or two a second, which from 200 to 20 is two
// minutes. TestWhatTheLibrarysAdaptiveLimitDoes shows both.
//
// The limit follows the median of replies in windows, held against what it usually
// is: the limit shrinks by the ratio of what is tolerated to what is seen, by half
// of the share of attempts that told of overload, and grows by its square root as
// long as it is made use of; at first it doubles until it was too high once. That
// is Netflix's Gradient2 with failures. What is usual is the least that was seen,
// and never drifts upwards by itself: a queue that stands for long would become
// usual, too. Whether a service has become slow by itself is found out by calling
// it less for a moment. If that helps, there was a queue; if not, it is so slow now.
type adaptive struct {
	Adaptive
	now   atomic.Int64 // the limit
	usual atomic.Int64 // of a reply, in ns; 0 is not known
	last  atomic.Int64 // median of the last window, in ns

	replies window
	signs   atomic.Int64 // attempts that told of overload
	peak    atomic.Int64 // calls that were under way
	since   atomic.Int64 // when the window began

	mu      sync.Mutex // the rest, and what follows from a window
	limit   float64
	rising  bool          // it has not been too high yet
	matched time.Duration // when replies last came as they usually do
	healthy float64       // the limit when they last took no longer than tolerated
	worst   time.Duration // the longest median since then
	blind   bool          // the next window has the slow calls of a limit that was higher
	trying  bool          // the service is called less, to see whether that helps
	tryAt   float64       // the limit at which that is worth a look
	back    float64       // the limit after it, if it did help
}

const (
	adaptiveWindow = 250 * time.Millisecond // at least
	adaptiveFew    = 20                     // samples of a window at least, or signs of overload
	adaptiveMany   = 200                    // samples that are always enough
	// tolerated is how many times the usual time replies may take. Netflix
	// has 1.5 to 2: with it, as many calls may wait at the service as it works on.
	tolerated = 2
	// unchanged is what counts as usual still.
	unchanged = 1.3
	// usualFor is how long what is usual holds without being seen again.
	usualFor = 30 * time.Second
)

func newAdaptive(c Adaptive) *adaptive {
	if !c.enabled() {
		return nil
	}
	a := &adaptive{Adaptive: c, limit: float64(c.Start), rising: true}
	a.now.Store(int64(c.Start))
	return a
}

// learn takes what came of an attempt, when so many calls were under way.
func (a *adaptive) learn(now, took time.Duration, class Class, resp *http.Response, underWay int64) {
	if underWay > a.peak.Load() {
		a.peak.Store(underWay)
	}
	switch {
	case underWay > a.now.Load():
		return // of those that a limit left behind which has just shrunk the slow end last
	case a.overloaded(took, class, resp):
		a.signs.Add(1)
	case class == OK && resp.StatusCode < 400:
		a.replies.add(took)
	default:
		return // it says nothing of how much the service can do
	}
	enough := min(max(adaptiveFew, 2*a.now.Load()), adaptiveMany)
	signs := a.signs.Load()
	if signs < adaptiveFew && a.replies.total.Load()+signs < enough || !a.over(now) || !a.mu.TryLock() {
		return
	}
	defer a.mu.Unlock()
	if a.over(now) { // and nobody has been quicker
		a.adjust(now)
	}
}

// over reports whether the window is long enough for its samples to be of the
// limit at hand.
func (a *adaptive) over(now time.Duration) bool {
	return now-time.Duration(a.since.Load()) >= max(adaptiveWindow, time.Duration(a.last.Load()))
}

// overloaded reports whether an attempt tells that the service has too much to do.
// A caller whose time was up only does if a reply would have come by then.
func (a *adaptive) overloaded(took time.Duration, class Class, resp *http.Response) bool {
	switch class {
	case Timeout, Connect, Refused:
		return true
	case Deadline:
		usual := time.Duration(a.usual.Load())
		return usual > 0 && took > tolerated*usual
	case OK, Status:
		switch resp.StatusCode {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
	}
	return false
}

// adjust ends a window. mu is held.
func (a *adaptive) adjust(now time.Duration) {
	good, bad, peak := a.replies.total.Load(), a.signs.Swap(0), a.peak.Swap(0)
	recent := a.replies.median()
	a.replies.clear()
	a.since.Store(int64(now))
	share := float64(bad) / float64(good+bad)
	if share >= 0.5 {
		// The few replies that there are say nothing.
		a.trying, a.rising = false, false
		a.set(a.limit * (1 - share/2))
		a.healthy, a.tryAt = a.limit, a.limit/2
		return
	}
	a.last.Store(int64(recent))
	if a.blind {
		a.blind = false
		return
	}
	if a.trying {
		a.conclude(now, recent)
		return
	}

	usual := time.Duration(a.usual.Load())
	switch {
	case usual == 0:
		usual = recent
	case recent < usual:
		usual -= (usual - recent) / 4 // one window may be quick by chance
	}
	a.usual.Store(int64(usual))
	if float64(recent) <= unchanged*float64(usual) {
		a.matched = now
	}
	if recent <= tolerated*usual {
		a.healthy, a.worst, a.tryAt = a.limit, recent, a.limit/2
	}
	a.worst = max(a.worst, recent)
	gradient := min(1, max(0.5, tolerated*float64(usual)/float64(recent)))
	next := a.limit * gradient * (1 - share/2)
	a.rising = a.rising && next == a.limit
	switch used := 2*float64(peak) >= a.limit; {
	case used && a.rising:
		next *= 2
	case used:
		next += math.Sqrt(a.limit)
	}
	a.set(next)
	switch {
	case now-a.matched > usualFor:
		a.healthy, a.worst, a.back = a.limit, recent, a.limit
		a.trying = true
		a.set(min(a.limit, float64(peak)) / 4)
	case a.limit <= a.tryAt:
		a.back, a.tryAt = a.limit, a.limit/2
		a.trying = true
	}
}

// conclude ends a trial, in which a reply took so long. Were there a queue, it
// would have got shorter with the limit; else replies would take what they did.
// What lies between is decided by the mean of both.
func (a *adaptive) conclude(now, took time.Duration) {
	a.trying, a.matched = false, now
	usual := float64(a.usual.Load())
	helped := float64(took) <= unchanged*usual || float64(took) < float64(a.worst)*math.Sqrt(a.limit/a.healthy)
	if !helped || float64(took) < usual {
		a.usual.Store(int64(took))
	}
	if helped {
		a.set(a.back)
	} else {
		a.set(a.healthy)
	}
}

func (a *adaptive) set(limit float64) {
	old := a.limit
	a.limit = min(max(limit, float64(a.Min)), float64(a.Max))
	a.blind = a.blind || a.limit < 0.9*old
	a.now.Store(int64(a.limit))
}
