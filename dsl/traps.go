package dsl

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// The traps of YAML: text that is well-formed and means something other than
// what its author sees, and constructs that the language does without. Each is
// reported with what to write instead.

var errTrailing = errors.New("yaml: content behind the document's end")

// property reports an anchor, alias or tag at the start of a value, and returns
// the place behind it. A lone ! would otherwise vanish without a trace, and with
// it the negation that it was meant to be.
func property(src *Source, at, end int, flow bool, r Reporter) (behind int) {
	text := nearby(src.Text[at:end])
	word := text[:wordEnd(text)]
	span := Span{src, at, at + len(word)}
	line := strings.TrimRight(text[:lineEnd(text)], " \t")
	if k := strings.Index(line, " #"); k >= 0 {
		line = strings.TrimRight(line[:k], " \t")
	}
	if flow {
		line = strings.TrimRight(upTo(line, ",]}"), " \t")
	}
	switch {
	case strings.HasPrefix(word, "!!"):
		r.Report(Diagnostic{
			Span: span, Code: "yaml-tag", Message: fmt.Sprintf("YAML tags such as %s are not used here", word),
			Hint: "delete it; quote the value if it is to be text",
		})
	case word[0] == '!':
		name := strings.TrimLeft(line, "! \t")
		hint := "quote the value: " + quoted(line)
		if name != "" {
			hint = fmt.Sprintf("write not %s, or quote the value: %s", name, quoted(line))
		}
		x := Diagnostic{Span: span, Code: "yaml-tag", Message: fmt.Sprintf("YAML reads %s as a tag, not as a negation", word), Hint: hint}
		if name != "" {
			x.Offer("write not", Edit{Span{src, at, at + 1}, "not "})
		}
		r.Report(x)
	case word[0] == '&':
		r.Report(Diagnostic{
			Span: span, Code: "yaml-anchor", Message: fmt.Sprintf("YAML reads %s as an anchor, which is not used here", word),
			Hint: "write the value out where it is needed, use a sub-flow, or quote text that begins with &",
		})
	default:
		r.Report(Diagnostic{
			Span: span, Code: "yaml-alias", Message: fmt.Sprintf("YAML reads %s as an alias, which is not used here", word),
			Hint: "write the value out, use a sub-flow, or quote text that begins with *",
		})
	}
	return at + len(word)
}

// nearby is what a remedy looks at. Without the bound, a file of one long line
// with a fault in each of its values would be read once for each.
func nearby(text string) string { return text[:min(len(text), 2048)] }

// upTo is text before the first of the stop bytes.
func upTo(text, stops string) string {
	if k := strings.IndexAny(text, stops); k >= 0 {
		return text[:k]
	}
	return text
}

func wordEnd(text string) int {
	if k := strings.IndexAny(text, " \t\r\n,[]{}"); k > 0 {
		return k
	} else if k == 0 {
		return 1
	}
	return len(text)
}

func lineEnd(text string) int {
	if k := strings.IndexAny(text, "\r\n"); k >= 0 {
		return k
	}
	return len(text)
}

// properties reports what stands before a node's content and moves the node's
// start behind it.
func (c *converter) properties(n *Node, y *yaml.Node, where place) {
	for at := n.Span.Start; at < c.end && strings.IndexByte("!&*", c.src.Text[at]) >= 0; {
		start := at
		r := c.r
		if where.merge || c.data {
			r = &Diagnostics{} // the merge key is reported; in data all of it has its place
		}
		at = property(c.src, at, c.end, where.flow, r)
		n.Span.End = at
		n.broken = n.broken || !c.data && (y.Kind == yaml.AliasNode || y.Kind == yaml.ScalarNode && c.src.Text[start] == '!')
		if y.Kind == yaml.AliasNode || y.Kind == yaml.ScalarNode && y.Value == "" && y.Style&^yaml.TaggedStyle == 0 {
			return
		}
		for at < c.end && strings.IndexByte(" \t\r\n#", c.src.Text[at]) >= 0 {
			if c.src.Text[at] == '#' {
				at += lineEnd(c.src.Text[at:c.end])
			} else {
				at++
			}
		}
		n.Span.Start, n.Span.End = at, at
	}
}

