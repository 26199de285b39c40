package dsl

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// afterColon reads the value of a key in this column.
func (w *syntaxReader) afterColon(column int) {
	if w.blank(w.p) {
		w.nextLine()
		return
	}
	w.p += len(w.text[w.p:]) - len(strings.TrimLeft(w.text[w.p:], " \t"))
	w.levels[len(w.levels)-1].wants = false
	w.value(column)
}

// value reads the value at w.p. column is that of the block it belongs to.
func (w *syntaxReader) value(column int) {
	w.open = Span{}
	rest := w.text[w.p:w.lineEnd(w.p)]
	switch c := rest[0]; {
	case c == '|' || c == '>':
		w.block(column)
	case c == '"' || c == '\'':
		w.quoted(column)
	case c == '[' || c == '{':
		w.flow(column)
	case c == '!' || c == '&' || c == '*':
		w.property(false)
	case isIndicator(rest, '-'):
		w.fail(w.p, w.p+1, "syntax", "a list item cannot stand on its key's line", "begin the list on the next line, or write [a, b]; quote a text that begins with a dash and a space")
	case isIndicator(rest, '?'):
		w.fail(w.p, w.p+1, "syntax", "a value cannot begin with a question mark and a space", "quote the value: "+quoted(rest))
	case strings.IndexByte("@`%,]}", c) >= 0:
		w.fail(w.p, w.p+1, "syntax", "a value cannot begin with "+char(c), "quote the value: "+quoted(withoutComment(rest)))
		if whole := w.unquoted(w.p); strings.IndexByte("@`%", c) >= 0 {
			w.fault.fix(quoting(whole))
		}
	default:
		w.plain(w.p)
	}
}

func (w *syntaxReader) property(flow bool) {
	var found Diagnostics
	property(w.src, w.p, w.end, flow, &found)
	x := found.All()[0]
	if k := len(w.levels) - 1; k >= 0 && !flow && w.levels[k].last.Text() == "when" {
		certainly(x.Fixes) // a condition is no text
	}
	w.fault = &x
}

// unquoted is the rest of the line at p, without a comment.
func (w *syntaxReader) unquoted(p int) Span {
	text := strings.TrimRight(withoutComment(w.text[p:w.lineEnd(p)]), " \t")
	return Span{w.src, p, p + len(text)}
}

func withoutComment(line string) string {
	if k := strings.Index(line, " #"); k >= 0 {
		return line[:k]
	}
	return line
}

// expressionAround is the end of the expression that has the byte at k in it, if
// the line ends with that expression, or 0.
func expressionAround(line string, k int) int {
	for open := 0; ; {
		next := strings.Index(line[open:k], "$(")
		if next < 0 {
			return 0
		}
		open += next
		end := closeExpression(line, open)
		if rest := line[max(end, 0):]; end > k && (strings.TrimSpace(rest) == "" || strings.HasPrefix(rest, " #")) {
			return end
		}
		open += len("$(")
	}
}

// plain reads one line of a plain value that began at first.
func (w *syntaxReader) plain(first int) {
	end := w.lineEnd(w.p)
	line := w.text[w.p:end]
	if k := colonIn(line); k >= 0 {
		hint := "quote the value: " + quoted(withoutComment(line))
		if w.lineStart(first) != w.lineStart(w.p) {
			hint = "quote the whole text, or use a block (|)"
		}
		if w.failed() {
			return
		}
		w.fail(w.p+k, w.p+k+1, "colon-in-value", "a colon and a space in an unquoted value look like a key to YAML", hint)
		if end := expressionAround(line, k); end > 0 && first == w.p {
			w.fault.Fixes = []Fix{quoting(Span{w.src, w.p, w.p + end})}
		} else if first == w.p {
			w.fault.Offer("quote the value", quoting(w.unquoted(w.p)).Edits...)
		}
		return
	}
	w.open = Span{w.src, first, end}
	if strings.Contains(line, " #") || strings.Contains(line, "\t#") {
		w.open = Span{} // a comment ends the value
	}
	w.nextLine()
}

// block reads a block scalar's header and skips its lines.
func (w *syntaxReader) block(column int) {
	start := w.p
	for w.p++; w.p < len(w.text) && strings.IndexByte("+-0123456789", w.text[w.p]) >= 0; {
		w.p++
	}
	if !w.blank(w.p) {
		w.fail(start, start+1, "syntax", char(w.text[start])+" begins a block of text, which stands on the lines below", "quote the value: "+quoted(withoutComment(w.text[start:w.lineEnd(start)])))
		return
	}
	first, empty := -1, Span{}
	for w.nextLine(); w.p < len(w.text); w.nextLine() {
		indent := spaces(w.text, w.p)
		line := w.text[w.p:w.lineEnd(w.p)]
		switch trimmed := strings.TrimLeft(line, " "); {
		case trimmed == "" && first < 0 && indent > empty.End-empty.Start:
			empty = Span{w.src, w.p, w.p + indent}
		case trimmed == "":
		case trimmed[0] == '\t' && indent <= column+1 && first < 0:
			w.tab(w.p + indent)
			return
		case indent <= column:
			return
		case first < 0 && indent < empty.End-empty.Start:
			w.fail(empty.Start, empty.End, "indentation", "this empty line is indented more than the block's text", "remove its spaces", Related{Span{w.src, start, start + 1}, "the block begins here"})
			return
		case first < 0:
			first = indent
		case indent < first:
			if trimmed[0] != '#' {
				w.fail(w.p+indent, w.lineEnd(w.p), "indentation", "this line is indented less than the block's first line", fmt.Sprintf("indent it by at least %d", first), Related{Span{w.src, start, start + 1}, "the block begins here"})
			}
			return
		}
	}
}

