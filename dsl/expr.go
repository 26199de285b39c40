package dsl

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"

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

// Span is the expression's place in its file.
func (e *Expr) Span() Span { return e.code.whole() }

// String is the expression as written.
func (e *Expr) String() string { return e.code.text }

// StaticType is what is known of the values that an expression gives, or nil.
func (x *Expressions) StaticType(e *Expr) *StaticType { return x.types[e] }

// Constant reports whether the expression reads no names.
func (e *Expr) Constant() bool { return !e.reads }

// Read gives the prepared look that the whole expression is, or nil.
func (e *Expr) Read() Read {
	if e.orElse != nil {
		return nil
	}
	return e.read
}
