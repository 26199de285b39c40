package dsl

import (
	"maps"
	"slices"
)

// The keys that the language names have one order; what authors name (results,
// services, the fields of a shape) keeps theirs. A mapping with a key that is
// not known is left as it is: it is being written, or holds a slip whose repair
// would move the key again.

// arrange orders the keys of a document.
func (g *Grammar) arrange(v *value) {
	for key, head := range map[string]*Schema{"flow": g.Flow, "template": g.Template} {
		if v.node.Field(key) != nil && head != nil {
			g.object(v, head, scopes{}, nil)
			return
		}
	}
	for i := range v.entries {
		if e := &v.entries[i]; e.key != nil {
			g.value(e.value, g.Sections[e.key.Text], scopes{})
		}
	}
}

// scopes are the objects around a value that contain themselves.
type scopes map[string]*Schema

func (g *Grammar) value(v *value, s *Schema, around scopes) {
	if s == nil {
		return
	}
	switch s.Type {
	case ObjectType:
		g.object(v, s, around, nil)
	case ListType, MapType:
		for i := range v.entries {
			g.value(v.entries[i].value, s.Elem, around)
		}
	case SeveralType:
		for i := range v.entries {
			if v.node.Kind == List {
				g.value(v.entries[i].value, s.Elem, around)
			}
		}
		if v.node.Kind == Map {
			g.value(v, s.Elem, around)
		}
	case StepsType, BlockType, BranchesType:
		for i := range v.entries {
			g.step(v.entries[i].value)
		}
	case BundlesType:
		for i := range v.entries {
			g.value(v.entries[i].value, g.Policies, around)
		}
	case TemplateType, ShapeType:
		v.markTemplate()
	}
}

func (v *value) markTemplate() {
	v.template = v.node.Kind == Scalar
	for i := range v.entries {
		v.entries[i].value.markTemplate()
	}
}

// step orders a mapping that has one verb. Without a verb, or with several, it
// is not known what the other keys are.
func (g *Grammar) step(v *value) {
	var keys []string
	for i := range v.entries {
		if key := v.entries[i].key; key != nil {
			keys = append(keys, key.Text)
		}
	}
	if verb := g.Verb(keys); verb != "" {
		g.object(v, g.Verbs[verb], scopes{}, g.Modifiers)
	}
}

// object orders the keys of an object, and of a second one whose keys stand in
// the same mapping.
func (g *Grammar) object(v *value, s *Schema, around scopes, also *Schema) {
	if v.node.Kind != Map {
		return
	}
	if s.Recurs && around[s.Name] != nil {
		s = around[s.Name]
	} else if s.Name != "" {
		around = maps.Clone(around)
		around[s.Name] = s
	}
	properties := slices.Clone(s.Fields)
	if also != nil {
		properties = append(properties, also.Fields...)
	}
	slices.SortStableFunc(properties, func(a, b Property) int { return int(a.Rank) - int(b.Rank) })
	known := true
	rank := make(map[string]int, len(properties))
	for i, p := range slices.Backward(properties) {
		rank[p.Key] = i // of two, the verb's
	}
	for i := range v.entries {
		e := &v.entries[i]
		if k, ok := rank[e.key.Text]; ok {
			g.value(e.value, properties[k].Schema, around)
		} else {
			known = false
		}
	}
	if !known || len(v.entries) == 0 {
		return
	}
	first := v.entries[0].key
	slices.SortStableFunc(v.entries, func(a, b entry) int { return rank[a.key.Text] - rank[b.key.Text] })
	for i := range v.entries { // the one that was the first had no line above
		if i > 0 && v.entries[i].key == first {
			v.entries[i].setBlank(false)
		}
	}
}

// setBlank says whether an empty line stands above the entry and its comments.
func (e *entry) setBlank(blank bool) {
	if len(e.head) > 0 {
		e.head[0].blank = blank
	} else {
		e.blank = blank
	}
}
