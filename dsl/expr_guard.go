package dsl

import (
	"reflect"

	"github.com/expr-lang/expr/ast"
)

// guard rewrites a resolved and checked tree so that it is exact and safe on
// values that only the request shows.
type guard struct {
	code  code
	reads map[ast.Node]Read
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
}

// making are the functions whose result can be larger than what they got.
var making = map[string]bool{
	"join": true, "replace": true, "repeat": true, "toJSON": true, "toBase64": true, "string": true,
	"upper": true, "lower": true, "split": true, "splitAfter": true, "concat": true, "flatten": true,
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
			n.Node = g.rewrite(n.Node, numeric)
		} else {
			n.Node = g.rewrite(n.Node, exact)
		}
	case *ast.BinaryNode:
		return g.binary(n, w)
	case *ast.SliceNode:
		n.Node = g.rewrite(n.Node, exact)
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
			callee.Node = g.rewrite(callee.Node, exact)
		}
		g.rewriteAll(n.Arguments, want(!passing[name]))
		return g.wanted(g.charged(n, making[name]), w, unknown)
	case *ast.BuiltinNode:
		g.builtin(n)
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
	n.Left, n.Right = g.rewrite(n.Left, numeric), g.rewrite(n.Right, numeric)
	return g.charged(n, n.Operator == "+")
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
	case reflect.Interface:
		return constCall(loc, charge, anyType, environment(loc), n)
	}
	return n
}

// builtin rewrites the arguments of a function that expr compiles itself.
func (g *guard) builtin(n *ast.BuiltinNode) {
	// The keys that are compared or added up are what the predicate gives.
	computes := n.Name == "sum" || n.Name == "sortBy" || n.Name == "groupBy"
	for i, arg := range n.Arguments {
		p, ok := arg.(*ast.PredicateNode)
		if !ok {
			w := want(!passing[n.Name])
			if n.Name == "sum" && len(n.Arguments) == 1 {
				w = numeric
			}
			n.Arguments[i] = g.rewrite(arg, w)
			continue
		}
		nature := *p.Node.Nature()
		loc := p.Node.Location()
		body := &ast.SequenceNode{Nodes: []ast.Node{
			constCall(loc, tick, anyType, environment(loc)),
			g.rewrite(p.Node, want(computes)),
		}}
		body.SetLocation(loc)
		body.SetNature(nature)
		p.Node = body
	}
}

// member rewrites v.key where v is known at run time only.
func (g *guard) member(n *ast.MemberNode) ast.Node {
	base := n.Node
	dynamic := isUnknown(base) || base.Type().Kind() == reflect.Map
	n.Node = g.rewrite(base, exact)
	if _, constant := n.Property.(*ast.StringNode); !constant {
		n.Property = g.rewrite(n.Property, numeric)
	}
	if !dynamic || n.Method {
		return n
	}
	loc := n.Property.Location()
	key := Key{Optional: n.Optional || optionalBelow(base), Span: g.code.span(loc.From, loc.To)}
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
		m, ok := n.(*ast.MemberNode)
		if !ok {
			return false
		}
		if m.Optional {
			return true
		}
		n = m.Node
	}
}

func isUnknown(n ast.Node) bool { return n.Type().Kind() == reflect.Interface }

// mayHoldNumber reports whether the value of n can be or contain a Number.
func mayHoldNumber(n ast.Node) bool {
	switch n.Type().Kind() {
	case reflect.Interface, reflect.Slice, reflect.Map:
		return true
	}
	return false
}
