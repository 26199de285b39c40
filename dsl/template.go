package dsl

import (
	"context"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// Place says where the text of a template goes, and so how the values inside
// are escaped. The text around them is the author's and is not escaped.
type Place uint8

// The places of text.
const (
	PlainText   Place = iota
	PathSegment       // path-escaped (RFC 3986 section 3.3), never empty, . or ..
	QueryValue        // query-escaped
	HeaderValue       // a CR, LF or NUL is a fault
)

// TextTemplate is text with $(...) inside: immutable, safe for concurrent use.
type TextTemplate struct {
	parts []textPart
	place Place
}

// textPart is literal text or an expression.
type textPart struct {
	text string
	expr *Expr
}

// Text compiles a scalar with $(...) inside. It gives nil after reporting a
// fault.
func (x *Expressions) Text(n *Node, place Place, scope Scope) *TextTemplate {
	if n.Kind != Scalar {
		x.report.Report(Diagnostic{Span: n.head(), Code: "wrong-type", Message: "text is expected here, not " + n.found(), Hint: "write one text"})
		return nil
	}
	return x.TextPart(n, 0, len(n.Text), place, scope)
}

// TextPart compiles n.Text[from:to].
func (x *Expressions) TextPart(n *Node, from, to int, place Place, scope Scope) *TextTemplate {
	parts, ok := x.parts(n, from, to, scope)
	if !ok {
		return nil
	}
	return &TextTemplate{parts: parts, place: place}
}

// parts splits n.Text[from:to] at its expressions and compiles them.
func (x *Expressions) parts(n *Node, from, to int, scope Scope) (parts []textPart, ok bool) {
	if n.broken {
		return nil, false
	}
	ok = true
	var text strings.Builder
	for i := from; i < to; {
		open := strings.Index(n.Text[i:to], "$(")
		if open < 0 {
			text.WriteString(n.Text[i:to])
			break
		}
		open += i
		if open > from && n.Text[open-1] == '$' {
			text.WriteString(n.Text[i:open-1] + "$(") // $$( is a literal $(
			i = open + 2
			continue
		}
		text.WriteString(n.Text[i:open])
		end := closing(n.Text[:to], open+1)
		if end < 0 {
			d := Diagnostic{Span: n.At(open, min(open+2, to)), Code: "unclosed-expression",
				Message: "this $( has no closing )", Hint: "add it, or write $$( for a literal $("}
			if quote := openQuote(n.Text[:to], open); quote >= 0 {
				d.Span, d.Message = n.At(quote, quote+1), "the quote is never closed, and so neither is the expression"
				d.Hint = "close it with " + n.Text[quote:quote+1]
			}
			x.report.Report(d)
			return nil, false
		}
		if text.Len() > 0 {
			parts = append(parts, textPart{text: text.String()})
			text.Reset()
		}
		if e := x.compile(codeOf(n, open+2, end), scope); e != nil {
			x.hold(n, e)
			parts = append(parts, textPart{expr: e})
		} else {
			ok = false
		}
		i = end + 1
	}
	if text.Len() > 0 {
		parts = append(parts, textPart{text: text.String()})
	}
	return parts, ok
}

// ExpressionEnd gives the index of the parenthesis that closes the $( at
// text[open:], or -1.
func ExpressionEnd(text string, open int) int { return closing(text, open+1) }

// closing gives the index of the parenthesis that closes the one at i, or -1.
func closing(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		case '"', '\'', '`':
			if i = skipQuoted(s, i); i == len(s)-1 && s[i] != '"' && s[i] != '\'' && s[i] != '`' {
				return -1
			}
		}
	}
	return -1
}

// openQuote is where a quote begins that is not closed, or -1.
func openQuote(s string, i int) int {
	for ; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\'' || c == '`' {
			end := skipQuoted(s, i)
			if end == i || s[end] != c {
				return i
			}
			i = end
		}
	}
	return -1
}

// Static gives the text if no expression is inside.
func (t *TextTemplate) Static() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].expr == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// Pattern is a text as it is written, with hole in the place of each expression.
func Pattern(text, hole string) string {
	var b strings.Builder
	for {
		open := strings.Index(text, "$(")
		end := -1
		if open >= 0 {
			end = closing(text, open+1)
		}
		switch {
		case end < 0:
			return b.String() + text
		case open > 0 && text[open-1] == '$':
			b.WriteString(text[:open-1] + text[open:end+1])
		default:
			b.WriteString(text[:open] + hole)
		}
		text = text[end+1:]
	}
}

// Whole gives the expression if the text is nothing else.
func (t *TextTemplate) Whole() (*Expr, bool) {
	if len(t.parts) == 1 && t.parts[0].expr != nil {
		return t.parts[0].expr, true
	}
	return nil, false
}

