package steps

import (
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type limitConfig struct {
	Limit int      `yaml:"limit" doc:"How many may run the steps at a time." required:"true" min:"1" max:"100000"`
	By    dsl.Text `yaml:"by" doc:"Counts for each value of this text on its own. Without it, all count together."`
	Queue int      `yaml:"queue" doc:"How many may wait for their turn (with by: for each value). Who comes when so many wait fails at once." default:"100" min:"0" max:"100000"`
	blockConfig
}

// Limit lets a number of requests at a time do something.
var Limit = dsl.Define("limit",
	"Runs steps for a limited number of requests at a time, in this process. Who waits gets a turn in the order of coming, and waits at most as long as there is time.",
	compileLimit,
	dsl.Example{Name: "two reports at a time for each customer", YAML: `
id: report
limit: 2
by: $(params.id)
queue: 10
steps:
  - id: made
    call: POST orders /reports
    body: { customer: $(params.id) }
yield: $(made)
`})

func compileLimit(c *engine.Compiler, at *dsl.Node, cfg *limitConfig) engine.Step {
	s := &gated{most: cfg.Limit, queue: cfg.Queue, result: c.Result()}
	if cfg.By.Node != nil {
		s.key, s.at = distinctKey(c, cfg.By.Node, "it sets nobody apart", "write an expression, such as $(params.id), or remove by"), cfg.By.Node.Span
	}
	s.block = compileBlock(c, at, "limit", &cfg.blockConfig)
	s.gates = engine.Keep(c, c.StepKey(), newGates)
	return s
}
