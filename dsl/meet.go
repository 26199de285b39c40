package dsl

import (
	"maps"
	"slices"
)

// Meet is the type of a value that is of both types. Where the two contradict
// each other no more is known than what either says.
func Meet(a, b *StaticType) *StaticType { return meeter{}.meet(a, b) }

// meeter remembers what is under way: types may contain themselves.
type meeter map[[2]*StaticType]*StaticType

func (m meeter) meet(a, b *StaticType) *StaticType {
	switch {
	case a == nil:
		return b
	case b == nil || a == b:
		return a
	}
	if known, ok := m[[2]*StaticType{a, b}]; ok {
		return known
	}
	out := &StaticType{}
	m[[2]*StaticType{a, b}] = out
	if out.Kinds = a.Kinds & b.Kinds; out.Kinds == 0 {
		out.Kinds = a.Kinds | b.Kinds
	}
	out.Elem = m.meet(a.Elem, b.Elem)
	switch {
	case a.Fields == nil:
		out.Fields, out.Open, out.Rest = b.Fields, b.Open, b.Rest
	case b.Fields == nil:
		out.Fields, out.Open, out.Rest = a.Fields, a.Open, a.Rest
	default:
		out.Open, out.Rest = a.Open || b.Open, m.meet(a.Rest, b.Rest)
		out.Fields = maps.Clone(a.Fields)
		for name, f := range b.Fields {
			if other, ok := out.Fields[name]; ok {
				required := f.Required || other.Required
				f = StaticField{Type: m.meet(other.Type, f.Type), Required: required, Optional: !required && (f.Optional || other.Optional)}
			}
			out.Fields[name] = f
		}
	}
	switch {
	case a.Values == nil:
		out.Values = b.Values
	case b.Values == nil:
		out.Values = a.Values
	default:
		for _, v := range a.Values {
			if slices.Contains(b.Values, v) {
				out.Values = append(out.Values, v)
			}
		}
	}
	return out
}
