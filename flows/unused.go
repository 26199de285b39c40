package flows

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// ends reports whether what stands behind the step in a list never runs.
func ends(p *engine.PlanStep) bool {
	if p.When != "" || p.Handled() {
		return false
	}
	if p.Ends || p.Fails {
		return true
	}
	var bodies []*engine.PlanBody
	for _, b := range p.Bodies {
		if b.Part == engine.PartSteps {
			bodies = append(bodies, b)
		}
	}
	body := func(b *engine.PlanBody) bool { return slices.ContainsFunc(b.Steps, ends) }
	switch p.Order {
	case engine.InOrder:
		return p.Sure && slices.ContainsFunc(bodies, body)
	case engine.ByData:
		return slices.ContainsFunc(bodies, body)
	case engine.OneOf:
		return p.Sure && len(bodies) == p.Cases && !slices.ContainsFunc(bodies, func(b *engine.PlanBody) bool { return !body(b) })
	}
	return false
}

func (a *advisor) unreachable(p, before *engine.PlanStep) {
	a.warn(dsl.Diagnostic{Span: p.Span, Code: "unreachable-step", Message: fmt.Sprintf("this step never runs: %s before it always ends what it stands in", before.Name),
		Hint: "remove it, or give the step before it a condition with when", Related: []dsl.Related{{Span: before.Span, Message: "it ends here"}}})
}

func (a *advisor) answers(all []engine.PlanAnswer) {
	for i := range all {
		if i > 0 && all[i-1].When == "" {
			a.warn(dsl.Diagnostic{Span: all[i].Span, Code: "unreachable-answer", Message: "this answer is never given: the one before it takes every failure",
				Hint: "give the one before it a condition with when, or move it to the end", Related: []dsl.Related{{Span: all[i-1].Span, Message: "it takes every failure"}}})
			return
		}
	}
}

// unread tells of results that nothing in the flow reads.
func (a *advisor) unread(plan *engine.Plan) {
	// An id can also be there for error.step.
	byName := slices.ContainsFunc(plan.Errors, func(e engine.PlanAnswer) bool { return slices.Contains(e.Reads, "error.step") })
	each(plan.Steps, func(p *engine.PlanStep) { byName = byName || slices.Contains(p.Reads, "error.step") })
	a.each(plan.Steps, func(p *engine.PlanStep) {
		if !p.ID.Valid() || p.Used() || p.Expands.Value != "" { // steps of a template have their names by its id
			return
		}
		d := dsl.Diagnostic{Span: p.ID, Code: "unused-result", Severity: dsl.Note, Message: fmt.Sprintf("nothing reads the result of %s", p.Label()), Hint: "remove the id, or the step if its result is all that it is for"}
		_, written := p.Setting("id")
		member := !written // its name is a key of the compose around it
		switch {
		case p.Pure:
			d.Code, d.Severity, d.Hint = "unused-value", dsl.Warning, "remove it"
			d.Message = fmt.Sprintf("nothing reads %s, and making it is all that this step does", p.Label())
		case byName:
			return
		case member && (p.Call == nil || p.Call.Method != http.MethodGet):
			return // a member must have a name
		case member:
			d.Hint = "remove the member"
		}
		a.Report(d)
	})
}

// unreadInput tells of what a flow wants to be given, and does not look at.
func (a *advisor) unreadInput(f *engine.Flow) {
	if f.Trigger != nil || len(f.Inputs()) == 0 {
		return
	}
	read := map[string]bool{}
	note := func(reads []string) {
		for _, label := range reads {
			name, _, _ := strings.Cut(strings.TrimPrefix(label, "input."), ".")
			read[name] = true // the whole is called input itself
		}
	}
	plan := f.Plan()
	each(plan.Steps, func(p *engine.PlanStep) { note(p.Reads) })
	for _, e := range plan.Errors {
		note(e.Reads)
	}
	for name, def := range f.Inputs() {
		if !read[name] && !read["input"] {
			a.Report(dsl.Diagnostic{Span: def.Span, Severity: dsl.Note, Code: "unused-input", Message: fmt.Sprintf("nothing in flow %q reads input.%s", f.Name.Value, name), Hint: "remove it"})
		}
	}
}

// each visits all steps, those inside of others included.
func each(steps []*engine.PlanStep, fn func(p *engine.PlanStep)) {
	for _, p := range steps {
		fn(p)
		for _, b := range p.Bodies {
			each(b.Steps, fn)
		}
	}
}

// each visits all steps, and knows which template they are of.
func (a *advisor) each(steps []*engine.PlanStep, fn func(p *engine.PlanStep)) {
	for _, p := range steps {
		fn(p)
		done := a.within(p)
		for _, b := range p.Bodies {
			a.each(b.Steps, fn)
		}
		done()
	}
}

func (c *checker) unusedServices(called map[string]*most) {
	for _, s := range c.program.Services {
		if called[s.Name.Value] == nil && !c.asked[s.Name.Value] && !c.program.Imported(s.Name.Span) {
			c.ds.Report(dsl.Diagnostic{Span: s.Name.Span, Severity: dsl.Note, Code: "unused-service", Message: fmt.Sprintf("no flow calls service %q", s.Name.Value), Hint: "remove it, or call it"})
		}
	}
}

// unusedFlows tells of flows that neither a caller nor another flow starts. What
// only tests run is there for a reason of its own.
func (c *checker) unusedFlows() {
	run := map[string]bool{}
	for _, f := range c.program.Flows {
		for _, other := range f.Runs() {
			run[other.Name.Value] = true
		}
	}
	for _, test := range c.program.Tests {
		if name := test.Field("run"); name != nil {
			run[name.Text] = true
		}
	}
	for _, f := range c.program.Flows {
		if f.Trigger == nil && !run[f.Name.Value] && !c.program.Imported(f.Name.Span) {
			c.ds.Report(dsl.Diagnostic{Span: f.Name.Span, Severity: dsl.Note, Code: "unused-flow", Message: fmt.Sprintf("nothing runs flow %q: it has no trigger, and no step names it", f.Name.Value),
				Hint: "add a trigger, run it from another flow, or remove it"})
		}
	}
}

func (c *checker) unusedTemplates() {
	for _, t := range c.templates {
		if !t.Used() && !c.program.Imported(t.Name.Span) {
			c.ds.Report(dsl.Diagnostic{Span: t.Name.Span, Severity: dsl.Warning, Code: "unused-template", Message: fmt.Sprintf("nothing uses template %q", t.Name.Value),
				Hint: "write use: " + t.Name.Value + " in a step, or remove the template"})
		}
	}
}
