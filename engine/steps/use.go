package steps

import (
	"context"
	"fmt"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type useConfig struct {
	Use  dsl.String           `yaml:"use" literal:"none" doc:"The name of the template." required:"true"`
	With map[string]dsl.Shape `yaml:"with" doc:"The values for the inputs that the template declares."`
}

// Use runs the steps of a template.
var Use = dsl.Define("use",
	"Runs the steps of a [template](templates.md), as if they were written here. The result is what the template yields; if one of its steps fails, the step fails, and a return in it ends the flow. "+
		"Elsewhere, its steps are called by the id of this one: stock.item is the step item of the use with the id stock.",
	compileUse,
	dsl.Example{Name: "a call as all calls of this kind are made", YAML: `
id: item
use: lookup
with: { service: stock, path: items, id: $(params.id), patience: 150ms }
`})

type use struct {
	name      dsl.String
	expansion *engine.Expansion
	result    engine.Slot
}

func compileUse(c *engine.Compiler, _ *dsl.Node, cfg *useConfig) engine.Step {
	t, ok := engine.Use[*engine.Template](c, "template", cfg.Use)
	if !ok {
		return nil
	}
	s := &use{name: cfg.Use, expansion: c.Expand(t, cfg.Use.Span), result: c.Result()}
	if !t.Yields() {
		s.result.Deny(&dsl.Denied{Message: fmt.Sprintf("template %q yields nothing that could be read", t.Name.Value), Hint: "add yield: to the template",
			Related: []dsl.Related{{Span: t.Name.Span, Message: "the template"}}})
	}
	return s
}

// Describe is what engine.Describer asks for.
func (s *use) Describe(p *engine.PlanStep) { p.Sure, p.Expands = true, s.name }

// Run is what engine.Step asks for.
func (s *use) Run(ctx context.Context, x *engine.Exchange) error {
	e := s.expansion
	if err := e.Enter(ctx, x); err != nil {
		return err
	}
	if err := e.Steps.Run(ctx, x); err != nil || e.Yield == nil {
		return err
	}
	v, err := engine.ValueOf(ctx, x, e.Yield)
	if err == nil {
		x.Set(s.result, engine.Result{Value: v})
	}
	return err
}
