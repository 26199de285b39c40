package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Undoing collects what steps have done for as long as it can still be undone:
// in a saga, in an attempt of a step in a saga that may be repeated, in a branch
// of a race. It has a journal for each run. A step with undo writes itself into
// the journal of the innermost Undoing around it when it has ended; then the
// journal is either undone, the last step first, or kept, which hands it to the
// Undoing further out. What the outermost keeps is done for good.
//
// A step that failed has done nothing, as a rule. But a call that timed out may
// have: it is not known. Such a step is undone, too, if its undo does not read
// its result, and so can do without one.
type Undoing struct {
	journal Local[*journal]
	outer   LocalView[*journal]
	nested  bool // outer is one
	within  time.Duration
	flow    string
	tally   *Kept[*Tally]
	used    bool
}

// journal are the effects of one run, in the order in which they ended.
type journal struct {
	mu      sync.Mutex
	effects []effect
}

// effect is something that was done and how to undo it. The Exchange is that of
// the step, with all that its undo reads; it is not used again while the
// journal has it.
type effect struct {
	step *guarded
	x    *Exchange
}

// compensation is the undo of a step.
type compensation struct {
	into    LocalView[*journal]
	steps   Step
	errName *name
	blind   bool   // it can do without the step's result
	taken   func() // for a Probe
	doubted func() // for a Probe
}

// TallyUndoFailed counts compensations that failed.
const TallyUndoFailed = "undo_failed"

// Undoing compiles what fn compiles inside an Undoing whose compensations may
// take so long together.
func (c *Compiler) Undoing(within time.Duration, fn func()) *Undoing {
	u := &Undoing{journal: NewLocal[*journal](c), within: within, flow: c.flow.Name.Value}
	if outer := c.undoing; outer != nil {
		u.outer, u.nested, u.tally = outer.journal.From(c), true, outer.tally
	} else {
		u.tally = c.Tally(TallyUndoFailed)
	}
	c.undoable(u, fn)
	return u
}

// Lasting compiles what fn compiles as something that no saga around it can
// undo, because its effect is not that of one request alone.
func (c *Compiler) Lasting(fn func()) { c.Regardless(func() { c.undoable(nil, fn) }) }

func (c *Compiler) undoable(u *Undoing, fn func()) {
	outer := c.undoing
	c.undoing = u
	fn()
	c.undoing = outer
	if u != nil && outer != nil {
		outer.used = outer.used || u.used
	}
}

// Used reports whether any step has something to undo.
func (u *Undoing) Used() bool { return u.used }

// compileUndo compiles the undo of a step. It sees the step's own result, and
// what the step saw.
func (c *Compiler) compileUndo(g *guarded, own *name, undo dsl.Steps) {
	if undo.Node == nil {
		return
	}
	if c.undoing == nil {
		c.Report(dsl.Diagnostic{Span: undo.Node.KeySpan(), Code: "undo-outside-saga", Message: "nothing here would ever undo this step",
			Hint: "put the steps that belong together into a saga: it undoes them if it fails"})
	} else {
		c.undoing.used = true
		g.undo = &compensation{into: c.undoing.journal.From(c), taken: c.Way(undo.Node.KeySpan(), "the undo of "+g.step)}
	}
	from := len(c.log)
	in, errName := c.scope.handler(g.span)
	var steps Sequence
	outer := c.undoes
	c.undoes = g.step
	c.within(in, func() {
		c.Lasting(func() { c.Inside(PartUndo, func() { steps = c.Steps(undo) }) })
	})
	c.undoes = outer
	if g.undo != nil {
		g.undo.steps, g.undo.errName, g.undo.blind = steps, errName, !slices.Contains(c.log[from:], own)
	}
	// To read one's own result is no dependency: it is there when undo runs.
	c.log = append(c.log[:from], slices.DeleteFunc(c.log[from:], func(n *name) bool { return n == own })...)
}

// Run runs steps with a journal of their own. If they fail, what they did is
// undone, and what cannot be is told in the error.
func (u *Undoing) Run(ctx context.Context, x *Exchange, steps Step) error {
	u.Begin(x)
	err := safely(ctx, steps, x)
	if err == nil || errors.Is(err, ErrReturn) {
		u.Keep(x)
		return err
	}
	e := failure(ctx, err)
	e.Undo = append(e.Undo, u.Undo(ctx, x, e)...)
	return e
}

// Begin starts an empty journal.
func (u *Undoing) Begin(x *Exchange) { u.journal.Set(x, &journal{}) }

func (u *Undoing) of(x *Exchange) *journal {
	j, _ := x.results[u.journal.name.index].value.(*journal)
	return j
}

// Keep hands what was done to the Undoing further out, if there is one.
func (u *Undoing) Keep(x *Exchange) {
	if !u.nested {
		return
	}
	j, outer := u.of(x), u.outer.In(x)
	outer.mu.Lock()
	defer outer.mu.Unlock()
	outer.effects = append(outer.effects, j.effects...)
	j.effects = nil
}

// Undo undoes what was done, the last first, in time of its own: what must be
// undone must be so for a caller who is gone, too. Each compensation that fails
// is logged and counted, and does not keep the others from running; they are
// given back, each with the name of the step whose effect is left.
func (u *Undoing) Undo(ctx context.Context, x *Exchange, why *Error) (left []*Error) {
	j := u.of(x)
	if len(j.effects) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), u.within, errUndoTimeout)
	defer cancel()
	for _, e := range slices.Backward(j.effects) {
		c := e.step.undo
		take(c.taken)
		e.x.setError(c.errName, why)
		err := safely(ctx, c.steps, e.x)
		if err == nil {
			continue
		}
		f := *failure(ctx, err)
		f.Message = fmt.Sprintf("%s: %s", f.Step, f.Message)
		f.Step, f.Err = e.step.step, err
		left = append(left, &f)
		u.tally.It().Add(TallyUndoFailed)
		if x.In.Log != nil {
			x.In.Log.LogAttrs(ctx, slog.LevelError, "a compensation failed: the effect of a step is left",
				slog.String("flow", u.flow), slog.String("request_id", x.In.ID), slog.String("step", f.Step), slog.String("error", f.Error()))
		}
	}
	j.effects = nil
	return left
}

var errUndoTimeout = fmt.Errorf("the time for undoing is up: %w", context.DeadlineExceeded)

// note writes a step that has ended into the journal, if it has, or may have,
// done what its undo undoes.
func (c *compensation) note(x *Exchange, step *guarded, failed *Error) {
	if failed != nil && !(c.blind && failed.doubtful()) {
		if failed.doubtful() {
			take(c.doubted)
		}
		return
	}
	j := c.into.In(x)
	for y := x; y != nil; y = y.parent {
		y.kept.Store(true) // its undo reads it after the round, of a loop, that it belongs to
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.effects = append(j.effects, effect{step, x})
}

// doubtful reports whether a step that failed may have done all or some of what
// it was to do: nobody said that it has not.
func (e *Error) doubtful() bool {
	switch e.Kind {
	case KindTimeout, KindDeadline, KindCanceled, KindReset, KindMalformed, KindTooLarge:
		return true
	case KindStatus:
		return e.Status >= http.StatusInternalServerError
	}
	return false
}
