package steps

import (
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type composeConfig struct {
	Compose dsl.Block `yaml:"compose" doc:"The members: a map of id to step. Each starts when what it refers to is ready." required:"true"`
}

// Compose runs a map of steps as their data allows.
var Compose = dsl.Define("compose",
	"Runs a map of steps at the same time, each as soon as the results that it refers to are there. "+
		"If a member fails, the others are cancelled and the step fails.",
	compileCompose,
	dsl.Example{Name: "two calls at once, and a third that needs the first", YAML: `
compose:
  user:
    call: GET users /users/$(params.id)
  orders:
    call: GET orders /orders
    query: { user: $(params.id) }
  offers:
    call: GET offers /segments/$(user.segment)/offers
    fallback: []
`})

func compileCompose(c *engine.Compiler, at *dsl.Node, cfg *composeConfig) engine.Step {
	if id := at.Field("id"); id != nil {
		c.Report(dsl.Diagnostic{Span: id.Span, Code: "id-of-compose", Message: "a compose has no result of its own: its members are read by their own names", Hint: "remove this id"})
	}
	if len(cfg.Compose.Node.Fields) == 0 {
		c.Report(dsl.Diagnostic{Span: cfg.Compose.Node.Span, Code: "empty-steps", Message: "this compose has no members", Hint: "write id: step for each"})
	}
	return c.Dataflow(cfg.Compose)
}
