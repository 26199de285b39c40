package dsl

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

func (d *decoder) scalar(n *Node, v reflect.Value, s *shape, x *field, name string) bool {
	switch s.form {
	case formTemplate:
		v.Set(reflect.ValueOf(Text{n}))
	case formCond:
		v.Set(reflect.ValueOf(Cond{n}))
	case formSecret:
		v.Set(reflect.ValueOf(Secret{n.Span, n.Text}))
	case formText:
		if !d.among(n, x, name) {
			return false
		}
		v.SetString(n.Text)
		if k := strings.Index(n.Text, "$("); k >= 0 && openExpression(n.Text) < 0 && !strings.HasPrefix(n.Text[max(k-1, 0):], "$$(") {
			d.r.Report(Diagnostic{
				Span: n.At(k, k+2), Severity: Warning, Code: "not-evaluated",
				Message: fmt.Sprintf("%s is plain text, so the expression in it is not evaluated", quotedName(name)), Hint: "write the value itself",
			})
		}
	case formString:
		if !d.among(n, x, name) {
			return false
		}
		v.Set(reflect.ValueOf(String{n.Text, n.Span}))
	case formBool:
		if n.Type != Bool {
			d.mismatch(n, s.form, quotedName(name), "")
			return false
		}
		v.SetBool(n.Text[0] == 't' || n.Text[0] == 'T')
	case formInt:
		return d.whole(n, v, x, name)
	case formFloat:
		return d.float(n, v, x, name)
	default:
		return d.unit(n, v, s, x, name)
	}
	return true
}

func (d *decoder) among(n *Node, x *field, name string) bool {
	if x.enum == nil || slices.Contains(x.enum, n.Text) {
		return true
	}
	hint := "write " + strings.Join(x.enum, ", ")
	if k := len(x.enum) - 1; k > 0 {
		hint = "write " + strings.Join(x.enum[:k], ", ") + " or " + x.enum[k]
	}
	fault := Diagnostic{Span: n.Span, Code: "unknown-value", Message: fmt.Sprintf("%s cannot be %q", quotedName(name), n.Text), Hint: hint}
	fault.SuggestWord(n.Text, x.enum)
	d.report(fault)
	return false
}

func (d *decoder) whole(n *Node, v reflect.Value, x *field, name string) bool {
	if n.Type != Int {
		d.mismatch(n, formInt, quotedName(name), "")
		return false
	}
	i, err := strconv.ParseInt(n.Text, 0, 64)
	if err != nil || v.OverflowInt(i) {
		d.errorf(n.Span, "out-of-range", "write a smaller number", "%s is too large", n.Text)
		return false
	}
	v.SetInt(i)
	return d.within(n, float64(i), x, name)
}

func (d *decoder) float(n *Node, v reflect.Value, x *field, name string) bool {
	if n.Type != Int && n.Type != Float {
		d.mismatch(n, formFloat, quotedName(name), "")
		return false
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if i, intErr := strconv.ParseInt(n.Text, 0, 64); err != nil && intErr == nil {
		f, err = float64(i), nil // 0x1f and 0o17
	}
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.errorf(n.Span, "out-of-range", "write digits, such as 0.5", "%s is not a number that can be used here", n.Text)
		return false
	}
	v.SetFloat(f)
	return d.within(n, f, x, name)
}

// unit decodes scalars that read their own text.
func (d *decoder) unit(n *Node, v reflect.Value, s *shape, x *field, name string) bool {
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Text)); err != nil {
		message, hint := err.Error(), ""
		if r := (*remedy)(nil); errors.As(err, &r) {
			message, hint = r.message, r.hint
		}
		if n.found() == "an expression" {
			hint = remedyFor(n, s.form)
		}
		fault := Diagnostic{Span: n.Span, Code: "bad-value", Message: fmt.Sprintf("%s: %s", quotedName(name), message), Hint: hint}
		if units := map[form][]string{formDuration: {"s", "ms"}, formSize: {"KB", "MB"}, formPercent: {"%"}}[s.form]; n.Type == Int && n.Span.Text() == n.Text {
			for _, unit := range units {
				fault.Offer("write "+n.Text+unit, Edit{n.Span, n.Text + unit})
			}
		}
		d.report(fault)
		return false
	}
	switch s.form {
	case formDuration, formSize:
		return d.within(n, float64(v.Int()), x, name)
	case formPercent:
		return d.within(n, v.Float(), x, name)
	}
	return true
}

func (d *decoder) within(n *Node, value float64, x *field, name string) bool {
	low, high := x.min, x.max
	if (low.text == "" || value >= low.value) && (high.text == "" || value <= high.value) {
		return true
	}
	hint := ""
	switch {
	case low.text != "" && high.text != "":
		hint = fmt.Sprintf("write a value from %s to %s", low.text, high.text)
	case low.text != "":
		hint = fmt.Sprintf("write %s or more", low.text)
	default:
		hint = fmt.Sprintf("write %s or less", high.text)
	}
	d.errorf(n.Span, "out-of-range", hint, "%s cannot be %s", quotedName(name), n.Text)
	return false
}
