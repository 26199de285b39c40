package suite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows"
)

// outcome is what came of one run of a test.
type outcome struct {
	status  int
	header  http.Header
	value   any // the body, decoded
	body    []byte
	aborted bool // the answer broke off
	took    time.Duration
	failed  *engine.Error  // what ended the steps of the flow
	calls   []string       // services and mocked steps, in the order of their calls
	sites   map[place]bool // as those of the player
	effects []Effect
	unused  []dsl.Diagnostic // mocks that nobody asked
	results map[string]any
	faults  []dsl.Diagnostic // calls that have no mock, or are not what it says
}

// count is how often something was called.
func (o *outcome) count(name string) (n int) {
	for _, call := range o.calls {
		if call == name {
			n++
		}
	}
	return n
}

// matcher compares patterns with what came.
func (o *outcome) matcher() *matcher {
	return &matcher{env: values{"status": o.status, "headers": o.header, "body": o.value}}
}

func (o *outcome) shown() string { return cut(string(bytes.TrimSpace(o.body)), 300) }

// play runs a test once.
func (s *Suite) play(t *Test, cover *coverage, broken *injection) *outcome {
	p := &player{suite: s, test: t, cover: cover, broken: broken, asked: map[*mock]int{}, sites: map[place]bool{}, slots: map[string][]engine.Slot{}}
	env := flows.Environment{Env: environment(t.env, s.env.Env), Secrets: t.secrets, Log: slog.New(slog.DiscardHandler), Probe: p}
	program, faults := s.draft.Check(s.catalog, env, s.parts(t.flows()...)...)
	if program == nil {
		faults = slices.DeleteFunc(faults, func(d dsl.Diagnostic) bool { return d.Severity != dsl.Error })
		return &outcome{faults: faults}
	}
	p.program = program
	o := &outcome{}
	err := inBubble(func() {
		if !t.now.IsZero() {
			time.Sleep(time.Until(t.now))
		}
		p.calm = newCalm()
		defer p.calm.close() // when what the stage still does is done
		stage, err := program.Stage(env.Log, p.transport)
		if err != nil {
			p.fault(t.Span, "", "the services cannot be opened: %v", err)
			return
		}
		defer stage.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		p.earlier(ctx, stage)
		answered := p.meanwhile(ctx, stage)
		start := time.Now()
		if t.run != nil {
			o.run(ctx, program, t)
		} else {
			o.serve(ctx, stage, t.request, program)
		}
		o.took = time.Since(start)
		answered()
		p.calm.end() // for what the flow set off and does not wait for
	})
	if err != nil {
		p.fault(t.Span, "", "%v", err)
	}
	o.unused = p.unused()
	if t.request != nil {
		p.leaked(o)
	}
	o.calls, o.sites, o.faults, o.results, o.effects = p.calls, p.sites, p.faults, p.results, p.effects
	if o.failed == nil {
		o.failed = p.failed
	}
	return o
}

// leaked reports the secrets that an answer holds. A flow that shows one by
// itself is none that is sound: here they come by way of what services say.
func (p *player) leaked(o *outcome) {
	var known dsl.Redactor
	known.Add(p.test.secrets.Values())
	for _, name := range known.Found(o.text()) {
		p.report(dsl.Diagnostic{Span: p.test.Span, Code: "secret-leaked", Message: "the answer holds " + name, Hint: "give the parts of a service's answer that callers may see, one by one"})
	}
}

// parts are the flows that some flows need to be compiled; none are all.
func (s *Suite) parts(flows ...string) []string {
	if slices.Contains(flows, "") {
		return nil
	}
	needed := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if needed[name] {
			return
		}
		needed[name] = true
		for _, f := range s.Program.Flows {
			if f.Name.Value == name {
				for _, other := range f.Runs() {
					visit(other.Name.Value)
				}
			}
		}
	}
	for _, flow := range flows {
		visit(flow)
	}
	return slices.Sorted(maps.Keys(needed))
}

func (o *outcome) run(ctx context.Context, program *flows.Program, t *Test) {
	for _, f := range program.Flows {
		if f.Name.Value != t.Flow {
			continue
		}
		in := &engine.Input{ID: "test", With: engine.JSON(t.run.with), Log: slog.New(slog.DiscardHandler)}
		answer, failed := f.Program().Run(ctx, in)
		if failed != nil {
			o.failed, o.status, o.body = failed, failed.HTTPStatus(), []byte(failed.Message)
			return
		}
		o.status, o.header = answer.Status, answer.Header
		if o.status == 0 {
			o.status = http.StatusOK
		}
		o.body = []byte(answer.Body.JSON())
		if text, _, raw := answer.Body.Raw(); raw {
			o.body, o.value = []byte(text), text
		} else {
			o.value = dsl.DecodeJSON(string(o.body))
		}
		answer.Release()
	}
}

// serve sends the request to its gateway, as the server would.
func (o *outcome) serve(ctx context.Context, stage *flows.Stage, r *request, program *flows.Program) {
	i := slices.IndexFunc(program.Gateways, func(g *flows.Gateway) bool { return g.Name.Value == r.gateway })
	u := *r.url
	req := &http.Request{
		Method: r.method, URL: &u, RequestURI: u.RequestURI(), Header: r.header.Clone(), Host: cmp.Or(r.host, "weir.test"), RemoteAddr: "192.0.2.1:50000",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, ContentLength: int64(len(r.body)),
	}
	if r.body != nil {
		req.Body = io.NopCloser(bytes.NewReader(r.body))
	}
	if req.Header.Get("X-Request-Id") == "" {
		req.Header.Set("X-Request-Id", "test") // answers are the same each time
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	w := &recorder{header: http.Header{}}
	func() {
		defer func() {
			if v := recover(); v != nil {
				if v != http.ErrAbortHandler {
					panic(v)
				}
				o.aborted = true
			}
		}()
		stage.Handler(program.Gateways[i], r.as).ServeHTTP(w, req.WithContext(ctx))
	}()
	w.WriteHeader(http.StatusOK)
	o.status, o.header, o.body = w.status, w.sent, w.body.Bytes()
	v, err := engine.Body(w.body.String(), w.sent.Get("Content-Type"))
	if err != nil {
		v = engine.Go(w.body.String())
	}
	o.value = v.Decoded()
}

// recorder is the connection of the caller.
type recorder struct {
	status int
	header http.Header
	sent   http.Header
	body   bytes.Buffer
}

// Header is what http.ResponseWriter asks for.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader is what http.ResponseWriter asks for.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write is what http.ResponseWriter asks for.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush is what http.Flusher asks for.
func (w *recorder) Flush() { w.WriteHeader(http.StatusOK) }

// failureOf is an error as the engine has it.
func failureOf(err error) *engine.Error {
	if err == nil || errors.Is(err, engine.ErrReturn) {
		return nil
	}
	var e *engine.Error
	if errors.As(err, &e) {
		return e
	}
	return &engine.Error{Kind: engine.KindInternal, Message: err.Error(), Err: err}
}
