package dsl

import (
	"fmt"
	"strings"
	"unicode"
)

// code is the text of an expression and its place: Text[start:start+len(text)]
// of a scalar. It outlives the node that the scalar is read from.
type code struct {
	origin origin
	start  int
	text   string
}

func codeOf(n *Node, from, to int) code { return code{n.origin(), from, n.Text[from:to]} }

// span is the place of text[from:to]; offsets count runes, as expr's do.
func (c code) span(from, to int) Span {
	i := runeOffset(c.text, from)
	j := max(runeOffset(c.text, to), min(i+1, len(c.text)))
	return c.at(i, j)
}

// at is the place of text[i:j], in bytes.
func (c code) at(i, j int) Span { return c.origin.at(c.start+i, c.start+min(j, len(c.text))) }

func (c code) whole() Span { return c.at(0, len(c.text)) }

func runeOffset(s string, runes int) int {
	for i := range s {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(s)
}

// nested reports $( inside an expression, where it has no place and no need.
func (x *Expressions) nested(c code) bool {
	for i := 0; i < len(c.text); i++ {
		switch c.text[i] {
		case '"', '\'', '`':
			i = skipQuoted(c.text, i)
		case '$':
			if !strings.HasPrefix(c.text[i:], "$(") {
				continue
			}
			d := Diagnostic{Span: c.at(i, i+2), Code: "expression-in-expression",
				Message: "this is inside an expression already", Hint: "leave out $( and its )"}
			if c.start == 0 && strings.TrimSpace(c.text[:i]) == "" {
				d.Message = "this key takes a bare expression"
			}
			if end := closing(c.text, i+1); end > 0 {
				d.Span = c.at(i, end+1)
				d.Hint = "write it without $( ): " + strings.TrimSpace(c.text[i+2:end])
				c.unwrap(&d, i, end)
			}
			x.report.Report(d)
			return true
		}
	}
	return false
}

// unwrap takes the $( at i and its ) at end out of the text. What follows keeps
// the parentheses unless it begins with a name: without them it could be bound
// otherwise, or mean something to YAML.
func (c code) unwrap(d *Diagnostic, i, end int) {
	open, shut := c.at(i, i+2), c.at(end, end+1)
	if open.Text() != "$(" || shut.Text() != ")" {
		return
	}
	inner := c.text[i+2 : end]
	if whole := strings.TrimSpace(c.text[:i]+c.text[end+1:]) == ""; valuePath.MatchString(inner) || whole && inner != "" && (inner[0] == '_' || unicode.IsLetter(rune(inner[0]))) {
		d.Mend("leave out $( and its )", Edit{open, ""}, Edit{shut, ""})
	} else {
		d.Mend("leave out $", Edit{Span{open.Source, open.Start, open.Start + 1}, ""})
	}
}

// fits keeps hostile sources from expr's recursive parser, which no limit of
// its own protects from deep nesting.
func (x *Expressions) fits(c code) bool {
	if strings.TrimSpace(c.text) == "" {
		x.report.Report(Diagnostic{Span: c.whole(), Code: "empty-expression", Message: "the expression is empty", Hint: "write one, such as params.id"})
		return false
	}
	if len(c.text) > maxExprLength {
		x.report.Report(Diagnostic{Span: c.whole(), Code: "expression-too-long",
			Message: fmt.Sprintf("the expression is %d bytes long; the limit is %d", len(c.text), maxExprLength),
			Hint:    "split it over several set steps"})
		return false
	}
	depth, unary := 0, 0
	for i := 0; i < len(c.text); i++ {
		switch c.text[i] {
		case '"', '\'', '`':
			i = skipQuoted(c.text, i)
			unary = 0
		case '/':
			i = skipComment(c.text, i)
			unary = 0
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case '!', '-', '+': // each may open one more level: - - - x
			unary++
		case ' ', '\t', '\n':
		default:
			unary = 0
		}
		if depth > maxExprNesting || unary > maxExprNesting {
			x.report.Report(Diagnostic{Span: c.at(i, i+1), Code: "expression-too-deep",
				Message: fmt.Sprintf("the expression nests deeper than %d levels", maxExprNesting),
				Hint:    "split it over several set steps"})
			return false
		}
	}
	return true
}

// skipQuoted gives the index of the quote that closes the one at i, or the
// last index of s.
func skipQuoted(s string, i int) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		if s[i] == '\\' && quote != '`' {
			i++
		} else if s[i] == quote {
			return i
		}
	}
	return len(s) - 1
}

// skipComment gives the last index of the comment that starts at i, or i.
func skipComment(s string, i int) int {
	end := ""
	switch {
	case strings.HasPrefix(s[i:], "//"):
		end = "\n"
	case strings.HasPrefix(s[i:], "/*"):
		end = "*/"
	default:
		return i
	}
	if n := strings.Index(s[i+2:], end); n >= 0 {
		return i + 2 + n + len(end) - 1
	}
	return len(s) - 1
}
