package dsl

import (
	"errors"
	"fmt"
	"reflect"
)

// Kind is one component of the language: its name, its doc, its configuration
// and how it is compiled. B is what compile works with, T what it makes.
type Kind[B Reporter, T any] struct {
	Name     string
	Doc      string
	Examples []Example

	config  reflect.Type
	compile func(b B, n *Node, also []any) (T, bool)
}

// Example is a piece of YAML that shows a Kind in use. The tests compile it.
type Example struct{ Name, YAML string }

// Define makes a Kind. Its keys come from the fields of the struct C, its value
// from compile, which runs unless something that is required is wrong. What
// compile finds wrong itself it reports to b.
func Define[C any, B Reporter, T any](name, doc string, compile func(b B, at *Node, cfg *C) T, examples ...Example) Kind[B, T] {
	return Kind[B, T]{
		Name: name, Doc: doc, Examples: examples,
		config: reflect.TypeFor[C](),
		compile: func(b B, n *Node, also []any) (t T, ok bool) {
			cfg := new(C)
			if usable, _ := decode(n, b, append([]any{cfg}, also...)); !usable {
				return t, false
			}
			return compile(b, n, cfg), true
		},
	}
}

// Compile decodes n and compiles it. The structs that also points to are decoded
// from the same mapping: their keys stand beside the kind's own. ok is false if
// something that is required is missing or does not fit; compile has then not
// run. Other values that do not fit are reported and left out.
func (k Kind[B, T]) Compile(b B, n *Node, also ...any) (t T, ok bool) {
	return k.compile(b, n, also)
}

// Decode is the first half of Compile: it reports what is wrong with n itself,
// and is true if nothing is.
func (k Kind[B, T]) Decode(n *Node, r Reporter, also ...any) bool {
	return Decode(n, r, append([]any{reflect.New(k.config).Interface()}, also...)...)
}

// Keys is the keys of the configuration in the order of their declaration.
func (k Kind[B, T]) Keys() []string { return planOf(k.config).keys }

// Schema describes the configuration: what Compile accepts apart from the keys
// of its also.
func (k Kind[B, T]) Schema() *Schema {
	s := schemaOf(k.config)
	s.Kind, s.Doc, s.Examples = k.Name, k.Doc, k.Examples
	return s
}

// Check says what is wrong with the kind itself: no name, no doc, tags that
// cannot be meant.
func (k Kind[B, T]) Check() error {
	switch {
	case k.Name == "":
		return errors.New("a kind has no name")
	case k.compile == nil:
		return fmt.Errorf("kind %s: not made with Define", k.Name)
	case k.Doc == "":
		return fmt.Errorf("kind %s: no doc", k.Name)
	}
	if err := checkPlan(k.config); err != nil {
		return fmt.Errorf("kind %s: %w", k.Name, err)
	}
	return nil
}

// Catalog is a set of kinds in a fixed order. It is immutable and safe for
// concurrent use.
type Catalog[B Reporter, T any] struct {
	kinds  []Kind[B, T]
	byName map[string]int
	names  []string
}

// NewCatalog refuses two kinds of one name and every kind whose Check fails.
func NewCatalog[B Reporter, T any](kinds ...Kind[B, T]) (*Catalog[B, T], error) {
	c := &Catalog[B, T]{kinds: kinds, byName: make(map[string]int, len(kinds))}
	var faults []error
	for i, k := range kinds {
		if err := k.Check(); err != nil {
			faults = append(faults, err)
		}
		if _, twice := c.byName[k.Name]; twice {
			faults = append(faults, fmt.Errorf("two kinds are called %s", k.Name))
		}
		c.byName[k.Name] = i
		c.names = append(c.names, k.Name)
	}
	return c, errors.Join(faults...)
}

// Kind finds a kind by its name.
func (c *Catalog[B, T]) Kind(name string) (Kind[B, T], bool) {
	i, ok := c.byName[name]
	if !ok {
		return Kind[B, T]{}, false
	}
	return c.kinds[i], true
}

// Names is the kinds' names in the catalog's order.
func (c *Catalog[B, T]) Names() []string { return c.names }

// All is the kinds in the catalog's order.
func (c *Catalog[B, T]) All() []Kind[B, T] { return c.kinds }
