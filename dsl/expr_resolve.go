package dsl

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
)

// resolver replaces names, and the chains of constant keys below them, by
// calls of prepared Reads.
type resolver struct {
	code      code
	scope     Scope
	report    Reporter
	onRead    func(label string)
	index     Index // nil: nobody wants to know
	functions conf.FunctionsTable
	locals    []string // names that let bound
	reads     map[ast.Node]Read
	known     map[ast.Node]known
	failed    bool
}

func (r *resolver) fail(loc file.Location, d Diagnostic) ast.Node {
	r.failed = true
	d.Span = r.code.span(loc.From, loc.To)
	r.report.Report(d)
	return &ast.NilNode{}
}

func (r *resolver) resolveAll(nodes []ast.Node) {
	for i := range nodes {
		nodes[i] = r.resolve(nodes[i])
	}
}

func (r *resolver) resolve(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.IdentifierNode, *ast.MemberNode:
		return r.chain(n)
	case *ast.ChainNode:
		n.Node = r.resolve(n.Node)
		if _, ok := r.reads[n.Node]; ok {
			return n.Node // the Read knows which keys are optional
		}
	case *ast.UnaryNode:
		n.Node = r.resolve(n.Node)
	case *ast.BinaryNode:
		if _, constant := n.Right.(*ast.StringNode); n.Operator == "matches" && !constant {
			return r.fail(n.Right.Location(), patternElsewhere)
		}
		if n.Operator == "-" && r.dashed(n) {
			return &ast.NilNode{}
		}
		n.Left, n.Right = r.resolve(n.Left), r.resolve(n.Right)
	case *ast.SliceNode:
		n.Node = r.resolve(n.Node)
		if n.From != nil {
			n.From = r.resolve(n.From)
		}
		if n.To != nil {
			n.To = r.resolve(n.To)
		}
	case *ast.CallNode:
		switch callee := n.Callee.(type) {
		case *ast.IdentifierNode:
			if _, ok := r.functions[callee.Value]; !ok {
				d := Diagnostic{Code: "unknown-function", Message: fmt.Sprintf("unknown function %q", callee.Value)}
				if _, isName := r.scope.Name(callee.Value); isName && (callee.Value == "secret" || callee.Value == "env") {
					d.Message, d.Hint = callee.Value+" is no function", fmt.Sprintf("write %s.NAME", callee.Value)
				} else if near, ok := nearestFunction(callee.Value, r.functionNames()); ok {
					d.SuggestWord(callee.Value, r.functionNames())
					d.Hint = fmt.Sprintf("did you mean %q? write %s", near, usageOf()[near])
				} else {
					d.Hint = "some of the functions are len, upper, lower, split, join, filter, map, sum, first, keys, int, string"
				}
				return r.fail(callee.Location(), d)
			}
			r.resolveAll(n.Arguments)
			if f := library[callee.Value]; f != nil {
				r.ready(n, f)
			}
			return n
		case *ast.MemberNode:
			callee.Node = r.resolve(callee.Node)
		}
		r.resolveAll(n.Arguments)
	case *ast.BuiltinNode:
		if _, replaced := r.functions[n.Name]; replaced {
			return r.fail(n.Location(), Diagnostic{Code: "bad-expression", Message: "functions are called without ::", Hint: "write " + n.Name + "(...)"})
		}
		r.resolveAll(n.Arguments)
	case *ast.PredicateNode:
		n.Node = r.resolve(n.Node)
	case *ast.VariableDeclaratorNode:
		n.Value = r.resolve(n.Value)
		if name, taken := r.scope.Name(n.Name); taken && name.Denied == nil {
			return r.fail(n.Location(), Diagnostic{Code: "name-taken", Message: fmt.Sprintf("%q already has a meaning here", n.Name), Hint: "use another name after let"})
		}
		r.locals = append(r.locals, n.Name)
		n.Expr = r.resolve(n.Expr)
		r.locals = r.locals[:len(r.locals)-1]
	case *ast.SequenceNode:
		r.resolveAll(n.Nodes)
	case *ast.ConditionalNode:
		n.Cond, n.Exp1, n.Exp2 = r.resolve(n.Cond), r.resolve(n.Exp1), r.resolve(n.Exp2)
	case *ast.ArrayNode:
		r.resolveAll(n.Nodes)
	case *ast.MapNode:
		r.resolveAll(n.Pairs)
	case *ast.PairNode:
		n.Key, n.Value = r.resolve(n.Key), r.resolve(n.Value)
	}
	return n
}

