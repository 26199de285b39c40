package dsl

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// An expression goes through expr-lang's parser, checker and compiler, with
// two passes of ours between them:
//
//	parse -> resolve -> check -> guard -> check -> optimize -> compile
//
// resolve replaces every chain of constant keys below a name (user.address.city)
// by a call of a prepared Read, so that a body is looked into and not decoded,
// and reports every unknown name and field. guard makes what is left safe and
// exact on untrusted data: member access below unknown values without
// reflection and with our null rules, Numbers turned into floats only where
// something computes, loops that notice the deadline, and text and lists that
// cannot grow without bound.
//
// The check between them sees the types of the Reads; the check after them
// proves that the rewritten tree is still well typed.

const (
	maxExprLength  = 16 << 10 // bytes; expr's parser recurses
	maxExprNesting = 100
	maxExprBytes   = 64 << 20 // text and lists one evaluation may make, in bytes
	ticksPerCheck  = 64       // loop rounds between two looks at the deadline
)

// Expressions compiles the expressions of one program. It is not safe for
// concurrent use.
type Expressions struct {
	report  Reporter
	config  *conf.Config
	checker checker.Checker
}

// NewExpressions reports faults to r.
func NewExpressions(r Reporter) *Expressions {
	config := conf.CreateNew()
	config.WithEnv(types.Map{}) // resolve leaves no names behind
	for _, f := range functions {
		config.Functions[f.Name] = f
	}
	return &Expressions{report: r, config: config}
}

// Expr is a compiled expression: immutable and safe for concurrent use.
type Expr struct {
	code    code
	program *vm.Program
	read    Read  // set if the whole expression is a Read, or Read ?? orElse
	orElse  *Expr // what a null Read gives way to
	reads   bool  // whether any name is read at all
	static  reflect.Kind
}

// code is the text of an expression and its place: Text[start:start+len(text)]
// of a scalar.
type code struct {
	node  *Node
	start int
	text  string
}

// span is the place of text[from:to]; offsets count runes, as expr's do.
func (c code) span(from, to int) Span {
	i := runeOffset(c.text, from)
	j := max(runeOffset(c.text, to), min(i+1, len(c.text)))
	return c.node.At(c.start+i, c.start+j)
}

func (c code) whole() Span { return c.node.At(c.start, c.start+len(c.text)) }

func runeOffset(s string, runes int) int {
	for i := range s {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(s)
}

// Compile compiles a bare expression, such as the text of a condition. It
// gives nil after reporting a fault.
func (x *Expressions) Compile(n *Node, scope Scope) *Expr {
	if n.Kind != Scalar {
		x.report.Report(Diagnostic{Span: n.Span, Code: "wrong-type", Message: "an expression is text, not a " + n.Kind.String()})
		return nil
	}
	if t := strings.TrimSpace(n.Text); strings.HasPrefix(t, "$(") && strings.HasSuffix(t, ")") {
		x.report.Report(Diagnostic{Span: n.Span, Code: "expression-in-expression",
			Message: "this key takes a bare expression", Hint: "write it without $( ): " + strings.TrimSpace(t[2:len(t)-1])})
		return nil
	}
	return x.compile(code{node: n, text: n.Text}, scope)
}

func (x *Expressions) compile(c code, scope Scope) *Expr {
	if !x.fits(c) {
		return nil
	}
	tree, err := parser.ParseWithConfig(c.text, x.config)
	if err != nil {
		x.fault(c, err)
		return nil
	}
	r := resolver{code: c, scope: scope, report: x.report, functions: x.config.Functions}
	tree.Node = r.resolve(tree.Node)
	if r.failed {
		return nil
	}
	return x.finish(c, tree, &r)
}

// finish compiles a resolved tree.
func (x *Expressions) finish(c code, tree *parser.Tree, r *resolver) *Expr {
	if read, ok := r.reads[tree.Node]; ok {
		return &Expr{code: c, read: read, reads: true, static: tree.Node.Type().Kind()}
	}
	if _, err := x.checker.Check(tree, x.config); err != nil {
		x.fault(c, err)
		return nil
	}
	static := tree.Node.Type().Kind()
	if b, ok := tree.Node.(*ast.BinaryNode); ok && b.Operator == "??" {
		// Most defaults are for what is only passed on: while it is there, it
		// can stay the text that it came as.
		if read, ok := r.reads[b.Left]; ok {
			tree.Node = b.Right
			e := &Expr{code: c, read: read, reads: true, static: static}
			if e.orElse = x.finish(c, tree, r); e.orElse == nil {
				return nil
			}
			return e
		}
	}
	g := guard{code: c, reads: r.reads}
	tree.Node = g.rewrite(tree.Node, exact)
	if _, err := x.checker.Check(tree, x.config); err != nil {
		x.fault(c, err)
		return nil
	}
	if err := optimizer.Optimize(&tree.Node, x.config); err != nil {
		x.fault(c, err)
		return nil
	}
	program, err := compiler.Compile(tree, x.config)
	if err != nil {
		x.fault(c, err)
		return nil
	}
	return &Expr{code: c, program: program, reads: len(r.reads) > 0, static: static}
}

// Condition compiles a bare expression that must give true or false. What is
// certain to give something else is a fault.
func (x *Expressions) Condition(n *Node, scope Scope) *Expr {
	e := x.Compile(n, scope)
	if e == nil || e.static == reflect.Interface || e.static == reflect.Bool {
		return e
	}
	x.report.Report(Diagnostic{Span: n.Span, Code: "not-a-condition", Message: "a condition is true or false; this is always " + staticName(e.static),
		Hint: "compare it with something, such as " + e.String() + " == ..."})
	return nil
}

func staticName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "text"
	case reflect.Int, reflect.Int64, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "an object"
	}
	return "something else"
}