// checkKey reports keys that the language leaves out. Only true keys are kept.
func (c *converter) checkKey(key *Node, y *yaml.Node) bool {
	before := strings.TrimRight(c.src.Text[c.start:key.Span.Start], " ")
	switch {
	case y.Kind == yaml.AliasNode: // reported
	case y.Kind != yaml.ScalarNode || key.Style == Literal || key.Style == Folded,
		strings.HasSuffix(before, "?") && len(before) < key.Span.Start-c.start:
		c.r.Report(Diagnostic{
			Span: key.Span, Code: "complex-key", Message: "a key is a plain word or a quoted text",
			Hint: "write it as key: value; quote a value that begins with [ or {",
		})
	case key.Style == Plain && key.Text == "<<":
		c.r.Report(Diagnostic{
			Span: key.Span, Code: "merge-key", Message: "merge keys (<<) are not used here",
			Hint: "write the keys out, or use a sub-flow",
		})
	case key.Style == Plain && key.Text == "":
		c.r.Report(Diagnostic{
			Span: key.Span, Code: "empty-key", Message: "a key is missing before the colon",
			Hint: "write key: value, or quote a value that holds a colon",
		})
	default:
		return true
	}
	return false
}

// checkScalar reports the traps of values.
func (c *converter) checkScalar(n *Node, at place) {
	if n.Style == Literal || n.Style == Folded {
		return
	}
	if n.Style == Plain && n.Type == Str {
		if n.broken = n.broken || c.cutShort(n, at); n.broken {
			return
		}
		c.ambiguous(n)
		c.swallowed(n)
	}
	if strings.Contains(n.Text, "${") || strings.Contains(n.Text, "{{") {
		c.foreignBraces(n)
	}
}

// cutShort reports an expression that YAML ends before its closing parenthesis:
// at a comment, or at a comma or bracket of an inline mapping.
func (c *converter) cutShort(n *Node, at place) bool {
	open := openExpression(n.Text)
	if open < 0 {
		return false
	}
	rest := nearby(c.src.Text[n.Span.End:c.end])
	line := strings.TrimLeft(rest[:lineEnd(rest)], " \t")
	switch {
	case strings.HasPrefix(line, "#"):
		x := Diagnostic{
			Span: n.At(open, len(n.Text)), Code: "cut-expression", Message: `YAML ends the expression at " #" and reads the rest as a comment`,
			Hint: "quote the value: " + quoted(n.Span.Text()+rest[:lineEnd(rest)]),
		}
		x.quote(n.Span, at.flow)
		c.r.Report(x)
	case at.flow && line != "":
		c.r.Report(cutInline(n.Span, n.At(open, open).Start-n.Span.Start, line[0]))
	default:
		return false
	}
	return true
}

// cutInline is about an expression that begins at value.Start+open and that YAML
// ends, with the value, before the byte by.
func cutInline(value Span, open int, by byte) Diagnostic {
	x := Diagnostic{
		Span: Span{value.Source, value.Start + open, value.End}, Code: "cut-expression",
		Message: fmt.Sprintf("inside [ ] and { }, YAML ends the unquoted expression at %s", char(by)),
		Hint:    "quote the value: '$(...)'",
	}
	text := nearby(value.Source.Text[value.Start:])
	if text = text[:lineEnd(text)]; open < len(text) {
		if k := closeExpression(text, open); k > 0 {
			x.Span.End = value.Start + k
			x.Hint = "quote the value: " + quoted(text[:k])
			x.quote(value, true)
		}
	}
	return x
}

