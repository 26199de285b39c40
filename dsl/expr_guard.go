package dsl

import (
	"fmt"
	"reflect"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
)

// guard rewrites a resolved and checked tree so that it is exact and safe on
// values that only the request shows.
type guard struct {
	code  code
	reads map[ast.Node]Read
	fault *Diagnostic
}

// want says what the consumer of a value can take.
type want bool

const (
	exact   want = false // a Number may pass
	numeric want = true  // something computes or compares: Numbers become floats
)

// passing are the built-in functions whose arguments come back unchanged or
// are only looked into; all others compute.
var passing = map[string]bool{
	"all": true, "none": true, "any": true, "one": true, "filter": true, "map": true, "count": true,
	"find": true, "findIndex": true, "findLast": true, "findLastIndex": true,
	"groupBy": true, "sortBy": true, "reduce": true, "sum": true,
	"len": true, "first": true, "last": true, "get": true, "take": true, "reverse": true, "concat": true,
	"flatten": true, "fromPairs": true, "toPairs": true, "values": true, "keys": true, "toJSON": true, "string": true,
	"uniq": true, "int": true,
}

// making are the functions whose result is new text or a new list.
var making = map[string]bool{
	"join": true, "replace": true, "repeat": true, "toJSON": true, "fromJSON": true, "toBase64": true, "fromBase64": true,
	"string": true, "upper": true, "lower": true, "split": true, "splitAfter": true, "concat": true, "flatten": true,
	"sort": true, "reverse": true, "uniq": true, "keys": true, "values": true, "toPairs": true, "fromPairs": true, "groupBy": true,
}

// looking are the functions that would take a Number, which is text to Go, for
// text or a list.
var looking = map[string]func(any) any{
	"len": exactTop, "first": notText, "last": notText, "get": notText,
}

// notText keeps bytes of text from being taken for elements.
func notText(v any) any {
	switch v.(type) {
	case string, Number:
		panic(fmt.Errorf("a list is needed here, not %s", kindOf(v)))
	}
	return v
}

func (g *guard) rewriteAll(nodes []ast.Node, w want) {
	for i := range nodes {
		nodes[i] = g.rewrite(nodes[i], w)
	}
}

func (g *guard) rewrite(n ast.Node, w want) ast.Node {
	unknown := mayHoldNumber(n)
	switch n := n.(type) {
	case *ast.MemberNode:
		out := g.member(n)
		return g.wanted(out, w, unknown)
	case *ast.ChainNode:
		n.Node = g.rewrite(n.Node, exact)
		return g.wanted(n, w, unknown)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			unknown := isUnknown(n.Node)
			if n.Node = g.rewrite(n.Node, numeric); unknown && n.Operator == "-" {
				return constCall(n.Location(), negate, anyType, n.Node)
			}
		} else {
			n.Node = g.rewrite(n.Node, exact)
		}
	case *ast.BinaryNode:
		return g.binary(n, w)
	case *ast.SliceNode:
		sliced := isUnknown(n.Node)
		if n.Node = g.rewrite(n.Node, exact); sliced {
			n.Node = constCall(n.Node.Location(), exactTop, anyType, n.Node)
		}
		if n.From != nil {
			n.From = g.rewrite(n.From, numeric)
		}
		if n.To != nil {
			n.To = g.rewrite(n.To, numeric)
		}
		return g.wanted(n, w, unknown)
	case *ast.CallNode:
		if _, ok := g.reads[n]; ok {
			return g.wanted(n, w, unknown)
		}
		name := ""
		switch callee := n.Callee.(type) {
		case *ast.IdentifierNode:
			name = callee.Value
		case *ast.MemberNode:
			if method, ok := callee.Property.(*ast.StringNode); ok && isUnknown(callee.Node) {
				g.fault = g.method(callee, method.Value)
			}
			callee.Node = g.rewrite(callee.Node, exact)
		}
		if f := library[name]; f != nil {
			return g.wanted(g.library(n, f), w, unknown)
		}
		g.rewriteAll(n.Arguments, want(!passing[name]))
		return g.wanted(g.charged(n, making[name] || name == ""), w, unknown)
	case *ast.BuiltinNode:
		g.builtin(n)
		if n.Name == "sum" {
			return g.sum(n)
		}
		return g.wanted(g.charged(n, making[n.Name]), w, unknown)
	case *ast.VariableDeclaratorNode:
		n.Value, n.Expr = g.rewrite(n.Value, exact), g.rewrite(n.Expr, w)
	case *ast.SequenceNode:
		for i := range n.Nodes {
			n.Nodes[i] = g.rewrite(n.Nodes[i], want(w && i == len(n.Nodes)-1))
		}
	case *ast.ConditionalNode:
		n.Cond, n.Exp1, n.Exp2 = g.rewrite(n.Cond, exact), g.rewrite(n.Exp1, w), g.rewrite(n.Exp2, w)
	case *ast.ArrayNode:
		g.rewriteAll(n.Nodes, w)
	case *ast.MapNode:
		g.rewriteAll(n.Pairs, w)
	case *ast.PairNode:
		n.Key, n.Value = g.rewrite(n.Key, numeric), g.rewrite(n.Value, w)
	case *ast.IdentifierNode, *ast.PointerNode:
		return g.wanted(n, w, unknown)
	}
	return n
}

