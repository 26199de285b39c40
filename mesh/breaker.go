package mesh

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// breaker stops what keeps failing, and lets one probe at a time find out
// whether it still does.
//
// It is not failsafe-go's: there the result of an attempt begun before the
// breaker opened counts as that of the probe, and a probe that never ends leaves
// the breaker half-open for ever, which TestWhatTheLibrarysBreakerDoes shows; it
// knows nothing of slow attempts, and every success takes a lock. Here permits
// are stamped with the state that they were given in, the leave to probe is
// leased, and success touches atomics alone.
//
// A nil breaker lets everything pass.
type breaker struct {
	Breaker
	counts string        // what it counts: "attempts", "calls"
	lease  time.Duration // how long a probe keeps others from probing
	clock  func() time.Duration
	random func() float64 // of [0, 1)
	closed func()         // called when a probe has succeeded, if set

	changed func(until time.Duration) // called when nothing passes until then, if set

	changes  *changes // what is told of it; nil tells nobody
	endpoint string   // that it is of; empty if it is the service's

	// blockedUntil is 0 while closed, and else when a probe may start: the end of
	// the open time, or of the lease of the probe that is under way.
	blockedUntil atomic.Int64
	generation   atomic.Uint64 // counts changes of state
	inARow       atomic.Int64  // failures since the last success
	window       outcomes      // nil if only failures in a row count

	mu           sync.Mutex // serialises all changes of state, and what follows
	probing      bool       // half-open
	leases       uint64     // given so far
	since        time.Duration
	because      string
	failedProbes int
	openings     int64
}

// permit is the leave to make one attempt or call. One of record and release is
// to follow; if neither does, a probe's lease expires.
type permit struct {
	b          *breaker
	generation uint64
	lease      uint64 // of a probe; 0 is none
}

// newBreaker is nil if c is off. longest is how long a probe usually takes at
// most, or 0.
func newBreaker(c Breaker, counts string, longest time.Duration, clock func() time.Duration, random func() uint64) *breaker {
	if !c.enabled() {
		return nil
	}
	b := &breaker{Breaker: c, counts: counts, lease: max(longest, c.Open), clock: clock, random: func() float64 { return unit(random()) }}
	switch {
	case c.Within > 0:
		b.window = newTimedMarks(c.Within)
	case c.Of > 0 || c.Slow.Over > 0:
		b.window = &lastMarks{slots: make([]atomic.Uint32, b.of())}
	}
	return b
}

// of is the number of attempts that shares are taken of.
func (b *breaker) of() int64 { return int64(orDefault(b.Of, defaultBreakerWindow)) }

// mayPass reports whether acquire has a chance at a time on the service's clock,
// without taking a permit.
func (b *breaker) mayPass(now time.Duration) bool {
	if b == nil {
		return true
	}
	until := b.blockedUntil.Load()
	return until == 0 || until <= int64(now)
}

func (b *breaker) acquire() (permit, bool) {
	if b == nil {
		return permit{}, true
	}
	// Read before the state, which changes first when the breaker opens: an
	// attempt that passes has at most the stamp of a state that is gone.
	generation := b.generation.Load()
	if b.blockedUntil.Load() == 0 {
		return permit{b: b, generation: generation}, true
	}
	if !b.mayPass(b.clock()) {
		return permit{}, false
	}
	leave, ok, change := b.probe()
	b.changes.tell(change)
	return leave, ok
}

// probe gives the leave to find out whether all is well again, once in a while.
func (b *breaker) probe() (leave permit, ok bool, change Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch until, now := b.blockedUntil.Load(), b.clock(); {
	case until == 0:
		return permit{b: b, generation: b.generation.Load()}, true, change
	case until > int64(now):
		return permit{}, false, change
	default:
		if !b.probing {
			b.probing = true
			b.generation.Add(1)
			change = Change{What: BreakerProbes, Endpoint: b.endpoint}
		}
		b.leases++
		b.block(now + b.lease)
		return permit{b, b.generation.Load(), b.leases}, true, change
	}
}

