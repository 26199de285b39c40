package dsl

import (
	"context"
	"errors"
	"math/big"
	"runtime"
	"testing"
)

// FuzzFunctions calls every function with values that nobody expected: it gives
// a value or a fault, and leaves what it was given as it was.
func FuzzFunctions(f *testing.F) {
	for _, function := range Functions() {
		for _, x := range function.Examples {
			f.Add(x.Expr, x.Result, 3)
		}
	}
	for _, text := range []string{"2026-01-31", "-1y2mo", "P1DT2H", "12.50e-3", "(a)|b", "Europe/Berlin", "+02:00", "$1${x}", "/a/~1", "a@b", "1.2.3-rc.1", "10MB", "half_up"} {
		f.Add(text, `{"a":[1,1.10,null,{"a":"x"}]}`, 12)
	}
	f.Fuzz(func(t *testing.T, text, document string, n int) {
		if len(text) > 1000 || len(document) > 1000 || CheckJSON(document) != nil {
			return
		}
		value := DecodeJSON(document)
		before, err := AppendJSON(nil, value)
		if err != nil {
			return
		}
		for _, function := range library {
			for turn := range 3 {
				args := []any{&machine{ctx: context.Background()}}
				for i, p := range function.params {
					v := []any{text, value, n}[(i+turn)%3]
					if p.kind.literal {
						pattern, err := p.kind.prepare(text)
						if err != nil {
							break
						}
						v = pattern
					}
					args = append(args, v)
				}
				if len(args) > function.least {
					callSafely(t, function, args)
				}
			}
		}
		if after, _ := AppendJSON(nil, value); string(after) != string(before) {
			t.Fatalf("%s was changed to %s", before, after)
		}
	})
}

func callSafely(t *testing.T, f *libraryFunction, args []any) {
	defer func() {
		var defect runtime.Error
		if r := recover(); r != nil {
			if err, ok := r.(error); !ok || errors.As(err, &defect) {
				t.Fatalf("%s: %v", f.name, r)
			}
		}
	}()
	f.call(args...)
}

func FuzzDecimal(f *testing.F) {
	for _, text := range []string{"0", "-0.0", "1.10", "1e3", "-12.5e-4", "1e1000", "00012", "."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDecimal(text)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		got, _ := new(big.Rat).SetString(d.String())
		if !ok || want.Cmp(got) != 0 {
			t.Fatalf("%q became %s", text, d)
		}
		again, err := parseDecimal(d.String())
		if err != nil || again.String() != d.String() {
			t.Fatalf("%s became %s (%v)", d, again, err)
		}
	})
}
