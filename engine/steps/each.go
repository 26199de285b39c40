package steps

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type eachConfig struct {
	Each  dsl.Text  `yaml:"each" order:"first" doc:"NAME in LIST: the name that stands for the element, and an expression that gives the list. NAME, INDEX in LIST counts the elements from 0." required:"true"`
	Limit int       `yaml:"limit" doc:"How many elements are worked on at a time." default:"8" min:"1" max:"1024"`
	Steps dsl.Steps `yaml:"steps" doc:"What to do for each element."`
	Yield dsl.Shape `yaml:"yield" doc:"What each element becomes in the step's result, a list in the order of the elements."`
}

// Each repeats steps for the elements of a list.
var Each = dsl.Define("each",
	"Runs steps for every element of a list, some at a time. The result is the list of what the rounds yield, in the order of the elements; filter leaves a round out. "+
		"If a round fails, the others are cancelled and the step fails.",
	compileEach,
	dsl.Example{Name: "enrich each element with at most four calls at a time", YAML: `
each: order in body.orders
id: enriched
limit: 4
steps:
  - id: stock
    call: GET stock /items/$(order.sku)
yield: { id: $(order.id), qty: $(stock.qty) }
`})

type each struct {
	list   *dsl.Expr
	loop   *engine.Loop
	steps  engine.Sequence
	yield  *dsl.ShapeTemplate
	limit  int
	result engine.Slot
}

func compileEach(c *engine.Compiler, at *dsl.Node, cfg *eachConfig) engine.Step {
	item, index, from, ok := dsl.SplitEach(cfg.Each.Node)
	if !ok {
		c.Report(dsl.Diagnostic{Span: cfg.Each.Node.Span, Code: "bad-each", Message: "each needs a name and a list", Hint: "write each: order in orders"})
		return nil
	}
	if cfg.Yield.Node == nil {
		if id := at.Field("id"); id != nil && cfg.Steps.Node != nil {
			c.Report(dsl.Diagnostic{Span: id.Span, Code: "no-result", Message: "this each has an id but yields nothing", Hint: "add yield: what each element becomes"})
		}
		if at.Field("steps") == nil {
			c.Report(dsl.Diagnostic{Span: cfg.Each.Node.KeySpan(), Code: "empty-steps", Message: "this each does nothing", Hint: "add steps, or yield"})
		}
	}
	s := &each{limit: cfg.Limit, result: c.Result()}
	s.list = c.ExprPart(cfg.Each.Node, from)
	s.loop = c.LoopOver(c.Elements(s.list), item, index, "each", func() {
		s.steps = c.StepsThen(cfg.Steps, func() {
			if cfg.Yield.Node != nil {
				s.yield = c.Shape(cfg.Yield)
				s.result.Hold(dsl.ListOf(c.ShapeType(cfg.Yield)))
			}
		})
	})
	return s
}

// Describe is what engine.Describer asks for.
func (s *each) Describe(p *engine.PlanStep) { p.Order, p.Limit = engine.Rounds, s.limit }

// Run is what engine.Step asks for.
func (s *each) Run(ctx context.Context, x *engine.Exchange) error {
	items, err := engine.Items(ctx, x, s.list)
	if err != nil {
		return err
	}
	texts := make([]string, len(items)) // empty for a round that was left
	var size atomic.Int64               // of all texts, in bytes
	parallel, gathering := engine.Parallel, (*engine.Gathering)(nil)
	if s.loop.Gathers() {
		gathering = &engine.Gathering{}
		parallel = gathering.Parallel
	}
	err = parallel(ctx, len(items), s.limit, func(ctx context.Context, i int) error {
		if e := engine.Interrupted(ctx); e != nil {
			return e
		}
		return s.loop.Round(x, items[i], i, func(x *engine.Exchange) error {
			if s.loop.Gathers() {
				s.loop.Share(x, engine.Seat{Gathering: gathering, Round: i})
			}
			err := s.steps.Run(ctx, x)
			if err == engine.ErrLeave {
				return nil
			}
			if err != nil || s.yield == nil {
				return err
			}
			b, err := s.yield.AppendJSON(ctx, x, nil)
			if err == nil && size.Add(int64(len(b))) > dsl.MaxSize {
				err = &dsl.Fault{Span: s.yield.Span(), Message: dsl.ErrSize.Error(), Err: dsl.ErrSize}
			}
			texts[i] = string(b)
			return err
		})
	})
	if err != nil || s.yield == nil {
		return err
	}
	texts = slices.DeleteFunc(texts, func(text string) bool { return text == "" })
	x.Set(s.result, engine.Result{Value: engine.JSON("[" + strings.Join(texts, ",") + "]")})
	return nil
}
