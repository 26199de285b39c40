package mesh

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Retry says when and how a failed attempt is repeated.
type Retry struct {
	// Attempts is the total number, the first included. 0 and 1 mean no retry.
	Attempts int
	// On lists the outcomes worth another attempt: "connect", "refused_stream",
	// "timeout", "reset", status codes from "400" to "599", and their classes
	// "4xx" and "5xx". The default is connect, refused_stream, reset, 502, 503, 504;
	// timeout is not in it, because repeating a call that was too slow adds load
	// where load is the likely fault.
	On []string
	// Backoff is the bound of the wait before the second attempt; it doubles
	// with each attempt up to MaxBackoff. The wait itself is uniform between 0
	// and the bound (full jitter). 0 is 25ms.
	Backoff time.Duration
	// MaxBackoff bounds the waits between attempts. 0 is 250ms. A Retry-After
	// header may ask for a longer one.
	MaxBackoff time.Duration
	// Budget bounds retries and hedges together, as a share of the service's
	// calls in the last 10s. 0 is 0.2, at most 1.
	Budget float64
	// MinPerSecond is how many retries and hedges per second are allowed on top
	// of Budget, for services that are not called often. 0 is 10.
	MinPerSecond float64
	// Replay is how much is kept of a request body that is streamed, so that it
	// can be sent again, in bytes. Once more of it has been read the call is
	// committed to its attempt. 0 is 64 KiB.
	Replay int64
}

func (r Retry) validate(f *faults) {
	if r.Attempts < 0 || r.Attempts > maxAttempts {
		f.add("retry.attempts", fmt.Sprintf("%d attempts are not between 1 and %d", r.Attempts, maxAttempts),
			"attempts counts the first one too: 3 means at most two retries")
	}
	for i, on := range r.On {
		if _, _, _, ok := parseOutcome(on); !ok {
			f.add(fmt.Sprintf("retry.on[%d]", i), fmt.Sprintf("%q is not an outcome to retry on", on),
				"write connect, refused_stream, timeout, reset, 4xx, 5xx, or a status code from 400 to 599")
		}
	}
	f.nonNegative("retry.backoff", r.Backoff)
	f.nonNegative("retry.max_backoff", r.MaxBackoff)
	if r.MaxBackoff > 0 && r.Backoff > r.MaxBackoff {
		f.add("retry.backoff", fmt.Sprintf("%v is longer than max_backoff, %v", r.Backoff, r.MaxBackoff),
			fmt.Sprintf("write max_backoff: %v or more, or a shorter backoff", r.Backoff))
	}
	if !(r.Budget >= 0 && r.Budget <= 1) { // also catches NaN
		f.add("retry.budget", "a budget lies between 0% and 100% of the calls", "write budget: 20%")
	}
	if !(r.MinPerSecond >= 0 && r.MinPerSecond <= maxPerSecond) {
		f.add("retry.min_per_second", fmt.Sprintf("a number of retries per second lies between 0 and %d", maxPerSecond), "write min_per_second: 10")
	}
	if r.Replay < 0 || r.Replay > maxReplay {
		f.add("retry.replay", fmt.Sprintf("what is kept of a body lies between 0 and %d MiB", maxReplay>>20), "write replay: 64KB")
	}
}

func (r Retry) withDefaults() Retry {
	r.Attempts = max(r.Attempts, 1)
	if len(r.On) == 0 {
		r.On = defaultRetryOn
	}
	r.Backoff = orDefault(r.Backoff, defaultBackoff)
	r.MaxBackoff = orDefault(r.MaxBackoff, max(defaultMaxBackoff, r.Backoff))
	r.Budget = orDefault(r.Budget, defaultBudget)
	r.MinPerSecond = orDefault(r.MinPerSecond, defaultPerSecond)
	r.Replay = orDefault(r.Replay, defaultReplay)
	return r
}

