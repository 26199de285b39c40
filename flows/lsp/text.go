package lsp

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// position is a place in a text as the protocol has it: a line, counted from 0,
// and in it a number of code units of the encoding that was agreed on. Lines end
// with \n, \r\n or \r.
type position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

// span is a half-open range of positions.
type span struct {
	Start position `json:"start"`
	End   position `json:"end"`
}

// encoding is what columns count.
type encoding string

const (
	inUTF16 encoding = "utf-16" // what every client knows
	inUTF8  encoding = "utf-8"
)

// text is a text with the offsets at which its lines begin.
type text struct {
	string
	lines []int
}

func newText(s string) text {
	lines := make([]int, 1, strings.Count(s, "\n")+1)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '\n' || c == '\r' && !strings.HasPrefix(s[i+1:], "\n") {
			lines = append(lines, i+1)
		}
	}
	return text{s, lines}
}

// lineAt is the number of the line that holds an offset, from 0.
func (t text) lineAt(offset int) int {
	return max(sort.Search(len(t.lines), func(i int) bool { return t.lines[i] > offset })-1, 0)
}

// line is where a line begins, and where it ends without its break.
func (t text) line(i int) (start, end int) {
	start, end = t.lines[i], len(t.string)
	if i+1 < len(t.lines) {
		end = t.lines[i+1]
	}
	return start, start + len(strings.TrimRight(t.string[start:end], "\r\n"))
}

// position is the place of an offset. One inside of a character is that of the
// character.
func (t text) position(offset int, e encoding) position {
	offset = min(max(offset, 0), len(t.string))
	line := t.lineAt(offset)
	start := t.lines[line]
	if e == inUTF8 {
		return position{line, offset - start}
	}
	units := 0
	for i := start; i < offset; {
		r, size := utf8.DecodeRuneInString(t.string[i:])
		if i += size; i > offset {
			break
		}
		units += unitsOf(r)
	}
	return position{line, units}
}

func unitsOf(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

// offset is where a position is in the text. What lies behind the end of a line
// is its end, what lies behind the last line the end of the text.
func (t text) offset(p position, e encoding) int {
	if p.Line < 0 {
		return 0
	}
	if p.Line >= len(t.lines) {
		return len(t.string)
	}
	start, end := t.line(p.Line)
	if e == inUTF8 {
		at := start + min(max(p.Character, 0), end-start)
		for at > start && at < end && !utf8.RuneStart(t.string[at]) {
			at--
		}
		return at
	}
	for units := p.Character; units > 0 && start < end; {
		r, size := utf8.DecodeRuneInString(t.string[start:end])
		if units -= unitsOf(r); units < 0 {
			break // between the halves of a surrogate pair
		}
		start += size
	}
	return start
}

func (t text) span(start, end int, e encoding) span {
	return span{t.position(start, e), t.position(max(start, end), e)}
}

// edit is a change of a text.
type edit struct {
	Range   span   `json:"range"`
	NewText string `json:"newText"`
}

// difference is one edit that makes a text the other: the lines that both begin
// and end with stay, and the editor's cursor with them.
func difference(from text, to string, e encoding) []edit {
	if from.string == to {
		return nil
	}
	a, b := lines(from.string), lines(to)
	head := 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	start := len(strings.Join(a[:head], ""))
	end := len(from.string) - len(strings.Join(a[len(a)-tail:], ""))
	return []edit{{from.span(start, end, e), strings.Join(b[head:len(b)-tail], "")}}
}

func lines(s string) []string { return slices.Collect(strings.Lines(s)) }
