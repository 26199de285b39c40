package gateway

import (
	"fmt"
	"slices"

	"github.com/weir-run/weir/dsl"
)

// leaves visits the leaves below a node.
func (n *node) leaves(visit func(*leaf)) {
	for _, l := range []*leaf{n.leaf, n.rest, n.restOrNil} {
		if l != nil {
			visit(l)
		}
	}
	for _, child := range n.literals.all() {
		child.leaves(visit)
	}
	for i := range n.patterns {
		n.patterns[i].child.leaves(visit)
	}
	if n.parameter != nil {
		n.parameter.leaves(visit)
	}
}

// shadowed warns of routes all of whose requests go to narrower ones, as far as
// these differ from it in one name: with one for requests that have a header and
// one for those that do not, nothing is left for a third.
func (l *leaf) shadowed(told map[*Route]bool, r dsl.Reporter) {
	if l.choices == nil {
		return
	}
	for i, route := range l.routes {
		var by []*Condition // what the narrower ones want of a name, in all
		for _, other := range l.routes[:i] {
			if c, ok := narrowedBy(route.Match, other.Match); ok && other.Method == route.Method {
				j := slices.IndexFunc(by, func(all *Condition) bool { return all.alike(*c) })
				if j < 0 {
					j, by = len(by), append(by, &Condition{In: c.In, Name: c.Name})
				}
				by[j].or(c)
			}
		}
		for _, all := range by {
			own := Condition{Present: true, Absent: true}
			if j := slices.IndexFunc(route.Match, all.alike); j >= 0 {
				own = route.Match[j]
			}
			if as := all.relate(&own); !as.unknown && !as.onlyB && !told[route] {
				told[route] = true
				r.Report(dsl.Diagnostic{Span: route.Span, Severity: dsl.Warning, Code: "shadowed-route", Message: fmt.Sprintf("no request comes to route %s: those that look at the %s %s take them all", route, all.In, all.Name),
					Hint: "remove it, or what one of them wants"})
			}
		}
	}
}

// narrowedBy is the condition by which the requests of a list of conditions are
// fewer than those of another, if it is one.
func narrowedBy(wide, narrow []Condition) (by *Condition, ok bool) {
	for i := range narrow {
		c := &narrow[i]
		j := slices.IndexFunc(wide, c.alike)
		if j >= 0 {
			if as := c.relate(&wide[j]); !as.unknown && !as.onlyA && !as.onlyB {
				continue
			}
		}
		if by != nil {
			return nil, false
		}
		by = c
	}
	missing := slices.ContainsFunc(wide, func(c Condition) bool { return !slices.ContainsFunc(narrow, c.alike) })
	return by, by != nil && !missing
}

// or makes the condition take what another takes, too.
func (c *Condition) or(other *Condition) {
	c.Present, c.Absent = c.Present || other.Present, c.Absent || other.Absent
	c.Values = append(c.Values, other.Values...)
	switch {
	case c.Pattern == "":
		c.Pattern = other.Pattern
	case other.Pattern != "":
		c.Pattern = "(?:" + c.Pattern + ")|(?:" + other.Pattern + ")"
	}
}
