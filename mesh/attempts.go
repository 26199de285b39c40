package mesh

import (
	"context"
	"net/http"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// run is one call on its way through its attempts. The [Call] is handed beside
// it: what is stored with a body that escapes would escape, too.
type run struct {
	service *Service
	req     *http.Request // the caller's, with the service's credentials
	sent    *http.Request // req, but for the body
	now     time.Time     // at the last look at the clock, before an attempt
	held    *heldBody
	until   time.Time // when [Config].Deadline has passed; zero is never
	tried   tried
	tries   int           // hedges are not counted
	wait    time.Duration // before the attempt at hand
	hedged  bool          // whose outcome is that of its hedge
	alone   string        // why it has no hedge

	reserved  bool     // the next attempt has its turn
	presented []string // the service's credentials, if they are in req
	renewed   bool     // others were looked for

	priority Priority
	placed   bool           // it has a place among the calls of the service
	queued   time.Duration  // how long it has waited for places
	reply    *http.Response // until it is judged
	at       *Endpoint      // of the last attempt
}

// outcome is what came of an attempt.
type outcome struct {
	resp  *http.Response
	body  []byte // if [Call].Buffer
	class Class
	err   error
	start time.Time
	took  time.Duration
}

// attempts makes the first attempt and those that are worth making after it.
func (r *run) attempts(call *Call) (*http.Response, Class, error) {
	ctx := r.req.Context()
	if finder := r.service.finder; finder != nil {
		if err := finder.await(ctx, r.until); err != nil {
			closeBody(r.sent)
			return nil, NoEndpoint, err
		}
		r.now = time.Now()
	}
	for {
		if err := endedAt(ctx, r.now); err != nil {
			closeBody(r.sent)
			return nil, contextClass(err), err
		}
		if r.service.rate != nil && !r.reserved {
			if class, err := r.turn(); err != nil {
				closeBody(r.sent)
				return nil, class, err
			}
		}
		r.reserved = false
		p, class, err := r.pick()
		if err != nil {
			closeBody(r.sent)
			return nil, class, err
		}
		r.tries++
		call.Attempts++
		call.Endpoint = p.endpoint.target.URL
		a := Attempt{Number: call.Attempts, Wait: r.wait}
		var out outcome
		if delay := r.delay(call); delay == 0 {
			out = r.service.attempt(p, r.sent, call, r.until)
		} else if p, out = r.raced(p, delay, call); r.hedged {
			a.Number, a.Hedge, r.hedged = call.Attempts, true, false
		} else {
			a.Unhedged, r.alone = r.alone, ""
		}
		r.reply, r.at = out.resp, p.endpoint
		next, pause := r.next(&out, call)
		a.describe(p, &out)
		a.Next, a.Pause = next, pause
		r.record(call, &a)
		if next == Renewed {
			r.tries-- // it had no chance
		} else if next != Retried {
			call.Body = out.body
			return out.resp, out.class, out.err
		}
		discard(out.resp, call.Stream)
		r.reply = nil
		if err := sleep(ctx, pause); err != nil {
			return nil, contextClass(err), err
		}
		if r.sent, err = again(r.req, r.held); err != nil {
			return nil, Rejected, err
		}
		r.wait, r.now = pause, time.Now()
		r.service.retries.Add(1)
	}
}

// next decides what follows an attempt, and how long it waits. What is denied is
// denied at once: a wait for nothing would only keep the caller from the reply
// that there is.
func (r *run) next(out *outcome, call *Call) (Decision, time.Duration) {
	s := r.service
	listed := s.retry.lists(out)
	switch {
	case r.renew(out):
		return Renewed, 0
	case out.class == OK && !listed:
		return Done, 0
	case out.class == Canceled || out.class == Deadline:
		return Ended, 0
	case !listed:
		return NotListed, 0
	case r.tries >= s.cfg.Retry.Attempts:
		return Exhausted, 0
	case !out.class.unsent() && !repeatable(r.req, call):
		return Unsafe, 0
	case h1.HasBody(r.req) && r.req.GetBody == nil && r.held.lost():
		return BodyGone, 0
	}
	pause := s.retry.wait(r.tries, out.resp)
	switch {
	case !r.fits(pause, call.UsefulUntil):
		return NoTime, 0
	case !r.tried.anyUsable(s):
		return Unavailable, 0
	case !s.budget.withdraw(s.clock()):
		return OverBudget, 0
	case call.Ledger != nil && !call.Ledger.Withdraw():
		s.budget.restore(s.clock())
		return LedgerSpent, 0
	}
	pause, inTime := r.spaced(pause, call.UsefulUntil)
	if !inTime {
		s.budget.restore(s.clock())
		return RateSpent, 0
	}
	return Retried, pause
}

func (o *outcome) status() int {
	if o.resp == nil {
		return 0
	}
	return o.resp.StatusCode
}

// attempt makes one attempt and accounts for it.
func (s *Service) attempt(p pick, req *http.Request, call *Call, until time.Time) (out outcome) {
	e := p.endpoint
	e.attempts.Add(1)
	if _, fast := e.transport.(h1Transport); !fast {
		call.Free = false // net/http's goroutines may outlast the call
	}
	settled := false
	defer func() {
		if !settled { // a transport or a request body panicked
			p.release()
		}
	}()

	if call.Observer != nil {
		req = observed(req, call)
	}
	req, upload := s.paced(req)
	out.start = time.Now()
	out.resp, out.err = e.transport.roundTrip(req, h1.Options{
		Start:     out.start,
		Deadline:  s.attemptDeadline(out.start, until, req, upload != nil),
		Stream:    call.Stream,
		Prompt:    call.Prompt,
		Idle:      s.cfg.StreamIdleTimeout,
		Remaining: s.cfg.DeadlineHeader,
		Fields:    call.Fields,
		Interim:   call.Interim,
	})
	upload.reply(call.Stream)
	switch {
	case out.err != nil:
		out.class = classify(out.err)
	case call.Buffer:
		if out.body, out.class, out.err = buffer(out.resp, s.cfg.MaxBody); out.err != nil {
			out.resp = nil
		}
	}
	switch {
	case out.err == nil && out.resp.StatusCode >= 500:
		out.class = Status
	case out.class == Deadline && isOverdue(req.Context()), out.class == Canceled && upload.ranOut():
		out.class = Timeout
	}
	unneeded := out.err != nil && isUnneeded(req.Context())
	if unneeded {
		out.class = Canceled
	}
	settled = true
	out.took = time.Since(out.start)
	p.leave.end(out.class, out.took)
	now := out.start.Add(out.took).Sub(s.opened)
	e.ejection.end(s, e, out.class, now, out.took)
	e.latency.learn(now, out.took, out.class, out.resp)
	if !call.aside {
		s.limit.learn(now, &out)
	}
	switch {
	case out.class == OK && !call.aside:
		s.observe(now, out.took)
	case out.class != OK && !unneeded:
		e.failures.count(out.class, out.start.Add(out.took))
	}
	if out.err != nil || call.Buffer {
		upload.end()
		e.exit()
		return out
	}
	out.resp.Body = s.follow(out.resp.Body, e, upload, call.Attempts)
	return out
}

// observed is req as the observer of the call has it sent.
func observed(req *http.Request, call *Call) *http.Request {
	sent := *req
	sent.Header = call.Observer.Begin(call.Attempts, req.Header)
	return &sent
}

// attemptDeadline is when an attempt that starts now times out; zero if the
// context ends before that, so that what ran out is never in doubt. One with a
// [pace] times out by that.
func (s *Service) attemptDeadline(now, until time.Time, req *http.Request, paced bool) time.Time {
	d := until
	if !paced && s.cfg.Timeout > 0 && (d.IsZero() || now.Add(s.cfg.Timeout).Before(d)) {
		d = now.Add(s.cfg.Timeout)
	}
	if total, ok := req.Context().Deadline(); ok && !d.Before(total) {
		return time.Time{}
	}
	return d
}

// observe learns how long good replies take.
func (s *Service) observe(now, took time.Duration) {
	if s.hedge != nil {
		s.hedge.latencies.observe(now, took)
	}
	const weight = 8
	old := s.typical.Load()
	if old == 0 {
		s.typical.Store(int64(took))
		return
	}
	s.typical.Store(old + (int64(took)-old)/weight) // a lost update loses one sample
}

// fits reports whether an attempt after wait has a chance to end in time: there
// must be time left for as long as a good reply usually takes.
func (r *run) fits(wait time.Duration, useful time.Time) bool {
	left, bound := r.left()
	if !useful.IsZero() {
		if until := time.Until(useful); !bound || until < left {
			left, bound = until, true
		}
	}
	if !bound {
		return wait <= maxUnboundedWait
	}
	return left-wait > time.Duration(r.service.typical.Load())
}

// left is how much time the call has, if that is bound.
func (r *run) left() (left time.Duration, bound bool) {
	deadline, bound := r.req.Context().Deadline()
	if !r.until.IsZero() && (!bound || r.until.Before(deadline)) {
		deadline, bound = r.until, true
	}
	return time.Until(deadline), bound
}

// endedAt is ctx.Err for those who know what time it is: a context that keeps a
// deadline without a timer would have to ask.
func endedAt(ctx context.Context, now time.Time) error {
	if late, ok := ctx.(h1.LateWatcher); ok {
		return late.ErrAt(now)
	}
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
