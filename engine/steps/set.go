package steps

import (
	"context"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type setConfig struct {
	Set dsl.Shape `yaml:"set" doc:"The value." required:"true"`
}

// Set gives a name to a value.
var Set = dsl.Define("set", "Makes a value that later steps read by the step's id.", compileSet,
	dsl.Example{Name: "a value that several steps use", YAML: `
id: total
set: $(sum(body.items, .price * .qty))
`})

type set struct {
	shape  *dsl.ShapeTemplate
	result engine.Slot
}

func compileSet(c *engine.Compiler, at *dsl.Node, cfg *setConfig) engine.Step {
	if at.Field("id") == nil && !c.Member() {
		c.Report(dsl.Diagnostic{Span: cfg.Set.Node.KeySpan(), Code: "no-id", Message: "this set has no id, so nothing can read its value", Hint: "add id: name"})
	}
	s := &set{result: c.Result()}
	c.Derived(func() { s.shape = c.Shape(cfg.Set) })
	s.result.Hold(c.ShapeType(cfg.Set))
	return s
}

// Describe is what engine.Describer asks for.
func (s *set) Describe(p *engine.PlanStep) { p.Pure = true }

// Run is what engine.Step asks for.
func (s *set) Run(ctx context.Context, x *engine.Exchange) error {
	v, err := engine.ValueOf(ctx, x, s.shape)
	if err != nil {
		return err
	}
	x.Set(s.result, engine.Result{Value: v})
	return nil
}
