package steps

import (
	"context"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type cacheConfig struct {
	Cache dsl.Text     `yaml:"cache" doc:"The key: text with an expression for everything that the result depends on." required:"true"`
	TTL   dsl.Duration `yaml:"ttl" doc:"How long a result is good." required:"true" min:"1ms"`
	blockConfig
	bounds
}

// Cache remembers the result of steps.
var Cache = dsl.Define("cache",
	"Runs steps, or gives what they yielded for the same key not long ago. Who asks while another request runs the steps for the same key waits for that one's result. "+
		"Failures are not kept. The entries outlive reloads that leave the step as it is; when there is no room, the one that was not asked for the longest goes.",
	compileCache,
	dsl.Example{Name: "a price that holds for half a minute", YAML: `
id: price
cache: price/$(body.sku)/$(body.currency ?? "EUR")
ttl: 30s
steps:
  - id: quote
    call: GET offers /prices/$(body.sku)
    query: { currency: $(body.currency) }
yield: $(quote.price)
`})

type cache struct{ remembered }

func compileCache(c *engine.Compiler, at *dsl.Node, cfg *cacheConfig) engine.Step {
	s := &cache{remembered{at: cfg.Cache.Node.Span, ttl: time.Duration(cfg.TTL), result: c.Result()}}
	s.again = c.Way(cfg.Cache.Node.KeySpan(), "the same key again")
	s.key = c.Text(cfg.Cache.Node, dsl.PlainText)
	c.Inside("cache", func() { c.Lasting(func() { s.block = compileBlock(c, nil, "cache", &cfg.blockConfig) }) })
	if cfg.Yield.Node == nil {
		c.Report(dsl.Diagnostic{Span: at.Field("cache").KeySpan(), Code: "no-result", Message: "this cache yields nothing, so there is nothing to keep", Hint: "add yield: what the result is, and an id to read it by"})
	}
	s.keep(c, cfg.bounds, true)
	return s
}

// Describe is what engine.Describer asks for.
func (s *cache) Describe(p *engine.PlanStep) {
	p.Asks = true
	p.Detail = "the steps run if there is no result for the key; who asks meanwhile waits for it"
}

// Run is what engine.Step asks for.
func (s *cache) Run(ctx context.Context, x *engine.Exchange) error {
	key, err := keyText(ctx, x, s.key, s.at)
	if err != nil {
		return err
	}
	o, err := s.memory.It().recall(ctx, key, "", s.ttl, func(ctx context.Context) (outcome, error) { return s.make(ctx, x) })
	if err != nil {
		return err
	}
	if o.known {
		x.In.MadeOf().Unsure()
	}
	if o.known && s.again != nil {
		s.again()
	}
	return s.leave(x, o)
}
