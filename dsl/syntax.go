package dsl

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The YAML library says little about a syntax error and often names the wrong
// line. This is a second reader that runs only on documents the library has
// refused. It walks the lines with the structure of YAML in mind (which blocks
// are open, at which indentation, and whether the last key still waits for its
// value) until it meets the first thing that cannot stand where it stands. It
// need not be complete: where it finds nothing, the library's own complaint is
// translated.

// explain makes a diagnostic from the library's error.
func (d document) explain(err error) Diagnostic {
	if strings.Contains(err.Error(), "exceeded max depth") {
		return tooDeep(Span{d.src, d.deepest(), d.deepest()})
	}
	w := syntaxReader{document: d, text: d.src.Text[:d.end], p: d.start}
	w.walk()
	if w.fault != nil {
		return *w.fault
	}
	if x, ok := w.tabAlone(); ok {
		return x
	}
	return d.translate(err)
}

// deepest is where a nest of brackets, dashes or indentation passes the bound,
// as well as it can be told without parsing.
func (d document) deepest() int {
	depth := 0
	for i := d.start; i < d.end; i++ {
		switch d.src.Text[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '-', '?':
			if i+1 < d.end && d.src.Text[i+1] == ' ' {
				depth++
			}
		case '\n':
			if strings.HasPrefix(d.src.Text[i:], "\n ") {
				continue
			}
			depth = 0
		}
		if depth > maxDepth {
			return i
		}
	}
	return d.start
}

var libraryLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// complaints are the library's messages, in our words.
var complaints = []struct{ theirs, ours, hint string }{
	{"mapping values are not allowed", "a colon stands where no value can begin", "quote a value that holds a colon and a space, and indent the keys of one mapping alike"},
	{"did not find expected key", "a key and its colon are expected here", "indent the keys of one mapping alike, and quote a value that begins with a quote or bracket and goes on behind it"},
	{"did not find expected '-'", "a list item is expected here", "indent the items of one list alike, each with a dash and a space"},
	{"could not find expected ':'", "a key without its colon stands here", "write key: value"},
	{"expected ',' or", "a comma or the closing bracket is missing here", "quote a value that holds brackets, commas or a colon and a space"},
	{"unexpected end of stream", "a quote is never closed", "close it, or double a quote that belongs to the text"},
	{"cannot start any token", "a value cannot begin like this", "quote the value"},
	{"tab character", "a tab stands where only spaces may", "indent with spaces"},
	{"escape", "the escape sequence is not known", `write \\ for a backslash, or use single quotes`},
	{"hexdecimal", "the escape sequence is not complete", `write \\ for a backslash, or use single quotes`},
	{"indentation indicator", "the indentation of a block is one digit from 1 to 9", "delete the digit, and indent the block's lines alike"},
	{"behind the document's end", "the document has ended before this", "begin another document with ---"},
	{"expected <document start>", "the document has ended before this", "begin another document with ---"},
}

func (d document) translate(err error) Diagnostic {
	line, message := 1, err.Error()
	if m := libraryLine.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	line = min(d.firstLine+line-1, len(d.src.lines))
	text, start := d.src.line(line)
	trimmed := strings.TrimLeft(text, " \t")
	start += len(text) - len(trimmed)
	x := Diagnostic{
		Span: Span{d.src, start, start + len(trimmed)}, Code: "syntax",
		Message: "the YAML is not well-formed near this line", Hint: "check indentation, quotes and brackets; quote values that hold special characters",
	}
	for _, c := range complaints {
		if strings.Contains(message, c.theirs) {
			x.Message, x.Hint = c.ours, c.hint
			break
		}
	}
	return x
}

// level is an open block: the entries that begin in one column.
type level struct {
	column int
	list   bool
	wants  bool // the last entry has no value yet
	last   Span // the last entry's key or dash
}

type syntaxReader struct {
	document
	text   string // the source up to the document's end
	p      int
	levels []level
	fault  *Diagnostic
	open   Span // the plain value above, which the next line may continue
	root   Span // the document's value, if it is not a block of entries

	untabbing bool // tabs are being replaced
}

func (w *syntaxReader) failed() bool { return w.fault != nil }

func (w *syntaxReader) fail(start, end int, code, message, hint string, related ...Related) {
	if w.fault == nil {
		end = min(max(end, start), len(w.text))
		for end < len(w.text) && !utf8.RuneStart(w.text[end]) {
			end++
		}
		w.fault = &Diagnostic{
			Span: Span{w.src, min(start, end), end}, Code: code, Message: message, Hint: hint, Related: related,
		}
	}
}

func (w *syntaxReader) lineEnd(p int) int { return p + lineEnd(w.text[p:]) }

func (w *syntaxReader) lineStart(p int) int {
	return max(w.start, strings.LastIndexAny(w.text[:p], "\r\n")+1)
}

func (w *syntaxReader) column(p int) int { return p - w.lineStart(p) }

