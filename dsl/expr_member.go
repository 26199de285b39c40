package dsl

import (
	"fmt"
	"unicode/utf8"
)

// member is v.key below a value that only the request shows.
func member(v any, key Key) (any, error) {
	switch v := v.(type) {
	case nil:
		if key.Optional {
			return nil, nil
		}
		return nil, &Fault{Span: key.Span, Message: "reads " + key.String() + " of null (write ?. if it may be absent)"}
	case map[string]any:
		if !key.IsIndex {
			return v[key.Name], nil
		}
	case []any:
		if key.IsIndex {
			i := key.Index
			if i < 0 {
				i += len(v)
			}
			if i < 0 || i >= len(v) {
				return nil, nil
			}
			return v[i], nil
		}
	case map[string]string:
		if !key.IsIndex {
			if s, ok := v[key.Name]; ok {
				return s, nil
			}
			return nil, nil
		}
	case map[any][]any:
		var k any = key.Name
		if key.IsIndex {
			k = key.Index
		}
		if items, ok := v[k]; ok {
			return items, nil
		}
		return nil, nil
	}
	return nil, &Fault{Span: key.Span, Message: kindOf(v) + " has no " + key.String()}
}

// Member reads one key of a decoded value by the rules of the language: a
// missing last field is null, going through null a *Fault.
func Member(v any, key Key) (any, error) { return member(v, key) }

// String names the key as faults do.
func (k Key) String() string {
	if k.IsIndex {
		return fmt.Sprintf("element %d", k.Index)
	}
	name := k.Name
	if utf8.RuneCountInString(name) > 40 {
		name = string([]rune(name)[:40]) + "…"
	}
	return fmt.Sprintf("field %q", name)
}
