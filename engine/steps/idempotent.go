package steps

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type idempotentConfig struct {
	Idempotent dsl.Text     `yaml:"idempotent" doc:"The key: text that two requests have in common if they mean the same, as a rule a header that the caller chose. A request without one is refused with status 400." required:"true"`
	Match      dsl.Shape    `yaml:"match" doc:"What else must be the same. A request with a known key and another value is refused with status 422."`
	TTL        dsl.Duration `yaml:"ttl" doc:"How long the outcome is kept." default:"24h" min:"1s"`
	blockConfig
	bounds
}

// Idempotent does things once.
var Idempotent = dsl.Define("idempotent",
	"Runs steps once for each key. Who comes with the same key again gets the same outcome, what the steps yielded or the answer that they returned; "+
		"who comes while they run waits for it. Failures are not kept: the next request tries again. "+
		"The outcomes are in the memory of this process: other processes, and this one after a restart, do not know of them. They outlive reloads that leave the step as it is.",
	compileIdempotent,
	dsl.Example{Name: "an order that is placed once, however often it is sent", YAML: `
idempotent: $(headers["idempotency-key"])
match: $(body)
steps:
  - id: order
    call: POST orders /orders
    body: $(body)
  - return: $(order)
    status: 201
`})

type idempotent struct {
	remembered
	match *dsl.ShapeTemplate // nil: nothing
}

func compileIdempotent(c *engine.Compiler, at *dsl.Node, cfg *idempotentConfig) engine.Step {
	s := &idempotent{remembered: remembered{at: cfg.Idempotent.Node.Span, ttl: time.Duration(cfg.TTL), result: c.Result()}}
	s.again = c.Way(cfg.Idempotent.Node.KeySpan(), "the same key again")
	s.key = distinctKey(c, cfg.Idempotent.Node, "the steps would run once for all of them", `write an expression, such as $(headers["idempotency-key"])`)
	if cfg.Match.Node != nil {
		s.match = c.Shape(cfg.Match)
	}
	c.Answering("idempotent", func() { c.Lasting(func() { s.block = compileBlock(c, at, "idempotent", &cfg.blockConfig) }) })
	s.keep(c, cfg.bounds, false)
	return s
}

// Describe is what engine.Describer asks for.
func (s *idempotent) Describe(p *engine.PlanStep) {
	p.Remembers = true
	p.Detail = "the steps run once for each key; a duplicate waits for the outcome"
	if s.match != nil {
		p.Detail += ", and is refused if it is not the same in match"
	}
}

// Run is what engine.Step asks for.
func (s *idempotent) Run(ctx context.Context, x *engine.Exchange) error {
	key, err := s.key.String(ctx, x)
	if err != nil {
		return err
	}
	if key == "" {
		return &engine.Error{Kind: engine.KindInput, Message: "the key of an idempotent step is empty", Detail: "The request has no idempotency key."}
	}
	match := ""
	if s.match != nil {
		text, err := s.match.AppendJSON(ctx, x, nil)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		match = string(sum[:])
	}
	o, err := s.memory.It().recall(ctx, key, match, s.ttl, func(ctx context.Context) (outcome, error) { return s.make(ctx, x) })
	switch {
	case err != nil:
		return err
	case o.match != match:
		return &engine.Error{Kind: engine.KindFail, Status: http.StatusUnprocessableEntity, Code: "idempotency-key-reused",
			Message: "The idempotency key was used for another request", Err: errReused}
	case !o.known && o.answer != nil:
		return engine.ErrReturn // it is the flow's answer already
	case o.known && s.again != nil:
		s.again()
	}
	if o.known {
		x.In.MadeOf().Unsure()
	}
	return s.leave(x, o)
}

var errReused = errors.New("the key was used with another value of match")
