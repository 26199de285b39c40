package dsl

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

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

// Uncertain takes back what could be made unasked.
func (x *Diagnostic) Uncertain() { x.Fixes, x.slip = nil, nil }

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