// method is the fault of body.name.toUpper(): only times and durations have
// functions of their own.
func (g *guard) method(callee *ast.MemberNode, name string) *Diagnostic {
	loc := callee.Property.Location()
	d := &Diagnostic{Span: g.code.span(loc.From, loc.To), Code: "unknown-function", Message: "a value of a message has no functions of its own",
		Hint: "write the function around the value, as in upper(x)"}
	if near, ok := nearestFunction(name, builtin.Names); ok {
		d.Hint = "write " + usageOf()[near]
	}
	return d
}

// wanted turns Numbers into floats where the consumer computes.
func (g *guard) wanted(n ast.Node, w want, unknown bool) ast.Node {
	if w == exact || !unknown {
		return n
	}
	if id, ok := n.(*ast.IdentifierNode); ok && id.Value == "$env" {
		return n
	}
	return constCall(n.Location(), plain, anyType, n)
}

func (g *guard) binary(n *ast.BinaryNode, w want) ast.Node {
	switch n.Operator {
	case "??":
		n.Left, n.Right = g.rewrite(n.Left, w), g.rewrite(n.Right, w)
		return n
	case "and", "&&", "or", "||":
		n.Left, n.Right = g.rewrite(n.Left, exact), g.rewrite(n.Right, exact)
		return n
	}
	left, right := mayHoldNumber(n.Left), mayHoldNumber(n.Right)
	loc := n.Location()
	switch compare := comparisons[n.Operator]; {
	case compare != nil && (left || right):
		n.Left, n.Right = g.rewrite(n.Left, exact), g.list(n.Right)
		return constCall(loc, compare, reflect.TypeFor[bool](), n.Left, n.Right)
	case n.Operator == "..":
		n.Left, n.Right = g.rewrite(n.Left, numeric), g.rewrite(n.Right, numeric)
		return constCall(loc, func(v any) []any { return anyList(v.([]int)) }, reflect.TypeFor[[]any](), n)
	}
	n.Left, n.Right = g.rewrite(n.Left, numeric), g.rewrite(n.Right, numeric)
	if compute := arithmetic[n.Operator]; compute != nil && (left || right || isInt(n)) {
		return g.charged(constCall(loc, compute, anyType, n.Left, n.Right), n.Operator == "+" && !isInt(n))
	}
	return g.charged(n, n.Operator == "+")
}

var comparisons = map[string]func(a, b any) bool{"==": equal, "!=": notEqual, "in": in}

var arithmetic = map[string]func(a, b any) any{"+": add, "-": subtract, "*": multiply}

// list rewrites the right side of a comparison. A list of constants is made
// once.
func (g *guard) list(n ast.Node) ast.Node {
	n = g.rewrite(n, exact)
	a, ok := n.(*ast.ArrayNode)
	if !ok {
		return n
	}
	list := make([]any, len(a.Nodes))
	for i, item := range a.Nodes {
		switch item := item.(type) {
		case *ast.StringNode:
			list[i] = item.Value
		case *ast.IntegerNode:
			list[i] = item.Value
		default:
			return n
		}
	}
	constant := &ast.ConstantNode{Value: list}
	constant.SetLocation(n.Location())
	constant.SetType(reflect.TypeFor[[]any]())
	return constant
}

