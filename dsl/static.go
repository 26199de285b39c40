package dsl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kinds is a set of kinds of values.
type Kinds uint16

// The kinds that a value can be of.
const (
	IsNull Kinds = 1 << iota
	IsBool
	IsInt
	IsFloat // a number that is not whole
	IsText
	IsList
	IsObject
	IsTime
	IsDuration

	IsNumber = IsInt | IsFloat
)

// kindNames are the words for each kind, in the order of the bits.
var kindNames = [...]string{"null", "true or false", "a whole number", "a fraction", "text", "a list", "an object", "a time", "a duration"}

// String is how messages call the set: "text", "a number or null".
func (k Kinds) String() string {
	var words []string
	for i, name := range kindNames {
		switch bit := Kinds(1 << i); {
		case k&bit == 0 || bit == IsNull:
		case bit == IsInt && k&IsFloat != 0:
			words = append(words, "a number")
		case bit == IsFloat && k&IsInt != 0:
		default:
			words = append(words, name)
		}
	}
	if k&IsNull != 0 {
		words = append(words, "null")
	}
	switch n := len(words); n {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
}

// StaticType is what is known of a value before any request is seen, from a
// schema or from how the value is made. Expressions are checked against it.
// Nothing at run time relies on it, for a backend can answer otherwise than it
// promised. nil is a value of which nothing is known. It is immutable once the
// program is checked, and may contain itself.
type StaticType struct {
	Kinds  Kinds
	Elem   *StaticType            // of the elements of a list
	Fields map[string]StaticField // of an object; nil: any can be there
	Open   bool                   // an object can have other fields than Fields
	Rest   *StaticType            // of the fields of an object that are not among Fields
	Values []string               // the only texts there can be; nil: any
	Holds  *Held                  // a secret that the value may hold, or a part of it; nil: none

	throughout bool // every part may hold it, and not only those whose types say so
}

// StaticField is one field of an object.
type StaticField struct {
	Type     *StaticType
	Optional bool // it can be left out, and that is said, rather than not said to be required
	Required bool // it cannot be left out
}

// Static makes the type of values of some kinds, of which no more is known.
func Static(k Kinds) *StaticType { return &StaticType{Kinds: k} }

// ListOf is the type of a list.
func ListOf(elem *StaticType) *StaticType {
	return &StaticType{Kinds: IsList, Elem: elem, Holds: elem.Held()}
}

// ObjectOf is the type of an object that has these fields and no others.
func ObjectOf(fields map[string]StaticField) *StaticType {
	t := &StaticType{Kinds: IsObject, Fields: fields}
	for _, name := range sortedKeys(fields) {
		t.Holds = firstHeld(t.Holds, fields[name].Type.Held())
	}
	return t
}

// nothing is the type of the elements of an empty list: it joins with any.
var nothing = &StaticType{}

func isNothing(t *StaticType) bool { return t != nil && t.Kinds == 0 }

// can reports whether a value of the type can be of one of the kinds.
func (t *StaticType) can(k Kinds) bool { return t == nil || t.Kinds&k != 0 }

// Element is the type of the elements of a list.
func (t *StaticType) Element() *StaticType {
	if t == nil {
		return nil
	}
	elem := t.Elem
	if isNothing(elem) {
		elem = nil
	}
	return t.part(elem, elem != nil)
}

// OrNull is the type of a value that may also be null.
func (t *StaticType) OrNull() *StaticType {
	if t == nil || t.Kinds&IsNull != 0 {
		return t
	}
	out := *t
	out.Kinds |= IsNull
	return &out
}

// NotNull is the type of a value that turned out not to be null.
func (t *StaticType) NotNull() *StaticType {
	if t == nil || t.Kinds&IsNull == 0 {
		return t
	}
	out := *t
	out.Kinds &^= IsNull
	return &out
}

// Join is the type of a value that is of one type or the other. A field that
// only one of two objects has is optional.
func Join(a, b *StaticType) *StaticType { return joiner{}.join(a, b) }

// joiner remembers the joins that are under way: types may contain themselves.
type joiner map[[2]*StaticType]*StaticType

func (j joiner) join(a, b *StaticType) *StaticType {
	switch {
	case a == nil || b == nil:
		return (*StaticType)(nil).Holding(firstHeld(a.Held(), b.Held()))
	case a == b || isNothing(b):
		return a
	case isNothing(a):
		return b
	}
	if known, ok := j[[2]*StaticType{a, b}]; ok {
		return known
	}
	out := &StaticType{Kinds: a.Kinds | b.Kinds, Holds: firstHeld(a.Holds, b.Holds), throughout: a.throughout || b.throughout}
	j[[2]*StaticType{a, b}] = out
	out.Elem = pick(a, b, IsList, func() *StaticType { return j.join(a.Elem, b.Elem) }, func(t *StaticType) *StaticType { return t.Elem })
	switch {
	case a.Kinds&IsObject == 0:
		out.Fields, out.Open, out.Rest = b.Fields, b.Open, b.Rest
	case b.Kinds&IsObject == 0:
		out.Fields, out.Open, out.Rest = a.Fields, a.Open, a.Rest
	default:
		j.objects(out, a, b)
	}
	switch {
	case a.Kinds&IsText == 0:
		out.Values = b.Values
	case b.Kinds&IsText == 0:
		out.Values = a.Values
	case a.Values != nil && b.Values != nil:
		out.Values = slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.Values, b.Values))))
	}
	return out
}

