package flows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// A program without errors can still be one that its author did not mean: a
// fallback that comes too late, a retry that does something twice, a step that
// never runs. What is said here must be what an author agrees with, or it would
// be switched off: a warning is about what is certain in a case that does
// happen, such as a service that does not answer, and never about the worst of
// everything at once.

// storm is how many requests to a service one call may become by several
// retries around each other, before that is worth a warning.
const storm = 8

// advise warns of what is risky in a program that has no errors.
func (c *checker) advise() {
	a := &advisor{Reporter: &c.ds, templates: c.templates, around: map[*engine.Flow]*surroundings{}, called: map[string]*most{}, silences: map[*engine.Flow]silence{}}
	for _, f := range callersFirst(c.program.Flows) {
		s := a.around[f]
		if s == nil {
			s = &surroundings{}
		}
		if t := f.Trigger; t != nil {
			s.budget = deadlineOf(t)
		}
		a.flow = f
		a.steps(f.Plan().Steps, *s)
		a.answers(f.Plan().Errors)
		a.stepNames(f)
		a.unread(f.Plan())
		a.unreadInput(f)
		a.worst(f)
	}
	for _, s := range c.program.Services {
		if by := s.Issuer(); by.Value != "" {
			a.called[by.Value] = &most{open: true}
		}
	}
	a.serviceTimeouts(c.program.Services)
	c.unusedServices(a.called)
	c.unusedFlows()
	c.unusedTemplates()
}

type advisor struct {
	dsl.Reporter
	templates []*engine.Template
	flow      *engine.Flow // at hand
	use       dsl.Span     // of a template, whose steps are at hand
	around    map[*engine.Flow]*surroundings
	called    map[string]*most // by services
	bounds    engine.Bounds

	silences map[*engine.Flow]silence // of flows that others run
}

// silence is how long steps take to fail if one service takes a request and does
// not answer, and the call that waits longest. Without a call it is none.
type silence struct {
	time time.Duration
	call *engine.PlanStep
}

// surroundings are what steps run inside of.
type surroundings struct {
	budget  budget
	factors []factor
	handled bool // a failure of the steps is handled further out
	beside  bool // the steps have time of their own, and nobody knows how much
}

// budget is how long steps can take before something around them ends.
type budget struct {
	time time.Duration // 0: nobody knows
	what string
	at   dsl.Span
}

func (b budget) label() string { return strings.TrimSuffix(b.what, ",") }

// factor is a retry around steps.
type factor struct {
	n    int
	what string
	at   dsl.Span
}

// callersFirst sorts flows such that each comes behind those that run it.
func callersFirst(flows []*engine.Flow) []*engine.Flow {
	sorted := make([]*engine.Flow, 0, len(flows))
	seen := map[*engine.Flow]bool{}
	var visit func(f *engine.Flow)
	visit = func(f *engine.Flow) {
		if seen[f] {
			return
		}
		seen[f] = true
		for _, other := range f.Runs() {
			visit(other)
		}
		sorted = append(sorted, f)
	}
	for _, f := range flows {
		visit(f)
	}
	slices.Reverse(sorted)
	return sorted
}

func deadlineOf(t *engine.Trigger) budget {
	b := budget{t.Deadline, "the deadline of the flow", t.Span}
	for _, s := range t.Written {
		if s.Key == "deadline" {
			b.at = s.Span
			return b
		}
	}
	b.what += ", which is not written here,"
	return b
}

// steps looks at steps that run in order, or at the members of a compose.
func (a *advisor) steps(steps []*engine.PlanStep, s surroundings) {
	for i, p := range steps {
		if i > 0 && ends(steps[i-1]) {
			a.unreachable(p, steps[i-1])
		}
		a.step(p, s)
	}
}

