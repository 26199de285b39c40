package dsl

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// ShapeTemplate is plain YAML with $(...) at its leaves, compiled to the JSON
// text around them: immutable, safe for concurrent use.
type ShapeTemplate struct {
	span Span
	ops  []op
	expr *Expr // set if the whole shape is one expression
	text *TextTemplate
	null bool
}

// op appends one piece of the output. Exactly one field is set.
type op struct {
	static string        // JSON text as it is
	comma  bool          // a comma, unless the list or object just opened
	expr   *Expr         // a value
	text   *TextTemplate // a JSON string
	block  *block        // $each and $if
}

// block is a part of a shape that is repeated or left out.
type block struct {
	cond  *Expr
	each  *Expr
	item  Var
	index Var // nil: the rounds are not counted
	body  []op
	key   string // the pre-encoded key with its colon, if the block is a field
	top   bool   // the block is the whole shape: nothing stands in front of it
}

// Shape compiles a shape. It gives nil after reporting a fault.
func (x *Expressions) Shape(n *Node, scope Scope) *ShapeTemplate {
	if n == nil {
		return nil // left out because it does not fit, and reported
	}
	b := shaper{x: x, top: true}
	b.value(n, scope, "")
	if b.failed {
		return nil
	}
	b.flush()
	t := &ShapeTemplate{span: n.Span, ops: b.ops, null: n.Kind == Scalar && n.Type == Null}
	if len(b.ops) == 1 {
		t.expr, t.text = b.ops[0].expr, b.ops[0].text
	}
	if t.text == nil && n.Kind == Scalar && n.Type == Str && t.expr == nil {
		t.text = &TextTemplate{parts: []textPart{{text: strings.ReplaceAll(n.Text, "$$(", "$(")}}}
	}
	return t
}

// shaper collects the ops of one shape.
type shaper struct {
	x      *Expressions
	ops    []op
	static []byte
	top    bool // nothing was written yet
	failed bool
}

func (b *shaper) flush() {
	if len(b.static) > 0 {
		b.ops = append(b.ops, op{static: string(b.static)})
		b.static = b.static[:0]
	}
}

func (b *shaper) add(o op) {
	b.flush()
	b.ops = append(b.ops, o)
}

func (b *shaper) fault(at Span, code, message, hint string) {
	b.failed = true
	b.x.report.Report(Diagnostic{Span: at, Code: code, Message: message, Hint: hint})
}

// value writes one value; key is its pre-encoded key with colon, or empty.
func (b *shaper) value(n *Node, scope Scope, key string) {
	if n.broken {
		b.failed = true
		return
	}
	if n.Kind == Map && (n.Field("$each") != nil || n.Field("$if") != nil) {
		b.block(n, scope, key)
		return
	}
	b.top = false
	b.static = append(b.static, key...)
	switch n.Kind {
	case Map:
		b.object(n, scope)
	case List:
		b.static = append(b.static, '[')
		b.members(len(n.Items), func(i int) bool { return isBlock(n.Items[i]) }, func(i int) { b.value(n.Items[i], scope, "") })
		b.static = append(b.static, ']')
	default:
		b.scalar(n, scope)
	}
}

func isBlock(n *Node) bool {
	return n.Kind == Map && (n.Field("$each") != nil || n.Field("$if") != nil)
}

// members writes the commas between members. One after a block cannot know
// before run time whether anything stands in front of it.
func (b *shaper) members(n int, block func(int) bool, write func(int)) {
	sure := false // a member certainly stands in front
	for i := range n {
		switch {
		case block(i):
			// writes its own comma, if it writes anything
		case sure:
			b.static = append(b.static, ',')
		case i > 0:
			b.add(op{comma: true})
		}
		write(i)
		sure = sure || !block(i)
	}
}

func (b *shaper) object(n *Node, scope Scope) {
	b.static = append(b.static, '{')
	fields := make([]Field, 0, len(n.Fields))
	for _, f := range n.Fields {
		if name := f.Key.Text; strings.HasPrefix(name, "$") && !strings.HasPrefix(name, "$$") {
			if name == "$each" || name == "$if" {
				continue
			}
			if strings.HasPrefix(name, "$(") {
				b.fault(f.Key.Span, "expression-key", "a key cannot be an expression", "build the object with fromPairs([[key, value]])")
				continue
			}
			d := Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: fmt.Sprintf("unknown directive %q", name), Hint: "a shape knows $each and $if; write $" + name + " for a field of that name"}
			b.failed = true
			b.x.report.Report(d)
			continue
		}
		fields = append(fields, f)
	}
	b.members(len(fields), func(i int) bool { return isBlock(fields[i].Value) }, func(i int) {
		name := fields[i].Key.Text
		if strings.HasPrefix(name, "$$") {
			name = name[1:]
		}
		b.value(fields[i].Value, scope, string(AppendJSONString(nil, name))+":")
	})
	b.static = append(b.static, '}')
}