// char shows one character of the source in a message.
func char(c byte) string { return strconv.Quote(string(rune(c))) }

// quoted reads a quoted value, which may go on over lines.
func (w *syntaxReader) quoted(column int) {
	start := w.p
	if w.quote(column); w.failed() {
		return
	}
	w.afterValue(start, "quoted text")
}

// quote moves behind the closing quote. A line that looks like the next key is
// taken for the sign that the quote was never closed.
func (w *syntaxReader) quote(column int) {
	start := w.p
	k := quoteEnd(w.text[start:])
	end := start + k
	if k < 0 {
		end = len(w.text)
	}
	unclosed := k < 0
	for p := start + lineEnd(w.text[start:end]); p < end && !unclosed; p = w.lineEnd(p) {
		p += lineBreak(w.text, p)
		indent := spaces(w.text, p)
		line := w.text[p+indent : w.lineEnd(p)]
		unclosed = indent <= column && (colonIn(line) > 0 || isIndicator(line, '-'))
		if p >= len(w.text) {
			break
		}
	}
	if unclosed {
		w.fail(start, w.lineEnd(start), "unclosed-quote", "the quote is never closed", "add the closing quote; a quote that belongs to the text is written "+doubled(w.text[start]))
		return
	}
	if w.text[start] == '"' {
		w.escapes(start, end)
	}
	w.p = end
}

func doubled(quote byte) string {
	if quote == '\'' {
		return "''"
	}
	return `\"`
}

func (w *syntaxReader) escapes(start, end int) {
	for i := start + 1; i < end-1; i++ {
		if w.text[i] != '\\' {
			continue
		}
		size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[w.text[i+1]]
		known := strings.IndexByte("0abt\tnvfer \"'\\N_LPxuU\r\n", w.text[i+1]) >= 0
		number, err := strconv.ParseUint(w.text[i+2:min(i+2+size, end)], 16, 32)
		if !known || size > 0 && (err != nil || number > 0x10ffff || 0xd800 <= number && number < 0xe000) {
			w.fail(i, min(i+2+size, end-1), "syntax", fmt.Sprintf("the escape %s is not known", w.text[i:min(i+2+size, end-1)]), `write \\ for a backslash, or use single quotes, in which nothing is escaped`)
			return
		}
		i++
	}
}

// afterValue makes sure that nothing stands behind a quoted or bracketed value
// that began at start.
func (w *syntaxReader) afterValue(start int, what string) {
	if w.blank(w.p) {
		w.nextLine()
		return
	}
	end := w.lineEnd(w.p)
	rest := w.text[w.p:end]
	at := w.p + len(rest) - len(strings.TrimLeft(rest, " \t"))
	if c := w.text[start]; isIndicator(w.text[at:end], ':') && (c == '[' || c == '{') {
		w.fail(start, w.p, "complex-key", "a key is a plain word or a quoted text", "write it as key: value; quote a value that begins with [ or {")
		return
	}
	hint := "remove it"
	if whole := w.text[start:end]; !strings.ContainsAny(whole, "\r\n") {
		whole = strings.TrimSpace(withoutComment(whole))
		hint = "quote the whole value: " + quoted(whole)
		if last := len(whole) - 1; at == w.p && last > 0 && whole[last] == whole[0] {
			hint = "write the quote inside the text like this: " + quoted(whole[1:last])
		}
	}
	if inner := w.text[start:w.p]; strings.HasPrefix(inner, "{{") && strings.HasSuffix(inner, "}}") {
		x := foreign(Span{w.src, start, w.p}, inner)
		w.fault = &x
		return
	}
	w.fail(at, end, "syntax", fmt.Sprintf("the %s ends before this", what), hint)
	if !strings.HasPrefix(hint, "quote the whole value") {
		return
	}
	whole := quoting(w.unquoted(start))
	whole.Certain = operatorBehind.MatchString(w.text[at:end])
	w.fault.fix(whole)
}

// operatorBehind begins what makes an expression of a quoted text.
var operatorBehind = regexp.MustCompile(`^(==|!=|\+|\?|in |matches |contains |startsWith |endsWith )`)
