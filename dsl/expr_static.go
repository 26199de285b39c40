package dsl

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
)

// The types of schemas are checked by a pass of our own, and not by giving them
// to expr-lang's checker: from what that is told its compiler chooses
// instructions that fail on anything else, and a backend is free to answer with
// something else. So types find faults when a program is loaded and change
// nothing of how it runs.

// typer finds the type of an expression, and what in it cannot be meant. What
// is not known can be anything, and so is no fault.
type typer struct {
	code      code
	report    Reporter
	functions conf.FunctionsTable
	known     map[ast.Node]known
	elements  []element
	variables []variable
	held      *Held // of the parts of the node at hand
	secrets   bool  // some part of the expression holds one
	failed    bool
}

// known is what the resolver knows of a Read.
type known struct {
	static *StaticType
	label  string
}

// element is what # stands for.
type element struct {
	static *StaticType
	label  string
}

type variable struct {
	name   string
	static *StaticType
}

func (t *typer) fault(loc file.Location, d Diagnostic) {
	t.failed = t.failed || d.Severity == Error
	d.Span = t.code.span(loc.From, loc.To)
	t.report.Report(d)
}

func (t *typer) all(nodes []ast.Node) {
	for _, n := range nodes {
		t.visit(n)
	}
}

// visit gives the type of n, or nil if it is not known. What a part of n holds n
// holds, too, unless its type says exactly what it is made of.
func (t *typer) visit(n ast.Node) *StaticType {
	outer := t.held
	t.held = nil
	s := t.typeOf(n).Holding(t.held)
	t.secrets = t.secrets || s.Held() != nil
	t.held = firstHeld(outer, s.Held())
	return s
}

// exactly is a type that says itself what a value holds.
func (t *typer) exactly(s *StaticType) *StaticType {
	t.held = nil
	return s
}

func (t *typer) typeOf(n ast.Node) *StaticType {
	switch n := n.(type) {
	case *ast.NilNode:
		return Static(IsNull)
	case *ast.BoolNode:
		return Static(IsBool)
	case *ast.IntegerNode:
		return Static(IsInt)
	case *ast.FloatNode:
		return Static(IsFloat)
	case *ast.StringNode:
		return Static(IsText)
	case *ast.IdentifierNode:
		for i := len(t.variables) - 1; i >= 0; i-- {
			if t.variables[i].name == n.Value {
				return t.variables[i].static
			}
		}
	case *ast.PointerNode:
		switch {
		case n.Name == "index":
			return Static(IsInt)
		case n.Name == "" && len(t.elements) > 0:
			return t.elements[len(t.elements)-1].static
		}
	case *ast.ChainNode:
		return t.exactly(t.visit(n.Node))
	case *ast.MemberNode:
		return t.member(n)
	case *ast.SliceNode:
		sliced := t.visit(n.Node)
		for _, bound := range []ast.Node{n.From, n.To} {
			if bound != nil {
				t.visit(bound)
			}
		}
		if !sliced.can(IsList | IsText) {
			t.fault(n.Node.Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("[from:to] takes a part of a list or text, not of %s", sliced.Kinds), Hint: "write " + t.label(n.Node)})
			return nil
		}
		return loose(sliced)
	case *ast.UnaryNode:
		return t.unary(n)
	case *ast.BinaryNode:
		return t.binary(n)
	case *ast.ConditionalNode:
		t.condition(n.Cond, "what stands before ?")
		return t.exactly(Join(t.visit(n.Exp1), t.visit(n.Exp2)))
	case *ast.VariableDeclaratorNode:
		t.variables = append(t.variables, variable{n.Name, t.visit(n.Value)})
		defer func() { t.variables = t.variables[:len(t.variables)-1] }()
		return t.exactly(t.visit(n.Expr))
	case *ast.SequenceNode:
		var last *StaticType
		for _, n := range n.Nodes {
			last = t.visit(n)
		}
		return t.exactly(last)
	case *ast.ArrayNode:
		elem := nothing
		for _, item := range n.Nodes {
			elem = Join(elem, t.visit(item))
		}
		return t.exactly(ListOf(elem))
	case *ast.MapNode:
		return t.object(n)
	case *ast.PredicateNode:
		return t.exactly(t.visit(n.Node))
	case *ast.BuiltinNode:
		return t.builtin(n)
	case *ast.CallNode:
		return t.call(n)
	}
	return nil
}

