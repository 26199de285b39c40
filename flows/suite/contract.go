package suite

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/openapi"
)

// A mock that answers what the service never would proves nothing. Where a
// service has an OpenAPI document, the answers of its mocks are held against it:
// when tests are checked, as far as it is clear which operation an answer is of
// and what is in it, and in full when it is given. Whatever a document says, any
// status from 500 to 599 can come without a body: servers fail, and what stands
// in front of them.
//
// A field that the schema does not name is a fault, as it is in expressions,
// although JSON Schema allows it: it is misspelt, or nothing can read it.

// contract is what an answer must keep to.
type contract struct {
	service   string
	operation *openapi.Operation
}

// api is the document of a service, or nil.
func (s *Suite) api(service string) *openapi.Document {
	for _, x := range s.Program.Services {
		if x.Name.Value == service {
			return x.API()
		}
	}
	return nil
}

var pathVariable = regexp.MustCompile(`\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}`)

// contractOf finds the operation that a mock answers: by its route, or because
// the flows of the test call no other of the service. Nil: nobody knows yet.
func (c *checker) contractOf(cfg *mockConfig, r dsl.Reporter) *contract {
	if m := routePattern.FindStringSubmatchIndex(cfg.When.Value); m != nil {
		api, text := c.suite.api(c.name), cfg.When.Value
		method := text[m[2]:m[3]]
		if api == nil || method == "ANY" {
			return nil
		}
		at := cfg.When.Span
		op := api.Operation(openapi.Call{Service: c.name, Method: method, Path: pathVariable.ReplaceAllLiteralString(text[m[4]:m[5]], openapi.Hole), At: at, Span: at}, r)
		return contractFor(c.name, op)
	}
	var found []*contract
	for _, call := range c.calls {
		if call.of(c.name) {
			found = append(found, c.suite.called(call.Call))
		}
	}
	if len(found) == 0 || slices.ContainsFunc(found, func(x *contract) bool { return x == nil || x.operation != found[0].operation }) {
		return nil
	}
	return found[0]
}

func contractFor(service string, op *openapi.Operation) *contract {
	if op == nil {
		return nil
	}
	return &contract{service, op}
}

// called is what the answer to a call must keep to.
func (s *Suite) called(call *engine.PlanCall) *contract {
	api := s.api(call.Service)
	if api == nil || call.Method == "" || call.Path == "" {
		return nil
	}
	return contractFor(call.Service, api.Operation(openapi.Call{Service: call.Service, Method: call.Method, Path: dsl.Pattern(call.Path, openapi.Hole)}, &dsl.Diagnostics{}))
}

// callSite is a call, and whether it is of a race: then it may not be made,
// because another wins before it.
type callSite struct {
	*engine.PlanStep
	raced bool
}

// of reports whether a mock of this name answers the call.
func (c callSite) of(name string) bool {
	return c.Call.Service == name || "steps."+c.Name == name
}

// callsOf are the calls of some flows, and of those that they run.
func (s *Suite) callsOf(names []string) (calls []callSite) {
	parts := s.parts(names...)
	var visit func(steps []*engine.PlanStep, raced bool)
	visit = func(steps []*engine.PlanStep, raced bool) {
		for _, p := range steps {
			if p.Call != nil {
				calls = append(calls, callSite{p, raced})
			}
			for _, b := range p.Bodies {
				visit(b.Steps, raced || p.Order == engine.Race)
			}
		}
	}
	for _, f := range s.Program.Flows {
		if parts == nil || slices.Contains(parts, f.Name.Value) {
			visit(f.Plan().Steps, false)
		}
	}
	return calls
}

