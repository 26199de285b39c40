package suite

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
)

// player plays all that is around a flow for one run of a test: its services
// and mocked steps. It is the Probe of the program.
type player struct {
	suite   *Suite
	test    *Test
	program *flows.Program
	cover   *coverage // nil: nobody counts
	broken  *injection
	calm    *calm // of the bubble

	mu      sync.Mutex
	calls   []string
	asked   map[*mock]int
	sites   map[place]bool // call sites that were reached, and whether one of their calls succeeded
	effects []Effect

	stumbled bool // a step has failed
	slots    map[string][]engine.Slot
	results  map[string]any
	failed   *engine.Error
	faults   []dsl.Diagnostic
	told     map[string]bool
}

// fault reports what must not happen in a test, once.
func (p *player) fault(at dsl.Span, hint, format string, args ...any) {
	p.report(dsl.Diagnostic{Span: at, Code: codeExpected, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *player) report(d dsl.Diagnostic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := d.Span.String() + d.Message
	if p.told[key] {
		return
	}
	if p.told == nil {
		p.told = map[string]bool{}
	}
	p.told[key] = true
	p.faults = append(p.faults, d)
}

// Flow is what engine.Probe asks for.
func (p *player) Flow(f *engine.Flow, steps engine.Step) engine.Step {
	if f.Name.Value != p.test.Flow {
		return steps
	}
	return stepFunc(func(ctx context.Context, x *engine.Exchange) error {
		err := steps.Run(ctx, x)
		if ctx.Value(otherKey{}) != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed = failureOf(err)
		p.results = map[string]any{}
		for name, slots := range p.slots {
			for _, slot := range slots {
				if v := x.Value(slot); !v.Null() {
					p.results[name] = dsl.DecodeJSON(v.JSON())
				}
			}
		}
		return err
	})
}

type stepFunc func(ctx context.Context, x *engine.Exchange) error

// Run is what engine.Step asks for.
func (f stepFunc) Run(ctx context.Context, x *engine.Exchange) error { return f(ctx, x) }

// siteKey is where the context of a call has its site. A transport sees no more
// of who calls it than a request with its context.
type siteKey struct{}

// Verb is what engine.Probe asks for.
func (p *player) Verb(at engine.Site, verb engine.Step) engine.Step {
	here := siteOf(at)
	own := at.Flow.Name.Value == p.test.Flow
	if own && !at.Loop {
		for _, f := range p.test.expect.steps {
			if f.name == at.Name {
				at.Slot.Keep()
				p.mu.Lock()
				p.slots[at.Name] = append(p.slots[at.Name], at.Slot)
				p.mu.Unlock()
			}
		}
	}
	hit := p.cover.counter(here)
	calls := len(servicesOf(at)) > 0
	var m *mock
	if own && at.ID.Valid() {
		m = p.mock("steps." + at.Name)
	}
	return stepFunc(func(ctx context.Context, x *engine.Exchange) error {
		if hit != nil {
			hit.Add(1)
		}
		if calls {
			ctx = context.WithValue(ctx, siteKey{}, &at)
			p.reach(here, false)
		}
		err := p.perform(ctx, x, at, verb, m)
		if failureOf(err) != nil {
			p.mu.Lock()
			p.stumbled = true
			p.mu.Unlock()
		}
		return err
	})
}

// perform does the work of a step, or what its mock does instead.
func (p *player) perform(ctx context.Context, x *engine.Exchange, at engine.Site, verb engine.Step, m *mock) error {
	here := place{span: at.Span}
	if m == nil || p.broken.replaces(here) {
		return verb.Run(ctx, x)
	}
	if err := p.broken.delay(ctx, here, p.timeout(at)); err != nil {
		return err
	}
	return p.step(ctx, x, at, m)
}

// reach writes down that a call site was reached.
func (p *player) reach(at place, succeeded bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sites[at] = p.sites[at] || succeeded
}

// Way is what engine.Probe asks for.
func (p *player) Way(w engine.Way) func() {
	hit := p.cover.counter(wayOf(w))
	if hit == nil {
		return nil
	}
	return func() { hit.Add(1) }
}

func (p *player) mock(name string) *mock {
	for _, m := range p.test.mocks {
		if m.name == name {
			return m
		}
	}
	return nil
}

// next counts a call of a mock, from 0.
func (p *player) next(name string, m *mock) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, name)
	if m == nil {
		return 0
	}
	p.asked[m]++
	return p.asked[m] - 1
}

