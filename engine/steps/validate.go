package steps

import (
	"context"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/schema"
)

type validateConfig struct {
	Validate dsl.Shape `yaml:"validate" doc:"The value." required:"true"`
	Schema   *dsl.Node `yaml:"schema" doc:"A schema of JSON Schema 2020-12, or { $ref: FILE } relative to this file. Formats are checked." required:"true"`
}

// Validate checks a value against a schema.
var Validate = dsl.Define("validate",
	"Checks a value against a JSON Schema and fails with everything that does not fit, each with a JSON pointer: error.violations. "+
		"What the caller sent is answered with status 400 and the list, what a backend answered with 502. "+
		"The result is the value, and expressions that read it are checked against the schema.",
	compileValidate,
	dsl.Example{Name: "an order that came in", YAML: `
id: order
validate: $(body)
schema:
  type: object
  required: [sku, qty]
  properties:
    sku: { type: string, pattern: "^[A-Z]{2}-[0-9]+$" }
    qty: { type: integer, minimum: 1 }
`})

type validate struct {
	value   *dsl.ShapeTemplate
	schema  *schema.Schema
	foreign bool // a backend has a part in the value
	against string
	result  engine.Slot
}

func compileValidate(c *engine.Compiler, _ *dsl.Node, cfg *validateConfig) engine.Step {
	s := &validate{result: c.Result(), against: "the schema beside it"}
	if ref := cfg.Schema.Field("$ref"); ref != nil && len(cfg.Schema.Fields) == 1 {
		s.against = ref.Text
	}
	s.foreign = c.Derived(func() { s.value = c.Shape(cfg.Validate) })
	var static *dsl.StaticType
	s.schema, static = c.Schema(cfg.Schema)
	s.result.Hold(c.Holding(static))
	return s
}

// Describe is what engine.Describer asks for.
func (s *validate) Describe(p *engine.PlanStep) { p.Detail = "against " + s.against }

// Run is what engine.Step asks for.
func (s *validate) Run(ctx context.Context, x *engine.Exchange) error {
	v, err := engine.ValueOf(ctx, x, s.value)
	if err != nil {
		return err
	}
	value, err := v.DecodeBounded()
	if err != nil {
		return &dsl.Fault{Span: s.value.Span(), Message: err.Error(), Err: err}
	}
	if found := s.schema.Check(value); len(found) > 0 {
		e := &engine.Error{Kind: engine.KindInput, Message: "the value does not fit its schema: " + engine.Said(found), Violations: found,
			Detail: "The request holds something that does not fit what this route takes."}
		if s.foreign {
			e.Kind, e.Detail = engine.KindMalformed, ""
		}
		return e
	}
	x.Set(s.result, engine.Result{Value: v})
	return nil
}
