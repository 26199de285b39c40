package engine

import (
	"context"
	"errors"
	"time"

	"github.com/weir-run/weir/dsl"
)

// spine is the list of steps of a whole flow. It learns how long each usually
// takes, so that what a step repeats can be held against the time that those
// after it need: a retry that leaves them too little is work for nobody.
//
// Only steps of this list are timed. What is inside of one of them needs at
// least the time that the steps after that one do.
type spine struct {
	node  *dsl.Node // while it is compiled
	steps Sequence
	took  durations // of a step that was not reached, 0 counts
}

// Rest is what of a flow comes after a step. A nil one is nothing.
type Rest struct {
	spine *spine
	after int // index of the step
}

// Run is what Step asks for.
func (s *spine) Run(ctx context.Context, x *Exchange) error {
	x.until, _ = ctx.Deadline()
	if until := x.In.until; !until.IsZero() && (x.until.IsZero() || until.Before(x.until)) {
		x.until = until // what runs this flow has more to do
	}
	if len(s.took) == 0 {
		return s.steps.Run(ctx, x)
	}
	begun := time.Now()
	for i, step := range s.steps {
		err := step.Run(ctx, x)
		if err != nil && !errors.Is(err, ErrReturn) {
			return err // says nothing of what the steps after it take
		}
		now := time.Now()
		s.took.learn(i, now.Sub(begun))
		begun = now
		if err != nil {
			for j := i + 1; j < len(s.steps); j++ {
				s.took.learn(j, 0)
			}
			return err
		}
	}
	return nil
}

// usefulUntil is when the step has to be done at the latest for the rest of the
// flow to fit its deadline, if that takes as long as it usually does. It is zero
// if there is no bound, as in what undoes a step.
func (r *Rest) usefulUntil(x *Exchange) time.Time {
	if r == nil || x.root.until.IsZero() {
		return time.Time{}
	}
	var rest time.Duration
	for i := r.after + 1; i < len(r.spine.took); i++ {
		rest += r.spine.took.usual(i)
	}
	return x.root.until.Add(-rest)
}

// before is how long the steps before one usually take.
func (s *spine) before(index int) (sum time.Duration) {
	for i := range min(index, len(s.took)) {
		sum += s.took.usual(i)
	}
	return sum
}

// tooLate reports whether what begins after a pause leaves the rest of the flow
// no time.
func (r *Rest) tooLate(x *Exchange, pause time.Duration) bool {
	until := r.usefulUntil(x)
	return !until.IsZero() && !time.Now().Add(pause).Before(until)
}

// own compiles the steps of a flow.
func (c *Compiler) own(n *dsl.Node) Step {
	c.spine = &spine{node: n}
	c.spine.steps = c.list(n)
	c.spine.node = nil // or the whole file would stay
	if len(c.spine.steps) > 1 {
		c.spine.took = make(durations, len(c.spine.steps))
	}
	return c.spine
}

// Regardless compiles what runs whether the flow goes on or not, so that what
// comes after it is no reason to give up, nor what stands around it a reason to wait.
func (c *Compiler) Regardless(fn func()) {
	rest, again, member := c.rest, c.again, c.member
	c.rest, c.again, c.member = nil, nil, nil
	fn()
	c.rest, c.again, c.member = rest, again, member
}
