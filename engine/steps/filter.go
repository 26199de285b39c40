package steps

import (
	"context"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type filterConfig struct {
	Filter dsl.Cond `yaml:"filter" doc:"The condition that a round must fulfil." required:"true"`
}

// Filter leaves rounds out.
var Filter = dsl.Define("filter",
	"Ends the round of the each around it unless a condition is true. The round leaves nothing in the result of the each. It is no failure.",
	compileFilter,
	dsl.Example{Name: "only what is in stock", YAML: `
each: order in body.orders
id: deliverable
steps:
  - id: stock
    call: GET stock /items/$(order.sku)
  - filter: stock.qty >= order.qty
yield: $(order)
`})

type filter struct {
	cond *dsl.Expr
	left func() // for a Probe
}

func compileFilter(c *engine.Compiler, _ *dsl.Node, cfg *filterConfig) engine.Step {
	c.Round(cfg.Filter.Node.KeySpan(), "filter")
	return &filter{c.Cond(cfg.Filter), c.Way(cfg.Filter.Node.KeySpan(), "leaving a round out")}
}

// Describe is what engine.Describer asks for.
func (s *filter) Describe(p *engine.PlanStep) {
	p.Detail = "a round for which it is false ends here and leaves nothing"
}

// Run is what engine.Step asks for.
func (s *filter) Run(ctx context.Context, x *engine.Exchange) error {
	stays, err := s.cond.Bool(ctx, x)
	if err == nil && !stays {
		if s.left != nil {
			s.left()
		}
		err = engine.ErrLeave
	}
	return err
}
