package engine

import (
	"context"
	"slices"
)

// Detached are steps that go on without the request that set them off.
type Detached struct {
	steps  Sequence
	reads  []*name // of the frame at hand and those around it
	params []string
}

// Detach compiles steps that run on a Snapshot.
func (c *Compiler) Detach(fn func() Sequence) *Detached {
	d := &Detached{}
	from := len(c.log)
	c.Lasting(func() { d.steps = fn() })
	for _, n := range c.log[from:] {
		visible := false
		for f := c.frame; f != nil && !visible; f = f.parent {
			visible = f == n.frame
		}
		if visible && !slices.Contains(d.reads, n) {
			d.reads = append(d.reads, n)
		}
	}
	for name := range c.flow.params {
		d.params = append(d.params, name)
	}
	return d
}

// Snapshot is what the steps can read of x and its request, in memory of their
// own: when it is made, the request may go. Nobody waits for them, so that they
// have the lowest priority.
func (d *Detached) Snapshot(x *Exchange) *Exchange {
	in := &Input{ID: x.In.ID, Request: x.In.Request, Body: x.In.Body, Remote: x.In.Remote, With: x.In.With, Log: x.In.Log, Trace: x.In.Trace, Priority: PriorityLow}
	if x.In.Params != nil {
		vars := params{}
		for _, name := range d.params {
			vars[name], _ = x.In.Params.Var(name)
		}
		in.Params = vars
	}
	return d.shadow(x, in)
}

// shadow copies x and the Exchanges around it, as far as they are read.
func (d *Detached) shadow(x *Exchange, in *Input) *Exchange {
	y := &Exchange{In: in, frame: x.frame, results: make([]outcome, len(x.results)), slots: make([]slot, len(x.slots))}
	y.root, y.ledger = y, &y.own // the request may be gone
	y.own.bound, y.own.tally = x.root.ledger.bound, x.root.ledger.tally
	if x.parent != nil {
		y.parent = d.shadow(x.parent, in)
		y.root = y.parent.root
	}
	for _, n := range d.reads {
		if n.frame != x.frame {
			continue
		}
		from, to := &x.results[n.index], &y.results[n.index]
		to.cell.set(from.Value)
		to.status, to.header, to.took, to.err = from.status, from.header, from.took, from.err
	}
	return y
}

// params are the variables of a path, kept.
type params map[string]string

func (p params) Var(name string) (value string, ok bool) {
	value, ok = p[name]
	return value, ok
}

// Run runs the steps on a Snapshot. Panics become errors.
func (d *Detached) Run(ctx context.Context, x *Exchange) *Error {
	if err := safely(ctx, d.steps, x); err != nil {
		return failure(ctx, err)
	}
	return nil
}
