package dsl

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/builtin"
)

// ours replace those of expr-lang that are unsafe or inexact on untrusted
// values: they bound what they make before they make it, keep numbers exact
// and give the keys of an object in one order.
var ours = []*builtin.Function{
	function("repeat", func(s string, n int) (string, error) {
		if n < 0 {
			return "", fmt.Errorf("repeat: the count is %d", n)
		}
		if n > 0 && len(s) > maxExprBytes/n {
			return "", errTooLarge
		}
		return strings.Repeat(s, n), nil
	}),
	{
		Name: "replace",
		Func: func(args ...any) (any, error) {
			s, old, repl, n := args[0].(string), args[1].(string), args[2].(string), -1
			if len(args) == 4 {
				n = args[3].(int)
			}
			count := strings.Count(s, old)
			if n >= 0 {
				count = min(count, n)
			}
			if grow := len(repl) - len(old); grow > 0 && count > (maxExprBytes-len(s))/grow {
				return nil, errTooLarge
			}
			return strings.Replace(s, old, repl, n), nil
		},
		Types: []reflect.Type{
			reflect.TypeFor[func(string, string, string) string](),
			reflect.TypeFor[func(string, string, string, int) string](),
		},
	},
	{
		Name: "join",
		Func: func(args ...any) (any, error) {
			glue := ""
			if len(args) == 2 {
				glue = args[1].(string)
			}
			list, ok := args[0].([]any)
			if !ok {
				return nil, fmt.Errorf("join takes a list, not %s", kindOf(args[0]))
			}
			items := make([]string, len(list))
			size := 0
			for i, item := range list {
				s, ok := item.(string)
				if !ok {
					return nil, fmt.Errorf("join: element %d is %s, not text", i, kindOf(item))
				}
				if size += len(s) + len(glue); size > maxExprBytes {
					return nil, errTooLarge
				}
				items[i] = s
			}
			return strings.Join(items, glue), nil
		},
		Types: []reflect.Type{reflect.TypeFor[func([]any, string) string](), reflect.TypeFor[func([]any) string]()},
	},
	split("split", 0),
	split("splitAfter", 1),
	function("int", wholeNumber),
	function("uniq", uniq),
	function("flatten", flatten),
	function("fromPairs", fromPairs),
	function("toJSON", func(v any) (string, error) {
		if err := fitsBudget(v); err != nil {
			return "", err
		}
		b, err := AppendJSON(nil, v)
		return textOf(b), err
	}),
	function("fromJSON", func(s string) (any, error) {
		if err := CheckJSON(s); err != nil {
			return nil, err
		}
		if decodedSize(s) > maxExprBytes {
			return nil, errTooLarge
		}
		return DecodeJSON(s), nil
	}),
	function("string", func(v any) (string, error) {
		if err := fitsBudget(v); err != nil {
			return "", err
		}
		if v == nil {
			return "null", nil
		}
		b, err := AppendText(nil, v)
		return textOf(b), err
	}),
	function("keys", func(v any) ([]any, error) {
		pairs, err := pairsOf("keys", v)
		out := make([]any, len(pairs))
		for i, p := range pairs {
			out[i] = p.key
		}
		return out, err
	}),
	function("values", func(v any) ([]any, error) {
		pairs, err := pairsOf("values", v)
		out := make([]any, len(pairs))
		for i, p := range pairs {
			out[i] = p.value
		}
		return out, err
	}),
	function("toPairs", func(v any) ([]any, error) {
		pairs, err := pairsOf("toPairs", v)
		out := make([]any, len(pairs))
		for i, p := range pairs {
			out[i] = []any{p.key, p.value}
		}
		return out, err
	}),
}

// functions are ours and those of expr-lang that it checks in exponential time
// when calls nest: its checker looks into the arguments once for each of
// several signatures. Here Validate has them all.
var functions = func() []*builtin.Function {
	list := slices.Clone(ours)
	for _, name := range []string{"trim", "trimPrefix", "trimSuffix", "sort"} {
		f := *builtin.Builtins[builtin.Index[name]]
		if safe := f.Safe; f.Func == nil {
			f.Func = func(args ...any) (any, error) {
				v, _, err := safe(args...)
				return v, err
			}
		}
		list = append(list, &f)
	}
	for _, f := range list {
		if len(f.Types) > 1 {
			f.Validate, f.Types = signatures(f.Name, f.Types), nil
		}
	}
	for _, f := range library {
		list = append(list, f.builtin())
	}
	return list
}()

