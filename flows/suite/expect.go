package suite

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
)

// expectation is what must come of a test.
type expectation struct {
	at      dsl.Span // of the test, for what has no place of its own
	status  *pattern
	headers []fieldPattern
	body    *pattern
	exact   bool
	failure *failurePattern
	calls   []fieldPattern
	order   []dsl.String
	steps   []fieldPattern
	took    []bound
	tookAt  dsl.Span
}

type failurePattern struct {
	at           dsl.Span
	kind         string
	step         dsl.String
	status, code *pattern
}

// bound is one side of a duration.
type bound struct {
	operator string
	limit    time.Duration
}

func (b bound) holds(d time.Duration) bool {
	switch b.operator {
	case "<":
		return d < b.limit
	case "<=":
		return d <= b.limit
	case ">":
		return d > b.limit
	}
	return d >= b.limit
}

// expect compiles what a test expects.
func (c *checker) expect(t *Test, at *dsl.Node, cfg *expectConfig) {
	e := &t.expect
	e.at = t.Span
	if cfg == nil {
		return
	}
	scope := c.given.and(it, "status", "headers", "body")
	c.answer(e, at, &cfg.answerConfig, scope)
	if cfg.Error != nil {
		n := at.Field("error")
		if id := cfg.Error.Step; c.flow != nil {
			if site := c.suite.plan.step(c.flow.Name.Value, id.Value); site != nil {
				c.uses("step", id, site.ID)
			}
		}
		e.failure = &failurePattern{at: n.KeySpan(), kind: cfg.Error.Kind, step: cfg.Error.Step,
			status: c.pattern(cfg.Error.Status.Node, scope), code: c.pattern(cfg.Error.Code.Node, scope)}
	}
	for _, f := range fieldsIn(at, "calls") {
		if c.target(dsl.String{Value: f.Key.Text, Span: f.Key.Span}) {
			if p := c.pattern(f.Value, scope); p != nil {
				e.calls = append(e.calls, fieldPattern{f.Key.Text, p})
			}
		}
	}
	for _, name := range cfg.Order {
		if c.target(name) {
			e.order = append(e.order, name)
		}
	}
	for _, f := range fieldsIn(at, "steps") {
		id := dsl.String{Value: f.Key.Text, Span: f.Key.Span}
		site := c.step(id)
		if site == nil {
			continue
		}
		c.uses("step", id, site.ID)
		if site.Loop {
			c.Report(dsl.Diagnostic{Span: id.Span, Code: "step-in-loop", Message: fmt.Sprintf("step %q runs once for each round of a loop and has no one result", id.Value),
				Hint: "expect the result of the loop, which is what its rounds yield"})
			continue
		}
		if p := c.pattern(f.Value, scope); p != nil {
			e.steps = append(e.steps, fieldPattern{f.Key.Text, p})
		}
	}
	if cfg.Took.Value != "" {
		e.tookAt = cfg.Took.Span
		e.took = c.bounds(cfg.Took)
	}
}

// answer compiles what is expected of an answer alone.
func (c *checker) answer(e *expectation, at *dsl.Node, cfg *answerConfig, scope names) {
	e.exact = cfg.Exact
	e.body = c.pattern(cfg.Body.Node, scope)
	e.headers = c.textFields(at.Field("headers"), scope)
	if n := cfg.Status.Node; n != nil {
		if e.status = c.pattern(n, scope); e.status != nil && e.status.cond == nil {
			if s, ok := e.status.value.(int); !ok || s < 200 || s > 599 {
				c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-status", Message: "this is not a status", Hint: "write a number from 200 to 599, or a condition such as $(it >= 500)"})
			}
		}
	}
}

func fieldsIn(n *dsl.Node, key string) []dsl.Field {
	if v := n.Field(key); v != nil {
		return v.Fields
	}
	return nil
}

