package steps

import (
	"context"
	"fmt"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type whileConfig struct {
	While dsl.Cond   `yaml:"while" doc:"Looked at before each round: as long as it is true, there is another. It reads the state." required:"true"`
	From  dsl.Shape  `yaml:"from" doc:"The state that the first round sees. Default: null."`
	As    dsl.String `yaml:"as" doc:"The name of the state, in the condition, the steps and yield." default:"state"`
	Limit int        `yaml:"limit" doc:"How many rounds there may be. If the condition is still true then, the step fails." default:"100" min:"1" max:"100000"`
	Steps dsl.Steps  `yaml:"steps" doc:"What to do in each round."`
	Yield dsl.Shape  `yaml:"yield" doc:"The state that the next round sees. It can read the state and the results of the steps." required:"true"`
}

// While repeats steps.
var While = dsl.Define("while",
	"Repeats steps, one round after the other. What one round yields is the state of the next, and the last state is the result. "+
		"It ends when its condition is false, at the latest with the time of the flow.",
	compileWhile,
	dsl.Example{Name: "all pages of a list", YAML: `
id: all
while: state.next != null
from: { next: first, items: [] }
steps:
  - id: page
    call: GET orders /orders
    query: { cursor: $(state.next) }
yield:
  next: $(page.next)
  items: $(concat(state.items, page.items))
`},
	dsl.Example{Name: "ask until a job is done", YAML: `
id: job
while: job_now.status == "running"
from: $(body.job)
as: job_now
limit: 20
steps:
  - wait: 500ms
  - id: poll
    call: GET orders /jobs/$(job_now.id)
yield: $(poll)
`})

type while struct {
	loop   *engine.Loop
	cond   *dsl.Expr
	from   *dsl.ShapeTemplate // nil: null
	round  block
	limit  int
	result engine.Slot
}

func compileWhile(c *engine.Compiler, at *dsl.Node, cfg *whileConfig) engine.Step {
	s := &while{limit: cfg.Limit, result: c.Result()}
	if cfg.From.Node != nil {
		s.from = c.Shape(cfg.From)
	}
	s.loop = c.Rounds(named(at, "as", cfg.As, "state"), "while", func() {
		read := c.Reads(func() { s.cond = c.Cond(cfg.While) })
		if s.cond != nil && !strings.Contains(s.cond.String(), "now()") && !read(cfg.As.Value) {
			c.Report(dsl.Diagnostic{Span: cfg.While.Node.Span, Code: "endless", Message: fmt.Sprintf("this condition does not read %s, and nothing else is new in the next round", cfg.As.Value),
				Hint: fmt.Sprintf("have it look at %s, which is what yield gave in the round before", cfg.As.Value)})
		}
		s.round.steps = c.StepsThen(cfg.Steps, func() { s.round.yield = c.Shape(cfg.Yield) })
		if c.Held(cfg.From.Node) == nil {
			c.Shown(cfg.Yield.Node, "the state of the while, which has none at first")
		}
	})
	return s
}

// Describe is what engine.Describer asks for.
func (s *while) Describe(p *engine.PlanStep) { p.Order, p.Limit, p.Rounds = engine.Rounds, 1, s.limit }

// Run is what engine.Step asks for.
func (s *while) Run(ctx context.Context, x *engine.Exchange) error {
	var state engine.Value
	var err error
	if s.from != nil {
		if state, err = engine.ValueOf(ctx, x, s.from); err != nil {
			return err
		}
	}
	for i := 0; ; i++ {
		more := false
		err := s.loop.Round(x, state, i, func(x *engine.Exchange) error {
			if e := engine.Interrupted(ctx); e != nil {
				return e
			}
			var err error
			if more, err = s.cond.Bool(ctx, x); err != nil || !more {
				return err
			}
			if i == s.limit {
				return &engine.Error{Kind: engine.KindOverloaded, Message: fmt.Sprintf("the condition is still true after %d rounds", s.limit)}
			}
			state, err = s.round.value(ctx, x)
			return err
		})
		if err != nil {
			return err
		}
		if !more {
			x.Set(s.result, engine.Result{Value: state})
			return nil
		}
	}
}
