package dsl

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
)

// The functions that expressions have beyond those of expr-lang, in one table
// for each topic. What a call is checked against, what hints say and what the
// reference shows all come from an entry's signature:
//
//	padStart(text text, length int, [fill text]) text
//
// is the name, each parameter with its kind, in brackets those that may be left
// out, and the kind of the result. Functions see untrusted values: what they
// make is bounded before it is made, and the work they do counts against the
// deadline.

// Function is one function of expressions, as the reference shows it.
type Function struct {
	Name     string
	Topic    string
	Native   bool   // it is expr-lang's
	Usage    string // how it is called
	Doc      string
	Examples []FunctionExample
}

// FunctionExample is an expression and its value as JSON.
type FunctionExample struct{ Expr, Result string }

// Functions lists all functions, each kind by topic: those of the library, and
// then those of expr-lang.
func Functions() []Function {
	var all []Function
	for _, t := range topics {
		for _, e := range t.functions {
			f := library[leadingName(e.signature)]
			all = append(all, Function{f.name, t.name, false, e.signature, e.doc, e.examples})
		}
	}
	return append(all, nativeFunctions()...)
}

// topic is a part of the library.
type topic struct {
	name      string
	functions []definition
}

// definition is one function as it is written in the table of its topic.
type definition struct {
	signature string
	doc       string
	run       func(c call) (any, error)
	examples  []FunctionExample
}

var topics = []topic{
	{"Times", timeFunctions},
	{"Text", textFunctions},
	{"Patterns", patternFunctions},
	{"Decimals", decimalFunctions},
	{"JSON", jsonFunctions},
	{"Lists and objects", listFunctions},
	{"Identifiers", idFunctions},
	{"Hashes", hashFunctions},
	{"Encodings", encodingFunctions},
}

// library has the functions of all topics by name.
var library = func() map[string]*libraryFunction {
	all := map[string]*libraryFunction{}
	for _, t := range topics {
		for _, e := range t.functions {
			f := newLibraryFunction(e)
			all[f.name] = f
		}
	}
	return all
}()

// libraryFunction is an entry with its signature taken apart.
type libraryFunction struct {
	name   string
	params []param
	least  int // how many arguments there must be
	result reflect.Type
	run    func(c call) (any, error)
}

type param struct {
	name string
	kind *paramKind
}

func newLibraryFunction(e definition) *libraryFunction {
	f := &libraryFunction{name: leadingName(e.signature), run: e.run}
	inside, result, _ := strings.Cut(strings.TrimPrefix(e.signature, f.name+"("), ")")
	for _, part := range strings.Split(inside, ", ") {
		if part == "" {
			break
		}
		name, kind, _ := strings.Cut(strings.Trim(part, "[]"), " ")
		f.params = append(f.params, param{name, paramKinds[kind]})
		if !strings.HasPrefix(part, "[") {
			f.least++
		}
	}
	f.result = resultTypes[strings.TrimSpace(result)]
	return f
}

// hint is how the function is called, for faults.
func (f *libraryFunction) hint() string {
	var names []string
	for _, p := range f.params {
		names = append(names, p.name)
	}
	usage := f.name + "(" + strings.Join(names[:f.least], ", ") + ")"
	if len(names) > f.least {
		usage += " or " + f.name + "(" + strings.Join(names, ", ") + ")"
	}
	return usage
}

// builtin is the function as expr-lang's checker sees it; call is what runs.
func (f *libraryFunction) builtin() *builtin.Function {
	return &builtin.Function{Name: f.name, Validate: f.validate, Func: func(args ...any) (any, error) {
		return nil, fmt.Errorf("%s was not made ready", f.name)
	}}
}

// validate judges the types of arguments, of which some are not known.
func (f *libraryFunction) validate(args []reflect.Type) (reflect.Type, error) {
	if n := len(args); n < f.least || n > len(f.params) {
		return nil, fmt.Errorf("invalid number of arguments for %s (expected %s, got %d)", f.name, f.arity(), n)
	}
	for i, arg := range args {
		if k := f.params[i].kind; !k.takes(arg) {
			return nil, fmt.Errorf("cannot use %v as argument (type %s) to call %s", arg, k.words, f.name)
		}
	}
	return f.result, nil
}

func (f *libraryFunction) arity() string {
	switch most := len(f.params); {
	case most == 0:
		return "no"
	case most == f.least:
		return fmt.Sprint(most)
	case most == f.least+1:
		return fmt.Sprintf("%d or %d", f.least, most)
	default:
		return fmt.Sprintf("%d to %d", f.least, most)
	}
}

