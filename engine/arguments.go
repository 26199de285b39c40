package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// InputDefinition is one value that a flow takes from the flow that runs it.
type InputDefinition struct {
	Span    dsl.Span  `yaml:",span"`
	Type    string    `yaml:"type" doc:"What the value must be." default:"any" enum:"any|string|integer|number|boolean|object|list"`
	Schema  *dsl.Node `yaml:"schema" doc:"In place of type: what the value must be as a schema (JSON Schema 2020-12), or { $ref: FILE } relative to this file."`
	Default dsl.Shape `yaml:"default" doc:"The value if none is given. Without it the value is required."`
	Secret  bool      `yaml:"secret" doc:"The value may be a secret, or hold one: the flow shows it to nobody." default:"false"`
	Doc     string    `yaml:"doc" doc:"What the value is."`
}

const (
	typeAny      = "any"
	typeDuration = "duration"
	typeSize     = "size"
	typeService  = "service"
)

var inputKinds = map[string]dsl.Kinds{
	"string": dsl.IsText, "integer": dsl.IsInt, "number": dsl.IsNumber, "boolean": dsl.IsBool, "object": dsl.IsObject, "list": dsl.IsList,
	typeDuration: dsl.IsDuration, typeSize: dsl.IsInt, typeService: dsl.IsText,
}

// orNull reports whether the value is null if none is given.
func (d InputDefinition) orNull() bool {
	n := d.Default.Node
	return n != nil && n.Kind == dsl.Scalar && n.Type == dsl.Null
}

// inputType is what is known of the value.
func (c *Compiler) inputType(d InputDefinition) *dsl.StaticType {
	var t *dsl.StaticType
	if k, ok := inputKinds[d.Type]; ok {
		t = dsl.Static(k)
	}
	if d.Schema != nil {
		t = c.docs.Type(d.Schema, d.Schema)
	}
	if d.orNull() {
		t = t.OrNull()
	}
	return t
}

// Argument is what a step gives for one input of a flow or a template.
type Argument struct {
	Name string

	whose string // of which it is an input: flow "price-of"
	kind  string
	null  bool               // it may be null
	check *schema.Schema     // nil: none
	shape *dsl.ShapeTemplate // nil after a fault
	value Value              // of a literal that is a text, a duration or a size
	known bool               // it is one of those
}

// given is an Argument while it is compiled.
type given struct {
	*Argument
	node   *dsl.Node
	def    InputDefinition
	static *dsl.StaticType // what is known of the value
	caller bool            // it is what the caller sent, or part of it
}

func newGiven(whose, name string, def InputDefinition, n *dsl.Node) *given {
	return &given{Argument: &Argument{Name: name, whose: whose, kind: def.Type, null: def.orNull()}, node: n, def: def}
}

// isDefault reports whether nothing was given.
func (g *given) isDefault() bool { return g.node == g.def.Default.Node }

// Arguments compiles what with gives for inputs, and reports what is missing,
// unknown, or of another type. whose is what messages call the one that takes
// them, at is the place where it is named. It gives an Argument for each input
// with a value, by name.
func (c *Compiler) Arguments(whose string, at dsl.Span, inputs map[string]InputDefinition, with *dsl.Node) (all []*Argument) {
	for _, g := range c.arguments(whose, at, inputs, with) {
		all = append(all, g.Argument)
	}
	return all
}

func (c *Compiler) arguments(whose string, at dsl.Span, inputs map[string]InputDefinition, with *dsl.Node) (all []*given) {
	names := slices.Sorted(maps.Keys(inputs))
	meant := c.unknownArguments(whose, names, with)
	for _, name := range names {
		def, n := inputs[name], with.Field(name)
		if n == nil {
			if slices.Contains(meant, name) || with != nil && with.Kind != dsl.Map {
				continue
			}
			if n = def.Default.Node; n == nil {
				c.Report(dsl.Diagnostic{Span: at, Code: "missing-input", Message: fmt.Sprintf("%s needs %q", whose, name), Hint: fmt.Sprintf("add with: { %s: ... }", name)})
				continue
			}
		}
		if g := newGiven(whose, name, def, n); c.argument(g) {
			all = append(all, g)
		}
	}
	return all
}

