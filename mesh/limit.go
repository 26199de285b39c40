package mesh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/queue"
)

// Limit bounds what is under way at a time, so that a service that became slow
// neither gets more than it can do nor takes all there is of its callers (the
// bulkhead of Nygard, "Release It!"). What is beyond the bound waits in a queue
// that is bounded, too, or is refused with the class [Overloaded].
type Limit struct {
	// Concurrent is how many calls may be under way, from before their first
	// attempt to the end of the body of their reply, the pauses between attempts
	// included. 0 is no bound.
	Concurrent int
	// Adaptive, in place of Concurrent, finds that number. It is off unless Max is
	// set.
	Adaptive Adaptive
	// PerEndpoint is how many attempts, hedges included, one endpoint may have
	// under way, to the end of the body of their reply. 0 is no bound.
	PerEndpoint int
	// Queue is how many calls may wait. 0 is none: what is beyond the bound is
	// refused at once.
	Queue int
	// Wait bounds how long one call waits in all. 0 is 100ms if there is a Queue.
	Wait time.Duration
}

const defaultLimitWait = 100 * time.Millisecond

func (l Limit) enabled() bool {
	return l.Concurrent > 0 || l.PerEndpoint > 0 || l.Adaptive.enabled()
}

func (l Limit) withDefaults() Limit {
	if l.Queue > 0 {
		l.Wait = orDefault(l.Wait, defaultLimitWait)
	}
	l.Adaptive = l.Adaptive.withDefaults()
	return l
}

func (l Limit) validate(f *faults) {
	for _, n := range []struct {
		field string
		value int
	}{{"limit.concurrent", l.Concurrent}, {"limit.per_endpoint", l.PerEndpoint}, {"limit.queue", l.Queue}} {
		if n.value < 0 {
			f.add(n.field, "a count cannot be negative", "")
		}
	}
	f.nonNegative("limit.wait", l.Wait)
	l.Adaptive.validate(f)
	switch {
	case l.Concurrent > 0 && l.Adaptive.enabled():
		f.add("limit.concurrent", "adaptive finds how many calls there may be", "write one of them; adaptive has a max of its own")
	case !l.enabled() && l.Adaptive == (Adaptive{}) && (l.Queue > 0 || l.Wait > 0):
		f.add("limit", "nothing is limited", "write concurrent: 100, adaptive: { max: 200 }, or per_endpoint: 20")
	case l.Wait > 0 && l.Queue == 0:
		f.add("limit.wait", "wait needs a queue", "write queue: 50")
	}
}

// limiter is [Limit] made ready. A nil one does nothing.
type limiter struct {
	Limit
	adaptive *adaptive    // nil without
	inUse    atomic.Int64 // calls that have a place; only counted if their number is bounded
	waiting  atomic.Int64 // calls, in both lines
	refused  [priorities]atomic.Int64
	late     atomic.Int64 // of the refused
	calls    queue.Line   // for a place among the calls
	picks    queue.Line   // for a place at an endpoint
}

func newLimiter(l Limit) *limiter {
	if !l.enabled() {
		return nil
	}
	return &limiter{Limit: l, adaptive: newAdaptive(l.Adaptive)}
}

// most is how many calls may be under way now; 0 is no bound.
func (l *limiter) most() int {
	if l.adaptive != nil {
		return int(l.adaptive.now.Load())
	}
	return l.Concurrent
}

// start takes a place for the call, and waits for one.
func (r *run) start() (Class, error) {
	l := r.service.limit
	most := l.most()
	if most == 0 {
		return OK, nil
	}
	if l.calls.Empty() && queue.Take(&l.inUse, most) {
		r.placed = true
		return OK, nil
	}
	class, err := r.queue(&l.calls, fmt.Sprintf("%d calls are under way", most), most,
		func() bool { return queue.Take(&l.inUse, l.most()) })
	r.placed = class == OK
	return class, err
}

// learn tells the limit what came of an attempt.
func (l *limiter) learn(now time.Duration, out *outcome) {
	if l != nil && l.adaptive != nil {
		l.adaptive.learn(now, out.took, out.class, out.resp, l.inUse.Load())
	}
}

// leave ends what the call still has when it returns, or panics.
func (r *run) leave() {
	if r.reply != nil { // whoever observes the call panicked
		r.reply.Body.Close()
	}
	if r.placed {
		r.service.limit.leave()
	}
}

// handOver makes the place of the call that of its reply, if somebody is going to
// read that.
func (r *run) handOver(resp *http.Response) {
	r.reply = nil
	if !r.placed || resp == nil {
		return
	}
	if live, ok := resp.Body.(interface{ keep() }); ok {
		live.keep()
		r.placed = false
	}
}

func (l *limiter) leave() {
	l.inUse.Add(-1)
	l.calls.Wake()
}

// hasRoom reports whether one more attempt may be under way.
func (v *vitals) hasRoom() bool {
	return v.limit == nil || v.inFlight.Load() < int64(v.limit.PerEndpoint)
}

// enter counts an attempt as under way, if there is room for it.
func (v *vitals) enter() bool {
	if v.limit == nil {
		v.inFlight.Add(1)
		return true
	}
	return queue.Take(&v.inFlight, v.limit.PerEndpoint)
}