// charged counts what a node makes, unless it can only make numbers.
func (g *guard) charged(n ast.Node, makes bool) ast.Node {
	if !makes {
		return n
	}
	loc := n.Location()
	switch t := n.Type(); t.Kind() {
	case reflect.String:
		return constCall(loc, chargeText, reflect.TypeFor[string](), environment(loc), n)
	case reflect.Interface, reflect.Map:
		return constCall(loc, charge, anyType, environment(loc), n)
	case reflect.Slice:
		return constCall(loc, chargeList, reflect.TypeFor[[]any](), environment(loc), n)
	}
	return n
}

// sum adds exactly what a list holds, or what a predicate makes of it.
func (g *guard) sum(n *ast.BuiltinNode) ast.Node {
	list := n.Arguments[0]
	if len(n.Arguments) > 1 {
		n.Name = "map"
		n.SetType(reflect.TypeFor[[]any]())
		list = n
	}
	return constCall(n.Location(), sum, anyType, list)
}

// builtin rewrites the arguments of a function that expr compiles itself.
func (g *guard) builtin(n *ast.BuiltinNode) {
	// The keys that are ordered or added up are what the predicate gives.
	computes := n.Name == "sum" || n.Name == "sortBy"
	for i, arg := range n.Arguments {
		p, ok := arg.(*ast.PredicateNode)
		if !ok {
			w := want(!passing[n.Name])
			if n.Name == "sum" && len(n.Arguments) == 1 {
				w = numeric
			}
			look := looking[n.Name]
			if !isUnknown(arg) || i > 0 {
				look = nil
			}
			n.Arguments[i] = g.rewrite(arg, w)
			if look != nil {
				n.Arguments[i] = constCall(arg.Location(), look, anyType, n.Arguments[i])
			}
			continue
		}
		nature := *p.Node.Nature()
		loc := p.Node.Location()
		value := g.rewrite(p.Node, want(computes))
		if n.Name == "groupBy" {
			value = constCall(loc, groupKey, anyType, value)
		}
		body := &ast.SequenceNode{Nodes: []ast.Node{constCall(loc, tick, anyType, environment(loc)), value}}
		body.SetLocation(loc)
		body.SetNature(nature)
		p.Node = body
	}
}

// member rewrites v.key where v is known at run time only.
func (g *guard) member(n *ast.MemberNode) ast.Node {
	base := n.Node
	dynamic := mayHoldNumber(base)
	optional := n.Optional || optionalBelow(base)
	n.Node = g.rewrite(base, exact)
	if _, constant := n.Property.(*ast.StringNode); !constant {
		n.Property = g.rewrite(n.Property, numeric)
	}
	if !dynamic || n.Method {
		return n
	}
	loc := n.Property.Location()
	key := Key{Optional: optional, Span: g.code.span(loc.From, loc.To)}
	switch p := n.Property.(type) {
	case *ast.StringNode:
		key.Name = p.Value
		return constCall(loc, func(v any) any { return mustMember(v, key) }, anyType, n.Node)
	case *ast.IntegerNode:
		key.Index, key.IsIndex = p.Value, true
		return constCall(loc, func(v any) any { return mustMember(v, key) }, anyType, n.Node)
	}
	get := func(v, k any) any {
		key := key
		switch k := k.(type) {
		case string:
			key.Name = k
		case int:
			key.Index, key.IsIndex = k, true
		case float64:
			if k != float64(int(k)) {
				panic(&Fault{Span: key.Span, Message: "an index is a whole number"})
			}
			key.Index, key.IsIndex = int(k), true
		default:
			panic(&Fault{Span: key.Span, Message: "a key is text or a whole number, not " + kindOf(k)})
		}
		return mustMember(v, key)
	}
	return constCall(loc, get, anyType, n.Node, n.Property)
}

func mustMember(v any, key Key) any {
	got, err := member(v, key)
	if err != nil {
		panic(err)
	}
	return got
}

// optionalBelow reports whether a ?. stands further down the chain: then a
// null there makes the whole chain null.
func optionalBelow(n ast.Node) bool {
	for {
		switch m := n.(type) {
		case *ast.ChainNode:
			n = m.Node
		case *ast.MemberNode:
			if m.Optional {
				return true
			}
			n = m.Node
		default:
			return false
		}
	}
}

func isInt(n ast.Node) bool { return n.Type().Kind() == reflect.Int }

func isUnknown(n ast.Node) bool { return n.Type().Kind() == reflect.Interface }

// mayHoldNumber reports whether the value of n can be or contain a Number.
func mayHoldNumber(n ast.Node) bool {
	switch n.Type().Kind() {
	case reflect.Interface, reflect.Slice, reflect.Map:
		return true
	}
	return false
}
