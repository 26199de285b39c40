package schema

import (
	"slices"
	"strconv"

	"github.com/weir-run/weir/dsl"
)

// Type is what a schema says of the values that fit it, as far as expressions
// can be checked against it. root is where references of the schema begin. It
// is nil for a schema that says nothing of the kind.
//
// An object that lists its properties has these and no others, unless its
// schema says additionalProperties: JSON Schema allows more by default, but who
// reads a field that no schema names has probably misspelt it.
func (d *Documents) Type(n, root *dsl.Node) *dsl.StaticType {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.typeOf(n, root)
}

// anything says no more than nil, but can be pointed to: it stands for a type
// while it is made, which a schema that contains itself looks at.
var anything = dsl.StaticType{Kinds: 1<<16 - 1}

func (d *Documents) typeOf(n, root *dsl.Node) *dsl.StaticType {
	if n == nil || n.Kind != dsl.Map {
		return nil
	}
	if known, ok := d.types[n]; ok {
		return known
	}
	if ref := n.Field("$ref"); ref != nil && alone(n) {
		d.types[n] = nil // for a reference that comes back to itself
		if target, base, _ := d.Follow(ref, root); target != nil {
			d.types[n] = d.typeOf(target, base)
		}
		return d.types[n]
	}
	out := new(dsl.StaticType)
	*out = anything
	d.types[n] = out
	made := d.makeType(n, root)
	if made == nil || made == out {
		d.types[n] = nil
		return nil
	}
	*out = *made
	return out
}

// alone reports whether a schema says nothing but its reference: then it is the
// type that it refers to, which may be in the making.
func alone(n *dsl.Node) bool {
	return !slices.ContainsFunc(n.Fields, func(f dsl.Field) bool {
		switch f.Key.Text {
		case "type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "allOf", "oneOf", "anyOf", "nullable":
			return true
		}
		return false
	})
}

func (d *Documents) makeType(n, root *dsl.Node) *dsl.StaticType {
	t := d.ownType(n, root)
	if ref := n.Field("$ref"); ref != nil {
		if target, base, _ := d.Follow(ref, root); target != nil {
			t = dsl.Meet(d.typeOf(target, base), t)
		}
	}
	for _, part := range items(n.Field("allOf")) {
		t = dsl.Meet(t, d.typeOf(part, root))
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		var either *dsl.StaticType
		for i, part := range items(n.Field(key)) {
			if one := d.typeOf(part, root); i == 0 {
				either = one
			} else {
				either = dsl.Join(either, one)
			}
		}
		t = dsl.Meet(t, either)
	}
	if t != nil && isTrue(n.Field("nullable")) {
		t = t.OrNull()
	}
	return t
}

func items(n *dsl.Node) []*dsl.Node {
	if n == nil {
		return nil
	}
	return n.Items
}

func isTrue(n *dsl.Node) bool {
	return n != nil && n.Type == dsl.Bool && (n.Text == "true" || n.Text == "True" || n.Text == "TRUE")
}

func isFalse(n *dsl.Node) bool {
	return n != nil && n.Kind == dsl.Scalar && n.Type == dsl.Bool && !isTrue(n)
}

var typeKinds = map[string]dsl.Kinds{
	"null": dsl.IsNull, "boolean": dsl.IsBool, "integer": dsl.IsInt, "number": dsl.IsNumber,
	"string": dsl.IsText, "array": dsl.IsList, "object": dsl.IsObject,
}

