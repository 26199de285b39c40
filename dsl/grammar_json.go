package dsl

import (
	"maps"
	"slices"
)

// JSONSchema is a schema of documents, in JSON Schema draft-07, that an editor
// completes, explains and checks files with. It holds what can be told from a
// document alone: which keys stand where, and of what form their values are.
// Names, expressions and what depends on other files are for Check.
//
// What a mapping is depends on which keys it has, and each case is an if of its
// own: an editor then speaks of the one that the author is writing, where a
// choice among alternatives (oneOf) would be told as a failure of all of them.
func (g *Grammar) JSONSchema() map[string]any {
	w := &schemaWriter{definitions: object{}, step: refer("step")}
	if g.Policies != nil {
		policies := *w
		policies.expands = expansion
		w.definitions["policies"] = policies.value(g.Policies)
		w.bundle = refer("policies")
	}
	w.definitions["flow"] = w.value(g.Flow)
	w.definitions["template"] = w.value(g.Template)
	w.definitions["sections"] = w.sections(g)
	w.steps(g)
	isTemplate := object{"type": "object", "required": []string{g.Template.keys()[0]}}
	isFlow := having(g.Flow.keys())
	isFlow["not"] = isTemplate
	return object{
		"$schema":     draft07,
		"title":       "Weir",
		"description": "A document of a flow file: a flow, a template, or sections with what flows need.",
		"type":        "object",
		"allOf": []object{
			{"if": isTemplate, "then": refer("template")},
			{"if": isFlow, "then": refer("flow")},
			{"if": lacking(append(g.Flow.keys(), g.Template.keys()[0])), "then": refer("sections")},
		},
		"definitions": w.definitions,
	}
}

// having is about mappings that have one of the keys at least.
func having(keys []string) object {
	all := make([]object, len(keys))
	for i, key := range keys {
		all[i] = object{"required": []string{key}}
	}
	return object{"type": "object", "anyOf": all}
}

// lacking is about mappings that have none of the keys.
func lacking(keys []string) object {
	return object{"type": "object", "not": having(keys)}
}

// sections describes a document that is no flow and no template. It names the
// first keys of those only for editors to propose.
func (w *schemaWriter) sections(g *Grammar) object {
	properties := object{}
	for name, s := range g.Sections {
		properties[name] = w.value(s)
	}
	for head, s := range map[string]*Schema{"flow": g.Flow, "template": g.Template} {
		first := s.Fields[0].Key
		properties[first] = refer(head, first)
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

// steps defines step, and for each verb what stands beside it. A step of a
// template can have one of its inputs where a literal stands.
func (w *schemaWriter) steps(g *Grammar) {
	inside := *w
	inside.expands, inside.given = given, true
	w = &inside
	w.definitions["modifiers"] = w.closed(g.Modifiers)
	verbs := slices.Sorted(maps.Keys(g.Verbs))
	begun := having(verbs) // a step that has no verb yet
	for _, verb := range begun["anyOf"].([]object) {
		verb["errorMessage"] = "a step has one verb, and this has none"
	}
	begun["properties"] = w.modifiers(g, object{})
	begun["additionalProperties"] = false

	cases := []object{{"if": lacking(verbs), "then": refer("step.")}}
	w.definitions["step."] = begun
	for _, verb := range verbs {
		s := g.Verbs[verb]
		name := "step." + verb
		j := w.closed(s)
		properties := j["properties"].(object)
		if p, ok := properties[verb].(object); ok {
			doc, _ := p["description"].(string)
			p["description"] = s.Doc + "\n\n" + doc
			p["markdownDescription"] = s.Doc + "\n\n" + doc + shown(s.Examples)
		}
		w.modifiers(g, properties)
		w.definitions[name] = j
		begun["properties"].(object)[verb] = refer(name, verb)
		cases = append(cases, object{"if": g.verbIs(verb, verbs), "then": refer(name)})
	}
	w.definitions["step"] = object{"type": "object", "errorMessage": "a step is a mapping with one verb", "allOf": cases}
}

// modifiers adds the keys that every step may have.
func (w *schemaWriter) modifiers(g *Grammar, properties object) object {
	for _, f := range g.Modifiers.Fields {
		if _, own := properties[f.Key]; !own {
			properties[f.Key] = refer("modifiers", f.Key)
		}
	}
	return properties
}

// verbIs fits to steps with a verb that is not a detail of another one there.
func (g *Grammar) verbIs(verb string, verbs []string) object {
	is := object{"type": "object", "required": []string{verb}}
	var owners []string
	for _, other := range verbs {
		if other != verb && slices.Contains(g.Verbs[other].keys(), verb) {
			owners = append(owners, other)
		}
	}
	if owners != nil {
		is["not"] = having(owners)
	}
	return is
}