// blank reports whether nothing but white space and a comment stands from p to
// the end of the line. A comment needs white space before it.
func (w *syntaxReader) blank(p int) bool {
	rest := w.text[p:w.lineEnd(p)]
	trimmed := strings.TrimLeft(rest, " \t")
	return trimmed == "" || trimmed[0] == '#' && (len(trimmed) < len(rest) || p == w.lineStart(p))
}

func (w *syntaxReader) nextLine() {
	w.p = w.lineEnd(w.p)
	w.p += lineBreak(w.text, w.p)
}

func (w *syntaxReader) walk() {
	if strings.HasPrefix(w.text[w.p:], "---") {
		w.p += 3
		if w.blank(w.p) {
			w.nextLine()
		} else {
			w.p += spaces(w.text, w.p)
			w.value(-1)
		}
	}
	for w.p < len(w.text) && !w.failed() {
		if w.blank(w.p) {
			w.nextLine()
			continue
		}
		start := w.p + spaces(w.text, w.p)
		if w.text[start] == '\t' {
			w.tab(start)
			return
		}
		w.p = start
		w.entry(start - w.lineStart(start))
	}
}

func (w *syntaxReader) tab(p int) {
	end := p + len(w.text[p:]) - len(strings.TrimLeft(w.text[p:], "\t "))
	more := 0
	for _, line := range strings.Split(w.text[end:], "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, " "), "\t") && strings.TrimSpace(line) != "" {
			more++
		}
	}
	hint := "indent with spaces"
	if more == 1 {
		hint += "; 1 more line below has a tab"
	} else if more > 1 {
		hint += fmt.Sprintf("; %d more lines below have tabs", more)
	}
	w.fail(p, end, "tab", "a tab indents this line, and YAML takes only spaces", hint)
	if edits, certain := w.untabbed(); certain {
		w.fault.Mend("indent with spaces", edits...)
	} else if edits != nil {
		w.fault.Offer("indent with spaces", edits...)
	}
}

// entry reads what begins a line, or stands behind a dash, at w.p.
func (w *syntaxReader) entry(column int) {
	rest := w.text[w.p:w.lineEnd(w.p)]
	switch {
	case len(w.levels) > maxDepth:
		x := tooDeep(Span{w.src, w.p, w.p + 1})
		w.fault = &x
	case isIndicator(rest, '-'):
		at := w.p
		if !w.place(column, true, Span{w.src, at, at + 1}) {
			return
		}
		w.p++
		if w.blank(w.p) {
			w.nextLine()
			return
		}
		w.p += spaces(w.text, w.p)
		if w.text[w.p] == '\t' {
			w.tab(w.p)
			return
		}
		w.entry(w.column(w.p))
	case isIndicator(rest, '?'):
		w.fail(w.p, w.p+1, "complex-key", "a key is a plain word or a quoted text", "write it as key: value")
	case isIndicator(rest, ':'):
		w.fail(w.p, w.p+1, "empty-key", "a key is missing before the colon", "write key: value, or quote a value that holds a colon")
	default:
		if end, colon := w.key(); colon >= 0 {
			if w.place(column, false, Span{w.src, w.p, end}) {
				w.p = colon + 1
				w.afterColon(column)
			}
			return
		}
		w.scalarLine(column)
	}
}

func isIndicator(text string, c byte) bool {
	return text != "" && text[0] == c && (len(text) == 1 || strings.IndexByte(" \t\r\n", text[1]) >= 0)
}

// key finds the key that begins at w.p: its end, and its colon or -1.
func (w *syntaxReader) key() (end, colon int) {
	line := w.text[w.p:w.lineEnd(w.p)]
	if line[0] == '"' || line[0] == '\'' {
		k := quoteEnd(line)
		if k < 0 {
			return 0, -1
		}
		white := len(line[k:]) - len(strings.TrimLeft(line[k:], " \t"))
		if isIndicator(line[k+white:], ':') {
			if line[0] == '"' {
				w.escapes(w.p, w.p+k)
			}
			return w.p + k, w.p + k + white
		}
		return 0, -1
	}
	if strings.IndexByte("[{|>@`%,]}#&*!", line[0]) >= 0 {
		return 0, -1
	}
	if k := colonIn(line); k >= 0 {
		return w.p + len(strings.TrimRight(line[:k], " \t")), w.p + k
	}
	return 0, -1
}

// quoteEnd is the offset behind the quote that closes the one text begins with,
// or -1.
func quoteEnd(text string) int {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] != quote:
		case quote == '\'' && strings.HasPrefix(text[i:], "''"):
			i++
		default:
			return i + 1
		}
	}
	return -1
}

// colonIn is the first colon of a plain text that YAML takes for a key's, or -1.
func colonIn(line string) int {
	for i := 0; i < len(line); i++ {
		switch {
		case isIndicator(line[i:], ':'):
			return i
		case line[i] == '#' && i > 0 && (line[i-1] == ' ' || line[i-1] == '\t'):
			return -1
		}
	}
	return -1
}

