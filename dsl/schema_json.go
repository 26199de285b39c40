package dsl

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// JSON Schema, for editors, is written in draft-07: the newest that all of them
// read. What follows from how they read it:
//
//   - In draft-07 nothing counts beside a $ref. So a value with a doc of its own is
//     written out, and only whole definitions are referred to.
//   - An editor that tries alternatives (oneOf, anyOf) tells of the faults of the
//     one that it takes for the nearest. So there are none where a keyword for
//     each type of value says the same: {type: [integer, string], pattern} is an
//     integer, or a text like the pattern.
//   - errorMessage, markdownDescription and the like are understood by
//     yaml-language-server (Visual Studio Code, Neovim and others), and passed
//     over by the rest.

const draft07 = "http://json-schema.org/draft-07/schema#"

// JSONSchema is the schema in JSON Schema draft-07, without $schema. It says the
// same as Decode, except for the ranges of durations, sizes and percentages,
// which it cannot express, and for 3.0, which it takes for whole. What steps are
// is left open: Grammar.JSONSchema tells.
func (s *Schema) JSONSchema() map[string]any {
	w := &schemaWriter{definitions: object{}}
	j := w.value(s)
	if len(w.definitions) > 0 {
		j["definitions"] = w.definitions
	}
	return j
}

// object is an object of JSON.
type object = map[string]any

// schemaWriter writes schemas as JSON Schema.
type schemaWriter struct {
	definitions object // what refer refers to
	step        object // what a step is; nil: anything
	bundle      object // what a bundle of policies is; nil: anything
	expands     string // the pattern of texts that can stand for any scalar; "": none can
	given       bool   // they can stand for lists and objects, too
}

// value describes a value: what it may be, and what it is for.
func (w *schemaWriter) value(s *Schema) object {
	j := w.constraints(s)
	if s.Doc != "" {
		j["description"] = s.Doc
	}
	if s.Default != nil {
		j["default"] = s.Default.plainValue()
	}
	return j
}

// kind defines a Kind that stands in the place of a value, so that editors call
// it by its name.
func (w *schemaWriter) kind(s *Schema) object {
	j := w.value(s)
	j["markdownDescription"] = s.Doc + shown(s.Examples)
	w.definitions[s.Kind] = j
	return refer(s.Kind)
}

// element is what a list or a map holds.
func (w *schemaWriter) element(s *Schema) object {
	if s.Kind != "" {
		return w.kind(s)
	}
	return w.value(s)
}

func (w *schemaWriter) constraints(s *Schema) object {
	if s.Expands && w.expands == "" {
		inside := *w
		inside.expands = expansion
		w = &inside
	}
	switch s.Type {
	case ObjectType:
		return w.composite(w.object(s))
	case ListType:
		return w.composite(object{"type": "array", "items": w.element(s.Elem)})
	case MapType:
		return w.composite(object{"type": "object", "additionalProperties": w.element(s.Elem)})
	case TextType, TemplateType, SecretType:
		if s.Enum != nil {
			return w.expanded(object{"enum": s.enumJSON()})
		}
		return w.text()
	case ConditionType:
		j := w.text()
		j["pattern"], j["errorMessage"] = `^($|[^$]|\$($|[^(]))`, "write the expression without $( )"
		return j
	case BoolType:
		return w.scalar("boolean", "true or false")
	case IntType, NumberType:
		j := w.scalar("number", "a number")
		if s.Type == IntType {
			j = w.scalar("integer", "a whole number")
		}
		if f, err := strconv.ParseFloat(s.Min, 64); err == nil {
			j["minimum"] = f
		}
		if f, err := strconv.ParseFloat(s.Max, 64); err == nil {
			j["maximum"] = f
		}
		return j
	case DurationType:
		return w.pattern(unitsPattern(durationUnits), "a number with its unit, such as 150ms, 2s or 1m30s")
	case SizeType:
		return w.pattern(unitsPattern(sizeUnits), "a number of bytes with its unit, such as 64KB or 10MB")
	case PercentType:
		return w.pattern(`(100(\.0+)?|\d{1,2}(\.\d+)?)%`, "a share, such as 20%")
	case RateType:
		return w.pattern(`0*([1-9]\d{0,5}|1000000)/s|0*([1-9]\d{0,6}|[1-5]\d{7}|60000000)/m|0*([1-9]\d{0,8}|[12]\d{9}|3[0-5]\d{8}|3600000000)/h`, "a rate, such as 100/s, 90/m or 5000/h")
	case StepsType:
		return object{"type": "array", "items": w.oneStep()}
	case BlockType:
		return object{"type": "object", "additionalProperties": w.oneStep()}
	case BranchesType:
		return object{"type": []string{"array", "object"}, "items": w.oneStep(), "additionalProperties": w.oneStep()}
	case BundlesType:
		if w.bundle == nil {
			return object{"type": "array"}
		}
		return object{"type": "array", "items": object{"if": object{"type": "object"}, "then": w.bundle, "else": w.text()}}
	case SeveralType:
		if w.step != nil {
			j := w.object(s.Elem)
			j["items"] = maps.Clone(j)
			j["type"] = []string{"object", "array"}
			return j
		}
	}
	return anything()
}

