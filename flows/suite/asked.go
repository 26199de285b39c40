package suite

import (
	"fmt"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// asked is what the expressions of the mock at hand see: the request, with the
// variables of its route and, if it is known what is asked for, with what the
// service's document has.
func (c *checker) asked(when string, of *contract) names {
	scope := c.given.and(ofRequest...)
	if strings.HasPrefix(c.name, "steps.") {
		scope.values = nil
		scope.denied = &dsl.Denied{Message: "a mocked step sends no request", Hint: "mock the service, or write the value itself"}
		return scope
	}
	fixed := func(fields map[string]*dsl.StaticType) *dsl.StaticType {
		t := &dsl.StaticType{Kinds: dsl.IsObject, Fields: map[string]dsl.StaticField{}}
		for name, f := range fields {
			t.Fields[name] = dsl.StaticField{Type: f}
		}
		return t
	}
	scope.params = c.params(when)
	scope.types = map[string]*dsl.StaticType{"request": fixed(map[string]*dsl.StaticType{"method": dsl.Static(dsl.IsText), "path": dsl.Static(dsl.IsText)})}
	if of == nil {
		return scope
	}
	query := map[string]*dsl.StaticType{}
	open := false
	for _, p := range of.operation.Parameters {
		if p.In == "query" {
			query[p.Name] = dsl.Static(dsl.IsText | dsl.IsNull)
			open = open || p.Type != nil && p.Type.Kinds&dsl.IsObject != 0 // spread over names of its own
		}
	}
	if !open {
		scope.types["query"] = fixed(query)
	}
	if body := of.operation.Body(); body.JSON {
		scope.types["body"] = body.Type
	}
	return scope
}

// params are the variables of a mock's route.
func (c *checker) params(when string) *dsl.Name {
	n := &dsl.Name{Type: dsl.TypeObject, Fields: map[string]*dsl.Name{}, Bind: func(p dsl.Path) dsl.Read { return read{"params", p} }}
	route := routePattern.FindStringSubmatch(when)
	if route == nil {
		n.Absent = func(field string) *dsl.Denied {
			return &dsl.Denied{Message: fmt.Sprintf("this mock has no route, and so no params.%s", field), Hint: fmt.Sprintf("add when: METHOD /path/{%s}", field)}
		}
		return n
	}
	for _, v := range pathVariable.FindAllString(route[2], -1) {
		name, _, _ := strings.Cut(strings.Trim(v, "{}"), ":")
		path := dsl.Path{{Name: name}}
		n.Fields[name] = &dsl.Name{Type: dsl.TypeString, Bind: func(p dsl.Path) dsl.Read { return read{"params", append(path[:1:1], p...)} }}
	}
	return n
}

// keeps holds an answer against its contract, as far as it is written out.
func (c *checker) keeps(a *answer, at *dsl.Node) {
	if a.contract == nil || a.undocumented {
		return
	}
	written := a.bodyNode == nil || a.bodyNode.Constant()
	response, ok := a.contract.operation.Response(a.status)
	if ok && a.body != nil && response.JSON {
		before := c.Len()
		c.beside = []dsl.Related{{Span: response.Place(nil), Message: "the document"}}
		c.exprs.Fits(a.bodyNode, response.Type, "body")
		c.beside = nil
		if c.Len() > before {
			return
		}
	}
	var all *given
	if headers := at.Field("headers"); written && (headers == nil || headers.Constant()) {
		var err error
		if all, err = a.give(values{}); err != nil {
			return
		}
		all.ofStep = strings.HasPrefix(c.name, "steps.")
		a.settled = true
	}
	for _, d := range a.contract.judge(a, all) {
		c.Report(d)
	}
}
