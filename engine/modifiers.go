package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/trace"
)

// modifiers are the keys that every step may have beside its verb's own.
type modifiers struct {
	ID       dsl.String   `yaml:"id" order:"first" literal:"none" doc:"The name of the step's result in expressions."`
	When     dsl.Cond     `yaml:"when" order:"first" doc:"The step runs only if this condition is true. The result of a step that did not run is null."`
	Timeout  dsl.Duration `yaml:"timeout" doc:"How long the step may take, with all its retries." min:"1ms"`
	Retry    *RetryConfig `yaml:"retry" doc:"Runs the step again when it fails."`
	Fallback dsl.Shape    `yaml:"fallback" doc:"The result if the step fails. error is the failure."`
	Catch    dsl.Steps    `yaml:"catch" doc:"Steps that run if the step fails. error is the failure."`
	Undo     dsl.Steps    `yaml:"undo" doc:"Steps that take the effect of the step back. They run if the saga around it fails; error is the failure. A call that timed out may have had its effect: it is undone, too, if undo does not read the result of the step."`
}

var modifierKeys = []string{"id", "when", "timeout", "retry", "fallback", "catch", "undo"}

func isModifier(key string) bool { return slices.Contains(modifierKeys, key) }

// RetryConfig is how often and when something is tried again.
type RetryConfig struct {
	Attempts   int          `yaml:"attempts" doc:"How often it is tried in all." default:"3" min:"2" max:"10"`
	On         []dsl.String `yaml:"on" doc:"The failures that are worth another attempt: kinds such as connect, timeout, reset, or statuses such as 503 and 5xx. Default: connect, timeout, reset, 502, 503, 504."`
	Backoff    dsl.Duration `yaml:"backoff" doc:"The most the first pause can last; each further one can last twice as long. The pause itself is random." default:"25ms"`
	MaxBackoff dsl.Duration `yaml:"max_backoff" doc:"The most any pause can last." default:"250ms"`
}

// retryable are the kinds that an author can retry on.
var retryable = []string{
	string(KindStatus), string(KindTimeout), string(KindConnect), string(KindReset), string(KindBreaker),
	string(KindOverloaded), string(KindNoCredentials), string(KindMalformed), string(KindFail),
}

var retryByDefault = []string{string(KindConnect), string(KindTimeout), string(KindReset), "502", "503", "504"}

// guarded is a step with its name and its modifiers. From the outside in:
//
//	when      decides whether anything happens at all
//	finally   runs behind all that follows, for a step that is a Finisher
//	catch, fallback   see the failure that remains
//	timeout   bounds all attempts together
//	retry     repeats the verb
type guarded struct {
	run      Step
	last     Finisher // run, if it is one
	step     string
	verb     string
	span     dsl.Span
	slot     Slot
	from, to int // the results of the steps inside
	when     *dsl.Expr
	timeout  time.Duration
	retry    *retry
	rest     *Rest
	again    *repeats // nil without retry, and if nothing is called
	fallback *dsl.ShapeTemplate
	catch    Sequence
	handles  bool
	errName  *name // what error stands for in fallback and catch
	ways     ways
	undo     *compensation
	attempts *Undoing // what an attempt did, in a saga
}

// A Finisher is a step that has something left to do when it has ended and its
// modifiers are through with it, whatever came of it. An error of Finish is
// that of the step if there is no other.
type Finisher interface {
	Step
	Finish(ctx context.Context, x *Exchange) error
}

type retry struct {
	attempts   int
	on         []string
	backoff    time.Duration
	maxBackoff time.Duration
}

