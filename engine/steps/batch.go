package steps

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type batchConfig struct {
	Batch dsl.Shape  `yaml:"batch" doc:"What this round asks for: its key." required:"true"`
	As    dsl.String `yaml:"as" doc:"The name of the list of the keys, each of them once and in the order of the rounds, in the steps and yield." default:"keys"`
	Size  int        `yaml:"size" doc:"How many keys are asked for at once at most." default:"100" min:"1" max:"10000"`
	Steps dsl.Steps  `yaml:"steps" doc:"What asks for the keys." required:"true"`
	Yield dsl.Shape  `yaml:"yield" doc:"What was found: a list with a value for each of the keys, in their order, or an object with a field for each key. A field that is not there gives null." required:"true"`
}

// Batch asks for many things at once.
var Batch = dsl.Define("batch",
	"Collects the keys of those rounds of the each around it that run at the same time, runs steps once for all of them, and gives each round what was found for its key. "+
		"It sets off when all these rounds have come to it, or as soon as there are enough keys: it waits for nothing else. "+
		"The limit of the each is how many rounds run at the same time, and so how many keys there can be.",
	compileBatch,
	dsl.Example{Name: "one question for a hundred orders", YAML: `
each: order in body.orders
id: lines
limit: 100
steps:
  - id: stock
    batch: $(order.sku)
    as: skus
    steps:
      - id: found
        call: POST stock /lookup
        body: { skus: $(skus) }
    yield: $(fromPairs(map(found.items, [.sku, .qty])))
yield: { id: $(order.id), stock: $(stock) }
`})

type batch struct {
	each   *engine.Loop
	key    *dsl.ShapeTemplate
	loop   *engine.Loop // of one round: the keys
	block  block
	size   int
	result engine.Slot
}

func compileBatch(c *engine.Compiler, at *dsl.Node, cfg *batchConfig) engine.Step {
	s := &batch{size: cfg.Size, result: c.Result()}
	if s.each = c.Round(cfg.Batch.Node.KeySpan(), "batch"); s.each != nil {
		s.each.Gather()
		tooSmall(c, at)
	}
	s.key = c.Shape(cfg.Batch)
	s.loop = c.Rounds(named(at, "as", cfg.As, "keys"), "batch", func() {
		c.Lasting(func() {
			s.block.steps = c.StepsThen(cfg.Steps, func() { s.block.yield = c.Shape(cfg.Yield) })
		})
	})
	return s
}

// tooSmall reports a size that is never reached, because so many rounds do not
// run at the same time.
func tooSmall(c *engine.Compiler, at *dsl.Node) {
	_, each := c.Around("each")
	size, limit := at.Field("size"), each.Field("limit")
	if size == nil {
		return
	}
	most, where := 8, each.Span // the default of limit
	if limit != nil {
		most, _ = strconv.Atoi(limit.Text)
		where = limit.Span
	} else if key := each.Field("each"); key != nil {
		where = key.KeySpan()
	}
	if n, err := strconv.Atoi(size.Text); err == nil && n > most {
		c.Report(dsl.Diagnostic{Span: size.Span, Severity: dsl.Warning, Code: "batch-size", Message: fmt.Sprintf("%d keys never come together: at most %d rounds run at the same time", n, most),
			Hint: fmt.Sprintf("write limit: %d beside the each", n), Related: []dsl.Related{{Span: where, Message: "the rounds"}}})
	}
}

// Describe is what engine.Describer asks for.
func (s *batch) Describe(p *engine.PlanStep) {
	p.Asks = true
	p.Detail = fmt.Sprintf("the steps run once for the keys of all rounds at hand, of which there are %d at most", s.size)
}

// Run is what engine.Step asks for.
func (s *batch) Run(ctx context.Context, x *engine.Exchange) error {
	key, err := engine.ValueOf(ctx, x, s.key)
	if err != nil {
		return err
	}
	item := key.JSON()
	found, err := s.each.Seat(x).Join(ctx, s, item, s.size, func(ctx context.Context, items []string) (any, error) {
		return s.ask(ctx, x, items)
	})
	if err != nil {
		return err
	}
	x.Set(s.result, engine.Result{Value: engine.Go(found.(answers).of(item))})
	return nil
}

// answers are what was found.
type answers struct {
	keys   []string       // as JSON
	list   []any          // in the order of keys, or
	object map[string]any // by the text of the key
}

// ask runs the steps for all keys.
func (s *batch) ask(ctx context.Context, x *engine.Exchange, keys []string) (found any, err error) {
	a := answers{keys: keys}
	err = s.loop.Round(x, engine.JSON("["+strings.Join(keys, ",")+"]"), 0, func(x *engine.Exchange) error {
		v, err := s.block.value(ctx, x)
		if err != nil {
			return err
		}
		found, err := v.DecodeBounded()
		if err != nil {
			return &dsl.Fault{Span: s.block.yield.Span(), Message: err.Error(), Err: err}
		}
		switch v := found.(type) {
		case []any:
			if a.list = v; len(v) != len(keys) {
				return &dsl.Fault{Span: s.block.yield.Span(), Message: fmt.Sprintf("a batch of %d keys must yield as many values, not %d", len(keys), len(v))}
			}
		case map[string]any:
			a.object = v
		default:
			return &dsl.Fault{Span: s.block.yield.Span(), Message: "a batch yields a list with a value for each key, or an object with a field for each"}
		}
		return nil
	})
	return a, err
}

func (a answers) of(key string) any {
	if a.object == nil {
		return a.list[slices.Index(a.keys, key)]
	}
	text, err := dsl.AppendText(nil, dsl.DecodeJSON(key))
	if err != nil {
		return nil // it was decoded from JSON
	}
	return a.object[string(text)]
}
