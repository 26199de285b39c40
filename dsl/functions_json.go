package dsl

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// jsonFunctions find and change parts of documents.
var jsonFunctions = []definition{
	{
		"mergePatch(value any, patch any) any",
		"The value as a JSON Merge Patch (RFC 7386) changes it: fields of the patch replace those of the value, objects are merged at every depth, null removes.",
		func(c call) (any, error) {
			w := walker{}
			out := w.mergePatch(c.args[0], c.args[1], 0)
			c.work(w.steps >> 4)
			return out, nil
		},
		[]FunctionExample{{`mergePatch({"name": "Ada", "address": {"city": "London", "zip": "W1"}}, {"address": {"zip": null}, "vip": true})`, `{"address":{"city":"London"},"name":"Ada","vip":true}`}},
	},
	{
		"pointer(value any, path text) any",
		"What a JSON Pointer (RFC 6901) points to, or null if there is nothing. ~1 stands for a / in a name, ~0 for a ~.",
		func(c call) (any, error) { return pointer(c.args[0], argument[string](c, 1)) },
		[]FunctionExample{{`pointer({"items": [{"sku": "x"}]}, "/items/0/sku")`, `"x"`}, {`pointer({"a/b": 7}, "/a~1b")`, `7`}, {`pointer({"items": []}, "/items/0/sku")`, `null`}},
	},
	{
		"findAll(value any, key text) list",
		"The values of all fields of a name, at every depth; the fields of an object in the order of their names.",
		func(c call) (any, error) {
			w := walker{}
			out := w.findAll([]any{}, c.args[0], argument[string](c, 1), 0)
			c.work(w.steps >> 4)
			return out, nil
		},
		[]FunctionExample{{`findAll({"id": 1, "parts": [{"id": 2}, {"sub": {"id": 3}}]}, "id")`, `[1,2,3]`}},
	},
}

// mergePatch is MergePatch of RFC 7386, on values that are never changed.
func (w *walker) mergePatch(value, patch any, depth int) any {
	w.step(depth)
	changes, ok := fields(patch)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if object, ok := fields(value); ok {
		w.steps += len(object)
		out = maps.Clone(object)
	}
	for key, change := range changes {
		if change == nil {
			delete(out, key)
		} else {
			out[key] = w.mergePatch(out[key], change, depth+1)
		}
	}
	return out
}

func fields(v any) (map[string]any, bool) {
	object, err := objectOf(v)
	if err != nil {
		return nil, false
	}
	return object.(map[string]any), true
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

func pointer(v any, path string) (any, error) {
	if path == "" {
		return v, nil
	}
	if path[0] != '/' {
		return nil, fmt.Errorf("%s is not a JSON Pointer: it begins with /", excerpt(path))
	}
	for token := range strings.SplitSeq(path[1:], "/") {
		if strings.Count(token, "~") != strings.Count(token, "~0")+strings.Count(token, "~1") {
			return nil, fmt.Errorf("%s is not a JSON Pointer: behind ~ stands 0 or 1", excerpt(path))
		}
		token = pointerEscapes.Replace(token)
		if list, ok := plainList(v).([]any); ok {
			i, err := strconv.Atoi(token)
			if err != nil || strconv.Itoa(i) != token || i < 0 || i >= len(list) {
				return nil, nil
			}
			v = list[i]
			continue
		}
		object, ok := fields(v)
		if !ok {
			return nil, nil
		}
		v = object[token]
	}
	return v, nil
}

func (w *walker) findAll(out []any, v any, key string, depth int) []any {
	w.step(depth)
	if list, ok := plainList(v).([]any); ok {
		for _, item := range list {
			out = w.findAll(out, item, key, depth+1)
		}
		return out
	}
	object, ok := fields(v)
	if !ok {
		return out
	}
	for _, name := range sortedKeys(object) {
		if name == key {
			out = append(out, object[name])
		}
		out = w.findAll(out, object[name], key, depth+1)
	}
	return out
}