// bounds reads "<2s" or ">1s <2s".
func (c *checker) bounds(text dsl.String) (bounds []bound) {
	bad := func() []bound {
		c.Report(dsl.Diagnostic{Span: text.Span, Code: "bad-bound", Message: fmt.Sprintf("%q is no bound of a duration", text.Value), Hint: "write <2s, <=2s, >2s or >=2s, or two of them: '>1s <2s'"})
		return nil
	}
	rest := strings.TrimSpace(text.Value)
	for rest != "" {
		var b bound
		for _, operator := range []string{"<=", ">=", "<", ">"} {
			if after, ok := strings.CutPrefix(rest, operator); ok {
				b.operator, rest = operator, strings.TrimLeft(after, " ")
				break
			}
		}
		number, after, _ := strings.Cut(rest, " ")
		limit, err := time.ParseDuration(number)
		if b.operator == "" || err != nil {
			return bad()
		}
		b.limit, rest = limit, strings.TrimLeft(after, " ")
		bounds = append(bounds, b)
	}
	return bounds
}

// judge compares what came of a test with what it expects.
func (e *expectation) judge(o *outcome) []dsl.Diagnostic {
	m := o.matcher()
	e.answer(m, o)
	e.failed(m, o)
	for _, f := range e.calls {
		m.match("calls."+f.name, f.pattern, o.count(f.name))
	}
	e.sequence(m, o)
	for _, f := range e.steps {
		m.match("steps."+f.name, f.pattern, o.results[f.name])
	}
	for _, b := range e.took {
		if !b.holds(o.took) {
			m.fault(e.tookAt, "", "the answer took %v, not %s%v", o.took, b.operator, b.limit)
		}
	}
	if len(m.faults) > 0 && o.failed != nil && e.failure == nil {
		m.faults[0].Related = append(m.faults[0].Related, dsl.Related{Span: o.failed.Span, Message: "the flow failed here: " + string(o.failed.Kind) + ": " + o.failed.Message})
	}
	return slices.Concat(o.faults, m.faults)
}

// answer judges the answer alone. One with another status is another answer: it
// is shown, and not compared further.
func (e *expectation) answer(m *matcher, o *outcome) {
	if o.aborted {
		m.fault(e.at, "", "the answer broke off")
		return
	}
	before := len(m.faults)
	switch {
	case e.status != nil:
		m.match("status", e.status, o.status)
		if len(m.faults) > before && m.faults[before].Hint == "" {
			m.faults[before].Hint = "the answer is " + o.shown()
		}
	case e.failure == nil && o.status >= http.StatusBadRequest:
		m.fault(e.at, "expect that status, if it is right; the answer is "+o.shown(), "status is %d, and the test does not expect a failure", o.status)
	}
	if len(m.faults) > before {
		return
	}
	for _, f := range e.headers {
		m.match("headers."+f.name, f.pattern, oneOrMany(f.pattern, o.header.Values(f.name)))
	}
	m.exact = e.exact
	m.match("body", e.body, o.value)
	m.exact = false
}

func (e *expectation) failed(m *matcher, o *outcome) {
	f := e.failure
	if f == nil {
		return
	}
	if o.failed == nil {
		m.fault(f.at, "the answer is "+o.shown(), "the flow did not fail")
		return
	}
	why := o.failed.Step + ": " + string(o.failed.Kind) + ": " + o.failed.Message
	if f.kind != "" && f.kind != string(o.failed.Kind) {
		m.fault(f.at, why, "error.kind is %s, not %s", o.failed.Kind, f.kind)
	}
	if f.step.Value != "" && f.step.Value != o.failed.Step {
		m.fault(f.step.Span, why, "error.step is %s, not %s", o.failed.Step, f.step.Value)
	}
	m.match("error.status", f.status, o.failed.Status)
	m.match("error.code", f.code, o.failed.Code)
}

// sequence judges the order of the calls.
func (e *expectation) sequence(m *matcher, o *outcome) {
	at := 0
	for i, name := range e.order {
		next := slices.Index(o.calls[at:], name.Value)
		if next >= 0 {
			at += next + 1
			continue
		}
		message := "no call of " + name.Value
		if i > 0 {
			message += " after that of " + e.order[i-1].Value
		}
		hint := "there were no calls"
		if len(o.calls) > 0 {
			hint = "the calls were " + listed(o.calls)
		}
		m.fault(name.Span, hint, "%s", message)
		return
	}
}
