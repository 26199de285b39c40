package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Step is one compiled step, leaf or composite. It is immutable and shared by
// all requests; what belongs to one request is in its Exchange. An error is an
// *Error, a *dsl.Fault, ErrReturn, or whatever else went wrong.
type Step interface {
	Run(ctx context.Context, x *Exchange) error
}

// StepKind is the Kind of a verb.
type StepKind = dsl.Kind[*Compiler, Step]

// Language is what flows are written in: the verbs, and the things that they
// name.
type Language struct {
	Steps     *dsl.Catalog[*Compiler, Step]
	Resources *Resources
	Env       func(name string) (value string, ok bool)
	Secret    *dsl.Name         // what the name secret stands for; nil: there are none
	Documents *schema.Documents // the files that flow files refer to; nil: none
	Probe     Probe             // nil but for tests
	Index     dsl.Index         // nil but for editors
}

// Compiler turns the steps of one flow into a Program. Kinds work with it; it
// is not safe for concurrent use.
type Compiler struct {
	dsl.Reporter
	lang    *Language
	exprs   *dsl.Expressions
	docs    *schema.Documents
	flow    *Flow
	frames  []*frame
	frame   *frame
	scope   *scope
	log     []*name   // every name that was bound, in order
	slot    Slot      // of the step at hand
	at      *dsl.Node // the step at hand
	inline  string    // what the steps at hand run inside of that cannot return
	whole   string    // what the steps at hand run inside of that can only return what is at hand as a whole
	around  []around
	undoing *Undoing            // what takes note of what the steps at hand do
	loop    *Loop               // the innermost loop that the steps at hand are of
	keepers map[string][]Slot   // of steps that have Keepers, by what they are called
	closed  map[string]dsl.Span // names of scopes that have ended
	failed  bool
	uses    []string  // what the step at hand names, for a Probe
	undoes  string    // the step whose undo is being compiled, for a Probe
	held    *dsl.Held // a secret that an expression of the step at hand holds

	use        *expanding     // the template whose steps are at hand
	expansions map[string]int // how often templates were used that have no other name
	expanded   int            // steps of templates

	spine *spine // of the flow
	rest  *Rest  // of the flow, after what is at hand; nil where that is no bound

	again  *repeats    // of the innermost step with retry that the steps at hand are of
	member *membership // of the innermost compose that they are of
	spends bool        // something in the flow can make more than one attempt

	plan *PlanStep // of the step at hand
	body *PlanBody // that the steps at hand are of
	part string    // of the step at hand, that the steps at hand are of
}

// around is a step that the steps at hand stand in.
type around struct {
	verb string
	at   dsl.Span
	step *dsl.Node
}

func newCompiler(f *Flow, lang *Language, r dsl.Reporter) *Compiler {
	c := &Compiler{Reporter: r, lang: lang, flow: f, docs: lang.Documents}
	if c.docs == nil {
		c.docs = schema.NewDocuments(nil)
	}
	c.exprs = dsl.NewExpressions(c)
	c.exprs.Index = lang.Index
	c.plan, c.exprs.OnRead, c.exprs.OnHeld = &PlanStep{}, c.reads, c.holds
	return c
}

// Report is what dsl.Reporter asks for.
func (c *Compiler) Report(d dsl.Diagnostic) {
	if d.Severity == dsl.Error {
		c.failed = true
	}
	if c.use != nil {
		c.use.told(d, c.Reporter)
		return
	}
	c.Reporter.Report(d)
}

// Flow is the flow at hand.
func (c *Compiler) Flow() *Flow { return c.flow }

// Result is the place for the result of the step at hand.
func (c *Compiler) Result() Slot { return c.slot }

// Member reports whether the step at hand is a member of a compose, which has
// its id from there.
func (c *Compiler) Member() bool { return c.slot.name.member }

// Around is the innermost step with a verb that the step at hand stands in, and
// the place of that verb; nil if there is none.
func (c *Compiler) Around(verb string) (at dsl.Span, step *dsl.Node) {
	for _, outer := range slices.Backward(c.around[:len(c.around)-1]) { // the last is the step at hand
		if outer.verb == verb {
			return outer.at, outer.step
		}
	}
	return at, nil
}

// Answering compiles steps that may end the flow, but only with an answer that
// is at hand as a whole; what is what they stand in.
func (c *Compiler) Answering(what string, fn func()) {
	outer := c.whole
	c.whole = what
	fn()
	c.whole = outer
}

// Inside compiles steps that cannot end the flow; what is what they stand in.
func (c *Compiler) Inside(what string, fn func()) {
	outer := c.inline
	c.inline = what
	c.asPart(what, fn)
	c.inline = outer
}

// Cond compiles a condition. All compile methods give nil after reporting.
func (c *Compiler) Cond(cond dsl.Cond) *dsl.Expr { return c.exprs.Condition(cond.Node, c.scope) }

// ExprPart compiles the bare expression n.Text[from:].
func (c *Compiler) ExprPart(n *dsl.Node, from int) *dsl.Expr {
	return c.exprs.CompilePart(n, from, len(n.Text), c.scope)
}

// Elements is what is known of the elements of the list that an expression
// gives. What cannot be a list is reported.
func (c *Compiler) Elements(e *dsl.Expr) *dsl.StaticType {
	if e == nil {
		return nil
	}
	return c.exprs.Elements(e)
}

