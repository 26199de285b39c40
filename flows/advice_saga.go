package flows

import (
	"fmt"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// undoable is a step with the body that undoes it.
type undoable struct {
	step *engine.PlanStep
	undo *engine.PlanBody
}

// saga warns of an undo that leaves no time for the others. They run one after
// the other, the last first, and have one time together: a service that does not
// answer must not keep the others from giving back what they have.
func (a *advisor) saga(p *engine.PlanStep) {
	all := undoables(nil, p)
	for i, u := range all {
		s := a.longest(u.undo.Steps)
		if i == 0 || s.call == nil || s.time < u.undo.Within {
			continue // behind the first there is nothing left to undo
		}
		takes := "does not end"
		if s.time < never {
			takes = "takes " + shown(s.time)
		}
		within := p.Span
		if written, ok := p.Setting("undo_timeout"); ok {
			within = written.Span
		}
		a.warn(dsl.Diagnostic{Span: s.call.Span, Code: "undo-too-long",
			Message: fmt.Sprintf("the effect of %s is left when %s does not answer: this undo %s then, and undo_timeout is %v", all[i-1].step.Name, s.call.Call.Service, takes, shown(u.undo.Within)),
			Hint:    "give the step a timeout that leaves time for the others, or the saga a longer undo_timeout",
			Related: []dsl.Related{{Span: all[i-1].step.Span, Message: "what is undone after it"}, {Span: within, Message: "undo_timeout"}}})
	}
}

// undoables are the steps inside of a step that can be undone, in the order in
// which they are written.
func undoables(all []undoable, p *engine.PlanStep) []undoable {
	for _, b := range p.Bodies {
		if b.Part != engine.PartSteps {
			continue
		}
		for _, inner := range b.Steps {
			all = undoables(all, inner)
			if undo := inner.Body(engine.PartUndo); undo != nil {
				all = append(all, undoable{inner, undo})
			}
		}
	}
	return all
}
