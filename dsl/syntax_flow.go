package dsl

import (
	"fmt"
	"regexp"
	"strings"
)

// flow reads a value in brackets or braces, which may go on over lines. column
// is that of the block it belongs to.
func (w *syntaxReader) flow(column int) {
	start := w.p
	var f flowReader
	for f.syntaxReader = w; !w.failed() && w.p < len(w.text); {
		if f.step(column); len(f.open) == 0 {
			break
		}
	}
	switch {
	case w.failed():
	case len(f.open) > 0:
		f.unclosed()
	default:
		w.afterValue(start, "list or mapping in brackets")
	}
}

// flowReader reads inside brackets.
type flowReader struct {
	*syntaxReader
	open []bracket
}

// bracket is an open [ or {.
type bracket struct {
	at    int
	value bool // a value stands since the last comma or colon
	colon bool // a colon stands since the last comma
}

func (f *flowReader) unclosed() {
	at := f.open[len(f.open)-1].at
	f.fail(at, at+1, "unclosed-bracket", fmt.Sprintf("the %s is never closed", char(f.text[at])), "close it with "+char(closer(f.text[at])))
}

func closer(open byte) byte {
	if open == '[' {
		return ']'
	}
	return '}'
}

// step reads one token.
func (f *flowReader) step(column int) {
	p := f.p
	var top *bracket
	if len(f.open) > 0 {
		top = &f.open[len(f.open)-1]
	}
	switch c := f.text[p]; {
	case c == ' ' || c == '\t':
		f.p++
	case c == '\n' || c == '\r':
		f.nextLine()
		indent := spaces(f.text, f.p)
		line := f.text[f.p+indent : f.lineEnd(f.p)]
		looksLikeEntry := colonIn(line) > 0 || isIndicator(line, '-')
		inList := top != nil && top.value && f.text[top.at] == '['
		if looksLikeEntry && (indent <= column || inList) {
			f.unclosed()
		}
	case c == '#' && strings.IndexByte(" \t\r\n", f.text[p-1]) >= 0:
		f.p = f.lineEnd(p)
	case c == '[' || c == '{':
		if top != nil && top.value {
			f.missingComma(p)
			return
		}
		if len(f.open) >= maxDepth {
			x := tooDeep(Span{f.src, p, p + 1})
			f.fault = &x
			return
		}
		f.open = append(f.open, bracket{at: p})
		f.p++
	case c == ']' || c == '}':
		f.close(c)
	case c == ',':
		if !top.value && !top.colon {
			f.fail(p, p+1, "syntax", "a value is missing before the comma", "remove the comma, or write the value")
		}
		top.value, top.colon = false, false
		f.p++
	case isIndicator(f.text[p:], ':') || c == ':' && p+1 < len(f.text) && strings.IndexByte(",[]{}", f.text[p+1]) >= 0 || c == ':' && top.value && (f.text[p-1] == '"' || f.text[p-1] == '\''):
		f.colon(top)
	case top.value:
		f.missingComma(p)
	case c == '"' || c == '\'':
		f.quote(column)
		top.value = true
	case c == '!' || c == '&' || c == '*':
		f.property(true)
	case c == '@' || c == '`' || c == '%' || c == '|' || c == '>' || c == '?' || isIndicator(f.text[p:], '-'):
		f.fail(p, p+1, "syntax", "a value cannot begin with "+char(c)+" here", "quote the value")
	default:
		f.plain(top)
	}
}

func (f *flowReader) close(c byte) {
	k := len(f.open) - 1
	if want := closer(f.text[f.open[k].at]); c != want {
		at := f.open[k].at
		f.fail(f.p, f.p+1, "unclosed-bracket", fmt.Sprintf("%s stands where %s must close", char(c), char(want)),
			fmt.Sprintf("close the %s first, and quote a value that holds brackets", char(f.text[at])), Related{Span{f.src, at, at + 1}, "opened here"})
		return
	}
	f.p++
	if f.open = f.open[:k]; k > 0 {
		f.open[k-1].value = true
	}
}

func (f *flowReader) colon(top *bracket) {
	if top.colon {
		word := strings.TrimRight(f.text[:f.p], " ")
		if start := strings.LastIndexAny(word, " \n,:[{") + 1; start > top.at && start < len(word) && word[start-1] == ' ' {
			f.fail(start, len(word), "syntax", "a comma is missing before this key", "put a comma between two entries, and quote a value that holds a colon and a space")
			return
		}
		f.fail(f.p, f.p+1, "syntax", "a second colon stands in one entry", "put a comma between two entries, and quote a value that holds a colon")
		return
	}
	top.colon, top.value = true, false
	f.p++
}

// meant is the value that text begins with as its author sees it: brackets that
// open in it close in it.
func meant(text string) string {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth < 0 {
				return text[:i]
			}
		case ',':
			if depth == 0 {
				return text[:i]
			}
		}
	}
	return text
}

func (f *flowReader) missingComma(p int) {
	if f.text[p] == '{' || f.text[p] == '[' {
		f.fail(p, p+1, "syntax", "a value that holds "+char(f.text[p])+" needs quotes inside [ ] and { }", "quote the value, or put a comma before the bracket")
		return
	}
	at := f.open[len(f.open)-1].at
	f.fail(p, p+1, "syntax", "a comma is missing before this", "put a comma between two entries, or quote the whole value", Related{Span{f.src, at, at + 1}, "inside this bracket"})
}

// aRoute is a method and a path with variables.
var aRoute = regexp.MustCompile(`^[A-Za-z]+ +/[^\s,\[\]]*$`)

// plain reads an unquoted value inside brackets. The library, after YAML 1.1,
// lets a question mark end it, which absence operators and conditions have.
func (f *flowReader) plain(top *bracket) {
	start, end, line := f.p, f.p, f.text
	for end < len(line) && strings.IndexByte(",?[]{}\r\n", line[end]) < 0 && !isIndicator(line[end:], ':') {
		if line[end] == '#' && (line[end-1] == ' ' || line[end-1] == '\t') {
			break
		}
		end++
	}
	f.p, top.value = end, true
	text := line[start:end]
	line = line[:end+lineEnd(nearby(line[end:]))]
	if open := openExpression(text); open >= 0 && end < len(line) && line[end] != '#' {
		x := cutInline(Span{f.src, start, end}, open, line[end])
		f.fault = &x
		return
	}
	if end < len(line) && line[end] == '?' {
		f.fail(start, end+1, "syntax", "a value that holds ? needs quotes inside [ ] and { }", "quote the value: "+quoted(meant(line[start:])))
	}
	if end < len(line) && (line[end] == '{' || line[end] == '[') {
		rest := line[end:]
		hint := "quote the value"
		if strings.IndexByte(rest, closer(rest[0])) > 0 {
			hint += ": " + quoted(meant(line[start:]))
		}
		if strings.HasSuffix(text, "$") && rest[0] == '{' {
			if k := strings.IndexByte(rest, '}'); k > 0 {
				x := foreign(Span{f.src, end - 1, end + k + 1}, "$"+rest[:k+1])
				f.fault = &x
				return
			}
		}
		f.fail(start, end+1, "syntax", "a value that holds "+char(rest[0])+" needs quotes inside [ ] and { }", hint)
		if value := strings.TrimRight(meant(line[start:]), " \t"); aRoute.MatchString(value) {
			f.fault.fix(quoting(Span{f.src, start, start + len(value)}))
		}
	}
}
