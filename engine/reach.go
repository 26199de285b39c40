package engine

import (
	"fmt"
	"slices"

	"github.com/weir-run/weir/dsl"
)

// Names that an author has reason to think of, and that are not there: for each
// a fault of its own says why, and what to write.

// later is a step that has not run at some place.
type later struct {
	at  dsl.Span
	own bool // it is the step at hand
}

// away are the names of the language that not every place has.
var away = map[string]dsl.Denied{
	"input":  {Message: "a flow with a trigger has no input", Hint: "read params, query, headers or body"},
	"error":  {Message: "error is known only where a failure is handled", Hint: "use it in fallback, catch or the flow's errors; whether a step failed is in steps.ID.error"},
	"claims": {Message: "this version has no policies, and so no claims", Hint: "read headers"},
}

// ofRequest are the names that only a flow with a trigger has.
var ofRequest = []string{"params", "query", "headers", "body", "request"}

// outOfReach says why a name that is not visible is not, if that is known.
func (s *scope) outOfReach(text string) *dsl.Denied {
	if s.defaults {
		return &dsl.Denied{Message: "a default is the same for all, and so sees nothing but env and secret", Hint: "leave the default out, and give the value where it is known"}
	}
	if s.outermost().of == nil && s.c.flow.headless && (text == "input" || slices.Contains(ofRequest, text)) {
		return &dsl.Denied{}
	}
	for o := s; o != nil; o = o.parent {
		if step, ok := o.later[text]; ok {
			return step.denied(text)
		}
	}
	if d, ok := away[text]; ok {
		return &d
	}
	if slices.Contains(ofRequest, text) && s.outermost().of != nil {
		return &dsl.Denied{Message: "a template sees nothing of the request but what it is given", Hint: fmt.Sprintf("declare what it needs as input:, and give it with { %s: $(%s) }", text, text)}
	}
	if slices.Contains(ofRequest, text) {
		return &dsl.Denied{Message: "a flow without a trigger has no " + text, Hint: "declare what it needs as input:, and read input.NAME"}
	}
	if at, ok := s.c.closed[text]; ok {
		return &dsl.Denied{Message: fmt.Sprintf("%q is known only in the block that it stands in", text),
			Hint:    "read it inside the block, or hand it out with the yield of what it stands in",
			Related: []dsl.Related{{Span: at, Message: "it stands here"}}}
	}
	for o := s; o != nil; o = o.parent {
		if o.torn {
			return &dsl.Denied{}
		}
	}
	return nil
}

func (l later) denied(text string) *dsl.Denied {
	if l.own {
		return &dsl.Denied{Message: fmt.Sprintf("step %q reads its own result", text), Hint: "a result is there when the step has ended; read the step before it",
			Related: []dsl.Related{{Span: l.at, Message: "the step"}}}
	}
	return &dsl.Denied{Message: fmt.Sprintf("step %q has not run yet at this place", text),
		Hint:    "a list of steps runs in order: move this step below it, or put both into a compose, which orders by data",
		Related: []dsl.Related{{Span: l.at, Message: "it stands here"}}}
}

// lost keeps the faults of a step from becoming those of what reads its result:
// its ids are known all the same, and if it may have had another, no name after
// it is called unknown.
func (c *Compiler) lost(step *dsl.Node, named bool) {
	for _, id := range idsOf(step) {
		if _, known := c.scope.find(id.Text); !known && isName(id.Text) {
			c.scope.names[id.Text] = &entry{Name: &dsl.Name{Denied: &dsl.Denied{}}, at: id.Span}
		}
	}
	c.scope.torn = c.scope.torn || !named
}

// close remembers the names of a scope that ends.
func (c *Compiler) close(s *scope) {
	for text, e := range s.names {
		if e.at.Valid() && text != "error" {
			if c.closed == nil {
				c.closed = map[string]dsl.Span{}
			}
			c.closed[text] = e.at
		}
	}
}

// outermost is the scope of a whole flow, or a whole template.
func (s *scope) outermost() *scope {
	for s.parent != nil {
		s = s.parent
	}
	return s
}

// noParam is about a field of params that is not there.
func (f *Flow) noParam(field string) *dsl.Denied {
	if f.params == nil {
		return &dsl.Denied{} // the route cannot be read
	}
	if len(f.params) > 0 {
		return nil
	}
	return &dsl.Denied{Message: "the path of this flow's trigger has no variables", Hint: fmt.Sprintf("write {%s} in the path, as in GET /things/{%s}", field, field)}
}

// noInput is about a field of input that is not declared.
func (f *Flow) noInput(field string) *dsl.Denied {
	if len(f.config.Input) > 0 {
		return nil
	}
	return &dsl.Denied{Message: "this flow declares no input", Hint: fmt.Sprintf("add input: { %s: {} } to it", field)}
}

// noInput is about a field of input that is not declared.
func (t *Template) noInput(field string) *dsl.Denied {
	if len(t.inputs) > 0 {
		return nil
	}
	return &dsl.Denied{Message: "this template declares no input", Hint: fmt.Sprintf("add input: { %s: {} } to it", field)}
}