// ShapeType is what is known of the value that a shape makes, which Shape has
// compiled.
func (c *Compiler) ShapeType(s dsl.Shape) *dsl.StaticType {
	if s.Node == nil {
		return dsl.Static(dsl.IsNull)
	}
	return c.exprs.ShapeType(s.Node)
}

// Fits reports what in a shape, which Shape has compiled, cannot be of the type
// that is wanted. label is how messages call the whole.
func (c *Compiler) Fits(s dsl.Shape, want *dsl.StaticType, label string) {
	if s.Node != nil && want != nil {
		c.exprs.Fits(s.Node, want, label)
	}
}

// Shape compiles a shape.
func (c *Compiler) Shape(s dsl.Shape) *dsl.ShapeTemplate { return c.exprs.Shape(s.Node, c.scope) }

// Text compiles text with expressions inside, escaped for its place.
func (c *Compiler) Text(n *dsl.Node, place dsl.Place) *dsl.TextTemplate {
	return c.exprs.Text(n, place, c.scope)
}

// TextPart compiles n.Text[from:].
func (c *Compiler) TextPart(n *dsl.Node, from int, place dsl.Place) *dsl.TextTemplate {
	return c.exprs.TextPart(n, from, len(n.Text), place, c.scope)
}

// CanReturn reports whether the step at hand may end the flow; if not, it has
// been reported.
func (c *Compiler) CanReturn(at dsl.Span, verb string) bool {
	if c.inline == "" && (c.whole == "" || verb == "return") {
		return true
	}
	if c.inline == "" {
		c.Report(dsl.Diagnostic{Span: at, Code: "return-inside", Message: fmt.Sprintf("what %s streams cannot be kept, so it cannot stand inside %s", verb, c.whole),
			Hint: "use call, and return what it gives"})
		return false
	}
	c.Report(dsl.Diagnostic{Span: at, Code: "return-inside", Message: fmt.Sprintf("%s ends the flow and cannot stand inside %s", verb, c.inline),
		Hint: "give the value to the step (yield, fallback), or answer failures in the flow's errors"})
	return false
}

// Reads runs fn and gives whether what it compiled reads a name.
func (c *Compiler) Reads(fn func()) (reads func(name string) bool) {
	from := len(c.log)
	fn()
	log := slices.Clone(c.log[from:])
	return func(text string) bool {
		return slices.ContainsFunc(log, func(n *name) bool { return n.text == text })
	}
}

// step compiles one step. result is the name of its result if it has one from
// outside, as the members of a compose do.
func (c *Compiler) step(n *dsl.Node, result *name) Step {
	if c.overgrown() {
		c.lost(n, false)
		return nil
	}
	n, kind, ok := c.verb(n)
	if !ok || c.mistaken(kind, n) {
		c.lost(n, result != nil || n.Field("id") != nil)
		return nil
	}
	n = c.filled(kind, n)
	g := &guarded{span: keyOf(n, kind.Name).Span, step: c.prefix() + kind.Name, verb: kind.Name}
	member := result != nil
	if member {
		g.step = c.prefix() + cmp.Or(result.text, kind.Name)
	} else {
		result = c.name(c.frame, kind.Name)
	}
	outer, at, uses, held := c.slot, c.at, c.uses, c.held
	c.slot, c.at, c.uses, c.held = Slot{result}, n, nil, nil
	defer func() { c.slot, c.at, c.uses, c.held = outer, at, uses, held }()
	g.slot = c.slot
	plan, planned := c.planned(n, kind.Name, g.span, g.slot)
	defer planned()
	var mods modifiers
	compile := func() {
		c.around = append(c.around, around{kind.Name, g.span, n})
		defer func() { c.around = c.around[:len(c.around)-1] }()
		g.from = len(c.frame.names)
		g.run, ok = kind.Compile(c, n, &mods)
		g.to = len(c.frame.names)
	}
	if n.Field("retry") != nil {
		compile = c.repeating(g, compile)
	}
	if c.undoing != nil && n.Field("retry") != nil {
		if g.attempts = c.Undoing(c.undoing.within, compile); !g.attempts.Used() {
			g.attempts = nil
		}
	} else {
		compile()
	}
	if !result.known {
		result.static = c.Holding(result.static)
	}
	g.last, _ = g.run.(Finisher)
	c.modify(g, n, &mods)
	c.foreseen(g, result)
	id := mods.ID
	switch {
	case id.Value == "":
		if !member && len(idsOf(n)) == 0 {
			c.scope.torn = c.scope.torn || slices.ContainsFunc(n.Fields, func(f dsl.Field) bool { return !isModifier(f.Key.Text) && !slices.Contains(kind.Keys(), f.Key.Text) })
		}
	case member:
		d := dsl.Diagnostic{Span: id.Span, Code: "id-in-compose", Message: "a member has its key as its id", Hint: "remove this id"}
		if result.text == "" {
			d.Message, d.Hint = "the result of this step is that of the step around it", "move the id there"
		} else if e, ok := n.Without("id"); ok {
			d.Offer("remove the id", e)
		}
		c.Report(d)
	default:
		g.step, result.text = c.prefix()+id.Value, id.Value
		c.define(id, result)
	}
	c.compileUndo(g, result, mods.Undo)
	if !ok {
		c.lost(n, true) // its own faults are told; only the names still matter to others
	}
	c.describe(plan, g, &mods)
	c.probe(g, kind.Name, &mods)
	return g
}

func keyOf(n *dsl.Node, key string) *dsl.Node {
	for _, f := range n.Fields {
		if f.Key.Text == key {
			return f.Key
		}
	}
	return nil
}