func (c *Compiler) modify(g *guarded, n *dsl.Node, m *modifiers) {
	if m.When.Node != nil {
		g.when = c.Cond(m.When)
		g.slot.Hold(g.slot.name.static.OrNull())
	}
	g.timeout = time.Duration(m.Timeout)
	if m.Retry != nil {
		g.retry, g.rest = c.retry(n.Field("retry"), m.Retry), c.rest
	}
	if m.Fallback.Node != nil && m.Catch.Node != nil {
		c.Report(dsl.Diagnostic{Span: m.Catch.Node.KeySpan(), Code: "two-handlers", Message: "a step has a fallback or a catch, not both",
			Hint: "keep the fallback for a value, or the catch for steps", Related: []dsl.Related{{Span: m.Fallback.Node.KeySpan(), Message: "the fallback"}}})
	}
	if m.Fallback.Node == nil && m.Catch.Node == nil {
		return
	}
	g.handles = true
	in, errName := c.scope.handler(g.span)
	g.errName = errName
	c.within(in, func() {
		if m.Fallback.Node != nil {
			g.fallback = c.Shape(m.Fallback)
			g.slot.Hold(dsl.Join(g.slot.name.static, c.ShapeType(m.Fallback)))
		}
		if m.Catch.Node != nil {
			c.asPart(PartCatch, func() { g.catch = c.Steps(m.Catch) })
			g.slot.Hold(g.slot.name.static.OrNull())
		}
	})
}

func (c *Compiler) retry(at *dsl.Node, cfg *RetryConfig) *retry {
	r := &retry{attempts: cfg.Attempts, backoff: time.Duration(cfg.Backoff), maxBackoff: time.Duration(cfg.MaxBackoff), on: retryByDefault}
	if len(cfg.On) > 0 {
		r.on = nil
	}
	if r.backoff > r.maxBackoff {
		written := at.Field("backoff")
		if written == nil {
			written = at.Field("max_backoff") // below what backoff is without being written
		}
		c.Report(dsl.Diagnostic{Span: written.KeySpan(), Code: "bad-retry", Message: fmt.Sprintf("%v is longer than max_backoff, %v", cfg.Backoff, cfg.MaxBackoff),
			Hint: fmt.Sprintf("write max_backoff: %v or more, or a shorter backoff", cfg.Backoff)})
	}
	for _, on := range cfg.On {
		status, err := strconv.Atoi(on.Value)
		if err == nil && status >= 400 && status <= 599 || slices.Contains(retryable, on.Value) || on.Value == "4xx" || on.Value == "5xx" {
			r.on = append(r.on, on.Value)
			continue
		}
		d := dsl.Diagnostic{Span: on.Span, Code: "bad-retry", Message: fmt.Sprintf("%q is nothing to retry on", on.Value),
			Hint: "use a status from 400 to 599, 4xx, 5xx, or one of " + strings.Join(retryable, ", ")}
		d.SuggestWord(on.Value, retryable)
		c.Report(d)
	}
	return r
}

// Run is what Step asks for.
func (g *guarded) Run(ctx context.Context, x *Exchange) error {
	run, err := g.applies(ctx, x)
	if err != nil || !run {
		return err
	}
	return g.perform(ctx, x)
}

// applies reports whether the step runs at all.
func (g *guarded) applies(ctx context.Context, x *Exchange) (bool, error) {
	if e := Interrupted(ctx); e != nil {
		return false, g.named(e)
	}
	if g.when == nil {
		return true, nil
	}
	run, err := g.when.Bool(ctx, x)
	switch {
	case err != nil:
		return false, g.named(failure(ctx, err))
	case run:
	default:
		take(g.ways.skip)
	}
	return run, nil
}

// perform runs a step that applies.
func (g *guarded) perform(ctx context.Context, x *Exchange) error {
	if x.In.Trace.Recording() {
		return g.recorded(ctx, x)
	}
	return g.finished(ctx, x, nil)
}

// finished runs a step with all that is around it. s is its span, if it has one.
func (g *guarded) finished(ctx context.Context, x *Exchange, s *trace.Span) (err error) {
	if g.last != nil {
		defer func() {
			e := g.last.Finish(ctx, x)
			if e != nil && (err == nil || errors.Is(err, ErrReturn)) {
				x.takeBack()
				err = g.named(failure(ctx, e))
			}
		}()
	}
	return g.handled(ctx, x, s)
}

