package dsl

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr/builtin"
)

// split is the function split or, if it keeps as many bytes of the separator,
// splitAfter.
func split(name string, keep int) *builtin.Function {
	return &builtin.Function{
		Name: name,
		Func: func(args ...any) (any, error) {
			s, separator, most := args[0].(string), args[1].(string), -1
			if len(args) == 3 {
				most = args[2].(int)
			}
			parts := strings.Count(s, separator) + 1
			if most >= 0 {
				parts = min(parts, most)
			}
			if parts > maxExprBytes/32 { // a text and the element that holds it
				return nil, errTooLarge
			}
			if keep > 0 {
				return anyList(strings.SplitAfterN(s, separator, most)), nil
			}
			return anyList(strings.SplitN(s, separator, most)), nil
		},
		Types: []reflect.Type{
			reflect.TypeFor[func(string, string) []any](),
			reflect.TypeFor[func(string, string, int) []any](),
		},
	}
}

// uniq gives the first of equal elements. expr's own compares all with all.
func uniq(list []any) ([]any, error) {
	seen := map[any]bool{}
	out := []any{}
	for _, item := range list {
		key, err := identity(item)
		if err != nil {
			return nil, err
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, item)
		}
	}
	return out, nil
}

// identity is a key that is equal for equal values.
func identity(v any) (any, error) {
	switch v := v.(type) {
	case int, float64, Number:
		return numberKey(v), nil
	case []any, map[string]any:
		text, err := AppendJSON(nil, canonical(v))
		return jsonKey(text), err
	case map[any][]any:
		return nil, fmt.Errorf("uniq cannot compare groups")
	}
	return v, nil
}

// jsonKey is the JSON text of a list or an object, apart from equal text.
type jsonKey string

// canonical writes equal numbers equally.
func canonical(v any) any {
	w := walker{}
	return w.canonical(v, 0)
}

func (w *walker) canonical(v any, depth int) any {
	w.step(depth)
	switch v := v.(type) {
	case float64, Number:
		return numberKey(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = w.canonical(item, depth+1)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = w.canonical(item, depth+1)
		}
		return out
	}
	return v
}

// flatten gives the elements of a list, with those of the lists in it.
func flatten(list []any) ([]any, error) {
	w := walker{}
	out := w.flatten([]any{}, list, 0)
	if len(out) > maxExprBytes/16 {
		return nil, errTooLarge
	}
	return out, nil
}

func (w *walker) flatten(out, list []any, depth int) []any {
	for _, item := range list {
		w.step(depth)
		if inner, ok := item.([]any); ok {
			out = w.flatten(out, inner, depth+1)
		} else {
			out = append(out, item)
		}
	}
	return out
}

// fromPairs makes an object of [key, value] pairs.
func fromPairs(pairs []any) (map[string]any, error) {
	object := make(map[string]any, len(pairs))
	for i, item := range pairs {
		pair, ok := item.([]any)
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("fromPairs: element %d is not [key, value]", i)
		}
		switch key := pair[0].(type) {
		case string:
			object[key] = pair[1]
		case int, float64, Number, bool:
			text, err := AppendText(nil, key)
			if err != nil {
				return nil, err
			}
			object[string(text)] = pair[1]
		default:
			return nil, fmt.Errorf("fromPairs: the key of element %d is %s, not text", i, kindOf(key))
		}
	}
	return object, nil
}

// groupKey is equal for equal keys of groups.
func groupKey(v any) any {
	switch v.(type) {
	case int, float64, Number:
		return numberKey(v)
	case nil, string, bool, time.Time, time.Duration:
		return v
	}
	panic(fmt.Errorf("the key of a group is text or a number, not %s", kindOf(v)))
}