func (w *schemaWriter) oneStep() object {
	if w.step == nil {
		return object{}
	}
	return w.step
}

// text may be written without quotes, and so look like a number or a boolean.
// The boolean is what is left when all others are denied: an editor that reads
// the word boolean proposes true and false wherever a text is expected.
func (w *schemaWriter) text() object {
	w.definitions["text"] = object{"anyOf": []object{
		{"type": []string{"string", "number"}},
		{"not": object{"type": []string{"string", "number", "array", "object", "null"}}},
	}}
	return object{"anyOf": []object{refer("text")}}
}

// anything has an anyOf, because yaml-language-server completes a key without its
// colon if there is neither a type nor an anyOf.
func anything() object { return object{"anyOf": []object{{}}} }

const (
	expansion = `\$\(`                                        // what all texts match that hold an expression
	given     = `^\$\(\s*input\.[A-Za-z_][A-Za-z0-9_]*\s*\)$` // in the steps of a template: an input
)

// composite is a list or an object.
func (w *schemaWriter) composite(j object) object {
	if !w.given {
		return j
	}
	j["type"], j["pattern"] = []any{j["type"], "string"}, w.expands
	return j
}

// scalar is a value of a JSON type.
func (w *schemaWriter) scalar(typ, write string) object {
	if w.expands == "" {
		return object{"type": typ}
	}
	return object{"type": []string{typ, "string"}, "pattern": w.expands, "errorMessage": "write " + write}
}

// pattern is a text that matches the pattern as a whole.
func (w *schemaWriter) pattern(pattern, write string) object {
	pattern = "^(" + pattern + ")$"
	if w.expands != "" {
		pattern += "|" + w.expands
	}
	return object{"type": "string", "minLength": 1, "pattern": pattern, "errorMessage": "write " + write}
}

func (w *schemaWriter) expanded(j object) object {
	if w.expands == "" {
		return j
	}
	return object{"anyOf": []object{j, {"type": "string", "pattern": w.expands}}}
}

// unitsPattern is parseUnits as a regular expression. Only the smallest unit has
// no fractions.
func unitsPattern(units []unit) string {
	var b strings.Builder
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
	return b.String()
}

// object describes an object, and one that contains itself as a definition.
func (w *schemaWriter) object(s *Schema) object {
	if s.Name == "" {
		return w.closed(s)
	}
	if !s.Recurs {
		w.definitions[s.Name] = w.closed(s)
	}
	return object{"allOf": []object{refer(s.Name)}}
}

func refer(path ...string) object {
	return object{"$ref": "#/definitions/" + strings.Join(path, "/properties/")}
}

// closed is an object that has no other keys.
func (w *schemaWriter) closed(s *Schema) object {
	properties := make(object, len(s.Fields))
	var required []string
	for _, f := range s.Fields {
		p := w.value(f.Schema)
		if all := s.written(f); len(all) > 0 {
			p["examples"] = all
		}
		properties[f.Key] = p
		if f.Required {
			required = append(required, f.Key)
		}
	}
	j := object{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		j["required"] = required
	}
	return j
}

// written is what the examples have under a key that must have a text, for
// editors to propose.
func (s *Schema) written(f Property) (all []any) {
	if !f.Required || f.Enum != nil || f.Type != TextType && f.Type != TemplateType && f.Type != ConditionType {
		return nil
	}
	for _, x := range s.Examples {
		for _, doc := range Parse(NewSource(x.Name, x.YAML), &Diagnostics{}) {
			n := doc.Field(f.Key)
			if n == nil || n.Kind != Scalar || strings.Contains(n.Text, "\n") {
				continue
			}
			if v := n.plainValue(); !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
	}
	return all
}

// shown is examples in Markdown.
func shown(examples []Example) string {
	var b strings.Builder
	for _, x := range examples {
		b.WriteString("\n\n" + strings.ToUpper(x.Name[:1]) + x.Name[1:] + ":\n\n```yaml\n" + strings.TrimSpace(x.YAML) + "\n```")
	}
	return b.String()
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
