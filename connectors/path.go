package connectors

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// compilePath compiles the path n.Text[from:]. What stands in it outside of
// expressions is valid as it is sent (RFC 3986 section 3.3): if one character
// were not, net/url would escape the whole path anew, and the slashes in values
// would become slashes between segments.
func compilePath(c *engine.Compiler, step, n *dsl.Node, from int) *dsl.TextTemplate {
	text := n.Text
	var skeleton strings.Builder // the path with a word for each value
	for i := from; i < len(text); i++ {
		switch ch := text[i]; {
		case strings.HasPrefix(text[i:], "$$("):
			i += len("$(")
			skeleton.WriteString("$(")
		case strings.HasPrefix(text[i:], "$("):
			end := dsl.ExpressionEnd(text, i)
			if end < 0 {
				end = len(text) // TextPart reports it
			}
			i = end
			skeleton.WriteByte('x')
		case ch == '?':
			d := dsl.Diagnostic{Span: n.At(i, len(text)), Code: "query-in-path", Message: "the query does not stand in the path", Hint: "write query: { " + queryShown(text[i+1:]) + " } beside it"}
			moveQuery(&d, step, n, i)
			c.Report(d)
			return nil
		case ch == '%' && !isEscape(text[i:]):
			d := dsl.Diagnostic{Span: n.At(i, i+1), Code: "bad-path", Message: "a % in a path begins an escape, and this is none", Hint: "write %25 for a percent sign"}
			if e, ok := n.Edit(i, i+1, "%25"); ok {
				d.Mend("write %25", e)
			}
			c.Report(d)
			return nil
		case ch <= ' ' || ch >= 0x7f || strings.IndexByte("#\\\"<>{}|^`", ch) >= 0:
			r, size := utf8.DecodeRuneInString(text[i:])
			d := dsl.Diagnostic{Span: n.At(i, i+size), Code: "bad-path", Message: fmt.Sprintf("%q cannot stand in a path", string(r)), Hint: "write " + url.PathEscape(string(r))}
			if ch == '{' || ch == '}' {
				d.Hint = "write $(name) for a value"
			} else if e, ok := n.Edit(i, i+size, url.PathEscape(string(r))); ok && ch != '#' { // what stands behind # may be none of the path
				d.Mend(d.Hint, e)
			}
			c.Report(d)
			return nil
		default:
			if ch == ':' && text[i-1] == '/' {
				literalVariable(c, n, i)
			}
			skeleton.WriteByte(ch)
		}
	}
	if decoded, err := url.PathUnescape(skeleton.String()); err == nil && dotted(decoded) {
		d := dsl.Diagnostic{Span: n.At(from, len(text)), Code: "bad-path", Message: "a path has no . or .. segments", Hint: "write the path without them"}
		if decoded == text[from:] {
			d.Hint = "write " + path.Clean(decoded)
		}
		c.Report(d)
		return nil
	}
	return c.TextPart(n, from, dsl.PathSegment)
}

// literalVariable warns of /:name, which other tools take for a variable. A
// colon elsewhere is common, as in /things:batchGet.
func literalVariable(c *engine.Compiler, n *dsl.Node, from int) {
	name, _, _ := strings.Cut(n.Text[from+1:], "/")
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return
	}
	c.Report(dsl.Diagnostic{Span: n.At(from, from+1+len(name)), Severity: dsl.Warning, Code: "literal-variable",
		Message: fmt.Sprintf(":%s is sent as it stands: it is no variable", name),
		Hint:    fmt.Sprintf("write $(params.%s), or %%3A%s for the text itself", name, name)})
}

func isEscape(s string) bool {
	_, err := url.PathUnescape(s[:min(len(s), 3)])
	return err == nil
}

// queryShown rewrites a=1&b=2 as it stands in a mapping.
func queryShown(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		pairs[i] = key + ": " + value
	}
	return strings.Join(pairs, ", ")
}

var (
	queryName  = regexp.MustCompile(`^[A-Za-z_][\w.-]*$`)
	queryValue = regexp.MustCompile(`^([\w.-]+|\$\([A-Za-z_][\w.]*\))$`)
	asIs       = regexp.MustCompile(`^([1-9][0-9]*|\$\(.*\))$`)
)

// moveQuery writes what stands behind the ? at i of a call as its query, if all
// of it is simple.
func moveQuery(d *dsl.Diagnostic, step, n *dsl.Node, i int) {
	key := n.KeySpan()
	cut, ok := n.Edit(i, len(n.Text), "")
	if !ok || step == nil || step.Field("query") != nil || strings.ContainsAny(n.Span.Text(), "\r\n") {
		return
	}
	var pairs []string
	seen := map[string]bool{}
	for _, pair := range strings.Split(n.Text[i+1:], "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !queryName.MatchString(name) || !queryValue.MatchString(value) || seen[name] {
			return
		}
		if seen[name] = true; !asIs.MatchString(value) {
			value = strconv.Quote(value)
		}
		pairs = append(pairs, name+": "+value)
	}
	query := "query: { " + strings.Join(pairs, ", ") + " }"
	_, column := key.Position()
	if strings.HasPrefix(step.Span.Text(), "{") {
		query = ", " + query
	} else {
		query = "\n" + strings.Repeat(" ", column-1) + query
	}
	at := dsl.Span{Source: n.Span.Source, Start: n.Span.End, End: n.Span.End}
	d.Mend("write it as query", cut, dsl.Edit{Span: at, New: query})
}

// setPath gives a URL the path for one request.
func setPath(ctx context.Context, x *engine.Exchange, u *url.URL, t *dsl.TextTemplate) (err error) {
	if u.Path, err = t.String(ctx, x); err != nil {
		return err
	}
	if strings.IndexByte(u.Path, '%') >= 0 {
		u.RawPath = u.Path
		if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
			return err
		}
	}
	if _, static := t.Static(); !static && dotted(u.Path) {
		return &engine.Error{Kind: engine.KindExpression, Message: "the values make a path with . or .. segments"}
	}
	return nil
}

// dotted reports whether a decoded path has a segment that is . or .., for
// anyone who reads it: also behind a slash that was escaped, behind a
// backslash, and in front of parameters (..;a=b).
func dotted(decoded string) bool {
	for at := 0; ; {
		i := strings.IndexByte(decoded[at:], '.')
		if i < 0 {
			return false
		}
		at += i
		if at == 0 || decoded[at-1] == '/' || decoded[at-1] == '\\' {
			end := at + 1
			if end < len(decoded) && decoded[end] == '.' {
				end++
			}
			if end == len(decoded) || strings.IndexByte("/\\;", decoded[end]) >= 0 {
				return true
			}
		}
		at++
	}
}