// dashed reports a name with a dash in it, such as headers.x-request-id, which
// is a subtraction.
func (r *resolver) dashed(n *ast.BinaryNode) bool {
	right := n.Right
	for {
		m, ok := right.(*ast.MemberNode)
		if !ok {
			break
		}
		right = m.Node
	}
	id, ok := right.(*ast.IdentifierNode)
	if !ok || r.local(id.Value) {
		return false
	}
	if name, known := r.scope.Name(id.Value); known && (name.Denied == nil || name.Denied.Message != "") {
		return false
	}
	text, at := r.code.text, runeOffset(r.code.text, n.Location().From)
	from, to := at, at+1
	for from > 0 && isNameByte(text[from-1]) {
		from--
	}
	for to < len(text) && isNameByte(text[to]) {
		to++
	}
	if from == at || to == at+1 {
		return false
	}
	name := text[from:to]
	hint := "a name has letters, digits and _ only; to subtract, put spaces around the minus"
	if _, ok := n.Left.(*ast.MemberNode); ok || strings.HasSuffix(text[:from], ".") {
		base := strings.TrimSuffix(strings.TrimSuffix(text[:from], "."), "?")
		base = base[strings.LastIndexAny(base, " ()[]{},+-*/%<>=!&|?:")+1:]
		hint = fmt.Sprintf("write %s[%q]", base, name)
	}
	r.failed = true
	r.report.Report(Diagnostic{Span: r.code.at(from, to), Code: "unknown-name",
		Message: fmt.Sprintf("the dash in %s is read as minus", name), Hint: hint})
	return true
}

