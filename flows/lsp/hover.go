package lsp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

func (s *server) hover(_ context.Context, p *cursorParams) (*hover, error) {
	at, ok := s.spot(p)
	if !ok {
		return nil, nil
	}
	from, to := documentAt(at.text, at.offset)
	_, place := sketch(at.text, from, to, at.offset)
	switch {
	case place.role == atKey:
		return s.hoverKey(at, place), nil
	case place.role != atValue && place.role != atStart:
		return nil, nil
	}
	if h := s.hoverExpression(at, place); h != nil {
		return h, nil
	}
	if at.program == nil {
		return nil, nil
	}
	if o, ok := s.meanings(at.program).at(at.path, at.offset); ok {
		return s.hoverThing(at, o), nil
	}
	return nil, nil
}

func (at *spot) hover(start, end int, text string) *hover {
	return &hover{content{"markdown", text}, at.text.span(start, end, at.open.encoding)}
}

// hoverKey tells what a key is for, what it takes, and what it is if it is not
// written.
func (s *server) hoverKey(at spot, place place) *hover {
	key := strings.Trim(at.string[place.start:place.end], `"'`)
	m := s.of(place.in)
	if m.verb != "" && m.verb == key {
		kind, _ := s.Catalog.Steps.Kind(key)
		p, _ := m.property(key)
		return at.hover(place.start, place.end, fmt.Sprintf("**%s**: %s\n\n%s\n\n%s", key, keyText(p.Schema), kindDoc(kind.Doc, kind.Examples), p.Doc))
	}
	p, ok := m.property(key)
	if !ok {
		if o, ok := s.named(at); ok {
			return s.hoverThing(at, o)
		}
		return nil
	}
	return at.hover(place.start, place.end, fmt.Sprintf("**%s**: %s\n\n%s", key, keyText(p.Schema), p.Doc))
}

// named is what a place names, if it names a thing of its program.
func (s *server) named(at spot) (occurrence, bool) {
	if at.program == nil {
		return occurrence{}, false
	}
	return s.meanings(at.program).at(at.path, at.offset)
}

// hoverExpression tells the type of a name, or of what a chain of fields gives,
// and what a function does.
func (s *server) hoverExpression(at spot, place place) *hover {
	start, end := at.offset, at.offset
	for start > 0 && isNameByte(at.string[start-1]) {
		start--
	}
	for end < len(at.string) && isNameByte(at.string[end]) {
		end++
	}
	if start == end {
		return nil
	}
	text, ok := completed(at.text, at.offset, place)
	if !ok {
		return nil
	}
	var said string
	s.lookAt(at.program, at.document, text, at.offset, func(expr dsl.Span, scope dsl.Scope) {
		if start < expr.Start || end > len(text) || text[start:end] != at.string[start:end] {
			return
		}
		if said = functionAt(at.string, start, end); said != "" {
			return
		}
		w, ok := read(text[expr.Start:end])
		if !ok {
			return
		}
		whole := w.word
		if w.member {
			whole = w.base + "." + w.word
		}
		n, static := valueOf(whole, scope)
		switch {
		case n != nil && static == nil && n.Type != dsl.TypeAny:
			said = fmt.Sprintf("**%s**: %s", w.word, n.Type)
		case n != nil || static != nil:
			said = fmt.Sprintf("**%s**: %s", w.word, typeText(static))
		}
	})
	if said == "" {
		return nil
	}
	return at.hover(start, end, said)
}

// functionAt is the doc of the function that is called at a place.
func functionAt(s string, start, end int) string {
	if end >= len(s) || s[end] != '(' || start > 0 && s[start-1] == '.' {
		return ""
	}
	for _, f := range dsl.Functions() {
		if f.Name == s[start:end] {
			return fmt.Sprintf("```text\n%s\n```\n\n%s", f.Usage, functionDoc(f))
		}
	}
	return ""
}

// hoverThing tells what a name is the name of.
func (s *server) hoverThing(at spot, o occurrence) *hover {
	if !o.symbol.at.Valid() {
		return nil
	}
	noun := o.symbol.noun
	if noun == "" {
		noun = "input"
	}
	text := fmt.Sprintf("%s **%s**", noun, o.symbol.name)
	src := o.symbol.at.Source
	if slices.ContainsFunc(s.heads, func(h head) bool { return h.key == noun }) {
		for _, doc := range dsl.Parse(src, &dsl.Diagnostics{}) {
			if n := doc.Field(noun); n != nil && n.Text == o.symbol.name {
				if sum := doc.Field("summary"); sum != nil {
					text += "\n\n" + sum.Text
				}
				if route := doc.Field("trigger").Field("http"); route != nil {
					text += "\n\n`" + route.Text + "`"
				}
			}
		}
	} else {
		line, _ := o.symbol.at.Position()
		t := newText(src.Text)
		start, end := t.line(line - 1)
		text += "\n\n```yaml\n" + strings.TrimSpace(src.Text[start:end]) + "\n```"
	}
	return at.hover(o.Start, o.End, text)
}