// loose is the type of text that is made of text of the type.
func loose(s *StaticType) *StaticType {
	if s == nil || s.Values == nil {
		return s
	}
	out := *s
	out.Values = nil
	return &out
}

func (t *typer) object(n *ast.MapNode) *StaticType {
	out := &StaticType{Kinds: IsObject, Fields: map[string]StaticField{}}
	for _, p := range n.Pairs {
		pair, ok := p.(*ast.PairNode)
		if !ok {
			return Static(IsObject)
		}
		value := t.visit(pair.Value)
		if key, ok := pair.Key.(*ast.StringNode); ok {
			out.Fields[key.Value] = StaticField{Type: value, Required: true}
			out.Holds = firstHeld(out.Holds, value.Held())
		} else {
			t.visit(pair.Key)
			out.Open, out.throughout = true, true
		}
	}
	if out.throughout { // a secret can be a key, or the value of any
		return out
	}
	return t.exactly(out)
}

func (t *typer) member(n *ast.MemberNode) *StaticType {
	base := t.visit(n.Node)
	key := Key{}
	switch p := n.Property.(type) {
	case *ast.StringNode:
		key.Name = p.Value
	case *ast.IntegerNode:
		key.Index, key.IsIndex = p.Value, true
	default:
		index := t.visit(n.Property)
		switch {
		case base == nil || index == nil:
			return nil
		case index.can(IsNumber) && base.can(IsList):
			return base.Element()
		case index.can(IsText) && base.can(IsObject):
			return nil
		case !base.can(IsList | IsObject), base.Kinds&IsObject == 0, base.Kinds&IsList == 0:
			t.fault(n.Property.Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("%s is %s and is not read by %s", t.label(n.Node), base.Kinds, index.Kinds),
				Hint: "a list is read by a number, as in list[0], an object by a name, as in x[\"name\"]"})
		}
		return nil
	}
	if n.Method {
		return nil
	}
	t.held = nil // the member says what it holds
	t.absent(n.Node, base, n.Property.Location(), n.Optional)
	out, d := base.member(key, t.label(n.Node))
	if d != nil {
		t.fault(n.Property.Location(), *d)
		return nil
	}
	if n.Optional && base.can(IsNull) {
		return out.OrNull()
	}
	return out
}

// absent notes that a value is used that a schema says may be missing.
func (t *typer) absent(n ast.Node, s *StaticType, loc file.Location, expected bool) {
	if expected || s == nil || s.Kinds&IsNull == 0 || s.Kinds == IsNull || optionalBelow(n) {
		return
	}
	t.fault(loc, mayBeAbsent(t.label(n)))
}

func mayBeAbsent(label string) Diagnostic {
	return Diagnostic{Severity: Note, Code: "may-be-absent", Message: label + " may be null or absent", Hint: "write ?? or ?. to say what absence means"}
}

// label is how messages call the value of n.
func (t *typer) label(n ast.Node) string {
	if k, ok := t.known[n]; ok && k.label != "" {
		return k.label
	}
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value
	case *ast.ChainNode:
		return t.label(n.Node)
	case *ast.PointerNode:
		if n.Name == "" && len(t.elements) > 0 {
			return t.elements[len(t.elements)-1].label
		}
	case *ast.MemberNode:
		switch p := n.Property.(type) {
		case *ast.StringNode:
			return labelBelow(t.label(n.Node), Key{Name: p.Value})
		default:
			return anElement + t.label(n.Node)
		}
	}
	return "this value"
}