// unknownArguments reports what is not taken, and gives the names that were
// probably meant.
func (c *Compiler) unknownArguments(whose string, names []string, with *dsl.Node) (meant []string) {
	if with == nil {
		return nil
	}
	for _, f := range with.Fields {
		if slices.Contains(names, f.Key.Text) {
			continue
		}
		d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-input", Message: fmt.Sprintf("%s takes no %q", whose, f.Key.Text)}
		if near, ok := d.Suggest(f.Key.Text, names); ok {
			meant = append(meant, near)
		} else if len(names) > 0 {
			d.Hint = "it takes " + strings.Join(names, ", ")
		} else {
			noun, _, _ := strings.Cut(whose, " ")
			d.Hint = fmt.Sprintf("add input: { %s: {} } to that %s", f.Key.Text, noun)
		}
		c.Report(d)
	}
	return meant
}

// argument compiles one argument, and reports whether it is sound.
func (c *Compiler) argument(g *given) bool {
	failed := c.failed
	c.failed = false
	defer func() { c.failed = c.failed || failed }()
	from, scope := len(c.log), c.scope
	if g.isDefault() {
		c.scope = c.global() // it is the same whoever leaves the value out
		c.scope.defaults = true
	}
	g.shape = c.Shape(dsl.Shape{Node: g.node})
	c.scope = scope
	g.static = c.ShapeType(dsl.Shape{Node: g.node})
	g.caller = !slices.ContainsFunc(c.log[from:], func(n *name) bool { return !n.caller })
	if !g.def.Secret && c.Held(g.node) != nil {
		c.Report(dsl.Diagnostic{Span: g.node.Span, Code: "undeclared-secret", Message: fmt.Sprintf("%s does not know that %q is a secret, and might show it", g.whose, g.Name),
			Hint: "write secret: true beside the type of the input", Related: []dsl.Related{{Span: g.def.Span, Message: "the input"}}})
	}
	if g.def.Schema != nil {
		g.check, _ = c.Schema(g.def.Schema)
	}
	switch literal := !hasExpression(g.node); {
	case literal && g.node.Kind == dsl.Scalar && g.node.Type == dsl.Null && g.null:
	case literal && g.node.Kind == dsl.Scalar && (g.kind == typeDuration || g.kind == typeSize):
		g.value, g.known = c.unit(g)
	case literal && g.node.Kind == dsl.Scalar && g.kind == typeService:
		c.namesService(dsl.String{Value: g.node.Text, Span: g.node.Span})
	default:
		c.Fits(dsl.Shape{Node: g.node}, c.inputType(g.def), g.Name)
		if literal && g.check != nil && !c.failed {
			c.literalFits(g)
		}
	}
	if text, ok := g.text(); ok {
		g.value, g.known = Go(text), true
	}
	return !c.failed && !g.node.Broken()
}

// literalFits reports what a literal does not keep to.
func (c *Compiler) literalFits(g *given) {
	if all := g.check.Check(schema.Plain(g.node)); len(all) > 0 {
		c.Report(dsl.Diagnostic{Span: g.node.Span, Code: "bad-value", Message: fmt.Sprintf("%q: %s", g.Name, strings.TrimSpace(Said(all))), Hint: "write a value that fits the schema of the input",
			Related: []dsl.Related{{Span: g.def.Schema.KeySpan(), Message: "the schema"}}})
	}
}

// namesService reports a service that is not there.
func (c *Compiler) namesService(name dsl.String) {
	if c.lang.Index != nil {
		c.lang.Index.Use(typeService, name, dsl.Span{})
	}
	if !c.lang.Resources.Partial && !c.lang.Resources.has(typeService, name.Value) {
		c.unknown(typeService, name)
	}
}

// text is the value if it is a text of which all is known.
func (a *Argument) text() (text string, ok bool) {
	if a.known || a.check != nil || a.shape == nil {
		return "", false
	}
	t, ok := a.shape.Text()
	if !ok {
		return "", false
	}
	return t.Static()
}

// inputs compiles the definitions of inputs themselves.
func (c *Compiler) inputs(defs map[string]InputDefinition) {
	for _, name := range slices.Sorted(maps.Keys(defs)) {
		def := defs[name]
		if n := def.Default.Node; n != nil {
			c.argument(newGiven("", name, def, n))
		}
		if def.Schema == nil {
			continue
		}
		c.Schema(def.Schema)
		if def.Type != typeAny {
			c.Report(dsl.Diagnostic{Span: def.Schema.KeySpan(), Code: "unused-key", Message: "a schema says what a value must be, and type says it again", Hint: "remove one of them"})
		}
	}
}

