package engine

import (
	"context"
	"errors"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

// recorded runs a step as a span of its trace. Composite steps contain the spans
// of those inside, by the context.
func (g *guarded) recorded(ctx context.Context, x *Exchange) error {
	s := x.In.Trace.Start(ctx, time.Now())
	if s == nil {
		return g.finished(ctx, x, nil)
	}
	if s.Name = g.verb; g.step != g.verb {
		s.Name += " " + g.step
	}
	s.Set("weir.step", g.step)
	s.Set("weir.verb", g.verb)
	if g.span.Valid() {
		line, column := g.span.Position()
		s.Set("code.file.path", g.span.Source.Name)
		s.SetInt("code.line.number", int64(line))
		s.SetInt("code.column.number", int64(column))
	}
	err := g.finished(trace.Within(ctx, s), x, s)
	if e := (*Error)(nil); errors.As(err, &e) {
		s.Fail(string(e.Kind), e.Message)
	} else if err != nil && !errors.Is(err, ErrReturn) {
		s.Fail(string(failure(ctx, err).Kind), err.Error())
	}
	s.End(time.Now())
	return err
}

// tell says which handler of the step a failure went to: the span of a step
// that has gone on without what failed is that of no failure.
func (g *guarded) tell(s *trace.Span, e *Error) {
	handler := "catch"
	if g.fallback != nil {
		handler = "fallback"
	}
	s.Set("weir.handled.by", handler)
	s.Set("weir.handled.kind", string(e.Kind))
	s.Set("weir.handled.error", e.Message)
}
