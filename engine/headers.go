package engine

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Header is one header field of a message that a flow sends.
type Header struct {
	name  string // canonical
	value *dsl.ShapeTemplate
}

// hopByHop are the fields that belong to a connection and not to a message
// (RFC 9110 section 7.6.1), and those that the transport writes itself.
var hopByHop = []string{"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// Headers compiles the headers of a message, in the order of their names. A
// value that is null leaves its header out; a list gives one field each.
func (c *Compiler) Headers(fields map[string]dsl.Shape) []Header {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []Header
	for _, name := range names {
		shape := fields[name]
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isToken(name):
			c.Report(dsl.Diagnostic{Span: shape.Node.Span, Code: "bad-header", Message: fmt.Sprintf("%q is no header name", name), Hint: "use letters, digits and -"})
			continue
		case slices.Contains(hopByHop, canonical):
			c.Report(dsl.Diagnostic{Span: shape.Node.Span, Code: "bad-header", Message: canonical + " belongs to the connection and is set by Weir", Hint: "remove it"})
			continue
		case shape.Node.Kind == dsl.Map:
			c.Report(dsl.Diagnostic{Span: shape.Node.Span, Code: "wrong-type", Message: "the value of a header is text or a list of texts"})
			continue
		}
		if v := c.Shape(shape); v != nil {
			out = append(out, Header{canonical, v})
		}
	}
	return out
}

// isToken reports whether s can be a header name (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r) {
			return false
		}
	}
	return s != ""
}

// AppendHeaders evaluates headers into h, which it makes if there are any.
// Text that could end a header field and begin another is a *dsl.Fault.
func AppendHeaders(ctx context.Context, x *Exchange, h http.Header, headers []Header) (http.Header, error) {
	for i := range headers {
		f := &headers[i]
		v, err := ValueOf(ctx, x, f.value)
		if err != nil {
			return h, err
		}
		if v.Null() {
			continue
		}
		texts, err := v.Texts()
		if err != nil {
			return h, &dsl.Fault{Span: f.value.Span(), Message: err.Error(), Err: err}
		}
		if h == nil {
			h = make(http.Header, len(headers))
		}
		for j, text := range texts {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return h, &dsl.Fault{Span: f.value.Span(), Message: "the value of header " + f.name + " holds control characters"}
			}
			if j == 0 {
				h[f.name] = []string{text}
			} else {
				h[f.name] = append(h[f.name], text)
			}
		}
	}
	return h, nil
}

// Texts gives a value as text, or as one text for each element of a list that
// is not null.
func (v Value) Texts() ([]string, error) {
	var c cell
	c.set(v)
	whole := c.whole()
	list, ok := whole.([]any)
	if !ok {
		list = []any{whole}
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		if item == nil {
			continue
		}
		b, err := dsl.AppendText(nil, item)
		if err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	return out, nil
}