// end takes what came of the attempt or call, and how long it took.
func (p permit) end(class Class, took time.Duration) {
	switch {
	case p.b == nil:
	case class.neutral():
		p.release()
	default:
		p.record(class.endpointFault(), took)
	}
}

func (p permit) record(isFailure bool, took time.Duration) {
	b, m := p.b, counted
	if isFailure {
		m |= failed
	}
	if b.Slow.Over > 0 && took > b.Slow.Over {
		m |= slow
	}
	if m == counted && p.lease == 0 {
		if p.generation == b.generation.Load() {
			b.add(m)
		}
		return
	}
	b.changes.tell(b.judge(p, m))
}

// judge takes what speaks against what is behind the breaker, or for it after a
// probe.
func (b *breaker) judge(p permit, m mark) (change Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case p.generation != b.generation.Load():
	case p.lease == 0:
		b.add(m)
		if because := b.fault(); because != "" {
			b.since, b.because, b.failedProbes = b.clock(), because, 0
			b.openings++
			b.open(b.Open)
			return b.opened()
		}
	case m == counted:
		b.close()
		return Change{What: BreakerClosed, Endpoint: b.endpoint}
	default:
		b.failedProbes++
		longest := b.MaxOpen
		if n := b.failedProbes; n < 30 && b.Open < b.MaxOpen>>n {
			longest = b.Open << n
		}
		b.open(longest - time.Duration(b.random()*float64(longest/2)))
		return b.opened()
	}
	return change
}

// opened is the change that the breaker has just made. mu is held.
func (b *breaker) opened() Change {
	return Change{What: BreakerOpened, Endpoint: b.endpoint, Because: b.because + probesFailed(b.failedProbes), Until: b.changes.time(time.Duration(b.blockedUntil.Load()))}
}

// release gives the permit back without an outcome: the next attempt may probe.
func (p permit) release() {
	if p.b == nil || p.lease == 0 {
		return
	}
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.generation == p.b.generation.Load() && p.lease == p.b.leases {
		p.b.block(p.b.clock())
	}
}

func (b *breaker) add(m mark) {
	switch {
	case m&failed != 0:
		b.inARow.Add(1)
	case b.inARow.Load() != 0: // a store would share the line among all who succeed
		b.inARow.Store(0)
	}
	if b.window != nil {
		b.window.add(b.windowTime(), m)
	}
}

// windowTime is the time for the window: looking at the clock costs more than
// all else that success does, and only a window of time needs it.
func (b *breaker) windowTime() time.Duration {
	if b.Within == 0 {
		return 0
	}
	return b.clock()
}

// fault is why the breaker has to open; empty if it has not.
func (b *breaker) fault() string {
	var t tally
	if b.window != nil {
		t = b.window.count(b.windowTime())
	}
	switch row := b.inARow.Load(); {
	case b.Failures > 0 && b.Within > 0:
		if t.failed >= int64(b.Failures) {
			return fmt.Sprintf("%d %s failed within %v", t.failed, b.counts, b.Within)
		}
	case b.Failures > 0 && b.Of > 0:
		if t.failed >= int64(b.Failures) {
			return fmt.Sprintf("%d of the last %d %s failed", t.failed, b.Of, b.counts)
		}
	case b.Failures > 0 && row >= int64(b.Failures):
		return fmt.Sprintf("%d %s failed in a row", row, b.counts)
	case b.Ratio > 0 && b.share(t.failed, t.total, b.Ratio):
		return b.shareText(t.failed, t.total) + " failed"
	}
	if b.Slow.Over > 0 && b.share(t.slow, t.total, b.Slow.Ratio) {
		return b.shareText(t.slow, t.total) + fmt.Sprintf(" took longer than %v", b.Slow.Over)
	}
	return ""
}