// pick takes a part from the one of two types that has the kind, or from both.
func pick(a, b *StaticType, k Kinds, both func() *StaticType, part func(*StaticType) *StaticType) *StaticType {
	switch {
	case a.Kinds&k == 0:
		return part(b)
	case b.Kinds&k == 0:
		return part(a)
	}
	return both()
}

func (j joiner) objects(out, a, b *StaticType) {
	out.Open = a.Open || b.Open
	switch {
	case !a.Open:
		out.Rest = b.Rest
	case !b.Open:
		out.Rest = a.Rest
	default:
		out.Rest = j.join(a.Rest, b.Rest)
	}
	if a.Fields == nil || b.Fields == nil {
		out.Open = true
		return
	}
	out.Fields = maps.Clone(a.Fields)
	for name, m := range b.Fields {
		if other, ok := a.Fields[name]; ok {
			out.Fields[name] = StaticField{Type: j.join(other.Type, m.Type), Optional: other.Optional || m.Optional, Required: other.Required && m.Required}
		} else {
			out.Fields[name] = StaticField{Type: m.Type, Optional: m.Optional}
		}
	}
	for name, m := range a.Fields {
		if _, ok := b.Fields[name]; !ok {
			out.Fields[name] = StaticField{Type: m.Type, Optional: m.Optional}
		}
	}
}

// member is the type of a field or an element of a value that messages call
// label, or why there can be none.
func (t *StaticType) member(key Key, label string) (*StaticType, *Diagnostic) {
	if t == nil || t.Kinds&^IsNull == 0 {
		return nil, nil
	}
	if key.IsIndex {
		if t.can(IsList) {
			return t.Element(), nil
		}
		d := &Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("%s is %s and has no elements", label, t.Kinds&^IsNull), Hint: "write " + label}
		if t.can(IsObject) {
			d.Hint = fmt.Sprintf("read a field of it by its name: it has %s", listed(sortedKeys(t.Fields)))
		}
		return nil, d
	}
	if !t.can(IsObject) {
		d := &Diagnostic{Code: "unknown-field", Message: fmt.Sprintf("%s is %s and has no field %q", label, t.Kinds&^IsNull, key.Name), Hint: "write " + label}
		if t.can(IsList) {
			d.Hint = fmt.Sprintf("write [0] for its first element, or map(%s, .%s) for the %s of each", label, key.Name, key.Name)
		}
		return nil, d
	}
	if m, ok := t.Fields[key.Name]; ok {
		if m.Optional {
			return t.part(m.Type.OrNull(), true), nil
		}
		return t.part(m.Type, true), nil
	}
	if t.Open || t.Fields == nil {
		return t.part(t.Rest, false), nil
	}
	d := &Diagnostic{Code: "unknown-field", Message: fmt.Sprintf("%s has no field %q", label, key.Name)}
	t.suggest(d, key.Name)
	return nil, d
}

// suggest says what to write for the name of a field that is not there.
func (t *StaticType) suggest(d *Diagnostic, name string) (near string, ok bool) {
	fields := sortedKeys(t.Fields)
	d.Hint = "it has none"
	if len(fields) > 0 {
		d.Hint = "it has " + listed(fields)
	}
	return d.Suggest(name, fields)
}
