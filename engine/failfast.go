package engine

import (
	"context"
	"slices"
	"time"

	"github.com/weir-run/weir/dsl"
)

// A Callee is what calls go to, where it can be known beforehand that they would
// fail.
type Callee interface {
	// Expect reports what a call at that time would fail with, or nil. leave, if
	// there is one, is called when the run has ended: it is the one that is let
	// through to find out whether calls still fail.
	Expect(at time.Time) (leave func(), failed *Error)
}

// need is a call that each run of a flow makes which nothing else ends.
type need struct {
	callee Callee
	step   string
	span   dsl.Span
	index  int // of the step of the flow's list that it is of
}

// FailFast finds what the flows need that are to fail before their first call if
// another one would fail for sure. All flows are compiled.
func FailFast(flows []*Flow, r dsl.Reporter) {
	for _, f := range flows {
		if !f.config.FailFast || f.plan == nil {
			continue
		}
		var n needs
		n.list(f.plan.Steps, -1)
		f.program.needs, f.plan.Needs = n.all, n.steps
		if len(n.all) == 0 {
			r.Report(dsl.Diagnostic{Span: f.fast, Severity: dsl.Warning, Code: "fail-fast-idle", Message: "this does nothing: no call that this flow always makes goes to a service with a breaker",
				Hint: "remove it, or give a breaker to the services without which there is no answer"})
		}
	}
}

// needs collects what steps need. A call is needed if it is made in every run in
// which no step before it fails or ends the flow, and if nothing is done about its
// failure.
type needs struct {
	all   []need
	steps []*PlanStep // whose they are
	open  []*Flow     // that are being looked at; they do not run themselves, but for a fault that was told
}

// list looks at steps that run in order, and reports whether what comes after them
// is reached for sure. at is the index of the step that they are of; those of the
// flow's own list have their own.
func (n *needs) list(steps []*PlanStep, at int) bool {
	for i, p := range steps {
		index := at
		if at < 0 {
			index = i
		}
		n.step(p, index)
		if mayEnd(p) {
			return false
		}
	}
	return true
}

func (n *needs) step(p *PlanStep, at int) {
	if p.When != "" || p.Handled() || p.Remembers || p.Retry != nil && slices.Contains(p.Retry.On, string(KindBreaker)) {
		return
	}
	if c := p.Call; c != nil && c.Callee != nil && !slices.ContainsFunc(n.all, func(o need) bool { return o.callee == c.Callee }) {
		n.all, n.steps = append(n.all, need{c.Callee, p.Name, p.Span, at}), append(n.steps, p)
	}
	if f := p.Runs; f != nil && f.plan != nil && len(f.plan.Errors) == 0 && !slices.Contains(n.open, f) {
		n.open = append(n.open, f)
		n.list(f.plan.Steps, at)
		n.open = n.open[:len(n.open)-1]
	}
	if p.Order != ByData && !(p.Order == InOrder && p.Sure) {
		return
	}
	for _, b := range p.Bodies {
		switch {
		case b.Part != PartSteps:
		case p.Order == ByData:
			for _, member := range b.Steps {
				n.step(member, at)
			}
		case !n.list(b.Steps, at):
			return
		}
	}
}

// mayEnd reports whether the flow may end with the step, in another way than by a
// failure.
func mayEnd(p *PlanStep) bool {
	if p.Ends {
		return true
	}
	if p.Order != InOrder && p.Order != OneOf {
		return false // return cannot stand there
	}
	return slices.ContainsFunc(p.Bodies, func(b *PlanBody) bool {
		return (b.Part == PartSteps || b.Part == PartCatch) && slices.ContainsFunc(b.Steps, mayEnd)
	})
}

// foreseen runs the steps of a flow unless a call that it needs would fail for sure
// when they get there. How long that takes is what it usually does.
type foreseen struct{ p *Program }

// Run is what Step asks for.
func (f foreseen) Run(ctx context.Context, x *Exchange) error {
	now := time.Now()
	for i := range f.p.needs {
		n := &f.p.needs[i]
		leave, e := n.callee.Expect(now.Add(f.p.spine.before(n.index)))
		if leave != nil {
			defer leave()
		}
		if e != nil {
			e.Step, e.Span = n.step, n.span
			x.root.ledger.count(FlowFailedFast)
			return e
		}
	}
	return f.p.body.Run(ctx, x)
}
