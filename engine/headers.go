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

// Name is the name of the field, in its canonical form.
func (h Header) Name() string { return h.name }

// Text is the value as it is written.
func (h Header) Text() string { return h.value.Span().Text() }

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
	written := map[string]dsl.Span{}
	for _, name := range names {
		shape := fields[name]
		key := shape.Node.KeySpan()
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		d := dsl.Diagnostic{Span: key, Code: "bad-header"}
		first, twice := written[canonical]
		written[canonical] = key
		d.Message, d.Hint = HeaderFault(name)
		switch {
		case d.Message != "":
		case twice:
			d.Message, d.Hint = "the header "+canonical+" is written twice", "write one, with a list of its values"
			d.Related = []dsl.Related{{Span: first, Message: "the other one"}}
		case shape.Node.Kind == dsl.Map:
			d.Span, d.Code = shape.Node.Span, "wrong-type"
			d.Message, d.Hint = "the value of a header is text or a list of texts", "write one text, such as $(toJSON(x))"
		default:
			if v := c.header(canonical, shape); v != nil {
				out = append(out, Header{canonical, v})
			}
			continue
		}
		c.Report(d)
	}
	return out
}

// HeaderFault says why a flow cannot set a header of this name, and what to do;
// both are empty if it can.
func HeaderFault(name string) (message, hint string) {
	switch canonical := textproto.CanonicalMIMEHeaderKey(name); {
	case !isToken(name):
		return fmt.Sprintf("%q is not the name of a header", name), "use letters, digits and -"
	case slices.Contains(hopByHop, canonical):
		return canonical + " belongs to the connection and is set by Weir", "remove it"
	}
	return "", ""
}

// IsHeaderName reports whether a field of a header can have the name.
func IsHeaderName(name string) bool { return isToken(name) }

// header compiles the value of a header. What an expression gives is looked at
// when it is there.
func (c *Compiler) header(name string, shape dsl.Shape) *dsl.ShapeTemplate {
	v := c.Shape(shape)
	if v == nil {
		return nil
	}
	if text, ok := v.Text(); ok {
		if s, static := text.Static(); static && strings.ContainsFunc(s, IsControl) {
			c.Report(dsl.Diagnostic{Span: shape.Node.Span, Code: "bad-header", Message: "the value of " + name + " holds a control character, such as a line break",
				Hint: "write it in one line; for several values write a list"})
			return nil
		}
	}
	return v
}

// IsControl reports characters that could end a header field (RFC 9110 section
// 5.5).
func IsControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

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
			if strings.ContainsFunc(text, IsControl) {
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

// maxTexts bounds what goes into a header or a query, in bytes: no server takes
// more.
const maxTexts = 1 << 20

// Texts gives a value as text, or as one text for each element of a list that
// is not null: what a header or the query of a request can hold.
func (v Value) Texts() ([]string, error) {
	var c cell
	c.set(v)
	whole, err := c.whole()
	if err != nil {
		return nil, err
	}
	list, ok := whole.([]any)
	if !ok {
		list = []any{whole}
	}
	out := make([]string, 0, len(list))
	size := 0
	for _, item := range list {
		if item == nil {
			continue
		}
		b, err := dsl.AppendText(nil, item)
		if err != nil {
			return nil, err
		}
		if size += len(b) + 1; size > maxTexts {
			return nil, fmt.Errorf("this takes more than %d MiB, which no server would read", maxTexts>>20)
		}
		out = append(out, string(b))
	}
	return out, nil
}

// IsGRPC reports requests of gRPC by their type. It is spoken over HTTP/2 alone;
// gRPC-Web has another type.
func IsGRPC(h http.Header) bool {
	rest, ok := strings.CutPrefix(h.Get("Content-Type"), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
