package dsl

import (
	"reflect"
	"strconv"
	"strings"
)

// Type is the name of what a value may be, as reference pages show it.
type Type string

// The types of a Schema.
const (
	ObjectType    Type = "object" // fixed keys: Fields
	ListType      Type = "list"   // of Elem
	MapType       Type = "map"    // any keys, values of Elem
	TextType      Type = "text"
	BoolType      Type = "bool"
	IntType       Type = "int"
	NumberType    Type = "number"
	DurationType  Type = "duration"
	SizeType      Type = "size"
	PercentType   Type = "percent"
	AnyType       Type = "any"       // YAML that is taken as it is
	ShapeType     Type = "shape"     // YAML with $(...) at the leaves
	TemplateType  Type = "template"  // text with $(...) inside
	ConditionType Type = "condition" // a bare expression
	StepsType     Type = "steps"     // a list of steps
	BlockType     Type = "block"     // a mapping of id to step
	BranchesType  Type = "branches"  // a list of steps, or a mapping of name to step
	SeveralType   Type = "several"   // an object, or a list of them: Elem
)

var formTypes = [...]Type{
	formText: TextType, formString: TextType, formBool: BoolType, formInt: IntType, formFloat: NumberType,
	formDuration: DurationType, formSize: SizeType, formPercent: PercentType, formCustom: TextType,
	formNode: AnyType, formShape: ShapeType, formTemplate: TemplateType, formCond: ConditionType,
	formSteps: StepsType, formBlock: BlockType, formBranches: BranchesType, formSeveral: SeveralType,
	formObject: ObjectType, formList: ListType, formTable: MapType,
}

// Schema describes what a value may be. It is derived from the same plan that
// Decode follows.
type Schema struct {
	Type     Type
	Doc      string
	Default  *Node      // nil for none
	Enum     []string   // the texts that are allowed; nil for all
	Min, Max string     // the range in the value's notation; "" for none
	Required bool       // of a property: the key must be there
	Fields   []Property // of an object, in the order of declaration
	Elem     *Schema    // of a list, a map, or one of several

	// Name of an object's Go type if it contains itself. Where it recurs, the
	// schema has the name and no Fields, and Recurs is true.
	Name   string
	Recurs bool
}

// Property is one key of an object.
type Property struct {
	Key  string
	Rank Rank
	*Schema
}

// Rank is where a key is written among those of its mapping: before the others,
// with them in the order of declaration, or behind them. A field's tag says it:
// order:"first", order:"last".
type Rank int8

// The ranks.
const (
	First Rank = iota - 1
	Among
	Last
)

// SchemaOf describes what Decode takes for a C: a configuration that is no
// Kind's.
func SchemaOf[C any]() *Schema { return schemaOf(reflect.TypeFor[C]()) }

func schemaOf(t reflect.Type) *Schema {
	return describeObject(t, map[reflect.Type]*Schema{})
}

func describe(s *shape, x *field, open map[reflect.Type]*Schema) *Schema {
	s = s.target()
	d := &Schema{Type: formTypes[s.form]}
	switch s.form {
	case formObject:
		d = describeObject(s.typ, open)
	case formList, formTable, formSeveral:
		d.Elem = describe(s.elem, x, open)
	}
	if s.elem == nil {
		d.Enum, d.Min, d.Max = x.enum, x.min.text, x.max.text
	}
	return d
}

// describeObject knows the objects around it, to stop at one that recurs.
func describeObject(t reflect.Type, open map[reflect.Type]*Schema) *Schema {
	if outer := open[t]; outer != nil {
		outer.Name = t.Name()
		return &Schema{Type: ObjectType, Name: t.Name(), Recurs: true}
	}
	d := &Schema{Type: ObjectType}
	open[t] = d
	defer delete(open, t)
	p := planOf(t)
	for i := range p.fields {
		x := &p.fields[i]
		property := describe(x.shape, x, open)
		property.Doc, property.Default, property.Required = x.doc, x.initial, x.required
		d.Fields = append(d.Fields, Property{x.key, x.rank, property})
	}
	return d
}

