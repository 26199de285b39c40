package dsl

import (
	"reflect"
	"strconv"
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
	RateType      Type = "rate"
	AnyType       Type = "any"       // YAML that is taken as it is
	ShapeType     Type = "shape"     // YAML with $(...) at the leaves
	TemplateType  Type = "template"  // text with $(...) inside
	ConditionType Type = "condition" // a bare expression
	SecretType    Type = "secret"    // text that can hold $(secret.NAME)
	StepsType     Type = "steps"     // a list of steps
	BlockType     Type = "block"     // a mapping of id to step
	BundlesType   Type = "bundles"   // a list of bundles of policies: names, or what they are
	BranchesType  Type = "branches"  // a list of steps, or a mapping of name to step
	SeveralType   Type = "several"   // an object, or a list of them: Elem
)

var formTypes = [...]Type{
	formText: TextType, formString: TextType, formBool: BoolType, formInt: IntType, formFloat: NumberType,
	formDuration: DurationType, formSize: SizeType, formPercent: PercentType, formRate: RateType, formCustom: TextType,
	formSecret: SecretType, formNode: AnyType, formShape: ShapeType, formTemplate: TemplateType, formCond: ConditionType,
	formSteps: StepsType, formBlock: BlockType, formBranches: BranchesType, formBundles: BundlesType, formSeveral: SeveralType,
	formObject: ObjectType, formList: ListType, formTable: MapType,
}

// Schema describes what a value may be. It is derived from the same plan that
// Decode follows.
type Schema struct {
	Type     Type
	Kind     string // the name of the Kind whose configuration this is, or ""
	Doc      string
	Examples []Example  // of the Kind
	Default  *Node      // nil for none
	Enum     []string   // the texts that are allowed; nil for all
	Min, Max string     // the range in the value's notation; "" for none
	Required bool       // of a property: the key must be there
	Fields   []Property // of an object, in the order of declaration
	Elem     *Schema    // of a list, a map, or one of several

	// Expands says that any scalar inside can be $(env.NAME), as Expand reads it.
	Expands bool

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
