package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	inputs []input
	result engine.Slot
}

type input struct {
	name  string
	kind  string // what the value must be
	shape *dsl.ShapeTemplate
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
	s := &run{flow: flow, result: c.Result()}
	s.result.Hold(c.Output(flow))
	defs := flow.Inputs()
	names := make([]string, 0, len(defs))
	for name := range defs {
		names = append(names, name)
	}
	slices.Sort(names)
	var meant []string // by names that are misspelt
	if with := at.Field("with"); with != nil {
		for _, f := range with.Fields {
			if _, known := defs[f.Key.Text]; known {
				continue
			}
			d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-input", Message: fmt.Sprintf("flow %q takes no %q", flow.Name.Value, f.Key.Text)}
			if near, ok := d.Suggest(f.Key.Text, names); ok {
				meant = append(meant, near)
			} else if len(names) > 0 {
				d.Hint = "it takes " + strings.Join(names, ", ")
			} else {
				d.Hint = fmt.Sprintf("add input: { %s: {} } to that flow", f.Key.Text)
			}
			c.Report(d)
		}
	}
	for _, name := range names {
		def := defs[name]
		value, given := cfg.With[name]
		if !given {
			if slices.Contains(meant, name) || at.Field("with").Field(name) != nil {
				continue // its fault is reported
			}
			if value = def.Default; value.Node == nil {
				c.Report(dsl.Diagnostic{Span: cfg.Run.Span, Code: "missing-input", Message: fmt.Sprintf("flow %q needs %q", flow.Name.Value, name), Hint: fmt.Sprintf("add with: { %s: ... }", name)})
				continue
			}
		}
		s.inputs = append(s.inputs, input{name: name, kind: def.Type, shape: c.Shape(value)})
		c.Fits(value, def.StaticType(), name)
		if c.Held(value.Node) && !def.Secret {
			c.Report(dsl.Diagnostic{Span: value.Node.Span, Code: "undeclared-secret", Message: fmt.Sprintf("flow %q does not know that %q is a secret, and might show it", flow.Name.Value, name),
				Hint: "write secret: true beside the type of the input", Related: []dsl.Related{{Span: def.Span, Message: "the input"}}})
		}
	}
	return s
}

// Describe is what engine.Describer asks for.
func (s *run) Describe(p *engine.PlanStep) { p.Runs = s.flow }

// Run is what engine.Step asks for.
func (s *run) Run(ctx context.Context, x *engine.Exchange) error {
	with := []byte{'{'}
	for i := range s.inputs {
		in := &s.inputs[i]
		if i > 0 {
			with = append(with, ',')
		}
		with = append(dsl.AppendJSONString(with, in.name), ':')
		from := len(with)
		var err error
		if with, err = in.shape.AppendJSON(ctx, x, with); err != nil {
			return err
		}
		if !isKind(with[from:], in.kind) {
			return &engine.Error{Kind: engine.KindExpression, Span: in.shape.Span(),
				Message: fmt.Sprintf("flow %q takes %s for %q", s.flow.Name.Value, in.kind, in.name)}
		}
	}
	sub := &engine.Input{ID: x.In.ID, Log: x.In.Log, With: engine.JSON(string(append(with, '}')))}
	answer, failed := s.flow.Program().Run(ctx, sub)
	if failed != nil {
		return failed
	}
	x.Set(s.result, engine.Result{Value: answer.Body.Clone(), Status: answer.Status, Header: answer.Header})
	answer.Release()
	return nil
}

// isKind reports whether JSON text is of the kind that an input declares.
func isKind(text []byte, kind string) bool {
	first := strings.TrimLeft(string(text[:min(len(text), 64)]), " \t\r\n")
	if first == "" {
		return kind == "any"
	}
	number := first[0] == '-' || '0' <= first[0] && first[0] <= '9'
	switch kind {
	case "string":
		return first[0] == '"'
	case "number":
		return number
	case "integer":
		return number && !strings.ContainsAny(first, ".eE")
	case "boolean":
		return first[0] == 't' || first[0] == 'f'
	case "object":
		return first[0] == '{'
	case "list":
		return first[0] == '['
	}
	return true
}
