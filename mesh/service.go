package mesh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// Service calls one service through the stack that the package comment
// describes. It is safe for concurrent use.
type Service struct {
	name      string
	cfg       Config
	endpoints []*Endpoint
	balancer  Balancer
	retry     retryPolicy
	opened    time.Time
	typical   atomic.Int64 // moving average of the time to a good reply, in ns

	requests atomic.Int64
	inFlight atomic.Int64
	retries  atomic.Int64
	failures [classes]atomic.Int64
}

// Call says how a reply is wanted, and reports how it was had. Its fields are
// set before and read after [Service.Do]; a Call serves one call at a time and
// may be used again.
type Call struct {
	// Stream limits the attempt timeout to the reply's header: the body may take
	// as long as the context lets it.
	Stream bool
	// Buffer makes reading the body part of the attempt, so that a reply that
	// breaks off is retried like any other failure. The bytes are in Body, and
	// Response.Body reads them too.
	Buffer bool

	// Prompt says that reading the request's body does not wait for longer than
	// the call may take: it is in memory, or comes over a connection with a
	// deadline of its own. A small one is then sent without another goroutine,
	// which is a matter of cost alone.
	Prompt bool

	// Attempts is how many attempts were made, on success and on failure.
	Attempts int
	// Endpoint is the base URL of the last attempt.
	Endpoint string
	// Body is the whole body of the reply if Buffer was set. It belongs to the
	// caller.
	Body []byte
}

// Open makes the client of the service called name. It does not dial: the first
// call does. The error joins all of Validate's.
func Open(name string, cfg Config) (*Service, error) {
	var faults []error
	for _, fault := range Validate(cfg) {
		faults = append(faults, fmt.Errorf("service %s: %w", name, fault))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	cfg = cfg.withDefaults()
	s := &Service{
		name:     name,
		cfg:      cfg,
		balancer: balancers[cfg.Balance](),
		retry:    newRetryPolicy(cfg.Retry),
		opened:   time.Now(),
	}
	for _, base := range cfg.Endpoints {
		s.endpoints = append(s.endpoints, newEndpoint(base, cfg, s.clock))
	}
	return s, nil
}

// clock is the time since Open, by the monotonic clock.
func (s *Service) clock() time.Duration { return time.Since(s.opened) }

// Name returns the name given to Open.
func (s *Service) Name() string { return s.name }

// RoundTrip is [Service.Do] without a Call. It implements http.RoundTripper.
func (s *Service) RoundTrip(req *http.Request) (*http.Response, error) {
	return s.Do(req, nil)
}

// Do sends the request and returns the reply. The path and query of req.URL are
// appended to the endpoint's base; its scheme and host are not used. The Host
// header is req.Host if that is set, otherwise the endpoint's.
//
// As for any http.RoundTripper, req is not modified, its body is closed in all
// cases, and the caller closes the body of the reply. The error is an [*Error],
// and so is any error but io.EOF of reading the reply's body. call may be nil.
func (s *Service) Do(req *http.Request, call *Call) (*http.Response, error) {
	var unasked Call
	if call == nil {
		call = &unasked
	}
	call.Attempts, call.Endpoint, call.Body = 0, "", nil
	s.requests.Add(1)
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)

	sent, held := s.holdBody(req)
	resp, class, err := s.attempts(req, sent, held, call)
	held.letGo()
	if class != OK {
		s.failures[class].Add(1)
	}
	if err != nil {
		return nil, &Error{Service: s.name, Class: class, Endpoint: call.Endpoint, Attempts: call.Attempts, Err: err}
	}
	return resp, nil
}

// attempts makes the first attempt and those that are worth making after it. The
// request that is sent differs from the caller's in its body alone.
func (s *Service) attempts(req, sent *http.Request, held *heldBody, call *Call) (*http.Response, Class, error) {
	ctx := req.Context()
	var tried endpointSet
	for {
		if err := ctx.Err(); err != nil {
			closeBody(sent)
			return nil, contextClass(err), err
		}
		i, leave, err := s.pick(req, &tried)
		if err != nil {
			closeBody(sent)
			if err == errNoEndpoint {
				return nil, NoEndpoint, err
			}
			return nil, BreakerOpen, err
		}
		tried.add(i)
		call.Attempts++
		call.Endpoint = s.endpoints[i].address

		resp, class, err := s.attempt(s.endpoints[i], leave, sent, call)
		if call.Attempts >= s.cfg.Retry.Attempts || !s.retry.admits(req, held, resp, class) {
			return resp, class, err
		}
		wait := s.retry.wait(call.Attempts, resp)
		if !s.fits(ctx, wait) || !s.anyUsable() {
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

// pick chooses an endpoint and takes its breaker's permit. An endpoint that was
// tried is chosen again only when there is no other.
func (s *Service) pick(req *http.Request, tried *endpointSet) (int, permit, error) {
	if len(s.endpoints) == 0 {
		return 0, permit{}, errNoEndpoint
	}
	for range 2 * len(s.endpoints) {
		i := s.balancer.Pick(Choice{Request: req, Endpoints: s.endpoints, tried: *tried})
		switch {
		case i >= 0:
			if leave, ok := s.endpoints[i].breaker.acquire(); ok {
				return i, leave, nil
			}
			tried.add(i) // another call took the probe since the balancer looked
		case *tried != 0:
			*tried = 0
		default:
			return 0, permit{}, s.breakersOpen()
		}
	}
	return 0, permit{}, s.breakersOpen()
}

// breakersOpen is the error of a call that no endpoint may be tried for. It says
// when that changes.
func (s *Service) breakersOpen() error {
	next := int64(never)
	for _, e := range s.endpoints {
		next = min(next, e.breaker.blockedUntil.Load())
	}
	if next == never {
		return errors.New("the breakers of all endpoints are open, and a probe is under way")
	}
	return fmt.Errorf("the breakers of all endpoints are open, the next probe is in %v",
		max(0, time.Duration(next)-s.clock()).Round(time.Millisecond))
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
	if err == nil && resp.StatusCode >= 500 {
		class = Status
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

func (s *Service) anyUsable() bool {
	for _, e := range s.endpoints {
		if e.breaker.mayPass() {
			return true
		}
	}
	return false
}

// Close closes idle connections now, and those in use when their calls end. The
// service may still be called; connections are then not kept.
func (s *Service) Close() {
	for _, e := range s.endpoints {
		e.transport.close()
	}
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
