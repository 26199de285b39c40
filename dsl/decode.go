package dsl

import "reflect"

// String is a text with its place.
type String struct {
	Value string
	Span  Span
}

// Shape is any YAML with $(...) at its leaves.
type Shape struct{ Node *Node }

// Text is a string with $(...) inside.
type Text struct{ Node *Node }

// Cond is a bare expression that gives true or false.
type Cond struct{ Node *Node }

// Steps is a list of steps.
type Steps struct{ Node *Node }

// Block is a mapping of id to step.
type Block struct{ Node *Node }

// Decode fills the structs that the targets point to from the mapping n.
func Decode(n *Node, r Reporter, targets ...any) bool { return false }

type plan struct{ keys []string }

func planOf(t reflect.Type) *plan     { return &plan{} }
func checkPlan(t reflect.Type) error  { return nil }
func schemaOf(t reflect.Type) *Schema { return &Schema{} }
