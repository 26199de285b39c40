package steps

import (
	"context"
	"fmt"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type runConfig struct {
	Run  dsl.String           `yaml:"run" doc:"The name of the flow. It has no trigger." required:"true"`
	With map[string]dsl.Shape `yaml:"with" doc:"The values for the inputs that the flow declares."`
}

// Run runs another flow as one step.
var Run = dsl.Define("run", "Runs another flow of the program. The result is what it returns; if it fails, the step fails.", compileRun,
	dsl.Example{Name: "a flow that others share", YAML: `
id: price
run: price-of
with: { sku: $(body.sku), qty: 2 }
`})

type run struct {
	flow   *engine.Flow
	inputs []*engine.Argument
	result engine.Slot
	role   *engine.Role
}

func compileRun(c *engine.Compiler, at *dsl.Node, cfg *runConfig) engine.Step {
	flow, ok := engine.Use[*engine.Flow](c, "flow", cfg.Run)
	if !ok {
		return nil
	}
	if flow.Trigger != nil {
		c.Report(dsl.Diagnostic{Span: cfg.Run.Span, Code: "flow-has-trigger", Message: fmt.Sprintf("flow %q has a trigger and cannot be run by others", flow.Name.Value),
			Hint:    "move the steps that both need into a flow without a trigger",
			Related: []dsl.Related{{Span: flow.Trigger.Span, Message: "the trigger"}}})
		return nil
	}
	c.Flow().Calls(flow, cfg.Run.Span)
	s := &run{flow: flow, result: c.Result(), role: c.Role(false, false)}
	s.result.Hold(c.Output(flow))
	s.inputs = c.Arguments(fmt.Sprintf("flow %q", flow.Name.Value), cfg.Run.Span, flow.Inputs(), at.Field("with"))
	return s
}

// Describe is what engine.Describer asks for.
func (s *run) Describe(p *engine.PlanStep) { p.Runs = s.flow }

// Run is what engine.Step asks for.
func (s *run) Run(ctx context.Context, x *engine.Exchange) error {
	with := []byte{'{'}
	for i, in := range s.inputs {
		if i > 0 {
			with = append(with, ',')
		}
		with = append(dsl.AppendJSONString(with, in.Name), ':')
		var err error
		if with, err = in.AppendJSON(ctx, x, with); err != nil {
			return err
		}
	}
	answer, failed := s.flow.Program().Run(ctx, s.role.Sub(x, engine.JSON(string(append(with, '}')))))
	if failed != nil {
		return failed
	}
	x.Set(s.result, engine.Result{Value: answer.Body.Clone(), Status: answer.Status, Header: answer.Header})
	answer.Release()
	return nil
}
