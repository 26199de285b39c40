package dsl

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Decode fills the structs that the targets point to from the mapping n: each
// key goes to the first struct that declares it. It reports unknown and missing
// keys, values of a wrong type, out of range or not among those allowed, and is
// true if none was. What is absent gets its default.
//
// The keys are the tags of the exported fields:
//
//	yaml:"key"       the key; "-" leaves the field out; ",span" on a field of
//	                 type Span takes the place of the whole mapping
//	doc:"..."        what it is for
//	default:"..."    the value of an absent key, as in YAML
//	enum:"a|b"       the texts that are allowed (of a list: for its items)
//	required:"true"  the key must be there
//	min:"1" max:"9"  the range, in the notation of the value
//	order:"first"    where Format writes the key, if not in the order of the
//	                 declaration: first or last
//	literal:"2"      of a Text: how many of its first words are literals; of any
//	                 field none, for one that Literals leaves as it is
//
// A field is a string, bool, int, float64, Duration, Size, Percent, Rate, String,
// *Node, Shape, Text, Cond, Secret, Steps, Block, Branches, Bundles, Several, a type with
// UnmarshalText, a struct, a pointer to any of these (nil if the key is absent),
// a slice, or a map with string keys. Embedded structs are inlined. A node that
// Expand has put a secret into fits nothing but a Secret.
func Decode(n *Node, r Reporter, targets ...any) bool {
	_, clean := decode(n, r, targets)
	return clean
}

// decode also tells whether the first target has all that it needs: what else is
// wrong need not keep the rest from being looked at. A value that does not fit
// is left out, as if it were not written; of a mapping of keys to mappings only
// what is wrong inside.
func decode(n *Node, r Reporter, targets []any) (usable, clean bool) {
	d := decoder{r: r}
	parts := make([]part, 0, 4)
	for _, target := range targets {
		v := reflect.ValueOf(target)
		if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
			d.errorf(n.Span, "config-type", "", "internal: cannot decode into %T", target)
			return false, false
		}
		parts = append(parts, newPart(v.Elem()))
	}
	d.object(n, parts, "this", false)
	return n.Kind == Map && !n.broken && !parts[0].lacking, !d.failed && !d.unknown
}

type decoder struct {
	r       Reporter
	failed  bool // a value is missing or does not fit
	unknown bool // a key is not known
}

// part is one of the structs that a mapping is decoded into.
type part struct {
	plan  *plan
	value reflect.Value
	seen  uint64
	more  []bool // what seen has no room for

	lacking bool // a required key is missing, or its value does not fit
}

func newPart(v reflect.Value) part {
	p := part{plan: planOf(v.Type()), value: v}
	if k := len(p.plan.fields); k > 64 {
		p.more = make([]bool, k)
	}
	return p
}

func (p *part) see(i int) {
	if p.more != nil {
		p.more[i] = true
	} else {
		p.seen |= 1 << i
	}
}

func (p *part) saw(i int) bool {
	if p.more != nil {
		return p.more[i]
	}
	return p.seen>>i&1 == 1
}

