package openapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Hole stands in the path of a call for what an expression gives.
const Hole = "\x00"

// Call is a call as it is written.
type Call struct {
	Service string
	Method  string
	Path    string // with a Hole for each expression
	At      dsl.Span
	Span    dsl.Span // of the method
}

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// Operation finds what a call is of. It reports a path or a method that the
// document does not have; where a path could be one of several, it gives nil.
func (d *Document) Operation(c Call, r dsl.Reporter) *Operation {
	found := d.match(split(c.Path))
	for _, base := range d.bases {
		if rest, ok := strings.CutPrefix(c.Path, base+"/"); ok && len(found) == 0 {
			found = d.match(split(rest))
		}
	}
	if len(found) == 0 {
		d.unknownPath(c, r)
		return nil
	}
	var ops []*Operation
	var known []string
	for _, p := range found {
		for _, op := range p.methods {
			if known = append(known, op.Method); op.Method == c.Method {
				ops = append(ops, op)
			}
		}
	}
	switch {
	case len(ops) == 1:
		return ops[0]
	case len(ops) == 0:
		slices.Sort(known)
		hint := "write " + strings.Join(slices.Compact(known), " or ")
		if len(known) == 0 {
			hint = "it has no methods"
		}
		r.Report(dsl.Diagnostic{Span: c.Span, Code: "unknown-operation", Message: fmt.Sprintf("%s has no %s for %s", c.Service, c.Method, found[0].template), Hint: hint})
	}
	return nil
}

// match gives the paths that fit a call best: those whose first segments are
// written as in the call go before those that have a parameter there, and an
// expression is rather a parameter than a word.
func (d *Document) match(segments []string) (best []*path) {
	var order []byte
	for _, p := range d.paths {
		if len(p.segments) != len(segments) {
			continue
		}
		rank, ok := fit(p.segments, segments)
		if !ok {
			continue
		}
		switch c := strings.Compare(string(rank), string(order)); {
		case best == nil || c < 0:
			best, order = []*path{p}, rank
		case c == 0:
			best = append(best, p)
		}
	}
	return best
}

// fit ranks each segment: 0 for the same, 1 for what may be the same.
func fit(template, segments []string) (rank []byte, ok bool) {
	rank = make([]byte, len(template))
	for i, t := range template {
		s := segments[i]
		variable := strings.ContainsRune(t, '{')
		dynamic := strings.Contains(s, Hole)
		switch {
		case variable && dynamic, !variable && !dynamic && same(t, s):
		case variable:
			if s == "" || !mayBe(t, s) {
				return nil, false
			}
			rank[i] = 1
		case dynamic && mayBe(s, t):
			rank[i] = 1
		default:
			return nil, false
		}
	}
	return rank, true
}

func same(template, segment string) bool {
	text, err := url.PathUnescape(segment)
	return template == segment || err == nil && template == text
}

// mayBe reports whether text begins and ends as the pattern does around what is
// open in it.
func mayBe(pattern, text string) bool {
	i, j := strings.IndexAny(pattern, "{"+Hole), strings.LastIndexAny(pattern, "}"+Hole)
	if i < 0 || j < i {
		return pattern == text
	}
	before, after := pattern[:i], pattern[j+1:]
	return len(text) >= len(before)+len(after) && strings.HasPrefix(text, before) && strings.HasSuffix(text, after)
}

func (d *Document) unknownPath(c Call, r dsl.Reporter) {
	x := dsl.Diagnostic{Span: c.At, Code: "unknown-path", Message: fmt.Sprintf("%s has no path %s", c.Service, shown(c.Path))}
	templates := make([]string, len(d.paths))
	flat := make([]string, len(d.paths))
	for i, p := range d.paths {
		templates[i], flat[i] = p.template, flatten(p.template)
	}
	called := flatten(strings.ReplaceAll(c.Path, Hole, "{}"))
	if near, ok := dsl.Nearest(called, flat); ok {
		x.Hint = fmt.Sprintf("did you mean %s?", templates[slices.Index(flat, near)])
	} else if len(templates) > 0 {
		slices.Sort(templates)
		x.Hint = "its paths are " + strings.Join(templates[:min(len(templates), 8)], ", ")
		if len(templates) > 8 {
			x.Hint += ", …"
		}
	} else {
		x.Hint = "its document has no paths"
	}
	r.Report(x)
}

// flatten takes the names out of a template, for they are not spelled in calls.
func flatten(template string) string {
	var b strings.Builder
	inside := false
	for _, c := range template {
		switch {
		case c == '{':
			inside = true
			b.WriteString("{}")
		case c == '}':
			inside = false
		case !inside:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func shown(path string) string { return strings.ReplaceAll(path, Hole, "{…}") }
