package steps

import (
	"context"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type sagaConfig struct {
	Saga        dsl.Steps    `yaml:"saga" doc:"The steps. Those with undo can be taken back." required:"true"`
	Yield       dsl.Shape    `yaml:"yield" doc:"The result. It can read the results of the steps."`
	UndoTimeout dsl.Duration `yaml:"undo_timeout" doc:"How long taking back may take in all. It has this time of its own, when that of the flow is up, too, and the caller waits for it." default:"30s" min:"1ms"`
}

// Saga runs steps of which all take effect, or none.
var Saga = dsl.Define("saga",
	"Runs steps that belong together. If one of them fails, or the time is up, or the caller leaves, the undo of each step that has ended runs, the last one first. "+
		"A failing undo does not keep the others from running; it is logged, counted as undo_failed and told in error.undo. "+
		"What a saga has done is known only to the process that runs it.",
	compileSaga,
	dsl.Example{Name: "a reservation that is not left behind", YAML: `
saga:
  - id: hold
    call: POST stock /holds
    body: { sku: $(body.sku) }
    undo:
      - call: DELETE stock /holds/$(hold.id)
        retry: { attempts: 5, on: [connect, timeout, 503] }
  - id: charge
    call: PUT payments /charges/$(hold.id)
    body: { amount: $(body.amount) }
    undo:
      - call: DELETE payments /charges/$(hold.id)
        accept: [404]
  - call: POST orders /orders
    body: { hold: $(hold.id), charge: $(charge.id) }
catch:
  - fail: The order could not be placed
    status: 502
`})

type saga struct {
	undo   *engine.Undoing
	steps  engine.Step
	result engine.Slot
}

func compileSaga(c *engine.Compiler, at *dsl.Node, cfg *sagaConfig) engine.Step {
	s := &saga{result: c.Result()}
	var b block
	s.undo = c.Undoing(time.Duration(cfg.UndoTimeout), func() {
		b = compileBlock(c, at, "saga", &blockConfig{Steps: cfg.Saga, Yield: cfg.Yield})
	})
	if !s.undo.Used() && len(cfg.Saga.Node.Items) > 0 {
		c.Report(dsl.Diagnostic{Span: cfg.Saga.Node.KeySpan(), Code: "nothing-to-undo", Message: "no step of this saga has an undo",
			Hint: "add undo: to the steps whose effect must not be left behind, or write try"})
	}
	s.steps = engine.StepFunc(func(ctx context.Context, x *engine.Exchange) error { return b.into(ctx, x, s.result) })
	return s
}

// Describe is what engine.Describer asks for.
func (s *saga) Describe(p *engine.PlanStep) { p.Sure = true }

// Run is what engine.Step asks for.
func (s *saga) Run(ctx context.Context, x *engine.Exchange) error { return s.undo.Run(ctx, x, s.steps) }
