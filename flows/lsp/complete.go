package lsp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

// completer answers one request for completions.
type completer struct {
	*server
	*document
	encoding encoding
	snippets bool
	program  *program // nil: the file is of none
	cursor   int
	at       place
	dash     string // stands before what is offered
	items    []completionItem
}

func (s *server) completion(_ context.Context, p *cursorParams) ([]completionItem, error) {
	s.mu.Lock()
	d := s.find(p.TextDocument.URI)
	if d == nil {
		s.mu.Unlock()
		return nil, nil
	}
	c := &completer{server: s, document: d, encoding: s.encoding, snippets: s.snippets, cursor: d.offset(p.Position, s.encoding)}
	if d.path != "" {
		c.program = s.programOf(d.path)
	}
	s.mu.Unlock()
	from, to := documentAt(d.text, c.cursor)
	var root *node
	if root, c.at = sketch(d.text, from, to, c.cursor); !c.foreign(root) {
		c.complete()
	}
	if c.items == nil {
		c.items = []completionItem{}
	}
	return c.items, nil
}

func (c *completer) complete() {
	switch c.at.role {
	case atKey:
		c.keys(c.of(c.at.in), c.at.in)
	case atItem:
		m := c.of(c.at.in)
		item := &entry{in: c.at.in, value: &node{}}
		c.inItem(c.below(m, item))
	case atStart:
		c.start()
	case atValue:
		if !c.expression() {
			c.value()
		}
	}
}

// start offers what can stand below a key, or behind a dash.
func (c *completer) start() {
	if c.at.entry == nil {
		c.beginning()
		return
	}
	m := c.of(c.at.entry.value)
	switch {
	case m.step():
		c.keys(m, c.at.entry.value)
	case m.schema == nil:
		return
	case m.schema.Type == dsl.StepsType, m.schema.Type == dsl.BranchesType, m.schema.Type == dsl.ListType:
		c.inItem(c.below(m, &entry{in: c.at.entry.value, value: &node{}}))
	case m.schema.Type == dsl.ObjectType:
		c.keys(m, c.at.entry.value)
	default:
		c.names(c.at.entry.value)
		c.value()
	}
}

// beginning offers what a document begins with.
func (c *completer) beginning() {
	empty := &node{}
	for _, h := range c.heads {
		if p, ok := (meaning{schema: h.schema}).property(h.key); ok {
			c.key(p, empty)
		}
	}
	c.keys(meaning{schema: c.sections}, empty)
}

// inItem offers what an item of a list begins with, on a line of its own or in
// brackets.
func (c *completer) inItem(m meaning) {
	if !c.at.flow && !(c.at.role == atStart && c.behindDash()) {
		c.dash = "- "
	}
	if !m.step() && (m.schema == nil || m.schema.Type != dsl.ObjectType) {
		c.scalar(m)
	} else if !c.at.flow { // there, braces come first
		c.keys(m, &node{})
	}
}

func (c *completer) behindDash() bool {
	line, _ := c.line(c.lineAt(c.cursor))
	return strings.HasPrefix(strings.TrimLeft(c.string[line:c.cursor], " "), "-")
}

// keys offers the keys that a mapping can have and has not.
func (c *completer) keys(m meaning, in *node) {
	verbs := m.step() && (m.verb == "" || c.on(in, m.verb))
	if verbs {
		for _, k := range c.Catalog.Steps.All() {
			p := dsl.Property{Key: k.Name, Schema: c.verbSchema(k.Name)}
			c.keyWith(p, keywordKind, firstSentence(k.Doc), kindDoc(k.Doc, k.Examples), "0")
		}
	}
	for _, p := range m.properties() {
		if !verbs || p.Key != m.verb {
			c.key(p, in)
		}
	}
	if in.of != nil {
		c.names(in)
	}
}

// on reports whether the cursor is on a key.
func (c *completer) on(in *node, key string) bool {
	return slices.ContainsFunc(in.entries, func(e *entry) bool { return e.key == key && e.from <= c.cursor && c.cursor <= e.to })
}

// verbSchema is what the key of a verb takes.
func (c *completer) verbSchema(verb string) *dsl.Schema {
	m := meaning{schema: c.Verbs[verb]}
	p, _ := m.property(verb)
	return p.Schema
}

func (c *completer) key(p dsl.Property, in *node) {
	if in.field(p.Key) != nil && !c.on(in, p.Key) {
		return
	}
	rank := "1"
	if p.Required {
		rank = "0"
	}
	c.keyWith(p, propertyKind, keyText(p.Schema), p.Doc, rank)
}

func (c *completer) keyWith(p dsl.Property, kind int, detail, doc, rank string) {
	text := p.Key
	if !c.at.colon {
		text += c.opening(p.Schema)
	}
	c.add(completionItem{Label: p.Key, Kind: kind, Detail: detail, Documentation: markdown(doc), SortText: rank + p.Key}, text)
}