// quote puts an unquoted value, which YAML ends in the middle of an expression,
// into quotes: up to the end of that expression, if nothing but the end of the
// value, or a comment, stands behind it.
func (x *Diagnostic) quote(value Span, flow bool) {
	text := nearby(value.Source.Text[value.Start:])
	text = text[:lineEnd(text)]
	open := openExpression(value.Text())
	if open < 0 || open >= len(text) {
		return
	}
	k := closeExpression(text, open)
	if k < 0 {
		return
	}
	whole := Span{value.Source, value.Start, value.Start + k}
	behind := text[k:]
	ended := strings.TrimLeft(behind, " \t")
	if ended == "" || ended[0] == '#' && ended != behind || flow && strings.IndexByte(",]}", ended[0]) >= 0 {
		x.fix(quoting(whole))
	}
}

// openExpression is the offset of the first $( that has no closing parenthesis,
// or -1.
func openExpression(text string) int {
	for i := 0; ; {
		k := strings.Index(text[i:], "$(")
		if k < 0 {
			return -1
		}
		k += i
		if k > 0 && text[k-1] == '$' {
			i = k + 2
			continue
		}
		if i = closeExpression(text, k); i < 0 {
			return k
		}
	}
}

// closeExpression is the offset behind the parenthesis that closes the $( at
// open, or -1. Parentheses in the expression's own strings do not count.
func closeExpression(text string, open int) int {
	depth := 0
	for i := open + 1; i < len(text); i++ {
		switch c := text[i]; c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"', '\'', '`':
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' && c != '`' {
					i++
				}
			}
		}
	}
	return -1
}

// foreignBraces reports ${...} and {{...}} outside expressions: the notation of
// other tools, which here would be text.
func (c *converter) foreignBraces(n *Node) {
	for i := 0; i < len(n.Text); {
		rest := n.Text[i:]
		shut := ""
		switch {
		case strings.HasPrefix(rest, "$$("):
			i += 3
			continue
		case strings.HasPrefix(rest, "$("):
			if i = closeExpression(n.Text, i); i < 0 {
				return
			}
			continue
		case strings.HasPrefix(rest, "${"):
			shut = "}"
		case strings.HasPrefix(rest, "{{"):
			shut = "}}"
		default:
			i++
			continue
		}
		k := strings.Index(rest, shut)
		if k < 0 {
			return
		}
		c.r.Report(foreign(n.At(i, i+k+len(shut)), rest[:k+len(shut)]))
		n.broken = true
		i += k + len(shut)
	}
}

// foreign is about text that is an expression to another tool. It can be
// rewritten unasked where it holds no more than the path of a value.
func foreign(span Span, text string) Diagnostic {
	inner := strings.Trim(text, "${} \t.-")
	path := inner == strings.Trim(text, "${} ") && valuePath.MatchString(inner)
	if inner == "" {
		inner = "..."
	} else if strings.IndexFunc(inner, func(r rune) bool { return r != '_' && !unicode.IsUpper(r) && !unicode.IsDigit(r) }) < 0 {
		inner = "env." + inner
	}
	x := Diagnostic{
		Span: span, Code: "foreign-braces", Message: "an expression is not written with braces",
		Hint: fmt.Sprintf("write $(%s); braces that are text go into a block (|-)", inner),
	}
	if span.Text() == text && inner != "..." {
		x.Fixes = []Fix{{Title: fmt.Sprintf("write $(%s)", inner), Edits: []Edit{{span, "$(" + inner + ")"}}, Certain: path}}
	}
	return x
}

var valuePath = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)

// doubleBraces reports {{ x }} as a whole value, which YAML reads as a mapping
// with a mapping for a key.
func (c *converter) doubleBraces(n *Node) bool {
	text := nearby(c.src.Text[n.Span.Start:c.end])
	if !strings.HasPrefix(text, "{{") {
		return false
	}
	k := strings.Index(text, "}}")
	if k < 0 {
		return false
	}
	n.Span.End = n.Span.Start + k + 2
	c.r.Report(foreign(n.Span, text[:k+2]))
	n.broken = true
	return true
}

// swallowed reports a list item that YAML joins to the text above it, because
// it is indented more than its siblings.
func (c *converter) swallowed(n *Node) {
	for _, r := range n.runs {
		if r.text > 0 && n.Text[r.text-1] == ' ' && isIndicator(n.Text[r.text:], '-') {
			c.r.Report(Diagnostic{
				Span: Span{c.src, r.src, r.src + 1}, Code: "swallowed-item",
				Message: "YAML reads this list item as more of the text above", Hint: "indent the items of one list alike; quote a text that goes on with a dash",
				Related: []Related{{Span{c.src, n.Span.Start, n.Span.Start + lineEnd(n.Span.Text())}, "the text"}},
			})
			n.broken = true
			return
		}
	}
}

// ambiguous reports words and digits that one YAML reader takes for text and
// another for something else.
func (c *converter) ambiguous(n *Node) {
	text := n.Text
	if x, ok := ambiguousBool(n, formShape); ok {
		c.r.Report(x)
		n.broken = true
		return
	}
	plain, ok := plainNumber(text)
	if !ok {
		return
	}
	x := Diagnostic{
		Span: n.Span, Severity: Warning, Code: "ambiguous-number",
		Message: fmt.Sprintf("%s is read as text here, and as different numbers by different YAML readers", text),
		Hint:    fmt.Sprintf("write %s for the number, or quote it: %s", plain, quoted(text)),
	}
	if n.Span.Text() == text {
		x.Offer("write "+plain, Edit{n.Span, plain})
		x.Offer("write "+quoted(text), Edit{n.Span, quoted(text)})
	}
	c.r.Report(x)
}

// ambiguousBool is about a word that is true or false to some readers. What is
// wanted decides what it is to be; in shapes only the author knows.
func ambiguousBool(n *Node, wanted form) (x Diagnostic, ok bool) {
	if n.Kind != Scalar || n.Style != Plain || len(n.Text) > 3 || len(n.Text) < 2 {
		return x, false
	}
	word := strings.ToLower(n.Text)
	value := word == "yes" || word == "on"
	if !value && word != "no" && word != "off" {
		return x, false
	}
	x = Diagnostic{
		Span: n.Span, Code: "ambiguous-bool",
		Message: fmt.Sprintf("the unquoted word %s is text to some YAML readers and %t to others", n.Text, value),
		Hint:    fmt.Sprintf(`write %t, or quote the word: "%s"`, value, n.Text),
	}
	if n.Span.Text() != n.Text {
		return x, true
	}
	plain := Fix{Title: fmt.Sprintf("write %t", value), Edits: []Edit{{n.Span, strconv.FormatBool(value)}}, Certain: wanted == formBool}
	text := Fix{Title: fmt.Sprintf(`write "%s"`, n.Text), Edits: []Edit{{n.Span, strconv.Quote(n.Text)}}}
	text.Certain = wanted == formText || wanted == formString || wanted == formTemplate
	if x.Fixes = []Fix{plain, text}; text.Certain {
		x.Fixes = []Fix{text, plain}
	}
	return x, true
}

// repeated is the fault of a value that has been reported, with what is known of
// its remedy where it is known what is wanted.
func repeated(n *Node, wanted form) (x Diagnostic, ok bool) {
	src := n.Span.Source
	if x, ok = ambiguousBool(n, wanted); ok || wanted != formCond || !strings.HasPrefix(src.Text[n.Span.Start:], "!") {
		return x, ok
	}
	var found Diagnostics
	property(src, n.Span.Start, len(src.Text), false, &found)
	for _, x := range found.All() {
		certainly(x.Fixes)
		return x, true
	}
	return x, false
}

// certainly makes the first of some fixes the one that can be meant.
func certainly(fixes []Fix) {
	if len(fixes) > 0 {
		fixes[0].Certain = true
	}
}
