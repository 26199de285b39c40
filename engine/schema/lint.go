package schema

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weir-run/weir/dsl"
)

// The library takes a keyword that it does not know for an annotation, as the
// specification wants, and says of a reference only that it failed. An author is
// told of a keyword that is probably misspelt, and where a reference stands.

// keywords are those of draft 2020-12, with what holds schemas below them.
var keywords = map[string]holds{
	"$schema": none, "$id": none, "$ref": none, "$anchor": none, "$dynamicRef": none, "$dynamicAnchor": none, "$vocabulary": none,
	"$comment": none, "$defs": table, "definitions": table,
	"type": none, "enum": none, "const": none, "title": none, "description": none, "default": none, "examples": none,
	"deprecated": none, "readOnly": none, "writeOnly": none, "format": none, "contentEncoding": none, "contentMediaType": none,
	"contentSchema": one, "multipleOf": none, "maximum": none, "exclusiveMaximum": none, "minimum": none, "exclusiveMinimum": none,
	"maxLength": none, "minLength": none, "pattern": none, "maxItems": none, "minItems": none, "uniqueItems": none,
	"maxContains": none, "minContains": none, "maxProperties": none, "minProperties": none, "required": none, "dependentRequired": none,
	"allOf": list, "anyOf": list, "oneOf": list, "not": one, "if": one, "then": one, "else": one, "dependentSchemas": table,
	"prefixItems": list, "items": one, "contains": one, "properties": table, "patternProperties": table, "additionalProperties": one,
	"propertyNames": one, "unevaluatedItems": one, "unevaluatedProperties": one,
}

type holds uint8

const (
	none holds = iota
	one
	list
	table
)

type linter struct {
	*Documents
	report dsl.Reporter
	seen   map[*dsl.Node]bool
	failed bool
}

func (l *linter) fault(at dsl.Span, code, message, hint string) {
	l.tell(dsl.Diagnostic{Span: at, Code: code, Message: message, Hint: hint})
}

func (l *linter) tell(d dsl.Diagnostic) {
	l.failed = true
	l.report.Report(d)
}

// schema looks at the schema n of the document with this root, and at those
// that it refers to.
func (l *linter) schema(n, root *dsl.Node) {
	if n == nil || n.Kind != dsl.Map || l.seen[n] {
		return
	}
	l.seen[n] = true
	for _, f := range n.Fields {
		what, known := keywords[f.Key.Text]
		switch {
		case f.Key.Text == "$ref":
			l.reference(f.Value, root)
		case f.Key.Text == "type":
			l.types(f.Value)
		case f.Key.Text == "required":
			l.required(f.Value, n.Field("properties"))
		case f.Key.Text == "nullable" && root.Field("openapi") == nil:
			l.fault(f.Key.Span, "bad-schema", "nullable is a keyword of OpenAPI 3.0", "write type: [string, \"null\"]")
		case !known && root.Field("openapi") == nil:
			names := make([]string, 0, len(keywords))
			for name := range keywords {
				names = append(names, name)
			}
			slices.Sort(names)
			d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: fmt.Sprintf("unknown keyword %q", f.Key.Text)}
			if _, ok := d.SuggestWord(f.Key.Text, names); ok && len(f.Key.Text) > 3 {
				l.tell(d)
			}
		case what == one:
			l.schema(f.Value, root)
		case what == list:
			for _, item := range f.Value.Items {
				l.schema(item, root)
			}
		case what == table:
			for _, entry := range f.Value.Fields {
				l.schema(entry.Value, root)
			}
		}
	}
}

// others are names of types in other languages, this one's included.
var others = map[string]string{
	"int": "integer", "long": "integer", "float": "number", "double": "number", "decimal": "number", "bool": "boolean", "text": "string",
	"str": "string", "list": "array", "map": "object", "dict": "object", "struct": "object", "nil": "null", "none": "null",
}

func (l *linter) types(n *dsl.Node) {
	for _, word := range append([]*dsl.Node{n}, n.Items...) {
		if _, ok := typeKinds[word.Text]; ok || word.Type != dsl.Str || word.Text == "" {
			continue
		}
		d := dsl.Diagnostic{Span: word.Span, Code: "bad-schema", Message: fmt.Sprintf("there is no type %q", word.Text),
			Hint: "a type is one of string, integer, number, boolean, object, array, null"}
		if near, ok := others[word.Text]; ok {
			d.Replace(word.Text, near)
		} else {
			d.SuggestWord(word.Text, slices.Sorted(maps.Keys(typeKinds)))
		}
		l.tell(d)
	}
}

// required finds names that are probably those of properties, misspelt.
func (l *linter) required(names, properties *dsl.Node) {
	if properties == nil {
		return
	}
	known := make([]string, len(properties.Fields))
	for i, f := range properties.Fields {
		known[i] = f.Key.Text
	}
	for _, name := range names.Items {
		d := dsl.Diagnostic{Span: name.Span, Code: "unknown-field", Message: fmt.Sprintf("required names %q, which is not among the properties", name.Text)}
		if near, ok := d.Suggest(name.Text, known); ok && near != name.Text {
			l.tell(d)
		}
	}
}

func (l *linter) reference(ref, root *dsl.Node) {
	if ref.Kind != dsl.Scalar || ref.Type != dsl.Str {
		l.fault(ref.Span, "bad-schema", "a reference is text, not "+ref.Describe(), "write the path of a file, or #/$defs/name")
		return
	}
	target, base, why := l.Follow(ref, root)
	if target != nil {
		l.schema(target, base)
		return
	}
	if why == "" || isURL(ref.Text) && l.known(root, ref.Text) {
		return
	}
	file := dsl.String{Value: ref.Text, Span: ref.Span}
	for i := range ref.Text {
		if ref.Text[i] == '#' {
			file.Value = ref.Text[:i]
			break
		}
	}
	if file.Value != "" && (isURL(file.Value) || l.find(ref.Span.Source, file.Value) == nil || l.find(ref.Span.Source, file.Value).root == nil) {
		l.failed = true
		l.Open(file, l.report)
		return
	}
	l.fault(ref.Span, "unknown-reference", why, "a reference is written as #/$defs/name, or file.json#/$defs/name")
}

// known reports whether a schema of the document calls itself by an address.
func (l *linter) known(n *dsl.Node, address string) bool {
	if id := n.Field("$id"); id != nil && id.Text == address {
		return true
	}
	return slices.ContainsFunc(n.Fields, func(f dsl.Field) bool { return l.known(f.Value, address) }) ||
		slices.ContainsFunc(n.Items, func(item *dsl.Node) bool { return l.known(item, address) })
}