// call is one call of a function: the machine, and the arguments as their kinds
// make them.
type call struct {
	*machine
	args []any
}

// argument is an argument that must be there, or is.
func argument[T any](c call, i int) T { return c.args[i].(T) }

// argumentOr is an argument that may be left out.
func argumentOr[T any](c call, i int, otherwise T) T {
	if i >= len(c.args) {
		return otherwise
	}
	return c.args[i].(T)
}

// call runs the function: in[0] is the machine.
func (f *libraryFunction) call(in ...any) any {
	c := call{in[0].(*machine), in[1:]} // the VM made the list for this call alone
	for i, v := range c.args {
		p := f.params[i]
		v, err := p.kind.value(v)
		if err != nil {
			panic(libraryError{fmt.Errorf("%s: %s %w", f.name, p.name, err)})
		}
		c.args[i] = v
		switch v := v.(type) {
		case string:
			c.work(len(v) >> 10)
		case []any:
			c.work(len(v) >> 4)
		}
	}
	v, err := f.run(c)
	if err != nil {
		panic(libraryError{fmt.Errorf("%s: %w", f.name, err)})
	}
	return v
}

// libraryError is that of one of our functions: what it says of values it says in
// quotes.
type libraryError struct{ error }

func (e libraryError) Unwrap() error { return e.error }

// ready makes ready the texts among the arguments of a call that stand for
// something else, such as a pattern or a layout: at run time they are used as
// they are, and what is wrong with them is known now.
func (r *resolver) ready(n *ast.CallNode, f *libraryFunction) {
	for i, arg := range n.Arguments {
		if i >= len(f.params) {
			return // the checker counts them
		}
		k := f.params[i].kind
		if _, null := arg.(*ast.NilNode); null && arg.Location() == (file.Location{}) {
			continue // it has a fault already
		}
		if t, known := typeOfLiteral(arg); known && !k.takes(t) {
			n.Arguments[i] = r.fail(arg.Location(), Diagnostic{Code: "bad-expression", Hint: "write " + f.hint(),
				Message: fmt.Sprintf("%s takes %s here, not %s", f.name, k.words, typeWords(fmt.Sprint(t)))})
			continue
		}
		if k.prepare == nil {
			continue
		}
		text, written := arg.(*ast.StringNode)
		if !written {
			if k.literal {
				n.Arguments[i] = r.fail(arg.Location(), patternElsewhere)
			}
			continue
		}
		v, err := k.prepare(text.Value)
		if err != nil {
			d := Diagnostic{Code: "bad-argument", Message: err.Error(), Hint: "write " + f.hint()}
			if e, ok := err.(*remedy); ok {
				d.Message, d.Hint = e.message, e.hint
			}
			d.SuggestWord(text.Value, k.among)
			n.Arguments[i] = r.fail(arg.Location(), d)
			continue
		}
		constant := &ast.ConstantNode{Value: v}
		constant.SetLocation(arg.Location())
		constant.SetType(reflect.TypeOf(v))
		n.Arguments[i] = constant
	}
}

// typeOfLiteral is the type of a value that is written; the type of null is nil.
func typeOfLiteral(n ast.Node) (t reflect.Type, known bool) {
	switch n.(type) {
	case *ast.NilNode:
		return nil, true
	case *ast.StringNode:
		return reflect.TypeFor[string](), true
	case *ast.IntegerNode:
		return reflect.TypeFor[int](), true
	case *ast.FloatNode:
		return reflect.TypeFor[float64](), true
	case *ast.BoolNode:
		return reflect.TypeFor[bool](), true
	case *ast.ArrayNode:
		return reflect.TypeFor[[]any](), true
	case *ast.MapNode:
		return reflect.TypeFor[map[string]any](), true
	}
	return nil, false
}

var patternElsewhere = Diagnostic{Code: "bad-expression", Message: "a pattern is text that is written here",
	Hint: "patterns from elsewhere could take any amount of time; compare with contains, startsWith or =="}

// library rewrites a call of one of our functions.
func (g *guard) library(n *ast.CallNode, f *libraryFunction) ast.Node {
	g.rewriteAll(n.Arguments, exact)
	loc := n.Location()
	args := slices.Insert(n.Arguments, 0, environment(loc))
	return g.charged(constCall(loc, f.call, f.result, args...), true)
}
