package dsl

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/vm/runtime"
)

// expr-lang adds and multiplies integers modulo 2^64 and compares an integer
// with a float as floats. On values that only the request shows both are
// wrong silently, so these operators are ours: a whole number that does not
// fit 64 bits is a fault, and two numbers are equal if what was written is.

var errOverflow = errors.New("the result does not fit into a whole number of 64 bits (write float(x) to compute with less precision)")

// add is a + b.
func add(a, b any) any {
	if x, y, ok := integers(a, b); ok {
		sum := x + y
		if (sum > x) != (y > 0) && y != 0 {
			panic(errOverflow)
		}
		return sum
	}
	return runtime.Add(a, b)
}

// subtract is a - b.
func subtract(a, b any) any {
	if x, y, ok := integers(a, b); ok {
		difference := x - y
		if (difference < x) != (y > 0) && y != 0 {
			panic(errOverflow)
		}
		return difference
	}
	return runtime.Subtract(a, b)
}

// multiply is a * b.
func multiply(a, b any) any {
	if x, y, ok := integers(a, b); ok {
		high, low := bits.Mul64(magnitude(x), magnitude(y))
		negative := (x < 0) != (y < 0)
		if high != 0 || low > math.MaxInt64 && (!negative || low > 1<<63) {
			panic(errOverflow)
		}
		return x * y
	}
	return runtime.Multiply(a, b)
}

// negate is -v.
func negate(v any) any {
	if v == math.MinInt {
		panic(errOverflow)
	}
	return runtime.Negate(v)
}

func magnitude(n int) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func integers(a, b any) (x, y int, ok bool) {
	x, ok = a.(int)
	if !ok {
		return 0, 0, false
	}
	y, ok = b.(int)
	return x, y, ok
}

// sum is sum(list).
func sum(v any) any {
	list, ok := v.([]any)
	if !ok {
		panic(fmt.Errorf("sum takes a list, not %s", kindOf(v)))
	}
	var total any = 0
	for _, item := range list {
		total = add(total, item)
	}
	return total
}

// wholeNumber is int(v).
func wholeNumber(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case Number:
		return wholeFloat(v.Float())
	case float64:
		return wholeFloat(v)
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			return n, nil
		}
		return 0, fmt.Errorf("int: %s is no whole number of 64 bits", excerpt(v))
	}
	return int(runtime.ToInt64(v)), nil
}

func wholeFloat(f float64) (int, error) {
	if !(f >= math.MinInt64 && f < math.MaxInt64) { // the constant rounds up to 2^63
		return 0, errOverflow
	}
	return int(f), nil
}

// equal is a == b.
func equal(a, b any) bool {
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return ok && x == y
	}
	w := walker{}
	return w.equal(a, b, 0)
}

func notEqual(a, b any) bool { return !equal(a, b) }

func (w *walker) equal(a, b any, depth int) bool {
	w.step(depth)
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		y, ok := b.(string)
		return ok && x == y
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case int, float64, Number:
		switch b.(type) {
		case int, float64, Number:
			return equalNumbers(a, b)
		}
		return false
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !w.equal(x[i], y[i], depth+1) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			other, ok := y[k]
			if !ok || !w.equal(v, other, depth+1) {
				return false
			}
		}
		return true
	}
	return runtime.Equal(a, b)
}

// equalNumbers compares without rounding what is written as a whole number.
func equalNumbers(a, b any) bool {
	if x, y, ok := integers(a, b); ok {
		return x == y
	}
	switch x := a.(type) {
	case float64:
		if n, ok := b.(Number); ok {
			return x == n.Float()
		}
	case Number:
		if f, ok := b.(float64); ok {
			return f == x.Float()
		}
	}
	return numberKey(a) == numberKey(b)
}

// numberKey is equal for numbers that are equal: an int, a float64, or the
// text of a whole number that is neither.
func numberKey(v any) any {
	switch v := v.(type) {
	case Number:
		if !strings.ContainsAny(string(v), ".eE") && v != "-0" {
			return v
		}
		return numberKey(v.Float())
	case float64:
		if f := math.Trunc(v); f == v && f >= math.MinInt64 && f < math.MaxInt64 {
			return int(f)
		}
	}
	return v
}

// in is needle in haystack.
func in(needle, haystack any) bool {
	switch list := haystack.(type) {
	case nil:
		return false
	case []any:
		w := walker{}
		for _, item := range list {
			if w.equal(item, needle, 0) {
				return true
			}
		}
		return false
	case map[string]any:
		key, ok := needle.(string)
		if !ok {
			return false
		}
		_, ok = list[key]
		return ok
	case string, Number, bool, int, float64:
		panic(fmt.Errorf("in needs a list or an object, not %s", kindOf(haystack)))
	}
	return runtime.In(plain(needle), haystack)
}

// excerpt quotes text for a fault, the beginning of it if it is long.
func excerpt(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}
