package dsl

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	mostUntabbed = 64 << 10 // bytes of a document whose tabs are looked at
	mostTabs     = 200      // lines with tabs, each of which is a reading of the document
)

// untabbed makes spaces of the tabs that indent. How many stand for one is
// certain if all numbers that make a document make the same one.
func (w *syntaxReader) untabbed() (edits []Edit, certain bool) {
	if w.untabbing || w.end-w.start > mostUntabbed {
		return nil, false
	}
	var first *yaml.Node
	certain = true
	for _, width := range []int{2, 4, 8} {
		tried, root := w.tabsAs(width)
		switch {
		case root == nil:
		case first == nil:
			edits, first = tried, root
		default:
			certain = certain && sameContent(first, root)
		}
	}
	return edits, certain && first != nil
}

// tabsAs replaces the tabs that are faults, one line after the other, and gives
// what the document then is; nil if it is none.
func (w *syntaxReader) tabsAs(width int) (edits []Edit, root *yaml.Node) {
	text := w.src.Text[w.start:w.end]
	moved := 0 // by how much text is longer than the source, up to the place at hand
	for range mostTabs {
		src := NewSource(w.src.Name, text)
		d := document{src: src, end: len(text), firstLine: 1}
		root, err := d.decode()
		if err == nil {
			return edits, root
		}
		again := syntaxReader{document: d, text: text, untabbing: true}
		if again.walk(); again.fault == nil || again.fault.Code != "tab" {
			return nil, nil
		}
		at := again.fault.Span
		tabs := strings.Count(at.Text(), "\t")
		spaces := strings.ReplaceAll(at.Text(), "\t", strings.Repeat(" ", width))
		edits = append(edits, Edit{Span{w.src, w.start + at.Start - moved, w.start + at.End - moved}, spaces})
		moved += tabs * (width - 1)
		text = text[:at.Start] + spaces + text[at.End:]
	}
	return nil, nil
}

// sameContent reports whether two documents hold the same.
func sameContent(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, sameContent)
}

// tabAlone is about lines that hold nothing but tabs and spaces, if these are
// all that is wrong. An editor leaves them behind.
func (w *syntaxReader) tabAlone() (x Diagnostic, ok bool) {
	if w.end-w.start > mostUntabbed {
		return x, false
	}
	var edits []Edit
	var rest strings.Builder
	for p := w.start; p < w.end; {
		end := w.lineEnd(p)
		next := end + lineBreak(w.text, end)
		line := w.text[p:end]
		if strings.Contains(line, "\t") && strings.Trim(line, " \t") == "" {
			edits = append(edits, Edit{Span{w.src, p, end}, ""})
			line = ""
		}
		rest.WriteString(line + w.text[end:next])
		p = next
	}
	if len(edits) == 0 {
		return x, false
	}
	src := NewSource(w.src.Name, rest.String())
	if _, err := (document{src: src, end: len(src.Text), firstLine: 1}).decode(); err != nil {
		return x, false
	}
	x = Diagnostic{Span: edits[0].Span, Code: "tab", Message: "a tab stands alone on this line, and YAML takes only spaces"}
	x.Hint = "delete it"
	x.Mend("delete it", edits...)
	return x, true
}
