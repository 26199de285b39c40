package engine

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Plan is what a flow does, as its compiler knows it: a description for people
// and tools, which running does not look at. It is immutable.
type Plan struct {
	Steps  []*PlanStep
	Errors []PlanAnswer // in the order in which they are tried
	Budget *PlanBudget  // nil: that of the flow which runs it
	Extra  bool         // steps of the flow can make more than one attempt, those of flows that it runs apart
	Needs  []*PlanStep  // the flow fails before its first call if their calls would fail for sure
}

// PlanBudget bounds the attempts of a run beyond the first of each call.
type PlanBudget struct {
	Share   float64 // of the calls
	Min     int     // or so many, if that is more
	Written bool
}

// PlanAnswer is an answer to failures that no step handled.
type PlanAnswer struct {
	Span   dsl.Span
	When   string   // "": it takes every failure
	WhenAt dsl.Span // of When; not valid if there is none
	Status string   // as it is written; "": what the kind of failure means
	Reads  []string
}

// PlanStep is one step of a Plan.
type PlanStep struct {
	Name     string   // the id, or the verb where there is none, behind the Prefix
	Prefix   string   // in a template: what its use is called, and a dot
	ID       dsl.Span // of the id; not valid if the step has none
	Verb     string
	What     string   // the value of the verb as it is written, if that is one text
	Span     dsl.Span // of the verb's key
	When     string
	Timeout  time.Duration // 0: none
	Retry    *PlanRetry
	Fallback dsl.Span // of the key; not valid if there is none
	Catch    dsl.Span
	Written  []Setting // the scalars that stand beside the verb, and retry
	Reads    []string  // names and the paths below them, in the order written
	Waits    []string  // the members of the same compose that it waits for
	Bodies   []*PlanBody

	// What a Describer says of itself.

	Order   Order         // how the bodies of PartSteps run
	Limit   int           // of Rounds: how many at a time
	Rounds  int           // of Rounds: how many at most; 0: nobody knows
	Cases   int           // of OneOf: how many there are, those without steps included
	Sure    bool          // of InOrder: all bodies always run; of OneOf: one of the cases is always taken
	Call    *PlanCall     // the request that the verb sends
	Runs    *Flow         // the flow that the verb runs
	Expands dsl.String    // the template that the steps inside come from, as it is named
	Wait    time.Duration // that the verb waits
	Waiting bool          // it waits for as long as nobody can tell
	Ends    bool          // if it succeeds, the flow ends
	Fails   bool          // it never succeeds
	Pure    bool          // it does nothing but make its result

	Constant bool // none of its keys, but for those of every step, holds an expression

	Asks      bool   // its steps ask for something, and have no effect
	Remembers bool   // once its steps have succeeded, they do not run again for the same key
	Detail    string // in words, what neither its settings nor the rest tell

	slot Slot
}

// Order is how the bodies of a step run.
type Order uint8

// The orders.
const (
	InOrder Order = iota // one after the other
	ByData               // the steps of the one body, each when what it waits for is there
	Race                 // all at once, and one of them gives the result
	OneOf                // one of them
	Rounds               // again and again
)

// PlanBody is a list of steps inside a step.
type PlanBody struct {
	Part   string
	When   string        // of OneOf: the condition; "": there is none
	Within time.Duration // the time it has of its own; 0: that of what is around
	Steps  []*PlanStep
}

// The parts of a step that its bodies are.
const (
	PartSteps   = "steps"   // what the verb runs
	PartCatch   = "catch"   // runs when the step failed
	PartFinally = "finally" // runs when the step has ended
	PartUndo    = "undo"    // runs when the saga around the step fails
	PartTap     = "tap"     // runs beside the request, which does not wait for it

	PartAggregate = "aggregate" // runs for several requests together
)

// PlanRetry is the retry of a step.
type PlanRetry struct {
	Span     dsl.Span // of the key
	Attempts int
	On       []string      // kinds of failures and statuses
	Pauses   time.Duration // the longest pauses between all attempts together
}

// PlanCall is a request to a service.
type PlanCall struct {
	Service string
	Span    dsl.Span // of where the service is defined
	Method  string   // "": that of the request at hand
	Path    string   // as it is written; "": that of the request at hand
	Streams bool     // the bodies are passed on as they come
	Repeats bool     // sending it twice does what sending it once does
	NewKey  bool     // it has an idempotency key that is another each time, and so does not repeat
	// Requests is how many requests the service can see of one call; Time how
	// long the call can take, 0 if it has no bound; Hang how long it takes until
	// it fails if the service does not answer, 0 if it never does.
	Requests   int
	Time, Hang time.Duration
	// Callee is nil if nobody can know beforehand whether calls fail.
	Callee Callee
}

// Setting is the value of a key, and where that comes from.
type Setting struct {
	Key  string   // with dots: retry.attempts
	Name dsl.Span // of the key
	Span dsl.Span // of the value
}

// A Describer is a step that knows more of what it does than its keys and the
// steps inside of it show. Describe is called once, when the step is compiled.
type Describer interface {
	Step
	Describe(p *PlanStep)
}

// Plan describes the flow. It is nil before the flow is compiled, if that found
// faults, and after Forget.
func (f *Flow) Plan() *Plan { return f.plan }

// Forget lets the plan go: running does without.
func (f *Flow) Forget() { f.plan = nil }

// Label is what the step is called by those beside it: its Name, and in a
// template that without the Prefix.
func (p *PlanStep) Label() string { return cmp.Or(p.slot.name.text, p.Verb) }

// Named reports whether the step has a name of its own, and not that of its
// verb.
func (p *PlanStep) Named() bool { return p.Label() != p.Verb }

