package dsl

import (
	"strings"
	"unicode/utf8"
)

// The YAML library gives a scalar's decoded text and where it begins, but
// neither where it ends nor how its text lies in the source: folded lines,
// escapes and the indentation of a block are gone. A tracer walks the source a
// second time beside the known text and writes down the correspondence as runs.
// It never decodes by itself, so it cannot disagree with the library about what
// a scalar says: where the walk and the text part, the tracer gives up and the
// whole scalar becomes the place of each of its parts.
type tracer struct {
	src  string // up to the end of the document
	text string
	done int // how much of text has been found
	runs []run
	lost bool
}

// trace completes a scalar whose Text, Style and Span.Start are known: its end
// and its runs. end is the end of the document.
func (n *Node) trace(end int) {
	src, start := n.Span.Source.Text[:end], n.Span.Start
	if n.traceVerbatim(src, start) {
		return
	}
	t := tracer{src: src, text: n.Text}
	switch n.Style {
	case SingleQuoted:
		n.Span.End = t.singleQuoted(start)
	case DoubleQuoted:
		n.Span.End = t.doubleQuoted(start)
	case Literal, Folded:
		n.Span.End = t.block(start, n.Style == Folded)
	default:
		n.Span.End = t.plain(start)
	}
	n.runs, n.from = t.runs, min(start+1, n.Span.End)
	if t.lost || t.done != len(n.Text) {
		n.runs = []run{{0, len(n.Text), start, n.Span.End - start}}
	}
}

// traceVerbatim settles the usual case: one line that stands as it is.
func (n *Node) traceVerbatim(src string, start int) bool {
	quote := ""
	switch n.Style {
	case SingleQuoted:
		quote = "'"
	case DoubleQuoted:
		quote = `"`
	case Literal, Folded:
		return false
	}
	n.from = min(start+len(quote), len(src))
	if !strings.HasPrefix(src[n.from:], n.Text) || strings.ContainsAny(n.Text, "\\\n") && quote != "" {
		return false
	}
	end := n.from + len(n.Text)
	if !strings.HasPrefix(src[end:], quote) || quote == "'" && strings.HasPrefix(src[end:], "''") {
		return false
	}
	n.Span.End = end + len(quote)
	return true
}

// same says that the text goes on with src[from:to].
func (t *tracer) same(from, to int) { t.put(to-from, t.src[from:to], from, to) }

// put says that the text goes on with text, which stands for src[from:to].
func (t *tracer) put(size int, text string, from, to int) {
	if size == 0 || t.lost {
		return
	}
	if !strings.HasPrefix(t.text[t.done:], text) {
		t.lost = true
		return
	}
	if k := len(t.runs) - 1; k >= 0 && size == to-from {
		if last := &t.runs[k]; last.textLen == last.srcLen && last.src+last.srcLen == from {
			last.textLen += size
			last.srcLen += size
			t.done += size
			return
		}
	}
	t.runs = append(t.runs, run{t.done, size, from, to - from})
	t.done += size
}

func (t *tracer) lines(count, from, to int) { t.put(count, strings.Repeat("\n", count), from, to) }

// white maps the white space at p, in which a single line break is a space and
// of several the first is none.
func (t *tracer) white(p int) (end int) {
	end, breaks := p, 0
	for end < len(t.src) && strings.IndexByte(" \t\r\n", t.src[end]) >= 0 {
		if k := lineBreak(t.src, end); k > 0 {
			end += k
			breaks++
		} else {
			end++
		}
	}
	switch breaks {
	case 0:
		t.same(p, end)
	case 1:
		t.put(1, " ", p, end)
	default:
		t.lines(breaks-1, p, end)
	}
	return end
}

// lineBreak is the length of the line break at p, or 0.
func lineBreak(src string, p int) int {
	switch {
	case p >= len(src):
		return 0
	case src[p] == '\n':
		return 1
	case src[p] != '\r':
		return 0
	case strings.HasPrefix(src[p+1:], "\n"):
		return 2
	default:
		return 1
	}
}

// word is the end of the stretch at p that holds none of the stop bytes.
func (t *tracer) word(p int, stops string) int {
	if k := strings.IndexAny(t.src[p:], stops); k >= 0 {
		return p + k
	}
	return len(t.src)
}

func (t *tracer) plain(p int) (end int) {
	end = p
	for p < len(t.src) && t.done < len(t.text) && !t.lost {
		if p = t.word(p, " \t\r\n"); p > end {
			p = min(p, end+len(t.text)-t.done)
			t.same(end, p)
			if end = p; t.done == len(t.text) {
				break
			}
		}
		p = t.white(p)
		end = p
	}
	return end
}