// signatures finds the type of a call among the types of a function.
func signatures(name string, types []reflect.Type) func(args []reflect.Type) (reflect.Type, error) {
	return func(args []reflect.Type) (reflect.Type, error) {
		err := fmt.Errorf("%s does not take %d arguments", name, len(args))
	next:
		for _, t := range types {
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			if t.NumIn() != len(args) {
				continue
			}
			for i, arg := range args {
				if in := t.In(i); arg == nil || arg.Kind() != reflect.Interface && !arg.AssignableTo(in) {
					err = fmt.Errorf("cannot use %v as argument (type %s) to call %s", arg, in, name)
					continue next
				}
			}
			return t.Out(0), nil
		}
		return nil, err
	}
}

// function wraps a Go function of one or two arguments.
func function(name string, fn any) *builtin.Function {
	f := &builtin.Function{Name: name}
	switch fn := fn.(type) {
	case func(any) (string, error):
		f.Func = func(args ...any) (any, error) { return fn(args[0]) }
		f.Types = []reflect.Type{reflect.TypeFor[func(any) string]()}
	case func(any) ([]any, error):
		f.Func = func(args ...any) (any, error) { return fn(args[0]) }
		f.Types = []reflect.Type{reflect.TypeFor[func(any) []any]()}
	case func([]any) ([]any, error):
		f.Func = func(args ...any) (any, error) {
			list, ok := args[0].([]any)
			if !ok {
				return nil, fmt.Errorf("%s takes a list, not %s", name, kindOf(args[0]))
			}
			return fn(list)
		}
		f.Types = []reflect.Type{reflect.TypeFor[func([]any) []any]()}
	case func([]any) (map[string]any, error):
		f.Func = func(args ...any) (any, error) {
			list, ok := args[0].([]any)
			if !ok {
				return nil, fmt.Errorf("%s takes a list, not %s", name, kindOf(args[0]))
			}
			return fn(list)
		}
		f.Types = []reflect.Type{reflect.TypeFor[func([]any) map[string]any]()}
	case func(any) (int, error):
		f.Func = func(args ...any) (any, error) { return fn(args[0]) }
		f.Types = []reflect.Type{reflect.TypeFor[func(any) int]()}
	case func(string) (any, error):
		f.Func = func(args ...any) (any, error) { return fn(args[0].(string)) }
		f.Types = []reflect.Type{reflect.TypeFor[func(string) any]()}
	case func(string, int) (string, error):
		f.Func = func(args ...any) (any, error) { return fn(args[0].(string), args[1].(int)) }
		f.Types = []reflect.Type{reflect.TypeFor[func(string, int) string]()}
	}
	return f
}

// fitsBudget bounds the text of v before it is made: a small list can hold
// one large text many times.
func fitsBudget(v any) error {
	if sizeOf(v, maxExprBytes, 0) < 0 {
		return errTooLarge
	}
	return nil
}

// sizeOf gives what is left of budget after the text of v, or less than 0.
func sizeOf(v any, budget, depth int) int {
	if depth > MaxDepth {
		return budget // AppendJSON refuses it
	}
	switch v := v.(type) {
	case string:
		budget -= len(v)
	case []any:
		for _, item := range v {
			if budget = sizeOf(item, budget-2, depth+1); budget < 0 {
				break
			}
		}
	case map[string]any:
		for k, item := range v {
			if budget = sizeOf(item, budget-len(k)-4, depth+1); budget < 0 {
				break
			}
		}
	}
	return budget
}

type pair struct{ key, value any }

// pairsOf gives an object's pairs, sorted by the text of their keys.
func pairsOf(name string, v any) ([]pair, error) {
	var pairs []pair
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			pairs = append(pairs, pair{k, item})
		}
	case map[any][]any:
		for k, items := range v {
			pairs = append(pairs, pair{k, items})
		}
	default:
		return nil, fmt.Errorf("%s takes an object, not %s", name, kindOf(v))
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return strings.Compare(fmt.Sprint(a.key), fmt.Sprint(b.key))
	})
	return pairs, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// listed joins names for a hint, a few at most.
func listed(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