// fits keeps hostile sources from expr's recursive parser, which no limit of
// its own protects from deep nesting.
func (x *Expressions) fits(c code) bool {
	if strings.TrimSpace(c.text) == "" {
		x.report.Report(Diagnostic{Span: c.node.Span, Code: "empty-expression", Message: "the expression is empty"})
		return false
	}
	if len(c.text) > maxExprLength {
		x.report.Report(Diagnostic{Span: c.node.Span, Code: "expression-too-long",
			Message: fmt.Sprintf("the expression is %d bytes long; the limit is %d", len(c.text), maxExprLength),
			Hint:    "split it over several set steps"})
		return false
	}
	depth, unary := 0, 0
	for i := 0; i < len(c.text); i++ {
		switch c.text[i] {
		case '"', '\'', '`':
			i = skipQuoted(c.text, i)
			unary = 0
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case '!', '-', '+': // each may open one more level: - - - x
			unary++
		case ' ', '\t', '\n':
		default:
			unary = 0
		}
		if depth > maxExprNesting || unary > maxExprNesting {
			x.report.Report(Diagnostic{Span: c.node.At(c.start+i, c.start+i+1), Code: "expression-too-deep",
				Message: fmt.Sprintf("the expression nests deeper than %d levels", maxExprNesting),
				Hint:    "split it over several set steps"})
			return false
		}
	}
	return true
}

// skipQuoted gives the index of the quote that closes the one at i, or the
// last index of s.
func skipQuoted(s string, i int) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		if s[i] == '\\' && quote != '`' {
			i++
		} else if s[i] == quote {
			return i
		}
	}
	return len(s) - 1
}

// fault reports what expr says about c, in our words and with our place.
func (x *Expressions) fault(c code, err error) {
	d := Diagnostic{Span: c.whole(), Code: "bad-expression", Message: err.Error()}
	var fe *file.Error
	if errors.As(err, &fe) {
		d.Span = c.span(fe.From, fe.To)
		d.Message = fe.Message
	}
	d.Message, d.Hint = explain(d.Message, c.text)
	x.report.Report(d)
}

// remedies maps what expr-lang says to what the author can do.
var remedies = []struct{ says, hint string }{
	{"cannot use", "convert with string(x), int(x) or float(x)"},
	{"mismatched types", "both sides need one kind: convert with string(x), int(x) or float(x)"},
	{"literal not terminated", "close the quote"},
	{"unexpected token EOF", "the expression ends too early"},
	{"unexpected token Operator(\"=\")", "compare with =="},
	{"unexpected token Operator(\"&\")", "write && or and"},
	{"unexpected token Operator(\"|\")", "write || or or"},
	{"unexpected token", "check the operators and commas around it"},
	{"unrecognized character", "remove it, or put text in quotes"},
	{"array elements can only be selected using an integer", "use a whole number as the index"},
	{"predicate should return boolean", "give a comparison, such as .price > 10"},
	{"has no field", ""},
}

