package dsl

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Place says where the text of a template goes, and so how the values inside
// are escaped. The text around them is the author's and is not escaped.
type Place uint8

// The places of text.
const (
	PlainText   Place = iota
	PathSegment       // path-escaped (RFC 3986 section 3.3), never empty, . or ..
	QueryValue        // query-escaped
	HeaderValue       // a CR, LF or NUL is a fault
)

// TextTemplate is text with $(...) inside: immutable, safe for concurrent use.
type TextTemplate struct {
	parts []textPart
	place Place
}

// textPart is literal text or an expression.
type textPart struct {
	text string
	expr *Expr
}

// Text compiles a scalar with $(...) inside. It gives nil after reporting a
// fault.
func (x *Expressions) Text(n *Node, place Place, scope Scope) *TextTemplate {
	if n.Kind != Scalar {
		x.report.Report(Diagnostic{Span: n.head(), Code: "wrong-type", Message: "text is expected here, not " + n.found(), Hint: "write one text"})
		return nil
	}
	return x.TextPart(n, 0, len(n.Text), place, scope)
}

// TextPart compiles n.Text[from:to].
func (x *Expressions) TextPart(n *Node, from, to int, place Place, scope Scope) *TextTemplate {
	parts, ok := x.parts(n, from, to, scope)
	if !ok {
		return nil
	}
	return &TextTemplate{parts: parts, place: place}
}

// parts splits n.Text[from:to] at its expressions and compiles them.
func (x *Expressions) parts(n *Node, from, to int, scope Scope) (parts []textPart, ok bool) {
	if n.broken {
		return nil, false
	}
	ok = true
	var text strings.Builder
	for i := from; i < to; {
		open := strings.Index(n.Text[i:to], "$(")
		if open < 0 {
			text.WriteString(n.Text[i:to])
			break
		}
		open += i
		if open > from && n.Text[open-1] == '$' {
			text.WriteString(n.Text[i:open-1] + "$(") // $$( is a literal $(
			i = open + 2
			continue
		}
		text.WriteString(n.Text[i:open])
		end := closing(n.Text[:to], open+1)
		if end < 0 {
			d := Diagnostic{Span: n.At(open, min(open+2, to)), Code: "unclosed-expression",
				Message: "this $( has no closing )", Hint: "add it, or write $$( for a literal $("}
			if quote := openQuote(n.Text[:to], open); quote >= 0 {
				d.Span, d.Message = n.At(quote, quote+1), "the quote is never closed, and so neither is the expression"
				d.Hint = "close it with " + n.Text[quote:quote+1]
			}
			x.report.Report(d)
			return nil, false
		}
		if text.Len() > 0 {
			parts = append(parts, textPart{text: text.String()})
			text.Reset()
		}
		if e := x.compile(codeOf(n, open+2, end), scope); e != nil {
			x.hold(n, e)
			parts = append(parts, textPart{expr: e})
		} else {
			ok = false
		}
		i = end + 1
	}
	if text.Len() > 0 {
		parts = append(parts, textPart{text: text.String()})
	}
	return parts, ok
}

// ExpressionEnd gives the index of the parenthesis that closes the $( at
// text[open:], or -1.
func ExpressionEnd(text string, open int) int { return closing(text, open+1) }

// closing gives the index of the parenthesis that closes the one at i, or -1.
func closing(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		case '"', '\'', '`':
			if i = skipQuoted(s, i); i == len(s)-1 && s[i] != '"' && s[i] != '\'' && s[i] != '`' {
				return -1
			}
		}
	}
	return -1
}

// openQuote is where a quote begins that is not closed, or -1.
func openQuote(s string, i int) int {
	for ; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\'' || c == '`' {
			end := skipQuoted(s, i)
			if end == i || s[end] != c {
				return i
			}
			i = end
		}
	}
	return -1
}

// Static gives the text if no expression is inside.
func (t *TextTemplate) Static() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].expr == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// Pattern is a text as it is written, with hole in the place of each expression.
func Pattern(text, hole string) string {
	var b strings.Builder
	for {
		open := strings.Index(text, "$(")
		end := -1
		if open >= 0 {
			end = closing(text, open+1)
		}
		switch {
		case end < 0:
			return b.String() + text
		case open > 0 && text[open-1] == '$':
			b.WriteString(text[:open-1] + text[open:end+1])
		default:
			b.WriteString(text[:open] + hole)
		}
		text = text[end+1:]
	}
}

// Whole gives the expression if the text is nothing else.
func (t *TextTemplate) Whole() (*Expr, bool) {
	if len(t.parts) == 1 && t.parts[0].expr != nil {
		return t.parts[0].expr, true
	}
	return nil, false
}

// Append appends the text for one request, escaped for its place.
func (t *TextTemplate) Append(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	var err error
	for _, p := range t.parts {
		if p.expr == nil {
			dst = append(dst, p.text...)
			continue
		}
		from := len(dst)
		if dst, err = p.expr.AppendText(ctx, env, dst); err != nil {
			return dst, err
		}
		if dst, err = escape(dst, from, t.place, p.expr); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// String is the text for one request.
func (t *TextTemplate) String(ctx context.Context, env Env) (string, error) {
	if s, ok := t.Static(); ok {
		return s, nil
	}
	b, err := t.Append(ctx, env, nil)
	return textOf(b), err
}

// escape rewrites dst[from:] for its place.
func escape(dst []byte, from int, place Place, e *Expr) ([]byte, error) {
	value := dst[from:]
	switch place {
	case PathSegment:
		switch textOf(value) {
		case "", ".", "..":
			return dst, &Fault{Span: e.Span(), Message: fmt.Sprintf("%q cannot be a path segment", value)}
		}
		if !pathSafe(value) {
			return append(dst[:from], url.PathEscape(string(value))...), nil
		}
	case QueryValue:
		if !pathSafe(value) {
			return append(dst[:from], url.QueryEscape(string(value))...), nil
		}
	case HeaderValue:
		for _, c := range value {
			if c < ' ' && c != '\t' || c == 0x7f {
				return dst, &Fault{Span: e.Span(), Message: "a header value cannot hold control characters"}
			}
		}
	}
	return dst, nil
}

// pathSafe reports whether b holds only unreserved characters (RFC 3986
// section 2.3), which are the same escaped.
func pathSafe(b []byte) bool {
	for _, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~') {
			return false
		}
	}
	return true
}
