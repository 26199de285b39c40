package engine

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Resources are the named things of a program that steps refer to, such as
// services and flows, each kind by its Go type.
type Resources struct {
	// Partial says that some definitions could not be read: a name that is not
	// known may be one of theirs, and is not reported.
	Partial bool

	tables map[reflect.Type]*table
}

type table struct {
	noun   string
	things map[string]any
}

// Provide makes a thing known by its name. The noun is what faults call it.
func Provide[T any](r *Resources, noun, name string, thing T) {
	if r.tables == nil {
		r.tables = map[reflect.Type]*table{}
	}
	key := reflect.TypeFor[T]()
	if r.tables[key] == nil {
		r.tables[key] = &table{noun: noun, things: map[string]any{}}
	}
	r.tables[key].things[name] = thing
}

// has reports whether there is a thing of this name.
func (r *Resources) has(noun, name string) bool {
	for _, t := range r.tables {
		if _, ok := t.things[name]; ok && t.noun == noun {
			return true
		}
	}
	return false
}

// Use finds a thing by its name, or reports that there is none.
func Use[T any](c *Compiler, noun string, name dsl.String) (thing T, ok bool) {
	t := c.lang.Resources.tables[reflect.TypeFor[T]()]
	if c.lang.Index != nil && (c.use == nil || !c.use.inHole(name.Span)) {
		c.lang.Index.Use(noun, name, dsl.Span{})
	}
	if c.lang.Probe != nil {
		c.uses = append(c.uses, noun+" "+name.Value)
	}
	if t != nil {
		if thing, ok = t.things[name.Value].(T); ok {
			return thing, true
		}
	}
	if c.lang.Resources.Partial {
		c.failed = true
		return thing, false
	}
	c.unknown(noun, name)
	return thing, false
}

// unknown reports that there is no thing of this name.
func (c *Compiler) unknown(noun string, name dsl.String) {
	d := dsl.Diagnostic{Span: name.Span, Code: "unknown-" + noun, Message: fmt.Sprintf("there is no %s %q", noun, name.Value)}
	var known []string
	for _, t := range c.lang.Resources.tables {
		if t.noun == noun {
			known = slices.Sorted(maps.Keys(t.things))
		}
	}
	switch {
	case strings.Contains(name.Value, "$("):
		d.Message, d.Hint = "the name of a "+noun+" cannot be an expression", "write the name; to choose between several, use switch"
	case strings.Contains(name.Value, "://"):
		d.Hint = fmt.Sprintf("define a %s with this endpoint, and write its name", noun)
	case noun == "flow" && c.lang.Resources.has("template", name.Value):
		d.Hint = fmt.Sprintf("%s is a template: write use: %s", name.Value, name.Value)
	case noun == "template" && c.lang.Resources.has("flow", name.Value):
		d.Hint = fmt.Sprintf("%s is a flow: write run: %s", name.Value, name.Value)
	default:
		d.Hint = fmt.Sprintf("define it in %ss:", noun)
		if noun == "flow" || noun == "template" {
			d.Hint = fmt.Sprintf("define it, beginning with %s: %s", noun, name.Value)
		}
		if len(known) > 0 {
			d.Hint += ", or use one of " + listed(known)
		}
		d.Suggest(name.Value, known)
	}
	c.Report(d)
}

// listed names a few of many.
func listed(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
