package dsl

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// form is what a Go type asks of YAML. Decode, Schema and the messages all read
// it, so that they cannot disagree.
type form uint8

const (
	formText   form = iota // string and types of it
	formString             // String
	formBool
	formInt
	formFloat
	formDuration
	formSize
	formPercent
	formRate
	formCustom // other scalars: encoding.TextUnmarshaler
	formNode   // *Node
	formShape
	formTemplate // Text
	formCond
	formSecret // Secret
	formSteps
	formBlock
	formBranches
	formBundles
	formSeveral // Several
	formObject  // a struct
	formPointer // to another form
	formList
	formTable // map[string]T
)

// wanted is how messages call what a form asks for.
func (f form) wanted() string {
	return [...]string{
		"text", "text", "true or false", "a whole number", "a number", "a duration", "a size", "a percentage", "a rate", "text",
		"any value", "any value", "text", "a condition", "text", "a list of steps", "a mapping of id to step",
		"a list of steps or a mapping of name to step", "a list of names and mappings", "any value",
		"a mapping", "", "a list", "a mapping",
	}[f]
}

// shape is a Go type seen as a form. It is complete except for the plan of a
// struct, which is made when it is needed, because types may be recursive.
type shape struct {
	form form
	typ  reflect.Type
	elem *shape // of pointers, lists, tables and Several
}

// plan is what Decode knows about a struct type.
type plan struct {
	typ    reflect.Type
	keys   []string // in the order of declaration
	fields []field
	byKey  map[string]int
	spans  [][]int // fields that receive the mapping's span
	fault  error   // tags that cannot be meant
}

// field is one key of a struct.
type field struct {
	key      string
	doc      string
	index    []int
	shape    *shape
	rank     Rank
	required bool
	initial  *Node // the default
	enum     []string
	min, max bound
	literals int // words at the start of a Text; or none
}

// none says that a field takes no literal that something else can stand for.
const none = -1

// bound is one end of a range, as it is written and as a number.
type bound struct {
	text  string
	value float64
}

var plans sync.Map // reflect.Type to *plan

// planOf makes the plan of a struct type once. It never fails; a plan that has a
// fault reports it wherever it is used.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{typ: t, byKey: map[string]int{}}
	if t.Kind() == reflect.Struct {
		p.fault = errors.Join(p.add(t, nil)...)
	} else {
		p.fault = fmt.Errorf("%s is not a struct", t)
	}
	actual, _ := plans.LoadOrStore(t, p)
	return actual.(*plan)
}

func (p *plan) add(t reflect.Type, outer []int) (faults []error) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("yaml")
		index := append(outer[:len(outer):len(outer)], i)
		switch {
		case tag == "-":
		case tag == ",span" && f.Type == reflect.TypeFor[Span]():
			p.spans = append(p.spans, index)
		case f.Type.Kind() == reflect.Struct && (tag == ",inline" || f.Anonymous && !tagged):
			faults = append(faults, p.add(f.Type, index)...)
		case !f.IsExported() && !tagged:
		case !f.IsExported() || tag == "" || strings.ContainsAny(tag, ", "):
			faults = append(faults, fmt.Errorf(`%s.%s: an exported field with a tag yaml:"key" is needed (yaml:"-" leaves a field out)`, p.typ, f.Name))
		default:
			if err := p.addField(tag, f, index); err != nil {
				faults = append(faults, fmt.Errorf("%s.%s: %w", p.typ, f.Name, err))
			}
		}
	}
	return faults
}

func (p *plan) addField(key string, f reflect.StructField, index []int) (err error) {
	if _, twice := p.byKey[key]; twice {
		return fmt.Errorf("the key %q is declared twice", key)
	}
	x := field{key: key, doc: f.Tag.Get("doc"), index: index}
	if x.shape, err = shapeOf(f.Type); err != nil {
		return err
	}
	switch required := f.Tag.Get("required"); required {
	case "", "false":
	case "true":
		x.required = true
	default:
		return fmt.Errorf("required is true or absent, not %q", required)
	}
	switch order := f.Tag.Get("order"); order {
	case "":
	case "first":
		x.rank = First
	case "last":
		x.rank = Last
	default:
		return fmt.Errorf("order is first, last or absent, not %q", order)
	}
	switch literal := f.Tag.Get("literal"); {
	case literal == "":
	case literal == "none":
		x.literals = none
	default:
		if x.literals, err = strconv.Atoi(literal); err != nil || x.literals <= 0 || x.shape.form != formTemplate {
			return errors.New("literal is none, or of a Text how many words are")
		}
	}
	leaf := x.leaf()
	if enum, ok := f.Tag.Lookup("enum"); ok {
		if leaf != formText && leaf != formString {
			return errors.New("enum is for text")
		}
		x.enum = strings.Split(enum, "|")
	}
	if x.min, err = parseBound(leaf, f.Tag.Get("min")); err != nil {
		return err
	}
	if x.max, err = parseBound(leaf, f.Tag.Get("max")); err != nil {
		return err
	}
	if text, ok := f.Tag.Lookup("default"); ok {
		if x.required {
			return errors.New("a required key needs no default")
		}
		if x.initial, err = x.parseDefault(text); err != nil {
			return err
		}
	}
	p.byKey[key] = len(p.fields)
	p.fields = append(p.fields, x)
	p.keys = append(p.keys, key)
	return nil
}

