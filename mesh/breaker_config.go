package mesh

import (
	"fmt"
	"time"
)

// Breaker stops attempts at an endpoint that fails, or calls of a service that
// does. Failures are outcomes of classes connect, timeout, reset and malformed,
// and replies with status 500 and above.
type Breaker struct {
	// Failures opens the breaker: that many of the last Of, or that many within
	// the time Within, or that many in a row if both are 0.
	Failures int
	// Ratio opens the breaker when this share (0 to 1) of the last Of failed, or
	// of those within the time Within if that is set. Set Failures or Ratio, not
	// both.
	Ratio float64
	// Slow opens the breaker when too many take too long, whether they fail or
	// not.
	Slow Slow
	// Of is the number of attempts (or calls) looked back on. With Within it is
	// the fewest that a share is taken of. With Ratio or Slow, 0 is 20.
	Of int
	// Within is the time looked back on, in place of a number of attempts.
	Within time.Duration
	// Open is how long the breaker stays open before one attempt may probe the
	// endpoint. 0 is 10s. Each probe that fails doubles it up to MaxOpen, less a
	// random part of up to a half: the probes of many clients are not to meet.
	Open time.Duration
	// MaxOpen bounds the time between two probes. 0 is 1m, or Open if that is
	// longer.
	MaxOpen time.Duration
}

// Slow says when too many attempts take too long.
type Slow struct {
	// Over is the time above which an attempt is slow. 0 turns this off. What is
	// measured ends as [Config].Timeout does.
	Over time.Duration
	// Ratio is the share of slow ones, from 0 to 1, that opens the breaker. 0 is
	// a half.
	Ratio float64
}

const (
	defaultBreakerWindow  = 20
	defaultBreakerOpen    = 10 * time.Second
	defaultBreakerMaxOpen = time.Minute
	defaultSlowRatio      = 0.5
)

func (b Breaker) enabled() bool { return b.Failures > 0 || b.Ratio > 0 || b.Slow.Over > 0 }

func (b Breaker) withDefaults() Breaker {
	b.Open = orDefault(b.Open, defaultBreakerOpen)
	b.MaxOpen = orDefault(b.MaxOpen, max(defaultBreakerMaxOpen, b.Open))
	if b.Slow.Over > 0 {
		b.Slow.Ratio = orDefault(b.Slow.Ratio, defaultSlowRatio)
	}
	if b.Failures == 0 && b.enabled() {
		b.Of = orDefault(b.Of, defaultBreakerWindow)
	}
	return b
}

// validate names fields below the one that the breaker is in.
func (b Breaker) validate(f *faults, in string) {
	add := func(field, message, hint string) { f.add(in+"."+field, message, hint) }
	switch {
	case f.failures(in, b.Failures, b.Ratio, b.Of, "50%"):
	case b.Of > 0 && !b.enabled():
		add("of", "of needs failures", "write failures: 50%")
	case b.Of > 0 && b.Failures > b.Of:
		add("failures", fmt.Sprintf("%d failures cannot happen in %d attempts", b.Failures, b.Of),
			"write fewer failures, or look at more attempts with of")
	case b.Of > 0 && b.Failures > 0 && b.Within > 0:
		add("of", "a number of failures within a time is not one of so many attempts", "leave out of or within, or write failures as a share")
	case b.Within > 0 && !b.enabled():
		add("within", "within needs failures", "write failures: 50%")
	}
	f.nonNegative(in+".within", b.Within)
	f.growing(in, "open", b.Open, defaultBreakerOpen, b.MaxOpen)
	f.nonNegative(in+".slow.over", b.Slow.Over)
	if f.share(in+".slow.share", b.Slow.Ratio) && b.Slow.Ratio > 0 && b.Slow.Over == 0 {
		add("slow.share", "share needs over", "write over: 2s")
	}
}

// failures adds the fault of what counts as too many failures: a number of them
// or a share, of so many attempts. It reports whether there is one.
func (f *faults) failures(in string, number int, ratio float64, of int, share string) bool {
	add := func(field, message, hint string) { f.add(in+"."+field, message, hint) }
	switch {
	case number < 0:
		add("failures", "a count cannot be negative", "")
	case !isShare(ratio):
		add("failures", "a share of failures lies between 0% and 100%", "")
	case number > 0 && ratio > 0:
		add("failures", "failures is either a count or a share", "write failures: 5, or failures: "+share)
	case of < 0:
		add("of", "a count cannot be negative", "")
	default:
		return false
	}
	return true
}

// growing adds the faults of a time that grows from first, or from its default,
// to most, whose name begins with max.
func (f *faults) growing(in, name string, first, def, most time.Duration) {
	f.nonNegative(in+"."+name, first)
	f.nonNegative(in+".max_"+name, most)
	if first >= 0 && most > 0 && most < orDefault(first, def) {
		first = orDefault(first, def)
		f.add(in+".max_"+name, fmt.Sprintf("%v is shorter than %s, %v", most, name, first),
			fmt.Sprintf("write max_%s: %v or more, or a shorter %s", name, first, name))
	}
}

// share adds the fault of a share, and reports whether there is none.
func (f *faults) share(field string, v float64) bool {
	if !isShare(v) {
		f.add(field, "a share lies between 0% and 100%", "")
		return false
	}
	return true
}

// isShare also catches NaN.
func isShare(v float64) bool { return v >= 0 && v <= 1 }