// eachPattern is "item in list" or "item, index in list".
var eachPattern = regexp.MustCompile(`^\s*([^\s,]+)(?:\s*,\s*([^\s,]+))?\s+in\s+(\S[\s\S]*)$`)

// SplitEach splits the text of a repetition, "item in list" or "item, index in
// list"; from is where the expression of the list starts in n.Text.
func SplitEach(n *Node) (item, index String, from int, ok bool) {
	m := eachPattern.FindStringSubmatchIndex(n.Text)
	if n.Kind != Scalar || m == nil {
		return item, index, 0, false
	}
	item = String{Value: n.Text[m[2]:m[3]], Span: n.At(m[2], m[3])}
	if m[4] >= 0 {
		index = String{Value: n.Text[m[4]:m[5]], Span: n.At(m[4], m[5])}
	}
	return item, index, m[6], true
}

// CompilePart compiles the bare expression n.Text[from:to].
func (x *Expressions) CompilePart(n *Node, from, to int, scope Scope) *Expr {
	if n.broken {
		return nil
	}
	e := x.compile(codeOf(n, from, to), scope)
	x.hold(n, e)
	return e
}

func (b *shaper) block(n *Node, scope Scope, key string) {
	blk := &block{key: key, top: b.top}
	b.top = false
	body := &shaper{x: b.x}
	var elem *StaticType
	if each := n.Field("$each"); each != nil {
		item, index, from, ok := SplitEach(each)
		if !ok {
			b.fault(each.Span, "bad-each", "$each needs a name and a list", "write $each: item in items")
			return
		}
		if blk.each = b.x.CompilePart(each, from, len(each.Text), scope); blk.each == nil {
			b.failed = true
		} else {
			elem = b.x.Elements(blk.each)
		}
		scope, blk.item = b.loop(item, scope, elem)
		if index.Value != "" {
			scope, blk.index = b.loop(index, scope, Static(IsInt))
		}
	}
	if cond := n.Field("$if"); cond != nil {
		if blk.cond = b.x.Condition(cond, scope); blk.cond == nil {
			b.failed = true
		}
	}
	body.object(n, scope)
	body.flush()
	b.failed = b.failed || body.failed
	blk.body = body.ops
	b.add(op{block: blk})
}

// loop opens the scope of a variable.
func (b *shaper) loop(name String, scope Scope, static *StaticType) (Scope, Var) {
	if known, taken := scope.Name(name.Value); taken && known.Denied == nil {
		b.fault(name.Span, "name-taken", fmt.Sprintf("%q already has a meaning here", name.Value), "use another name")
	}
	return scope.Loop(name.Value, name.Span, static)
}

func (b *shaper) scalar(n *Node, scope Scope) {
	if n.Type != Str {
		text, err := scalarJSON(n)
		if err != nil {
			b.fault(n.Span, "bad-number", err.Error(), "put it in quotes to send it as text")
		}
		b.static = append(b.static, text...)
		return
	}
	parts, ok := b.x.parts(n, 0, len(n.Text), scope)
	if !ok {
		b.failed = true
		b.x.leaves[n] = nil // nothing is known of it
		return
	}
	t := &TextTemplate{parts: parts}
	if s, ok := t.Static(); ok {
		b.static = AppendJSONString(b.static, s)
	} else if e, ok := t.Whole(); ok {
		b.x.leaves[n] = e
		b.add(op{expr: e})
	} else {
		b.add(op{text: t})
	}
}

// scalarJSON is a YAML scalar that is no string, as JSON. Numbers stay as
// written where JSON can say them.
func scalarJSON(n *Node) ([]byte, error) {
	switch n.Type {
	case Null:
		return []byte("null"), nil
	case Bool:
		return []byte(strings.ToLower(n.Text)), nil
	}
	text := strings.TrimPrefix(n.Text, "+")
	if gjson.Valid(text) {
		return []byte(text), nil
	}
	if n.Type == Int {
		if whole, ok := new(big.Int).SetString(text, 0); ok {
			return []byte(whole.String()), nil
		}
	}
	return AppendJSON(nil, yamlFloat(text))
}