func (g *guarded) handled(ctx context.Context, x *Exchange, s *trace.Span) error {
	err := g.bounded(ctx, x)
	if err == nil || errors.Is(err, ErrReturn) {
		if g.undo != nil {
			g.undo.note(x, g, nil)
		}
		return err
	}
	e := g.named(failure(ctx, err))
	if g.undo != nil {
		g.undo.note(x, g, e)
	}
	if !g.handles || ctx.Err() != nil || x.root.answer.Written {
		return e // nobody waits for what a handler could still give
	}
	take(g.ways.handled)
	x.In.MadeOf().Degraded()
	g.tell(s, e)
	x.setError(g.errName, e)
	if g.fallback == nil {
		x.Set(g.slot, Result{Status: e.Status})
		x.SetError(g.slot, e)
		return g.catch.Run(ctx, x)
	}
	v, err := ValueOf(ctx, x, g.fallback)
	if err != nil {
		return g.named(failure(ctx, err))
	}
	x.Set(g.slot, Result{Value: v, Status: e.Status})
	x.SetError(g.slot, e)
	return nil
}

// named gives a failure the name and place of the innermost step it left.
func (g *guarded) named(e *Error) *Error {
	if e.Step == "" {
		e.Step = g.step
		if !e.Span.Valid() {
			e.Span = g.span
		}
	}
	return e
}

func (g *guarded) bounded(ctx context.Context, x *Exchange) error {
	if g.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, g.timeout, errStepTimeout)
		defer cancel()
	}
	if g.retry == nil {
		err := g.run.Run(ctx, x)
		if g.timeout > 0 && err != nil && !errors.Is(err, ErrReturn) {
			return failure(ctx, err) // while the context still knows why
		}
		return err
	}
	asked := 0
	for attempt := 1; ; attempt++ {
		g.again.set(x, attempt)
		err := g.attempt(ctx, x)
		if err == nil || errors.Is(err, ErrReturn) {
			return err
		}
		e := failure(ctx, err)
		asked += max(e.Attempts, 1)
		e.Attempts = asked
		if x.root.answer.Written || attempt == g.retry.attempts || !g.retry.worth(e) || len(e.Undo) > 0 {
			return e // what could not be undone is no place to begin again
		}
		pause := g.retry.delay(attempt)
		if g.rest.tooLate(x, pause) {
			return e
		}
		if g.again.denies(x) {
			e.Message += deniedByLedger
			return e
		}
		if !Pause(ctx, pause) {
			return e
		}
		x.forget(g.from, g.to)
	}
}

// attempt runs the verb once. In a saga, an attempt that failed is undone, so
// that the next begins where it began.
func (g *guarded) attempt(ctx context.Context, x *Exchange) error {
	if g.attempts == nil {
		return g.run.Run(ctx, x)
	}
	return g.attempts.Run(ctx, x, g.run)
}

// worth reports whether a failure is one of those to try again.
func (r *retry) worth(e *Error) bool {
	return slices.ContainsFunc(r.on, func(on string) bool {
		return on == string(e.Kind) || e.Status != 0 && (on == strconv.Itoa(e.Status) || on == strconv.Itoa(e.Status/100)+"xx")
	})
}

// delay is a random pause up to a bound that doubles with each attempt: full
// jitter, which spreads the retries of many callers best (AWS Architecture
// Blog, "Exponential Backoff and Jitter", 2015).
func (r *retry) delay(attempt int) time.Duration {
	bound := r.bound(attempt)
	if bound <= 0 {
		return 0
	}
	return rand.N(bound)
}

// bound is the longest pause after an attempt.
func (r *retry) bound(attempt int) time.Duration {
	return min(r.backoff<<min(attempt-1, 20), r.maxBackoff)
}

// Pause waits, and reports whether there is time left after it. It does not
// start a wait that the deadline would end.
func Pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
