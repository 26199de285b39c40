package dsl

import (
	"cmp"
	"slices"
	"strings"
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

// Mend adds the one fix that can be meant.
func (x *Diagnostic) Mend(title string, edits ...Edit) { x.fix(Fix{title, edits, true}) }

// Offer adds a fix that an author may choose.
func (x *Diagnostic) Offer(title string, edits ...Edit) { x.fix(Fix{title, edits, false}) }

// fix leaves out what has no place in the text.
func (x *Diagnostic) fix(f Fix) {
	if !slices.ContainsFunc(f.Edits, func(e Edit) bool { return !e.Span.Valid() }) {
		x.Fixes = append(x.Fixes[:len(x.Fixes):len(x.Fixes)], f)
	}
}

// Find is the place of the only text of its kind in the span.
func (s Span) Find(text string) (at Span, ok bool) {
	all := s.Text()
	i := strings.Index(all, text)
	if i < 0 || text == "" || strings.Contains(all[i+1:], text) {
		return Span{}, false
	}
	return Span{s.Source, s.Start + i, s.Start + i + len(text)}, true
}

// Edit replaces Text[i:j] of a scalar, if the new text can stand there as it
// does in the file: quotes and unquoted values cannot hold everything.
func (n *Node) Edit(i, j int, text string) (e Edit, ok bool) {
	at := n.At(i, j)
	if n.Kind != Scalar || at.Text() != n.Text[i:j] {
		return e, false
	}
	switch n.Style {
	case SingleQuoted:
		text = strings.ReplaceAll(text, "'", "''")
	case DoubleQuoted:
		ok = !strings.ContainsAny(text, "\"\\\n")
		return Edit{at, text}, ok
	case Plain:
		whole := n.Text[:i] + text + n.Text[j:]
		if !plainText(whole) || strings.ContainsAny(text, ",[]{}?") {
			return e, false
		}
	}
	return Edit{at, text}, !strings.Contains(text, "\n")
}

// plainText reports whether a text can stand without quotes, outside of
// brackets, and is text then.
func plainText(text string) bool {
	return text != "" && text == strings.TrimSpace(text) && strings.IndexByte("!&*|>@`%'\"[]{}#,?:-", text[0]) < 0 &&
		colonIn(text) < 0 && !strings.Contains(text, " #") && !strings.Contains(text, "\n") && resolve(text) == Str
}

// Without deletes the entry of a mapping that has this key. It is not ok where
// it is the only one, or where a comment would have to go with it.
func (n *Node) Without(key string) (e Edit, ok bool) {
	i := slices.IndexFunc(n.Fields, func(f Field) bool { return f.Key.Text == key })
	if i < 0 || len(n.Fields) < 2 {
		return e, false
	}
	at := Span{n.Span.Source, n.Fields[i].Key.Span.Start, 0}
	if i+1 < len(n.Fields) {
		at.End = n.Fields[i+1].Key.Span.Start
	} else {
		at.Start, at.End = n.Fields[i-1].Value.Span.End, n.Fields[i].Value.Span.End
	}
	if !at.Valid() || strings.Contains(at.Text(), "#") {
		return e, false
	}
	return Edit{at, ""}, true
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