func explain(message, text string) (string, string) {
	message = strings.TrimSuffix(message, ".")
	if strings.Contains(text, "?") && strings.Contains(message, "unexpected token EOF") {
		return message, "a condition has three parts: cond ? a : b; for absence write a ?? b"
	}
	for _, r := range remedies {
		if strings.Contains(message, r.says) {
			return strings.ReplaceAll(message, "interface {}", "any"), r.hint
		}
	}
	return strings.ReplaceAll(message, "interface {}", "any"), ""
}

// Fault is an expression that failed on the values of one request.
type Fault struct {
	Span    Span
	Message string
	Err     error // the cause that another package gave, or nil
}

func (f *Fault) Error() string { return f.Message }
func (f *Fault) Unwrap() error { return f.Err }

// machine is the state of one evaluation. Its address is the environment that
// expr's VM sees.
type machine struct {
	vm    vm.VM
	ctx   context.Context
	env   Env
	ticks int
	bytes int
}

var machines = sync.Pool{New: func() any { return new(machine) }}

// Span is the expression's place in its file.
func (e *Expr) Span() Span { return e.code.whole() }

// String is the expression as written.
func (e *Expr) String() string { return e.code.text }

// Constant reports whether the expression reads no names.
func (e *Expr) Constant() bool { return !e.reads }

// Eval gives the value of the expression: nil, bool, int, float64, Number,
// string, []any, map[string]any, or a time or duration. The caller must not
// change it. An error is a *Fault with the place that failed, or wraps the
// context's error if its deadline ended a loop.
func (e *Expr) Eval(ctx context.Context, env Env) (any, error) {
	if e.read != nil {
		v, err := e.read.Value(env)
		if err != nil {
			return nil, e.code.fault(err, e.code.whole())
		}
		if v == nil && e.orElse != nil {
			return e.orElse.Eval(ctx, env)
		}
		return v, nil
	}
	m := machines.Get().(*machine)
	m.ctx, m.env, m.ticks, m.bytes = ctx, env, 0, 0
	v, err := m.vm.Run(e.program, m)
	m.ctx, m.env = nil, nil
	machines.Put(m)
	if err != nil {
		return nil, e.runFault(err)
	}
	return plainList(v), nil
}

// plainList gives the lists that expr's ranges and functions make the one type
// that lists have everywhere else.
func plainList(v any) any {
	switch v := v.(type) {
	case []int:
		return anyList(v)
	case []string:
		return anyList(v)
	}
	return v
}

func anyList[T any](items []T) []any {
	list := make([]any, len(items))
	for i := range items {
		list[i] = items[i]
	}
	return list
}

// Bool evaluates a condition. Anything but a boolean is a *Fault: a missing
// value must be given a meaning with ??.
func (e *Expr) Bool(ctx context.Context, env Env) (bool, error) {
	v, err := e.Eval(ctx, env)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		message := "a condition is true or false; this one gave " + kindOf(v)
		if v == nil {
			message += " (write ?? to say what absence means)"
		}
		return false, &Fault{Span: e.code.whole(), Message: message}
	}
	return b, nil
}

// AppendJSON appends the value as JSON text: as it stands in the message it
// was read from where that can be, encoded otherwise.
func (e *Expr) AppendJSON(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	text, ok, err := e.JSON(env)
	if err != nil {
		return dst, err
	}
	if ok {
		return append(dst, text...), nil
	}
	v, err := e.Eval(ctx, env)
	if err != nil {
		return dst, err
	}
	dst, err = AppendJSON(dst, v)
	if err != nil {
		return dst, &Fault{Span: e.code.whole(), Message: err.Error(), Err: err}
	}
	return dst, nil
}

// AppendText appends the value as it stands inside text.
func (e *Expr) AppendText(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	v, err := e.Eval(ctx, env)
	if err != nil {
		return dst, err
	}
	dst, err = AppendText(dst, v)
	if err != nil {
		return dst, &Fault{Span: e.code.whole(), Message: err.Error(), Err: err}
	}
	return dst, nil
}

