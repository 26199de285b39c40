package dsl

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Number is a JSON number whose text would not survive a float64, such as
// 1.10 or 12345678901234567890. Decoding gives it so that values which are
// only passed on leave as they came; arithmetic and comparison use Float.
type Number string

// Float is the nearest float64.
func (n Number) Float() float64 {
	f, _ := strconv.ParseFloat(string(n), 64) // out of range gives ±Inf, the nearest there is
	return f
}

// MarshalJSON writes the number as it was read.
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// parseNumber turns the text of a valid JSON number into int where it fits,
// float64 where the float's own text is the same, and Number otherwise.
func parseNumber(text string) any {
	integer := true
	for i := 0; i < len(text); i++ {
		if c := text[i]; c == '.' || c == 'e' || c == 'E' {
			integer = false
			break
		}
	}
	if integer {
		if n, err := strconv.Atoi(text); err == nil && text != "-0" {
			return n
		}
		return Number(text)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		var buf [32]byte
		if string(appendFloat(buf[:0], f)) == text {
			return f
		}
	}
	return Number(text)
}

// appendFloat writes f as encoding/json does: the shortest text that reads
// back as f, with an exponent only for the very large and very small. f is
// finite.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if a := max(f, -f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if format == 'e' {
		if n := len(dst); n >= 4 && dst[n-4] == 'e' && (dst[n-3] == '-' || dst[n-3] == '+') && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
	}
	return dst
}

// plain gives v without Numbers, as arithmetic, ordering and built-in functions
// take it. Lists and objects are copied only if they hold one.
func plain(v any) any {
	switch v := v.(type) {
	case Number:
		return v.Float()
	case []any, map[string]any, map[any][]any:
		w := walker{}
		if out, changed := w.plain(v, 0); changed {
			return out
		}
	}
	return v
}

// plain gives what v becomes, if that is not v itself.
func (w *walker) plain(v any, depth int) (out any, changed bool) {
	w.step(depth)
	switch v := v.(type) {
	case Number:
		return v.Float(), true
	case []any:
		if list := w.plainList(v, depth); list != nil {
			return list, true
		}
	case map[string]any:
		var copied map[string]any
		for k, item := range v {
			if p, ok := w.plain(item, depth+1); ok {
				if copied == nil {
					copied = maps.Clone(v)
				}
				copied[k] = p
			}
		}
		return copied, copied != nil
	case map[any][]any: // what groupBy gives
		var copied map[any][]any
		for k, items := range v {
			if list := w.plainList(items, depth+1); list != nil {
				if copied == nil {
					copied = maps.Clone(v)
				}
				copied[k] = list
			}
		}
		return copied, copied != nil
	}
	return nil, false
}

// plainList gives a changed copy of list, or nil.
func (w *walker) plainList(list []any, depth int) (out []any) {
	for i, item := range list {
		if p, ok := w.plain(item, depth+1); ok {
			if out == nil {
				out = slices.Clone(list)
			}
			out[i] = p
		}
	}
	return out
}

// exactTop gives v for those who look at its kind but not inside: a Number is
// a number and not text.
func exactTop(v any) any {
	if n, ok := v.(Number); ok {
		return n.Float()
	}
	return v
}

// yamlFloat is the value of a YAML scalar of type Float.
func yamlFloat(text string) float64 {
	switch strings.ToLower(strings.TrimLeft(text, "-")) {
	case ".inf":
		return math.Inf(1)
	case ".nan":
		return math.NaN()
	}
	f, _ := strconv.ParseFloat(text, 64)
	return f
}
