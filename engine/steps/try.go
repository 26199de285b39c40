package steps

import (
	"context"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type tryConfig struct {
	Try     dsl.Steps `yaml:"try" doc:"The steps. The first that fails ends them; catch beside them handles the failure." required:"true"`
	Yield   dsl.Shape `yaml:"yield" doc:"The result. It can read the results of the steps."`
	Finally dsl.Steps `yaml:"finally" order:"last" doc:"Steps that run at the end in any case: on success, on failure, on return and when the time is up; after catch, and once for all attempts of retry."`
}

// Try groups steps so that one handler serves them all.
var Try = dsl.Define("try", "Runs steps as one, so that catch or fallback handles a failure of any of them, and finally cleans up behind them.", compileTry,
	dsl.Example{Name: "one handler for several steps", YAML: `
try:
  - id: hold
    call: POST stock /holds
  - call: POST payments /charges
catch:
  - log: charge failed with $(error.message)
    level: warn
finally:
  - log: done
`},
	dsl.Example{Name: "a price from two calls, or none", YAML: `
id: price
try:
  - id: list
    call: GET offers /prices/$(params.id)
  - id: discount
    call: GET offers /discounts/$(params.id)
yield: $(list.price - discount.amount)
fallback: null
`})

// cleanup is how long finally may take when the flow's own time is up.
const cleanup = 5 * time.Second

type try struct {
	body    block
	finally engine.Sequence
	result  engine.Slot
}

func compileTry(c *engine.Compiler, at *dsl.Node, cfg *tryConfig) engine.Step {
	t := &try{body: compileBlock(c, at, "try", &blockConfig{Steps: cfg.Try, Yield: cfg.Yield}), result: c.Result()}
	if cfg.Finally.Node != nil {
		c.Regardless(func() { c.Inside("finally", func() { t.finally = c.Steps(cfg.Finally) }) })
	}
	return t
}

// Describe is what engine.Describer asks for.
func (t *try) Describe(p *engine.PlanStep) {
	p.Sure = true
	if b := p.Body(engine.PartFinally); b != nil {
		b.Within = cleanup
	}
}

// Run is what engine.Step asks for.
func (t *try) Run(ctx context.Context, x *engine.Exchange) error {
	return t.body.into(ctx, x, t.result)
}

// Finish is what engine.Finisher asks for.
func (t *try) Finish(ctx context.Context, x *engine.Exchange) error {
	if t.finally == nil {
		return nil
	}
	// What must be cleaned up must be so for a caller who is gone, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	return t.finally.Run(ctx, x)
}