// leaf is the form of the scalars that enum, min and max speak of: the field's
// own, or those of a list's items or a map's values.
func (x *field) leaf() form {
	s := x.shape
	for s.form == formPointer || s.form == formList || s.form == formTable {
		s = s.elem
	}
	return s.form
}

func parseBound(leaf form, text string) (b bound, err error) {
	if text == "" {
		return bound{}, nil
	}
	b.text = text
	switch leaf {
	case formInt, formFloat:
		b.value, err = strconv.ParseFloat(text, 64)
	case formDuration:
		var d Duration
		d, err = ParseDuration(text)
		b.value = float64(d)
	case formSize:
		var s Size
		s, err = ParseSize(text)
		b.value = float64(s)
	case formPercent:
		var p Percent
		p, err = ParsePercent(text)
		b.value = float64(p)
	default:
		err = errors.New("min and max are for numbers, durations, sizes and percentages")
	}
	return b, err
}

// parseDefault reads a default as if it stood in the file, except that for a
// scalar the tag is the text itself and needs no quotes.
func (x *field) parseDefault(text string) (*Node, error) {
	src := NewSource("default of "+x.key, text)
	var faults Diagnostics
	n := &Node{Kind: Scalar, Text: text, Type: resolve(text), Span: Span{src, 0, len(text)}}
	switch x.shape.target().form {
	case formNode, formShape, formSteps, formBlock, formBranches, formBundles, formSeveral, formObject, formList, formTable:
		roots := Parse(src, &faults)
		if len(roots) != 1 {
			return nil, fmt.Errorf("the default %q is not one YAML value", text)
		}
		n = roots[0]
	}
	d := decoder{r: &faults}
	d.value(n, reflect.New(x.shape.typ).Elem(), x.shape, x, x.key)
	if faults.Len() > 0 {
		return nil, fmt.Errorf("the default %q: %s", text, faults.All()[0].Message)
	}
	return n, nil
}

// target is the shape behind pointers.
func (s *shape) target() *shape {
	for s.form == formPointer {
		s = s.elem
	}
	return s
}

var fixedForms = map[reflect.Type]form{
	reflect.TypeFor[String]():   formString,
	reflect.TypeFor[Duration](): formDuration,
	reflect.TypeFor[Size]():     formSize,
	reflect.TypeFor[Percent]():  formPercent,
	reflect.TypeFor[Rate]():     formRate,
	reflect.TypeFor[*Node]():    formNode,
	reflect.TypeFor[Shape]():    formShape,
	reflect.TypeFor[Text]():     formTemplate,
	reflect.TypeFor[Cond]():     formCond,
	reflect.TypeFor[Secret]():   formSecret,
	reflect.TypeFor[Steps]():    formSteps,
	reflect.TypeFor[Block]():    formBlock,
	reflect.TypeFor[Branches](): formBranches,
	reflect.TypeFor[Bundles]():  formBundles,
}

func shapeOf(t reflect.Type) (*shape, error) {
	if f, ok := fixedForms[t]; ok {
		return &shape{form: f, typ: t}, nil
	}
	if t == reflect.TypeFor[time.Duration]() {
		return nil, errors.New("use dsl.Duration, which knows its unit")
	}
	if s, ok := reflect.Zero(t).Interface().(several); ok {
		elem, err := shapeOf(s.of())
		return &shape{form: formSeveral, typ: t, elem: elem}, err
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return &shape{form: formCustom, typ: t}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return &shape{form: formText, typ: t}, nil
	case reflect.Bool:
		return &shape{form: formBool, typ: t}, nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return &shape{form: formInt, typ: t}, nil
	case reflect.Float64:
		return &shape{form: formFloat, typ: t}, nil
	case reflect.Struct:
		return &shape{form: formObject, typ: t}, nil
	case reflect.Pointer:
		return shapeAround(formPointer, t)
	case reflect.Slice:
		return shapeAround(formList, t)
	case reflect.Map:
		if t.Key() == reflect.TypeFor[string]() {
			return shapeAround(formTable, t)
		}
	}
	return nil, fmt.Errorf("a field cannot have the type %s", t)
}

func shapeAround(f form, t reflect.Type) (*shape, error) {
	elem, err := shapeOf(t.Elem())
	return &shape{form: f, typ: t, elem: elem}, err
}

// checkPlan is the fault of a struct type or of a type inside it.
func checkPlan(t reflect.Type) error { return checkPlans(t, map[reflect.Type]bool{}) }

func checkPlans(t reflect.Type, seen map[reflect.Type]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	p := planOf(t)
	faults := []error{p.fault}
	for _, x := range p.fields {
		s := x.shape
		for s.elem != nil {
			s = s.elem
		}
		if s.form == formObject {
			faults = append(faults, checkPlans(s.typ, seen))
		}
	}
	return errors.Join(faults...)
}
