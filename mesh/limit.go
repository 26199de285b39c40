package mesh

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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

func (l Limit) enabled() bool { return l.Concurrent > 0 || l.PerEndpoint > 0 }

func (l Limit) withDefaults() Limit {
	if l.Queue > 0 {
		l.Wait = orDefault(l.Wait, defaultLimitWait)
	}
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
	switch {
	case !l.enabled() && (l.Queue > 0 || l.Wait > 0):
		f.add("limit", "nothing is limited", "write concurrent: 100, or per_endpoint: 20")
	case l.Wait > 0 && l.Queue == 0:
		f.add("limit.wait", "wait needs a queue", "write queue: 50")
	}
}

// limiter is [Limit] made ready. A nil one does nothing.
type limiter struct {
	Limit
	inUse   atomic.Int64 // calls that have a place; only counted if Concurrent
	waiting atomic.Int64 // calls, in both lines
	refused atomic.Int64
	calls   line // for a place among the calls
	picks   line // for a place at an endpoint
}

func newLimiter(l Limit) *limiter {
	if !l.enabled() {
		return nil
	}
	return &limiter{Limit: l}
}

// take adds one to n if it stays within limit. A sum that is taken back would
// make others see a place taken that is free.
func take(n *atomic.Int64, limit int) bool {
	for {
		old := n.Load()
		if old >= int64(limit) {
			return false
		}
		if n.CompareAndSwap(old, old+1) {
			return true
		}
	}
}

// start takes a place for the call, and waits for one.
func (r *run) start() (Class, error) {
	l := r.service.limit
	if l.Concurrent == 0 {
		return OK, nil
	}
	if l.calls.empty() && take(&l.inUse, l.Concurrent) {
		r.placed = true
		return OK, nil
	}
	class, err := r.queue(&l.calls, fmt.Sprintf("%d calls are under way", l.Concurrent), l.Concurrent,
		func() bool { return take(&l.inUse, l.Concurrent) })
	r.placed = class == OK
	return class, err
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
	l.calls.wake()
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
	return take(&v.inFlight, v.limit.PerEndpoint)
}

// exit ends what enter began.
func (v *vitals) exit() {
	v.inFlight.Add(-1)
	if v.limit != nil {
		v.limit.picks.wake()
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
func (l *limiter) crowded() bool { return l != nil && !l.picks.empty() }

// pick chooses an endpoint for the next attempt, and waits for a place at one.
func (r *run) pick() (p pick, class Class, err error) {
	s := r.service
	err = errFull // if others wait, so does this one
	if !s.limit.crowded() {
		p, err = r.tried.pick(s, r.req)
	}
	if err == errFull {
		places := s.limit.PerEndpoint * max(1, len(s.set.Load().endpoints))
		class, refused := r.queue(&s.limit.picks, fmt.Sprintf("%d attempts are under way at each endpoint", s.limit.PerEndpoint), places, func() bool {
			p, err = r.tried.pick(s, r.req)
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

// queue waits until try succeeds, at most for what is left of [Limit].Wait. Nobody
// waits who would then have less time than a good reply usually takes: what is
// late already is shed first, and at once. taken says in words what is waited
// for, of which there are so many places.
func (r *run) queue(in *line, taken string, places int, try func() bool) (Class, error) {
	s := r.service
	l := s.limit
	refuse := func(why string) (Class, error) {
		l.refused.Add(1)
		return Overloaded, errors.New(taken + why)
	}
	patience := l.Wait - r.queued
	late := false
	if left, bound := r.left(); bound {
		typical := time.Duration(s.typical.Load())
		turn := typical * time.Duration(in.length.Load()) / time.Duration(places)
		if l.Queue > 0 && left <= typical+turn {
			return refuse(", and there is no time to wait")
		}
		if left-typical < patience {
			patience, late = left-typical, true
		}
	}
	if !take(&l.waiting, l.Queue) {
		if l.Queue == 0 {
			return refuse("")
		}
		return refuse(fmt.Sprintf(", and %d calls wait", l.Queue))
	}
	defer l.waiting.Add(-1)
	start := time.Now()
	err := in.wait(r.req.Context(), patience, try)
	r.now = time.Now()
	r.queued += r.now.Sub(start)
	switch {
	case err == nil:
		return OK, nil
	case errors.Is(err, context.Canceled):
		return Canceled, err
	case late:
		return refuse(fmt.Sprintf(", and there is no time left after a wait of %v", r.queued.Round(time.Millisecond)))
	}
	return refuse(fmt.Sprintf(", and a wait of %v did not help", r.queued.Round(time.Millisecond)))
}

// line is where calls wait for their turn, first come, first served. What they
// wait for is not handed to them: the first is woken, and tries for itself. No
// place stays free while somebody waits for it, because
//
//   - whoever gives a place back looks at the line after that, and whoever waits
//     stands in line before trying;
//   - whoever leaves the line, for any reason, wakes who is first then.
type line struct {
	length atomic.Int64
	mu     sync.Mutex
	all    list.List // of chan struct{}, with room for one
}

func (l *line) empty() bool { return l.length.Load() == 0 }

// wake lets the first try.
func (l *line) wake() {
	if l.empty() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first()
}

// first tells the first that it may try. mu is held.
func (l *line) first() {
	if first := l.all.Front(); first != nil {
		select {
		case first.Value.(chan struct{}) <- struct{}{}:
		default: // it was told, and has not tried yet
		}
	}
}

var errWaited = errors.New("the wait was in vain")

// wait returns nil when try has returned true, which is asked without the lock
// held. The error is the context's, or errWaited after patience.
func (l *line) wait(ctx context.Context, patience time.Duration, try func() bool) error {
	if patience <= 0 {
		return errWaited
	}
	turn := make(chan struct{}, 1)
	l.mu.Lock()
	place := l.all.PushBack(turn)
	l.length.Add(1)
	l.first()
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all.Remove(place)
		l.length.Add(-1)
		l.first()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-turn:
			if try() {
				return nil
			}
		case <-timer.C:
			return errWaited
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// LimitStats are what [Limit] counts.
type LimitStats struct {
	InUse   int64 // calls that have a place; 0 without Limit.Concurrent
	Waiting int64 // calls in the queue
	Refused int64 // calls
}

func (l *limiter) stats() LimitStats {
	if l == nil {
		return LimitStats{}
	}
	return LimitStats{InUse: l.inUse.Load(), Waiting: l.waiting.Load(), Refused: l.refused.Load()}
}
