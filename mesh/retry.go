package mesh

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// maxUnboundedWait bounds the wait that a Retry-After may ask of a call whose
// context has no deadline.
const maxUnboundedWait = 30 * time.Second

// retryPolicy is [Retry] made ready to be asked.
type retryPolicy struct {
	classes [classes]bool
	status  map[int]bool
	backoff time.Duration
	max     time.Duration
}

func newRetryPolicy(c Retry) retryPolicy {
	p := retryPolicy{status: map[int]bool{}, backoff: c.Backoff, max: c.MaxBackoff}
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
	for _, c := range []Class{Connect, Timeout, Reset} {
		if s == c.String() {
			return c, 0, 0, true
		}
	}
	switch s {
	case "4xx":
		return OK, 400, 499, true
	case "5xx":
		return OK, 500, 599, true
	}
	n, err := strconv.Atoi(s)
	return OK, n, n, err == nil && len(s) == 3 && n >= 400 && n <= 599
}

// admits reports whether a failed attempt may be repeated. What counts is what
// the endpoint can have seen: without a connection it saw nothing, so any method
// may be sent again; otherwise it may have acted, so only an idempotent one.
func (p *retryPolicy) admits(req *http.Request, held *heldBody, resp *http.Response, class Class) bool {
	if class != Connect && !Idempotent(req.Method) {
		return false
	}
	if h1.HasBody(req) && req.GetBody == nil && !held.untouched() {
		return false
	}
	if resp != nil {
		return resp.StatusCode >= 400 && p.status[resp.StatusCode]
	}
	return p.classes[class]
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
	wait := rand.N(min(bound, p.max) + 1)
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

// replay gives the request of the next attempt, with a body that has not been read.
func replay(req, sent *http.Request, held *heldBody) (*http.Request, error) {
	if held != nil || !h1.HasBody(req) {
		return sent, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := *req
	again.Body = body
	return &again, nil
}
