package mesh

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Ejection leaves out endpoints that fail more than their peers, for a while.
// A [Breaker] judges an endpoint alone; ejection judges it against the others of
// the service, or of its version, and takes away neither more than AtMost of them nor the last one.
// What a failure is, is the same.
type Ejection struct {
	// Failures ejects an endpoint after that many failures in a row, if its share
	// of failures within the time Within is above that of its peers.
	Failures int
	// Ratio ejects an endpoint whose share of failures within the time Within is
	// by that much, from 0 to 1, above that of its peers together. Set Failures
	// or Ratio, not both.
	Ratio float64
	// Of is the fewest attempts that Ratio takes a share of, the endpoint's and
	// its peers'. 0 is 20.
	Of int
	// Within is the time looked back on. 0 is 10s.
	Within time.Duration
	// For is how long an endpoint is left out first. 0 is 30s. Each ejection
	// after that doubles it up to MaxFor, until the endpoint has been back for as
	// long as MaxFor. It comes back with a slow start, if there is one.
	For time.Duration
	// MaxFor bounds that time. 0 is 5m, or For if that is longer.
	MaxFor time.Duration
	// AtMost is the share of the endpoints, from 0 to 1, that may be left out at
	// the same time, rounded down. 0 is a half.
	AtMost float64
}

const (
	defaultEjectionOf     = 20
	defaultEjectionWithin = 10 * time.Second
	defaultEjectionFor    = 30 * time.Second
	defaultEjectionMaxFor = 5 * time.Minute
	defaultEjectionAtMost = 0.5
)

func (c Ejection) enabled() bool { return c.Failures > 0 || c.Ratio > 0 }

func (c Ejection) withDefaults() Ejection {
	if c.Ratio > 0 {
		c.Of = orDefault(c.Of, defaultEjectionOf)
	}
	c.Within = orDefault(c.Within, defaultEjectionWithin)
	c.For = orDefault(c.For, defaultEjectionFor)
	c.MaxFor = orDefault(c.MaxFor, max(defaultEjectionMaxFor, c.For))
	c.AtMost = orDefault(c.AtMost, defaultEjectionAtMost)
	return c
}

func (c Ejection) validate(f *faults) {
	if !f.failures("ejection", c.Failures, c.Ratio, c.Of, "30%") && c.Of > 0 && c.Ratio == 0 {
		f.add("ejection.of", "of needs failures as a share", "write failures: 30%, or leave out of")
	}
	f.nonNegative("ejection.within", c.Within)
	f.growing("ejection", "for", c.For, defaultEjectionFor, c.MaxFor)
	f.share("ejection.at_most", c.AtMost)
}

// spares adds the fault of taking away so many that the rest panics.
func (c Ejection) spares(f *faults, panic float64) {
	if !isShare(c.AtMost) || !c.enabled() {
		return
	}
	c = c.withDefaults()
	if left := 1 - c.AtMost; left < panic-rounding {
		f.add("ejection.at_most", fmt.Sprintf("ejecting %.4g%% leaves %.4g%%, with which all endpoints are used again: panic is %.4g%%", 100*c.AtMost, 100*left, 100*panic),
			fmt.Sprintf("write at_most: %.4g%% or less, or a lower panic", 100*(1-panic)))
	}
}

// rounding keeps shares that were written as decimals on the side they are meant
// to be on.
const rounding = 1e-9

// ejector decides which endpoints of a service are left out. It is nil without
// ejection.
type ejector struct {
	Ejection
	clock    func() time.Duration
	overload *overload
	changes  *changes

	mu sync.Mutex // held while an endpoint is judged, and by who reads why it is out
}

// ejection is the state of one endpoint. It is nil without an ejector.
type ejection struct {
	by     *ejector
	until  atomic.Int64 // when it is back, or was; 0 if it was never out
	inARow atomic.Int64 // failures since the last success
	window timedMarks

	// What the mutex of by guards.
	last     time.Duration // how long it was left out last
	times    int64
	because  string
	comeback *time.Timer // tells that it is back; nil if it was never out, or nobody wants to know
}

func newEjector(c Ejection, o *overload, clock func() time.Duration, changes *changes) *ejector {
	if !c.enabled() {
		return nil
	}
	return &ejector{Ejection: c, clock: clock, overload: o, changes: changes}
}

func (x *ejector) endpoint() *ejection {
	if x == nil {
		return nil
	}
	return &ejection{by: x, window: newTimedMarks(x.Within)}
}

// out reports whether the endpoint is left out at a time on the service's clock.
func (j *ejection) out(now time.Duration) bool {
	if j == nil {
		return false
	}
	until := j.until.Load()
	return until != 0 && until > int64(now)
}

