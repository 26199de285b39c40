package dsl

import (
	"fmt"
	"slices"
	"strings"
)

// Elements is what is known of the elements of the list that an expression
// gives. What cannot be a list is reported.
func (x *Expressions) Elements(e *Expr) *StaticType {
	t := x.types[e]
	if t.can(IsList) {
		return t.Element()
	}
	d := Diagnostic{Span: e.Span(), Code: "wrong-type", Message: fmt.Sprintf("a list is needed here; this is %s", t.Kinds), Hint: "give a list; for one value write [" + e.String() + "]"}
	if t.can(IsObject) {
		d.Hint = "its values are a list: values(" + e.String() + ")"
	}
	x.report.Report(d)
	return nil
}

// ShapeType is what is known of the value that a shape makes, which Shape has
// compiled.
func (x *Expressions) ShapeType(n *Node) *StaticType { return x.typeOf(n) }

func (x *Expressions) typeOf(n *Node) *StaticType {
	switch n.Kind {
	case List:
		elem := nothing
		for _, item := range n.Items {
			elem = Join(elem, x.typeOf(item))
		}
		return ListOf(elem)
	case Map:
		object := x.objectType(n)
		switch {
		case n.Field("$each") != nil:
			return ListOf(object)
		case n.Field("$if") != nil:
			return object.OrNull()
		}
		return object
	}
	if e, ok := x.leaves[n]; ok {
		return x.types[e]
	}
	return Static(scalarKind(n)).Holding(x.heldText(n))
}

func (x *Expressions) objectType(n *Node) *StaticType {
	fields := make(map[string]StaticField, len(n.Fields))
	for _, f := range n.Fields {
		if name, ok := fieldName(f.Key); ok {
			left := isBlock(f.Value) && f.Value.Field("$each") == nil // $if may leave it out
			fields[name] = StaticField{Type: x.typeOf(f.Value).NotNullIf(left), Optional: left, Required: !left}
		}
	}
	return ObjectOf(fields)
}

// NotNullIf is NotNull if cond is true, and the type itself if not.
func (t *StaticType) NotNullIf(cond bool) *StaticType {
	if cond {
		return t.NotNull()
	}
	return t
}

// fieldName is the name that a key of a shape stands for; directives stand for
// none.
func fieldName(key *Node) (string, bool) {
	name, escaped := strings.CutPrefix(key.Text, "$")
	if !escaped {
		return key.Text, true
	}
	return name, strings.HasPrefix(name, "$")
}

func scalarKind(n *Node) Kinds {
	return [...]Kinds{Null: IsNull, Bool: IsBool, Int: IsInt, Float: IsFloat, Str: IsText}[n.Type]
}

// Fits reports what in a shape, which Shape has compiled, cannot be of the type
// that is wanted. label is how messages call the whole.
func (x *Expressions) Fits(n *Node, want *StaticType, label string) {
	f := fitter{x}
	f.node(n, want, label)
}

type fitter struct{ *Expressions }

func (f *fitter) node(n *Node, want *StaticType, label string) {
	switch {
	case want == nil || n.broken:
	case n.Kind == Map && n.Field("$each") != nil:
		if !want.can(IsList) {
			f.wrong(n, want, IsList, label)
			return
		}
		f.object(n, want.Element(), anElement+label)
	case n.Kind == Map:
		f.object(n, want, label)
	case n.Kind == List:
		if !want.can(IsList) {
			f.wrong(n, want, IsList, label)
			return
		}
		for i, item := range n.Items {
			f.node(item, want.Element(), labelBelow(label, Key{Index: i, IsIndex: true}))
		}
	default:
		f.scalar(n, want, label)
	}
}

func (f *fitter) wrong(n *Node, want *StaticType, got Kinds, label string) {
	d := Diagnostic{Span: n.head(), Code: "wrong-type", Message: fmt.Sprintf("%s is %s here, not %s", label, want.Kinds, got), Hint: "write " + want.Kinds.String()}
	if n.Kind == Scalar {
		d.Span = n.Span
		if number := resolve(n.Text); n.Style != Plain && got == IsText && (number == Int && want.can(IsInt) || number == Float && want.can(IsFloat) || number == Bool && want.can(IsBool)) {
			d.Hint = fmt.Sprintf("write %s without quotes", n.Text)
		} else if got != IsNull && got != IsText && want.can(IsText) {
			d.Hint = fmt.Sprintf("write %q", n.Text)
		}
	}
	f.report.Report(d)
}

