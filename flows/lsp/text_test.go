package lsp

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPositionsCountCodeUnits(t *testing.T) {
	const s = "a: ü\r\nb: 😀x\rc\n\nd"
	for _, c := range []struct {
		before    string
		utf16, u8 position
	}{
		{"", position{0, 0}, position{0, 0}},
		{"a: ", position{0, 3}, position{0, 3}},
		{"a: ü", position{0, 4}, position{0, 5}},
		{"a: ü\r\n", position{1, 0}, position{1, 0}},
		{"a: ü\r\nb: 😀", position{1, 5}, position{1, 7}},
		{"a: ü\r\nb: 😀x", position{1, 6}, position{1, 8}},
		{"a: ü\r\nb: 😀x\r", position{2, 0}, position{2, 0}},
		{"a: ü\r\nb: 😀x\rc\n\n", position{4, 0}, position{4, 0}},
		{s, position{4, 1}, position{4, 1}},
	} {
		text := newText(s)
		for e, want := range map[encoding]position{inUTF16: c.utf16, inUTF8: c.u8} {
			if got := text.position(len(c.before), e); got != want {
				t.Errorf("%s: %q is before %v, want %v", e, c.before, got, want)
			}
			if got := text.offset(want, e); got != len(c.before) {
				t.Errorf("%s: %v is behind %q, want %q", e, want, s[:got], c.before)
			}
		}
	}
}

func TestPositionsOutsideOfTheTextAreAtItsEdges(t *testing.T) {
	text := newText("a😀\r\nb")
	for p, want := range map[position]int{
		{-1, 5}: 0, {0, -1}: 0, {0, 99}: 5, {0, 2}: 1 /* inside of the pair */, {1, 99}: 8, {2, 0}: 8, {99, 99}: 8,
	} {
		if got := text.offset(p, inUTF16); got != want {
			t.Errorf("%v is at %d, want %d", p, got, want)
		}
	}
	if got := text.offset(position{0, 3}, inUTF8); got != 1 {
		t.Errorf("a byte inside of a character is at %d", got)
	}
}

func TestADifferenceLeavesWhatIsAlike(t *testing.T) {
	from := newText("a\nb\nc\nd\n")
	got := difference(from, "a\nB\nBB\nd\n", inUTF16)
	if len(got) != 1 || got[0] != (edit{span{position{1, 0}, position{3, 0}}, "B\nBB\n"}) {
		t.Errorf("got %+v", got)
	}
	if got := difference(from, from.string, inUTF16); got != nil {
		t.Errorf("got %+v", got)
	}
}

func FuzzPositions(f *testing.F) {
	f.Add("a😀\r\nb\rc", 2, 1, 3)
	f.Fuzz(func(t *testing.T, s string, offset, line, character int) {
		text := newText(s)
		for _, e := range []encoding{inUTF8, inUTF16} {
			at := text.offset(position{line, character}, e)
			if at < 0 || at > len(s) {
				t.Fatalf("%q: %d", s, at)
			}
			p := text.position(offset, e)
			start, end := text.line(p.Line)
			if inside := 0 <= offset && offset <= len(s) && start <= offset && offset <= end; inside && utf8.ValidString(s) && (offset == len(s) || utf8.RuneStart(s[offset])) {
				if got := text.offset(p, e); got != offset {
					t.Fatalf("%q: %d is %v is %d", s, offset, p, got)
				}
			}
		}
		to := strings.ToUpper(s)
		for _, x := range difference(text, to, inUTF8) {
			from, end := text.offset(x.Range.Start, inUTF8), text.offset(x.Range.End, inUTF8)
			if got := s[:from] + x.NewText + s[end:]; got != to && utf8.ValidString(s) && !strings.Contains(s, "\r") {
				t.Fatalf("%q becomes %q", s, got)
			}
		}
	})
}