func isNameByte(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func (r *resolver) functionNames() []string {
	names := builtin.Names
	for name := range r.functions {
		names = append(names[:len(names):len(names)], name)
	}
	return names
}

// chain resolves a name with the member accesses that follow it.
func (r *resolver) chain(n ast.Node) ast.Node {
	var links []*ast.MemberNode // outermost first
	root := n
	for {
		inner := root
		if c, ok := inner.(*ast.ChainNode); ok && len(links) > 0 {
			inner = c.Node // a?.b[0] is one chain, as a?.b.c is
		}
		m, ok := inner.(*ast.MemberNode)
		if !ok {
			break
		}
		links = append(links, m)
		root = m.Node
	}
	id, ok := root.(*ast.IdentifierNode)
	if !ok || r.local(id.Value) {
		if len(links) > 0 {
			links[len(links)-1].Node = r.resolveBase(root)
			for _, m := range links {
				m.Property = r.resolve(m.Property)
			}
		}
		return n
	}
	if id.Value == "null" && len(links) == 0 {
		null := &ast.NilNode{}
		null.SetLocation(id.Location())
		return null
	}
	name, ok := r.scope.Name(id.Value)
	if !ok {
		d := Diagnostic{Code: "unknown-name", Message: fmt.Sprintf("unknown name %q", id.Value)}
		if _, ok := d.Suggest(id.Value, r.scope.Names()); ok {
		} else if own := valuesElsewhere[id.Value]; own != "" {
			d.Hint = "write " + own
		} else if _, isFunction := usageOf()[id.Value]; isFunction {
			d.Hint = fmt.Sprintf("%s is a function: %s", id.Value, usageHint(id.Value))
		} else {
			d.Hint = "known here: " + listed(r.scope.Names())
		}
		return r.fail(id.Location(), d)
	}
	label := id.Value
	at := id.Location()
	r.used(label, at, name)
	next := len(links) - 1 // links[next] is the innermost that is not yet consumed
	for name.Fields != nil && next >= 0 {
		key, ok := r.key(links[next])
		if !ok || key.IsIndex {
			break
		}
		field, ok := name.Fields[key.Name]
		at = links[next].Property.Location()
		if !ok && name.Absent != nil {
			if denied := name.Absent(key.Name); denied != nil {
				return r.deny(at, denied)
			}
		}
		if !ok {
			fields := sortedKeys(name.Fields)
			d := Diagnostic{Code: "unknown-field", Message: fmt.Sprintf("%s has no field %q", label, key.Name)}
			d.Hint = "it has none"
			if len(fields) > 0 {
				d.Hint = "it has " + listed(fields)
			}
			d.Suggest(key.Name, fields)
			return r.fail(at, d)
		}
		name, label = field, label+"."+key.Name
		r.used(key.Name, at, name)
		next--
	}
	if name.Denied != nil {
		return r.deny(at, name.Denied)
	}
	if name.Bind == nil {
		return r.fail(at, Diagnostic{Code: "incomplete-name", Message: fmt.Sprintf("%s is not a value itself", label),
			Hint: "write one of its fields: " + listed(sortedKeys(name.Fields))})
	}
	if name.Type != TypeAny && name.Type != TypeObject && next >= 0 && !links[next].Method {
		return r.fail(links[next].Property.Location(), Diagnostic{Code: "unknown-field", Message: fmt.Sprintf("%s is %s and has no fields", label, name.Type), Hint: "write " + label})
	}
	var path Path
	base := label
	optional, static := false, name.static()
	for next >= 0 && !links[next].Method && (name.Type == TypeAny || name.Type == TypeObject) {
		key, ok := r.key(links[next])
		if !ok {
			break
		}
		optional = optional || key.Optional
		key.Optional = optional // a?.b.c is null as a whole where a is
		path = append(path, key)
		loc := links[next].Property.Location()
		if static != nil && static.Kinds&IsNull != 0 && !optional {
			r.note(loc, mayBeAbsent(label))
		}
		wasNull := optional && static.can(IsNull)
		below, d := static.member(key, label)
		if d != nil {
			return r.fail(loc, *d)
		}
		if static = below; wasNull {
			static = static.OrNull()
		}
		label = labelBelow(label, key)
		next--
	}
	kind := name.Type
	if len(path) > 0 || kind == TypeObject {
		kind = TypeAny
	}
	read := name.Bind(path)
	if read == nil {
		return r.fail(at, Diagnostic{Code: "incomplete-name", Message: fmt.Sprintf("%s is read by name", base), Hint: fmt.Sprintf("write %s.NAME", base)})
	}
	if r.onRead != nil {
		r.onRead(label)
	}
	call := r.call(read, kind, root.Location())
	if r.known == nil {
		r.known = map[ast.Node]known{}
	}
	if name.Secret {
		static = static.Holding(&Held{label, r.code.span(root.Location().From, at.To)})
	}
	r.known[call] = known{static, label}
	if len(path) > 0 {
		call.SetLocation(links[next+1].Property.Location())
	}
	if next < 0 {
		return call
	}
	for i := next; i >= 0; i-- {
		links[i].Property = r.resolve(links[i].Property)
		links[i].Optional = links[i].Optional || optional
	}
	links[next].Node = call
	return n
}

// used tells the index of a name that is defined in a file.
func (r *resolver) used(text string, loc file.Location, name *Name) {
	if r.index != nil && name.At.Valid() {
		r.index.Use("", String{text, r.code.span(loc.From, loc.To)}, name.At)
	}
}

func (r *resolver) note(loc file.Location, d Diagnostic) {
	d.Span = r.code.span(loc.From, loc.To)
	r.report.Report(d)
}

func labelBelow(label string, key Key) string {
	if key.IsIndex {
		return fmt.Sprintf("%s[%d]", label, key.Index)
	}
	if strings.HasPrefix(label, anElement) {
		return key.Name + " of " + label
	}
	return label + "." + key.Name
}

// anElement begins what messages call an element of a list.
const anElement = "an element of "

// static is what is known of the value of a name.
func (n *Name) static() *StaticType {
	if k, ok := valueKinds[n.Type]; ok && n.Static == nil {
		return Static(k)
	}
	return n.Static
}

var valueKinds = map[ValueType]Kinds{TypeString: IsText, TypeInt: IsInt, TypeBool: IsBool, TypeDuration: IsDuration}

func (r *resolver) deny(at file.Location, why *Denied) ast.Node {
	r.failed = true
	if why.Message == "" {
		return &ast.NilNode{}
	}
	d := Diagnostic{Code: "name-out-of-reach", Message: why.Message, Hint: why.Hint, Related: why.Related}
	if why.Code != "" {
		d.Code = why.Code
	}
	return r.fail(at, d)
}

// resolveBase resolves what a chain of member accesses stands on.
func (r *resolver) resolveBase(n ast.Node) ast.Node {
	if id, ok := n.(*ast.IdentifierNode); ok && r.local(id.Value) {
		return n
	}
	return r.resolve(n)
}

func (r *resolver) local(name string) bool {
	for _, l := range r.locals {
		if l == name {
			return true
		}
	}
	return false
}

// key gives the constant key of a member access.
func (r *resolver) key(m *ast.MemberNode) (Key, bool) {
	loc := m.Property.Location()
	k := Key{Optional: m.Optional, Span: r.code.span(loc.From, loc.To)}
	switch p := m.Property.(type) {
	case *ast.StringNode:
		k.Name = p.Value
		return k, true
	case *ast.IntegerNode:
		k.Index, k.IsIndex = p.Value, true
		return k, p.Value >= 0
	}
	return Key{}, false
}

// call is the node that performs a Read. Its callee is a constant function of
// a type that expr's VM calls without reflection.
func (r *resolver) call(read Read, kind ValueType, loc file.Location) ast.Node {
	if r.reads == nil {
		r.reads = map[ast.Node]Read{}
	}
	value := func(env any) any {
		v, err := read.Value(env.(*machine).env)
		if err != nil {
			panic(err)
		}
		return v
	}
	var fn any = value
	result := anyType
	switch kind {
	case TypeString:
		fn, result = func(env any) string { return value(env).(string) }, reflect.TypeFor[string]()
	case TypeInt:
		fn, result = func(env any) int { return value(env).(int) }, reflect.TypeFor[int]()
	case TypeBool:
		fn, result = func(env any) bool { return value(env).(bool) }, reflect.TypeFor[bool]()
	case TypeDuration:
		fn, result = func(env any) time.Duration { return value(env).(time.Duration) }, reflect.TypeFor[time.Duration]()
	}
	call := constCall(loc, fn, result, environment(loc))
	r.reads[call] = read
	return call
}

var anyType = reflect.TypeFor[any]()

// constCall calls a Go function that is not in expr's tables.
func constCall(loc file.Location, fn any, result reflect.Type, args ...ast.Node) *ast.CallNode {
	callee := &ast.ConstantNode{Value: fn}
	callee.SetLocation(loc)
	callee.SetType(reflect.TypeOf(fn)) // without it the VM calls by reflection
	call := &ast.CallNode{Callee: callee, Arguments: args}
	call.SetLocation(loc)
	if result != anyType {
		call.SetType(result)
	}
	return call
}

func environment(loc file.Location) ast.Node {
	id := &ast.IdentifierNode{Value: "$env"}
	id.SetLocation(loc)
	return id
}

// String names the type as authors know it.
func (t ValueType) String() string {
	return [...]string{"a value", "text", "a number", "a boolean", "a duration", "an object"}[t]
}
