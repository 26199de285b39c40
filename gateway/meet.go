package gateway

import (
	"net/http"
	"strings"
)

// Patterns of which neither is narrower have no order among each other. Where
// two of them stand side by side and match the same segment, some request must
// not be able to go on below both: which route it reached would depend on the
// order in which they were written.

// crossing is such a pair of patterns, with what lies below each.
type crossing struct {
	a, b   *node
	shared string // a segment that both match, if one is known
}

// meet finds a route below each node that take some request in common.
func meet(a, b *node) (*Route, *Route) {
	if x, y := meetLeaves(a.leaf, b.leaf); x != nil {
		return x, y
	}
	for _, left := range a.edges() {
		for _, right := range b.edges() {
			if x, y := left.meet(right); x != nil {
				return x, y
			}
		}
	}
	return nil, nil
}

func meetLeaves(a, b *leaf) (*Route, *Route) {
	if a == nil || b == nil {
		return nil, nil
	}
	for _, x := range a.routes {
		for _, y := range b.routes {
			share := x.Method == y.Method || x.Method == "" || y.Method == "" || headAndGet(x.Method, y.Method)
			if share && !relateMatches(x.Match, y.Match).disjoint() {
				return x, y
			}
		}
	}
	return nil, nil
}

func headAndGet(a, b string) bool {
	return a == http.MethodHead && b == http.MethodGet || a == http.MethodGet && b == http.MethodHead
}

// edge is one way on from a node.
type edge struct {
	kind    segmentKind
	text    string   // literal
	pattern *pattern // patterned
	below   *node    // with only a leaf, for the rest of the path
}

func (n *node) edges() (edges []edge) {
	for text, child := range n.literals.all() {
		edges = append(edges, edge{kind: literal, text: text, below: child})
	}
	for i := range n.patterns {
		edges = append(edges, edge{kind: patterned, pattern: &n.patterns[i], below: n.patterns[i].child})
	}
	if n.parameter != nil {
		edges = append(edges, edge{kind: parameter, below: n.parameter})
	}
	if n.rest != nil {
		edges = append(edges, edge{kind: rest, below: &node{leaf: n.rest}})
	}
	if n.restOrNil != nil {
		edges = append(edges, edge{kind: restOrNil, below: &node{leaf: n.restOrNil}})
	}
	return edges
}

func (e edge) meet(other edge) (*Route, *Route) {
	if e.kind < other.kind {
		x, y := other.meet(e)
		return y, x
	}
	switch {
	case e.kind >= rest && other.kind >= rest:
		return meetLeaves(e.below.leaf, other.below.leaf)
	case e.kind >= rest:
		return e.meetAll(other)
	case !e.sharesSegment(other):
		return nil, nil
	}
	return meet(e.below, other.below)
}

// meetAll finds a route anywhere below other, for an edge that takes the rest
// of the path.
func (e edge) meetAll(other edge) (*Route, *Route) {
	empty := other.kind == literal && other.text == ""
	if !empty || e.kind == restOrNil {
		if x, y := meetLeaves(e.below.leaf, other.below.leaf); x != nil {
			return x, y
		}
	}
	for _, further := range other.below.edges() {
		// A slash has been taken, so even an empty end is something now.
		if x, y := (edge{kind: restOrNil, below: e.below}).meet(further); x != nil {
			return x, y
		}
	}
	return nil, nil
}

// sharesSegment compares with an edge that is not of a later kind.
func (e edge) sharesSegment(other edge) bool {
	switch {
	case e.kind == literal:
		return e.text == other.text
	case other.kind == literal:
		return other.text != "" && (e.kind == parameter || e.pattern.re.MatchString("/"+other.text))
	case e.kind == parameter:
		return true
	default:
		return e.pattern.text == other.pattern.text || !relate(e.pattern.expression(), other.pattern.expression()).disjoint()
	}
}

// expression is the pattern without what anchors it.
func (p *pattern) expression() string {
	return strings.TrimSuffix(strings.TrimPrefix(p.text, "^/"), "$")
}
