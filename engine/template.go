package engine

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/weir-run/weir/dsl"
)

// Template is a list of steps with inputs, which steps of flows use as if they
// were written there. It is compiled anew for each use: what a use gives as a
// literal can stand where only a literal can, such as the name of a service.
//
// So a fault in it is found once for each use, and once more when the template is
// compiled by itself, with inputs of which nothing is known but their types. It
// is told once: with the use, if only one makes it a fault.
type Template struct {
	Name    dsl.String
	Summary string

	config templateConfig
	inputs map[string]InputDefinition
	node   *dsl.Node
	sound  bool       // the head can be relied upon
	calls  []useOf    // of other templates
	mu     sync.Mutex // guards what follows
	uses   map[dsl.Span]bool
	faults map[faultAt][]found
}

// useOf is a use of a template in another one.
type useOf struct {
	template *Template
	at       dsl.Span
}

type faultAt struct {
	span dsl.Span
	code string
}

// found is a fault and the use that has it; the use is not valid if it is a fault
// whatever the inputs are.
type found struct {
	dsl.Diagnostic
	use dsl.Span
}

// templateConfig is a template as it is written.
type templateConfig struct {
	Template dsl.String               `yaml:"template" doc:"The name of the template, unique in the program." required:"true"`
	Summary  string                   `yaml:"summary" doc:"What the template is for, in a sentence."`
	Input    map[string]templateInput `yaml:"input" doc:"The values that the template takes, read as input.NAME. One that is given as a literal can also stand where no expression can: $(input.service) in a call, $(input.limit) as a limit."`
	Steps    dsl.Steps                `yaml:"steps" doc:"The steps. They see input, env and secret, and nothing of the flow that uses them." required:"true"`
	Yield    dsl.Shape                `yaml:"yield" doc:"The result of the step that uses the template. It can read the results of the steps."`
}

// templateInput is an InputDefinition of which more is known when it is
// compiled.
type templateInput struct {
	Span    dsl.Span  `yaml:",span"`
	Type    string    `yaml:"type" doc:"What the value must be. A duration such as 2s and a size such as 1MB are written with their unit; a service is the name of one." default:"any" enum:"any|string|integer|number|boolean|object|list|duration|size|service"`
	Schema  *dsl.Node `yaml:"schema" doc:"In place of type: what the value must be as a schema (JSON Schema 2020-12), or { $ref: FILE } relative to this file."`
	Default dsl.Shape `yaml:"default" doc:"The value if none is given. It can read env and secret. Without it the value is required."`
	Secret  bool      `yaml:"-"` // each use tells whether the value is one
	Doc     string    `yaml:"doc" doc:"What the value is."`
}

// TemplateSchema describes a template as it is written.
func TemplateSchema() *dsl.Schema {
	s := dsl.SchemaOf[templateConfig]()
	s.Examples = []dsl.Example{templateExample}
	return s
}

// templateExample is what the example of the step use uses.
var templateExample = dsl.Example{Name: "a call as all calls of this kind are made", YAML: `
template: lookup
summary: One thing of a service, or null if it does not answer in time.
input:
  service: { type: service }
  path: { type: string, doc: What the service calls things of this kind. }
  id: { type: string }
  patience: { type: duration, default: 800ms }
steps:
  - id: thing
    call: GET $(input.service) /$(input.path)/$(input.id)
    timeout: $(input.patience)
    fallback: null
yield: $(thing)
`}

// DeclareTemplate reads the head of a template. It gives nil if there is not even
// a name.
func DeclareTemplate(n *dsl.Node, r dsl.Reporter) *Template {
	for _, key := range []string{"data", "media_type"} {
		if at := n.Field(key); at != nil {
			r.Report(dsl.Diagnostic{Span: n.Field("template").KeySpan(), Code: "mistaken-template", Message: "a document with template: defines steps; this looks like the step that fills a text",
				Hint: "put it into the steps of a flow", Related: []dsl.Related{{Span: at.KeySpan(), Message: "a key of that step"}}})
			return nil
		}
	}
	t := &Template{node: n, inputs: map[string]InputDefinition{}, uses: map[dsl.Span]bool{}, faults: map[faultAt][]found{}}
	t.sound = dsl.Decode(n, r, &t.config)
	if t.Name, t.Summary = t.config.Template, t.config.Summary; t.Name.Value == "" {
		if t.sound {
			r.Report(dsl.Diagnostic{Span: n.Field("template").Span, Code: "bad-name", Message: "the name of a template cannot be empty", Hint: "write template: name"})
		}
		return nil
	}
	for name, in := range t.config.Input {
		in.Secret = true
		t.inputs[name] = InputDefinition(in)
	}
	return t
}

