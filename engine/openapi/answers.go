package openapi

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Answers checks answers of an operation against its document. It is immutable and
// safe for concurrent use.
type Answers struct{ all []*Answer }

// Answer is one answer that an operation can give, and what is checked of it.
type Answer struct {
	Status   string // 200, 2XX or default
	headers  []header
	contents []Content // none: nothing is said of its body
}

type header struct {
	name     string // canonical
	required bool
}

// Answers compiles what the operation says of its answers, and reports schemas that
// cannot be used.
func (o *Operation) Answers(r dsl.Reporter) *Answers {
	out := &Answers{}
	responses := o.self.field("responses")
	for _, status := range o.Statuses() {
		p := o.document.follow(responses.field(status), silent{})
		a := &Answer{Status: status}
		out.all = append(out.all, a)
		if p.node == nil {
			continue
		}
		if headers := p.field("headers"); headers.node != nil {
			for _, f := range headers.node.Fields {
				h := o.document.follow(place{f.Value, headers.root}, silent{})
				if name := textproto.CanonicalMIMEHeaderKey(f.Key.Text); name != "Content-Type" {
					a.headers = append(a.headers, header{name, h.text("required") == "true"})
				}
			}
		}
		a.contents = o.contents(p.field("content"), r)
	}
	return out
}

// Of is the answer with a status: the one of just this status, of its range, or the
// default. It is nil if there is none.
func (a *Answers) Of(status int) *Answer {
	code := strconv.Itoa(status)
	for _, name := range []string{code, code[:1] + "XX", "default"} {
		if i := slices.IndexFunc(a.all, func(one *Answer) bool { return strings.EqualFold(one.Status, name) }); i >= 0 {
			return a.all[i]
		}
	}
	return nil
}

// Header gives what the header of an answer does not keep to, but for what it says
// of the body.
func (a *Answer) Header(h http.Header) (all []schema.Violation) {
	for _, want := range a.headers {
		if want.required && h[want.name] == nil {
			all = append(all, schema.Violation{Pointer: "/headers/" + want.name, Message: "is required"})
		}
	}
	return all
}

// Says reports whether the document says anything of the body.
func (a *Answer) Says() bool { return len(a.contents) > 0 }

// Body finds what a body of a Content-Type has to be like. It is nil if the answer
// has none of that type.
func (a *Answer) Body(contentType string) *Content { return contentFor(a.contents, contentType) }