var failures = map[string]engine.Kind{
	"connect": engine.KindConnect, "timeout": engine.KindTimeout, "reset": engine.KindReset, "malformed": engine.KindMalformed,
}

// step gives what a mock says in place of a step's work.
func (p *player) step(ctx context.Context, x *engine.Exchange, at engine.Site, m *mock) error {
	a := m.answers[min(p.next(m.name, m), len(m.answers)-1)]
	if err := p.calm.call(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, a.delay); err != nil {
		return err
	}
	if a.fail != "" || a.status >= http.StatusBadRequest {
		p.hinder(ctx)
	} else {
		p.reach(siteOf(at), true)
	}
	if a.fail != "" {
		if _, bounded := ctx.Deadline(); a.fail == "timeout" && bounded {
			<-ctx.Done()
			return ctx.Err()
		}
		return &engine.Error{Kind: failures[a.fail], Message: "the mock of " + m.name + " fails: " + a.fail, Attempts: 1}
	}
	header, body, err := a.render(values{})
	if err != nil {
		p.fault(a.at, "a mocked step sees no request", "the mock of %s cannot be made: %v", m.name, err)
		return err
	}
	if given, err := a.give(values{}); err == nil && a.contract != nil {
		given.ofStep = true
		p.keeps(a, given, nil, []dsl.Related{{Span: at.Span, Message: "the step"}})
	}
	if a.status >= http.StatusBadRequest {
		return &engine.Error{Kind: engine.KindStatus, Status: a.status, Body: body, Message: fmt.Sprintf("the mock of %s has status %d", m.name, a.status), Attempts: 1}
	}
	x.Set(at.Slot, engine.Result{Value: body, Status: a.status, Header: header})
	return nil
}

// timeout is how long one attempt of a call site may take.
func (p *player) timeout(at engine.Site) time.Duration {
	for _, name := range servicesOf(at) {
		for _, s := range p.program.Services {
			if s.Name.Value == name && s.Timeout() > 0 {
				return s.Timeout()
			}
		}
	}
	return 10 * time.Second
}

// transport is the network to a service.
func (p *player) transport(s *connectors.Service) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) { return p.roundTrip(s, req) })
}

type roundTripper func(req *http.Request) (*http.Response, error)

