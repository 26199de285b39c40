package steps

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
)

type aggregateConfig struct {
	Aggregate dsl.Shape    `yaml:"aggregate" doc:"What this request adds to its group: an item." required:"true"`
	By        dsl.Text     `yaml:"by" doc:"The correlation key: requests of which this text is the same meet in one group. Without it, all meet in one."`
	Size      int          `yaml:"size" doc:"A group is complete with so many items." default:"1000" min:"1" max:"10000"`
	Until     dsl.Cond     `yaml:"until" doc:"A group is complete when this is true. It is looked at with each item, and reads the group with that item, and what the request knows."`
	MaxIdle   dsl.Duration `yaml:"max_idle" doc:"A group is complete so long after its last item." min:"1ms"`
	MaxAge    dsl.Duration `yaml:"max_age" doc:"A group is complete so long after its first item, with what it has." required:"true" min:"1ms"`
	As        dsl.String   `yaml:"as" doc:"The name of the group in until, the steps and yield: an object with key, count, items (in the order of coming) and, when it is complete, reason: size, until, max_idle, max_age or shutdown." default:"group"`
	AtOnce    int          `yaml:"at_once" doc:"How many groups the steps run for at a time. The others wait, and take room." default:"8" min:"1" max:"1000"`
	Within    dsl.Duration `yaml:"within" doc:"How long the steps may take for one group. That is also the time for all that is left when the program goes." default:"30s" min:"1ms"`
	groupBounds
	blockConfig
}

// Aggregate brings what several requests have into one.
var Aggregate = dsl.Define("aggregate",
	"Collects what requests with the same key bring, and runs steps once for each group that is complete. The result is an object: count is the number of items that the group has, "+
		"complete is true for the request that completed it, and result is what the steps yielded for that one. The others are not kept waiting: they go on at once. "+
		"The steps know the group, not the requests. They have time of their own: they run to their end when the request that waits for them leaves, and they run without any when the time of a group is up. "+
		"If they fail, the request that waits for them fails, and it is logged and counted; what must not be lost then belongs into a catch inside. "+
		"The groups are in the memory of this process. They outlive reloads that leave the step as it is; when the step goes or the process ends in order, the steps run for what there is, with the reason shutdown.",
	compileAggregate,
	dsl.Example{Name: "one shipment for all parcels of an order", YAML: `
id: shipment
aggregate: { sku: $(body.sku), weight: $(body.weight) }
by: $(body.order)
until: group.count == body.parcels || sum(group.items, .weight) > 30
max_age: 10m
steps:
  - id: shipped
    call: PUT orders /shipments/$(group.key)
    body: { parcels: $(group.items), whole: $(group.reason == "until") }
    retry: { attempts: 5 }
yield: $(shipped.id)
`},
	dsl.Example{Name: "events are written by the hundred, or each second", YAML: `
aggregate: $(body)
size: 100
max_age: 1s
steps:
  - id: load
    set: $(uuid())
  - call: POST orders /events/bulk
    headers: { Idempotency-Key: $(load) }
    body: $(group.items)
    retry: { attempts: 5, backoff: 100ms, max_backoff: 5s }
`})

type aggregate struct {
	item *dsl.ShapeTemplate
	by   *dsl.TextTemplate // nil: one group for all
	at   dsl.Span          // of by

	until *dsl.Expr // nil: none
	loop  *engine.Loop
	reads bool // until reads the group

	job   *engine.Job
	block block

	groups *engine.Kept[*groups]
	crew   *engine.Kept[*crew]
	tally  *engine.Kept[*engine.Tally]

	open, full func() // for a Probe

	flow   string
	when   completion
	within time.Duration
	result engine.Slot
}

func compileAggregate(c *engine.Compiler, at *dsl.Node, cfg *aggregateConfig) engine.Step {
	s := &aggregate{flow: c.Flow().Name.Value, within: time.Duration(cfg.Within), result: c.Result()}
	s.when = completion{size: cfg.Size, idle: time.Duration(cfg.MaxIdle), age: time.Duration(cfg.MaxAge)}
	s.open, s.full = c.Way(at.Field("aggregate").KeySpan(), "a group that stays open"), c.Way(at.Field("aggregate").KeySpan(), "a group that is complete with the request")
	s.item = c.Shape(cfg.Aggregate)
	if cfg.By.Node != nil {
		s.by, s.at = distinctKey(c, cfg.By.Node, "all of them would meet in one group", "write an expression, such as $(params.id), or remove by"), cfg.By.Node.Span
	}
	if s.when.idle >= s.when.age && s.when.idle > 0 {
		c.Report(dsl.Diagnostic{Span: at.Field("max_idle").KeySpan(), Code: "unused-key", Message: fmt.Sprintf("this never passes: a group is complete after %v in any case", cfg.MaxAge),
			Hint: "write a max_idle below max_age, or remove it"})
	}
	if retry := at.Field("retry"); retry != nil {
		c.Report(dsl.Diagnostic{Span: retry.KeySpan(), Code: "bad-retry", Message: "a retry would add the item again, to another group", Hint: "write retry in the steps, beside what can fail"})
	}
	as := named(at, "as", cfg.As, "group")
	key, items := dsl.Static(dsl.IsText).Holding(c.Held(cfg.By.Node)), dsl.ListOf(c.ShapeType(cfg.Aggregate))
	if cfg.Until.Node != nil {
		s.loop = c.LoopOver(groupType(key, items, false), as, dsl.String{}, "aggregate", func() {
			reads := c.Reads(func() { s.until = c.Cond(cfg.Until) })
			s.reads = reads(as.Value)
		})
	}
	// What is declared first is closed first: what a group leads to inside still
	// finds its own place open.
	s.groups = engine.Keep(c, c.StepKey(), func() *groups { return newGroups(s.when, cfg.groupBounds) })
	s.tally = c.Tally(aggregateEvents()...)
	s.crew = engine.Keep(c, "", func() *crew { return newCrew(s, cfg.AtOnce) })
	s.job = c.Job(groupType(key, items, true), as, "aggregate", "write it into the value of aggregate: each of "+as.Value+".items has it then", func() {
		s.block = compileBlock(c, nil, "aggregate", &cfg.blockConfig)
	})
	s.result.Hold(dsl.ObjectOf(map[string]dsl.StaticField{
		"complete": {Type: dsl.Static(dsl.IsBool)}, "count": {Type: dsl.Static(dsl.IsInt)}, "result": {Type: c.ShapeType(cfg.Yield).OrNull()},
	}))
	return s
}