// judge says where an answer does not keep to the contract. given is nil as long
// as only its status is known.
func (c *contract) judge(h *answer, given *given) (faults []dsl.Diagnostic) {
	op := c.operation
	what := fmt.Sprintf("%s %s of %s", op.Method, op.Path, c.service)
	response, ok := op.Response(h.status)
	if h.status >= http.StatusInternalServerError && (!ok || response.Status == "default" || h.body == nil) {
		return nil
	}
	if !ok {
		d := dsl.Diagnostic{Span: cmp.Or(h.statusAt, h.at), Code: "undocumented-answer", Message: fmt.Sprintf("%s has no answer with status %d", what, h.status),
			Hint: accepting, Related: []dsl.Related{{Span: op.At, Message: "the operation"}}}
		if known := op.Statuses(); !h.statusAt.Valid() {
			d.Hint = fmt.Sprintf("add status: %d", op.Success())
		} else if len(known) > 0 {
			d.Hint = "it has " + strings.Join(known, ", ") + "; " + accepting
		}
		return []dsl.Diagnostic{d}
	}
	what = fmt.Sprintf("answer %s of %s", response.Status, what)
	fault := func(at, where dsl.Span, hint, format string, args ...any) {
		faults = append(faults, dsl.Diagnostic{Span: at, Code: "undocumented-answer", Message: fmt.Sprintf(format, args...), Hint: cmp.Or(hint, accepting),
			Related: []dsl.Related{{Span: where, Message: "the document"}}})
	}
	if given == nil {
		return nil
	}
	for _, name := range response.Headers {
		if !given.ofStep && given.header.Values(name) == nil {
			fault(h.at, response.At, fmt.Sprintf("add headers: { %s: ... }", name), "%s needs the header %s", what, name)
		}
	}
	media := given.header.Get("Content-Type")
	bodyless := op.Method == http.MethodHead || h.status == http.StatusNoContent || h.status == http.StatusNotModified
	switch {
	case bodyless:
	case h.body == nil && response.JSON:
		fault(h.at, response.At, "add body:; "+accepting, "%s has a body", what)
	case h.body == nil:
	case len(response.Media) == 0:
		fault(h.bodyAt(nil), response.At, "remove it; "+accepting, "%s has no body", what)
	case !response.Takes(media):
		fault(h.bodyAt(nil), response.At, "write headers: { Content-Type: ... } if it is another form of the same; "+accepting, "%s is %s, not %s", what, strings.Join(response.Media, " or "), media)
	case response.JSON && strings.Contains(media, "json"):
		for _, v := range c.violations(response, dsl.DecodeJSON(given.text)) {
			place := "the body"
			if len(v.path) > 0 {
				place = "/" + strings.Join(v.path, "/")
			}
			fault(h.bodyAt(v.path), response.Place(v.path), v.hint, "%s: %s %s", what, place, v.message)
		}
	}
	return faults
}

const accepting = "write undocumented: true if the service answers so all the same"

type violation struct {
	path          []string
	message, hint string
}

// violations are what a body does not keep to: what its schema says, and fields
// that no schema names.
func (c *contract) violations(r *openapi.Response, value any) (all []violation) {
	if s := r.Schema(); s != nil {
		for _, v := range s.Check(value) {
			all = append(all, violation{path: v.Path(), message: v.Message})
		}
	}
	var visit func(v any, t *dsl.StaticType, path []string)
	visit = func(v any, t *dsl.StaticType, path []string) {
		if t == nil {
			return
		}
		switch v := v.(type) {
		case []any:
			for i, item := range v {
				visit(item, t.Element(), append(path[:len(path):len(path)], fmt.Sprint(i)))
			}
		case map[string]any:
			for _, name := range sortedKeys(v) {
				at := append(path[:len(path):len(path)], name)
				field, known := t.Fields[name]
				switch {
				case known:
					visit(v[name], field.Type, at)
				case t.Fields != nil && !t.Open && t.Kinds&dsl.IsObject != 0:
					x := violation{path: at, message: "is not known here"}
					if near, ok := dsl.Nearest(name, sortedKeys(t.Fields)); ok {
						x.hint = fmt.Sprintf("did you mean %q?", near)
					}
					if !slices.ContainsFunc(all, func(y violation) bool { return slices.Equal(y.path, at) }) {
						all = append(all, x)
					}
				default:
					visit(v[name], t.Rest, at)
				}
			}
		}
	}
	visit(value, r.Type, nil)
	return all
}

// bodyAt is where a value in the body of a mock is written, as near as it can
// be told.
func (a *answer) bodyAt(path []string) dsl.Span {
	n := a.bodyNode
	if n == nil {
		return a.at
	}
	for _, token := range path {
		next := n.Field(token)
		var i int
		if _, err := fmt.Sscan(token, &i); n.Kind == dsl.List && err == nil && i < len(n.Items) {
			next = n.Items[i]
		}
		if next == nil {
			break
		}
		n = next
	}
	if len(path) > 0 && n != a.bodyNode {
		return n.Span
	}
	return n.KeySpan()
}
