package lsp

import (
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Text that is being written is made one that can be checked. What a repair
// leaves stands where it stood: a line that YAML cannot read is blanked, not
// removed, so that places in the repaired text are places in the text.

// mostRepairs bounds the lines of one document that are given up.
const mostRepairs = 16

// documentAt is the document of a text that an offset is in: from its --- to the
// next.
func documentAt(t text, offset int) (from, to int) {
	to = len(t.string)
	for _, start := range t.lines {
		if marker := t.string[start:]; !strings.HasPrefix(marker, "---") || len(marker) > 3 && strings.IndexByte(" \t\r\n", marker[3]) < 0 {
			continue
		}
		if start > offset {
			return from, start
		}
		from = start
	}
	return from, to
}

// repaired is a text without the lines that keep its documents from being read.
func repaired(s string) string {
	t := newText(s)
	for at := 0; at < len(s); {
		from, to := documentAt(t, at)
		if fixed, ok := repairedDocument(s[from:to], -1); ok {
			s = s[:from] + fixed + s[to:]
		}
		at = max(to, at+1)
	}
	return s
}

// repairedDocument is one document, in which the line that holds keep stays.
// ok is false if it cannot be read all the same.
func repairedDocument(s string, keep int) (fixed string, ok bool) {
	for range mostRepairs {
		line := unread(s)
		if line < 0 {
			return s, true
		}
		t := newText(s)
		for line >= 0 {
			start, end := t.line(line)
			if strings.TrimSpace(s[start:end]) != "" && !(start <= keep && keep <= end) {
				s = s[:start] + strings.Repeat(" ", end-start) + s[end:]
				break
			}
			line--
		}
		if line < 0 {
			break
		}
	}
	return s, false
}

// unread is the line at which a document cannot be read any further, or -1.
func unread(s string) int {
	src := dsl.NewSource("", s)
	var faults dsl.Diagnostics
	roots := dsl.Parse(src, &faults)
	for _, root := range roots {
		if !root.Broken() {
			continue
		}
		for _, d := range faults.All() {
			if d.Severity == dsl.Error && d.Span.Valid() {
				line, _ := d.Span.Position()
				return line - 1
			}
		}
		return len(newText(s).lines) - 1
	}
	return -1
}

// stub is what stands for a name that is not written yet.
const stub = "_"

// completed is the text with what is being written at the cursor made whole: a
// name where none is yet, an expression, a quote and brackets closed. Up to the
// cursor it is the text. ok is false if the document cannot be read all the same.
func completed(t text, cursor int, at place) (s string, ok bool) {
	from, to := documentAt(t, cursor)
	s = t.string
	word, name := cursor, ""
	for word < to && isNameByte(s[word]) {
		word++
	}
	if cursor == 0 || !isNameByte(s[cursor-1]) {
		name = stub
	}
	tries := []string{s[from:word] + name + s[word:to]}
	if open := openExpression(s[:cursor], at.start); open >= 0 && dsl.ExpressionEnd(s[:max(at.end, cursor)], open) < 0 {
		_, end := t.line(t.lineAt(cursor))
		whole := s[from:word] + name + closing(s[open+1:cursor])
		tries = []string{whole + s[word:to], whole + closers(s, at) + s[min(end, to):to]}
	}
	for _, try := range tries {
		if unread(try) < 0 {
			return s[:from] + try + s[to:], true
		}
	}
	for _, try := range tries {
		if fixed, ok := repairedDocument(try, cursor-from); ok {
			return s[:from] + fixed + s[to:], true
		}
	}
	return s, false
}

// closing closes the brackets that are open in an expression.
func closing(expr string) (all string) {
	_, open, _ := bracketsOf(expr)
	for _, at := range slices.Backward(open) {
		all += map[byte]string{'(': ")", '[': "]", '{': "}"}[expr[at]]
	}
	return all
}

// closers close the quote and the brackets that the cursor is in.
func closers(s string, at place) (all string) {
	if quote := s[at.start:min(at.start+1, len(s))]; quote == `"` || quote == "'" {
		all = quote
	}
	n := at.in
	if at.entry != nil {
		n = at.entry.in
	}
	for n != nil && n.start < len(s) && n.start < n.end {
		switch s[n.start] {
		case '{':
			all += " }"
		case '[':
			all += " ]"
		default:
			return all
		}
		if n.of == nil {
			break
		}
		n = n.of.in
	}
	return all
}

// openExpression is where the last expression begins in s[from:], if it is not
// closed there, or -1.
func openExpression(s string, from int) int {
	for i := from; ; {
		k := strings.Index(s[i:], "$(")
		if k < 0 {
			return -1
		}
		if k += i; k > from && s[k-1] == '$' {
			i = k + 2
			continue
		}
		end := dsl.ExpressionEnd(s, k)
		if end < 0 {
			return k
		}
		i = end + 1
	}
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
