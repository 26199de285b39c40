// Package dsl is the language of Weir: sources and positions, diagnostics,
// YAML nodes, decoding into typed configuration, kinds and catalogs. It is the
// only package that knows YAML.
package dsl

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

const byteOrderMark = "\ufeff"

// Source is one file as it was read. It is immutable and safe for concurrent use.
type Source struct {
	Name string // as it is shown: the path relative to the program's directory
	Text string

	lines []int // offsets of the line starts
}

// NewSource indexes text, which was read from the file called name.
func NewSource(name, text string) *Source {
	return &Source{Name: name, Text: text, lines: lineStarts(text)}
}

// lineStarts follows the editors (and LSP): \n, \r\n and a lone \r end a line.
func lineStarts(text string) []int {
	starts := make([]int, 1, strings.Count(text, "\n")+1)
	for i := 0; i < len(text); i++ {
		if c := text[i]; c == '\n' || c == '\r' && !strings.HasPrefix(text[i+1:], "\n") {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// position is 1-based; the column counts runes and leaves out a byte order mark.
func (s *Source) position(offset int) (line, column int) {
	line = sort.SearchInts(s.lines, offset+1)
	if line == 0 {
		return 1, 1
	}
	before := s.Text[s.lines[line-1]:offset]
	if line == 1 {
		before = strings.TrimPrefix(before, byteOrderMark)
	}
	return line, utf8.RuneCountInString(before) + 1
}

// line is the text of a line without its break, and the offset of its start.
func (s *Source) line(number int) (text string, start int) {
	start, end := s.lines[number-1], len(s.Text)
	if number < len(s.lines) {
		end = s.lines[number]
	}
	if number == 1 && strings.HasPrefix(s.Text, byteOrderMark) {
		start = len(byteOrderMark)
	}
	return strings.TrimRight(s.Text[start:max(start, end)], "\r\n"), start
}

// Span is a half-open byte range [Start, End) of a source. The zero Span has no
// address.
type Span struct {
	Source     *Source
	Start, End int
}

// Valid reports whether the span lies in a source.
func (s Span) Valid() bool {
	return s.Source != nil && 0 <= s.Start && s.Start <= s.End && s.End <= len(s.Source.Text)
}

// Text is the source text that the span covers.
func (s Span) Text() string {
	if !s.Valid() {
		return ""
	}
	return s.Source.Text[s.Start:s.End]
}

// Position is the 1-based line and column of the span's start. Columns count
// runes. It is 0, 0 for a span that is not valid.
func (s Span) Position() (line, column int) {
	if !s.Valid() {
		return 0, 0
	}
	return s.Source.position(s.Start)
}

// EndPosition is the 1-based line and column just behind the span.
func (s Span) EndPosition() (line, column int) {
	if !s.Valid() {
		return 0, 0
	}
	return s.Source.position(s.End)
}

// String is file:line:column, or "" for a span that is not valid.
func (s Span) String() string {
	if !s.Valid() {
		return ""
	}
	line, column := s.Position()
	return fmt.Sprintf("%s:%d:%d", s.Source.Name, line, column)
}