// Holds reports whether a place is in the template.
func (t *Template) Holds(at dsl.Span) bool {
	in := t.node.Span
	return at.Source == in.Source && at.Start >= in.Start && at.End <= in.End
}

// Used reports whether any step uses the template.
func (t *Template) Used() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.uses) > 0 || t.config.Steps.Node == nil
}

// Yields reports whether the template has a result.
func (t *Template) Yields() bool { return t.config.Yield.Node != nil || !t.sound }

// use takes note of a use.
func (t *Template) use(at dsl.Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.uses[at] = true
}

// Report takes note of a fault in the template, as one use has it. Tell reports
// it.
func (t *Template) Report(d dsl.Diagnostic, use dsl.Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := faultAt{d.Span, d.Code}
	t.faults[at] = append(t.faults[at], found{d, use})
}

// Tell reports each fault that was noted once.
func (t *Template) Tell(r dsl.Reporter) {
	for _, all := range t.faults {
		slices.SortFunc(all, func(a, b found) int {
			return cmp.Or(comparePlaces(a.use, b.use), strings.Compare(a.Message, b.Message))
		})
		first := all[0]
		uses := map[dsl.Span]bool{}
		for _, f := range all {
			uses[f.use] = true
		}
		if n := len(uses); first.use.Valid() && (n == 1 || n < len(t.uses)) {
			message := "as it is used here"
			if n > 1 {
				message += ", and elsewhere"
			}
			first.Related = append(slices.Clone(first.Related), dsl.Related{Span: first.use, Message: message})
		}
		if first.use.Valid() {
			first.Uncertain() // it can be the use that is wrong
		}
		r.Report(first.Diagnostic)
	}
	clear(t.faults)
}

// comparePlaces orders places; those that are none come first.
func comparePlaces(a, b dsl.Span) int {
	name := func(s dsl.Span) string {
		if s.Source == nil {
			return ""
		}
		return s.Source.Name
	}
	return cmp.Or(cmp.Compare(name(a), name(b)), cmp.Compare(a.Start, b.Start))
}

// Circles reports templates that use themselves, directly or through others.
// They have been checked.
func Circles(templates []*Template, r dsl.Reporter) {
	circles(templates, func(t *Template) []useOf { return t.calls }, func(u useOf) *Template { return u.template }, func(path []useOf) {
		last := len(path) - 1
		names := path[last].template.Name.Value
		d := dsl.Diagnostic{Span: path[0].at, Code: "recursion", Hint: "use each or while for a repetition, or a flow without a trigger that others run"}
		for i, u := range path {
			names += " -> " + u.template.Name.Value
			if i > 0 {
				d.Related = append(d.Related, dsl.Related{Span: u.at, Message: "which uses " + u.template.Name.Value})
			}
		}
		d.Message = "this template uses itself: " + names
		r.Report(d)
	})
}

// circles finds ways from a thing back to itself: found is told of the steps of
// each, the first of which leaves the thing that the last leads to.
func circles[T comparable, S any](all []T, steps func(T) []S, to func(S) T, found func(path []S)) {
	const unseen, open, done = 0, 1, 2
	state := map[T]int{}
	var path []S
	var visit func(t T)
	visit = func(t T) {
		state[t] = open
		for _, step := range steps(t) {
			path = append(path, step)
			switch next := to(step); state[next] {
			case open:
				first := len(path) - 1
				for first > 0 && to(path[first-1]) != next {
					first--
				}
				found(path[first:])
			case unseen:
				visit(next)
			}
			path = path[:len(path)-1]
		}
		state[t] = done
	}
	for _, t := range all {
		if state[t] == unseen {
			visit(t)
		}
	}
}

// mistaken reports a step that fills a text and was to use a template.
func (c *Compiler) mistaken(kind StepKind, n *dsl.Node) bool {
	name := n.Field("template")
	if kind.Name != "template" || name.Kind != dsl.Scalar || n.Field("data") != nil {
		return false
	}
	known := c.lang.Resources.has("template", name.Text)
	if !known && n.Field("with") == nil {
		return false
	}
	d := dsl.Diagnostic{Span: name.KeySpan(), Code: "mistaken-template", Message: "the step template fills a text; this looks like the use of a template of steps",
		Hint: "write use: " + name.Text}
	if !known {
		d.Hint = "write use: and the name of the template"
	}
	c.Report(d)
	return true
}
