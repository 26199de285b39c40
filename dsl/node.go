package dsl

import (
	"slices"
	"sort"
	"strings"
)

// NodeKind is the form of a Node.
type NodeKind uint8

// The forms of YAML.
const (
	Scalar NodeKind = iota
	List
	Map
)

func (k NodeKind) String() string {
	switch k {
	case List:
		return "list"
	case Map:
		return "mapping"
	default:
		return "scalar"
	}
}

// Style is how a scalar is written.
type Style uint8

// The styles of YAML's scalars.
const (
	Plain Style = iota
	SingleQuoted
	DoubleQuoted
	Literal
	Folded
)

// ScalarType is the type of a scalar in the core schema of YAML 1.2, except that
// digits behind a leading zero (0123) are text, because readers disagree about
// them. Quoted and block scalars are always Str.
type ScalarType uint8

// The scalar types.
const (
	Null ScalarType = iota
	Bool
	Int
	Float
	Str
)

func (t ScalarType) String() string {
	return [...]string{"null", "true or false", "a whole number", "a number", "text"}[t]
}

// Node is one YAML value with its place. It is immutable.
type Node struct {
	Kind   NodeKind
	Style  Style      // scalars
	Type   ScalarType // scalars
	Span   Span       // scalars: with the quotes, or the block with its header
	Text   string     // scalars: the decoded text
	Items  []*Node    // lists
	Fields []Field    // mappings, in the order written, each key once

	runs   []run // scalars: where Text stands; nil if it stands as it is at plainStart
	from   int   // scalars: the offset of the text's first byte
	key    *Node // what the node is the value of, or nil
	broken bool
	held   *Held // Text holds this secret: it was put in the place of an expression
}

// Broken reports whether a fault of this very value has been reported: what it
// says is not what its author meant, and to judge it would be to report the same
// mistake again.
func (n *Node) Broken() bool { return n.broken }

// KeySpan is the place of the key that the node is the value of, or of the node
// itself if it has none. A nil Node has no place.
func (n *Node) KeySpan() Span {
	switch {
	case n == nil:
		return Span{}
	case n.key == nil:
		return n.head()
	}
	return n.key.Span
}

// Constant reports whether a shape holds no expression and no directive.
func (n *Node) Constant() bool {
	return !strings.Contains(n.Text, "$(") &&
		!slices.ContainsFunc(n.Items, func(item *Node) bool { return !item.Constant() }) &&
		!slices.ContainsFunc(n.Fields, func(f Field) bool { return strings.HasPrefix(f.Key.Text, "$") || !f.Value.Constant() })
}

// Describe is what faults call the node: a list, a mapping, text, a number.
func (n *Node) Describe() string { return n.found() }

// Field is one entry of a mapping. Key is always a scalar.
type Field struct{ Key, Value *Node }

// Field is the value of a key, or nil. A nil Node and a Node that is not a
// mapping have no fields.
func (n *Node) Field(key string) *Node {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		if f.Key.Text == key {
			return f.Value
		}
	}
	return nil
}

// run says that a stretch of a scalar's text stands at src. If both lengths are
// equal it stands there byte for byte; otherwise as a whole (an escape, a fold).
type run struct{ text, textLen, src, srcLen int }

// At is the place in the source of Text[i:j]. What has no place of its own (half
// of an escape) gets that of the whole. Outside a scalar it is the node's span.
func (n *Node) At(i, j int) Span {
	if n.Kind != Scalar {
		return n.Span
	}
	i = min(max(i, 0), len(n.Text))
	return n.origin().at(i, min(max(j, i), len(n.Text)))
}

// origin is where the text of a scalar stands. It does not keep the node alive.
type origin struct {
	source *Source
	runs   []run
	from   int
}

func (n *Node) origin() origin { return origin{n.Span.Source, n.runs, n.from} }

// at is the place of text[i:j], which must lie in the text.
func (o origin) at(i, j int) Span {
	if o.runs == nil {
		return Span{o.source, o.from + i, o.from + j}
	}
	start := o.offset(i)
	if j == i {
		return Span{o.source, start, start}
	}
	last := o.runs[o.runAt(j-1)]
	end := last.src + last.srcLen
	if last.textLen == last.srcLen {
		end = last.src + j - last.text
	}
	return Span{o.source, start, end}
}

func (o origin) offset(i int) int {
	r := o.runs[o.runAt(i)]
	switch {
	case i >= r.text+r.textLen:
		return r.src + r.srcLen
	case r.textLen == r.srcLen:
		return r.src + i - r.text
	default:
		return r.src
	}
}

// runAt is the index of the run that holds text[i], or of the last.
func (o origin) runAt(i int) int {
	return max(sort.Search(len(o.runs), func(k int) bool { return o.runs[k].text > i })-1, 0)
}
