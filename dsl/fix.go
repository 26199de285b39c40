package dsl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Fix is a change of text that removes a fault.
type Fix struct {
	Title string // what it does, as an order: write "timeout"
	Edits []Edit // in one file or several; none overlaps another

	// Certain says that nothing else can be meant: weir check --fix makes the
	// change unasked. The others are for an author to choose.
	Certain bool
}

// Edit replaces what Span covers with New. An empty Span is a place to insert at.
type Edit struct {
	Span Span
	New  string
}

// slip is a name that was probably misspelt. It becomes a fix when the fault is
// reported, for only then its place is known.
type slip struct {
	typed, meant string
	certain      bool
}

// Suggest sets the hint, and the fix, to the name among the given ones that
// typed was probably meant to be. The span of the fault, which may be set later,
// covers that name, or the quotes around it, too.
//
// The names are those that authors give. The fix is certain if it is one slip of
// the finger and no other name is as near. Digits and a plural tell apart what is
// meant to be different: nobody is to call users where users2 is not defined yet.
func (x *Diagnostic) Suggest(typed string, among []string) (near string, ok bool) {
	near, ok = x.SuggestWord(typed, among)
	if ok {
		a, b := string(folded(typed)), string(folded(near))
		if a != b && (numerals(a) != numerals(b) || plural(a) == plural(b)) {
			x.slip.certain = false
		}
	}
	return near, ok
}

// SuggestWord is Suggest for words of the language, such as keys.
func (x *Diagnostic) SuggestWord(typed string, among []string) (near string, ok bool) {
	near, ok = Nearest(typed, among)
	if ok {
		x.Hint = fmt.Sprintf("did you mean %q?", near)
		x.slip = &slip{typed, near, evident(typed, near, among)}
	}
	return near, ok
}

// Replace is SuggestWord with a word that is known to be meant.
func (x *Diagnostic) Replace(typed, meant string) {
	x.Hint = fmt.Sprintf("did you mean %q?", meant)
	x.slip = &slip{typed, meant, true}
}

// evident reports whether typed, of four letters or more, is one edit away from
// near and from no other name.
func evident(typed, near string, among []string) bool {
	a := folded(typed)
	one := func(name string) bool { return distance(a, folded(name), 1) <= 1 }
	return len(a) >= 4 && one(near) && !slices.ContainsFunc(among, func(other string) bool { return other != near && one(other) })
}

// numerals is name without all but its digits.
func numerals(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return r
		}
		return -1
	}, name)
}

func plural(name string) string { return strings.TrimSuffix(name, "s") + "s" }

// fix is the change from the typed name to the one that was meant, if that is
// what the span covers.
func (s *slip) fix(span Span) (f Fix, ok bool) {
	text := span.Text()
	if quote := text[:min(1, len(text))]; (quote == `"` || quote == "'") && text == quote+s.typed+quote {
		span.Start++
		span.End--
	} else if text != s.typed {
		return f, false
	}
	if s.meant == "" || strings.IndexFunc(s.meant, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-./", r)
	}) >= 0 || resolve(s.meant) != Str {
		return f, false
	}
	return Fix{Title: fmt.Sprintf("write %q", s.meant), Edits: []Edit{{span, s.meant}}, Certain: s.certain}, true
}

// Fixable reports whether there is a fix that can be made unasked.
func (x Diagnostic) Fixable() bool { return len(x.Fixes) > 0 && x.Fixes[0].Certain }

// worth orders diagnostics that say the same by how much they help.
func (x Diagnostic) worth() int {
	if x.Fixable() {
		return len(x.Fixes) + 1
	}
	return min(len(x.Fixes), 1)
}

// Apply is the source's text with those of the edits that are about it. Edits
// must not overlap; their order does not matter.
func Apply(src *Source, edits []Edit) string {
	edits = slices.DeleteFunc(slices.Clone(edits), func(e Edit) bool { return e.Span.Source != src })
	slices.SortStableFunc(edits, func(a, b Edit) int { return cmp.Compare(a.Span.Start, b.Span.Start) })
	var b strings.Builder
	done := 0
	for _, e := range edits {
		b.WriteString(src.Text[done:e.Span.Start])
		b.WriteString(e.New)
		done = e.Span.End
	}
	b.WriteString(src.Text[done:])
	return b.String()
}

// Fixed is what a choice of fixes comes to.
type Fixed struct {
	Made  []Diagnostic // what is fixed, in the order given
	Edits []Edit       // none overlaps another
}

// Fixing chooses the certain fixes that may be made together, all of whose edits
// are in sources that may be changed. Of two that touch the same text it takes
// the first; the other is there again, or gone, when the new text is checked.
func Fixing(ds []Diagnostic, mayChange func(*Source) bool) (f Fixed) {
	taken := map[*Source][]Span{}
	for _, x := range ds {
		if !x.Fixable() || slices.ContainsFunc(x.Fixes[0].Edits, func(e Edit) bool {
			return !e.Span.Valid() || !mayChange(e.Span.Source) || slices.ContainsFunc(taken[e.Span.Source], e.Span.touches)
		}) {
			continue
		}
		for _, e := range x.Fixes[0].Edits {
			taken[e.Span.Source] = append(taken[e.Span.Source], e.Span)
		}
		f.Made, f.Edits = append(f.Made, x), append(f.Edits, x.Fixes[0].Edits...)
	}
	return f
}

// touches reports whether two spans of one source have text, or an end, in
// common.
func (s Span) touches(other Span) bool { return s.Start <= other.End && other.Start <= s.End }
