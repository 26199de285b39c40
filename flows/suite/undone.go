package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// Effect is what became of what a step in a saga had done.
type Effect struct {
	Step string
	Span dsl.Span
	Fate Fate

	hindered bool // a service that its undo called has failed at least once
}

// Fate says whether an effect is still there.
type Fate uint8

// The fates, the greater the worse.
const (
	Undone  Fate = iota // its undo has run
	Doubted             // nobody knows: the step failed in the middle, and its undo needs the result that it does not have
	Stays               // its undo failed, because what it calls did
	Left                // its undo failed, though what it calls did not: it had no time, or is wrong
)

func (f Fate) String() string {
	return [...]string{"undone", "doubted", "stays", "left"}[f]
}

// hindered reports whether a service has failed an undo.
func hindered(effects []Effect) bool {
	return slices.ContainsFunc(effects, func(e Effect) bool { return e.hindered })
}

// weigh orders what became of effects by how much it shows.
func weigh(effects []Effect) (weight int) {
	for _, e := range effects {
		weight += []int{1, 100, 10_000, 1_000_000}[e.Fate]
	}
	return weight
}

// left names the steps whose effects could have been undone, and are not.
func left(effects []Effect) string {
	var names []string
	for _, e := range effects {
		if e.Fate == Left {
			names = append(names, e.Step)
		}
	}
	return strings.Join(names, ", ")
}

// undoKey is where the context of a call in an undo has its undoing.
type undoKey struct{}

// undoing is one run of the undo of a step.
type undoing struct{ hindered bool } // a service that it called has failed

// hinder says that a service has failed an undo that calls it.
func (p *player) hinder(ctx context.Context) {
	if u, ok := ctx.Value(undoKey{}).(*undoing); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		u.hindered = true
	}
}

// Undo is what engine.Probe asks for.
func (p *player) Undo(at engine.Site, undo engine.Step) (run engine.Step, doubted func()) {
	run = stepFunc(func(ctx context.Context, x *engine.Exchange) error {
		u := &undoing{}
		err := undo.Run(context.WithValue(ctx, undoKey{}, u), x)
		p.mu.Lock()
		defer p.mu.Unlock()
		fate := Left
		switch {
		case failureOf(err) == nil:
			fate = Undone
		case u.hindered:
			fate = Stays
		}
		p.effects = append(p.effects, Effect{at.Name, at.Span, fate, u.hindered})
		return err
	})
	return run, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.effects = append(p.effects, Effect{at.Name, at.Span, Doubted, false})
	}
}

// Undo is what engine.Probe asks for.
func (p *plan) Undo(_ engine.Site, undo engine.Step) (run engine.Step, doubted func()) {
	return undo, nil
}

// undoLeft says what a saga has left that it could have undone, or "".
func undoLeft(o *outcome) string {
	if names := left(o.effects); names != "" {
		return fmt.Sprintf("the undo of %s fails, though what it calls does not: undo_timeout is up, or an expression in it fails", names)
	}
	return ""
}
