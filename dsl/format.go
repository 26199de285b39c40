package dsl

import (
	"fmt"
	"slices"
	"strings"
)

// The canonical form of flow files.
//
// A YAML library's own printer loses or moves comments, and a Node has none. So
// the source is read once more, as a sequence of tokens: the scalars that Parse
// found, and between them nothing but white space, punctuation and comments,
// each of which is kept or known to be redundant (format_scan.go). The tokens
// become a tree in which every comment has its owner (format_read.go), the keys
// of the language are put into their order (format_order.go), and the tree is
// written anew (format_print.go, format_scalar.go).
//
// None of this is trusted: what was written is parsed again, and Format gives it
// only if it says the same as the source and has all of its comments.

// Format is src in the canonical form. A source that Parse finds faults in has
// none: they are reported, and ok is false. Faults of meaning, such as unknown
// keys, do not matter.
func Format(src *Source, g *Grammar, r Reporter) (text string, ok bool) {
	var faults Diagnostics
	roots := Parse(src, &faults)
	if faults.Failed() {
		for _, x := range faults.All() {
			if x.Severity == Error {
				r.Report(x)
			}
		}
		return "", false
	}
	text, err := format(src, roots, g)
	if err != nil {
		r.Report(Diagnostic{
			Span: Span{src, 0, 0}, Code: "cannot-format", Message: fmt.Sprintf("this file cannot be formatted without a loss: %v", err),
			Hint: "this is a fault of the formatter, not of the file; please report it with the file",
		})
		return "", false
	}
	return text, true
}

func format(src *Source, roots []*Node, g *Grammar) (string, error) {
	before, err := readSheet(src, roots)
	if err != nil {
		return "", err
	}
	for i := range before.docs {
		g.arrange(before.docs[i].value)
	}
	text := before.print()

	var faults Diagnostics
	out := NewSource(src.Name, text)
	roots = Parse(out, &faults)
	if faults.Failed() {
		return "", fmt.Errorf("its new form has a fault: %s: %s", faults.All()[0].Span, faults.All()[0].Message)
	}
	after, err := readSheet(out, roots)
	if err != nil {
		return "", err
	}
	return text, before.loss(after)
}

// loss is what the sheet says and the other, which was read from its print, does
// not say alike. The order of keys is that of the sheet, which is arranged.
func (s *sheet) loss(other *sheet) error {
	if len(s.docs) != len(other.docs) {
		return fmt.Errorf("of %d documents it has %d", len(s.docs), len(other.docs))
	}
	for i := range s.docs {
		if at := s.docs[i].value.differs(other.docs[i].value); at != nil {
			return fmt.Errorf("%s would change", at.node.Span)
		}
	}
	if !slices.Equal(slices.Sorted(slices.Values(s.comments)), slices.Sorted(slices.Values(other.comments))) {
		return fmt.Errorf("its comments would change")
	}
	return nil
}

// differs is the first value that the other tree does not have in its place, or
// nil.
func (v *value) differs(other *value) *value {
	n, o := v.node, other.node
	if n.Kind != o.Kind || n.Type != o.Type || v.text() != o.Text || len(v.entries) != len(other.entries) {
		return v
	}
	for i := range v.entries {
		e, f := &v.entries[i], &other.entries[i]
		if e.key != nil && e.key.Text != f.key.Text {
			return e.value
		}
		if at := e.value.differs(f.value); at != nil {
			return at
		}
	}
	return nil
}

// text is the text of a scalar without the outer spaces of its expressions.
func (v *value) text() string {
	if !v.template || v.node.Style == Literal || v.node.Style == Folded || strings.ContainsAny(v.node.Span.Text(), "\r\n") {
		return v.node.Text
	}
	return trimExpressions(v.node.Text)
}

func trimExpressions(text string) string {
	var b strings.Builder
	for {
		k := strings.Index(text, "$(")
		if k < 0 {
			break
		}
		end := closeExpression(text, k)
		if k > 0 && text[k-1] == '$' {
			end = k + 2
		} else if end < 0 {
			break
		} else if inner := strings.Trim(text[k+2:end-1], " "); inner != "" {
			b.WriteString(text[:k] + "$(" + inner + ")")
			text = text[end:]
			continue
		}
		b.WriteString(text[:end])
		text = text[end:]
	}
	return b.String() + text
}
