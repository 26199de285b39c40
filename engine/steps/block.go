package steps

import (
	"context"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// blockConfig are the keys of a verb that puts something around other steps.
type blockConfig struct {
	Steps dsl.Steps `yaml:"steps" doc:"The steps." required:"true"`
	Yield dsl.Shape `yaml:"yield" doc:"The result. It can read the results of the steps."`
}

// block is a list of steps and what becomes of it.
type block struct {
	steps engine.Sequence
	yield *dsl.ShapeTemplate // nil: null
}

// compileBlock compiles the steps and the result of the step at, whose verb is
// the one given; at is nil if it has no result.
func compileBlock(c *engine.Compiler, at *dsl.Node, verb string, cfg *blockConfig) block {
	if len(cfg.Steps.Node.Items) == 0 {
		c.Report(dsl.Diagnostic{Span: cfg.Steps.Node.KeySpan(), Code: "empty-steps", Message: "this " + verb + " has no steps", Hint: "write the steps below it, each with a dash and a space"})
	}
	var b block
	b.steps = c.StepsThen(cfg.Steps, func() {
		if cfg.Yield.Node != nil {
			b.yield = c.Shape(cfg.Yield)
			c.Result().Hold(c.ShapeType(cfg.Yield))
		}
	})
	if at == nil {
		return b
	}
	handled := at.Field("fallback") != nil || at.Field("catch") != nil // whether it failed can be read, and what then
	if id := at.Field("id"); id != nil && cfg.Yield.Node == nil && !handled {
		c.Report(dsl.Diagnostic{Span: id.Span, Code: "no-result", Message: "this " + verb + " has an id but yields nothing", Hint: "add yield: what its result is"})
	}
	return b
}

// named is the name that a step gives to something under a key: what is written
// there, or else a name that stands for it, at the place of the step.
func named(at *dsl.Node, key string, written dsl.String, otherwise string) dsl.String {
	if at.Field(key) != nil && written.Span.Valid() {
		return written
	}
	return dsl.String{Value: otherwise, Span: at.Fields[0].Key.Span}
}

// value runs the steps and gives the result.
func (b *block) value(ctx context.Context, x *engine.Exchange) (engine.Value, error) {
	if err := b.steps.Run(ctx, x); err != nil || b.yield == nil {
		return engine.Value{}, err
	}
	return engine.ValueOf(ctx, x, b.yield)
}

// into runs the steps and leaves the result in a slot.
func (b *block) into(ctx context.Context, x *engine.Exchange, slot engine.Slot) error {
	v, err := b.value(ctx, x)
	if err == nil && b.yield != nil {
		x.Set(slot, engine.Result{Value: v})
	}
	return err
}
