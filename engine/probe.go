package engine

import (
	"strings"

	"github.com/weir-run/weir/dsl"
)

// A Probe watches a program from inside: tests replace steps, keep results and
// count what ran by it. It is asked while flows compile, possibly by several
// goroutines; a Language without one compiles flows that know nothing of it,
// so that production does not pay for it.
type Probe interface {
	// Flow gives what runs in place of the steps of a flow. Its error is that
	// of the flow, before the flow's handlers; at its end the Exchange has the
	// results of all steps that are in no loop.
	Flow(f *Flow, steps Step) Step
	// Verb gives what runs in place of a step's verb, under its modifiers.
	Verb(at Site, verb Step) Step
	// Undo gives what runs in place of the undo of a step. doubted is called when
	// the step has failed such that nobody knows whether it has had its effect,
	// and its undo cannot do without the result that it then does not have.
	Undo(at Site, undo Step) (run Step, doubted func())
	// Way gives what is called whenever the flow goes that way.
	Way(w Way) (taken func())
}

// Site is one step of a flow, as a Probe sees it.
type Site struct {
	Flow *Flow
	Name string   // the id, or the verb where there is none; in a template behind the id of its use: stock.item
	Verb string   // the key
	Span dsl.Span // of the verb's key, or of the step's id
	ID   dsl.Span // of the id; not valid if the step has none
	Slot Slot
	Loop bool // the step runs once for each round of a loop
	// Undoes is the name of the step whose undo this one is part of, or "".
	Undoes string
	// Uses are the things of the program that the step itself names, each a
	// noun and a name: "service users".
	Uses []string
}

// Way is one of several ways that a flow can go at one place.
type Way struct {
	Flow *Flow
	Span dsl.Span
	What string // what it is, in words: the fallback of orders
}

// Keep has the result of a step be there though nothing in the flow reads it.
func (s Slot) Keep() { s.name.read = true }

// Way tells the program's Probe of a way. It gives what to call when the flow
// goes it, or nil without a Probe.
func (c *Compiler) Way(at dsl.Span, what string) (taken func()) {
	if c.lang.Probe == nil {
		return nil
	}
	if c.use != nil && !strings.Contains(what, c.use.prefix) {
		what += ", in " + strings.TrimSuffix(c.use.prefix, ".")
	}
	return c.lang.Probe.Way(Way{Flow: c.flow, Span: at, What: what})
}

// ways lead through one step's modifiers; none is set without a Probe.
type ways struct{ skip, handled func() }

func take(way func()) {
	if way != nil {
		way()
	}
}

// probe puts the program's Probe into a step that is compiled.
func (c *Compiler) probe(g *guarded, verb string, m *modifiers) {
	p := c.lang.Probe
	if p == nil {
		return
	}
	if n := m.When.Node; n != nil {
		g.ways.skip = c.Way(n.KeySpan(), "going on without "+g.step+", when its condition is false")
	}
	if n := m.Fallback.Node; n != nil {
		g.ways.handled = c.Way(n.KeySpan(), "the fallback of "+g.step)
	}
	if n := m.Catch.Node; n != nil {
		g.ways.handled = c.Way(n.KeySpan(), "the catch of "+g.step)
	}
	at := Site{Flow: c.flow, Name: g.step, Verb: verb, Span: g.span, ID: c.plan.ID, Slot: g.slot, Loop: c.frame.parent != nil, Undoes: c.undoes, Uses: c.uses}
	if g.run != nil {
		g.run = p.Verb(at, g.run)
	}
	if g.undo != nil {
		g.undo.steps, g.undo.doubted = p.Undo(at, g.undo.steps)
	}
}
