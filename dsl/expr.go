package dsl

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"unicode"

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
	maxExprLength   = 16 << 10 // bytes; expr's parser recurses
	maxExprNesting  = 100
	maxExprBytes    = MaxSize // text and lists one evaluation may make, in bytes
	maxFaultMessage = 200     // bytes of what expr says
	ticksPerCheck   = 64      // loop rounds between two looks at the deadline
)

// Expressions compiles expressions. It is not safe for concurrent use.
type Expressions struct {
	// OnRead, if set, is told what each expression reads: a name and the keys
	// below it that are constant, such as user.address.city.
	OnRead func(label string)
	// Index, if set, is told of each expression and of the names in it.
	Index Index
	// OnHeld, if set, is told of each expression whose value may hold a secret.
	OnHeld func(h *Held)

	report Reporter
	*toolchain
	// What is known of the values that expressions give, while the program is
	// compiled: nothing of it is needed after.
	types  map[*Expr]*StaticType
	leaves map[*Node]*Expr // of shapes: those that are one whole expression
	held   map[*Node][]HeldAt
}

// toolchain is what expr-lang needs to compile: tables of functions and a cache
// of types, which are worth keeping, and are used by one at a time.
type toolchain struct {
	config  *conf.Config
	checker checker.Checker
}

var toolchains = sync.Pool{New: func() any {
	config := conf.CreateNew()
	config.WithEnv(types.Map{}) // resolve leaves no names behind
	for _, f := range functions {
		config.Functions[f.Name] = f
	}
	return &toolchain{config: config}
}}

// NewExpressions reports faults to r. Close gives back what it works with.
func NewExpressions(r Reporter) *Expressions {
	return &Expressions{report: r, toolchain: toolchains.Get().(*toolchain), types: map[*Expr]*StaticType{}, leaves: map[*Node]*Expr{}, held: map[*Node][]HeldAt{}}
}

// Close ends the use of x.
func (x *Expressions) Close() {
	toolchains.Put(x.toolchain)
	x.toolchain = nil
}

// Expr is a compiled expression: immutable and safe for concurrent use.
type Expr struct {
	code    code
	program *vm.Program
	read    Read  // set if the whole expression is a Read, or Read ?? orElse
	orElse  *Expr // what a null Read gives way to
	reads   bool  // whether any name is read at all
	static  reflect.Kind

	discreet bool // it sees a secret: its faults quote no values
}

// code is the text of an expression and its place: Text[start:start+len(text)]
// of a scalar. It outlives the node that the scalar is read from.
type code struct {
	origin origin
	start  int
	text   string
}

func codeOf(n *Node, from, to int) code { return code{n.origin(), from, n.Text[from:to]} }

// span is the place of text[from:to]; offsets count runes, as expr's do.
func (c code) span(from, to int) Span {
	i := runeOffset(c.text, from)
	j := max(runeOffset(c.text, to), min(i+1, len(c.text)))
	return c.at(i, j)
}

// at is the place of text[i:j], in bytes.
func (c code) at(i, j int) Span { return c.origin.at(c.start+i, c.start+min(j, len(c.text))) }

func (c code) whole() Span { return c.at(0, len(c.text)) }

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
	if n.broken {
		return nil
	}
	if n.Kind != Scalar {
		x.report.Report(Diagnostic{Span: n.head(), Code: "wrong-type", Message: "an expression is text, not " + n.found(), Hint: remedyFor(n, formCond)})
		return nil
	}
	return x.CompilePart(n, 0, len(n.Text), scope)
}

func (x *Expressions) compile(c code, scope Scope) *Expr {
	if x.Index != nil {
		x.Index.Expression(c.whole(), scope)
	}
	if !x.fits(c) || x.nested(c) {
		return nil
	}
	tree, err := parser.ParseWithConfig(c.text, x.config)
	if err != nil {
		x.fault(c, err)
		return nil
	}
	r := resolver{code: c, scope: scope, report: x.report, functions: x.config.Functions, onRead: x.OnRead, index: x.Index}
	tree.Node = r.resolve(tree.Node)
	if r.failed {
		return nil
	}
	if _, ok := r.reads[tree.Node]; !ok {
		if _, err := x.checker.Check(tree, x.config); err != nil {
			x.fault(c, err)
			return nil
		}
	}
	t := typer{code: c, report: x.report, functions: x.config.Functions, known: r.known}
	static := t.visit(tree.Node)
	if t.failed {
		return nil
	}
	e := x.finish(c, tree, &r)
	if e != nil {
		x.types[e] = static
		for part := e; part != nil; part = part.orElse {
			part.discreet = t.secrets
		}
	}
	return e
}

