package suite

import (
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// A call can go wrong in more ways than its author thinks of. Faults runs every
// test again for every call that it makes and every fault below, with that one
// call broken in that one way, each time it is made, and looks at what the
// caller of the flow gets:
//
//	no mock       unknown: the flow called what the test does not mock
//	answered      what the test expects, as if nothing had happened
//	degraded      another answer that is no failure
//	failed clean  a failure, before the deadline, that tells nothing of the inside
//	stumbled      a failure of the flow's own: an expression cannot work with what
//	              the fault, or a fallback, left it
//	failed late   a failure because the whole deadline was used up
//	over deadline an answer after the deadline
//	left undone   a saga has left an effect that it could have undone
//	leaks         an answer with something of the inside
//
// The last three are defects of the flow. The resilience coverage of a program is
// the share of the faults, over all calls of the flows that have tests, of which
// it is shown that they are answered, degraded or failed clean. A call that no
// test reaches covers none.
//
// Some calls are made only when another fails: those of an undo, or of a catch.
// They are broken together with the call whose fault leads to them.

// Kinds are the faults, in the order of a Row's Cells.
var Kinds = []string{"timeout", "refused", "500", "503", "malformed", "slow"}

// Outcome is what a caller gets from a flow of which one call is broken; of two
// the greater is the worse.
type Outcome uint8

// The outcomes.
const (
	Unreached Outcome = iota
	NoMock
	Answered
	Degraded
	FailedClean
	Stumbled
	FailedLate
	OverDeadline
	LeftUndone
	Leaks
)

func (o Outcome) String() string {
	return [...]string{"-", "no mock", "answered", "degraded", "failed clean", "stumbled", "failed late", "over deadline", "left undone", "leaks"}[o]
}

// Good reports whether the flow has coped.
func (o Outcome) Good() bool { return Answered <= o && o <= FailedClean }

// Defect reports whether the flow is wrong.
func (o Outcome) Defect() bool { return o >= OverDeadline }

// Cell is the worst that one fault of one call leads to in any test.
type Cell struct {
	Outcome Outcome
	Test    string   // the test that shows it
	Detail  string   // more about what went wrong
	After   string   // the step whose fault led to the call, if it is made for that only
	Effects []Effect // what became of what sagas had done, in that order, in the test that shows most

	own bool // the test has services fail an undo by itself
}

// Row is one call of a flow.
type Row struct {
	Step  string // its name; of a call in an undo: undo of NAME
	Call  string // the services that it calls
	Span  dsl.Span
	Cells []Cell // one for each of Kinds

	at place
}

// Matrix is all calls of one flow under all faults.
type Matrix struct {
	Flow     string
	Deadline time.Duration // 0: none
	Tests    int
	Rows     []Row
}

// Resilience counts the faults that a program copes with.
func Resilience(all []Matrix) (good, total, defects int) {
	for _, m := range all {
		for _, r := range m.Rows {
			for _, c := range r.Cells {
				total++
				if c.Outcome.Good() {
					good++
				}
				if c.Outcome.Defect() {
					defects++
				}
			}
		}
	}
	return good, total, defects
}

// matrix is that of a flow of which nothing is known yet.
func (s *Suite) matrix(flow string) *Matrix {
	m := &Matrix{Flow: flow, Deadline: s.deadline(flow)}
	sites := s.reachable(flow)
	for _, site := range sites {
		r := Row{Step: site.Name, Span: site.Span, Cells: make([]Cell, len(Kinds)), Call: strings.Join(servicesOf(site), ", "), at: siteOf(site)}
		if site.Undoes != "" {
			r.Step = "undo of " + site.Undoes
			alone := !slices.ContainsFunc(sites, func(other engine.Site) bool { return other.Undoes == site.Undoes && siteOf(other) != siteOf(site) })
			if site.ID.Valid() && !alone {
				r.Step += ": " + site.Name
			}
		}
		m.Rows = append(m.Rows, r)
	}
	return m
}

// reachable are the call sites of a flow, and of those it runs.
func (s *Suite) reachable(flow string) (sites []engine.Site) {
	parts := s.parts(flow)
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == flow })
	for _, part := range append([]string{flow}, parts...) {
		sites = append(sites, s.plan.callSites(part)...)
	}
	return sites
}

func (s *Suite) deadline(flow string) time.Duration {
	for _, f := range s.Program.Flows {
		if f.Name.Value == flow && f.Trigger != nil {
			return f.Trigger.Deadline
		}
	}
	return 0
}

// note takes a result of a trial into the cell.
func (c *Cell) note(result Cell) {
	effects, own := c.Effects, c.own
	if len(effects) == 0 || own && !result.own && len(result.Effects) > 0 || own == result.own && weigh(result.Effects) > weigh(effects) {
		effects, own = result.Effects, result.own
	}
	if c.Outcome < result.Outcome {
		*c = result
	}
	c.Effects, c.own = effects, own
}