// exit ends what enter began.
func (v *vitals) exit() {
	v.inFlight.Add(-1)
	if v.limit != nil {
		v.limit.picks.Wake()
	}
}

// errFull: there is no room at the endpoints that may be tried.
var errFull = errors.New("there is no room at any endpoint")

// perEndpoint is l for endpoints; nil if it does not limit them.
func (l *limiter) perEndpoint() *limiter {
	if l == nil || l.PerEndpoint == 0 {
		return nil
	}
	return l
}

// crowded reports whether calls wait for a place at an endpoint.
func (l *limiter) crowded() bool { return l != nil && !l.picks.Empty() }

// pick chooses an endpoint for the next attempt, and waits for a place at one.
func (r *run) pick() (p pick, class Class, err error) {
	s := r.service
	err = errFull // if others wait, so does this one
	if !s.limit.crowded() {
		p, err = r.tried.pick(s, r.req, r.now)
	}
	if err == errFull {
		places := s.limit.PerEndpoint * max(1, len(s.set.Load().endpoints))
		class, refused := r.queue(&s.limit.picks, fmt.Sprintf("%d attempts are under way at each endpoint", s.limit.PerEndpoint), places, func() bool {
			p, err = r.tried.pick(s, r.req, time.Now())
			return err != errFull
		})
		if class != OK {
			return pick{}, class, refused
		}
	}
	switch {
	case err == nil:
		return p, OK, nil
	case errors.Is(err, errNoEndpoint):
		return p, NoEndpoint, err
	}
	return p, BreakerOpen, err
}

// ErrLate matches the error of a call that was refused because it had too little
// time left to wait for its turn. Its class is [Overloaded].
var ErrLate = errors.New("there is no time to wait")

type lateError string

func (e lateError) Error() string { return string(e) }

// Is is what errors.Is asks for.
func (lateError) Is(target error) bool { return target == ErrLate }

// queue waits until try succeeds, at most for what is left of [Limit].Wait. Nobody
// waits who would then have less time than a good reply usually takes: what is
// late already is shed first, and at once. If the queue is full, a call of a lower
// priority makes room. taken says in words what is waited for, of which there are
// so many places.
func (r *run) queue(in *queue.Line, taken string, places int, try func() bool) (Class, error) {
	s := r.service
	l := s.limit
	refuse := func(why string) (Class, error) {
		l.refused[r.priority.rank()].Add(1)
		return Overloaded, errors.New(taken + why)
	}
	tooLate := func(why string) (Class, error) {
		l.late.Add(1)
		l.refused[r.priority.rank()].Add(1)
		return Overloaded, lateError(taken + why)
	}
	if l.Queue == 0 {
		return refuse("")
	}
	patience := l.Wait - r.queued
	late := false
	if left, bound := r.left(); bound {
		typical := time.Duration(s.typical.Load())
		turn := typical * time.Duration(in.Before(r.priority.rank())) / time.Duration(places)
		if left <= typical+turn {
			return tooLate(", and " + ErrLate.Error())
		}
		if left-typical < patience {
			patience, late = left-typical, true
		}
	}
	if !queue.Take(&l.waiting, l.Queue) && !in.Oust(r.priority.rank()) {
		return refuse(fmt.Sprintf(", and %d calls wait", l.Queue))
	}
	start := time.Now()
	ousted, err := in.Wait(r.req.Context(), r.priority.rank(), patience, try)
	if !ousted {
		l.waiting.Add(-1)
	}
	r.now = time.Now()
	r.queued += r.now.Sub(start)
	switch {
	case err == nil:
		return OK, nil
	case errors.Is(err, context.Canceled):
		return Canceled, err
	case err == queue.ErrOusted:
		return refuse(", and " + err.Error())
	case late:
		return tooLate(fmt.Sprintf(", and there is no time left after a wait of %v", r.queued.Round(time.Millisecond)))
	}
	return refuse(fmt.Sprintf(", and a wait of %v did not help", r.queued.Round(time.Millisecond)))
}

// LimitStats are what [Limit] counts.
type LimitStats struct {
	Limit     int64              // how many calls may have a place now; 0 is any number
	InUse     int64              // calls that have a place; 0 without such a bound
	Waiting   int64              // calls in the queue
	Refused   int64              // calls
	RefusedBy map[Priority]int64 // those of each priority; what is not here is 0
	Late      int64              // those that had too little time left to wait
	Adaptive  *AdaptiveStats     // nil without
}

// AdaptiveStats are what [Adaptive] goes by.
type AdaptiveStats struct {
	Usual time.Duration // what half of the replies take at most if there is no queue; 0 is not known
	Last  time.Duration // what they took last; 0 is not known
}

func (l *limiter) stats() (s LimitStats) {
	if l == nil {
		return s
	}
	s = LimitStats{Limit: int64(l.most()), InUse: l.inUse.Load(), Waiting: l.waiting.Load(), Late: l.late.Load(), RefusedBy: map[Priority]int64{}}
	for p := PriorityLow; p <= PriorityCritical; p++ {
		if n := l.refused[p.rank()].Load(); n > 0 {
			s.RefusedBy[p] = n
			s.Refused += n
		}
	}
	if a := l.adaptive; a != nil {
		s.Adaptive = &AdaptiveStats{Usual: time.Duration(a.usual.Load()), Last: time.Duration(a.last.Load())}
	}
	return s
}