// place finds the block that an entry in this column belongs to, or opens one.
func (w *syntaxReader) place(column int, list bool, entry Span) bool {
	closed := level{column: -1}
	for len(w.levels) > 0 && w.levels[len(w.levels)-1].column > column {
		closed = w.levels[len(w.levels)-1]
		w.levels = w.levels[:len(w.levels)-1]
	}
	// A list may stand in its key's own column; the next key ends it.
	if k := len(w.levels) - 1; k > 0 && !list && w.levels[k].list && w.levels[k].column == column && w.levels[k-1].column == column {
		w.levels = w.levels[:k]
	}
	if len(w.levels) == 0 {
		if closed.column >= 0 {
			w.misaligned(entry, closed, level{column: -1})
			return false
		}
		if w.root.Valid() {
			w.fail(entry.Start, entry.End, "syntax", "a key or list item stands behind a value that is not part of one", "write key: value, with a space behind the colon", Related{w.root, "this value"})
			return false
		}
		w.levels = append(w.levels, level{column, list, true, entry})
		return true
	}
	top := &w.levels[len(w.levels)-1]
	switch {
	case column > top.column && top.wants, column == top.column && list && !top.list && top.wants:
		top.wants = false
		w.levels = append(w.levels, level{column, list, true, entry})
	case column > top.column && closed.column >= 0:
		w.misaligned(entry, closed, *top)
	case column > top.column:
		w.nested(entry, top)
	case top.list != list:
		w.mixed(entry, top)
	default:
		top.wants, top.last, w.open = true, entry, Span{}
		return true
	}
	w.open = Span{}
	return !w.failed()
}

func (w *syntaxReader) misaligned(entry Span, closed, top level) {
	hint := fmt.Sprintf("indent it by %d to stand beside %s", closed.column, entryName(closed.last))
	if top.column >= 0 {
		hint += fmt.Sprintf(", or by %d to stand beside %s", top.column, entryName(top.last))
	}
	w.fail(entry.Start, entry.End, "indentation", "this line's indentation matches no line above", hint, Related{closed.last, "the entry above"})
}

func entryName(entry Span) string {
	if text := entry.Text(); text != "-" {
		return strconv.Quote(text)
	}
	return "the list item"
}

func (w *syntaxReader) nested(entry Span, top *level) {
	w.fail(entry.Start, entry.End, "indentation",
		fmt.Sprintf("%s has a value already, so nothing can stand below it", entryName(top.last)),
		fmt.Sprintf("indent the line by %d to stand beside %s, or remove the value above; a text that holds a colon and a space needs quotes", top.column, entryName(top.last)),
		Related{top.last, "has its value on its own line"})
}

func (w *syntaxReader) mixed(entry Span, top *level) {
	here, there := "a key", "list items"
	hint := "a value is a list or a mapping, not both: indent the key to stand in the item above, or make it an item with a dash and a space"
	if !top.list {
		here, there = "a list item", "keys"
		hint = "a value is a list or a mapping, not both: put the list below a key of its own"
	}
	if strings.HasPrefix(entry.Text(), "-") && strings.HasPrefix(top.last.Text(), "-") {
		hint = "write a space behind each dash"
	}
	w.fail(entry.Start, entry.End, "indentation", fmt.Sprintf("%s stands in one column with %s", here, there), hint, Related{top.last, "the entry above"})
}

// scalarLine reads a line that begins neither a key nor an item.
func (w *syntaxReader) scalarLine(column int) {
	if w.open.Valid() && (len(w.levels) == 0 || column > w.levels[len(w.levels)-1].column) {
		w.plain(w.open.Start)
		return
	}
	for len(w.levels) > 1 && w.levels[len(w.levels)-1].column > column {
		w.levels = w.levels[:len(w.levels)-1]
	}
	end := w.lineEnd(w.p)
	if k := len(w.levels) - 1; k >= 0 && (!w.levels[k].wants || w.levels[k].column >= column) {
		line := strings.TrimRight(w.text[w.p:end], " \t")
		hint := "write key: value"
		if k := strings.IndexByte(line, ':'); k > 0 {
			hint = "write a space behind the colon"
		} else if strings.HasPrefix(line, "-") {
			hint = "write a space behind the dash"
		}
		if w.levels[k].column < column {
			hint = "to go on with the text above, quote the whole text or use a block (|)"
		}
		switch line[0] {
		case '[', '{', '"', '\'', '&', '*', '!', '@', '`', '%':
			if w.value(column - 1); w.failed() {
				return
			}
		}
		w.fail(w.p, w.p+len(line), "syntax", "this line is neither a key with its value nor a list item", hint)
		if k := strings.IndexByte(line, ':'); hint == "write a space behind the colon" && tightColon.MatchString(line) {
			w.fault.Mend(hint, Edit{Span{w.src, w.p + k + 1, w.p + k + 1}, " "})
		}
		return
	}
	if len(w.levels) > 0 {
		w.levels[len(w.levels)-1].wants = false
		column = w.levels[len(w.levels)-1].column
		w.value(column)
		return
	}
	start := w.p
	if w.root.Valid() {
		w.fail(start, end, "syntax", "the document's value has ended before this", "begin another document with ---, or write a list", Related{w.root, "the value"})
		return
	}
	w.value(-1)
	w.root = Span{w.src, start, min(max(w.p, start), w.lineEnd(start))}
}