// JSONSchema is the schema in JSON Schema 2020-12, without $schema, ready to be
// part of a larger one. A recursive object is an $anchor named after its type.
// It says the same as Decode, except for the ranges of durations, sizes and
// percentages, which it cannot express, and for 3.0, which it takes for whole.
func (s *Schema) JSONSchema() map[string]any {
	j := s.constraints()
	if s.Doc != "" {
		j["description"] = s.Doc
	}
	if s.Default != nil {
		j["default"] = s.Default.plainValue()
	}
	return j
}

// A text may be written without quotes, and so look like a number or a boolean.
var textTypes = []string{"string", "number", "boolean"}

func (s *Schema) constraints() map[string]any {
	switch s.Type {
	case ObjectType:
		return s.objectJSON()
	case ListType:
		return map[string]any{"type": "array", "items": s.Elem.JSONSchema()}
	case MapType:
		return map[string]any{"type": "object", "additionalProperties": s.Elem.JSONSchema()}
	case TextType:
		if s.Enum != nil {
			return map[string]any{"enum": s.enumJSON()}
		}
		return map[string]any{"type": textTypes}
	case TemplateType, ConditionType:
		return map[string]any{"type": textTypes}
	case BoolType:
		return map[string]any{"type": "boolean"}
	case IntType, NumberType:
		j := map[string]any{"type": "number"}
		if s.Type == IntType {
			j["type"] = "integer"
		}
		if f, err := strconv.ParseFloat(s.Min, 64); err == nil {
			j["minimum"] = f
		}
		if f, err := strconv.ParseFloat(s.Max, 64); err == nil {
			j["maximum"] = f
		}
		return j
	case DurationType:
		return patternJSON(unitsPattern(durationUnits))
	case SizeType:
		return patternJSON(unitsPattern(sizeUnits))
	case PercentType:
		return patternJSON(`^(100(\.0+)?|\d{1,2}(\.\d+)?)%$`)
	case StepsType:
		return map[string]any{"type": "array"}
	case BlockType:
		return map[string]any{"type": "object"}
	case BranchesType:
		return map[string]any{"type": []string{"array", "object"}}
	}
	return map[string]any{}
}

// unitsPattern is parseUnits as a regular expression. Only the smallest unit has
// no fractions.
func unitsPattern(units []unit) string {
	var b strings.Builder
	b.WriteByte('^')
	for _, u := range units {
		name, fraction := u.name, `(\.\d+)?`
		if name == "us" {
			name = "(us|µs|μs)"
		}
		if u.size == 1 {
			fraction = `(\.0+)?`
		}
		b.WriteString(`(\d+` + fraction + name + `)?`)
	}
	return b.String() + "$"
}

func patternJSON(pattern string) map[string]any {
	return map[string]any{"type": "string", "minLength": 1, "pattern": pattern}
}

func (s *Schema) objectJSON() map[string]any {
	if s.Recurs {
		return map[string]any{"$ref": "#" + s.Name}
	}
	properties := make(map[string]any, len(s.Fields))
	required := []string{}
	for _, f := range s.Fields {
		properties[f.Key] = f.JSONSchema()
		if f.Required {
			required = append(required, f.Key)
		}
	}
	j := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		j["required"] = required
	}
	if s.Name != "" {
		j["$anchor"] = s.Name
	}
	return j
}

// enumJSON has a text that looks like a number in both forms.
func (s *Schema) enumJSON() []any {
	var all []any
	for _, text := range s.Enum {
		all = append(all, text)
		if value, ok := scalarValue(text, resolve(text)).(string); !ok || value != text {
			all = append(all, scalarValue(text, resolve(text)))
		}
	}
	return all
}

// plainValue is the node as encoding/json would decode it.
func (n *Node) plainValue() any {
	switch n.Kind {
	case List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.plainValue()
		}
		return list
	case Map:
		m := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			m[f.Key.Text] = f.Value.plainValue()
		}
		return m
	}
	return scalarValue(n.Text, n.Type)
}

func scalarValue(text string, t ScalarType) any {
	switch t {
	case Null:
		return nil
	case Bool:
		return text[0] == 't' || text[0] == 'T'
	case Int:
		if i, err := strconv.ParseInt(text, 0, 64); err == nil {
			return i
		}
	}
	if t == Int || t == Float {
		if f, err := strconv.ParseFloat(text, 64); err == nil && f-f == 0 {
			return f
		}
	}
	return text
}
