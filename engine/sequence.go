package engine

import (
	"context"

	"github.com/weir-run/weir/dsl"
)

// Sequence is a list of steps that run in order.
type Sequence []Step

// Run runs the steps until one fails or ends the flow.
func (s Sequence) Run(ctx context.Context, x *Exchange) error {
	for _, step := range s {
		if err := step.Run(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// Steps compiles a nested list of steps. Their names stay inside.
func (c *Compiler) Steps(s dsl.Steps) Sequence {
	var seq Sequence
	c.within(c.scope.inner(), func() { seq = c.list(s.Node) })
	return seq
}

// StepsThen compiles a nested list of steps, and with then what stands beside
// the list and may read their results.
func (c *Compiler) StepsThen(s dsl.Steps, then func()) Sequence {
	var seq Sequence
	c.within(c.scope.inner(), func() {
		if s.Node != nil {
			seq = c.list(s.Node)
		}
		then()
	})
	return seq
}

// list compiles the steps of a list in the scope at hand.
func (c *Compiler) list(n *dsl.Node) Sequence {
	seq := make(Sequence, 0, len(n.Items))
	outer := c.scope.later
	c.scope.later = map[string]later{}
	for _, item := range n.Items {
		for _, id := range idsOf(item) {
			c.scope.later[id.Text] = later{at: id.Span}
		}
	}
	_, done := c.newBody()
	for _, item := range n.Items {
		if c.spine != nil && n == c.spine.node {
			c.rest = &Rest{c.spine, len(seq)}
		}
		ids := idsOf(item)
		for _, id := range ids {
			c.scope.later[id.Text] = later{at: id.Span, own: true}
		}
		if step := c.step(item, nil); step != nil {
			seq = append(seq, step)
		}
		for _, id := range ids {
			delete(c.scope.later, id.Text)
		}
	}
	done()
	c.scope.later = outer
	return seq
}

// idsOf gives the nodes of the ids that a step makes visible.
func idsOf(step *dsl.Node) (ids []*dsl.Node) {
	if id := step.Field("id"); id != nil && id.Kind == dsl.Scalar {
		ids = append(ids, id)
	}
	if members := step.Field("compose"); members != nil && members.Kind == dsl.Map {
		for _, f := range members.Fields {
			ids = append(ids, f.Key)
		}
	} else if members != nil {
		for _, item := range members.Items { // a list in place of a mapping is a fault that is told
			ids = append(ids, idsOf(item)...)
		}
	}
	return ids
}
