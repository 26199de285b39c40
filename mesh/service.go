package mesh

import (
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
	name     string
	cfg      Config
	set      atomic.Pointer[set]
	finder   *finder   // nil if all endpoints are configured
	split    *split    // nil without versions
	mirror   *mirror   // nil without one
	affinity *affinity // nil without one
	retry    retryPolicy
	breaker  *breaker // nil without one
	opened   time.Time
	limit    *limiter     // nil without one
	budget   *budget      // nil without retries and hedges
	hedge    *hedger      // nil without hedges
	rate     *pacer       // nil without a rate
	typical  atomic.Int64 // moving average of the time to a good reply, in ns

	requests atomic.Int64
	inFlight atomic.Int64
	retries  atomic.Int64
	denied   atomic.Int64
	injected atomic.Int64
	failures failures
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

	// Idempotent says that sending the request twice has the effect of sending it
	// once, whatever its method: it carries a key by which the service knows it
	// again. The headers Idempotency-Key and X-Idempotency-Key say so, too.
	Idempotent bool
	// UsefulUntil is when the reply is no longer of use, because what comes after
	// it needs the rest of the caller's time: a retry is made only if it has a
	// chance to end before. The attempts themselves may take longer. Zero is never.
	UsefulUntil time.Time
	// Ledger, if set, is asked for leave to make a retry or a hedge that nothing
	// else speaks against.
	Ledger Ledger
	// Slack, if set, is how much longer than until now the call may take without
	// anyone waiting for it, as far as that is known. As long as it is more than
	// what a hedge would take, none is started. It is asked while the first attempt
	// is under way, by another goroutine, and must not call the service.
	Slack func() time.Duration
	// Priority says which calls go first when [Limit] lets some wait.
	Priority Priority
	// Sticky, if set, decides which version of the service the call goes to, in
	// place of what [Config].Sticky finds in the request: calls with the same go to
	// the same one while the weights stay.
	Sticky string
	// NoHedge keeps a call from being hedged.
	NoHedge bool
	// Record asks for Records of a call whose first attempt succeeds. There are
	// Records of all others: what fails is rare, and costs more than they do.
	Record bool
	// Observer, if set, follows the attempts.
	Observer Observer
	// Interim, if set, is told of replies that come before the final one (RFC 9110
	// section 15.2), such as 103 (Early Hints): one after the other, before Do
	// returns, and at most h1.MaxInterim of an attempt. It is not told of 100 and 101,
	// which are about the connection, nor of anything by a hedge or by an attempt that
	// a hedge runs beside: its reply may not be the one that is taken. The header is
	// not to be kept.
	Interim func(status int, header http.Header)
	// Fields, if set, may become the header of the reply, so that none has to be
	// made for it. What is in it is lost.
	Fields http.Header

	aside bool // it is no call, and says nothing of how long calls take

	// Attempts is how many attempts were made, on success and on failure.
	Attempts int
	// Stopped is why no more of them were made.
	Stopped Decision
	// Records are the records of the attempts, in the order in which they ended.
	Records Attempts
	// Endpoint is the base URL of the last attempt.
	Endpoint string
	// Body is the whole body of the reply if Buffer was set. It belongs to the
	// caller.
	Body []byte
	// Free says that nothing refers to the request, its URL and its header any more
	// once the body of the reply is closed, or Do has failed: they may then be used
	// for another. Not all transports can promise that.
	Free bool
}

// Open makes the client of the service called name. It does not dial: the first
// call does. If endpoints are to be found, watching begins, which ends with
// [Service.Close]. The error joins all of Validate's, or says which file of TLS
// cannot be used.
func Open(name string, cfg Config) (*Service, error) {
	var faults []error
	for _, fault := range Validate(cfg) {
		faults = append(faults, fmt.Errorf("service %s: %w", name, fault))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	cfg = cfg.withDefaults()
	cfg.ramps = new(ramps)
	if cfg.Transport == nil {
		var err error
		if cfg.trust, err = newTrust(cfg.TLS); err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
	}
	s := &Service{
		name:   name,
		cfg:    cfg,
		retry:  newRetryPolicy(cfg.Retry, cfg.Random),
		opened: time.Now(),
	}
	if s.hedge = newHedger(cfg.Hedge); s.hedge != nil || cfg.Retry.Attempts > 1 {
		s.budget = newBudget(cfg.Retry.Budget, cfg.Retry.MinPerSecond)
	}
	s.limit = newLimiter(cfg.Limit)
	s.rate = newPacer(cfg.Rate)
	s.cfg.overload = newOverload(cfg, s.clock)
	s.cfg.changes = newChanges(name, s.opened, cfg.Changed)
	s.cfg.ejector = newEjector(cfg.Ejection, s.cfg.overload, s.clock, s.cfg.changes)
	if s.breaker = newBreaker(cfg.ServiceBreaker, "calls", 0, s.clock, cfg.Random); s.breaker != nil {
		s.breaker.changes = s.cfg.changes
	}
	s.cfg.watchCredentials()
	s.split = newSplit(cfg)
	s.mirror = newMirror(s)
	s.affinity = newAffinity(cfg.Affinity)
	s.discover()
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
	call.Stopped, call.Records = Done, nil
	call.Free = !h1.HasBody(req) // what sends one may go on with it
	s.requests.Add(1)
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)

	r := run{service: s, req: req, now: time.Now(), priority: call.Priority}
	r.tried.version = s.split.choose(req, call.Sticky, s, r.now.Sub(s.opened))
	if s.cfg.Deadline > 0 {
		r.until = r.now.Add(s.cfg.Deadline)
	}
	if s.cfg.Inject.drawn(s.cfg.Random) {
		if resp, class, err := r.inject(); resp != nil || err != nil {
			return r.end(call, resp, class, err)
		}
	}
	if s.limit != nil {
		if class, err := r.start(); err != nil {
			closeBody(req)
			return r.end(call, nil, class, err)
		}
		defer r.leave()
	}
	leave, err := s.enter(req, r.now)
	if err != nil {
		return nil, err
	}
	if s.budget != nil {
		now := r.now.Sub(s.opened)
		s.budget.deposit(now)
		if s.hedge != nil {
			s.hedge.budget.deposit(now)
		}
	}
	if class, err := r.authorize(); err != nil {
		leave.end(class)
		closeBody(req)
		return r.end(call, nil, class, err)
	}
	sent, shadow := s.mirror.copy(r.req, r.tried.version)
	r.sent, r.held = s.holdBody(sent, call)
	resp, class, err := r.attempts(call)
	r.held.letGo()
	shadow.compare(resp)
	s.affinity.settle(&r, r.at, resp)
	leave.end(class)
	r.handOver(resp)
	return r.end(call, resp, class, err)
}

// end accounts for a call.
func (r *run) end(call *Call, resp *http.Response, class Class, err error) (*http.Response, error) {
	s := r.service
	if class != OK && !(class == Canceled && isUnneeded(r.req.Context())) {
		s.failures.count(class, time.Now())
	}
	if err != nil {
		return nil, &Error{Service: s.name, Class: class, Endpoint: call.Endpoint, Attempts: call.Attempts, Stopped: call.Stopped, Records: call.Records, Panic: r.tried.panicked, Err: err}
	}
	return resp, nil
}

// Close closes idle connections now, and those in use when their calls end. The
// service may still be called; connections are then not kept, endpoints neither
// looked for nor checked, and calls not copied.
func (s *Service) Close() {
	if s.finder != nil {
		s.finder.close()
	}
	s.mirror.close()
	for _, e := range s.set.Load().endpoints {
		e.close()
	}
}
