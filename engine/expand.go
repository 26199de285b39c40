package engine

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Expansion is a template as one step uses it, compiled.
type Expansion struct {
	Steps Sequence
	Yield *dsl.ShapeTemplate // nil: the template gives nothing

	inputs []boundInput
}

type boundInput struct {
	slot     Slot
	argument *Argument
}

// Enter gives the steps their inputs, as far as they read them.
func (e *Expansion) Enter(ctx context.Context, x *Exchange) error {
	for _, in := range e.inputs {
		if !in.slot.Read() {
			continue
		}
		v, err := in.argument.Value(ctx, x)
		if err != nil {
			return err
		}
		x.Set(in.slot, Result{Value: v})
	}
	return nil
}

// expanding is a template whose steps are compiled, for one use or by itself.
type expanding struct {
	template  *Template
	outer     *expanding
	at        dsl.Span // of the use; not valid if the template is compiled by itself
	prefix    string   // of the names of its steps
	key       uint64   // a hash of all that the steps depend on besides their own text
	arguments map[string]*given
	literals  map[string]*dsl.Node // those of the arguments that are literals
	filled    map[string]bool      // inputs that stand where a literal does
	holes     []hole
}

// hole is a stretch of a template in whose place something else is read.
type hole struct {
	at    dsl.Span
	value *dsl.Node // nil: it is not known
}

// mostSteps bounds the steps that the templates of one flow come to: templates
// that use others several times grow without limit.
const mostSteps = 20_000

// Expand compiles the steps of a template for the step at hand, which names it at
// a place. It gives nil if they cannot be known.
func (c *Compiler) Expand(t *Template, at dsl.Span) *Expansion {
	t.use(at)
	if c.use != nil && c.use.alone() {
		c.use.template.calls = append(c.use.template.calls, useOf{t, at})
	}
	if !t.sound {
		c.failed = true
		return nil
	}
	e := &expanding{template: t, outer: c.use, at: at, arguments: map[string]*given{}, literals: map[string]*dsl.Node{}, filled: map[string]bool{}}
	for _, g := range c.arguments(fmt.Sprintf("template %q", t.Name.Value), at, t.inputs, c.at.Field("with")) {
		e.arguments[g.Name] = g
		n := g.node
		if c.use != nil && !g.isDefault() {
			n = dsl.Filler(c.use.known).Fill(n)
		}
		if !hasExpression(n) {
			e.literals[g.Name] = n
		}
	}
	for o := c.use; o != nil; o = o.outer {
		if o.template == t {
			c.failed = true // Circles reports it
			return nil
		}
	}
	if c.use != nil && c.use.alone() || c.expanded >= mostSteps {
		return nil // of one in a template that is compiled by itself, too little is known
	}
	e.prefix = c.expansionName(t) + "."
	e.key = c.textKey()
	if n := t.node.Field("input"); n != nil {
		e.key = hashed(e.key, n.Span.Text())
	}
	c.flow.text = hashed(c.flow.text, t.node.Span.Text())
	return c.expand(e)
}

// Check compiles the template by itself, with inputs of which the types are
// known. Templates of one program may be checked concurrently.
func (t *Template) Check(lang *Language, r dsl.Reporter) {
	own := *lang
	own.Probe = nil
	flow := &Flow{Name: t.Name, Trigger: &Trigger{Path: "/", Deadline: math.MaxInt64}}
	c := newCompiler(flow, &own, r)
	defer c.exprs.Close()
	c.pushFrame()
	c.scope, c.slot, c.at = c.global(), Slot{c.name(c.frame, "")}, t.node
	e := &expanding{template: t, arguments: map[string]*given{}, literals: map[string]*dsl.Node{}, filled: map[string]bool{}}
	c.use = e
	c.inputs(t.inputs)
	c.use = nil
	for name, def := range t.inputs {
		if n := def.Default.Node; n != nil && !hasExpression(n) {
			e.literals[name] = n
		}
	}
	c.Undoing(time.Hour, func() { c.expand(e) })
}

// alone reports whether the template is compiled by itself.
func (e *expanding) alone() bool { return !e.at.Valid() }

