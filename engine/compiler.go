package engine

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

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

// Resources are the named things of a program that steps refer to, such as
// services and flows, each kind by its Go type.
type Resources struct {
	// Partial says that some definitions could not be read: a name that is not
	// known may be one of theirs, and is not reported.
	Partial bool

	tables map[reflect.Type]*table
}

type table struct {
	noun   string
	things map[string]any
}

// Provide makes a thing known by its name. The noun is what faults call it.
func Provide[T any](r *Resources, noun, name string, thing T) {
	if r.tables == nil {
		r.tables = map[reflect.Type]*table{}
	}
	key := reflect.TypeFor[T]()
	if r.tables[key] == nil {
		r.tables[key] = &table{noun: noun, things: map[string]any{}}
	}
	r.tables[key].things[name] = thing
}

// Use finds a thing by its name, or reports that there is none.
func Use[T any](c *Compiler, noun string, name dsl.String) (thing T, ok bool) {
	t := c.lang.Resources.tables[reflect.TypeFor[T]()]
	if c.lang.Index != nil {
		c.lang.Index.Use(noun, name, dsl.Span{})
	}
	if c.lang.Probe != nil {
		c.uses = append(c.uses, noun+" "+name.Value)
	}
	if t != nil {
		if thing, ok = t.things[name.Value].(T); ok {
			return thing, true
		}
	}
	if c.lang.Resources.Partial {
		c.failed = true
		return thing, false
	}
	d := dsl.Diagnostic{Span: name.Span, Code: "unknown-" + noun, Message: fmt.Sprintf("there is no %s %q", noun, name.Value)}
	var known []string
	if t != nil {
		for k := range t.things {
			known = append(known, k)
		}
		slices.Sort(known)
	}
	switch {
	case strings.Contains(name.Value, "$("):
		d.Message, d.Hint = "the name of a "+noun+" cannot be an expression", "write the name; to choose between several, use switch"
	case strings.Contains(name.Value, "://"):
		d.Hint = fmt.Sprintf("define a %s with this endpoint, and write its name", noun)
	default:
		d.Hint = fmt.Sprintf("define it in %ss:", noun)
		if noun == "flow" {
			d.Hint = "define it, beginning with flow: " + name.Value
		}
		if len(known) > 0 {
			d.Hint += ", or use one of " + listed(known)
		}
		d.Suggest(name.Value, known)
	}
	c.Report(d)
	return thing, false
}

