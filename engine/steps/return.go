package steps

import (
	"context"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type returnConfig struct {
	Return  dsl.Shape            `yaml:"return" doc:"The body: a shape becomes JSON, text stays text, nothing sends no body." required:"true"`
	Status  dsl.Shape            `yaml:"status" doc:"The status, 200 if there is a body and 204 if not."`
	Headers map[string]dsl.Shape `yaml:"headers" doc:"Headers of the answer."`
}

// Return ends the flow with an answer.
var Return = dsl.Define("return", "Ends the flow with an answer. In a flow that another runs, the body is the result.", compileReturn,
	dsl.Example{Name: "an object", YAML: `
return:
  name: $(body.first) $(body.last)
  tags: $(body.tags ?? [])
status: 201
headers: { cache-control: no-store }
`})

type returnStep struct {
	answer *engine.AnswerTemplate
}

func compileReturn(c *engine.Compiler, _ *dsl.Node, cfg *returnConfig) engine.Step {
	if !c.CanReturn(cfg.Return.Node.KeySpan(), "return") {
		return nil
	}
	s := &returnStep{c.Answer(cfg.Return, cfg.Status, cfg.Headers)}
	if n := cfg.Status.Node; n == nil || n.Type == dsl.Int && strings.HasPrefix(n.Text, "2") {
		c.Fits(cfg.Return, c.Output(c.Flow()), "the answer")
	}
	return s
}

// Describe is what engine.Describer asks for.
func (s *returnStep) Describe(p *engine.PlanStep) { p.Ends = true }

// Run is what engine.Step asks for.
func (s *returnStep) Run(ctx context.Context, x *engine.Exchange) error {
	a, err := s.answer.Answer(ctx, x)
	if err != nil {
		return err
	}
	x.Return(a)
	return engine.ErrReturn
}