func (t *typer) condition(n ast.Node, what string) {
	if s := t.visit(n); !s.can(IsBool) {
		t.fault(n.Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("%s is true or false; this is %s", what, s.Kinds), Hint: "compare it with something, as in x != null"})
	}
}

func (t *typer) unary(n *ast.UnaryNode) *StaticType {
	if n.Operator == "!" || n.Operator == "not" {
		t.condition(n.Node, "what "+n.Operator+" turns around")
		return Static(IsBool)
	}
	s := t.visit(n.Node)
	if !s.can(IsNumber | IsDuration) {
		t.fault(n.Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("%s does not take %s", n.Operator, s.Kinds), Hint: "convert it with int(x) or float(x)"})
		return nil
	}
	t.absent(n.Node, s, n.Location(), false)
	if s == nil {
		return nil
	}
	return Static(s.Kinds & (IsNumber | IsDuration))
}

// operation is one pair of kinds that an operator takes, and what comes of it.
type operation struct{ left, right, result Kinds }

var operations = map[string][]operation{
	"+":  {{IsInt, IsInt, IsInt}, {IsNumber, IsNumber, IsNumber}, {IsText, IsText, IsText}, {IsTime, IsDuration, IsTime}, {IsDuration, IsTime, IsTime}, {IsDuration, IsDuration, IsDuration}},
	"-":  {{IsInt, IsInt, IsInt}, {IsNumber, IsNumber, IsNumber}, {IsTime, IsTime, IsDuration}, {IsTime, IsDuration, IsTime}, {IsDuration, IsDuration, IsDuration}},
	"*":  {{IsInt, IsInt, IsInt}, {IsNumber, IsNumber, IsNumber}, {IsNumber, IsDuration, IsDuration}, {IsDuration, IsNumber, IsDuration}, {IsDuration, IsDuration, IsDuration}},
	"/":  {{IsNumber, IsNumber, IsNumber}},
	"%":  {{IsNumber, IsNumber, IsInt}},
	"**": {{IsNumber, IsNumber, IsNumber}},
	"^":  {{IsNumber, IsNumber, IsNumber}},
	"..": {{IsNumber, IsNumber, IsList}},

	"<":  ordered,
	">":  ordered,
	"<=": ordered,
	">=": ordered,

	"contains":   texts,
	"startsWith": texts,
	"endsWith":   texts,
	"matches":    texts,
}

var (
	ordered = []operation{{IsNumber, IsNumber, IsBool}, {IsText, IsText, IsBool}, {IsTime, IsTime, IsBool}, {IsDuration, IsDuration, IsBool}}
	texts   = []operation{{IsText, IsText, IsBool}}
)

func (t *typer) binary(n *ast.BinaryNode) *StaticType {
	switch n.Operator {
	case "and", "&&", "or", "||":
		t.condition(n.Left, "what "+n.Operator+" joins")
		t.condition(n.Right, "what "+n.Operator+" joins")
		return Static(IsBool)
	}
	left, right := t.visit(n.Left), t.visit(n.Right)
	switch n.Operator {
	case "??":
		if left != nil && left.Kinds == IsNull {
			return t.exactly(right)
		}
		return t.exactly(Join(left.NotNull(), right))
	case "==", "!=":
		t.comparable(n, n.Right, left, right)
		return Static(IsBool)
	case "in":
		t.in(n, left, right)
		return Static(IsBool)
	}
	result := Kinds(0)
	for _, o := range operations[n.Operator] {
		if left.can(o.left) && right.can(o.right) {
			result |= o.result
		}
		// The first that certainly fits says it all: two whole numbers are not
		// two numbers as well.
		if left != nil && right != nil && left.Kinds&^o.left == 0 && right.Kinds&^o.right == 0 {
			result = o.result
			break
		}
	}
	if left != nil && right != nil && result == 0 {
		t.mismatch(n, left, right)
		return nil
	}
	t.absent(n.Left, left, n.Location(), false)
	t.absent(n.Right, right, n.Location(), false)
	switch {
	case n.Operator == "..":
		return ListOf(Static(IsInt))
	case result == 0 || (left == nil || right == nil) && result&(result-1) != 0 && result != IsNumber:
		return nil
	}
	return Static(result)
}