// listed names a few of many.
func listed(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
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
	undoing *Undoing               // what takes note of what the steps at hand do
	loop    *Loop                  // the innermost loop that the steps at hand are of
	keepers map[string][]*dsl.Node // steps that have Keepers, by what they are called
	closed  map[string]dsl.Span    // names of scopes that have ended
	failed  bool
	uses    []string  // what the step at hand names, for a Probe
	undoes  string    // the step whose undo is being compiled, for a Probe
	held    *dsl.Held // a secret that an expression of the step at hand holds

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

// Report is what dsl.Reporter asks for.
func (c *Compiler) Report(d dsl.Diagnostic) {
	if d.Severity == dsl.Error {
		c.failed = true
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

// levels counts the frames from the one at hand up to f.
func (c *Compiler) levels(f *frame) int {
	n := 0
	for at := c.frame; at != f; at = at.parent {
		n++
	}
	return n
}

// name makes a name with a value of its own.
func (c *Compiler) name(f *frame, text string) *name {
	n := &name{text: text, index: len(f.names), frame: f}
	f.names = append(f.names, n)
	return n
}

func (c *Compiler) pushFrame() *frame {
	f := &frame{parent: c.frame}
	c.frames = append(c.frames, f)
	c.frame = f
	return f
}

// within runs fn in a scope of its own.
func (c *Compiler) within(s *scope, fn func()) {
	outer := c.scope
	c.scope = s
	fn()
	c.scope = outer
	c.close(s)
}

// define makes the id of a step visible from here on.
func (c *Compiler) define(id dsl.String, n *name) {
	if !c.free(id) {
		return
	}
	c.scope.names[id.Value] = &entry{Name: c.scope.defined("step", n, id), at: id.Span, step: n}
}

// free reports whether a name can be given a meaning.
func (c *Compiler) free(id dsl.String) bool {
	if !isName(id.Value) {
		d := dsl.Diagnostic{Span: id.Span, Code: "bad-name", Message: fmt.Sprintf("%q cannot be used in expressions", id.Value),
			Hint: "use letters, digits and _, starting with a letter"}
		if name := strings.ReplaceAll(id.Value, "-", "_"); isName(name) {
			d.Hint = "write " + name
			if id.Span.Text() == id.Value {
				d.Offer(d.Hint, dsl.Edit{Span: id.Span, New: name}) // what reads it is another place
			}
		}
		c.Report(d)
		c.scope.torn = true
		return false
	}
	if e, taken := c.scope.find(id.Value); taken || reserved[id.Value] {
		d := dsl.Diagnostic{Span: id.Span, Code: "name-taken", Message: fmt.Sprintf("%q already has a meaning here", id.Value), Hint: "use another name"}
		if reserved[id.Value] {
			d.Message = fmt.Sprintf("%q has a meaning in the language", id.Value)
		} else if taken && e.at.Valid() {
			d.Related = []dsl.Related{{Span: e.at, Message: "it is defined here"}}
		}
		c.Report(d)
		return false
	}
	return true
}

// reserved are the names of the language itself, wherever they are visible.
var reserved = map[string]bool{
	"params": true, "query": true, "headers": true, "body": true, "request": true, "claims": true, "env": true,
	"secret": true, "error": true, "steps": true, "input": true, "null": true, "nil": true, "true": true, "false": true,
	"let": true, "if": true, "else": true, "in": true, "not": true, "and": true, "or": true, "matches": true,
	"contains": true, "startsWith": true, "endsWith": true,
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// Sequence is a list of steps that run in order.
type Sequence []Step

// Run runs the steps until one fails or ends the flow.
func (s Sequence) Run(ctx context.Context, x *Exchange) error {
	for _, step := range s {
		if err := step.Run(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// Steps compiles a nested list of steps. Their names stay inside.
func (c *Compiler) Steps(s dsl.Steps) Sequence {
	var seq Sequence
	c.within(c.scope.inner(), func() { seq = c.list(s.Node) })
	return seq
}

// StepsThen compiles a nested list of steps, and with then what stands beside
// the list and may read their results.
func (c *Compiler) StepsThen(s dsl.Steps, then func()) Sequence {
	var seq Sequence
	c.within(c.scope.inner(), func() {
		if s.Node != nil {
			seq = c.list(s.Node)
		}
		then()
	})
	return seq
}

// list compiles the steps of a list in the scope at hand.
func (c *Compiler) list(n *dsl.Node) Sequence {
	seq := make(Sequence, 0, len(n.Items))
	outer := c.scope.later
	c.scope.later = map[string]later{}
	for _, item := range n.Items {
		for _, id := range idsOf(item) {
			c.scope.later[id.Text] = later{at: id.Span}
		}
	}
	_, done := c.newBody()
	for _, item := range n.Items {
		ids := idsOf(item)
		for _, id := range ids {
			c.scope.later[id.Text] = later{at: id.Span, own: true}
		}
		if step := c.step(item, nil); step != nil {
			seq = append(seq, step)
		}
		for _, id := range ids {
			delete(c.scope.later, id.Text)
		}
	}
	done()
	c.scope.later = outer
	return seq
}

// idsOf gives the nodes of the ids that a step makes visible.
func idsOf(step *dsl.Node) (ids []*dsl.Node) {
	if id := step.Field("id"); id != nil && id.Kind == dsl.Scalar {
		ids = append(ids, id)
	}
	if members := step.Field("compose"); members != nil && members.Kind == dsl.Map {
		for _, f := range members.Fields {
			ids = append(ids, f.Key)
		}
	}
	return ids
}

// step compiles one step. result is the name of its result if it has one from
// outside, as the members of a compose do.
func (c *Compiler) step(n *dsl.Node, result *name) Step {
	kind, ok := c.verb(n)
	if !ok {
		c.lost(n, result != nil || n.Field("id") != nil)
		return nil
	}
	g := &guarded{span: keyOf(n, kind.Name).Span, step: kind.Name}
	member := result != nil
	if member {
		g.step = cmp.Or(result.text, kind.Name)
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
		g.step, result.text = id.Value, id.Value
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

// verb finds the one verb of a step.
func (c *Compiler) verb(n *dsl.Node) (kind StepKind, ok bool) {
	if n.Kind != dsl.Map {
		c.notAStep(n)
		return kind, false
	}
	var verbs []*dsl.Node
	for _, f := range n.Fields {
		if k, is := c.lang.Steps.Kind(f.Key.Text); is {
			kind = k
			verbs = append(verbs, f.Key)
		}
	}
	if len(verbs) > 1 {
		names := make([]string, len(verbs))
		for i, v := range verbs {
			names[i] = v.Text
		}
		owners := dsl.Owners(names, func(name string) []string {
			k, _ := c.lang.Steps.Kind(name)
			return k.Keys()
		})
		if len(owners) == 1 {
			return c.lang.Steps.Kind(owners[0])
		}
		c.Report(dsl.Diagnostic{Span: verbs[1].Span, Code: "two-verbs", Message: fmt.Sprintf("a step has one verb; this one has %s and %s", verbs[0].Text, verbs[1].Text),
			Hint: c.twoVerbs(n, verbs[0].Text, verbs[1].Text), Related: []dsl.Related{{Span: verbs[0].Span, Message: "the first verb"}}})
		return kind, false
	}
	if len(verbs) == 1 && !c.detail(n, kind.Name) {
		return kind, true
	}
	c.noVerb(n)
	return kind, false
}

// twoVerbs says what to make of two verbs in one step: one of them may be meant
// to stand around the other.
func (c *Compiler) twoVerbs(n *dsl.Node, a, b string) string {
	around := func(verb string) bool {
		k, _ := c.lang.Steps.Kind(verb)
		return n.Field("steps") == nil && slices.Contains(k.Keys(), "steps")
	}
	if around(b) {
		a, b = b, a
	}
	if around(a) && !around(b) {
		return fmt.Sprintf("%s runs steps: write %s as one of its steps, or make two steps of it", a, b)
	}
	return "make two steps of it"
}

// detail reports whether what looks like the verb of a step is a key of another
// verb, which is misspelt: limit is a verb, and a key of each.
func (c *Compiler) detail(n *dsl.Node, verb string) bool {
	own, _ := c.lang.Steps.Kind(verb)
	return slices.ContainsFunc(n.Fields, func(f dsl.Field) bool {
		if isModifier(f.Key.Text) || slices.Contains(own.Keys(), f.Key.Text) {
			return false
		}
		var owners []string
		for _, k := range c.lang.Steps.All() {
			if k.Name != verb && slices.Contains(k.Keys(), verb) {
				owners = append(owners, k.Name)
			}
		}
		_, misspelt := dsl.Nearest(f.Key.Text, owners)
		return misspelt
	})
}

// notAStep is about what stands in the place of a step.
func (c *Compiler) notAStep(n *dsl.Node) {
	if n.Broken() {
		return
	}
	d := dsl.Diagnostic{Span: n.KeySpan(), Code: "wrong-type", Message: "a step is a mapping with one verb, not " + n.Describe(), Hint: "write for example: call: GET users /users/1"}
	insert := func(behind, text string) {
		if at := n.At(0, len(behind)); n.Style == dsl.Plain && at.Text() == behind {
			d.Mend(d.Hint, dsl.Edit{Span: dsl.Span{Source: at.Source, Start: at.End, End: at.End}, New: text})
		}
	}
	if verb, value, ok := strings.Cut(n.Text, ":"); ok && slices.Contains(c.lang.Steps.Names(), verb) {
		d.Hint = "write a space behind the colon of " + verb + ":"
		if value != "" {
			insert(verb+":", " ")
		}
	} else if verb, value, _ := strings.Cut(n.Text, " "); slices.Contains(c.lang.Steps.Names(), verb) {
		d.Hint = "write a colon behind " + verb
		if value != "" && !strings.Contains(value, ": ") {
			insert(verb, ":")
		}
	}
	c.Report(d)
}

func (c *Compiler) noVerb(n *dsl.Node) {
	verbs := c.lang.Steps.Names()
	d := dsl.Diagnostic{Span: n.KeySpan(), Code: "no-verb", Message: "this step has no verb", Hint: "a step does one of: " + strings.Join(verbs, ", ")}
	if len(n.Fields) > 0 {
		d.Span = n.Fields[0].Key.Span
	}
	var strange []*dsl.Node
	for _, f := range n.Fields {
		if _, is := c.lang.Steps.Kind(f.Key.Text); !is && !isModifier(f.Key.Text) {
			strange = append(strange, f.Key)
		}
	}
	for _, key := range strange {
		_, ok := d.SuggestWord(key.Text, verbs)
		if ok || len(strange) == 1 {
			d.Span, d.Message = key.Span, fmt.Sprintf("unknown verb %q", key.Text)
		}
		if ok {
			break
		}
	}
	c.Report(d)
}
