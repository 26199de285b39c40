package mesh

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// Hedge starts a second attempt, at another endpoint, beside one that takes
// longer than most, and takes the reply that comes first (Dean and Barroso, "The
// Tail at Scale", 2013). It applies to calls whose method is safe (RFC 9110
// section 9.2.1) and that have no body.
//
// A failure does not end the race: it is the other attempt's to win. The one
// that loses is cancelled, and speaks neither for nor against its endpoint.
type Hedge struct {
	// Extra bounds hedges as a share of the service's calls in the last 10s, but
	// for one that there always is. They count in [Retry].Budget, too. 0 is 0.01
	// if Quantile is set, and no hedging if not.
	Extra float64
	// Quantile is the share of good replies, of the last minute, after whose time
	// the second attempt starts. 0 is 1 - Extra, which makes for as many hedges as
	// are allowed while all is well (Finagle's BackupRequestFilter).
	Quantile float64
}

const defaultExtra = 0.01

func (h Hedge) enabled() bool { return h.Extra > 0 || h.Quantile > 0 }

func (h Hedge) withDefaults() Hedge {
	if h.enabled() {
		h.Extra = orDefault(h.Extra, defaultExtra)
		h.Quantile = orDefault(h.Quantile, 1-h.Extra)
	}
	return h
}

func (h Hedge) validate(f *faults) {
	if !(h.Extra >= 0 && h.Extra <= 0.5) { // also catches NaN
		f.add("hedge.extra", "extra requests lie between 0% and 50% of the calls", "write extra: 1%")
	}
	if !(h.Quantile >= 0 && h.Quantile < 1) {
		f.add("hedge.quantile", "a quantile lies between 0% and 100%", "write quantile: 99%")
	}
}

// hedger is [Hedge] made ready. A nil one does nothing.
type hedger struct {
	quantile  float64
	budget    *budget
	latencies latencies
	started   atomic.Int64
	won       atomic.Int64
	spared    atomic.Int64
}

func newHedger(h Hedge) *hedger {
	if !h.enabled() {
		return nil
	}
	return &hedger{quantile: h.Quantile, budget: newBudget(h.Extra, 1/budgetWindow.Seconds())}
}

// delay is how long an attempt may take before another is started beside it; 0
// if none is.
func (r *run) delay(call *Call) time.Duration {
	h := r.service.hedge
	if h == nil || call.NoHedge || r.tried.kept || !safe(r.req.Method) || h1.HasBody(r.req) || len(r.req.Header["Upgrade"]) > 0 {
		return 0
	}
	if len(r.tried.in.endpoints) < 2 {
		return 0
	}
	return h.after(r.now.Sub(r.service.opened))
}

// after is how long an attempt takes before it is hedged, by what is known now;
// 0 if that is too little.
func (h *hedger) after(now time.Duration) time.Duration {
	d := h.latencies.quantile(now, h.quantile)
	if d == 0 {
		return 0
	}
	return max(d, time.Millisecond) // a timer is not more exact
}

// safe reports whether a method is meant to change nothing: RFC 9110 section
// 9.2.1. Empty is GET.
func safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// race is an attempt, and the one that may start beside it. The first runs on
// the goroutine of the call; the hedge has the one of the timer that starts it,
// so that a call that is answered in time has none to itself.
type race struct {
	service *Service
	req     *http.Request
	how     howRaced
	until   time.Time
	first   endable // of the first attempt
	delay   time.Duration
	ledger  Ledger
	slack   func() time.Duration

	mu      sync.Mutex
	tried   tried
	over    bool // the first attempt has ended: none is started now
	lost    bool // its reply was taken: the hedge's is not wanted
	timer   *time.Timer
	alone   string // why it has not started
	started bool
	done    bool // the hedge has ended, and its outcome was handed over
	pick    pick // the hedge's
	begun   time.Time
	cancel  context.CancelCauseFunc
	hedge   chan outcome
}

// howRaced is what the hedge takes over of the Call.
type howRaced struct {
	stream, buffer bool
	number         int
	observer       Observer
}

// errLost is the end of an attempt when the other one has won.
var errLost error = lost{}

type lost struct{}

func (lost) Error() string  { return "another attempt was faster: " + context.Canceled.Error() }
func (lost) Unwrap() error  { return context.Canceled }
func (lost) Unneeded() bool { return true }

