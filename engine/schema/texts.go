package schema

import (
	"fmt"
	"regexp"

	"github.com/weir-run/weir/dsl"
)

// Texts is the schema of values that come as text: parameters, headers, and
// variables of a path. It is immutable and safe for concurrent use.
type Texts struct {
	Static *dsl.StaticType // what is known of them

	fields []textField
	object *Schema
}

type textField struct {
	name     string
	static   *dsl.StaticType
	fallback any
	has      bool // a fallback
}

// Names are those that the mapping has a schema for.
func (t *Texts) Names() []string {
	names := make([]string, len(t.fields))
	for i := range t.fields {
		names[i] = t.fields[i].name
	}
	return names
}

// Check gives what values that Read gave do not keep to.
func (t *Texts) Check(values map[string]any) []Violation { return t.object.Check(values) }

// Under puts violations below a place: pointers begin with it.
func Under(place string, all []Violation) []Violation {
	for i := range all {
		all[i].Pointer = place + all[i].Pointer
	}
	return all
}

// Texts compiles a mapping of name to schema, with required: [names] and
// additionalProperties beside the names, as JSON Schema has them. what it is for
// is params, query or headers. It gives nil after reporting what is wrong with it,
// and for no mapping at all.
func (d *Documents) Texts(what string, n *dsl.Node, r dsl.Reporter) *Texts {
	if n == nil || n.Broken() {
		return nil
	}
	if n.Kind != dsl.Map {
		r.Report(dsl.Diagnostic{Span: n.Span, Code: "wrong-type", Message: fmt.Sprintf("%s is a mapping of name to schema here, not %s", what, n.Describe()), Hint: "write " + what + ": { name: { type: string } }"})
		return nil
	}
	s := &Texts{Static: &dsl.StaticType{Kinds: dsl.IsObject, Fields: map[string]dsl.StaticField{}}}
	object, properties := *n, *n
	object.Fields, properties.Fields = nil, nil
	required := map[string]bool{}
	for _, f := range n.Fields {
		switch {
		case f.Key.Text == "required" && f.Value.Kind == dsl.List:
			object.Fields = append(object.Fields, f)
			for _, item := range f.Value.Items {
				required[item.Text] = true
			}
		case f.Key.Text == "additionalProperties" && f.Value.Type == dsl.Bool:
			object.Fields = append(object.Fields, f)
		default:
			properties.Fields = append(properties.Fields, f)
		}
	}
	key := &dsl.Node{Kind: dsl.Scalar, Type: dsl.Str, Span: n.Span, Text: "properties"}
	object.Fields = append(object.Fields, dsl.Field{Key: key, Value: &properties})
	for _, f := range properties.Fields {
		t := d.Type(f.Value, f.Value)
		if t == nil {
			t = dsl.Static(dsl.IsText)
		}
		if t.Kinds&(dsl.IsObject) != 0 {
			r.Report(dsl.Diagnostic{Span: f.Value.Span, Code: "bad-schema", Message: fmt.Sprintf("%s comes as text, and text is read as no object", f.Key.Text), Hint: "write type: string, and read it with fromJSON"})
		}
		field := textField{name: f.Key.Text, static: t}
		if value := f.Value.Field("default"); value != nil {
			field.fallback, field.has = Plain(value), true
		}
		certain := required[field.name] || field.has || what == "params"
		s.Static.Fields[field.name] = dsl.StaticField{Type: t, Optional: !certain, Required: certain}
		s.fields = append(s.fields, field)
	}
	if s.object = d.Compile(&object, r); s.object == nil {
		return nil
	}
	return s
}

// Read is the values that there are, as their schemas say: a number where one is
// wanted and one is there. What does not look like one stays text, and does not
// fit then. A default stands in for what is absent.
func (t *Texts) Read(texts func(name string) []string) map[string]any {
	values := make(map[string]any, len(t.fields))
	for i := range t.fields {
		f := &t.fields[i]
		switch given := texts(f.name); {
		case len(given) > 0:
			values[f.name] = FromTexts(given, f.static)
		case f.has:
			values[f.name] = f.fallback
		}
	}
	return values
}

// FromTexts reads text as a value of the type. What does not look like one
// stays text, and does not fit then.
func FromTexts(texts []string, t *dsl.StaticType) any {
	if t.Kinds&dsl.IsList == 0 || len(texts) == 1 && t.Kinds&^dsl.IsList&^dsl.IsNull != 0 {
		return FromText(texts[0], t.Kinds)
	}
	kinds := dsl.IsText
	if e := t.Element(); e != nil {
		kinds = e.Kinds
	}
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = FromText(text, kinds)
	}
	return list
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// FromText is text as a number or as true or false, where that is wanted and it
// looks like it, and else as text.
func FromText(text string, k dsl.Kinds) any {
	switch {
	case k&dsl.IsNumber != 0 && jsonNumber.MatchString(text):
		return dsl.DecodeJSON(text)
	case k&dsl.IsBool != 0 && (text == "true" || text == "false"):
		return text == "true"
	}
	return text
}