func (f *fitter) scalar(n *Node, want *StaticType, label string) {
	if e, ok := f.leaves[n]; ok {
		f.value(n, f.types[e], want, label, 0)
		return
	}
	got := scalarKind(n)
	switch {
	case !want.can(got):
		f.wrong(n, want, got, label)
	case got == IsText && want.Kinds&^IsNull == IsText && want.Values != nil && !strings.Contains(n.Text, "$(") && !slices.Contains(want.Values, n.Text):
		d := notAmong(label, n.Text, want.Values)
		d.Span, d.Message = n.Span, fmt.Sprintf("%s cannot be %q", label, n.Text)
		f.report.Report(d)
	}
}

// value is about an expression, whose parts have no places of their own.
func (f *fitter) value(n *Node, got, want *StaticType, label string, depth int) {
	const deep = 8 // types may contain themselves
	if got == nil || want == nil || isNothing(got) || depth > deep || got == want {
		return
	}
	report := func(message, hint string) {
		f.report.Report(Diagnostic{Span: n.Span, Code: "wrong-type", Message: message, Hint: hint})
	}
	kinds := got.Kinds &^ IsNull
	if kinds == 0 && want.can(IsNull) {
		return
	}
	if !want.can(kinds) {
		hint := "give " + want.Kinds.String()
		switch {
		case want.can(IsText) && kinds&^(IsNumber|IsBool) == 0 && n.Text != "":
			hint = "convert it with string(x)"
		case want.can(IsInt) && kinds == IsText:
			hint = "convert it with int(x)"
		case want.can(IsFloat) && kinds == IsText:
			hint = "convert it with float(x)"
		}
		report(fmt.Sprintf("%s is %s here; this gives %s", label, want.Kinds, got.Kinds), hint)
		return
	}
	if kinds == IsList {
		f.value(n, got.Elem, want.Elem, anElement+label, depth+1)
	}
	if kinds != IsObject {
		return
	}
	for _, name := range sortedKeys(want.Fields) {
		m := want.Fields[name]
		have, ok := got.Fields[name]
		switch {
		case ok:
			f.value(n, have.Type, m.Type, labelBelow(label, Key{Name: name}), depth+1)
		case m.Required && got.Fields != nil && !got.Open:
			report(fmt.Sprintf("%s needs the field %q; this gives none", label, name), "write the fields one by one, as in { "+name+": ... }")
			return
		}
	}
}

func (f *fitter) object(n *Node, want *StaticType, label string) {
	if want == nil {
		return
	}
	if !want.can(IsObject) {
		f.wrong(n, want, IsObject, label)
		return
	}
	written := map[string]bool{}
	var meant []string
	for _, field := range n.Fields {
		name, ok := fieldName(field.Key)
		if !ok {
			continue
		}
		written[name] = true
		m, known := want.Fields[name]
		switch {
		case known:
			f.node(field.Value, m.Type, labelBelow(label, Key{Name: name}))
		case want.Open || want.Fields == nil:
			f.node(field.Value, want.Rest, labelBelow(label, Key{Name: name}))
		default:
			d := Diagnostic{Span: field.Key.Span, Code: "unknown-field", Message: fmt.Sprintf("%s has no field %q", label, name)}
			if near, ok := want.suggest(&d, name); ok {
				meant = append(meant, near)
			}
			f.report.Report(d)
		}
	}
	for _, name := range sortedKeys(want.Fields) {
		if !want.Fields[name].Required || written[name] || slices.Contains(meant, name) {
			continue
		}
		span := n.KeySpan()
		if n.key == nil {
			span = n.head()
		}
		f.report.Report(Diagnostic{Span: span, Code: "missing-field", Message: fmt.Sprintf("%s needs the field %q", label, name), Hint: fmt.Sprintf("add %s: %s", name, describeWanted(want.Fields[name].Type))})
	}
}

func describeWanted(t *StaticType) string {
	if t == nil {
		return "..."
	}
	return t.Kinds.String()
}