// expand compiles the steps of a template. What the flow around has named is out
// of their sight.
func (c *Compiler) expand(e *expanding) *Expansion {
	out := &Expansion{}
	s := c.global()
	s.of = e
	fields := map[string]*dsl.Name{}
	held := dsl.Static(dsl.IsObject)
	var names []*name
	for _, text := range slices.Sorted(maps.Keys(e.template.inputs)) {
		def, n := e.template.inputs[text], c.name(c.frame, text)
		n.static = c.inputType(def)
		if g := e.arguments[text]; g != nil {
			n.caller = g.caller
			if secret := g.static.Held(); secret != nil {
				n.static, held = g.static, held.Holding(secret)
			} else if !g.known {
				n.static = dsl.Meet(n.static, g.static)
			}
			if g.null {
				n.static = n.static.OrNull() // the template has to cope with it in any case
			}
			out.inputs = append(out.inputs, boundInput{Slot{n}, g.Argument})
		}
		names = append(names, n)
		fields[text] = s.bound(n)
		fields[text].At = def.Span
	}
	s.names["input"] = &entry{Name: &dsl.Name{Type: dsl.TypeObject, Static: held, Fields: fields, Absent: e.template.noInput, Bind: s.together(names)}}
	defer e.unread(names)
	use, loop, closed := c.use, c.loop, c.closed
	c.use, c.loop, c.closed = e, nil, nil
	c.within(s, func() {
		if n := e.template.config.Steps.Node; n != nil {
			out.Steps = c.list(n)
		}
		if n := e.template.config.Yield; n.Node != nil {
			c.Derived(func() { out.Yield = c.Shape(n) })
			c.slot.Hold(c.ShapeType(n))
		}
	})
	c.use, c.loop, c.closed = use, loop, closed
	return out
}

// unread notes the inputs of a template, compiled by itself, that it does not
// look at.
func (e *expanding) unread(names []*name) {
	if !e.alone() || !e.template.sound {
		return
	}
	for _, n := range names {
		if !n.used && !e.filled[n.text] {
			e.template.Report(dsl.Diagnostic{Span: e.template.inputs[n.text].Span, Severity: dsl.Note, Code: "unused-input",
				Message: fmt.Sprintf("nothing in template %q reads input.%s", e.template.Name.Value, n.text), Hint: "remove it"}, e.at)
		}
	}
}

// known gives the literal that an expression stands for, if it is nothing but
// the name of an input.
func (e *expanding) known(n *dsl.Node, from, to int, _ bool) (*dsl.Node, bool) {
	value := e.literals[inputName(n.Text[from:to])]
	return value, value != nil
}

// inputName is NAME of an expression input.NAME, or "".
func inputName(code string) string {
	name, ok := strings.CutPrefix(strings.TrimSpace(code), "input.")
	if !ok || !isName(name) {
		return ""
	}
	return name
}

// filled is a step with the literals of the template that it stands in.
func (c *Compiler) filled(kind StepKind, n *dsl.Node) *dsl.Node {
	if c.use == nil {
		return n
	}
	return kind.Literals(n, c.fill, &modifiers{})
}

