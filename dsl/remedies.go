package dsl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// What to say of a value that is not of the kind that its key takes.

// mismatch reports a value of a wrong type. The doc of its key, if it is known
// here, says what to write in place of a mapping.
func (d *decoder) mismatch(n *Node, want form, name, doc string) {
	if n.Kind == Scalar && n.Type == Null && n.Text == "" {
		span := n.Span
		if n.key != nil {
			span = n.key.Span
		}
		where := "behind the colon"
		switch want {
		case formList, formTable, formObject, formSteps, formBlock, formBranches, formBundles:
			where = "below it"
		}
		d.errorf(span, "wrong-type", fmt.Sprintf("write %s %s, or delete the key", want.wanted(), where), "%s has no value", name)
		return
	}
	x := Diagnostic{Span: n.head(), Code: "wrong-type", Message: fmt.Sprintf("%s is %s here, not %s", name, want.wanted(), n.found()), Hint: remedyFor(n, want)}
	if n.Kind == Map && doc != "" && x.Hint == oneText {
		x.Hint += " (" + strings.TrimSuffix(doc, ".") + ")"
	}
	repair(&x, n, want)
	d.report(x)
}

// repair adds the fix that remedyFor speaks of, where that is only a matter of
// form.
func repair(x *Diagnostic, n *Node, want form) {
	number, text := resolve(n.Text), n.Text
	if !strings.Contains(n.Span.Text(), text) {
		return // it is written otherwise: of the environment, with escapes
	}
	switch {
	case n.Kind == Map:
		var edits []Edit
		for _, f := range n.Fields {
			if !strings.HasPrefix(f.Key.Span.Text(), "-") {
				return
			}
			edits = append(edits, Edit{Span{n.Span.Source, f.Key.Span.Start + 1, f.Key.Span.Start + 1}, " "})
		}
		if len(edits) > 0 {
			x.Mend("write a space behind the dash", edits...)
		}
	case n.Kind != Scalar || strings.Contains(text, "$("):
	case want == formInt && number == Int, want == formFloat && (number == Int || number == Float), want == formBool && number == Bool:
		if n.Style == SingleQuoted || n.Style == DoubleQuoted {
			x.Mend("leave out the quotes", Edit{n.Span, text})
		}
	case want == formInt || want == formFloat:
		whole, fraction, _ := strings.Cut(text, ".")
		if plain, ok := plainNumber(text); ok && strings.ReplaceAll(text, "_", "") == plain { // zeros in front may mean another base
			x.Mend("write "+plain, Edit{n.Span, plain})
		} else if want == formInt && number == Float && strings.Trim(fraction, "0") == "" && resolve(whole) == Int {
			x.Mend("write "+whole, Edit{n.Span, whole})
		}
	case want == formList:
		if remedyFor(n, want) == fmt.Sprintf("write [%s]", n.Span.Text()) && n.Type != Null {
			x.Mend("write a list", Edit{n.Span, "[" + n.Span.Text() + "]"})
		}
	case want == formObject || want == formTable || want == formBlock:
		n.spaced(x)
	}
}

var tightColon = regexp.MustCompile(`^[a-z_][a-z0-9_-]*:[^\s:/]`)

// spaced puts the space behind the colon of an unquoted key:value.
func (n *Node) spaced(x *Diagnostic) {
	if n.Style != Plain || !tightColon.MatchString(n.Text) {
		return
	}
	if at := n.At(0, strings.IndexByte(n.Text, ':')+1); strings.HasSuffix(at.Text(), ":") {
		x.Mend("write a space behind the colon", Edit{Span{at.Source, at.End, at.End}, " "})
	}
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

const oneText = "write one text"

// spelledOut reports whether a mapping in brackets is meant as one, for it has
// keys with values; { x } is more likely a text that wants quotes.
func spelledOut(n *Node) bool {
	return n.Kind == Map && len(n.Fields) > 0 && n.Fields[0].Key.Kind == Scalar && !(n.Fields[0].Value.Type == Null && n.Fields[0].Value.Text == "")
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
		if n.Kind != Scalar && strings.IndexAny(n.Span.Text(), "{[") == 0 && !spelledOut(n) {
			return "quote a text that begins with a bracket"
		}
		if want == formCond {
			return "write an expression, such as query.id != null"
		}
		return oneText
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
	case formRate:
		return "write a rate such as 100/s, 90/m or 5000/h"
	case formList, formBundles:
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

// repairObject shows the mapping that is wanted in place of n: the keys that it
// needs, or the first, with n itself as the value where that may be meant.
func repairObject(d *Diagnostic, n *Node, keys []field) {
	d.Hint = remedyFor(n, formObject)
	if repair(d, n, formObject); d.Hint != "write key: value below it" || len(keys) == 0 {
		return
	}
	wanted := keys[:1]
	required := slices.DeleteFunc(slices.Clone(keys), func(x field) bool { return !x.required })
	if len(required) > 0 {
		wanted = required
	}
	shown := make([]string, len(wanted))
	for i, x := range wanted {
		shown[i] = x.key + ": ..."
		form := x.shape.target().form
		fits := n.Type == Str && (form == formText || form == formString || form == formTemplate) || n.Type == Int && form == formInt
		if len(wanted) != 1 || n.Kind != Scalar || !fits {
			continue
		}
		if rest, ok := strings.CutPrefix(n.Span.Text(), x.key+" "); ok { // the key is there, without its colon
			shown[i] = x.key + ": " + rest
			continue
		}
		shown[i] = x.key + ": " + n.Span.Text()
		if value := inBrackets(n); len(required) == 1 && value != "" && len(d.Fixes) == 0 {
			d.Mend(fmt.Sprintf("write { %s: %s }", x.key, value), Edit{n.Span, fmt.Sprintf("{ %s: %s }", x.key, value)})
		}
	}
	d.Hint = "write { " + strings.Join(shown, ", ") + " }"
}

// inBrackets is a scalar as it can be written inside of brackets, or "".
func inBrackets(n *Node) string {
	text := n.Span.Text()
	switch {
	case strings.ContainsAny(text, "\r\n"):
		return ""
	case n.Style != Plain || !strings.ContainsAny(text, ",[]{}?"):
		return text
	}
	return quoted(text)
}
