package engine

import (
	"slices"
	"time"
)

// Role is what a call is to its flow: what the flow knows of the call, and who
// makes it does not.
type Role struct {
	rest  *Rest
	again repeatMark
	seats []seat // in the composes around it, the innermost first; none if nobody asks for the slack
}

// Role is that of the step at hand, which calls something. extra says that it may
// make more than one attempt, hedges that one may be beside another.
func (c *Compiler) Role(extra, hedges bool) *Role {
	s := &Role{rest: c.rest, again: c.repeatMark()}
	c.spends = c.spends || extra
	for r := c.again; r != nil; r = r.outer {
		r.calls = true
	}
	if hedges {
		s.seats = c.seats()
	}
	return s
}

// UsefulUntil is when the call has to be done at the latest for the rest of the
// flow to fit its deadline, if that takes as long as it usually does. It is zero
// if there is no bound, as in what undoes a step.
func (s *Role) UsefulUntil(x *Exchange) time.Time { return s.rest.usefulUntil(x) }

// Begin counts a call in the ledger of the run, which it gives.
func (s *Role) Begin(x *Exchange) *Ledger {
	l := x.root.ledger
	l.begin(s.again.in(x))
	return l
}

// Slack tells how much longer than until now the call may take without anyone
// waiting for it. It is nil where all wait for the call. What it gives can be called
// from anywhere as long as the call is under way.
func (s *Role) Slack(x *Exchange) func() time.Duration {
	if len(s.seats) == 0 {
		return nil
	}
	return func() (slack time.Duration) {
		now := time.Now()
		for _, seat := range slices.Backward(s.seats) {
			slack = seat.slack(x, now, slack)
		}
		return slack
	}
}

// Sub is the input of a flow that the call runs: it is a part of the same run.
func (s *Role) Sub(x *Exchange, with Value) *Input {
	return &Input{ID: x.In.ID, Log: x.In.Log, Trace: x.In.Trace, Priority: x.In.Priority, Origins: x.In.Origins, With: with, ledger: x.root.ledger, again: s.again.in(x), until: s.UsefulUntil(x)}
}
