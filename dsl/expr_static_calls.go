package dsl

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
)

// builtin is about the functions that expr-lang compiles itself.
func (t *typer) builtin(n *ast.BuiltinNode) *StaticType {
	if len(n.Arguments) < 2 {
		return t.function(n.Name, n.Arguments, n.Location())
	}
	predicate, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		if n.Name == "get" {
			return t.member(&ast.MemberNode{Node: n.Arguments[0], Property: n.Arguments[1], Optional: true})
		}
		return t.function(n.Name, n.Arguments, n.Location())
	}
	list := t.visit(n.Arguments[0])
	if !list.can(IsList) {
		t.fault(n.Arguments[0].Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("%s takes a list, not %s", n.Name, list.Kinds), Hint: usageHint(n.Name)})
		list = nil
	}
	t.absent(n.Arguments[0], list, n.Arguments[0].Location(), false)
	elem := list.Element()
	t.elements = append(t.elements, element{elem, anElement + t.label(n.Arguments[0])})
	each := t.visit(predicate)
	t.elements = t.elements[:len(t.elements)-1]
	t.all(n.Arguments[2:])
	switch n.Name {
	case "map":
		return t.exactly(ListOf(each))
	case "sum":
		t.held = nil
		if !each.can(IsNumber | IsDuration) {
			t.fault(predicate.Node.Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("sum adds numbers up, not %s", each.Kinds), Hint: usageHint(n.Name)})
			return nil
		}
		return each.NotNull()
	case "find", "findLast":
		return t.exactly(elem)
	case "sortBy":
		return t.exactly(ListOf(elem))
	case "groupBy":
		return &StaticType{Kinds: IsObject, Open: true, Rest: ListOf(elem)} // a key may be a secret
	case "reduce":
		return nil
	}
	t.held = nil // what is left only looks at the elements
	if !each.can(IsBool) {
		t.fault(predicate.Node.Location(), Diagnostic{Code: "wrong-type", Message: fmt.Sprintf("%s takes true or false for each element, not %s", n.Name, each.Kinds), Hint: usageHint(n.Name)})
	}
	switch n.Name {
	case "filter":
		return ListOf(elem)
	case "count", "findIndex", "findLastIndex":
		return Static(IsInt)
	}
	return Static(IsBool) // all, none, any, one
}

func (t *typer) call(n *ast.CallNode) *StaticType {
	if k, ok := t.known[n]; ok {
		return k.static
	}
	if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
		return t.function(callee.Value, n.Arguments, n.Location())
	}
	t.visit(n.Callee)
	t.all(n.Arguments)
	return nil
}

// keeping are the functions whose result is of the type of their first
// argument, or of its elements.
var (
	keeping = map[string]bool{"take": true, "reverse": true, "uniq": true, "sort": true}
	taking  = map[string]bool{"first": true, "last": true, "max": true, "min": true, "sum": true}
)

// function is a call of a function that looks at its arguments as a whole.
func (t *typer) function(name string, arguments []ast.Node, loc file.Location) *StaticType {
	args := make([]*StaticType, len(arguments))
	for i, n := range arguments {
		args[i] = t.visit(n)
	}
	if oneWay[name] {
		t.held = nil
	}
	f, ok := t.functions[name]
	if i, isBuiltin := builtin.Index[name]; !ok && isBuiltin {
		f = builtin.Builtins[i]
	}
	if f == nil {
		return nil
	}
	signature := f.Validate
	if signature == nil {
		if len(f.Types) == 0 || slices.ContainsFunc(f.Types, isVariadic) || f.Predicate {
			if s := t.ofList(name, args); s != nil {
				return t.exactly(s)
			}
			return nil
		}
		signature = signatures(name, f.Types)
	}
	types := make([]reflect.Type, len(args))
	for i := range types {
		types[i] = anyType
	}
	if _, err := signature(types); err != nil {
		return nil // expr-lang has judged how many they are
	}
	for i, s := range args {
		if s == nil || s.Kinds == IsNull || isNothing(s) {
			continue
		}
		var fault error
		fits := false
		for bit := IsBool; bit <= IsDuration; bit <<= 1 {
			if s.Kinds&bit == 0 {
				continue
			}
			types[i] = goTypeOf[bit]
			_, err := signature(types)
			if types[i] = anyType; err == nil {
				fits = true
				break
			}
			fault = err
		}
		if !fits && fault != nil {
			message, hint := inOurWords(fault.Error(), words{whole: t.code.text, at: name})
			t.fault(arguments[i].Location(), Diagnostic{Code: "wrong-type", Message: message, Hint: hint})
			return nil
		}
	}
	if s := t.ofList(name, args); s != nil {
		return t.exactly(s)
	}
	for i, s := range args {
		if s != nil && goTypeOf[s.Kinds] != nil {
			types[i] = goTypeOf[s.Kinds]
		}
	}
	if result, err := signature(types); err == nil {
		return typeOfGo(result)
	}
	return nil
}

func isVariadic(f reflect.Type) bool {
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	return f.IsVariadic()
}

// ofList is the result of a function that gives back what its list holds.
func (t *typer) ofList(name string, args []*StaticType) *StaticType {
	if len(args) == 0 || args[0] == nil || args[0].Kinds&^IsNull != IsList {
		return nil
	}
	switch {
	case keeping[name]:
		return args[0].NotNull()
	case taking[name]:
		return args[0].Element()
	case name == "concat":
		out := args[0]
		for _, other := range args[1:] {
			out = Join(out, other)
		}
		return out
	}
	return nil
}

var goTypeOf = map[Kinds]reflect.Type{
	IsBool: reflect.TypeFor[bool](), IsInt: reflect.TypeFor[int](), IsFloat: reflect.TypeFor[float64](), IsText: reflect.TypeFor[string](),
	IsList: reflect.TypeFor[[]any](), IsObject: reflect.TypeFor[map[string]any](),
	IsTime: reflect.TypeFor[time.Time](), IsDuration: reflect.TypeFor[time.Duration](),
}

func typeOfGo(t reflect.Type) *StaticType {
	if t.Kind() == reflect.Float64 || t.Kind() == reflect.Int {
		if t.PkgPath() == "" {
			if t.Kind() == reflect.Int {
				return Static(IsInt)
			}
			return Static(IsNumber)
		}
	}
	for k, g := range goTypeOf {
		if g == t {
			return Static(k)
		}
	}
	return nil
}