// finish compiles a resolved and checked tree.
func (x *Expressions) finish(c code, tree *parser.Tree, r *resolver) *Expr {
	if read, ok := r.reads[tree.Node]; ok {
		return &Expr{code: c, read: read, reads: true, static: tree.Node.Type().Kind()}
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
	if g.fault != nil {
		x.report.Report(*g.fault)
		return nil
	}
	if _, err := x.checker.Check(tree, x.config); err != nil {
		x.fault(c, err)
		return nil
	}
	if err := optimizer.Optimize(&tree.Node, x.config); err != nil {
		x.fault(c, err)
		return nil
	}
	// A program keeps the tree that it was compiled from, which is most of its
	// size, and never looks at it again: it gets a root that can be emptied.
	root := &ast.SequenceNode{Nodes: []ast.Node{tree.Node}}
	tree.Node = root
	program, err := compiler.Compile(tree, x.config)
	if err != nil {
		x.fault(c, err)
		return nil
	}
	root.Nodes = nil
	return &Expr{code: c, program: program, reads: len(r.reads) > 0, static: static}
}

// Condition compiles a bare expression that must give true or false. What is
// certain to give something else is a fault.
func (x *Expressions) Condition(n *Node, scope Scope) *Expr {
	e := x.Compile(n, scope)
	if e == nil || (e.static == reflect.Interface || e.static == reflect.Bool) && x.types[e].can(IsBool) {
		x.settled(n, e)
		return e
	}
	what := staticName(e.static)
	if t := x.types[e]; t != nil {
		what = t.Kinds.String()
	}
	x.report.Report(Diagnostic{Span: n.Span, Code: "not-a-condition", Message: "a condition is true or false; this is always " + what,
		Hint: "compare it with something, such as " + e.String() + " == ..."})
	return nil
}

// settled warns of a condition that nothing can change: it reads no name, and
// calls no function, some of which give something else each time.
func (x *Expressions) settled(n *Node, e *Expr) {
	if e == nil || e.reads || callIn.MatchString(e.code.text) {
		return
	}
	if always, err := e.Bool(context.Background(), nil); err == nil {
		hint := "remove it"
		if !always {
			hint = "remove what it is for, or read something that can be true"
		}
		x.report.Report(Diagnostic{Span: n.Span, Severity: Warning, Code: "constant-condition", Message: fmt.Sprintf("this condition is always %t", always), Hint: hint})
	}
}

var callIn = regexp.MustCompile(`\w\s*\(`)

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

// nested reports $( inside an expression, where it has no place and no need.
func (x *Expressions) nested(c code) bool {
	for i := 0; i < len(c.text); i++ {
		switch c.text[i] {
		case '"', '\'', '`':
			i = skipQuoted(c.text, i)
		case '$':
			if !strings.HasPrefix(c.text[i:], "$(") {
				continue
			}
			d := Diagnostic{Span: c.at(i, i+2), Code: "expression-in-expression",
				Message: "this is inside an expression already", Hint: "leave out $( and its )"}
			if c.start == 0 && strings.TrimSpace(c.text[:i]) == "" {
				d.Message = "this key takes a bare expression"
			}
			if end := closing(c.text, i+1); end > 0 {
				d.Span = c.at(i, end+1)
				d.Hint = "write it without $( ): " + strings.TrimSpace(c.text[i+2:end])
				c.unwrap(&d, i, end)
			}
			x.report.Report(d)
			return true
		}
	}
	return false
}

// unwrap takes the $( at i and its ) at end out of the text. What follows keeps
// the parentheses unless it begins with a name: without them it could be bound
// otherwise, or mean something to YAML.
func (c code) unwrap(d *Diagnostic, i, end int) {
	open, shut := c.at(i, i+2), c.at(end, end+1)
	if open.Text() != "$(" || shut.Text() != ")" {
		return
	}
	inner := c.text[i+2 : end]
	if whole := strings.TrimSpace(c.text[:i]+c.text[end+1:]) == ""; valuePath.MatchString(inner) || whole && inner != "" && (inner[0] == '_' || unicode.IsLetter(rune(inner[0]))) {
		d.Mend("leave out $( and its )", Edit{open, ""}, Edit{shut, ""})
	} else {
		d.Mend("leave out $", Edit{Span{open.Source, open.Start, open.Start + 1}, ""})
	}
}

// fits keeps hostile sources from expr's recursive parser, which no limit of
// its own protects from deep nesting.
func (x *Expressions) fits(c code) bool {
	if strings.TrimSpace(c.text) == "" {
		x.report.Report(Diagnostic{Span: c.whole(), Code: "empty-expression", Message: "the expression is empty", Hint: "write one, such as params.id"})
		return false
	}
	if len(c.text) > maxExprLength {
		x.report.Report(Diagnostic{Span: c.whole(), Code: "expression-too-long",
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
		case '/':
			i = skipComment(c.text, i)
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
			x.report.Report(Diagnostic{Span: c.at(i, i+1), Code: "expression-too-deep",
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

// skipComment gives the last index of the comment that starts at i, or i.
func skipComment(s string, i int) int {
	end := ""
	switch {
	case strings.HasPrefix(s[i:], "//"):
		end = "\n"
	case strings.HasPrefix(s[i:], "/*"):
		end = "*/"
	default:
		return i
	}
	if n := strings.Index(s[i+2:], end); n >= 0 {
		return i + 2 + n + len(end) - 1
	}
	return len(s) - 1
}

// fault reports what expr says about c, in our words and with our place.
func (x *Expressions) fault(c code, err error) {
	d := Diagnostic{Span: c.whole(), Code: "bad-expression"}
	says, about := err.Error(), words{whole: c.text}
	var fe *file.Error
	if errors.As(err, &fe) {
		says = fe.Message
		d.Span = c.span(fe.From, fe.To)
		from := runeOffset(c.text, fe.From)
		about.before, about.at = c.text[:from], c.text[from:]
		// The place of a number that is too large is what stands behind it.
		if number := strings.TrimRight(about.before, " "); strings.Contains(says, " literal") && number != "" && !strings.HasPrefix(about.at, number) {
			start := strings.LastIndexAny(number, " ()[]{},+-*/%<>=!&|?:") + 1
			end := len(number) + digits(c.text[len(number):], 0)
			d.Span = c.at(start, end)
		}
	}
	d.Message, d.Hint = inOurWords(says, about)
	x.report.Report(d)
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

// StaticType is what is known of the values that an expression gives, or nil.
func (x *Expressions) StaticType(e *Expr) *StaticType { return x.types[e] }

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
			return nil, e.told(e.code.fault(err, e.code.whole()))
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
		return nil, e.told(e.runFault(err))
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
		return dst, e.told(&Fault{Span: e.code.whole(), Message: err.Error(), Err: err})
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
		return dst, e.told(&Fault{Span: e.code.whole(), Message: err.Error(), Err: err})
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
	if e.orElse != nil && strings.Trim(text, jsonSpace) == "null" {
		return e.orElse.JSON(env)
	}
	return text, ok, nil
}

// told is a failure as others may know of it.
func (e *Expr) told(err error) error {
	var f *Fault
	if !e.discreet || !errors.As(err, &f) {
		return err
	}
	out := *f
	out.Message = quotation.ReplaceAllString(f.Message, `"…"`)
	return &out
}

// quotation is what messages have of values.
var quotation = regexp.MustCompile(`"(?:[^"\\]|\\.)*"…?|'(?:[^'\\]|\\.)*'`)

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
	f.Message, _ = inOurWords(f.Message, words{whole: e.code.text, at: f.Span.Text()})
	if e.discreet && !errors.As(err, new(libraryError)) {
		f.Message = "this fails on the value of a secret"
	}
	if len(f.Message) > maxFaultMessage { // it may quote what a caller sent
		f.Message = strings.ToValidUTF8(f.Message[:maxFaultMessage], "") + "…"
	}
	return f
}

// Read gives the prepared look that the whole expression is, or nil.
func (e *Expr) Read() Read {
	if e.orElse != nil {
		return nil
	}
	return e.read
}