// What is left out of a [Retry]. Backoffs are Envoy's, the budget is Finagle's,
// the length of a body that is kept is that of Linkerd and gRPC.
const (
	defaultBackoff    = 25 * time.Millisecond
	defaultMaxBackoff = 250 * time.Millisecond
	defaultBudget     = 0.2
	defaultPerSecond  = 10
	defaultReplay     = 64 << 10

	maxAttempts  = 10 // more is a storm, not a retry
	maxPerSecond = 1_000_000
	maxReplay    = 64 << 20
)

var defaultRetryOn = []string{"connect", "refused_stream", "reset", "502", "503", "504"}

// maxUnboundedWait bounds the wait that a Retry-After may ask of a call whose
// context has no deadline.
const maxUnboundedWait = 30 * time.Second

// retryPolicy is [Retry] made ready to be asked.
type retryPolicy struct {
	classes [classes]bool
	status  map[int]bool
	backoff time.Duration
	max     time.Duration
	random  func() uint64
}

func newRetryPolicy(c Retry, random func() uint64) retryPolicy {
	p := retryPolicy{status: map[int]bool{}, backoff: c.Backoff, max: c.MaxBackoff, random: random}
	for _, on := range c.On {
		class, from, to, _ := parseOutcome(on)
		if from == 0 {
			p.classes[class] = true
			continue
		}
		for status := from; status <= to; status++ {
			p.status[status] = true
		}
	}
	return p
}

// parseOutcome reads one entry of [Retry].On: a class, or the statuses from the
// first to the last.
func parseOutcome(s string) (class Class, from, to int, ok bool) {
	for _, c := range []Class{Connect, Refused, Timeout, Reset} {
		if s == c.String() {
			return c, 0, 0, true
		}
	}
	from, to, ok = parseStatus(s, 400)
	return OK, from, to, ok
}

// parseStatus reads a status code from least to 599, or a class of them such as
// "5xx": the statuses from the first to the last.
func parseStatus(s string, least int) (from, to int, ok bool) {
	class, isClass := strings.CutSuffix(s, "xx")
	if isClass {
		s = class + "00"
	}
	n, err := strconv.Atoi(s)
	if err != nil || len(s) != 3 || n < least || n > 599 {
		return 0, 0, false
	}
	if isClass {
		return n, n + 99, true
	}
	return n, n, true
}

// lists reports whether an outcome is one to retry on.
func (p *retryPolicy) lists(out *outcome) bool {
	if out.resp != nil {
		return p.status[out.resp.StatusCode]
	}
	return p.classes[out.class]
}

// unsent reports whether the endpoint provably has not begun to act on a request
// that ended like this: it was not reached, or it says so.
func (c Class) unsent() bool { return c == Connect || c == Refused }

// repeatable reports whether sending the request twice has the effect of sending
// it once: by its method, or because it says so (draft-ietf-httpapi-idempotency-
// key-header; net/http acts on both names, too).
func repeatable(req *http.Request, call *Call) bool {
	return Idempotent(req.Method) || call.Idempotent || len(req.Header["Idempotency-Key"]) > 0 || len(req.Header["X-Idempotency-Key"]) > 0
}

// Idempotent reports whether sending a request with this method twice has the
// effect of sending it once: RFC 9110 section 9.2.2. Empty is GET.
func Idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// wait is the time before the attempt that follows attempt number n: full jitter
// (uniform from 0 to the bound, which spreads clients that failed together best;
// AWS Architecture Blog, "Exponential Backoff And Jitter", 2015), but never
// earlier than the reply's Retry-After asks.
func (p *retryPolicy) wait(n int, resp *http.Response) time.Duration {
	bound := p.backoff
	for ; n > 1 && bound < p.max; n-- {
		bound *= 2
	}
	wait := time.Duration(unit(p.random()) * float64(min(bound, p.max)+1))
	if resp != nil {
		wait = max(wait, retryAfter(resp.Header))
	}
	return wait
}

// retryAfter reads the Retry-After header, in seconds or as a date (RFC 9110
// section 10.2.3). It is 0 if there is none that can be read.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	const maxSeconds = 1 << 32 // keeps the product below within a Duration
	if s, err := strconv.ParseUint(v, 10, 64); err == nil {
		return time.Duration(min(s, maxSeconds)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
