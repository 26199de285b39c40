package steps

import (
	"context"
	"log/slog"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
)

type tapConfig struct {
	Tap    dsl.Steps    `yaml:"tap" doc:"The steps." required:"true"`
	AtOnce int          `yaml:"at_once" doc:"How many requests they run for at a time." default:"4" min:"1" max:"1000"`
	Queue  int          `yaml:"queue" doc:"How many requests wait for that. What comes when so many wait is dropped, and counted." default:"100" min:"0" max:"100000"`
	Within dsl.Duration `yaml:"within" doc:"How long they may take for one request. That is also the time for all that is left when the program goes." default:"30s" min:"1ms"`
}

// Tap does something beside the request.
var Tap = dsl.Define("tap",
	"Runs steps that the request does not wait for, with what is known here. It goes on when the request is answered, or its caller has left. "+
		"A failure of them is logged and counted; so is each request for which there was no room. What is not done when the process ends is lost.",
	compileTap,
	dsl.Example{Name: "tell another system of an order", YAML: `
tap:
  - call: POST offers /orders
    headers: { Idempotency-Key: $(body.id) }
    body: { id: $(body.id), items: $(body.items) }
    retry: { attempts: 5, backoff: 100ms, max_backoff: 5s }
queue: 1000
`})

type tap struct {
	steps *engine.Detached
	spool *engine.Kept[*spool]
	tally *engine.Kept[*engine.Tally]
	flow  string

	within time.Duration
}

// What a tap counts.
const (
	tapDone    = "tap_done"
	tapFailed  = "tap_failed"
	tapDropped = "tap_dropped"
)

func compileTap(c *engine.Compiler, at *dsl.Node, cfg *tapConfig) engine.Step {
	s := &tap{flow: c.Flow().Name.Value, within: time.Duration(cfg.Within)}
	if id := at.Field("id"); id != nil {
		c.Report(dsl.Diagnostic{Span: id.Span, Code: "no-result", Message: "a tap has no result: nobody waits for it", Hint: "remove this id"})
	}
	// A spool is of one program: its work calls the services of that one. It is
	// declared before what the steps keep, and so closed before that is.
	s.spool = engine.Keep(c, "", func() *spool { return newSpool(cfg.AtOnce, cfg.Queue, time.Duration(cfg.Within)) })
	s.tally = c.Tally(tapDone, tapFailed, tapDropped)
	c.Inside("tap", func() {
		s.steps = c.Detach(func() engine.Sequence { return compileBlock(c, nil, "tap", &blockConfig{Steps: cfg.Tap}).steps })
	})
	return s
}

// Describe is what engine.Describer asks for.
func (s *tap) Describe(p *engine.PlanStep) {
	for _, b := range p.Bodies {
		if b.Part == engine.PartSteps {
			b.Part, b.Within = engine.PartTap, s.within
		}
	}
}

// Run is what engine.Step asks for.
func (s *tap) Run(ctx context.Context, x *engine.Exchange) error {
	copied := s.steps.Snapshot(x)
	tally := s.tally.It()
	taken := s.spool.It().add(func(apart context.Context) {
		ctx := trace.Continue(apart, ctx)
		e := s.steps.Run(ctx, copied)
		if e == nil {
			tally.Add(tapDone)
			return
		}
		tally.Add(tapFailed)
		s.log(ctx, copied, "a tap failed", slog.String("step", e.Step), slog.String("error", e.Error()))
	})
	if !taken {
		tally.Add(tapDropped)
		s.log(ctx, x, "a tap was dropped: too many wait", slog.String("step", "tap"))
	}
	return nil
}

func (s *tap) log(ctx context.Context, x *engine.Exchange, message string, more ...slog.Attr) {
	x.In.Log.LogAttrs(ctx, slog.LevelWarn, message, append(more, slog.String("flow", s.flow), slog.String("request_id", x.In.ID))...)
}