// JSON is the value as JSON text if that is at hand without encoding it.
func (e *Expr) JSON(env Env) (string, bool, error) {
	if e.read == nil {
		return "", false, nil
	}
	text, ok, err := e.read.JSON(env)
	if err != nil {
		return "", false, e.code.fault(err, e.code.whole())
	}
	if text == "null" && e.orElse != nil {
		return e.orElse.JSON(env)
	}
	return text, ok, nil
}

// fault gives err a place if it has none.
func (c code) fault(err error, at Span) error {
	var f *Fault
	if errors.As(err, &f) {
		return err
	}
	return &Fault{Span: at, Message: err.Error(), Err: err}
}

// runFault turns what the VM recovered into a Fault.
func (e *Expr) runFault(err error) error {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	var fe *file.Error
	if !errors.As(err, &fe) {
		return &Fault{Span: e.code.whole(), Message: err.Error(), Err: err}
	}
	f = &Fault{Span: e.code.span(fe.From, fe.To), Message: fe.Message, Err: fe.Prev}
	switch {
	case strings.HasPrefix(f.Message, "interface conversion"), strings.HasPrefix(f.Message, "runtime error"),
		strings.HasPrefix(f.Message, "reflect"):
		f.Message = "the values do not fit this operation"
	case strings.Contains(f.Message, "memory budget exceeded"):
		f.Message = "the expression makes too large a list"
	}
	f.Message = strings.NewReplacer("<nil>", "null", "[]interface {}", "a list", "map[string]interface {}", "an object", "float64", "number", "interface {}", "any").Replace(f.Message)
	return f
}

// tick is called once for each round of a loop.
func tick(env any) any {
	m := env.(*machine)
	if m.ticks++; m.ticks%ticksPerCheck == 0 {
		if err := m.ctx.Err(); err != nil {
			panic(fmt.Errorf("stopped in a loop: %w", context.Cause(m.ctx)))
		}
	}
	return nil
}

// charge counts what an operation made against the bound of one evaluation.
func charge(env, v any) any {
	m := env.(*machine)
	switch v := v.(type) {
	case string:
		m.bytes += len(v)
	case []any:
		m.bytes += 16 * len(v)
	case []string:
		m.bytes += 16 * len(v)
	}
	if m.bytes > maxExprBytes {
		panic(errTooLarge)
	}
	return v
}

func chargeText(env, v any) string {
	s, ok := v.(string)
	if !ok {
		panic(fmt.Errorf("expected text, got %s", kindOf(v)))
	}
	charge(env, v)
	return s
}

var errTooLarge = fmt.Errorf("the expression makes more than %d MiB of text", maxExprBytes>>20)

// member is v.key below a value that only the request shows.
func member(v any, key Key) (any, error) {
	switch v := v.(type) {
	case nil:
		if key.Optional {
			return nil, nil
		}
		return nil, &Fault{Span: key.Span, Message: "reads " + key.String() + " of null (write ?. if it may be absent)"}
	case map[string]any:
		if !key.IsIndex {
			return v[key.Name], nil
		}
	case []any:
		if key.IsIndex {
			i := key.Index
			if i < 0 {
				i += len(v)
			}
			if i < 0 || i >= len(v) {
				return nil, nil
			}
			return v[i], nil
		}
	case map[string]string:
		if !key.IsIndex {
			if s, ok := v[key.Name]; ok {
				return s, nil
			}
			return nil, nil
		}
	case map[any][]any:
		var k any = key.Name
		if key.IsIndex {
			k = key.Index
		}
		if items, ok := v[k]; ok {
			return items, nil
		}
		return nil, nil
	}
	return nil, &Fault{Span: key.Span, Message: kindOf(v) + " has no " + key.String()}
}

// Member reads one key of a decoded value by the rules of the language: a
// missing last field is null, going through null a *Fault.
func Member(v any, key Key) (any, error) { return member(v, key) }

// String names the key as faults do.
func (k Key) String() string {
	if k.IsIndex {
		return fmt.Sprintf("element %d", k.Index)
	}
	name := k.Name
	if utf8.RuneCountInString(name) > 40 {
		name = string([]rune(name)[:40]) + "…"
	}
	return fmt.Sprintf("field %q", name)
}

// Read gives the prepared look that the whole expression is, or nil.
func (e *Expr) Read() Read {
	if e.orElse != nil {
		return nil
	}
	return e.read
}
