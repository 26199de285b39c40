package flows

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// most is the longest time that any caller of a service gives one of its calls.
type most struct {
	budget
	open bool // one of them gives it all the time there is
}

// gives notes how much time a call of a service has.
func (a *advisor) gives(p *engine.PlanStep, s surroundings) {
	known, called := a.called[p.Call.Service]
	if !called {
		known = &most{}
		a.called[p.Call.Service] = known
	}
	switch {
	case s.budget.time == 0 || s.beside:
		known.open = true
	case s.budget.time > known.time:
		known.budget = s.budget
	}
}

// serviceTimeouts warns of a timeout of a service that is longer than any of its
// callers waits.
func (a *advisor) serviceTimeouts(services []*connectors.Service) {
	for _, s := range services {
		m := a.called[s.Name.Value]
		i := slices.IndexFunc(s.Written(), func(w engine.Setting) bool { return w.Key == "timeout" })
		if m == nil || m.open || i < 0 || s.Timeout() < m.time {
			continue
		}
		a.warn(dsl.Diagnostic{Span: s.Written()[i].Span, Code: "timeout-too-long",
			Message: fmt.Sprintf("this timeout never passes: all who call %s have less time, the most is %v", s.Name.Value, shown(m.time)),
			Hint:    fmt.Sprintf("write a timeout below %v, or remove it", shown(m.time)), Related: []dsl.Related{{Span: m.at, Message: m.label()}}})
	}
}

// worst tells of a route whose steps can take longer than its deadline, and how
// many requests services can get meanwhile. That is no fault: a deadline is there
// for the worst case.
func (a *advisor) worst(f *engine.Flow) {
	if f.Trigger == nil || f.Trigger.Deadline == 0 {
		return
	}
	b := a.bounds.Flow(f)
	deadline := deadlineOf(f.Trigger)
	countless := false // there are loops whose rounds nobody can count
	for _, r := range b.Requests {
		countless = countless || r.Each > 0
	}
	if b.Time <= deadline.time && !countless {
		return
	}
	takes := shown(b.Time.Round(time.Millisecond))
	if b.Open {
		takes += " or more"
	}
	a.Report(dsl.Diagnostic{Span: deadline.at, Severity: dsl.Note, Code: "worst-case",
		Message: fmt.Sprintf("at worst the steps take %s, and the deadline ends them after %v%s", takes, shown(deadline.time), requests(b)),
		Hint:    "weir explain " + f.Name.Value + " shows what takes it"})
}

// requests says how many requests services can get, if that is more than one.
func requests(b engine.Bound) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(b.Requests)) {
		r := b.Requests[name]
		if r.N > 1 || r.N > 0 && r.Each > 0 {
			all = append(all, fmt.Sprintf("%d to %s", r.N, name))
		}
		if r.Each > 0 {
			all = append(all, fmt.Sprintf("%d to %s for each round", r.Each, name))
		}
	}
	if all == nil {
		return ""
	}
	return "; the most requests are " + strings.Join(all, ", ")
}
