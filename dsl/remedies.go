package dsl

import (
	"fmt"
	"slices"
	"strings"
)

// What to say of a value that is not of the kind that its key takes.

// mismatch reports a value of a wrong type.
func (d *decoder) mismatch(n *Node, want form, name string) {
	if n.Kind == Scalar && n.Type == Null && n.Text == "" {
		span := n.Span
		if n.key != nil {
			span = n.key.Span
		}
		where := "behind the colon"
		switch want {
		case formList, formTable, formObject, formSteps, formBlock, formBranches:
			where = "below it"
		}
		d.errorf(span, "wrong-type", fmt.Sprintf("write %s %s, or delete the key", want.wanted(), where), "%s has no value", name)
		return
	}
	d.errorf(n.head(), "wrong-type", remedyFor(n, want), "%s is %s here, not %s", name, want.wanted(), n.found())
}

// head is the part of the node that is worth underlining.
func (n *Node) head() Span {
	if n.Kind == Map && len(n.Fields) > 0 && n.Fields[0].Key.Span.Start == n.Span.Start {
		return n.Fields[0].Key.Span
	}
	return n.Span
}

func (n *Node) found() string {
	switch {
	case n.Kind == List:
		return "a list"
	case n.Kind == Map:
		return "a mapping"
	case n.Type == Str && strings.Contains(n.Text, "$("):
		return "an expression"
	default:
		return n.Type.String()
	}
}

// remedyFor says what to write instead.
func remedyFor(n *Node, want form) string {
	text := strings.TrimSpace(n.Text)
	switch {
	case n.Kind == Scalar && strings.Contains(text, "$("):
		return "write the value itself: this is read when the file is loaded, before there is anything to evaluate"
	case n.Kind == Map && len(n.Fields) > 0 && strings.HasPrefix(n.Fields[0].Key.Text, "-") && n.Fields[0].Key.Style == Plain:
		return "write a space behind the dash"
	}
	number := resolve(text)
	switch want {
	case formText, formString, formTemplate, formCustom, formCond, formSecret:
		if n.Kind != Scalar && strings.IndexAny(n.Span.Text(), "{[") == 0 {
			return "quote a text that begins with a bracket"
		}
		if want == formCond {
			return "write an expression, such as query.id != null"
		}
		return "write one text"
	case formInt:
		if plain, ok := plainNumber(text); ok {
			return "write " + plain
		}
		if whole, fraction, ok := strings.Cut(text, "."); ok && strings.Trim(fraction, "0") == "" && resolve(whole) == Int {
			return "write " + whole
		}
		if n.Style != Plain && number == Int {
			return fmt.Sprintf("write %s without quotes", text)
		}
		return "write a number such as 3"
	case formFloat:
		if plain, ok := plainNumber(text); ok {
			return "write " + plain
		}
		if n.Style != Plain && (number == Int || number == Float) {
			return fmt.Sprintf("write %s without quotes", text)
		}
		return "write a number such as 0.5"
	case formBool:
		if n.Style != Plain && number == Bool {
			return fmt.Sprintf("write %s without quotes", text)
		}
		return "write true or false"
	case formDuration:
		return "write a duration such as 2s or 150ms"
	case formSize:
		return "write a size such as 64KB or 10MB"
	case formPercent:
		return "write a percentage such as 20%"
	case formList:
		if n.Kind == Scalar && text != "" && !strings.ContainsAny(text, "\n,[]{}") {
			return fmt.Sprintf("write [%s]", n.Span.Text())
		}
		return "begin each item with a dash and a space"
	case formSteps:
		return "begin each step with a dash and a space"
	case formBranches:
		return "write each step below it, behind a dash or a name with a colon"
	case formBlock:
		if n.Kind == List {
			return "write id: in place of each dash, with the step below it"
		}
	}
	if key, value, ok := strings.Cut(text, ":"); ok && n.Style == Plain && key != "" && value != "" && !strings.ContainsAny(key, " \n") {
		return "write a space behind the colon"
	}
	return "write key: value below it"
}

// remedyForObject shows the mapping that is wanted in place of n: the keys that
// it needs, or the first, with n itself as the value where that may be meant.
func remedyForObject(n *Node, keys []field) string {
	if remedy := remedyFor(n, formObject); remedy != "write key: value below it" || len(keys) == 0 {
		return remedy
	}
	wanted := keys[:1]
	if required := slices.DeleteFunc(slices.Clone(keys), func(x field) bool { return !x.required }); len(required) > 0 {
		wanted = required
	}
	shown := make([]string, len(wanted))
	for i, x := range wanted {
		shown[i] = x.key + ": ..."
		form := x.shape.target().form
		fits := n.Type == Str && (form == formText || form == formString || form == formTemplate) || n.Type == Int && form == formInt
		if len(wanted) == 1 && n.Kind == Scalar && fits {
			shown[i] = x.key + ": " + n.Span.Text()
		}
	}
	return "write { " + strings.Join(shown, ", ") + " }"
}
