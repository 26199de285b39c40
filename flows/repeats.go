package flows

import (
	"fmt"
	"slices"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// What a retry runs again, and what a caller runs again who was told of a
// failure, may have had its effect before. That is worth a warning where it is
// certain that something is done twice in a case that does happen, and where
// nothing shows that this has been thought of: a header that makes the request
// safe to repeat, an undo, a handler, idempotent.

// doubtful are the failures after which nobody knows whether the service has
// done what it was asked to. 503 is not among them: it says that it has not.
var doubtful = []string{string(engine.KindTimeout), string(engine.KindReset), string(engine.KindStatus), string(engine.KindMalformed), "500", "502", "504", "5xx"}

// unsafeRetry warns of a retry by which something may be done twice that is to
// be done once.
func (a *advisor) unsafeRetry(p *engine.PlanStep) {
	r := repetition{on: p.Retry.On, seen: map[*engine.Flow]bool{}}
	r.verb(p, nil, false)
	if r.found == nil {
		return
	}
	c := r.found.Call
	d := dsl.Diagnostic{Span: p.Retry.Span, Code: "unsafe-retry"}
	if r.found != p {
		d.Related = []dsl.Related{{Span: r.found.Span, Message: "the " + r.found.Verb}}
	}
	switch {
	case c == nil:
		d.Message = fmt.Sprintf("another attempt adds the item of %s again: it may then be in a group twice", r.found.Name)
		d.Hint = "move the retry to the steps that can fail"
	case r.after == r.found:
		d.Message = fmt.Sprintf("%s does this %s again when another round fails", c.Service, c.Method)
		d.Hint = "move the retry to the call, or send the header Idempotency-Key with it"
	case r.after != nil:
		d.Message = fmt.Sprintf("%s does this %s again when %s fails after it", c.Service, c.Method, called(r.after))
		d.Hint = "move the retry to the step that can fail, or send the header Idempotency-Key with the call"
		d.Related = append(d.Related, dsl.Related{Span: r.after.Span, Message: "what can fail"})
	default:
		d.Message = fmt.Sprintf("%s may do this %s twice: after %s nobody knows whether it has been done", c.Service, c.Method, failureNamed(r.doubt()))
		d.Hint = "send the header Idempotency-Key with the call, or write on: [connect, 503], which say that nothing was done"
	}
	if c != nil && c.NewKey {
		d.Hint = "its idempotency key is another one for each attempt: make it in a set before the retry, and read it in the header"
	}
	a.warn(d)
}

// called is what a step is called in a sentence.
func called(p *engine.PlanStep) string {
	switch {
	case p.Name != p.Verb:
		return p.Name
	case p.Call != nil:
		return "the call of " + p.Call.Service
	}
	return "a step"
}

func failureNamed(on string) string {
	switch on {
	case string(engine.KindTimeout):
		return "a timeout"
	case string(engine.KindReset):
		return "a broken connection"
	case string(engine.KindStatus), "5xx":
		return "a status such as 500"
	case string(engine.KindMalformed):
		return "a malformed answer"
	}
	return "status " + on
}

// unsafeLoop warns of a loop of which some rounds have had their effect when
// another fails: whoever starts it again has them twice.
func (a *advisor) unsafeLoop(p *engine.PlanStep) {
	r := repetition{on: anyCall, seen: map[*engine.Flow]bool{}}
	for _, b := range p.Bodies {
		if fails := r.failing(b.Steps); b.Part == engine.PartSteps && fails != nil {
			r.steps(b.Steps, false, fails, false)
		}
	}
	if r.found == nil || r.found.Call == nil {
		return // what an aggregate has is added by the way
	}
	d := dsl.Diagnostic{Span: r.found.Span, Code: "unsafe-loop",
		Message: fmt.Sprintf("when a round fails, %s has done this %s in others: who starts again has it done twice", r.found.Call.Service, r.found.Call.Method),
		Hint:    "send the header Idempotency-Key with the call, handle the failure in the round with fallback or catch, or undo the call in a saga",
		Related: []dsl.Related{{Span: p.Span, Message: "the rounds"}}}
	if r.found.Call.NewKey {
		d.Hint = "its idempotency key is another one each time: make it of what the round is about"
	}
	a.warn(d)
}

// anyCall are failures that every call can have.
var anyCall = []string{string(engine.KindConnect)}

// repetition looks for the first thing in a step that must not be done twice,
// and is if the step is run again after one of some failures.
type repetition struct {
	on   []string
	seen map[*engine.Flow]bool

	found *engine.PlanStep // a call, or an aggregate
	after *engine.PlanStep // what can fail when it has been done; nil: only itself, so that nobody knows
}

// doubt is a failure that leads to another run though nobody knows what came of
// the call.
func (r *repetition) doubt() string {
	if i := slices.IndexFunc(r.on, func(on string) bool { return slices.Contains(doubtful, on) }); i >= 0 {
		return r.on[i]
	}
	return ""
}

// steps looks at steps that run in order, or in any order, and behind which
// after can fail. kept says that their own failures do not lead to another run.
func (r *repetition) steps(steps []*engine.PlanStep, anyOrder bool, after *engine.PlanStep, kept bool) {
	for i, p := range steps {
		if p.Body(engine.PartUndo) != nil {
			continue // what an attempt did is taken back before the next
		}
		next, others := after, steps[i+1:]
		if anyOrder {
			others = slices.Concat(steps[:i], others)
		}
		if fails := r.failing(others); fails != nil && !kept {
			next = fails
		}
		r.verb(p, next, kept || p.Handled())
		for _, b := range p.Bodies {
			if b.Part == engine.PartCatch || b.Part == engine.PartFinally {
				r.steps(b.Steps, false, next, kept)
			}
		}
		if r.found != nil {
			return
		}
	}
}

// verb looks at what a step does without its handlers.
func (r *repetition) verb(p *engine.PlanStep, after *engine.PlanStep, kept bool) {
	if p.Asks {
		return
	}
	if p.Remembers {
		after = nil // the next run gets the outcome
	}
	if c := p.Call; c != nil && !c.Repeats && (after != nil || !kept && r.doubt() != "") {
		r.found, r.after = p, after
		return
	}
	for _, b := range p.Bodies {
		switch b.Part {
		case engine.PartSteps:
			next := after
			if p.Order == engine.Rounds && !kept {
				if fails := r.failing(b.Steps); fails != nil {
					next = fails // in another round
				}
			}
			r.steps(b.Steps, p.Order == engine.ByData, next, kept)
		case engine.PartTap:
			if after != nil {
				r.steps(b.Steps, false, after, true)
			}
		case engine.PartAggregate:
			if after != nil || !kept && r.failing(b.Steps) != nil {
				r.found, r.after = p, after
			}
		}
		if r.found != nil {
			return
		}
	}
	if f := p.Runs; f != nil && !r.seen[f] && f.Plan() != nil {
		r.seen[f] = true
		r.steps(f.Plan().Steps, false, after, kept)
	}
}

// failing gives the first step that can fail in a way that leads to another run.
func (r *repetition) failing(steps []*engine.PlanStep) *engine.PlanStep {
	return r.failingIn(steps, map[*engine.Flow]bool{})
}

func (r *repetition) failingIn(steps []*engine.PlanStep, seen map[*engine.Flow]bool) *engine.PlanStep {
	for _, p := range steps {
		if p.Handled() {
			continue
		}
		calls := slices.ContainsFunc(r.on, func(on string) bool { return on != string(engine.KindFail) && on != string(engine.KindOverloaded) })
		if p.Call != nil && calls || p.Fails && slices.Contains(r.on, string(engine.KindFail)) {
			return p
		}
		for _, b := range p.Bodies {
			if b.Part == engine.PartSteps || b.Part == engine.PartAggregate {
				if found := r.failingIn(b.Steps, seen); found != nil {
					return found
				}
			}
		}
		if f := p.Runs; f != nil && !seen[f] && f.Plan() != nil {
			seen[f] = true
			if found := r.failingIn(f.Plan().Steps, seen); found != nil {
				return found
			}
		}
	}
	return nil
}
