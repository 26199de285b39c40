package mesh

import "time"

// Bounds is what one call can come to at most. A reply's Retry-After can ask for
// longer pauses than are counted here; nor is a wait for credentials, or the
// attempt after the one that failed for them.
type Bounds struct {
	Requests int           // how many requests endpoints can get to see
	Attempts int           // how many are begun: those that find no connection, too
	Time     time.Duration // until the call has ended; 0: there is no bound
	Hang     time.Duration // until it fails if the endpoint takes the request and never answers; 0: never
}

// Bounds says what one call of a method can come to; "" is a method that is not
// known. keyed says that it carries an idempotency key. It expects a valid
// configuration. The retry budget is not counted: it bounds calls together, and
// any one may have all of it. Nor are the copies of [Mirror]: they are of no call.
func (c Config) Bounds(method string, keyed bool) Bounds {
	c = c.withDefaults()
	b := c.bounds(keyed || Idempotent(method))
	if c.Hedge.enabled() && safe(method) {
		b.Requests, b.Attempts = 2*b.Requests, 2*b.Attempts
	}
	if b.Time > 0 {
		b.Time += c.Inject.Delay + c.Limit.Wait + time.Duration(b.Attempts)*c.Rate.Wait
	}
	if b.Hang > 0 {
		b.Hang += c.Limit.Wait + time.Duration(b.Attempts)*c.Rate.Wait
	}
	b.Time, b.Hang = c.within(b.Time), c.within(b.Hang)
	return b
}

// within is a time that the deadline bounds; 0 is no bound.
func (c Config) within(d time.Duration) time.Duration {
	if d == 0 || c.Deadline > 0 && c.Deadline < d {
		return c.Deadline
	}
	return d
}

func (c Config) bounds(repeatable bool) Bounds {
	b := Bounds{Requests: 1, Attempts: 1, Time: c.Timeout, Hang: c.Timeout}
	p := newRetryPolicy(c.Retry, nil)
	seen := repeatable && (len(p.status) > 0 || p.classes[Timeout] || p.classes[Reset])
	if c.Retry.Attempts == 1 || !seen && !p.classes[Connect] && !p.classes[Refused] {
		return b
	}
	var pauses time.Duration
	again := c.Retry.Attempts - 1
	for i := range again {
		pauses += min(c.Retry.Backoff<<min(i, 20), c.Retry.MaxBackoff)
	}
	b.Attempts = c.Retry.Attempts
	failing := c.ConnectTimeout // of an attempt that another one follows; streams are refused at once
	if c.Timeout > 0 && (seen || c.Timeout < failing) {
		failing = c.Timeout
	}
	if seen {
		b.Requests = b.Attempts
	}
	if c.Timeout > 0 {
		b.Time = c.Timeout + time.Duration(again)*failing + pauses
	}
	if seen && p.classes[Timeout] {
		b.Hang = b.Time
	}
	return b
}

// Effective is the configuration with the default of every field that was left
// zero. It expects a valid configuration.
func (c Config) Effective() Config { return c.withDefaults() }
