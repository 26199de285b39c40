package mesh

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// breaker is failsafe-go's circuit breaker used by permits, with the two things
// it lacks for calls that overlap and can be abandoned:
//
//   - Results are stamped. One that was begun before the breaker changed its
//     state says nothing about the endpoint now, yet would count as the probe.
//   - A permit can be given back. The probe of a half-open breaker whose caller
//     went away is neither success nor failure; kept, it would leave the breaker
//     half-open for ever.
//
// A nil breaker lets everything pass.
type breaker struct {
	open  time.Duration
	clock func() time.Duration

	// blockedUntil lets a balancer look without a lock: 0 while closed, the
	// time on clock when a probe may start, or never while one is under way.
	blockedUntil atomic.Int64

	mu         sync.Mutex // serialises all of what follows
	cb         circuitbreaker.CircuitBreaker[any]
	generation uint64 // counts changes of state
}

const never = math.MaxInt64

// permit is the leave to make one attempt. Exactly one of record and release
// must follow.
type permit struct {
	b          *breaker
	generation uint64
}

func newBreaker(c Breaker, clock func() time.Duration) *breaker {
	if !c.enabled() {
		return nil
	}
	b := &breaker{open: c.Open, clock: clock}
	builder := circuitbreaker.NewBuilder[any]().
		WithDelay(c.Open).
		WithSuccessThreshold(1).
		OnStateChanged(func(circuitbreaker.StateChangedEvent) { b.generation++ })
	switch failures := uint(c.Failures); {
	case c.Ratio > 0:
		failures = uint(max(1, math.Ceil(c.Ratio*float64(c.Of))))
		builder.WithFailureThresholdRatio(failures, uint(c.Of))
	case c.Of > 0:
		builder.WithFailureThresholdRatio(failures, uint(c.Of))
	default:
		builder.WithFailureThreshold(failures)
	}
	b.cb = builder.Build()
	return b
}

// mayPass reports whether acquire has a chance, without taking a permit.
func (b *breaker) mayPass() bool {
	if b == nil {
		return true
	}
	until := b.blockedUntil.Load()
	return until == 0 || until <= int64(b.clock())
}

func (b *breaker) acquire() (permit, bool) {
	if b == nil {
		return permit{}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	ok := b.cb.TryAcquirePermit()
	b.publish()
	return permit{b, b.generation}, ok
}

// record counts the outcome of the attempt.
func (p permit) record(success bool) {
	if p.b == nil {
		return
	}
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.generation != p.b.generation {
		return
	}
	if success {
		p.b.cb.RecordSuccess()
	} else {
		p.b.cb.RecordFailure()
	}
	p.b.publish()
}

// release gives the permit back without an outcome.
func (p permit) release() {
	if p.b == nil {
		return
	}
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.generation != p.b.generation || !p.b.cb.IsHalfOpen() {
		return
	}
	// Half-opening again is the library's only way to make a new permit.
	p.b.cb.Open()
	p.b.cb.HalfOpen()
	p.b.blockedUntil.Store(int64(p.b.clock()))
}

// publish sets blockedUntil after a change under mu. While half-open the one
// permit is always taken, but for the moment between release and acquire.
func (b *breaker) publish() {
	switch b.cb.State() {
	case circuitbreaker.ClosedState:
		b.blockedUntil.Store(0)
	case circuitbreaker.HalfOpenState:
		b.blockedUntil.Store(never)
	case circuitbreaker.OpenState:
		b.blockedUntil.Store(int64(b.clock() + b.cb.RemainingDelay()))
	}
}

// state is "closed", "open" or "half-open"; empty without a breaker.
func (b *breaker) state() string {
	if b == nil {
		return ""
	}
	return b.cb.State().String()
}
