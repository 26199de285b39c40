package dsl

import (
	"slices"
	"strings"
)

// A text is written without quotes if it can be and if nobody could take it for
// something else, otherwise in double quotes, or in single quotes if it holds
// double quotes or backslashes itself. Blocks of text, and texts that go on over
// lines, keep their form.

// lines is a value as it is written where it is not in a block or in brackets of
// others. Of several lines all but the first are to be indented; header says that
// the first is that of a block of text.
func (v *value) lines() (lines []string, header bool) {
	n := v.node
	if n.Kind != Scalar {
		text, _ := v.brackets()
		return []string{text}, false
	}
	switch raw := n.Span.Text(); {
	case n.Style == Literal || n.Style == Folded:
		if lines := n.blockLines(); lines != nil {
			return lines, true
		}
	case strings.ContainsAny(raw, "\r\n") && n.Style != Plain:
		return textLines(raw), false
	case strings.ContainsAny(raw, "\r\n") && canBePlain(strings.ReplaceAll(n.Text, "\n", " "), false):
		if lines := textLines(raw); !slices.ContainsFunc(lines, func(line string) bool { return isIndicator(line, '-') }) {
			return lines, false
		}
	}
	return []string{writeText(v.text(), n, false)}, false
}

// textLines are the lines of a text, without the white space around them that
// YAML folds.
func textLines(raw string) []string {
	lines := splitLines(raw)
	for i, line := range lines {
		if i > 0 {
			line = strings.TrimLeft(line, " \t")
		}
		if i < len(lines)-1 {
			trimmed := strings.TrimRight(line, " \t")
			if slashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`)); slashes%2 == 1 && len(trimmed) < len(line) && raw[0] == '"' {
				trimmed = line[:len(trimmed)+1] // an escaped space
			}
			line = trimmed
		}
		lines[i] = line
	}
	return lines
}

func splitLines(text string) (lines []string) {
	for {
		k := lineEnd(text)
		lines = append(lines, text[:k])
		if k == len(text) {
			return lines
		}
		text = text[k+lineBreak(text, k):]
	}
}

// writeKey writes a key. Whether it looks like a number makes no difference to a
// key, so it gets quotes only where YAML needs them; those it has to show that it
// is none, it keeps.
func writeKey(n *Node, flow bool) string { return writeText(n.Text, n, flow) }

// writeText writes the text of the scalar n on one line.
func writeText(text string, n *Node, flow bool) string {
	if n.Style == Plain && n.Type != Str || canBePlain(text, flow) && (n.Style == Plain || !canBeMistaken(text)) {
		return text
	}
	escapes := strings.IndexFunc(text, invisible) >= 0
	if !escapes && strings.ContainsAny(text, `"\`) {
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case invisible(r):
			b.WriteString(visible(r))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// canBePlain reports whether a text needs no quotes to be read as it is. Inside
// brackets a colon needs them: YAML takes http://host there, some of its readers
// do not.
func canBePlain(text string, flow bool) bool {
	switch {
	case text == "", strings.Trim(text, " \t") != text, strings.IndexByte("?:,[]{}#&*!|>'\"%@`", text[0]) >= 0:
		return false
	case text[0] == '-' && (len(text) == 1 || strings.IndexByte(" \t,[]{}", text[1]) >= 0):
		return false
	case strings.HasPrefix(text, "---"), strings.HasPrefix(text, "..."):
		return false
	case strings.HasSuffix(text, ":"), strings.Contains(text, ": "), strings.Contains(text, ":\t"):
		return false
	case strings.Contains(text, " #"), strings.Contains(text, "\t#"):
		return false
	case flow && strings.ContainsAny(text, ":,?[]{}"):
		return false
	case openExpression(text) >= 0:
		return false
	}
	return strings.IndexFunc(text, func(r rune) bool { return invisible(r) && r != '\t' }) < 0
}

// canBeMistaken reports whether a text without quotes would be another value, or
// would be one to other readers of YAML or to people.
func canBeMistaken(text string) bool {
	switch strings.ToLower(text) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n", "~", "<<", "=":
		return true
	}
	if _, number := plainNumber(text); number || resolve(text) != Str || strings.Contains(text, "\t") {
		return true
	}
	return strings.IndexByte("+-.0123456789", text[0]) >= 0 && strings.Trim(text, "+-.:_0123456789TtZzEeXxOo ") == ""
}

// blockLines is a block of text, with its header. There is none for a text of
// nothing but line breaks.
func (n *Node) blockLines() []string {
	body := strings.TrimRight(n.Text, "\n")
	header, lines := "|", strings.Split(body, "\n")
	if n.Style == Folded {
		header, lines = ">", n.foldedLines()
	}
	if body == "" || len(lines) == 0 {
		return nil
	}
	if first := strings.TrimLeft(strings.Join(lines, "\n"), "\n"); first[0] == ' ' || first[0] == '\t' {
		header += "2"
	}
	switch end := len(n.Text) - len(body); end {
	case 0:
		header += "-"
	case 1:
	default:
		header += "+"
		lines = append(lines, make([]string, end-1)...)
	}
	return append([]string{header}, lines...)
}

// foldedLines are the lines of a folded block as they stand in the source,
// without their indentation, or nil if that is not known.
func (n *Node) foldedLines() []string {
	raw := n.Span.Text()
	k := lineEnd(raw)
	k += lineBreak(raw, k)
	first := len(n.Text) - len(strings.TrimLeft(n.Text, "\n"))
	at := n.At(first, first+1).Start - n.Span.Start
	if at < k {
		return nil
	}
	indent := at - (strings.LastIndexAny(raw[:at], "\r\n") + 1)
	lines := splitLines(raw[k:])
	for i, line := range lines {
		lines[i] = line[min(indent, spaces(line, 0)):]
	}
	return lines
}
