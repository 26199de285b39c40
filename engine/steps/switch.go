package steps

import (
	"context"
	"slices"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type switchConfig struct {
	Switch []caseConfig `yaml:"switch" doc:"The cases, in order. The first whose condition is true is taken." required:"true"`
}

type caseConfig struct {
	Span  dsl.Span  `yaml:",span"`
	When  dsl.Cond  `yaml:"when" doc:"The condition; a last case without one is taken if no other is."`
	Steps dsl.Steps `yaml:"steps" doc:"What the case does."`
	Yield dsl.Shape `yaml:"yield" doc:"The result of the switch if this case is taken."`
}

// Switch takes the first case that fits.
var Switch = dsl.Define("switch", "Takes the first case whose condition is true. Without one, nothing is done and the result is null.", compileSwitch,
	dsl.Example{Name: "a value by condition", YAML: `
id: shipping
switch:
  - when: body.total > 100
    yield: 0
  - when: body.express ?? false
    steps:
      - id: quote
        call: GET carrier /quote
    yield: $(quote.price)
  - yield: 4.90
`})

type switchStep struct {
	cases  []switchCase
	none   func() // for a Probe: no case was taken
	result engine.Slot
}

type switchCase struct {
	when  *dsl.Expr
	steps engine.Sequence
	yield *dsl.ShapeTemplate
	taken func() // for a Probe
}

func compileSwitch(c *engine.Compiler, at *dsl.Node, cfg *switchConfig) engine.Step {
	s := &switchStep{result: c.Result()}
	yields, certain, guessed := false, false, false
	var static *dsl.StaticType
	if len(cfg.Switch) == 0 {
		c.Report(dsl.Diagnostic{Span: at.Field("switch").KeySpan(), Code: "empty-steps", Message: "this switch has no cases", Hint: "write a list of when: condition with steps: or yield:"})
	}
	conds := make([]dsl.Cond, len(cfg.Switch))
	for i, cc := range cfg.Switch {
		conds[i] = cc.When
	}
	c.Alternatives(conds...)
	for i, cc := range cfg.Switch {
		told := strange(at, i)
		guessed = guessed || told
		if cc.When.Node == nil && !told && i < len(cfg.Switch)-1 {
			c.Report(dsl.Diagnostic{Span: cc.Span, Code: "unreachable", Message: "only the last case can do without a condition: the cases after this one are never taken", Hint: "add when:, or move it to the end"})
		}
		if cc.Steps.Node == nil && cc.Yield.Node == nil && !told {
			c.Report(dsl.Diagnostic{Span: cc.Span, Code: "empty-steps", Message: "this case does nothing", Hint: "add steps, or yield"})
		}
		k := switchCase{taken: c.Way(cc.Span, "this case of the switch")}
		if cc.When.Node != nil {
			k.when = c.Cond(cc.When)
		}
		k.steps = c.StepsThen(cc.Steps, func() {
			if cc.Yield.Node != nil {
				k.yield = c.Shape(cc.Yield)
				if given := c.ShapeType(cc.Yield); yields {
					static = dsl.Join(static, given)
				} else {
					static = given
				}
				yields = true
			} else {
				static = static.OrNull()
			}
		})
		certain = k.when == nil
		s.cases = append(s.cases, k)
	}
	if !certain {
		static = static.OrNull()
	}
	s.result.Hold(static)
	if n := len(cfg.Switch); n > 0 && cfg.Switch[n-1].When.Node != nil {
		s.none = c.Way(at.Field("switch").KeySpan(), "no case of the switch")
	}
	if id := at.Field("id"); id != nil && !yields && !guessed && len(cfg.Switch) > 0 {
		c.Report(dsl.Diagnostic{Span: id.Span, Code: "no-result", Message: "this switch has an id but no case yields anything", Hint: "add yield: to its cases"})
	}
	return s
}

// strange reports whether a case has keys that no case has: what it lacks may be
// what they mean.
func strange(at *dsl.Node, i int) bool {
	cases := at.Field("switch")
	return cases != nil && i < len(cases.Items) && slices.ContainsFunc(cases.Items[i].Fields, func(f dsl.Field) bool {
		return !slices.Contains([]string{"when", "steps", "yield"}, f.Key.Text)
	})
}

// Describe is what engine.Describer asks for.
func (s *switchStep) Describe(p *engine.PlanStep) {
	p.Order, p.Cases = engine.OneOf, len(s.cases)
	bodies := p.Bodies
	for _, k := range s.cases {
		p.Sure = k.when == nil
		if k.steps == nil || len(bodies) == 0 {
			continue
		}
		if k.when != nil {
			bodies[0].When = k.when.String()
		}
		bodies = bodies[1:]
	}
}

// Run is what engine.Step asks for.
func (s *switchStep) Run(ctx context.Context, x *engine.Exchange) error {
	for i := range s.cases {
		k := &s.cases[i]
		if k.when != nil {
			fits, err := k.when.Bool(ctx, x)
			if err != nil {
				return err
			}
			if !fits {
				continue
			}
		}
		if k.taken != nil {
			k.taken()
		}
		if err := k.steps.Run(ctx, x); err != nil || k.yield == nil {
			return err
		}
		v, err := engine.ValueOf(ctx, x, k.yield)
		if err != nil {
			return err
		}
		x.Set(s.result, engine.Result{Value: v})
		return nil
	}
	if s.none != nil {
		s.none()
	}
	return nil
}