// unit reads a duration or a size.
func (c *Compiler) unit(g *given) (v Value, ok bool) {
	var err error
	if g.kind == typeDuration {
		var d dsl.Duration
		d, err = dsl.ParseDuration(g.node.Text)
		v = Go(time.Duration(d))
	} else {
		var s dsl.Size
		s, err = dsl.ParseSize(g.node.Text)
		v = Go(int(s))
	}
	if err != nil {
		message, hint, _ := strings.Cut(err.Error(), "; ")
		c.Report(dsl.Diagnostic{Span: g.node.Span, Code: "bad-value", Message: fmt.Sprintf("%q: %s", g.Name, message), Hint: hint})
	}
	return v, err == nil
}

// hasExpression reports whether anything is to be evaluated at a node or below.
func hasExpression(n *dsl.Node) bool {
	for text := n.Text; ; {
		_, rest, found := strings.Cut(text, "$(")
		if !found {
			break
		}
		if before := text[:len(text)-len(rest)-len("$(")]; !strings.HasSuffix(before, "$") {
			return true
		}
		text = rest
	}
	return slices.ContainsFunc(n.Items, hasExpression) || slices.ContainsFunc(n.Fields, func(f dsl.Field) bool {
		return f.Key.Text == "$each" || f.Key.Text == "$if" || hasExpression(f.Value)
	})
}

// Value is the value for one request. One that is not as its definition says is
// an error.
func (a *Argument) Value(ctx context.Context, x *Exchange) (Value, error) {
	if a.known {
		return a.value, nil
	}
	v, err := ValueOf(ctx, x, a.shape)
	if err == nil {
		err = a.admit(v.kind())
	}
	if err == nil && a.check != nil {
		err = a.conforms(v)
	}
	return v, err
}

// AppendJSON appends the Value as JSON text, with what is only passed on as it
// came.
func (a *Argument) AppendJSON(ctx context.Context, x *Exchange, dst []byte) ([]byte, error) {
	from := len(dst)
	dst, err := a.shape.AppendJSON(ctx, x, dst)
	if err == nil {
		err = a.admit(kindOfJSON(dst[from:]))
	}
	if err == nil && a.check != nil {
		err = a.conforms(JSON(string(dst[from:])))
	}
	return dst, err
}

// admit is the error of a value of a kind that the definition does not have.
func (a *Argument) admit(kind dsl.Kinds) error {
	if a.kind == typeAny || kind&inputKinds[a.kind] != 0 || kind == dsl.IsNull && a.null {
		return nil
	}
	return &Error{Kind: KindExpression, Span: a.shape.Span(), Message: fmt.Sprintf("%s takes %s for %q", a.whose, a.kind, a.Name)}
}

// conforms is the error of a value that does not fit the schema.
func (a *Argument) conforms(v Value) error {
	if v.Null() && a.null {
		return nil
	}
	value, err := v.DecodeBounded()
	if err != nil {
		return &dsl.Fault{Span: a.shape.Span(), Message: err.Error(), Err: err}
	}
	if all := a.check.Check(value); len(all) > 0 {
		return &Error{Kind: KindExpression, Span: a.shape.Span(), Message: fmt.Sprintf("%s does not take this for %q: %s", a.whose, a.Name, Said(all)), Violations: all}
	}
	return nil
}

// kind is the kind of a value.
func (v Value) kind() dsl.Kinds {
	switch v.form {
	case formBytes:
		return dsl.IsText
	case formJSON:
		return kindOfJSON(v.text)
	}
	switch value := v.value.(type) {
	case nil:
		return dsl.IsNull
	case bool:
		return dsl.IsBool
	case string:
		return dsl.IsText
	case int:
		return dsl.IsInt
	case []any:
		return dsl.IsList
	case map[string]any:
		return dsl.IsObject
	case time.Duration:
		return dsl.IsDuration
	case dsl.Number:
		return kindOfJSON(string(value))
	}
	text, err := v.AppendJSON(nil)
	if err != nil {
		return 0
	}
	return kindOfJSON(text)
}

// kindOfJSON is the kind of a value in JSON text.
func kindOfJSON[T string | []byte](text T) dsl.Kinds {
	i := 0
	for i < len(text) && text[i] <= ' ' {
		i++
	}
	if i == len(text) {
		return dsl.IsNull
	}
	switch text[i] {
	case 'n':
		return dsl.IsNull
	case '"':
		return dsl.IsText
	case 't', 'f':
		return dsl.IsBool
	case '{':
		return dsl.IsObject
	case '[':
		return dsl.IsList
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == '.' || c == 'e' || c == 'E' {
			return dsl.IsFloat
		}
	}
	return dsl.IsInt
}