// Append appends the text for one request, escaped for its place.
func (t *TextTemplate) Append(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	var err error
	for _, p := range t.parts {
		if p.expr == nil {
			dst = append(dst, p.text...)
			continue
		}
		from := len(dst)
		if dst, err = p.expr.AppendText(ctx, env, dst); err != nil {
			return dst, err
		}
		if dst, err = escape(dst, from, t.place, p.expr); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// String is the text for one request.
func (t *TextTemplate) String(ctx context.Context, env Env) (string, error) {
	if s, ok := t.Static(); ok {
		return s, nil
	}
	b, err := t.Append(ctx, env, nil)
	return textOf(b), err
}

// escape rewrites dst[from:] for its place.
func escape(dst []byte, from int, place Place, e *Expr) ([]byte, error) {
	value := dst[from:]
	switch place {
	case PathSegment:
		switch textOf(value) {
		case "", ".", "..":
			return dst, &Fault{Span: e.Span(), Message: fmt.Sprintf("%q cannot be a path segment", value)}
		}
		if !pathSafe(value) {
			return append(dst[:from], url.PathEscape(string(value))...), nil
		}
	case QueryValue:
		if !pathSafe(value) {
			return append(dst[:from], url.QueryEscape(string(value))...), nil
		}
	case HeaderValue:
		for _, c := range value {
			if c < ' ' && c != '\t' || c == 0x7f {
				return dst, &Fault{Span: e.Span(), Message: "a header value cannot hold control characters"}
			}
		}
	}
	return dst, nil
}

// pathSafe reports whether b holds only unreserved characters (RFC 3986
// section 2.3), which are the same escaped.
func pathSafe(b []byte) bool {
	for _, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~') {
			return false
		}
	}
	return true
}

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

// Expr gives the expression if the shape is one whole $(...).
func (t *ShapeTemplate) Expr() (*Expr, bool) { return t.expr, t.expr != nil }

// Text gives the text if the shape is one string.
func (t *ShapeTemplate) Text() (*TextTemplate, bool) { return t.text, t.text != nil }

// Span is the shape's place in its file.
func (t *ShapeTemplate) Span() Span { return t.span }

// Null reports whether the shape is an empty value.
func (t *ShapeTemplate) Null() bool { return t.null }

// AppendJSON appends the JSON text of the shape for one request.
func (t *ShapeTemplate) AppendJSON(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	from := len(dst)
	dst, err := appendOps(ctx, env, dst, t.ops)
	if err == nil && len(dst) == from {
		dst = append(dst, "null"...) // a whole shape that $if left out
	}
	return dst, err
}

func appendOps(ctx context.Context, env Env, dst []byte, ops []op) ([]byte, error) {
	var err error
	for i := range ops {
		switch o := &ops[i]; {
		case o.static != "":
			dst = append(dst, o.static...)
		case o.comma:
			dst = comma(dst)
		case o.expr != nil:
			dst, err = o.expr.AppendJSON(ctx, env, dst)
		case o.text != nil:
			dst, err = appendQuoted(ctx, env, dst, o.text)
		default:
			dst, err = o.block.append(ctx, env, dst)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// comma separates a member from what stands in front of it, if anything does:
// no value ends in an opening bracket.
func comma(dst []byte) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		return append(dst, ',')
	}
	return dst
}

func appendQuoted(ctx context.Context, env Env, dst []byte, t *TextTemplate) ([]byte, error) {
	from := len(dst)
	dst, err := t.Append(ctx, env, dst)
	if err != nil {
		return dst, err
	}
	for _, c := range dst[from:] {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return AppendJSONString(dst[:from], string(dst[from:])), nil
		}
	}
	dst = append(dst, '"', '"')
	copy(dst[from+1:], dst[from:len(dst)-2])
	dst[from] = '"'
	return dst, nil
}

func (b *block) append(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	if b.each == nil {
		keep, err := b.cond.Bool(ctx, env)
		if err != nil || !keep {
			return dst, err
		}
		dst = append(b.comma(dst), b.key...)
		return appendOps(ctx, env, dst, b.body)
	}
	dst = append(append(b.comma(dst), b.key...), '[')
	dst, err := b.items(ctx, env, dst)
	return append(dst, ']'), err
}

func (b *block) comma(dst []byte) []byte {
	if b.top {
		return dst
	}
	return comma(dst)
}

// items writes one body for each element. Elements of a list that is still
// JSON text are not decoded.
func (b *block) items(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	round := 0
	one := func(dst []byte) ([]byte, error) {
		if b.index != nil {
			b.index.Set(env, round)
			round++
		}
		if err := ctx.Err(); err != nil {
			return dst, context.Cause(ctx)
		}
		if len(dst) > MaxSize {
			return dst, &Fault{Span: b.each.Span(), Message: ErrSize.Error(), Err: ErrSize}
		}
		if b.cond != nil {
			keep, err := b.cond.Bool(ctx, env)
			if err != nil || !keep {
				return dst, err
			}
		}
		return appendOps(ctx, env, comma(dst), b.body)
	}
	text, ok, err := b.each.JSON(env)
	if err != nil {
		return dst, err
	}
	if ok {
		list := gjson.Parse(text)
		if !list.IsArray() {
			return dst, NotListJSON(b.each.Span(), text)
		}
		list.ForEach(func(_, item gjson.Result) bool {
			b.item.SetJSON(env, item.Raw)
			dst, err = one(dst)
			return err == nil
		})
		return dst, err
	}
	v, err := b.each.Eval(ctx, env)
	if err != nil {
		return dst, err
	}
	items, ok := v.([]any)
	if !ok {
		return dst, NotList(b.each.Span(), v)
	}
	for _, item := range items {
		b.item.Set(env, item)
		if dst, err = one(dst); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// NotListJSON is NotList for a value that is still JSON text.
func NotListJSON(at Span, text string) error {
	switch strings.TrimLeft(text, jsonSpace)[0] {
	case '{':
		return NotList(at, map[string]any{})
	case '"':
		return NotList(at, "")
	case 't', 'f':
		return NotList(at, false)
	case 'n':
		return NotList(at, nil)
	}
	return NotList(at, 0)
}

// NotList is the fault of a repetition over something that is no list.
func NotList(at Span, v any) error {
	message := "a list is needed here, this gave " + kindOf(v)
	if v == nil {
		message += " (write ?? [] if it may be absent)"
	}
	return &Fault{Span: at, Message: message}
}
