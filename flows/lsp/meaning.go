package lsp

import (
	"maps"
	"slices"

	"github.com/weir-run/weir/dsl"
)

// meaning is what the language says of a value of a sketch.
type meaning struct {
	schema *dsl.Schema // nil: nothing
	also   *dsl.Schema // of a step: the modifiers, whose keys stand beside the verb's
	verb   string      // of a step that has one
	around map[string]*dsl.Schema
}

// step reports whether the value is a step, with or without a verb.
func (m meaning) step() bool { return m.also != nil }

// grammar finds what values of a sketch mean. It is immutable.
type grammar struct {
	*dsl.Grammar
	heads    []head
	sections *dsl.Schema // of all other documents
}

// head is a kind of document that has one of its own kind of thing, and is known
// by the key of its name.
type head struct {
	key    string
	schema *dsl.Schema
}

func newGrammar(g *dsl.Grammar) *grammar {
	all := &dsl.Schema{Type: dsl.ObjectType}
	for _, name := range slices.Sorted(maps.Keys(g.Sections)) {
		all.Fields = append(all.Fields, dsl.Property{Key: name, Schema: g.Sections[name]})
	}
	return &grammar{g, []head{{"flow", g.Flow}, {"template", g.Template}}, all}
}

// head is what a document has one of. One of sections has none. What is not named
// yet is taken for a flow if it has steps or a trigger.
func (g *grammar) head(root *node) (h head, ok bool) {
	for _, h := range g.heads {
		if root.field(h.key) != nil {
			return h, true
		}
	}
	return g.heads[0], root.field("steps") != nil || root.field("trigger") != nil
}

// foreign reports whether a document is one of another tool: it has keys, and none
// that the language knows.
func (g *grammar) foreign(root *node) bool {
	keys := root.keys()
	return len(keys) > 0 && !slices.ContainsFunc(keys, func(key string) bool {
		return g.Sections[key] != nil || slices.ContainsFunc(g.heads, func(h head) bool {
			_, ok := meaning{schema: h.schema}.property(key)
			return ok
		})
	})
}

// of is the meaning of a value.
func (g *grammar) of(n *node) meaning {
	path := n.of.path()
	root := n
	if len(path) > 0 {
		root = path[0].in
	}
	m := meaning{schema: g.sections}
	if h, ok := g.head(root); ok {
		m.schema = h.schema
	}
	for _, e := range path {
		m = g.below(m, e)
	}
	return m
}

// below is the meaning of the value of an entry of a mapping or list.
func (g *grammar) below(m meaning, e *entry) meaning {
	if m.schema == nil && m.also == nil {
		return meaning{}
	}
	if m.step() {
		for _, p := range m.properties() {
			if p.Key == e.key {
				return g.seen(p.Schema, e.value, m.around)
			}
		}
		return meaning{}
	}
	switch s := m.schema; s.Type {
	case dsl.ObjectType:
		for _, p := range s.Fields {
			if p.Key == e.key {
				return g.seen(p.Schema, e.value, m.around)
			}
		}
	case dsl.ListType, dsl.MapType, dsl.SeveralType:
		return g.seen(s.Elem, e.value, m.around)
	case dsl.BundlesType:
		if g.Policies != nil {
			return g.seen(g.Policies, e.value, m.around)
		}
	case dsl.StepsType, dsl.BlockType, dsl.BranchesType:
		step := meaning{}
		verb := g.Verb(e.value.keys())
		if verb != "" {
			step = g.seen(g.Verbs[verb], e.value, nil)
		}
		step.verb, step.also = verb, g.Modifiers
		return step
	}
	return meaning{}
}

// seen is a schema as the meaning of a value.
func (g *grammar) seen(s *dsl.Schema, n *node, around map[string]*dsl.Schema) meaning {
	if s.Type == dsl.SeveralType && n.kind != dsl.List {
		s = s.Elem
	}
	switch outer := around[s.Name]; {
	case s.Recurs && outer != nil:
		s = outer
	case s.Name != "":
		around = maps.Clone(around)
		if around == nil {
			around = map[string]*dsl.Schema{}
		}
		around[s.Name] = s
	}
	return meaning{schema: s, around: around}
}

// properties are the keys that a mapping of this meaning can have, each once.
func (m meaning) properties() (all []dsl.Property) {
	for _, s := range []*dsl.Schema{m.schema, m.also} {
		if s == nil || s.Type != dsl.ObjectType {
			continue
		}
		for _, p := range s.Fields {
			if !slices.ContainsFunc(all, func(o dsl.Property) bool { return o.Key == p.Key }) {
				all = append(all, p)
			}
		}
	}
	return all
}

// property finds what the language says of a key in a mapping of this meaning.
func (m meaning) property(key string) (dsl.Property, bool) {
	for _, p := range m.properties() {
		if p.Key == key {
			return p, true
		}
	}
	return dsl.Property{}, false
}