// groupType is what is known of a group.
func groupType(key, items *dsl.StaticType, complete bool) *dsl.StaticType {
	fields := map[string]dsl.StaticField{"key": {Type: key}, "count": {Type: dsl.Static(dsl.IsInt)}, "items": {Type: items}}
	if complete {
		fields["reason"] = dsl.StaticField{Type: &dsl.StaticType{Kinds: dsl.IsText, Values: []string{bySize, byUntil, byIdle, byAge, byShutdown}}}
	}
	return dsl.ObjectOf(fields)
}

// Describe is what engine.Describer asks for.
func (s *aggregate) Describe(p *engine.PlanStep) {
	p.Waiting = true // for its turn
	by := "one group for all"
	if s.by != nil {
		by = "a group for each " + s.at.Text()
	}
	complete := []string{fmt.Sprintf("with %d items", s.when.size)}
	if s.until != nil {
		complete = append(complete, "when "+s.until.String())
	}
	if s.when.idle > 0 {
		complete = append(complete, fmt.Sprintf("%v after its last item", dsl.Duration(s.when.idle)))
	}
	p.Detail = fmt.Sprintf("%s, complete %s or %v after its first", by, strings.Join(complete, ", "), dsl.Duration(s.when.age))
	for _, b := range p.Bodies {
		if b.Part == engine.PartSteps {
			b.Part, b.Within = engine.PartAggregate, s.within
		}
	}
}

// Run is what engine.Step asks for.
func (s *aggregate) Run(ctx context.Context, x *engine.Exchange) error {
	x.In.MadeOf().Unsure() // others have a part in it
	key := ""
	if s.by != nil {
		var err error
		if key, err = keyText(ctx, x, s.by, s.at); err != nil {
			return err
		}
	}
	item, err := s.item.AppendJSON(ctx, x, nil)
	if err != nil {
		return err
	}
	g, count, err := s.groups.It().add(&engine.Input{ID: x.In.ID, Log: x.In.Log, Trace: x.In.Trace, Priority: x.In.Priority}, strings.Clone(key), string(item), s.looks(ctx, x))
	if err != nil {
		if e, ok := err.(*engine.Error); ok && e.Kind == engine.KindOverloaded {
			s.tally.It().Add(itemRefused)
		}
		return err
	}
	s.tally.It().Add(itemAdded)
	if g == nil {
		if s.open != nil {
			s.open()
		}
		x.Set(s.result, engine.Result{Value: engine.JSON(fmt.Sprintf(`{"complete":false,"count":%d,"result":null}`, count))})
		return nil
	}
	if s.full != nil {
		s.full()
	}
	s.crew.It().take(g)
	select {
	case <-g.done:
	case <-ctx.Done():
		return engine.Interrupted(ctx)
	}
	if g.err != nil {
		return engine.Apart(g.err)
	}
	x.Set(s.result, engine.Result{Value: engine.JSON(fmt.Sprintf(`{"complete":true,"count":%d,"result":%s}`, count, g.result.JSON()))})
	return nil
}

// looks is until for the request at hand.
func (s *aggregate) looks(ctx context.Context, x *engine.Exchange) func(key string, items []string) (bool, error) {
	if s.until == nil {
		return nil
	}
	return func(key string, items []string) (complete bool, err error) {
		var group engine.Value
		if s.reads {
			group = groupValue(key, "", items)
		}
		err = s.loop.Round(x, group, 0, func(x *engine.Exchange) error {
			var err error
			complete, err = s.until.Bool(ctx, x)
			return err
		})
		return complete, err
	}
}

// work runs the steps for a group that is complete.
func (s *aggregate) work(ctx context.Context, in *engine.Input, group engine.Value) (v engine.Value, e *engine.Error) {
	if in.Trace.Recording() {
		span := in.Trace.Own(time.Now())
		span.Name, span.Kind = "aggregate "+s.flow, trace.Internal
		span.Set("weir.flow", s.flow)
		defer func() {
			if e != nil {
				span.Fail(string(e.Kind), e.Message)
			}
			span.End(time.Now())
		}()
	}
	e = s.job.Run(ctx, in, group, func(ctx context.Context, x *engine.Exchange) (err error) {
		v, err = s.block.value(ctx, x)
		return err
	})
	return v, e
}
