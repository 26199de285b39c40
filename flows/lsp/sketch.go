package lsp

import (
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// A text that is being written is seldom YAML: the line at hand is half there,
// brackets are open, a key has no colon yet. A sketch is what can be seen of such
// a text all the same. It is read by indentation, line by line, and never fails:
// a line that makes no sense costs what it says, and not what stands around it.
// What a sketch gets wrong leads to a worse completion; what files mean is only
// ever asked of the compiler.

// node is a value of a sketch.
type node struct {
	kind       dsl.NodeKind
	start, end int      // of a scalar's text, or of the brackets of a list or mapping in one line
	entries    []*entry // of lists and mappings
	of         *entry   // whose value it is; nil for the root
}

// entry is one key of a mapping with its value, or one item of a list.
type entry struct {
	in       *node
	key      string // without quotes; "" for an item
	from, to int    // of the key as it is written, or of the dash
	partial  bool   // a key without a colon
	value    *node
}

// role is what is written at the cursor.
type role uint8

const (
	nowhere role = iota // in a comment, behind a value
	atKey               // a key of the mapping in
	atValue             // the value of entry, on its line or in brackets
	atStart             // what entry has below its line: a key, an item or text
	atItem              // an item of the list in
)

// place is where the cursor is in a sketch, and what is written there.
type place struct {
	role       role
	in         *node  // of atKey and atItem
	entry      *entry // of atValue and atStart; nil: the root
	start, end int    // what is written, around the cursor
	flow       bool   // inside [ ] or { }
	colon      bool   // of atKey: the colon is there
}

// frame is a list or mapping that goes on.
type frame struct {
	node   *node
	indent int
}

const deepest = 100 // levels that a sketch has

// sketcher reads one document.
type sketcher struct {
	text   string
	cursor int // -1: there is none
	root   *node
	place  place

	frames []frame
	flow   []*node  // brackets that are open, the outermost first
	beyond int      // brackets open below the deepest
	pairs  []*entry // of flow: the key that waits for its value, or nil
	around int      // the indentation of what the brackets, the quote or the block stand in
	block  *node    // a block scalar that goes on
	quoted *node    // a quoted scalar that goes on
}

// sketch reads text[from:to], which is one document. The cursor is an offset in
// the text, or -1.
func sketch(t text, from, to, cursor int) (root *node, at place) {
	s := &sketcher{text: t.string, cursor: cursor, root: &node{start: from, end: from}}
	for i := t.lineAt(from); i < len(t.lines) && t.lines[i] < to; i++ {
		start, end := t.line(i)
		s.line(max(start, from), end)
	}
	if cursor == to && (to == 0 || strings.HasSuffix(t.string[:to], "\n")) {
		s.line(to, to)
	}
	return s.root, s.place
}

// indentation is the number of spaces that text begins with.
func indentation(text string) int { return len(text) - len(strings.TrimLeft(text, " \t")) }

// here reports whether the cursor is in text[from:to], or at one of its ends.
func (s *sketcher) here(from, to int) bool { return from <= s.cursor && s.cursor <= to }

// put says where the cursor is, unless that is known.
func (s *sketcher) put(p place) {
	if s.place.role == nowhere {
		s.place = p
	}
}

func (s *sketcher) line(start, end int) {
	line := s.text[start:end]
	if strings.HasPrefix(line, "---") && (len(line) == 3 || line[3] == ' ') {
		return
	}
	indent := indentation(line)
	rest := line[indent:]
	switch {
	case s.block != nil && (rest == "" || indent > s.around):
		s.block.end = end
		if s.here(start, end) && (rest != "" || s.cursor-start > s.around) {
			s.put(place{role: atValue, entry: s.block.of, start: s.block.start, end: end})
			return
		}
		if rest != "" {
			return
		}
	default:
		s.block = nil
	}
	switch {
	case rest == "":
		if s.here(start, end) {
			s.blank(s.cursor-start, start)
		}
	case s.quoted != nil && indent > s.around:
		s.quote(s.quoted, start, start, end)
	case rest[0] == '#':
		if s.here(start, start+indent) {
			s.blank(s.cursor-start, start)
		}
	case len(s.flow) > 0 && (indent > s.around || strings.Trim(rest, "]}, ") == ""):
		s.brackets(start+indent, end)
	default:
		s.flow, s.pairs, s.beyond, s.quoted = nil, nil, 0, nil
		s.structure(start+indent, end, indent, 0)
	}
}

// blank finds the cursor on a line that is empty. Only where it is tells which
// mapping or list the line will belong to.
func (s *sketcher) blank(column, start int) {
	p := place{role: atStart, start: start + column, end: start + column}
	switch {
	case s.quoted != nil:
		return
	case len(s.flow) > 0:
		s.gap(start+column, start+column)
		return
	case len(s.frames) == 0:
		s.put(p)
		return
	}
	i := len(s.frames) - 1
	for i > 0 && s.frames[i].indent > column {
		i--
	}
	f := s.frames[i]
	switch last := f.node.entries[len(f.node.entries)-1]; {
	case f.node.kind == dsl.List && column <= f.indent:
		p.role, p.in = atItem, f.node
	case f.node.kind == dsl.Map && column <= f.indent:
		p.role, p.in = atKey, f.node
	case last.value.kind == dsl.Map:
		p.role, p.in = atKey, last.value
	case last.value.kind == dsl.List:
		p.role, p.in = atItem, last.value
	case last.value.start < last.value.end:
		return // more of a text
	default:
		p.entry = last
	}
	s.put(p)
}

// structure reads the dashes and the key of a line, or what goes on in it.
func (s *sketcher) structure(start, end, indent, depth int) {
	rest := s.text[start:end]
	if dash := strings.HasPrefix(rest, "- ") || rest == "-"; dash && depth < deepest {
		s.item(start, end, indent, depth)
		return
	}
	key, keyEnd, colon := readKey(rest)
	if colon < 0 {
		s.words(start, end, indent)
		return
	}
	m := s.enter(dsl.Map, indent)
	e := s.add(m, key, start, start+keyEnd)
	if s.here(start, start+keyEnd) {
		s.put(place{role: atKey, in: m, start: start, end: start + keyEnd, colon: true})
	}
	s.value(e, start+colon+1, end, indent)
}

// item reads a dash and what stands behind it.
func (s *sketcher) item(start, end, indent, depth int) {
	l := s.enter(dsl.List, indent)
	e := s.add(l, "", start, start+1)
	behind := start + 1 + indentation(s.text[start+1:end])
	if behind == end || s.text[behind] == '#' {
		e.value.start, e.value.end = end, end
		if behind == end && s.here(start+1, end) {
			s.put(place{role: atStart, entry: e, start: s.cursor, end: s.cursor})
		}
		return
	}
	s.structure(behind, end, indent+behind-start, depth+1)
}

// enter gives the list or mapping that goes on, or begins, at an indentation.
func (s *sketcher) enter(kind dsl.NodeKind, indent int) *node {
	for i := len(s.frames) - 1; i >= 0; i-- {
		f := s.frames[i]
		if f.indent < indent || f.indent == indent && (f.node.kind == kind || kind == dsl.List) {
			break
		}
		if i == 0 && f.node.kind == kind {
			break // less than the first line: the root goes on
		}
		s.frames = s.frames[:i]
	}
	n := s.root
	if k := len(s.frames); k > 0 {
		f := s.frames[k-1]
		if f.node.kind == kind && (f.indent == indent || k == 1 && f.indent > indent) {
			return f.node
		}
		n = f.node.entries[len(f.node.entries)-1].value
		if n.kind != dsl.Scalar && n.kind != kind || len(s.frames) >= deepest {
			return f.node
		}
	}
	n.kind = kind
	s.frames = append(s.frames, frame{n, indent})
	return n
}

func (s *sketcher) add(n *node, key string, from, to int) *entry {
	e := &entry{in: n, key: key, from: from, to: to}
	e.value = &node{start: to, end: to, of: e}
	n.entries = append(n.entries, e)
	return e
}

// words reads a line, or the rest of one behind a dash, that has no key: more of
// a text, a value, or a key that is being written.
func (s *sketcher) words(start, end, indent int) {
	for len(s.frames) > 1 && s.frames[len(s.frames)-1].indent > indent {
		s.frames = s.frames[:len(s.frames)-1]
	}
	end = start + len(withoutComment(s.text[start:end]))
	if len(s.frames) == 0 {
		if opens(s.text[start]) {
			s.value(&entry{value: s.root}, start, end, -1)
			return
		}
		s.root.start, s.root.end = start, end
		if s.here(start, end) {
			s.put(place{role: atStart, start: start, end: end})
		}
		return
	}
	f := s.frames[len(s.frames)-1]
	last := f.node.entries[len(f.node.entries)-1]
	switch {
	case f.node.kind == dsl.Map && f.indent >= indent:
		e := s.add(f.node, s.text[start:end], start, end)
		e.partial = true
		if s.here(start, end) {
			s.put(place{role: atKey, in: f.node, start: start, end: end})
		}
	case last.value.kind != dsl.Scalar:
	case last.value.start < last.value.end:
		last.value.end = end
		if s.here(start, end) {
			s.put(place{role: atValue, entry: last, start: last.value.start, end: end})
		}
	case opens(s.text[start]):
		s.value(last, start, end, f.indent)
	default:
		last.value.start, last.value.end = start, end
		if s.here(start, end) {
			s.put(place{role: atStart, entry: last, start: start, end: end})
		}
	}
}

// opens reports whether a value that begins with c is no plain text.
func opens(c byte) bool { return strings.IndexByte(`{["'|>`, c) >= 0 }

// value reads the value behind a colon or a dash. indent is that of the mapping
// or list that it stands in.
func (s *sketcher) value(e *entry, start, end, indent int) {
	from := start
	start += indentation(s.text[start:end])
	content := withoutComment(s.text[start:end])
	if strings.HasPrefix(content, "#") && start > from {
		content = ""
	}
	v := e.value
	v.start, v.end = start, start+len(content)
	s.around = indent
	if content == "" {
		if s.here(from, start) {
			s.put(place{role: atValue, entry: v.of, start: s.cursor, end: s.cursor})
		}
		return
	}
	switch content[0] {
	case '|', '>':
		s.block = v
	case '"', '\'':
		s.quote(v, start, start+1, end)
		return
	case '{', '[':
		if s.here(from, start) {
			s.put(place{role: atValue, entry: v.of, start: s.cursor, end: s.cursor})
		}
		s.flow, s.pairs, s.beyond = nil, nil, 0
		s.open(start, v)
		s.brackets(start+1, end)
		return
	}
	if s.here(from, min(v.end+1, end)) {
		s.put(place{role: atValue, entry: v.of, start: min(start, s.cursor), end: max(v.end, s.cursor)})
	}
}

// quote reads a line of a scalar in quotes, from i on.
func (s *sketcher) quote(v *node, start, i, end int) {
	quote := s.text[v.start]
	for i < end && s.text[i] != quote {
		if s.text[i] == '\\' && quote == '"' {
			i++
		}
		i++
	}
	s.quoted, v.end = nil, min(i+1, end)
	if i >= end {
		s.quoted = v
	}
	if s.here(start, v.end) {
		s.put(place{role: atValue, entry: v.of, start: v.start, end: v.end})
	}
}

// withoutComment cuts a comment off a line.
func withoutComment(line string) string {
	for i := 0; i+1 < len(line); i++ {
		if (line[i] == ' ' || line[i] == '\t') && line[i+1] == '#' {
			line = line[:i]
			break
		}
	}
	return strings.TrimRight(line, " \t")
}

// readKey reads a key with its colon at the beginning of a line. colon is
// negative if there is none.
func readKey(line string) (key string, end, colon int) {
	if line == "" || strings.IndexByte("{[|>", line[0]) >= 0 {
		return "", 0, -1
	}
	if quote := line[0]; quote == '"' || quote == '\'' {
		k := strings.IndexByte(line[1:], quote)
		if k < 0 {
			return "", 0, -1
		}
		end = k + 2
		colon = end + indentation(line[end:])
		if colon >= len(line) || line[colon] != ':' || colon+1 < len(line) && line[colon+1] != ' ' {
			return "", 0, -1
		}
		return line[1 : end-1], end, colon
	}
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '#' && i > 0 && line[i-1] == ' ':
			return "", 0, -1
		case line[i] == ':' && (i+1 == len(line) || line[i+1] == ' ' || line[i+1] == '\t'):
			key = strings.TrimRight(line[:i], " \t")
			return key, len(key), i
		}
	}
	return "", 0, -1
}

// path is the entries from the root to e.
func (e *entry) path() (path []*entry) {
	for ; e != nil; e = e.in.of {
		path = append(path, e)
	}
	slices.Reverse(path)
	return path
}

// keys are the keys of a mapping that are written in full.
func (n *node) keys() (keys []string) {
	for _, e := range n.entries {
		if !e.partial {
			keys = append(keys, e.key)
		}
	}
	return keys
}

// field is the value of a key, or nil.
func (n *node) field(key string) *node {
	for _, e := range n.entries {
		if e.key == key && !e.partial {
			return e.value
		}
	}
	return nil
}
