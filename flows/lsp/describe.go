package lsp

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// typeText is what is known of a value, as people read it: { id: text, tags?:
// list of text }.
func typeText(t *dsl.StaticType) string { return typeTextTo(t, 0) }

const (
	mostTypeDepth = 3
	mostFields    = 12
)

func typeTextTo(t *dsl.StaticType, depth int) string {
	switch {
	case t == nil:
		return "any value"
	case t.Kinds == 0:
		return "nothing"
	}
	var words []string
	rest := t.Kinds
	if t.Kinds&dsl.IsObject != 0 && t.Fields != nil && depth < mostTypeDepth {
		rest &^= dsl.IsObject
		words = append(words, objectText(t, depth))
	}
	if elem := t.Element(); t.Kinds&dsl.IsList != 0 && elem != nil && depth < mostTypeDepth {
		rest &^= dsl.IsList
		words = append(words, "list of "+typeTextTo(elem, depth+1))
	}
	if t.Kinds&dsl.IsText != 0 && t.Values != nil && len(t.Values) <= mostFields {
		rest &^= dsl.IsText
		for _, v := range t.Values {
			words = append(words, fmt.Sprintf("%q", v))
		}
	}
	if rest != 0 {
		words = append(words, rest.String())
	}
	return strings.Join(words, " or ")
}

func objectText(t *dsl.StaticType, depth int) string {
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(t.Fields)) {
		if len(fields) == mostFields {
			fields = append(fields, "…")
			break
		}
		f := t.Fields[name]
		if f.Optional {
			name += "?"
		}
		fields = append(fields, name+": "+typeTextTo(f.Type, depth+1))
	}
	if t.Open {
		fields = append(fields, "…")
	}
	return "{ " + strings.Join(fields, ", ") + " }"
}

// schemaText is what a key takes, in a few words.
func schemaText(s *dsl.Schema) string {
	switch {
	case s.Enum != nil:
		return strings.Join(s.Enum, " | ")
	case s.Elem != nil && s.Type == dsl.ListType:
		return "list of " + schemaText(s.Elem)
	case s.Elem != nil && s.Type == dsl.SeveralType:
		return schemaText(s.Elem) + ", or a list of them"
	case s.Elem != nil:
		return "name to " + schemaText(s.Elem)
	case s.Min != "" && s.Max != "":
		return fmt.Sprintf("%s, %s to %s", s.Type, s.Min, s.Max)
	case s.Min != "":
		return fmt.Sprintf("%s from %s", s.Type, s.Min)
	case s.Max != "":
		return fmt.Sprintf("%s to %s", s.Type, s.Max)
	}
	return string(s.Type)
}

// keyText is schemaText with what the key is if it is not written.
func keyText(s *dsl.Schema) string {
	switch {
	case s.Required:
		return schemaText(s) + ", required"
	case s.Default != nil:
		return schemaText(s) + ", default " + s.Default.Text
	}
	return schemaText(s)
}

// kindDoc is the doc of a verb, with its first example.
func kindDoc(doc string, examples []dsl.Example) string {
	if len(examples) == 0 {
		return doc
	}
	return doc + "\n\n```yaml\n" + strings.TrimSpace(examples[0].YAML) + "\n```"
}

// functionDoc is the doc of a function, with its first example.
func functionDoc(f dsl.Function) string {
	if len(f.Examples) == 0 {
		return f.Doc
	}
	return f.Doc + "\n\n```text\n" + f.Examples[0].Expr + " is " + f.Examples[0].Result + "\n```"
}
