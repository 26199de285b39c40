package gateway

import (
	"cmp"
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode"
)

// Two patterns for one segment are compared as the sets of texts they match.
// Their expressions are compiled to automata without states of their own, so
// both are run together: a state is the pair of sets of instructions that each
// could be at, and the successors of a state are found by trying one character
// out of every range in which all characters lead to the same place. A state
// in which one of the two accepts and the other does not shows that there is a
// text which only the one matches. No such state means that it matches nothing
// the other does not.

// relation is how the texts that one pattern matches relate to another's.
type relation struct {
	shared       string // a text that both match; never empty, as no segment is
	onlyA, onlyB bool   // there are texts that only the one matches
	unknown      bool   // the comparison was given up
}

func (r relation) disjoint() bool { return r.shared == "" && !r.unknown }
func (r relation) narrower() bool { return !r.disjoint() && !r.unknown && !r.onlyA && r.onlyB }
func (r relation) wider() bool    { return !r.disjoint() && !r.unknown && r.onlyA && !r.onlyB }

// maxStates bounds a comparison. Patterns in routes need a few dozen.
const maxStates = 5000

// relate compares two expressions that have no anchors, as patterns for a
// segment.
func relate(a, b string) relation { return relateOver(a, b, inSegments) }

// relateTexts compares two expressions that have no anchors, for any text.
func relateTexts(a, b string) relation {
	return relateOver(a, b, func(c rune) bool { return c < 0xd800 || c > 0xdfff })
}

// relateOver compares for texts of some characters. Where a slash is none of them
// no text is empty.
func relateOver(a, b string, has func(rune) bool) relation {
	progA, okA := compileProg(a)
	progB, okB := compileProg(b)
	if !okA || !okB {
		return relation{unknown: true}
	}
	var r relation
	start := pair{a: reach(progA, nil, uint32(progA.Start)), b: reach(progB, nil, uint32(progB.Start))}
	if has('/') {
		r.note(accepts(progA, start.a), accepts(progB, start.b), "nothing")
	}
	seen := map[string]bool{start.key(): true}
	for queue := []pair{start}; len(queue) > 0; queue = queue[1:] {
		for _, c := range representatives(progA, progB, queue[0], has) {
			next := pair{a: step(progA, queue[0].a, c), b: step(progB, queue[0].b, c), text: queue[0].text + string(c)}
			if len(next.a)+len(next.b) == 0 || seen[next.key()] {
				continue
			}
			seen[next.key()] = true
			if len(seen) > maxStates {
				return relation{unknown: true}
			}
			r.note(accepts(progA, next.a), accepts(progB, next.b), next.text)
			queue = append(queue, next)
		}
	}
	return r
}

func (r *relation) note(a, b bool, text string) {
	r.onlyA = r.onlyA || a && !b
	r.onlyB = r.onlyB || b && !a
	if a && b && r.shared == "" {
		r.shared = text
	}
}

func compileProg(expression string) (*syntax.Prog, bool) {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, false
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, false
	}
	looksAround := slices.ContainsFunc(prog.Inst, func(i syntax.Inst) bool { return i.Op == syntax.InstEmptyWidth })
	return prog, !looksAround
}

// pair is where both automata may be after text. The sets are sorted.
type pair struct {
	a, b []uint32
	text string
}

func (p pair) key() string {
	var key []byte
	for _, pc := range p.a {
		key = binary.AppendUvarint(key, uint64(pc)+1)
	}
	key = append(key, 0)
	for _, pc := range p.b {
		key = binary.AppendUvarint(key, uint64(pc)+1)
	}
	return string(key)
}

// reach adds to set the instructions that wait for a character, or accept,
// after pc.
func reach(prog *syntax.Prog, set []uint32, pc uint32) []uint32 {
	visited := map[uint32]bool{}
	var visit func(uint32)
	visit = func(pc uint32) {
		if visited[pc] {
			return
		}
		visited[pc] = true
		switch i := &prog.Inst[pc]; i.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			visit(i.Out)
			visit(i.Arg)
		case syntax.InstCapture, syntax.InstNop:
			visit(i.Out)
		case syntax.InstFail:
		default:
			if at, found := slices.BinarySearch(set, pc); !found {
				set = slices.Insert(set, at, pc)
			}
		}
	}
	visit(pc)
	return set
}

func step(prog *syntax.Prog, set []uint32, c rune) (next []uint32) {
	for _, pc := range set {
		if i := &prog.Inst[pc]; i.Op != syntax.InstMatch && i.MatchRune(c) {
			next = reach(prog, next, i.Out)
		}
	}
	return next
}

func accepts(prog *syntax.Prog, set []uint32) bool {
	return slices.ContainsFunc(set, func(pc uint32) bool { return prog.Inst[pc].Op == syntax.InstMatch })
}

// representatives are characters of which each stands for all that every
// instruction in the pair treats alike. Those that no text has are left out.
func representatives(progA, progB *syntax.Prog, p pair, has func(rune) bool) []rune {
	starts := []rune{' ', '0', 'A', 'a'} // the last three make witnesses readable
	note := func(prog *syntax.Prog, set []uint32) {
		for _, pc := range set {
			starts = appendStarts(starts, &prog.Inst[pc])
		}
	}
	note(progA, p.a)
	note(progB, p.b)
	var found []rune
	for _, c := range starts {
		for c <= unicode.MaxRune && !has(c) {
			c++
		}
		if c <= unicode.MaxRune {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b rune) int {
		return cmp.Or(cmp.Compare(readable(a), readable(b)), cmp.Compare(a, b))
	})
	return slices.Compact(found)
}

// appendStarts adds the first character of each range in which the instruction
// does not change its mind.
func appendStarts(starts []rune, i *syntax.Inst) []rune {
	switch {
	case i.Op == syntax.InstMatch || i.Op == syntax.InstRuneAny:
	case len(i.Rune) == 1:
		for c := i.Rune[0]; ; {
			starts = append(starts, c, c+1)
			if c = unicode.SimpleFold(c); c == i.Rune[0] {
				break
			}
		}
	default:
		for at := 0; at+1 < len(i.Rune); at += 2 {
			starts = append(starts, i.Rune[at], i.Rune[at+1]+1)
		}
	}
	return starts
}

func inSegments(c rune) bool {
	return c >= ' ' && c != 0x7f && c != '/' && c != '\\' && (c < 0xd800 || c > 0xdfff)
}

func readable(c rune) int {
	switch {
	case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return 0
	case c > ' ' && c < 0x7f:
		return 1
	default:
		return 2
	}
}