func (d *decoder) errorf(span Span, code, hint, format string, args ...any) {
	d.report(Diagnostic{Span: span, Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) report(x Diagnostic) {
	d.failed = true
	d.r.Report(x)
}

// object decodes a mapping. name is how messages call it. An absent object (n is
// an empty mapping) only takes its defaults.
func (d *decoder) object(n *Node, parts []part, name string, absent bool) {
	for _, p := range parts {
		if p.plan.fault != nil {
			d.errorf(n.Span, "config-type", "", "internal: %s", strings.ReplaceAll(p.plan.fault.Error(), "\n", "; "))
			return
		}
	}
	if n.Kind != Map {
		d.failed = true
		switch {
		case n.broken:
		case n.Kind == Scalar && n.Type == Null && n.Text == "":
			d.mismatch(n, formObject, name, "")
		default:
			fault := Diagnostic{Span: n.head(), Code: "wrong-type", Message: fmt.Sprintf("%s is a mapping here, not %s", name, n.found())}
			repairObject(&fault, n, parts[0].plan.fields)
			d.report(fault)
		}
		return
	}
	var meant []string // by keys that are misspelt
	for i := range n.Fields {
		key, value := n.Fields[i].Key, n.Fields[i].Value
		if !d.give(key.Text, value, parts) {
			meant = append(meant, d.unknownKey(key, value, n, parts))
		}
	}
	for i := range parts {
		p := &parts[i]
		for _, index := range p.plan.spans {
			p.value.FieldByIndex(index).Set(reflect.ValueOf(n.Span))
		}
		for k := range p.plan.fields {
			x := &p.plan.fields[k]
			switch {
			case p.saw(k):
			case x.required && slices.Contains(meant, x.key):
				d.failed, p.lacking = true, true
			default:
				p.lacking = p.lacking || x.required
				d.absent(n, p.value, x, absent)
			}
		}
	}
}

func (d *decoder) give(key string, value *Node, parts []part) bool {
	for i := range parts {
		p := &parts[i]
		if k, ok := p.plan.byKey[key]; ok {
			p.see(k)
			x := &p.plan.fields[k]
			field := p.value.FieldByIndex(x.index)
			if !d.value(value, field, x.shape, x, x.key) {
				field.SetZero()
				p.lacking = p.lacking || x.required
			}
			return true
		}
	}
	return false
}

// unknownKey also gives the key that was probably meant, or "".
func (d *decoder) unknownKey(key, value, among *Node, parts []part) (nearest string) {
	var keys []string
	for _, p := range parts {
		keys = append(keys, p.plan.keys...)
	}
	x := Diagnostic{Span: key.Span, Code: "unknown-key", Message: fmt.Sprintf("unknown key %q", key.Text), Hint: "delete it; nothing can be set here"}
	if len(keys) > 0 {
		x.Hint = "the keys here are " + strings.Join(keys, ", ")
	}
	if nearest, _ = x.SuggestWord(key.Text, keys); among.Field(nearest) != nil {
		x.slip = nil // it is written, too
	}
	d.unknown = true
	d.r.Report(x)
	if nearest != "" && among.Field(nearest) == nil {
		d.glance(nearest, value, parts)
	}
	return nearest
}

// glance reports what is wrong with the value of a misspelt key, and takes it
// for nothing: whoever compiles the mapping finds no such key in it.
func (d *decoder) glance(key string, value *Node, parts []part) {
	for _, p := range parts {
		if k, ok := p.plan.byKey[key]; ok {
			x := &p.plan.fields[k]
			d.value(value, reflect.New(x.shape.typ).Elem(), x.shape, x, x.key)
			return
		}
	}
}

// absent deals with a key that is not written.
func (d *decoder) absent(n *Node, v reflect.Value, x *field, quiet bool) {
	switch {
	case x.initial != nil:
		d.value(x.initial, v.FieldByIndex(x.index), x.shape, x, x.key)
	case x.required && !quiet:
		span := Span{n.Span.Source, n.Span.Start, n.Span.End}
		if len(n.Fields) > 0 && n.Fields[0].Key.Span.Start == span.Start {
			span = n.Fields[0].Key.Span
		}
		hint := fmt.Sprintf("add %s: %s", x.key, x.shape.target().form.wanted())
		if x.doc != "" {
			hint += " (" + strings.TrimSuffix(x.doc, ".") + ")"
		}
		d.errorf(span, "missing-key", hint, "the key %q is missing", x.key)
	case x.shape.form == formObject:
		d.object(&Node{Kind: Map, Span: n.Span}, []part{newPart(v.FieldByIndex(x.index))}, x.key, true)
	}
}

// value decodes n into v, and reports whether v can be used. x holds the field's
// enum and range; name is how messages call the value.
func (d *decoder) value(n *Node, v reflect.Value, s *shape, x *field, name string) bool {
	if n.broken {
		d.failed = true
		if fault, ok := repeated(n, s.target().form); ok {
			d.r.Report(fault) // again, and now it is known what is wanted
		}
		return false
	}
	if !d.mayHold(n, s.form, name) {
		return false
	}
	switch s.form {
	case formPointer:
		p := reflect.New(s.elem.typ)
		if !d.value(n, p.Elem(), s.elem, x, name) {
			return false
		}
		v.Set(p)
	case formNode:
		v.Set(reflect.ValueOf(n))
	case formShape:
		v.Set(reflect.ValueOf(Shape{n}))
	case formSteps:
		if !d.is(n, List, s.form, name) {
			return false
		}
		v.Set(reflect.ValueOf(Steps{n}))
	case formBlock:
		if !d.is(n, Map, s.form, name) {
			return false
		}
		v.Set(reflect.ValueOf(Block{n}))
	case formSeveral:
		v.Field(0).Set(reflect.ValueOf(n))
	case formBranches:
		if n.Kind == Scalar {
			d.mismatch(n, s.form, quotedName(name), "")
			return false
		}
		v.Set(reflect.ValueOf(Branches{n}))
	case formBundles:
		if !d.is(n, List, s.form, name) {
			return false
		}
		v.Set(reflect.ValueOf(Bundles{n.Items}))
	case formObject:
		var room [1]part
		room[0] = newPart(v)
		d.object(n, room[:], quotedName(name), false)
		return n.Kind == Map && !room[0].lacking
	case formList:
		return d.list(n, v, s, x, name)
	case formTable:
		return d.table(n, v, s, x, name)
	default:
		if n.Kind != Scalar || n.Type == Null {
			d.mismatch(n, s.form, quotedName(name), x.doc)
			return false
		}
		return d.scalar(n, v, s, x, name)
	}
	return true
}

// mayHold reports a secret where values are shown: in logs, metrics and plans.
func (d *decoder) mayHold(n *Node, f form, name string) bool {
	var h *Held
	switch f {
	case formNode, formShape, formSteps, formBlock, formBundles:
		h = heldIn(n) // nobody looks below them here
	case formPointer, formSecret:
	default:
		h = n.held
	}
	if h != nil {
		d.errorf(h.Span, "secret-exposed", "write the value, or $(env.NAME) if it differs between machines; a key that takes a secret is of type secret in the reference",
			"%s takes no secret: its value is shown in logs and metrics", quotedName(name))
	}
	return h == nil
}

func (d *decoder) list(n *Node, v reflect.Value, s *shape, x *field, name string) bool {
	if !d.is(n, List, s.form, name) {
		return false
	}
	ok := true
	list := reflect.MakeSlice(s.typ, len(n.Items), len(n.Items))
	for i, item := range n.Items {
		ok = d.value(item, list.Index(i), s.elem, x, fmt.Sprintf("%s[%d]", name, i)) && ok
	}
	v.Set(list)
	return ok
}

// table leaves out the entries that cannot be used.
func (d *decoder) table(n *Node, v reflect.Value, s *shape, x *field, name string) bool {
	if !d.is(n, Map, s.form, name) {
		return false
	}
	table := reflect.MakeMapWithSize(s.typ, len(n.Fields))
	for _, f := range n.Fields {
		elem := reflect.New(s.elem.typ).Elem()
		if d.value(f.Value, elem, s.elem, x, name+"."+f.Key.Text) {
			table.SetMapIndex(reflect.ValueOf(f.Key.Text), elem)
		}
	}
	v.Set(table)
	return true
}

func quotedName(name string) string { return strconv.Quote(name) }

func (d *decoder) is(n *Node, kind NodeKind, want form, name string) bool {
	if n.Kind == kind {
		return true
	}
	d.mismatch(n, want, quotedName(name), "")
	return false
}
