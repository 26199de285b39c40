package suite

import (
	"context"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

// Some flows do for one request what depends on others: they replay an answer,
// share one, wait for their turn. The others of a test are requests that come
// before its own, or at the same time. What they call is counted and mocked as
// if the test's own request did; the failure, the results and the time that a
// test expects are those of its own.

// other is a request beside that of a test.
type other struct {
	*request
	times  int
	expect expectation
}

// earlier is one that comes before.
type earlier struct {
	*other
	wait time.Duration
}

// others compiles the requests beside that of a test.
func (c *checker) others(t *Test, at *dsl.Node, cfg *testConfig) {
	for i := range cfg.Before {
		if o := c.other(t, at.Field("before").Items[i], &cfg.Before[i].otherConfig); o != nil {
			t.before = append(t.before, earlier{o, time.Duration(cfg.Before[i].Wait)})
		}
	}
	for i := range cfg.Meanwhile {
		if o := c.other(t, at.Field("meanwhile").Items[i], &cfg.Meanwhile[i]); o != nil {
			t.meanwhile = append(t.meanwhile, o)
		}
	}
}

func (c *checker) other(t *Test, at *dsl.Node, cfg *otherConfig) *other {
	if cfg.Request.Value == "" {
		if at.Kind == dsl.Map && at.Field("request") == nil {
			c.Report(dsl.Diagnostic{Span: at.KeySpan(), Code: "missing-key", Message: `the key "request" is missing`, Hint: "add request: METHOD /path"})
		}
		return nil
	}
	r := c.request(&cfg.requestConfig, cfg.Expect)
	if r == nil {
		return nil
	}
	o := &other{request: r, times: cfg.Times, expect: expectation{at: cfg.Request.Span}}
	if cfg.Expect != nil {
		c.answer(&o.expect, at.Field("expect"), cfg.Expect, c.given.and(it, "status", "headers", "body"))
	}
	return o
}

// flows are the flows that a test's requests go to.
func (t *Test) flows() []string {
	all := []string{t.Flow}
	for _, e := range t.before {
		all = append(all, e.flow)
	}
	for _, o := range t.meanwhile {
		all = append(all, o.flow)
	}
	return all
}

// otherKey marks the context of a request that is not the test's own.
type otherKey struct{}

// send sends a request and judges what comes.
func (p *player) send(ctx context.Context, stage *flows.Stage, r *other) {
	o := &outcome{}
	o.serve(context.WithValue(ctx, otherKey{}, true), stage, r.request, p.program)
	m := o.matcher()
	r.expect.answer(m, o)
	for _, d := range m.faults {
		p.report(d)
	}
}

// earlier sends what comes before the test's own request.
func (p *player) earlier(ctx context.Context, stage *flows.Stage) {
	for _, e := range p.test.before {
		for range e.times {
			p.send(ctx, stage, e.other)
			time.Sleep(e.wait)
		}
	}
}

// meanwhile sends what is in progress when the test's own request comes, each
// when those before it wait for something. It gives what waits for the answers.
func (p *player) meanwhile(ctx context.Context, stage *flows.Stage) (answered func()) {
	var wg sync.WaitGroup
	for _, o := range p.test.meanwhile {
		for range o.times {
			wg.Go(func() { p.send(ctx, stage, o) })
			p.calm.end()
		}
	}
	return wg.Wait
}