func (t *typer) mismatch(n *ast.BinaryNode, left, right *StaticType) {
	if n.Operator == "in" && right.can(IsList) {
		t.fault(n.Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("%s is never in a list of %s", left.Kinds, right.Element().Kinds), Hint: convert})
		return
	}
	message, hint := mismatch(words{}, []string{"", n.Operator, left.Kinds.String(), right.Kinds.String()})
	t.fault(n.Location(), Diagnostic{Code: "wrong-type", Message: message, Hint: hint})
}

// comparable finds comparisons that have only one outcome.
func (t *typer) comparable(n *ast.BinaryNode, at ast.Node, left, right *StaticType) {
	t.timed(n, left, right)
	if left == nil || right == nil {
		return
	}
	if !alike(left, right) {
		t.mismatch(n, left, right)
		return
	}
	if t.never(at, left, right, n.Left) {
		return
	}
	t.never(n.Left, right, left, at)
}

// timed warns of a comparison that takes the longer the more of a secret is right.
func (t *typer) timed(n *ast.BinaryNode, left, right *StaticType) {
	written := func(n ast.Node) bool {
		switch n.(type) {
		case *ast.StringNode, *ast.NilNode:
			return true
		}
		return false
	}
	if firstHeld(left.Held(), right.Held()) == nil || written(n.Left) || written(n.Right) {
		return
	}
	t.fault(n.Location(), Diagnostic{Severity: Warning, Code: "timed-comparison", Message: fmt.Sprintf("%s takes longer the more of a secret is right, which a caller can measure", n.Operator),
		Hint: "write sameSecret(a, b), with ! in front of it for !="})
}

// alike reports whether two values can be equal. To compare with null is
// always in order.
func alike(a, b *StaticType) bool {
	return a == nil || b == nil || a.Kinds&^IsNull == 0 || b.Kinds&^IsNull == 0 || a.can(IsNumber) && b.can(IsNumber) || a.Kinds&b.Kinds&^IsNull != 0
}

// never reports a constant text that is not among those a value can have.
func (t *typer) never(at ast.Node, s, constant *StaticType, of ast.Node) bool {
	text, ok := at.(*ast.StringNode)
	if !ok || s.Kinds&^IsNull != IsText || s.Values == nil || slices.Contains(s.Values, text.Value) {
		return false
	}
	if _, both := of.(*ast.StringNode); both {
		return false
	}
	t.fault(at.Location(), notAmong(t.label(of), text.Value, s.Values))
	return true
}

func notAmong(label, text string, values []string) Diagnostic {
	d := Diagnostic{Code: "unknown-value", Message: fmt.Sprintf("%s is never %q", label, text), Hint: "it is one of " + listed(values)}
	d.Suggest(text, values)
	return d
}

func (t *typer) in(n *ast.BinaryNode, left, right *StaticType) {
	if left == nil || right == nil {
		return
	}
	switch list, isList := n.Right.(*ast.ArrayNode); {
	case !right.can(IsList | IsObject):
		t.mismatch(n, left, right)
	case isList:
		for _, item := range list.Nodes {
			t.never(item, left, right, n.Left)
		}
		fallthrough
	case right.Kinds&^IsNull == IsList:
		if elem := right.Element(); !alike(left, elem) {
			t.mismatch(n, left, right)
		}
	case right.Kinds&^IsNull == IsObject && !left.can(IsText):
		t.mismatch(n, left, right)
	}
}