// opening is what stands behind a key: a colon, and below it what its value
// begins with.
func (c *completer) opening(s *dsl.Schema) string {
	if s == nil {
		return ": "
	}
	object := s.Type == dsl.ObjectType || s.Type == dsl.MapType || s.Type == dsl.BlockType
	list := s.Type == dsl.StepsType
	line, _ := c.line(c.lineAt(c.cursor))
	begins := c.string[line:min(c.at.start, c.cursor)]
	below := strings.Repeat(" ", len(begins)-indentation(begins)+len(c.dash)) // of a key behind a dash
	switch {
	case c.at.flow && object && c.snippets:
		return ": { $0 }"
	case c.at.flow || !c.snippets || !object && !list:
		return ": "
	case list:
		return ":\n" + below + "  - $0"
	}
	return ":\n" + below + "  $0"
}

func (c *completer) add(item completionItem, text string) {
	text = c.dash + text
	if strings.Contains(text, "$0") {
		item.Format, item.Mode = snippet, adjusted
	}
	start := min(c.at.start, c.cursor)
	end := max(c.at.end, c.cursor)
	if _, lineEnd := c.line(c.lineAt(c.cursor)); end > lineEnd || c.lineAt(start) != c.lineAt(c.cursor) {
		start, end = c.wordStart(), c.cursor // an edit is of one line
	}
	item.Edit = edit{c.span(start, end, c.encoding), text}
	c.items = append(c.items, item)
}

func (c *completer) wordStart() int {
	start := c.cursor
	for start > 0 && (isNameByte(c.string[start-1]) || c.string[start-1] == '-') {
		start--
	}
	return start
}

// value offers what a key or an item can be.
func (c *completer) value() {
	e := c.at.entry
	if e == nil {
		return
	}
	c.scalar(c.of(e.value))
}

// scalar offers the texts that a value can be.
func (c *completer) scalar(m meaning) {
	if m.schema != nil {
		s := m.schema
		if s.Type == dsl.ListType || s.Type == dsl.SeveralType {
			s = s.Elem
		}
		texts := s.Enum
		if s.Type == dsl.BoolType {
			texts = []string{"true", "false"}
		}
		if s.Default != nil && s.Default.Kind == dsl.Scalar && s.Default.Text != "" && !slices.Contains(texts, s.Default.Text) {
			texts = append(slices.Clone(texts), s.Default.Text)
		}
		for i, text := range texts {
			item := completionItem{Label: text, Kind: enumKind, SortText: fmt.Sprintf("0%02d", i)}
			if s.Default != nil && s.Default.Text == text {
				item.Detail = "default"
			}
			c.add(item, text)
		}
	}
	c.things()
}

// expression offers what can stand in an expression. It is false if the cursor is
// in none.
func (c *completer) expression() bool {
	open := openExpression(c.string[:c.cursor], min(c.at.start, c.cursor)) >= 0
	if !open && !c.bare() {
		return false
	}
	text, ok := completed(c.text, c.cursor, c.at)
	if !ok {
		return open
	}
	var known []named
	var w written
	wanted := false
	found := c.lookAt(text, func(at dsl.Span, scope dsl.Scope) {
		if w, wanted = read(text[at.Start:c.cursor]); !wanted {
			return
		}
		if w.member {
			known = fieldsOf(w.base, scope)
		} else {
			known = namesIn(scope)
		}
	})
	if !wanted {
		return open || found
	}
	c.at.start, c.at.end = c.cursor-len(w.word), c.cursor
	for c.at.end < len(c.string) && isNameByte(c.string[c.at.end]) {
		c.at.end++
	}
	for _, n := range known {
		kind := variableKind
		if w.member {
			kind = fieldKind
		}
		c.add(completionItem{Label: n.name, Kind: kind, Detail: n.what, SortText: "0" + n.name}, n.name)
	}
	if !w.member {
		c.functions()
	}
	return true
}

// bare reports whether the value at hand is, or ends in, an expression without
// $( ).
func (c *completer) bare() bool {
	e := c.at.entry
	if e == nil {
		return false
	}
	m := c.of(e.value)
	return m.schema != nil && m.schema.Type == dsl.ConditionType || slices.Contains([]string{"each", "$each", "$if", "while", "until", "when"}, e.key)
}

func (c *completer) functions() {
	for _, f := range dsl.Functions() {
		text := f.Name + "("
		if c.snippets {
			text += "$0)"
		}
		c.add(completionItem{Label: f.Name, Kind: functionKind, Detail: f.Usage, Documentation: markdown(functionDoc(f)), SortText: "1" + f.Name}, text)
	}
}

// lookAt checks the program with another text of the document, and has see look
// at the expression at the cursor.
func (c *completer) lookAt(text string, see func(at dsl.Span, scope dsl.Scope)) bool {
	return c.server.lookAt(c.program, c.document, text, c.cursor, see)
}

func (s *server) lookAt(p *program, d *document, text string, offset int, see func(at dsl.Span, scope dsl.Scope)) bool {
	name := d.key()
	files := &flows.Files{Sources: []*dsl.Source{dsl.NewSource(name, text)}}
	if p != nil {
		s.mu.Lock()
		open := s.unsaved()
		s.mu.Unlock()
		open.texts[name] = text
		var err error
		if files, err = flows.LoadUnsaved(p.paths, open.texts); err != nil {
			return false
		}
	}
	l := &lookout{path: name, offset: offset, see: see}
	s.look(files, l)
	return l.seen
}

func firstSentence(doc string) string {
	first, _, _ := strings.Cut(doc, ". ")
	return strings.TrimSuffix(first, ".")
}