func (a *advisor) step(p *engine.PlanStep, s surroundings) {
	defer a.within(p)()
	inner := s
	if p.Timeout > 0 {
		if s.budget.time > 0 && p.Timeout >= s.budget.time {
			a.timeoutTooLong(p, s.budget)
		} else {
			at, _ := p.Setting("timeout")
			inner.budget = budget{p.Timeout, "the timeout of the step around it", at.Span}
			a.handler(p, s.budget)
		}
	} else {
		a.handler(p, s.budget)
	}
	a.handling(p)
	if p.Retry != nil {
		a.unsafeRetry(p)
		inner.factors = append(inner.factors[:len(inner.factors):len(inner.factors)], factor{p.Retry.Attempts, "attempts of " + p.Name, p.Retry.Span})
	}
	inner.handled = s.handled || p.Handled()
	if p.Order == engine.Rounds && !inner.handled {
		a.unsafeLoop(p)
	}
	if p.Call != nil {
		a.gives(p, inner)
		a.storm(p, inner.factors)
	}
	if p.Runs != nil {
		a.enter(p.Runs, inner)
	}
	if p.Verb == "saga" {
		a.saga(p)
	}
	for _, b := range p.Bodies {
		in := s
		switch {
		case b.Part == engine.PartSteps:
			in = inner
		case b.Within > 0:
			in.budget = budget{b.Within, "the time that " + b.Part + " has", p.Span}
		}
		in.beside = s.beside || b.Within == 0 && (b.Part == engine.PartFinally || b.Part == engine.PartTap || b.Part == engine.PartUndo)
		if p.Order == engine.ByData && b.Part == engine.PartSteps {
			for _, member := range b.Steps {
				a.step(member, in)
			}
			continue
		}
		a.steps(b.Steps, in)
	}
}

// enter keeps what a flow runs inside of at worst, and the longest time that
// anyone gives it: what that is not enough for is never enough.
func (a *advisor) enter(f *engine.Flow, s surroundings) {
	known := a.around[f]
	if known == nil {
		a.around[f] = &s
		return
	}
	if s.budget.time == 0 || known.budget.time > 0 && s.budget.time > known.budget.time {
		known.budget = s.budget
	}
	if product(s.factors) > product(known.factors) {
		known.factors = s.factors
	}
	known.handled = known.handled && s.handled
	known.beside = known.beside || s.beside
}

// Report is what dsl.Reporter asks for. What is said of a step of a template is
// said once, however many use it.
func (a *advisor) Report(d dsl.Diagnostic) {
	for _, t := range a.templates {
		if t.Holds(d.Span) {
			t.Report(d, a.use)
			return
		}
	}
	a.Reporter.Report(d)
}

// within takes note of the use of a template while its steps are looked at.
func (a *advisor) within(p *engine.PlanStep) (done func()) {
	outer := a.use
	if p.Expands.Value != "" {
		a.use = p.Expands.Span
	}
	return func() { a.use = outer }
}

func (a *advisor) warn(d dsl.Diagnostic) {
	d.Severity = dsl.Warning
	a.Report(d)
}

func (a *advisor) timeoutTooLong(p *engine.PlanStep, b budget) {
	at, _ := p.Setting("timeout")
	a.warn(dsl.Diagnostic{Span: at.Span, Code: "timeout-too-long", Message: fmt.Sprintf("this timeout never passes: %s is %v", b.what, shown(b.time)),
		Hint: fmt.Sprintf("write a timeout below %v, or remove it", shown(b.time)), Related: []dsl.Related{{Span: b.at, Message: b.label()}}})
}