func (t *tracer) singleQuoted(p int) (end int) {
	for p++; p < len(t.src); {
		q := t.word(p, "' \t\r\n")
		t.same(p, q)
		switch {
		case q >= len(t.src):
			return q
		case t.src[q] != '\'':
			p = t.white(q)
		case strings.HasPrefix(t.src[q:], "''"):
			t.put(1, "'", q, q+2)
			p = q + 2
		default:
			return q + 1
		}
	}
	return min(p, len(t.src))
}

func (t *tracer) doubleQuoted(p int) (end int) {
	for p++; p < len(t.src); {
		q := t.word(p, "\"\\ \t\r\n")
		t.same(p, q)
		switch {
		case q >= len(t.src):
			return q
		case t.src[q] == '"':
			return q + 1
		case t.src[q] == '\\':
			p = t.escape(q)
		default:
			p = t.white(q)
		}
	}
	return min(p, len(t.src))
}

// escape maps one backslash escape. An escaped line break stands for nothing;
// empty lines behind it stand for themselves.
func (t *tracer) escape(p int) (end int) {
	if p+1 >= len(t.src) {
		t.lost = true
		return len(t.src)
	}
	if k := lineBreak(t.src, p+1); k > 0 {
		end, breaks := p+1+k, 0
		for end < len(t.src) && strings.IndexByte(" \t\r\n", t.src[end]) >= 0 {
			if k := lineBreak(t.src, end); k > 0 {
				end += k
				breaks++
			} else {
				end++
			}
		}
		t.lines(breaks, p, end)
		return end
	}
	end = p + 2
	switch t.src[p+1] {
	case 'x':
		end = p + 4
	case 'u':
		end = p + 6
	case 'U':
		end = p + 10
	}
	end = min(end, len(t.src))
	_, size := utf8.DecodeRuneInString(t.text[t.done:])
	t.put(size, t.text[t.done:t.done+size], p, end)
	return end
}

// block tries the indentation that the first line shows. Only a block with an
// explicit indicator, whose text begins with spaces, needs another try.
func (t *tracer) block(p int, folded bool) (end int) {
	header := t.word(p, "\r\n")
	keep, strip := false, false
	for i := p + 1; i < header && strings.IndexByte("+-0123456789", t.src[i]) >= 0; i++ {
		keep, strip = keep || t.src[i] == '+', strip || t.src[i] == '-'
	}
	body := header + lineBreak(t.src, header)

	first := body + len(t.src[body:]) - len(strings.TrimLeft(t.src[body:], " \t\r\n"))
	lineStart := max(body, strings.LastIndexAny(t.src[:first], "\r\n")+1)
	shown := spaces(t.src, lineStart)
	firstText := strings.TrimLeft(t.text, "\n")
	tries := []int{shown, shown - spaces(firstText, 0)}
	if firstText == "" {
		tries = []int{len(t.src)}
	}
	for indent := range 32 {
		tries = append(tries, indent)
	}
	for _, indent := range tries {
		if indent < 0 {
			continue
		}
		t.done, t.runs, t.lost = 0, nil, false
		end = t.blockLines(header, body, indent, folded, keep, strip)
		if !t.lost && t.done == len(t.text) {
			return end
		}
	}
	t.lost = true
	return end
}

func spaces(s string, from int) int {
	n := 0
	for from+n < len(s) && s[from+n] == ' ' {
		n++
	}
	return n
}

// blockLines follows the specification's folding: between two lines of text a
// single break becomes a space, and of several the first is dropped, unless one
// of the lines begins with white space.
func (t *tracer) blockLines(header, p, indent int, folded, keep, strip bool) (end int) {
	end = header
	last := [2]int{} // the break behind the line before
	hasLast := false
	var empty [][2]int     // the breaks of the empty lines since then
	indentedLast := false  // that line begins with white space
	writeEmpty := func() { // each for itself: indentation stands between them
		for _, b := range empty {
			t.put(1, "\n", b[0], b[1])
		}
		empty = empty[:0]
	}
	for p < len(t.src) && !t.lost {
		q := p + min(spaces(t.src, p), indent)
		if k := lineBreak(t.src, q); k > 0 {
			empty = append(empty, [2]int{q, q + k})
			p = q + k
			continue
		}
		if q >= len(t.src) || q-p < indent {
			break
		}
		indented := t.src[q] == ' ' || t.src[q] == '\t'
		switch {
		case !hasLast:
		case !folded || indentedLast || indented:
			t.put(1, "\n", last[0], last[1])
		case len(empty) == 0:
			t.put(1, " ", last[0], last[1])
		}
		writeEmpty()
		end = t.word(q, "\r\n")
		t.same(q, end)
		k := lineBreak(t.src, end)
		last, hasLast, indentedLast = [2]int{end, end + k}, k > 0, indented
		p = end + k
	}
	if hasLast && !strip {
		t.put(1, "\n", last[0], last[1])
	}
	if keep {
		writeEmpty()
	}
	return end
}
