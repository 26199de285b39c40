package mesh

import (
	"context"
	"net/http"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// attempts makes the first attempt and those that are worth making after it. The
// request that is sent differs from the caller's in its body alone.
func (s *Service) attempts(req, sent *http.Request, held *heldBody, call *Call) (*http.Response, Class, error) {
	ctx := req.Context()
	set := s.set.Load()
	if s.finder != nil {
		var err error
		if set, err = s.finder.endpoints(ctx); err != nil {
			closeBody(sent)
			return nil, NoEndpoint, err
		}
	}
	var tried endpointSet
	for {
		if err := ctx.Err(); err != nil {
			closeBody(sent)
			return nil, contextClass(err), err
		}
		e, leave, err := set.pick(req, &tried, s.clock)
		if err != nil {
			closeBody(sent)
			if err == errNoEndpoint {
				return nil, NoEndpoint, err
			}
			return nil, BreakerOpen, err
		}
		call.Attempts++
		call.Endpoint = e.target.URL

		resp, class, err := s.attempt(e, leave, sent, call)
		if call.Attempts >= s.cfg.Retry.Attempts || !s.retry.admits(req, held, resp, class) {
			return resp, class, err
		}
		wait := s.retry.wait(call.Attempts, resp)
		if !s.fits(ctx, wait) || !set.anyUsable() {
			return resp, class, err
		}
		discard(resp, call.Stream)
		if err := sleep(ctx, wait); err != nil {
			return nil, contextClass(err), err
		}
		if sent, err = replay(req, sent, held); err != nil {
			return nil, Rejected, err
		}
		s.retries.Add(1)
	}
}

// attempt makes one attempt and accounts for it.
func (s *Service) attempt(e *Endpoint, leave permit, req *http.Request, call *Call) (resp *http.Response, class Class, err error) {
	e.attempts.Add(1)
	e.inFlight.Add(1)
	settled := false
	defer func() {
		if !settled { // a transport or a request body panicked
			leave.release()
			e.inFlight.Add(-1)
		}
	}()

	start := s.clock()
	resp, err = e.transport.roundTrip(req, h1.Options{
		Deadline: s.attemptDeadline(req, call),
		Stream:   call.Stream,
		Prompt:   call.Prompt,
	})
	switch {
	case err != nil:
		class = classify(err)
	case call.Buffer:
		if call.Body, class, err = buffer(resp, s.cfg.MaxBody); err != nil {
			resp = nil
		}
	}
	switch {
	case err == nil && resp.StatusCode >= 500:
		class = Status
	case class == Deadline && isOverdue(req.Context()):
		class = Timeout
	}
	settled = true
	if class.neutral() {
		leave.release()
	} else {
		leave.record(!class.endpointFault())
	}
	if class == OK {
		s.observe(s.clock() - start)
	} else {
		e.failures[class].Add(1)
	}
	if err != nil || call.Buffer {
		e.inFlight.Add(-1)
		return resp, class, err
	}
	resp.Body = s.follow(resp.Body, e, call.Attempts)
	return resp, class, nil
}

// attemptDeadline is when an attempt that starts now times out; zero if the
// context ends before that, so that what ran out is never in doubt. An attempt
// that passes on a long body has none: how long the sender takes is not the
// endpoint's doing, and the context bounds it.
func (s *Service) attemptDeadline(req *http.Request, call *Call) time.Time {
	long := req.ContentLength < 0 || req.ContentLength > longBody
	if s.cfg.Timeout == 0 || call.Stream && long && h1.HasBody(req) && req.GetBody == nil {
		return time.Time{}
	}
	d := time.Now().Add(s.cfg.Timeout)
	if total, ok := req.Context().Deadline(); ok && !d.Before(total) {
		return time.Time{}
	}
	return d
}

// longBody is the length above which sending a body takes time of its own, in
// bytes.
const longBody = 64 << 10

// observe learns how long good replies take.
func (s *Service) observe(took time.Duration) {
	const weight = 8
	old := s.typical.Load()
	if old == 0 {
		s.typical.Store(int64(took))
		return
	}
	s.typical.Store(old + (int64(took)-old)/weight) // a lost update loses one sample
}

// fits reports whether an attempt after wait has a chance within the context's
// deadline: there must be time left for as long as a good reply usually takes.
func (s *Service) fits(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return wait <= maxUnboundedWait
	}
	return time.Until(deadline)-wait > time.Duration(s.typical.Load())
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