// share reports whether n are the ratio of what it looks back on.
// Attempts that were not made yet count as good, but for a window of time: there
// enough of them have to be in it.
func (b *breaker) share(n, total int64, ratio float64) bool {
	if b.Within == 0 {
		total = b.of()
	}
	return total >= b.of() && float64(n) >= ratio*float64(total)-rounding && n > 0
}

func (b *breaker) shareText(n, total int64) string {
	if b.Within > 0 {
		return fmt.Sprintf("%d of %d %s within %v", n, total, b.counts, b.Within)
	}
	return fmt.Sprintf("%d of the last %d %s", n, b.of(), b.counts)
}

// open lets nothing through for a while. mu is held.
func (b *breaker) open(longest time.Duration) {
	b.probing = false
	b.block(b.clock() + max(1, longest))
	b.generation.Add(1)
	b.clear()
}

// block lets nothing through until a time on the clock; 0 is that all passes.
func (b *breaker) block(until time.Duration) {
	b.blockedUntil.Store(int64(until))
	if b.changed != nil {
		b.changed(until)
	}
}

// close lets everything through. mu is held.
func (b *breaker) close() {
	b.probing = false
	b.clear()
	if b.closed != nil {
		b.closed()
	}
	b.generation.Add(1)
	b.block(0)
}

func (b *breaker) clear() {
	b.inARow.Store(0)
	if b.window != nil {
		b.window.reset()
	}
}

// callPermit is the leave to make one call.
type callPermit struct {
	permit
	start time.Duration
}

// enter asks the breaker of the service. It closes the body of a request that it
// refuses.
func (s *Service) enter(req *http.Request, now time.Time) (leave callPermit, err error) {
	if s.breaker == nil {
		return leave, nil
	}
	var ok bool
	if leave.permit, ok = s.breaker.acquire(); !ok {
		closeBody(req)
		s.failures.count(BreakerOpen, time.Now())
		return leave, &Error{Service: s.name, Class: BreakerOpen, Err: errors.New("its breaker is " + s.breaker.refusal())}
	}
	leave.start = now.Sub(s.opened)
	return leave, nil
}

// end takes what came of the call.
func (p callPermit) end(class Class) {
	if p.b != nil {
		p.permit.end(class, p.b.clock()-p.start)
	}
}

// BreakerStats are the state of a breaker and how it came to it.
type BreakerStats struct {
	State        string    // "closed", "open", "half-open"; empty without a breaker
	Since        time.Time // when it opened; zero while it is closed
	Because      string    // what it opened for, in words; empty while it is closed
	FailedProbes int       // since it opened
	NextProbe    time.Time // not before this; of a half-open one, if the probe under way does not end
	Openings     int64     // how often it opened; failed probes do not count
}

// stats expects the time at which the clock was 0.
func (b *breaker) stats(zero time.Time) (s BreakerStats) {
	if b == nil {
		return s
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Openings = b.openings
	until := b.blockedUntil.Load()
	if until == 0 {
		s.State = "closed"
		return s
	}
	s.State = "open"
	if b.probing {
		s.State = "half-open"
	}
	s.Since, s.Because, s.FailedProbes = zero.Add(b.since), b.because, b.failedProbes
	s.NextProbe = zero.Add(time.Duration(until))
	return s
}

// refusal says in words since when and why nothing passes, and when that changes.
func (b *breaker) refusal() string {
	s, now := b.stats(time.Time{}), time.Time{}.Add(b.clock())
	next := "and a probe is under way"
	if s.State == "closed" { // since it refused
		return "open, and a probe has just succeeded"
	}
	if s.State != "half-open" {
		next = fmt.Sprintf("the next probe is in %v", max(0, s.NextProbe.Sub(now)).Round(time.Millisecond))
	}
	return fmt.Sprintf("open, %s (for %v: %s%s)", next, now.Sub(s.Since).Round(time.Millisecond), s.Because, probesFailed(s.FailedProbes))
}

func probesFailed(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return ", and a probe failed since"
	}
	return fmt.Sprintf(", and %d probes failed since", n)
}