// ownType is what the keywords beside $ref and the combinations say.
func (d *Documents) ownType(n, root *dsl.Node) *dsl.StaticType {
	t := &dsl.StaticType{}
	if word := n.Field("type"); word != nil {
		t.Kinds = typeKinds[word.Text]
		for _, item := range word.Items {
			t.Kinds |= typeKinds[item.Text]
		}
	}
	values := items(n.Field("enum"))
	if c := n.Field("const"); c != nil {
		values = []*dsl.Node{c}
	}
	if len(values) > 0 {
		d.enumerate(t, values)
	}
	if t.Kinds == 0 {
		switch {
		case n.Field("properties") != nil:
			t.Kinds = dsl.IsObject
		case n.Field("items") != nil || n.Field("prefixItems") != nil:
			t.Kinds = dsl.IsList
		default:
			return nil
		}
	}
	if t.Kinds&dsl.IsList != 0 && n.Field("prefixItems") == nil {
		t.Elem = d.typeOf(n.Field("items"), root)
	}
	if t.Kinds&dsl.IsObject != 0 {
		d.object(t, n, root)
	}
	return t
}

// enumerate narrows a type to that of some values.
func (d *Documents) enumerate(t *dsl.StaticType, values []*dsl.Node) {
	kinds := dsl.Kinds(0)
	var texts []string
	for _, v := range values {
		switch {
		case v.Kind == dsl.Map:
			kinds |= dsl.IsObject
		case v.Kind == dsl.List:
			kinds |= dsl.IsList
		default:
			kinds |= [...]dsl.Kinds{dsl.Null: dsl.IsNull, dsl.Bool: dsl.IsBool, dsl.Int: dsl.IsInt, dsl.Float: dsl.IsFloat, dsl.Str: dsl.IsText}[v.Type]
			if v.Type == dsl.Str {
				texts = append(texts, v.Text)
			}
		}
	}
	if t.Kinds == 0 || t.Kinds&kinds != 0 && t.Kinds&^kinds&^dsl.IsNull == 0 {
		t.Kinds = kinds | t.Kinds&dsl.IsNull
	}
	if kinds&dsl.IsText != 0 {
		t.Values = texts
	}
}

// conditional are the keywords that can bring further properties.
var conditional = []string{"patternProperties", "if", "then", "else", "dependentSchemas", "$dynamicRef"}

func (d *Documents) object(t *dsl.StaticType, n, root *dsl.Node) {
	properties, more := n.Field("properties"), n.Field("additionalProperties")
	t.Open = more != nil && !isFalse(more) || slices.ContainsFunc(conditional, func(key string) bool { return n.Field(key) != nil })
	t.Rest = d.typeOf(more, root)
	if properties == nil && !isFalse(more) {
		t.Open = true
		return
	}
	var required []string
	list := n.Field("required")
	for _, name := range items(list) {
		required = append(required, name.Text)
	}
	t.Fields = map[string]dsl.StaticField{}
	if properties != nil {
		for _, f := range properties.Fields {
			is := slices.Contains(required, f.Key.Text)
			// What only one side sends is not required of the other.
			oneWay := isTrue(f.Value.Field("readOnly")) || isTrue(f.Value.Field("writeOnly"))
			t.Fields[f.Key.Text] = dsl.StaticField{
				Type: d.typeOf(f.Value, root), Required: is && !oneWay,
				Optional: list != nil && !is && f.Value.Field("default") == nil,
			}
		}
	}
	for _, name := range required {
		if _, ok := t.Fields[name]; !ok {
			t.Fields[name] = dsl.StaticField{Required: true}
		}
	}
}

// Plain is the value that a node writes, as expressions see values.
func Plain(n *dsl.Node) any {
	switch n.Kind {
	case dsl.List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = Plain(item)
		}
		return list
	case dsl.Map:
		object := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			object[f.Key.Text] = Plain(f.Value)
		}
		return object
	}
	switch n.Type {
	case dsl.Null:
		return nil
	case dsl.Bool:
		return isTrue(n)
	case dsl.Int, dsl.Float:
		if dsl.CheckJSON(n.Text) == nil {
			return dsl.DecodeJSON(n.Text)
		}
		if i, err := strconv.ParseInt(n.Text, 0, 64); err == nil {
			return int(i)
		}
		if f, err := strconv.ParseFloat(n.Text, 64); err == nil {
			return f
		}
	}
	return n.Text
}
