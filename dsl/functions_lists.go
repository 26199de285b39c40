package dsl

import (
	"fmt"
	"maps"
)

// listFunctions take lists and objects apart and put them together.
var listFunctions = []definition{
	{
		"merge(a object, b object) object",
		"An object with the fields of both; b's where both have one. mergePatch merges at every depth.",
		func(c call) (any, error) {
			a, b := argument[map[string]any](c, 0), argument[map[string]any](c, 1)
			if len(a)+len(b) > maxExprBytes/64 {
				return nil, errTooLarge
			}
			out := make(map[string]any, len(a)+len(b))
			maps.Copy(out, a)
			maps.Copy(out, b)
			return out, nil
		},
		[]FunctionExample{{`merge({"a": 1, "b": 2}, {"b": 3})`, `{"a":1,"b":3}`}},
	},
	{
		"pick(object object, keys list) object",
		"The fields of an object that a list names. A field that is not there is left out.",
		func(c call) (any, error) {
			object, out := argument[map[string]any](c, 0), map[string]any{}
			for i, key := range argument[[]any](c, 1) {
				name, err := nameOf(key, i)
				if err != nil {
					return nil, err
				}
				if v, ok := object[name]; ok {
					out[name] = v
				}
			}
			return out, nil
		},
		[]FunctionExample{{`pick({"id": 7, "name": "Ada", "password": "x"}, ["id", "name", "mail"])`, `{"id":7,"name":"Ada"}`}},
	},
	{
		"omit(object object, keys list) object",
		"An object without the fields that a list names.",
		func(c call) (any, error) {
			out := maps.Clone(argument[map[string]any](c, 0))
			for i, key := range argument[[]any](c, 1) {
				name, err := nameOf(key, i)
				if err != nil {
					return nil, err
				}
				delete(out, name)
			}
			return out, nil
		},
		[]FunctionExample{{`omit({"id": 7, "password": "x"}, ["password"])`, `{"id":7}`}},
	},
	{
		"keyBy(list list, key text) object",
		"An object with the elements of a list, each under the text or number that its field holds. Of several with one, the last stays; groupBy keeps them all.",
		func(c call) (any, error) {
			list, key := argument[[]any](c, 0), argument[string](c, 1)
			if len(list) > maxExprBytes/64 {
				return nil, errTooLarge
			}
			out := make(map[string]any, len(list))
			for i, item := range list {
				object, ok := fields(item)
				if !ok {
					return nil, fmt.Errorf("element %d is %s, not an object", i, kindOf(item))
				}
				switch v := object[key].(type) {
				case string:
					out[v] = item
				case int, float64, Number, bool:
					text, err := AppendText(nil, v)
					if err != nil {
						return nil, err
					}
					out[string(text)] = item
				default:
					return nil, fmt.Errorf("field %s of element %d is %s, not text or a number", excerpt(key), i, kindOf(v))
				}
			}
			return out, nil
		},
		[]FunctionExample{{`keyBy([{"id": 7, "name": "Ada"}, {"id": 8, "name": "Bob"}], "id")["8"].name`, `"Bob"`}},
	},
	{
		"chunk(list list, size int) list",
		"The list in parts of size elements. The last can have fewer.",
		func(c call) (any, error) {
			list, size := argument[[]any](c, 0), argument[int](c, 1)
			if size < 1 {
				return nil, fmt.Errorf("size is %d", size)
			}
			if len(list)/size > maxExprBytes/64 {
				return nil, errTooLarge
			}
			out := []any{}
			for len(list) > size {
				out = append(out, list[:size:size])
				list = list[size:]
			}
			if len(list) > 0 {
				out = append(out, list)
			}
			return out, nil
		},
		[]FunctionExample{{`chunk([1, 2, 3, 4, 5], 2)`, `[[1,2],[3,4],[5]]`}},
	},
	{
		"zip(a list, b list) list",
		"The pairs of the elements that stand at the same place. Where one list is shorter, its part is null.",
		func(c call) (any, error) {
			a, b := argument[[]any](c, 0), argument[[]any](c, 1)
			n := max(len(a), len(b))
			if n > maxExprBytes/96 {
				return nil, errTooLarge
			}
			out := make([]any, n)
			for i := range out {
				pair := make([]any, 2)
				if i < len(a) {
					pair[0] = a[i]
				}
				if i < len(b) {
					pair[1] = b[i]
				}
				out[i] = pair
			}
			return out, nil
		},
		[]FunctionExample{{`zip(["a", "b"], [1, 2])`, `[["a",1],["b",2]]`}, {`fromPairs(zip(["a", "b"], [1, 2]))`, `{"a":1,"b":2}`}},
	},
}

func nameOf(key any, i int) (string, error) {
	name, ok := key.(string)
	if !ok {
		return "", fmt.Errorf("element %d of keys is %s, not text", i, kindOf(key))
	}
	return name, nil
}
