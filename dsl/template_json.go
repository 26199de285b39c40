package dsl

import (
	"context"
	"strings"

	"github.com/tidwall/gjson"
)

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
