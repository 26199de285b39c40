package openapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Response is one answer that an operation can give, as its document has it.
type Response struct {
	Status  string   // 200, 2XX or default
	At      dsl.Span // of the status
	Headers []string // those that it must have, but for Content-Type
	Media   []string // what its body can be; none: it has no body
	JSON    bool     // one of Media is JSON
	Type    *dsl.StaticType

	operation *Operation
	schema    place
}

// Statuses are what the operation answers with, as its document has them.
func (o *Operation) Statuses() (all []string) {
	if responses := o.self.node.Field("responses"); responses != nil {
		for _, f := range responses.Fields {
			if !strings.HasPrefix(f.Key.Text, "x-") {
				all = append(all, f.Key.Text)
			}
		}
	}
	return all
}

// Response is the answer with a status: the one of just this status, of its
// range, or the default. ok is false if there is none.
func (o *Operation) Response(status int) (r *Response, ok bool) {
	responses := o.self.node.Field("responses")
	if responses == nil {
		return nil, false
	}
	code := strconv.Itoa(status)
	for _, name := range []string{code, code[:1] + "XX", "default"} {
		i := slices.IndexFunc(responses.Fields, func(f dsl.Field) bool { return strings.EqualFold(f.Key.Text, name) })
		if i < 0 {
			continue
		}
		f := responses.Fields[i]
		p := o.document.follow(place{f.Value, o.self.root}, silent{})
		r := &Response{Status: f.Key.Text, At: f.Key.Span, operation: o}
		if p.node == nil {
			return r, true
		}
		if headers := p.field("headers"); headers.node != nil {
			for _, h := range headers.node.Fields {
				if header := o.document.follow(place{h.Value, headers.root}, silent{}); header.text("required") == "true" && !strings.EqualFold(h.Key.Text, "Content-Type") {
					r.Headers = append(r.Headers, h.Key.Text)
				}
			}
		}
		content := p.field("content")
		if content.node != nil {
			for _, f := range content.node.Fields {
				r.Media = append(r.Media, f.Key.Text)
			}
		}
		if r.schema, r.JSON = jsonOf(content); r.schema.node != nil {
			r.Type = o.document.docs.Type(r.schema.node, r.schema.root)
		}
		return r, true
	}
	return nil, false
}

// Takes reports whether a body of a media type, as Content-Type has it, is one
// of the answer's.
func (r *Response) Takes(contentType string) bool {
	got, ok := mediaType(contentType)
	return ok && slices.ContainsFunc(r.Media, func(pattern string) bool { return covers(plain(pattern), got) })
}

// Schema is what the JSON of the answer is checked with, or nil.
func (r *Response) Schema() *schema.Schema {
	if r.schema.node == nil {
		return nil
	}
	s, _ := r.operation.document.docs.CompileIn(r.schema.root, r.schema.node)
	return s
}

// Place is where the document says what the value at a path in the body must be,
// as near as it can be told.
func (r *Response) Place(path []string) dsl.Span {
	at := r.schema
	if at.node == nil {
		return r.At
	}
	for _, token := range path {
		at = r.operation.document.follow(at, silent{})
		next := at.field("properties").field(token)
		if next.node == nil {
			next = at.field("items")
		}
		if next.node == nil {
			break
		}
		at = next
	}
	return at.node.KeySpan()
}
