package dsl

import "slices"

// Grammar is the language as a whole, beyond YAML: which keys stand where, and
// which values hold expressions. The zero Grammar knows nothing.
type Grammar struct {
	Flow      *Schema            // of documents with the key flow
	Template  *Schema            // of documents with the key template
	Sections  map[string]*Schema // of what stands below the keys of other documents
	Verbs     map[string]*Schema // of steps
	Modifiers *Schema            // what every step may have beside its verb
	Policies  *Schema            // of a bundle of policies; nil: there are none
}

// Verb is the verb of a step that has these keys, or "" if it has none or
// several.
func (g *Grammar) Verb(keys []string) string {
	var verbs []string
	for _, key := range keys {
		if g.Verbs[key] != nil {
			verbs = append(verbs, key)
		}
	}
	if verbs = Owners(verbs, func(verb string) []string { return g.Verbs[verb].keys() }); len(verbs) != 1 {
		return ""
	}
	return verbs[0]
}

// Owners are the names of kinds that are not also keys of another one of them: a
// key can be a kind by itself and a detail of another, as limit is of each.
func Owners(names []string, keys func(name string) []string) []string {
	detail := func(name string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return other != name && slices.Contains(keys(other), name) })
	}
	return slices.DeleteFunc(slices.Clone(names), detail)
}

func (s *Schema) keys() (keys []string) {
	for _, f := range s.Fields {
		keys = append(keys, f.Key)
	}
	return keys
}