// raced makes an attempt, and another if that takes longer than delay. It gives
// the pick and the outcome of the one whose reply is taken.
func (r *run) raced(first pick, delay time.Duration, call *Call) (pick, outcome) {
	s := r.service
	h := &race{service: s, req: r.sent, how: howRaced{call.Stream, call.Buffer, call.Attempts + 1, call.Observer}, until: r.until,
		delay: delay, ledger: call.Ledger, slack: call.Slack, tried: r.tried}
	h.first.Context = r.req.Context()
	ctx, stop := &h.first, h.first.stop
	if tell := call.Interim; tell != nil {
		call.Interim = func(status int, header http.Header) {
			if h.unrivalled() {
				tell(status, header)
			}
		}
		defer func() { call.Interim = tell }()
	}
	h.mu.Lock()
	h.timer = time.AfterFunc(delay, h.start)
	h.mu.Unlock()
	out := s.attempt(first, r.sent.WithContext(ctx), call, r.until)

	h.mu.Lock()
	h.timer.Stop()
	h.over = true
	h.lost = h.started && !h.done && s.taken(&out)
	h.mu.Unlock()
	if !h.started {
		switch r.alone = h.alone; h.alone {
		case UnhedgedBudget:
			s.denied.Add(1)
		case UnhedgedSlack:
			s.hedge.spared.Add(1)
		}
		atEnd(&out, stop)
		return first, out
	}
	r.tried = h.tried
	call.Free = false // the one that loses may go on for a while
	call.Attempts++
	lost := Attempt{Number: call.Attempts, Hedge: true, Next: Lost}
	if h.lost {
		h.cancel(errLost) // its goroutine sees to the rest
		lost.describe(h.pick, &outcome{class: Canceled, err: errLost, start: h.begun, took: time.Since(h.begun)})
		r.record(call, &lost)
		atEnd(&out, stop)
		return first, out
	}
	hedge := <-h.hedge
	if !s.taken(&hedge) {
		// The first is judged, as it would be without the other.
		discard(hedge.resp, call.Stream)
		h.cancel(nil)
		lost.describe(h.pick, &hedge)
		r.record(call, &lost)
		atEnd(&out, stop)
		return first, out
	}
	discard(out.resp, call.Stream)
	stop(errLost)
	if context.Cause(ctx) == errLost && out.err != nil {
		// It would have taken at least that long. Left out, the slowest would
		// vanish from the sketch, and hedges start earlier and earlier.
		s.hedge.latencies.observe(s.clock(), out.took)
	}
	s.hedge.won.Add(1)
	lost.Number, lost.Hedge = call.Attempts-1, false
	lost.describe(first, &out)
	lost.Wait = r.wait
	r.record(call, &lost)
	atEnd(&hedge, h.cancel)
	r.hedged = true
	call.Endpoint = h.pick.endpoint.target.URL
	return h.pick, hedge
}

// start begins the hedge, if there is somewhere to send it and leave to.
func (h *race) start() {
	s := h.service
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return
	}
	if h.waits() {
		h.mu.Unlock()
		return
	}
	p, ok := h.tried.other(s, h.req)
	if ok {
		if h.alone = s.admitHedge(h.ledger); h.alone != "" {
			p.release()
			ok = false
		}
	}
	if !ok {
		h.mu.Unlock()
		return
	}
	ctx, cancel := context.WithCancelCause(h.req.Context())
	h.pick, h.cancel, h.started, h.begun = p, cancel, true, time.Now()
	h.hedge = make(chan outcome, 1)
	h.mu.Unlock()
	s.hedge.started.Add(1)

	out := outcome{class: Rejected, start: h.begun}
	defer func() {
		if v := recover(); v != nil { // of a transport: not to end the process
			out.err = fmt.Errorf("panic: %v", v)
			h.finish(out)
		}
	}()
	how := Call{Stream: h.how.stream, Buffer: h.how.buffer, Attempts: h.how.number, Observer: h.how.observer}
	out = s.attempt(p, h.req.WithContext(ctx), &how, h.until)
	h.finish(out)
}

// unrivalled reports whether no hedge has started.
func (h *race) unrivalled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.started
}

// waits puts the hedge off as long as nobody waits for the call: its reply would be
// as good if it came when a hedge, started later, has brought it. How long that is
// is looked at again and again, because what others wait for can end sooner than
// was to be expected, and a call that never ends is what hedges are for. h.mu is
// held.
func (h *race) waits() bool {
	if h.slack == nil {
		return false
	}
	more := h.slack() - h.delay
	if more <= 0 {
		h.alone = ""
		return false
	}
	h.alone = UnhedgedSlack
	h.timer.Reset(max(min(more, h.delay), time.Millisecond))
	return true
}

// finish hands the hedge's outcome over, or drops it if nobody waits for it.
func (h *race) finish(out outcome) {
	h.mu.Lock()
	lost := h.lost
	if h.done = !lost; h.done && h.service.taken(&out) {
		h.first.stop(errLost)
	}
	h.mu.Unlock()
	if lost {
		discard(out.resp, h.how.stream)
		h.cancel(nil)
		return
	}
	h.hedge <- out
}

// admitHedge asks both budgets and the ledger for one request more, and says why
// there is none; empty if there is.
func (s *Service) admitHedge(ledger Ledger) string {
	now := s.clock()
	if !s.hedge.budget.withdraw(now) {
		return UnhedgedBudget
	}
	if !s.budget.withdraw(now) {
		s.hedge.budget.restore(now)
		return UnhedgedBudget
	}
	if !s.rate.now() {
		s.hedge.budget.restore(now)
		s.budget.restore(now)
		return UnhedgedRate
	}
	if ledger != nil && !ledger.Withdraw() {
		s.hedge.budget.restore(now)
		s.budget.restore(now)
		return UnhedgedLedger
	}
	return ""
}

// taken reports whether an outcome ends a race: a failure does not.
func (s *Service) taken(out *outcome) bool { return out.class == OK && !s.retry.lists(out) }

// atEnd ends the context of an attempt when its reply has been read.
func atEnd(out *outcome, cancel context.CancelCauseFunc) {
	if out.resp != nil {
		if live, ok := out.resp.Body.(*liveBody); ok {
			live.release = cancel
			return
		}
	}
	cancel(nil)
}

// other picks an endpoint that has not been tried, if nobody waits for one.
func (t *tried) other(service *Service, req *http.Request) (pick, bool) {
	if service.limit.crowded() {
		return pick{}, false
	}
	before := t.count
	p, err := t.pick(service, req, time.Now())
	if err != nil {
		return p, false
	}
	if p.why == pickedAgain {
		p.release()
		t.count = before
		return p, false
	}
	return p, true
}