// Used reports whether anything in the flow reads the result of the step, or
// what stands beside it.
func (p *PlanStep) Used() bool { return p.slot.name.used }

// Read reports whether anything in the flow reads the result itself.
func (p *PlanStep) Read() bool { return p.slot.Read() }

// Handled reports whether a failure of the step is not that of the flow.
func (p *PlanStep) Handled() bool { return p.Fallback.Valid() || p.Catch.Valid() }

// Body gives the first body that is a part of the step, or nil.
func (p *PlanStep) Body(part string) *PlanBody {
	for _, b := range p.Bodies {
		if b.Part == part {
			return b
		}
	}
	return nil
}

// Setting is what is written for a key.
func (p *PlanStep) Setting(key string) (s Setting, ok bool) {
	for _, s := range p.Written {
		if s.Key == key {
			return s, true
		}
	}
	return s, false
}

// Settings gives the scalars of a mapping, the lists of scalars, and the mappings
// with what is in them.
func Settings(n *dsl.Node) (all []Setting) { return settings(nil, "", n) }

func settings(all []Setting, prefix string, n *dsl.Node) []Setting {
	for _, f := range n.Fields {
		switch f.Value.Kind {
		case dsl.Map:
			all = append(all, Setting{prefix + f.Key.Text, f.Key.Span, f.Value.Span})
			all = settings(all, prefix+f.Key.Text+".", f.Value)
		case dsl.Scalar:
			all = append(all, Setting{prefix + f.Key.Text, f.Key.Span, f.Value.Span})
		case dsl.List:
			if !slices.ContainsFunc(f.Value.Items, func(item *dsl.Node) bool { return item.Kind != dsl.Scalar }) {
				all = append(all, Setting{prefix + f.Key.Text, f.Key.Span, f.Value.Span})
			}
		}
	}
	return all
}

// planned begins the description of a step, and ends it with done.
func (c *Compiler) planned(n *dsl.Node, verb string, at dsl.Span, slot Slot) (p *PlanStep, done func()) {
	p = &PlanStep{Name: verb, Prefix: c.prefix(), Verb: verb, Span: at, slot: slot}
	if what := n.Field(verb); what.Kind == dsl.Scalar {
		p.What = what.Text
	}
	for _, f := range n.Fields {
		switch key := f.Key.Text; {
		case key == verb:
		case f.Value.Kind == dsl.Scalar:
			p.Written = append(p.Written, Setting{key, f.Key.Span, f.Value.Span})
		case key == "retry":
			p.Written = append(p.Written, Setting{key, f.Key.Span, f.Value.Span})
			p.Written = settings(p.Written, "retry.", f.Value)
		}
	}
	if c.body != nil {
		c.body.Steps = append(c.body.Steps, p)
	}
	outer, body, part := c.plan, c.body, c.part
	c.plan, c.body, c.part = p, nil, ""
	return p, func() { c.plan, c.body, c.part = outer, body, part }
}

// newBody begins a body of the step at hand, and ends it with done.
func (c *Compiler) newBody() (b *PlanBody, done func()) {
	b = &PlanBody{Part: cmp.Or(c.part, PartSteps)}
	c.plan.Bodies = append(c.plan.Bodies, b)
	outer := c.body
	c.body = b
	return b, func() { c.body = outer }
}

// asPart has what fn compiles be another part of the step at hand.
func (c *Compiler) asPart(part string, fn func()) {
	outer := c.part
	if c.part = part; part == c.plan.Verb {
		c.part = ""
	}
	fn()
	c.part = outer
}

// describe ends the description of a step.
func (c *Compiler) describe(p *PlanStep, g *guarded, m *modifiers) {
	p.Name, p.Timeout = g.step, g.timeout
	switch {
	case m.ID.Value != "":
		p.ID = m.ID.Span
	case g.slot.name.member:
		if e, ok := c.scope.find(g.slot.name.text); ok && e.step == g.slot.name {
			p.ID = e.at
		}
	}
	if g.when != nil {
		p.When = g.when.String()
	}
	if n := m.Fallback.Node; n != nil {
		p.Fallback = n.KeySpan()
	}
	if n := m.Catch.Node; n != nil {
		p.Catch = n.KeySpan()
	}
	if g.retry != nil {
		p.Retry = &PlanRetry{Span: keyOf(c.at, "retry").Span, Attempts: g.retry.attempts, On: g.retry.on}
		for attempt := 1; attempt < g.retry.attempts; attempt++ {
			p.Retry.Pauses += g.retry.bound(attempt)
		}
	}
	if b := p.Body(PartUndo); b != nil && c.undoing != nil {
		b.Within = c.undoing.within
	}
	p.Constant = !slices.ContainsFunc(c.at.Fields, func(f dsl.Field) bool { return !isModifier(f.Key.Text) && !f.Value.Constant() })
	if d, ok := g.run.(Describer); ok {
		d.Describe(p)
	}
}

// reads notes what an expression of the step at hand reads.
func (c *Compiler) reads(label string) {
	if root, _, _ := strings.Cut(label, "."); root != "env" && root != "error" {
		label = c.prefix() + label
	}
	if !slices.Contains(c.plan.Reads, label) {
		c.plan.Reads = append(c.plan.Reads, label)
	}
}

func (c *Compiler) planAnswer(cfg *handlerConfig) PlanAnswer {
	a := PlanAnswer{Span: cfg.Span, Reads: c.plan.Reads}
	if n := cfg.When.Node; n != nil {
		a.When, a.WhenAt = n.Text, n.Span
	}
	if n := cfg.Status.Node; n != nil {
		a.Status = n.Text
	}
	return a
}
