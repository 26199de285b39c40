package dsl

import (
	"path/filepath"
	"reflect"
)

// String is a text with its place.
type String struct {
	Value string
	Span  Span
}

// Path is the text as the path of a file: it starts at the directory of the file
// that it stands in.
func (s String) Path() string {
	if s.Value == "" || filepath.IsAbs(s.Value) || s.Span.Source == nil {
		return s.Value
	}
	return filepath.Join(filepath.Dir(s.Span.Source.Name), filepath.FromSlash(s.Value))
}

// Shape is any YAML with $(...) at its leaves.
type Shape struct{ Node *Node }

// Text is a text with $(...) inside.
type Text struct{ Node *Node }

// Cond is a bare expression that gives true or false.
type Cond struct{ Node *Node }

// Steps is a list of steps.
type Steps struct{ Node *Node }

// Block is a mapping of id to step.
type Block struct{ Node *Node }

// Branches are steps without an order: a list of them, or a mapping of name to
// step.
type Branches struct{ Node *Node }

// Bundles is a list of bundles of policies. Each is a text, the name of one, or
// the mapping that it is.
type Bundles struct{ Items []*Node }

// Several is a mapping that has the keys of C, or a list of such mappings. It is
// taken as it is: each is to be decoded by itself.
type Several[C any] struct{ Node *Node }

// several is a Several of any type.
type several interface{ of() reflect.Type }

func (Several[C]) of() reflect.Type { return reflect.TypeFor[C]() }
