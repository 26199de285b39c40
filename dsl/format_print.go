package dsl

import (
	"slices"
	"strings"
)

// maxWidth is how long a line may be that holds a list or mapping in brackets.
const maxWidth = 100

// printer writes a sheet line by line.
type printer struct {
	lines []line
	open  string // the indentation and the dashes that the next line begins with
	above bool   // an empty line stands above the line with the open dash
	fresh bool   // a block begins: no empty line here
	text  bool   // a text ends here to which an empty line would belong
}

// line is a line of the new source.
type line struct {
	text  string
	note  *comment // behind the text
	blank bool     // an empty line stands above
}

// print writes the sheet in the canonical form.
func (s *sheet) print() string {
	p := printer{fresh: true}
	p.comments(s.head, 0)
	for i := range s.docs {
		doc := &s.docs[i]
		if i > 0 {
			p.line(0, "---", doc.note, false)
			p.fresh = true
		}
		p.comments(doc.head, 0)
		if v := doc.value; len(v.entries) > 0 && !v.inline {
			v.entries[0].setBlank(doc.blank) // whichever is the first now
		}
		p.entry(&entry{blank: doc.blank, value: doc.value}, 0)
		p.comments(doc.tail, 0)
	}
	align(p.lines)
	var b strings.Builder
	for _, l := range p.lines {
		if l.blank {
			b.WriteByte('\n')
		}
		b.WriteString(l.text)
		if l.note != nil {
			b.WriteString(l.note.text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// line adds a line, with its indentation or the open dashes before it.
func (p *printer) line(indent int, text string, note *comment, blank bool) {
	if p.open == "" {
		p.open, p.above = strings.Repeat(" ", indent), blank && !p.fresh
	}
	p.lines = append(p.lines, line{
		text: strings.TrimRight(p.open+text, " "), note: note, blank: p.above && !p.text && len(p.lines) > 0,
	})
	p.open, p.fresh, p.text = "", false, false
}

// dash opens an item of a list.
func (p *printer) dash(indent int, blank bool) {
	if p.open == "" {
		p.open, p.above = strings.Repeat(" ", indent), blank && !p.fresh
	}
	p.open += "- "
}

// comments writes comments on lines of their own. Behind an open dash is such a
// line, too.
func (p *printer) comments(all []comment, indent int) {
	for _, c := range all {
		dashed := p.open != ""
		p.line(indent, c.text, nil, c.blank)
		p.fresh = dashed
	}
}

// entries writes what is in a list or mapping as a block.
func (p *printer) entries(v *value, indent int) {
	for i := range v.entries {
		e := &v.entries[i]
		p.comments(e.head, indent)
		if e.key == nil {
			p.dash(indent, e.blank)
			p.entry(e, indent+2)
		} else {
			p.entry(e, indent)
		}
	}
	p.comments(v.foot, indent)
}

// entry writes the entry of a mapping, or the value behind an open dash, or that
// of a document, in the column indent.
func (p *printer) entry(e *entry, indent int) {
	label, inside := "", indent
	if e.key != nil {
		label, inside = writeKey(e.key, false)+":", indent+2
	}
	switch v := e.value; {
	case v.node.Kind == Scalar && v.node.Span.Start == v.node.Span.End:
		p.label(indent, label, e.note, e.blank)
		p.fresh = false
	case v.node.Kind == Scalar:
		p.leaf(e, indent, label, inside)
	case v.fits(indent + cells(label)):
		v.above, v.foot = append(v.above, v.foot...), nil // of empty brackets
		p.leaf(e, indent, label, inside)
	default:
		p.nest(e, indent, label, inside)
	}
}

// label writes a key or a dash without its value.
func (p *printer) label(indent int, label string, note *comment, blank bool) {
	switch {
	case label != "":
		p.line(indent, label, note, blank)
		p.fresh = true
	case note != nil:
		p.comments([]comment{{text: note.text, blank: blank}}, indent)
	case p.open != "":
		p.line(indent, "", nil, blank)
		p.fresh = true
	}
}

// leaf writes a value that begins on the line of its key or dash. Only comments
// that would have no place there can move it to a line of its own.
func (p *printer) leaf(e *entry, indent int, label string, inside int) {
	v, note, blank := e.value, e.value.note, e.blank
	if len(v.above) > 0 || e.note != nil && note != nil {
		p.label(indent, label, e.note, e.blank)
		p.comments(v.above, inside)
		indent, label, blank = inside, "", false
	} else if e.note != nil {
		note = e.note
	}
	if label != "" {
		label += " "
	}
	lines, header := v.lines()
	for i, text := range lines {
		var behind *comment
		if header && i == 0 || !header && i == len(lines)-1 {
			behind = note
		}
		if i == 0 {
			p.line(indent, label+text, behind, blank)
			continue
		}
		if text != "" {
			text = strings.Repeat(" ", max(inside, 2)) + text
		}
		p.lines = append(p.lines, line{text: text, note: behind})
	}
	p.text = header && strings.HasSuffix(v.node.Text, "\n\n")
}

// nest writes a list or mapping as a block.
func (p *printer) nest(e *entry, indent int, label string, inside int) {
	v := e.value
	if note := v.note; note != nil { // behind a bracket that goes
		v.note = nil
		if e.note == nil && len(v.above) == 0 && !v.commented() && (label != "" || p.open != "") {
			e.note = note
		} else {
			v.foot = append(v.foot, *note)
		}
	}
	if label != "" || e.note != nil {
		p.label(indent, label, e.note, e.blank)
	}
	v.entries[0].head = slices.Concat(v.above, v.entries[0].head)
	p.entries(v, inside)
}

// fits reports whether a value in brackets can stay in them, behind so many
// columns.
func (v *value) fits(before int) bool {
	if !v.inline || len(v.entries) == 0 {
		return v.inline
	}
	text, ok := v.brackets()
	return ok && !v.commented() && before+1+cells(text) <= maxWidth
}

// brackets is a value as it stands inside or as brackets. An empty value has no
// such form.
func (v *value) brackets() (text string, ok bool) {
	if v.node.Kind == Scalar {
		return writeText(v.text(), v.node, true), v.node.Span.Start < v.node.Span.End
	}
	if len(v.entries) == 0 {
		return [...]string{List: "[]", Map: "{}"}[v.node.Kind], true
	}
	parts := make([]string, len(v.entries))
	for i, e := range v.entries {
		if parts[i], ok = e.value.brackets(); !ok {
			return "", false
		}
		if e.key != nil {
			parts[i] = writeKey(e.key, true) + ": " + parts[i]
		}
	}
	if text = strings.Join(parts, ", "); v.node.Kind == List {
		return "[" + text + "]", true
	}
	return "{ " + text + " }", true
}
