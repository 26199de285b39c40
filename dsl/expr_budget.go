package dsl

import (
	"context"
	"errors"
	"fmt"
)

// tick is called once for each round of a loop.
func tick(env any) any {
	env.(*machine).work(1)
	return nil
}

// work counts rounds, or what takes as long, and notices the deadline.
func (m *machine) work(rounds int) {
	if m.ticks += rounds; m.ticks < ticksPerCheck {
		return
	}
	m.ticks = 0
	if m.ctx.Err() != nil {
		panic(fmt.Errorf("stopped in a loop: %w", context.Cause(m.ctx)))
	}
}

// charge counts what an operation made against the bound of one evaluation.
func charge(env, v any) any {
	size := 0
	switch v := v.(type) {
	case string:
		size = len(v)
	case []any:
		size = 16 * len(v)
	case map[string]any:
		size = 64 * len(v)
	case map[any][]any:
		for _, items := range v {
			size += 64 + 16*len(items)
		}
	}
	m := env.(*machine)
	if m.bytes += size; m.bytes > maxExprBytes {
		panic(errTooLarge)
	}
	m.work(size >> 10)
	return v
}

func chargeText(env, v any) string {
	s, ok := v.(string)
	if !ok {
		panic(fmt.Errorf("expected text, got %s", kindOf(v)))
	}
	charge(env, v)
	return s
}

func chargeList(env, v any) []any {
	list, ok := v.([]any)
	if !ok {
		panic(fmt.Errorf("expected a list, got %s", kindOf(v)))
	}
	charge(env, v)
	return list
}

var errTooLarge = fmt.Errorf("the expression makes more than %d MiB of text and lists", maxExprBytes>>20)

// walker bounds walks through values that an expression made: they may nest
// deeper than any message, and hold one part many times.
type walker struct{ steps int }

const (
	maxWalkDepth = 1000
	maxWalkSteps = 4 << 20
)

func (w *walker) step(depth int) {
	if w.steps++; w.steps > maxWalkSteps || depth > maxWalkDepth {
		panic(errTooComplex)
	}
}

var errTooComplex = errors.New("the value is too large or nests too deeply to work with")
