package dsl

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// paramKind is what a parameter takes. A kind with prepare takes texts that
// stand for something else, such as the name of a time zone.
type paramKind struct {
	words   string // as in: takes text here
	doc     string // what can be written, where words do not say it
	fits    func(t reflect.Type) bool
	of      func(v any) (any, error) // v as functions take it, or errKind
	prepare func(text string) (any, error)
	literal bool     // must be text that is written in the expression
	among   []string // all texts there are; nil: any
}

// takes reports whether a value of the type can be meant. The type of null is
// nil.
func (k *paramKind) takes(t reflect.Type) bool {
	switch {
	case k.fits == nil:
		return true
	case t == nil:
		return false
	}
	return t.Kind() == reflect.Interface || k.fits(t) || k.prepare != nil && t.Kind() == reflect.String
}

// value gives v as functions take it. The error begins with a verb.
func (k *paramKind) value(v any) (any, error) {
	if text, ok := v.(string); ok && k.prepare != nil {
		out, err := k.prepare(text)
		if err != nil {
			err = fmt.Errorf("is wrong: %w", err)
		}
		return out, err
	}
	out, err := k.of(v)
	switch {
	case err != errKind:
		return out, err
	case v == nil:
		return nil, errors.New("is null (write ?? to say what absence means)")
	}
	return nil, fmt.Errorf("is %s, not %s", kindOf(v), k.words)
}

// errKind says that a value is not of the kind of a parameter.
var errKind = errors.New("not of the kind")

// ofType takes a T as it is.
func ofType[T any](v any) (any, error) {
	if t, ok := v.(T); ok {
		return t, nil
	}
	return nil, errKind
}

// paramKinds are the kinds by the names that signatures call them.
var paramKinds = map[string]*paramKind{
	"any":  {words: "anything", of: func(v any) (any, error) { return v, nil }},
	"text": textKind,
	"text or null": {words: "text", fits: ofKind(reflect.String), of: func(v any) (any, error) {
		if v == nil {
			return nil, nil
		}
		return textKind.of(v)
	}},
	"int":        wholeKind,
	"number":     {words: "a number", fits: isNumeric, of: numberOf},
	"list":       {words: "a list", fits: ofKind(reflect.Slice), of: listOf},
	"object":     {words: "an object", fits: ofKind(reflect.Map), of: objectOf},
	"time":       timeKind,
	"amount":     amountKind,
	"layout":     layoutKind,
	"zone":       zoneKind,
	"unit":       unitKind,
	"resolution": resolutionKind,
	"pattern":    patternKind,
	"decimal":    decimalKind,
	"rounding":   roundingKind,
	"algorithm":  algorithmKind,
	"encoding":   encodingKind,
}

// resultTypes are the types that expr-lang is told of the results of signatures.
var resultTypes = map[string]reflect.Type{
	"any": anyType, "number": anyType, "object or null": anyType,
	"text": reflect.TypeFor[string](), "int": reflect.TypeFor[int](), "bool": reflect.TypeFor[bool](),
	"list": reflect.TypeFor[[]any](), "object": reflect.TypeFor[map[string]any](), "time": reflect.TypeFor[time.Time](),
}

// ParameterKind is what the parameters of some functions take, for the reference.
type ParameterKind struct{ Name, Doc string }

// ParameterKinds lists the kinds whose texts stand for something else.
func ParameterKinds() []ParameterKind {
	var all []ParameterKind
	for _, name := range slices.Sorted(maps.Keys(paramKinds)) {
		if k := paramKinds[name]; k.doc != "" {
			all = append(all, ParameterKind{name, k.doc})
		}
	}
	return all
}

var (
	textKind  = &paramKind{words: "text", fits: ofKind(reflect.String), of: ofType[string]}
	wholeKind = &paramKind{words: "a whole number", fits: isNumeric, of: func(v any) (any, error) {
		switch v.(type) {
		case int, float64, Number:
			if n, ok := numberKey(v).(int); ok {
				return n, nil
			}
			return nil, errors.New("is not a whole number of 64 bits")
		}
		return nil, errKind
	}}
)

func ofKind(k reflect.Kind) func(reflect.Type) bool {
	return func(t reflect.Type) bool { return t.Kind() == k }
}

// isNumeric leaves out the durations.
func isNumeric(t reflect.Type) bool {
	return t == reflect.TypeFor[int]() || t == reflect.TypeFor[float64]()
}

func numberOf(v any) (any, error) {
	switch v.(type) {
	case int, float64, Number:
		return v, nil
	}
	return nil, errKind
}

// prepared is a kind of texts that stand for a T. A T itself is taken, too.
func prepared[T any](words, doc string, prepare func(text string) (any, error)) *paramKind {
	return &paramKind{
		words: words, doc: doc, prepare: prepare,
		fits: func(t reflect.Type) bool { return t == reflect.TypeFor[T]() },
		of:   ofType[T],
	}
}

// word is one of the words that a kind of few knows.
type word[T any] struct {
	name string
	is   T
}

// oneOf is a kind of a few words.
func oneOf[T any](words string, list ...word[T]) *paramKind {
	names := make([]string, len(list))
	for i, w := range list {
		names[i] = w.name
	}
	doc := "`" + strings.Join(names, "`, `") + "`"
	kind := prepared[*T](words, doc, func(text string) (any, error) {
		if i := slices.Index(names, text); i >= 0 {
			return &list[i].is, nil
		}
		hint := "write one of " + strings.Join(names, ", ")
		if near, ok := Nearest(text, names); ok {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, &remedy{excerpt(text) + " is not " + words, hint}
	})
	kind.among = names
	return kind
}

func listOf(v any) (any, error) { return ofType[[]any](plainList(v)) }

// objectOf gives the objects of all kinds that values have as one.
func objectOf(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, s := range v {
			out[k] = s
		}
		return out, nil
	case map[any][]any:
		out := make(map[string]any, len(v))
		for k, items := range v {
			key, err := AppendText(nil, k)
			if err != nil {
				return nil, err
			}
			if _, taken := out[string(key)]; taken {
				return nil, fmt.Errorf("has two groups with the key %s", excerpt(string(key)))
			}
			out[string(key)] = items
		}
		return out, nil
	}
	return nil, errKind
}
