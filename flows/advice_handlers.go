package flows

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// handling looks at how the failures of a step are handled.
func (a *advisor) handling(p *engine.PlanStep) {
	if p.Handled() && p.Constant && (p.Pure || p.Verb == "log") {
		what, at := "fallback", p.Fallback
		if p.Catch.Valid() {
			what, at = "catch", p.Catch
		}
		a.warn(dsl.Diagnostic{Span: at, Code: "needless-handler", Message: fmt.Sprintf("this %s is never needed: %s has no expression, and cannot fail", what, p.Label()), Hint: "remove it"})
		return
	}
	if b := p.Body(engine.PartCatch); b != nil && len(b.Steps) > 0 && !noticed(b.Steps) {
		a.Report(dsl.Diagnostic{Span: p.Catch, Severity: dsl.Note, Code: "swallowed-failure", Message: fmt.Sprintf("nobody hears of a failure of %s: this catch only makes values, and reads nothing of error", p.Label()),
			Hint: "log it, or write fallback, which says that a failure does not matter"})
	}
}

// noticed reports whether steps of a catch do something, or look at the failure.
func noticed(steps []*engine.PlanStep) (so bool) {
	each(steps, func(p *engine.PlanStep) {
		so = so || !p.Pure || slices.ContainsFunc(p.Reads, func(name string) bool { return name == "error" || strings.HasPrefix(name, "error.") })
	})
	return so
}

var comparedStep = regexp.MustCompile(`\berror\.step\s*[!=]=\s*("[^"]*"|'[^']*')`)

// stepNames looks for names of steps, which handlers compare error.step with,
// that no step has.
func (a *advisor) stepNames(f *engine.Flow) {
	var all []string // once it is needed
	look := func(condition dsl.Span, prefix string) {
		for _, m := range comparedStep.FindAllStringSubmatch(condition.Text(), -1) {
			if all == nil {
				all = failing(f)
			}
			var names []string
			for _, name := range all {
				names = append(names, strings.TrimPrefix(name, prefix))
			}
			name := m[1][1 : len(m[1])-1]
			at, ok := condition.Find(m[1])
			if !ok || name == "" || slices.Contains(names, name) {
				continue
			}
			d := dsl.Diagnostic{Span: at, Code: "unknown-step", Message: fmt.Sprintf("no failure is that of a step %q: flow %q has none", name, f.Name.Value), Hint: "write the id of a step, or its verb if it has none"}
			d.Suggest(name, names)
			a.warn(d)
		}
	}
	for _, e := range f.Plan().Errors {
		look(e.WhenAt, "")
	}
	a.each(f.Plan().Steps, func(p *engine.PlanStep) {
		if when, ok := p.Setting("when"); ok {
			look(when.Span, p.Prefix)
		}
	})
}

// failing are the names of all steps whose failure can be that of the flow.
func failing(f *engine.Flow) (names []string) {
	seen := map[*engine.Flow]bool{}
	var visit func(f *engine.Flow)
	visit = func(f *engine.Flow) {
		if seen[f] || f.Plan() == nil {
			return
		}
		seen[f] = true
		each(f.Plan().Steps, func(p *engine.PlanStep) {
			names = append(names, p.Name)
			if p.Runs != nil {
				visit(p.Runs)
			}
		})
	}
	visit(f)
	slices.Sort(names)
	return slices.Compact(names)
}