// RoundTrip is what http.RoundTripper asks for.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (p *player) roundTrip(s *connectors.Service, req *http.Request) (*http.Response, error) {
	sent, err := p.receive(s, req)
	if err != nil {
		return nil, err
	}
	name := s.Name.Value
	m := p.mock(name)
	n := p.next(name, m)
	ctx := req.Context()
	at, _ := ctx.Value(siteKey{}).(*engine.Site)
	here := place{}
	if at != nil {
		here, sent.span, sent.step = siteOf(*at), at.Span, at.Name
	}
	if err := p.calm.call(ctx); err != nil {
		return nil, err
	}
	if p.broken.replaces(here) {
		p.hinder(ctx)
		return p.broken.of(here).roundTrip(req)
	}
	if err := p.broken.delay(ctx, here, s.Timeout()); err != nil {
		return nil, err
	}
	what := sent.method + " " + name + " " + req.URL.RequestURI()
	call := []dsl.Related{{Span: sent.span, Message: "the call"}}
	if m == nil {
		p.report(dsl.Diagnostic{Span: p.test.Span, Code: "no-mock", Message: "the flow calls " + what + ", which this test does not mock",
			Hint: fmt.Sprintf("add mock: { %s: { body: { ... } } }", name), Related: call})
		return nil, refused(req)
	}
	a, env, err := m.choose(n, sent)
	switch {
	case err != nil:
		p.report(dsl.Diagnostic{Span: p.test.Span, Code: codeExpected, Message: "a condition of the mock of " + name + " fails: " + err.Error(), Hint: "it is about " + what, Related: call})
		return nil, refused(req)
	case a == nil:
		p.report(dsl.Diagnostic{Span: p.test.Span, Code: "no-mock", Message: "the flow calls " + what + ", which no mock of " + name + " fits",
			Hint: fmt.Sprintf("add one: { when: %s %s, body: { ... } }, or one without when at the end", sent.method, sent.path), Related: call})
		return nil, refused(req)
	}
	if a.sent != nil {
		for _, d := range a.sent.judge(sent, env) {
			d.Related = append(d.Related, call...)
			p.report(d)
		}
	}
	if err := sleep(ctx, a.delay); err != nil {
		return nil, err
	}
	if a.fail != "" {
		p.hinder(ctx)
		return failing(req, a.fail)
	}
	if a.status >= http.StatusBadRequest {
		p.hinder(ctx)
	} else {
		p.reach(here, true)
	}
	given, err := a.give(env)
	if err != nil {
		p.fault(a.at, "its expressions see params, request, query, headers and body", "the mock of %s cannot be made: %v", name, err)
		return nil, refused(req)
	}
	p.keeps(a, given, &engine.PlanCall{Service: name, Method: sent.method, Path: sent.path}, call)
	return respond(req, a.status, given.header, given.text), nil
}

// keeps holds an answer that could not be judged before against the document of
// its service.
func (p *player) keeps(a *answer, given *given, of *engine.PlanCall, related []dsl.Related) {
	if a.settled || a.undocumented || p.broken != nil {
		return
	}
	contract := a.contract
	if contract == nil {
		contract = p.suite.called(of)
	}
	if contract == nil {
		return
	}
	for _, d := range contract.judge(a, given) {
		d.Related = append(d.Related, related...)
		p.report(d)
	}
}

// receive reads a request as the service would. Its path is as the flow wrote
// it: the base path of the endpoint is taken off.
func (p *player) receive(s *connectors.Service, req *http.Request) (*message, error) {
	var text []byte
	if req.Body != nil {
		var err error
		text, err = io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	for _, endpoint := range s.Endpoints() {
		base, err := url.Parse(endpoint)
		if err != nil || base.Host != req.URL.Host {
			continue
		}
		if path, ok := strings.CutPrefix(req.URL.Path, strings.TrimRight(base.Path, "/")); ok {
			u := *req.URL
			u.Path, u.RawPath = path, ""
			req = req.WithContext(req.Context())
			req.URL = &u
			break
		}
	}
	body, err := engine.Body(string(text), req.Header.Get("Content-Type"))
	if err != nil {
		body = engine.Go(string(text))
	}
	return &message{service: s.Name.Value, method: req.Method, path: req.URL.Path, query: req.URL.Query(), header: req.Header, body: body, raw: req}, nil
}

// refused is what a dial gives where nobody listens.
func refused(req *http.Request) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: address(req.URL.Host), Err: syscall.ECONNREFUSED}
}

type address string

// Network is what net.Addr asks for.
func (address) Network() string { return "tcp" }

// String is what net.Addr asks for.
func (a address) String() string { return string(a) }

// failing is what comes of a request that fails.
func failing(req *http.Request, how string) (*http.Response, error) {
	switch how {
	case "connect":
		return nil, refused(req)
	case "timeout":
		<-req.Context().Done()
		return nil, req.Context().Err()
	case "reset":
		return nil, &net.OpError{Op: "read", Net: "tcp", Addr: address(req.URL.Host), Err: syscall.ECONNRESET}
	}
	return respond(req, http.StatusOK, http.Header{"Content-Type": {"application/json"}}, `{"broken": `), nil
}

func respond(req *http.Request, status int, header http.Header, body string) *http.Response {
	length := int64(len(body))
	if req.Method == http.MethodHead {
		body = ""
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: length, Request: req,
	}
}

// sleep waits in virtual time.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
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
