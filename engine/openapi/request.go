package openapi

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Requests checks requests of an operation against its document: parameters in
// all styles that OpenAPI has, and bodies. It is immutable and safe for concurrent
// use.
//
// What it does not look at: the parts of multipart bodies, XML, the values of
// paths with an encoded delimiter in them, and the headers Accept, Content-Type
// and Authorization, of which OpenAPI says that their parameters mean nothing.
type Requests struct {
	parameters []parameter
	query      []string // names that parameters of the query have; nil: any may come
	bodies     []Content
	Required   bool // there has to be a body
	Declared   bool // there can be one
}

type parameter struct {
	Parameter
	part  string         // of pointers: query
	check *schema.Schema // nil: its value may be anything
}

// Incoming is what a request says of itself besides its body.
type Incoming struct {
	Var    func(name string) (value string, ok bool) // of the path
	Query  string                                    // as it came
	Header http.Header
}

// Requests compiles what the operation says of its requests, and reports schemas
// that cannot be used. If strict, requests may have no other parameters of the
// query than those declared.
func (o *Operation) Requests(strict bool, r dsl.Reporter) *Requests {
	out := &Requests{}
	if strict {
		out.query = []string{}
	}
	parts := map[string]string{"path": "params", "query": "query", "header": "headers", "cookie": "cookies"}
	for _, p := range o.Parameters {
		part, ok := parts[p.In]
		if !ok || p.Name == "" || p.In == "header" && slices.Contains([]string{"Accept", "Content-Type", "Authorization"}, textproto.CanonicalMIMEHeaderKey(p.Name)) {
			continue
		}
		x := parameter{Parameter: p, part: "/" + part + "/" + escapePointer.Replace(p.Name)}
		from := p.self
		if p.content.node != nil {
			from = p.content
		}
		x.check = o.schema(from, r)
		out.parameters = append(out.parameters, x)
		if strict && p.In == "query" {
			out.query = append(out.query, p.Name)
			if p.explode && p.Type != nil && p.style == "form" {
				for name := range p.Type.Fields {
					out.query = append(out.query, name)
				}
			}
		}
	}
	body := o.document.follow(o.self.field("requestBody"), silent{})
	if body.node == nil {
		return out
	}
	out.Declared, out.Required = true, body.text("required") == "true"
	out.bodies = o.contents(body.field("content"), r)
	return out
}

// schema compiles a schema of the document, or reports that it cannot be used.
func (o *Operation) schema(s place, r dsl.Reporter) *schema.Schema {
	if s.node == nil || s.node.Kind == dsl.Map && len(s.node.Fields) == 0 {
		return nil
	}
	out, why := o.document.docs.CompileIn(s.root, s.node)
	if why != nil {
		o.document.docs.Tell(why, s.node, r)
	}
	return out
}

// PathParameters are the names of those in the path, in the order of the document.
func (o *Operation) PathParameters() (names []string) {
	for _, p := range o.Parameters {
		if p.In == "path" {
			names = append(names, p.Name)
		}
	}
	return names
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// Parameters gives what the parameters of a request do not keep to. Pointers begin
// with /params, /query, /headers or /cookies.
func (q *Requests) Parameters(in Incoming) (all []schema.Violation) {
	fault := func(at, format string, args ...any) {
		all = append(all, schema.Violation{Pointer: at, Message: fmt.Sprintf(format, args...)})
	}
	query := pairsOf(in.Query)
	if query.malformed {
		fault("/query", "cannot be read: it has an escape that is none, or a semicolon")
	}
	for i := range q.parameters {
		p := &q.parameters[i]
		value, there, wrong := p.read(in, query)
		switch {
		case wrong != "":
			fault(p.part, "%s", wrong)
		case !there && (p.Required || p.In == "path"):
			fault(p.part, "is required")
		case there && p.check != nil:
			all = append(all, schema.Under(p.part, p.check.Check(value))...)
		}
	}
	if q.query != nil {
		for _, name := range query.names() {
			object, _, deep := strings.Cut(name, "[")
			if !slices.Contains(q.query, name) && !(deep && slices.Contains(q.query, object)) {
				fault("/query/"+escapePointer.Replace(name), "is not known here")
			}
		}
	}
	return all
}

// Body finds what a body of a Content-Type has to be like. It is nil if the
// operation takes none of that type.
func (q *Requests) Body(contentType string) *Content { return contentFor(q.bodies, contentType) }

// MediaTypes are those that bodies can have.
func (q *Requests) MediaTypes() (all []string) {
	for i := range q.bodies {
		all = append(all, q.bodies[i].pattern)
	}
	return all
}