// segment is a text that is the same in a path as anywhere else.
var segment = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9_.~-]*$`)

// fill is a dsl.Filler for the steps of a template.
func (c *Compiler) fill(n *dsl.Node, from, to int, must bool) (value *dsl.Node, ok bool) {
	e := c.use
	name := inputName(n.Text[from:to])
	if name == "" {
		return nil, false
	}
	if !must {
		// A part of a path that is known lets the whole be held against what the
		// service takes.
		value = e.literals[name]
		unit := e.template.inputs[name].Type == typeDuration || e.template.inputs[name].Type == typeSize
		if value == nil || value.Kind != dsl.Scalar || value.Type != dsl.Str || unit || !segment.MatchString(value.Text) {
			return nil, false
		}
		e.filled[name] = true
		return value, true
	}
	from, to = from-len("$("), to+len(")")
	at := n.At(from, to)
	def, known := e.template.inputs[name]
	i := from + strings.LastIndex(n.Text[from:to], name)
	if !known {
		return nil, c.unknownInput(name, n.At(i, i+len(name)))
	}
	if c.lang.Index != nil {
		c.lang.Index.Use("", dsl.String{Value: name, Span: n.At(i, i+len(name))}, def.Span)
	}
	value, e.filled[name] = e.literals[name], true
	whole := strings.TrimSpace(n.Text) == n.Text[from:to]
	switch g := e.arguments[name]; {
	case value != nil && !whole && value.Kind != dsl.Scalar:
		c.Report(dsl.Diagnostic{Span: value.KeySpan(), Code: "wrong-type", Message: fmt.Sprintf("%s is part of a text, and so cannot be %s", name, value.Describe()), Hint: "write one text",
			Related: []dsl.Related{{Span: at, Message: "it is read here"}}})
		return nil, true
	case value != nil:
		e.holes = append(e.holes, hole{at, value})
	case g != nil:
		c.Report(dsl.Diagnostic{Span: g.node.Span, Code: "literal-needed", Message: fmt.Sprintf("%s must be a literal: template %q reads it where no expression can stand", name, e.template.Name.Value),
			Hint: "write the value itself", Related: []dsl.Related{{Span: at, Message: "it is read here"}}})
		return nil, true
	default:
		e.holes = append(e.holes, hole{at, nil})
		if value = dsl.ScalarAt(samples[def.Type], at); !whole {
			value = dsl.ScalarAt("x", at)
		}
	}
	return value, true
}

// samples stand for literals that are not known.
var samples = map[string]string{
	typeAny: "x", "string": "x", "integer": "1", "number": "1", "boolean": "true", "object": "{}", "list": "[]",
	typeDuration: "1s", typeSize: "1MB", typeService: "x",
}

// unknownInput reports an input that the template does not declare, in words
// that expressions have for it, too.
func (c *Compiler) unknownInput(name string, at dsl.Span) bool {
	d := dsl.Diagnostic{Span: at, Code: "unknown-field", Message: fmt.Sprintf("input has no field %q", name), Hint: "declare it in input of the template"}
	t := c.use.template
	if denied := t.noInput(name); denied != nil {
		d.Code, d.Message, d.Hint = "name-out-of-reach", denied.Message, denied.Hint
	} else {
		d.Suggest(name, slices.Sorted(maps.Keys(t.inputs)))
	}
	c.Report(d)
	return true
}

// inHole reports whether what stands at a place was read elsewhere.
func (e *expanding) inHole(at dsl.Span) bool {
	return slices.ContainsFunc(e.holes, func(h hole) bool { return isWithin(at, h.at) })
}

// told passes a fault on to where it belongs: one that the template's own text
// has to the template, one of a value that stands in its place to the use that
// gives it.
func (e *expanding) told(d dsl.Diagnostic, r dsl.Reporter) {
	if slices.ContainsFunc(e.holes, func(h hole) bool { return h.value == nil && overlap(d.Span, h.at) }) {
		return // it may be about what stands there instead of what is not known
	}
	if i := slices.IndexFunc(e.holes, func(h hole) bool { return isWithin(d.Span, h.at) }); i >= 0 {
		h := e.holes[i]
		d.Span, d.Fixes = h.value.Span, nil
		d.Related = append(slices.Clone(d.Related), e.read(h))
	} else if i := slices.IndexFunc(e.holes, func(h hole) bool { return h.value != nil && isWithin(d.Span, h.value.Span) }); i >= 0 {
		d.Related = append(slices.Clone(d.Related), e.read(e.holes[i]))
	}
	switch {
	case e.template.Holds(d.Span):
		e.template.Report(d, e.at)
	case e.outer != nil:
		e.outer.told(d, r)
	default:
		r.Report(d)
	}
}

func (e *expanding) read(h hole) dsl.Related {
	return dsl.Related{Span: h.at, Message: fmt.Sprintf("template %q reads it here", e.template.Name.Value)}
}

func overlap(s, other dsl.Span) bool {
	return s.Source == other.Source && s.Start < other.End && other.Start < s.End
}

func isWithin(s, outer dsl.Span) bool {
	return s.Source == outer.Source && s.Start >= outer.Start && s.End <= outer.End
}

// expansionName is what the steps of a template are called by: the id of the step
// that uses it, or the template's name, with a number behind it where the flow
// uses it several times without an id.
func (c *Compiler) expansionName(t *Template) string {
	prefix := c.prefix()
	if id := c.at.Field("id"); id != nil && id.Kind == dsl.Scalar {
		return prefix + id.Text
	}
	if c.slot.name.member && c.slot.name.text != "" {
		return prefix + c.slot.name.text
	}
	name := prefix + t.Name.Value
	if c.expansions == nil {
		c.expansions = map[string]int{}
	}
	c.expansions[name]++
	if n := c.expansions[name]; n > 1 {
		return name + "#" + strconv.Itoa(n)
	}
	return name
}

// prefix is what comes before the names of the steps at hand.
func (c *Compiler) prefix() string {
	if c.use == nil {
		return ""
	}
	return c.use.prefix
}

// overgrown counts a step of a template, and reports when they are too many.
func (c *Compiler) overgrown() bool {
	if c.use == nil || c.expanded > mostSteps {
		return c.use != nil
	}
	if c.expanded++; c.expanded <= mostSteps {
		return false
	}
	e := c.use
	for e.outer != nil {
		e = e.outer
	}
	at := e.at
	if e.alone() {
		at = e.template.Name.Span
	}
	c.failed = true
	c.Reporter.Report(dsl.Diagnostic{Span: at, Code: "too-many-steps", Message: fmt.Sprintf("the templates of this flow come to more than %d steps", mostSteps),
		Hint: "templates that use others several times grow fast: put what they share into a flow without a trigger, and run it"})
	return true
}