// end takes what came of an attempt. What began before the endpoint was back
// says nothing of how it is now.
func (j *ejection) end(s *Service, e *Endpoint, class Class, now, took time.Duration) {
	if j == nil || class.neutral() {
		return
	}
	if until := j.until.Load(); until != 0 && int64(now-took) < until {
		return
	}
	if !class.endpointFault() {
		if j.inARow.Load() != 0 {
			j.inARow.Store(0)
		}
		j.window.add(now, counted)
		return
	}
	j.inARow.Add(1)
	j.window.add(now, counted|failed)
	j.by.changes.tell(j.by.judge(e, s.set.Load()))
}

// judge ejects an endpoint that has just failed, if it stands out and can be
// spared.
func (x *ejector) judge(e *Endpoint, s *set) (change Change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	j, now := e.ejection, x.clock()
	if j.out(now) {
		return change
	}
	because := x.fault(e, s, now)
	if because == "" || !x.spares(e, s, now) {
		return change
	}
	back := time.Duration(j.until.Load())
	if j.last == 0 || now-back >= x.MaxFor {
		j.last = x.For
	} else {
		j.last = min(2*j.last, x.MaxFor)
	}
	j.times++
	j.because = because
	j.inARow.Store(0)
	j.window.reset()
	e.warmup.beginAt(now + j.last)
	j.until.Store(int64(now + j.last))
	x.overload.changed(now + j.last)
	if x.changes != nil {
		j.comeback = time.AfterFunc(j.last, func() { x.changes.tell(Change{What: EndpointBack, Endpoint: e.target.URL}) })
	}
	return Change{What: EndpointEjected, Endpoint: e.target.URL, Because: because, Until: x.changes.time(now + j.last)}
}

// close ends what the endpoint's ejection does by itself.
func (j *ejection) close() {
	if j == nil {
		return
	}
	j.by.mu.Lock()
	defer j.by.mu.Unlock()
	if j.comeback != nil {
		j.comeback.Stop()
	}
}

// fault is how the endpoint stands out; empty if it does not.
func (x *ejector) fault(e *Endpoint, s *set, now time.Duration) string {
	row := e.ejection.inARow.Load()
	if x.Failures > 0 && row < int64(x.Failures) {
		return ""
	}
	own := e.ejection.window.count(now)
	if x.Ratio > 0 && (own.total < int64(x.Of) || own.share() < x.Ratio-rounding) {
		return "" // whatever the others do
	}
	var peers tally
	for _, other := range s.endpoints {
		if other.vitals != e.vitals && other.version == e.version {
			t := other.ejection.window.count(now)
			peers.total += t.total
			peers.failed += t.failed
		}
	}
	switch above := own.share() - peers.share(); {
	case x.Failures > 0 && above > 0:
		return fmt.Sprintf("%d attempts failed in a row, and %.0f%% of its peers' within %v", row, 100*peers.share(), x.Within)
	case x.Ratio > 0 && above >= x.Ratio-rounding && peers.total >= int64(x.Of):
		return fmt.Sprintf("%.0f%% of its attempts within %v failed, and %.0f%% of its peers'", 100*own.share(), x.Within, 100*peers.share())
	}
	return ""
}

// share is the part that failed; 0 of nothing.
func (t tally) share() float64 { return float64(t.failed) / float64(max(1, t.total)) }

// spares reports whether the version can do without one more endpoint.
func (x *ejector) spares(e *Endpoint, s *set, now time.Duration) bool {
	out, usable, all := 1, 0, 0
	for _, other := range s.endpoints {
		if other.version != e.version {
			continue
		}
		all++
		switch {
		case other.vitals == e.vitals:
		case other.ejection.out(now):
			out++
		case !other.target.Draining && other.usable(now):
			usable++
		}
	}
	return usable > 0 && float64(out) <= x.AtMost*float64(all)+rounding
}

// EjectionStats say whether an endpoint is left out and how it came to that.
type EjectionStats struct {
	Out     bool
	Until   time.Time // when it is back; zero while it is not out
	Because string    // what it was ejected for, in words; empty while it is not out
	Times   int64     // how often it was ejected
}

// stats expects the time at which the clock was 0.
func (j *ejection) stats(zero time.Time) (s *EjectionStats) {
	if j == nil {
		return nil
	}
	j.by.mu.Lock()
	defer j.by.mu.Unlock()
	s = &EjectionStats{Out: j.out(j.by.clock()), Times: j.times}
	if s.Out {
		s.Until, s.Because = zero.Add(time.Duration(j.until.Load())), j.because
	}
	return s
}
