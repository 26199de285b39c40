package schema

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"github.com/weir-run/weir/dsl"
)

// violations makes a list of the library's tree, in our words.
func violations(root *jsonschema.ValidationError) []Violation {
	var all []Violation
	var visit func(e *jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		add := func(message string, more ...string) {
			at := append(slices.Clone(e.InstanceLocation), more...)
			all = append(all, Violation{Pointer: pointer(at), Message: message, tokens: at, short: lacks(e.ErrorKind)})
		}
		switch k := e.ErrorKind.(type) {
		case *kind.Required:
			for _, name := range k.Missing {
				add("is required", name)
			}
		case *kind.AdditionalProperties:
			for _, name := range k.Properties {
				add("is not known here", name)
			}
		case *kind.DependentRequired:
			for _, name := range k.Missing {
				add("is required beside "+k.Prop, name)
			}
		case *kind.PropertyNames:
			add("has a name that is not allowed", k.Property)
		case *kind.AnyOf, *kind.OneOf, *kind.Contains, *kind.Not:
			add(message(k))
		default:
			if len(e.Causes) == 0 {
				add(message(k))
			}
			for _, cause := range e.Causes {
				visit(cause)
			}
		}
	}
	visit(root)
	slices.SortStableFunc(all, func(a, b Violation) int {
		return cmp.Or(slices.Compare(a.tokens, b.tokens), strings.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(all, func(a, b Violation) bool { return a.Pointer == b.Pointer && a.Message == b.Message })
}

// lacks reports whether a list does not fit because of elements that it does not
// have.
func lacks(k jsonschema.ErrorKind) bool {
	switch k.(type) {
	case *kind.MinItems, *kind.Contains, *kind.MinContains:
		return true
	}
	return false
}

var escape = strings.NewReplacer("~", "~0", "/", "~1")

func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + escape.Replace(t))
	}
	return b.String()
}

// message says what a value had to be. It quotes the schema, and of the value
// nothing but its type: what a caller sent need not come back to it.
func message(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + typeWords(k.Want...) + ", not " + typeWords(k.Got)
	case *kind.Enum:
		return "must be one of " + listed(k.Want)
	case *kind.Const:
		return "must be " + shown(k.Want)
	case *kind.Format:
		return "must be " + article(k.Want)
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.MinLength:
		return "must have at least " + count(k.Want, "character")
	case *kind.MaxLength:
		return "must have at most " + count(k.Want, "character")
	case *kind.MinItems:
		return "must have at least " + count(k.Want, "element")
	case *kind.MaxItems:
		return "must have at most " + count(k.Want, "element")
	case *kind.MinProperties:
		return "must have at least " + count(k.Want, "field")
	case *kind.MaxProperties:
		return "must have at most " + count(k.Want, "field")
	case *kind.AdditionalItems:
		return "has " + count(k.Count, "element") + " too many"
	case *kind.UniqueItems:
		return fmt.Sprintf("must not have equal elements, as %d and %d are", k.Duplicates[0], k.Duplicates[1])
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.FalseSchema:
		return "must not be there"
	case *kind.AnyOf:
		return "fits none of the forms that it can have"
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			return "fits more than one of the forms of which it can have one"
		}
		return "fits none of the forms that it can have"
	case *kind.Not:
		return "has a form that is excluded"
	case *kind.Contains:
		return "must have an element of the form that is wanted"
	}
	return "does not fit"
}

var words = map[string]string{
	"null": "null", "boolean": "true or false", "integer": "a whole number", "number": "a number",
	"string": "text", "array": "a list", "object": "an object",
}

func typeWords(types ...string) string {
	all := make([]string, len(types))
	for i, t := range types {
		all[i] = words[t]
	}
	return strings.Join(all, " or ")
}

func listed(values []any) string {
	all := make([]string, min(len(values), 20))
	for i := range all {
		all[i] = shown(values[i])
	}
	if len(values) > len(all) {
		all = append(all, "…")
	}
	return strings.Join(all, ", ")
}

func shown(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, err := dsl.AppendJSON(nil, v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

func number(r *big.Rat) string {
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// article names a format.
func article(format string) string {
	if strings.ContainsRune("aeiou", rune(format[0])) && format != "uri" && format != "uuid" {
		return "an " + format
	}
	return "a " + format
}
