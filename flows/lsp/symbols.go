package lsp

import (
	"context"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// The kinds of symbols.
const (
	moduleSymbol   = 2
	functionSymbol = 12
	objectSymbol   = 19
	eventSymbol    = 24
)

// outliner makes the symbols of a document: flows with their steps, and the
// entries of sections.
type outliner struct {
	*grammar
	text
	encoding encoding
}

func (s *server) symbols(_ context.Context, p *documentParams) ([]documentSymbol, error) {
	s.mu.Lock()
	d, encoding := s.find(p.TextDocument.URI), s.encoding
	s.mu.Unlock()
	all := []documentSymbol{}
	if d == nil {
		return all, nil
	}
	o := &outliner{s.grammar, d.text, encoding}
	for at := 0; at < len(d.string); {
		from, to := documentAt(d.text, at)
		root, _ := sketch(d.text, from, to, -1)
		all = append(all, o.document(root, from, to)...)
		at = max(to, at+1)
	}
	return all, nil
}

func (o *outliner) document(root *node, from, to int) (all []documentSymbol) {
	if h, ok := o.head(root); ok {
		name, at := h.key, &entry{from: from, to: from}
		for _, e := range root.entries {
			if e.key == h.key {
				name, at = o.scalar(e.value), e
			}
		}
		s := o.symbol(name, "", functionSymbol, at, to)
		if trigger := root.field("trigger"); trigger != nil && trigger.field("http") != nil {
			s.Detail, s.Kind = o.scalar(trigger.field("http")), eventSymbol
		}
		s.Range = o.span(at.from, o.trimmed(to), o.encoding)
		for _, e := range root.entries {
			s.Children = append(s.Children, o.steps(o.of(e.value), e.value)...)
		}
		return []documentSymbol{s}
	}
	for i, section := range root.entries {
		if o.Sections[section.key] == nil {
			continue
		}
		s := o.symbol(section.key, "", moduleSymbol, section, o.endOf(root, i, to))
		for k, e := range section.value.entries {
			name := e.key
			if section.value.kind == dsl.List && len(e.value.entries) > 0 {
				name = o.scalar(e.value.entries[0].value)
			}
			if name != "" {
				s.Children = append(s.Children, o.symbol(name, "", objectSymbol, e, o.endOf(section.value, k, o.endOf(root, i, to))))
			}
		}
		all = append(all, s)
	}
	return all
}

// steps are the symbols of the steps at or below a value.
func (o *outliner) steps(m meaning, n *node) (all []documentSymbol) {
	for i, e := range n.entries {
		below := o.below(m, e)
		inner := o.steps(below, e.value)
		if !below.step() || below.verb == "" {
			all = append(all, inner...)
			continue
		}
		what := o.scalar(e.value.field(below.verb))
		name, detail := e.key, strings.TrimSpace(below.verb+" "+what)
		if id := e.value.field("id"); id != nil {
			name = o.scalar(id)
		}
		if name == "" {
			name, detail = below.verb, what
		}
		s := o.symbol(name, detail, objectSymbol, e, o.endOf(n, i, o.end(n)))
		s.Children = inner
		all = append(all, s)
	}
	return all
}

// scalar is the text of a value that is written on one line, or "".
func (o *outliner) scalar(n *node) string {
	if n == nil || n.kind != dsl.Scalar {
		return ""
	}
	text, _, more := strings.Cut(o.string[n.start:n.end], "\n")
	if more {
		text = ""
	}
	return strings.Trim(text, `"'`)
}

func (o *outliner) symbol(name, detail string, kind int, e *entry, end int) documentSymbol {
	if name == "" {
		name = "?"
	}
	end = max(o.trimmed(end), e.to)
	return documentSymbol{Name: name, Detail: detail, Kind: kind, Range: o.span(e.from, end, o.encoding), Selection: o.span(e.from, e.to, o.encoding)}
}

// endOf is where an entry ends: where the next begins, or what is around it ends.
func (o *outliner) endOf(n *node, i, around int) int {
	if i+1 < len(n.entries) {
		return n.entries[i+1].from
	}
	return around
}

// end is where a value ends.
func (o *outliner) end(n *node) int {
	if len(n.entries) == 0 || n.end > n.entries[len(n.entries)-1].to {
		return n.end
	}
	last := n.entries[len(n.entries)-1]
	return max(o.end(last.value), last.to)
}

// trimmed is an end without the white space before it.
func (o *outliner) trimmed(end int) int { return len(strings.TrimRight(o.string[:end], " \t\r\n-")) }
