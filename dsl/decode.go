package dsl

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// String is a text with its place.
type String struct {
	Value string
	Span  Span
}

// Shape is any YAML with $(...) at its leaves.
type Shape struct{ Node *Node }

// Text is a text with $(...) inside.
type Text struct{ Node *Node }

// Cond is a bare expression that gives true or false.
type Cond struct{ Node *Node }

// Steps is a list of steps.
type Steps struct{ Node *Node }

// Block is a mapping of id to step.
type Block struct{ Node *Node }

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
//
// A field is a string, bool, int, float64, Duration, Size, Percent, String,
// *Node, Shape, Text, Cond, Steps, Block, a type with UnmarshalText, a struct, a
// pointer to any of these (nil if the key is absent), a slice, or a map with
// string keys. Embedded structs are inlined.
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
	return !parts[0].lacking && n.Kind == Map && !n.broken, !d.failed && !d.unknown
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
	d.failed = true
	d.r.Report(Diagnostic{Span: span, Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)})
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
			d.mismatch(n, formObject, name)
		default:
			d.errorf(n.head(), "wrong-type", remedyForObject(n, parts[0].plan.fields), "%s is a mapping here, not %s", name, n.found())
		}
		return
	}
	var meant []string // by keys that are misspelt
	for i := range n.Fields {
		key, value := n.Fields[i].Key, n.Fields[i].Value
		if !d.give(key.Text, value, parts) {
			meant = append(meant, d.unknownKey(key, parts))
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
			before := d.failed
			d.failed = false
			d.value(value, field, x.shape, x, x.key)
			if d.failed {
				p.lacking = p.lacking || x.required
				if x.shape.form != formTable && x.shape.form != formObject {
					field.SetZero()
				}
			}
			d.failed = d.failed || before
			return true
		}
	}
	return false
}

