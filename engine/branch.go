package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-run/weir/dsl"
)

// Branch is one of several steps of which one gives the result.
type Branch struct {
	step *guarded
	slot Slot
	undo *Undoing // of what the branch did, where a saga is around
}

// Branch compiles a step whose result can become that of the step at hand. A
// branch without a name is called by its verb. It gives nil after reporting.
func (c *Compiler) Branch(n *dsl.Node, name string) *Branch {
	b := &Branch{}
	_, done := c.newBody()
	defer done()
	c.within(c.scope.inner(), func() {
		result := c.name(c.frame, name)
		result.member, result.becomes = true, c.slot.name
		b.slot = Slot{result}
		compile := func() { b.step, _ = c.step(n, result).(*guarded) }
		if c.undoing == nil {
			compile()
		} else {
			b.undo = c.Undoing(c.undoing.within, compile)
		}
	})
	if b.step == nil {
		return nil
	}
	if h := b.slot.Static().Held(); h != nil {
		c.holds(h)
	}
	return b
}

// Name is the name of the branch, or its verb.
func (b *Branch) Name() string { return b.step.step }

// Applies reports whether the branch takes part: whether its when is true.
func (b *Branch) Applies(ctx context.Context, x *Exchange) (bool, error) {
	return b.step.applies(ctx, x)
}

// Run runs a branch that applies. Panics become errors.
func (b *Branch) Run(ctx context.Context, x *Exchange) *Error {
	if b.undo != nil {
		b.undo.Begin(x)
	}
	if err := safely(ctx, StepFunc(b.step.perform), x); err != nil {
		return failure(ctx, err)
	}
	return nil
}

// Win makes the result of the branch that of the step around it.
func (b *Branch) Win(x *Exchange) {
	o := &x.results[b.slot.name.index]
	x.Set(Slot{b.slot.name.becomes}, Result{Value: o.Value, Status: o.status, Header: o.header, Took: o.took})
	b.Keep(x)
}

// Keep leaves what the branch did to the saga around it.
func (b *Branch) Keep(x *Exchange) {
	if b.undo != nil {
		b.undo.Keep(x)
	}
}

// Lose undoes what the branch did, as far as a saga around it says how.
func (b *Branch) Lose(ctx context.Context, x *Exchange, why *Error) (left []*Error) {
	if b.undo == nil {
		return nil
	}
	return b.undo.Undo(ctx, x, why)
}

// ErrOutrun is the cause of the context of branches that another has beaten.
const ErrOutrun = unneeded("another branch was first")

// Together is the failure of several steps that stood for one: it is of the
// kind of the first of them and tells of all.
func Together(what string, names []string, failed []*Error) *Error {
	all := *failed[0]
	all.Step, all.Span, all.Attempts = "", dsl.Span{}, 0
	all.Message = what
	errs := make([]error, len(failed))
	for i, e := range failed {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		all.Message += fmt.Sprintf("%s%s: %s: %s", separator, names[i], e.Kind, e.Message)
		all.Attempts += e.Attempts
		errs[i] = e
		if i > 0 {
			all.Undo = append(all.Undo[:len(all.Undo):len(all.Undo)], e.Undo...)
		}
	}
	all.Err = errors.Join(errs...)
	return &all
}