// handler warns of a fallback or catch that is not reached when a service does
// not answer: the most common failure that takes time.
func (a *advisor) handler(p *engine.PlanStep, b budget) {
	if !p.Handled() || b.time == 0 {
		return
	}
	s := a.silence(p)
	hang, culprit := s.time, s.call
	if culprit == nil || hang < b.time {
		return
	}
	what, at := "fallback", p.Fallback
	if p.Catch.Valid() {
		what, at = "catch", p.Catch
	}
	gives := fmt.Sprintf("the call gives up after %v", shown(hang))
	switch {
	case hang == never:
		gives = "the call never gives up"
	case hang != culprit.Call.Hang:
		gives = fmt.Sprintf("the call gives up after %v, and all attempts after %v", shown(culprit.Call.Hang), shown(hang))
	}
	a.warn(dsl.Diagnostic{Span: at, Code: "deadline-too-short",
		Message: fmt.Sprintf("this %s comes too late when %s does not answer: %s, and %s is %v", what, culprit.Call.Service, gives, b.what, shown(b.time)),
		Hint:    fmt.Sprintf("give the step a timeout below %v", shown(b.time)),
		Related: []dsl.Related{{Span: culprit.Span, Message: "the call"}, {Span: b.at, Message: b.label()}}})
}

// never is how long a call without a timeout hangs.
const never = time.Duration(1<<63 - 1)

// silence is that of all attempts of a step, before a failure is handled.
func (a *advisor) silence(p *engine.PlanStep) (s silence) {
	if c := p.Call; c != nil {
		if s = (silence{c.Hang, p}); c.Hang == 0 {
			s.time = never
		}
	}
	if p.Order != engine.Race { // another branch may win
		for _, b := range p.Bodies {
			if b.Part == engine.PartSteps {
				s = s.or(a.longest(b.Steps))
			}
		}
	}
	if p.Runs != nil {
		s = s.or(a.silenceOf(p.Runs))
	}
	if r := p.Retry; r != nil && s.time < never/16 && slices.Contains(r.On, string(engine.KindTimeout)) {
		s.time = s.time*time.Duration(r.Attempts) + r.Pauses
	}
	if p.Timeout > 0 {
		s.time = min(s.time, p.Timeout)
	}
	return s
}

func (s silence) or(other silence) silence {
	if other.call != nil && (s.call == nil || other.time > s.time) {
		return other
	}
	return s
}

// longest is the silence of steps for those around them.
func (a *advisor) longest(steps []*engine.PlanStep) (s silence) {
	for _, p := range steps {
		if !p.Handled() {
			s = s.or(a.silence(p))
		} else if b := p.Body(engine.PartCatch); b != nil {
			s = s.or(a.longest(b.Steps))
		}
	}
	return s
}

func (a *advisor) silenceOf(f *engine.Flow) silence {
	s, known := a.silences[f]
	if !known {
		s = a.longest(f.Plan().Steps)
		a.silences[f] = s
	}
	return s
}

func product(factors []factor) int {
	n := 1
	for _, f := range factors {
		n = min(n*f.n, 1_000_000)
	}
	return n
}

// storm warns of a call that several retries around each other repeat.
func (a *advisor) storm(p *engine.PlanStep, factors []factor) {
	factors = slices.Clone(factors)
	if p.Call.Requests > 1 {
		factors = append(factors, factor{p.Call.Requests, "attempts of the service", p.Call.Span})
	}
	slices.Reverse(factors) // as they are seen from the call
	n := product(factors)
	if n <= storm || len(factors) < 2 {
		return
	}
	d := dsl.Diagnostic{Span: p.Span, Code: "many-requests", Hint: "retry in one place: as near to the failure as it can be mended; what ends it sooner is the retry_budget of the run"}
	var spelled []string
	for _, f := range factors {
		spelled = append(spelled, fmt.Sprintf("%d %s", f.n, f.what))
		d.Related = append(d.Related, dsl.Related{Span: f.at, Message: fmt.Sprintf("%d %s", f.n, f.what)})
	}
	d.Message = fmt.Sprintf("this call can become %d requests to %s: %s", n, p.Call.Service, strings.Join(spelled, " x "))
	a.warn(d)
}

// shown is a duration as people write it.
func shown(d time.Duration) string {
	text := d.String()
	if text = strings.TrimSuffix(text, "m0s"); text != d.String() {
		text += "m"
	}
	if trimmed, ok := strings.CutSuffix(text, "h0m"); ok {
		text = trimmed + "h"
	}
	return cmp.Or(text, "0s")
}