// unknownKey also gives the key that was probably meant, or "".
func (d *decoder) unknownKey(key *Node, parts []part) (nearest string) {
	var keys []string
	for _, p := range parts {
		keys = append(keys, p.plan.keys...)
	}
	hint := "delete it; nothing can be set here"
	nearest, near := Nearest(key.Text, keys)
	if near {
		hint = fmt.Sprintf("did you mean %q?", nearest)
	} else if len(keys) > 0 {
		hint = "the keys here are " + strings.Join(keys, ", ")
	}
	d.unknown = true
	d.r.Report(Diagnostic{Span: key.Span, Code: "unknown-key", Hint: hint, Message: fmt.Sprintf("unknown key %q", key.Text)})
	return nearest
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

// mismatch reports a value of a wrong type.
func (d *decoder) mismatch(n *Node, want form, name string) {
	if n.Kind == Scalar && n.Type == Null && n.Text == "" {
		span := n.Span
		if n.key != nil {
			span = n.key.Span
		}
		where := "behind the colon"
		if want == formList || want == formSteps || want == formObject || want == formTable || want == formBlock {
			where = "below it"
		}
		d.errorf(span, "wrong-type", fmt.Sprintf("write %s %s, or delete the key", want.wanted(), where), "%s has no value", name)
		return
	}
	d.errorf(n.head(), "wrong-type", remedyFor(n, want), "%s is %s here, not %s", name, want.wanted(), n.found())
}

// head is the part of the node that is worth underlining.
func (n *Node) head() Span {
	if n.Kind == Map && len(n.Fields) > 0 && n.Fields[0].Key.Span.Start == n.Span.Start {
		return n.Fields[0].Key.Span
	}
	return n.Span
}

func (n *Node) found() string {
	switch {
	case n.Kind == List:
		return "a list"
	case n.Kind == Map:
		return "a mapping"
	case n.Type == Str && strings.Contains(n.Text, "$("):
		return "an expression"
	default:
		return n.Type.String()
	}
}

// remedyFor says what to write instead.
func remedyFor(n *Node, want form) string {
	text := strings.TrimSpace(n.Text)
	switch {
	case n.Kind == Scalar && strings.Contains(text, "$("):
		return "write the value itself: this is read when the file is loaded, before there is anything to evaluate"
	case n.Kind == Map && len(n.Fields) > 0 && strings.HasPrefix(n.Fields[0].Key.Text, "-") && n.Fields[0].Key.Style == Plain:
		return "write a space behind the dash"
	}
	number := resolve(text)
	switch want {
	case formText, formString, formTemplate, formCustom, formCond:
		if n.Kind != Scalar && strings.IndexAny(n.Span.Text(), "{[") == 0 {
			return "quote a text that begins with a bracket"
		}
		if want == formCond {
			return "write an expression, such as query.id != null"
		}
		return "write one text"
	case formInt:
		if plain, ok := plainNumber(text); ok {
			return "write " + plain
		}
		if whole, fraction, ok := strings.Cut(text, "."); ok && strings.Trim(fraction, "0") == "" && resolve(whole) == Int {
			return "write " + whole
		}
		if n.Style != Plain && number == Int {
			return fmt.Sprintf("write %s without quotes", text)
		}
		return "write a number such as 3"
	case formFloat:
		if plain, ok := plainNumber(text); ok {
			return "write " + plain
		}
		if n.Style != Plain && (number == Int || number == Float) {
			return fmt.Sprintf("write %s without quotes", text)
		}
		return "write a number such as 0.5"
	case formBool:
		if n.Style != Plain && number == Bool {
			return fmt.Sprintf("write %s without quotes", text)
		}
		return "write true or false"
	case formDuration:
		return "write a duration such as 2s or 150ms"
	case formSize:
		return "write a size such as 64KB or 10MB"
	case formPercent:
		return "write a percentage such as 20%"
	case formList:
		if n.Kind == Scalar && text != "" && !strings.ContainsAny(text, "\n,[]{}") {
			return fmt.Sprintf("write [%s]", n.Span.Text())
		}
		return "begin each item with a dash and a space"
	case formSteps:
		return "begin each step with a dash and a space"
	case formBlock:
		if n.Kind == List {
			return "write id: in place of each dash, with the step below it"
		}
	}
	if key, value, ok := strings.Cut(text, ":"); ok && n.Style == Plain && key != "" && value != "" && !strings.ContainsAny(key, " \n") {
		return "write a space behind the colon"
	}
	return "write key: value below it"
}

// remedyForObject shows the mapping that is wanted in place of n: the keys that
// it needs, or the first, with n itself as the value where that may be meant.
func remedyForObject(n *Node, keys []field) string {
	if remedy := remedyFor(n, formObject); remedy != "write key: value below it" || len(keys) == 0 {
		return remedy
	}
	wanted := keys[:1]
	if required := slices.DeleteFunc(slices.Clone(keys), func(x field) bool { return !x.required }); len(required) > 0 {
		wanted = required
	}
	shown := make([]string, len(wanted))
	for i, x := range wanted {
		shown[i] = x.key + ": ..."
		form := x.shape.target().form
		fits := n.Type == Str && (form == formText || form == formString || form == formTemplate) || n.Type == Int && form == formInt
		if len(wanted) == 1 && n.Kind == Scalar && fits {
			shown[i] = x.key + ": " + n.Span.Text()
		}
	}
	return "write { " + strings.Join(shown, ", ") + " }"
}

// value decodes n into v. x holds the field's enum and range; name is how
// messages call the value.
func (d *decoder) value(n *Node, v reflect.Value, s *shape, x *field, name string) {
	if n.broken {
		d.failed = true
		return
	}
	switch s.form {
	case formPointer:
		p := reflect.New(s.elem.typ)
		d.value(n, p.Elem(), s.elem, x, name)
		v.Set(p)
	case formNode:
		v.Set(reflect.ValueOf(n))
	case formShape:
		v.Set(reflect.ValueOf(Shape{n}))
	case formSteps:
		if d.is(n, List, s.form, name) {
			v.Set(reflect.ValueOf(Steps{n}))
		}
	case formBlock:
		if d.is(n, Map, s.form, name) {
			v.Set(reflect.ValueOf(Block{n}))
		}
	case formObject:
		var room [1]part
		room[0] = newPart(v)
		d.object(n, room[:], quotedName(name), false)
	case formList:
		if !d.is(n, List, s.form, name) {
			return
		}
		list := reflect.MakeSlice(s.typ, len(n.Items), len(n.Items))
		for i, item := range n.Items {
			d.value(item, list.Index(i), s.elem, x, fmt.Sprintf("%s[%d]", name, i))
		}
		v.Set(list)
	case formTable:
		if !d.is(n, Map, s.form, name) {
			return
		}
		table := reflect.MakeMapWithSize(s.typ, len(n.Fields))
		for _, f := range n.Fields {
			elem := reflect.New(s.elem.typ).Elem()
			before := d.failed
			d.failed = false
			d.value(f.Value, elem, s.elem, x, name+"."+f.Key.Text)
			if !d.failed || s.elem.form == formObject {
				table.SetMapIndex(reflect.ValueOf(f.Key.Text), elem)
			}
			d.failed = d.failed || before
		}
		v.Set(table)
	default:
		if n.Kind != Scalar || n.Type == Null {
			d.mismatch(n, s.form, quotedName(name))
			return
		}
		d.scalar(n, v, s, x, name)
	}
}

func quotedName(name string) string { return strconv.Quote(name) }

func (d *decoder) is(n *Node, kind NodeKind, want form, name string) bool {
	if n.Kind == kind {
		return true
	}
	d.mismatch(n, want, quotedName(name))
	return false
}

func (d *decoder) scalar(n *Node, v reflect.Value, s *shape, x *field, name string) {
	switch s.form {
	case formTemplate:
		v.Set(reflect.ValueOf(Text{n}))
	case formCond:
		v.Set(reflect.ValueOf(Cond{n}))
	case formText:
		if d.among(n, x, name) {
			v.SetString(n.Text)
		}
		if k := strings.Index(n.Text, "$("); k >= 0 && openExpression(n.Text) < 0 && !strings.HasPrefix(n.Text[max(k-1, 0):], "$$(") {
			d.r.Report(Diagnostic{
				Span: n.At(k, k+2), Severity: Warning, Code: "not-evaluated",
				Message: fmt.Sprintf("%s is plain text, so the expression in it is not evaluated", quotedName(name)), Hint: "write the value itself",
			})
		}
	case formString:
		if d.among(n, x, name) {
			v.Set(reflect.ValueOf(String{n.Text, n.Span}))
		}
	case formBool:
		if n.Type != Bool {
			d.mismatch(n, s.form, quotedName(name))
			return
		}
		v.SetBool(n.Text[0] == 't' || n.Text[0] == 'T')
	case formInt:
		d.whole(n, v, x, name)
	case formFloat:
		d.float(n, v, x, name)
	default:
		d.unit(n, v, s, x, name)
	}
}

func (d *decoder) among(n *Node, x *field, name string) bool {
	if x.enum == nil || slices.Contains(x.enum, n.Text) {
		return true
	}
	hint := "write " + strings.Join(x.enum, ", ")
	if k := len(x.enum) - 1; k > 0 {
		hint = "write " + strings.Join(x.enum[:k], ", ") + " or " + x.enum[k]
	}
	if nearest, ok := Nearest(n.Text, x.enum); ok {
		hint = fmt.Sprintf("did you mean %q?", nearest)
	}
	d.errorf(n.Span, "unknown-value", hint, "%s cannot be %q", quotedName(name), n.Text)
	return false
}

func (d *decoder) whole(n *Node, v reflect.Value, x *field, name string) {
	if n.Type != Int {
		d.mismatch(n, formInt, quotedName(name))
		return
	}
	i, err := strconv.ParseInt(n.Text, 0, 64)
	if err != nil || v.OverflowInt(i) {
		d.errorf(n.Span, "out-of-range", "", "%s is too large", n.Text)
		return
	}
	if d.within(n, float64(i), x, name) {
		v.SetInt(i)
	}
}

func (d *decoder) float(n *Node, v reflect.Value, x *field, name string) {
	if n.Type != Int && n.Type != Float {
		d.mismatch(n, formFloat, quotedName(name))
		return
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if i, intErr := strconv.ParseInt(n.Text, 0, 64); err != nil && intErr == nil {
		f, err = float64(i), nil // 0x1f and 0o17
	}
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.errorf(n.Span, "out-of-range", "", "%s is not a number that can be used here", n.Text)
		return
	}
	if d.within(n, f, x, name) {
		v.SetFloat(f)
	}
}

// unit decodes scalars that read their own text.
func (d *decoder) unit(n *Node, v reflect.Value, s *shape, x *field, name string) {
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Text)); err != nil {
		message, hint := err.Error(), ""
		if r := (*remedy)(nil); errors.As(err, &r) {
			message, hint = r.message, r.hint
		}
		if n.found() == "an expression" {
			hint = remedyFor(n, s.form)
		}
		v.SetZero()
		d.errorf(n.Span, "bad-value", hint, "%s: %s", quotedName(name), message)
		return
	}
	switch s.form {
	case formDuration, formSize:
		d.within(n, float64(v.Int()), x, name)
	case formPercent:
		d.within(n, v.Float(), x, name)
	}
}

func (d *decoder) within(n *Node, value float64, x *field, name string) bool {
	low, high := x.min, x.max
	if (low.text == "" || value >= low.value) && (high.text == "" || value <= high.value) {
		return true
	}
	hint := ""
	switch {
	case low.text != "" && high.text != "":
		hint = fmt.Sprintf("write a value from %s to %s", low.text, high.text)
	case low.text != "":
		hint = fmt.Sprintf("write %s or more", low.text)
	default:
		hint = fmt.Sprintf("write %s or less", high.text)
	}
	d.errorf(n.Span, "out-of-range", hint, "%s cannot be %s", quotedName(name), n.Text)
	return false
}
