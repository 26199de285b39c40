package dsl

import (
	"errors"
	"fmt"
	"strings"
)

// sheet is a file with its comments.
type sheet struct {
	head     []comment // if there are no documents
	docs     []entry
	comments []string // all of them
}

// entry is a place for a value: an entry of a mapping, an item of a list, or a
// document.
type entry struct {
	head  []comment // on the lines above
	blank bool      // an empty line stands above the entry itself
	key   *Node     // of a mapping's entry
	note  *comment  // behind the key's colon, the dash or the ---
	value *value
	tail  []comment // behind a document
}

// value is a node with its comments.
type value struct {
	node     *Node
	above    []comment // between the key and a value on a line of its own
	note     *comment  // behind the value, or behind the header of a block
	entries  []entry   // of lists and mappings
	foot     []comment // behind the last entry
	inline   bool      // written in brackets
	template bool      // may hold expressions
}

type comment struct {
	text   string
	column int  // from 0, in cells
	blank  bool // an empty line stands above
}

// commented reports whether comments stand inside the value, apart from those
// behind its last token.
func (v *value) commented() bool {
	if len(v.foot) > 0 {
		return true
	}
	for i := range v.entries {
		e := &v.entries[i]
		if len(e.head) > 0 || e.note != nil || len(e.value.above) > 0 || e.value.note != nil || e.value.commented() {
			return true
		}
	}
	return false
}

// reader gives each comment its owner. It walks the tokens and the nodes, which
// are in the same order, side by side.
type reader struct {
	src    *Source
	tokens []token
	sheet  sheet
	err    error
}

var errLost = errors.New("its tokens and its values part")

func readSheet(src *Source, roots []*Node) (*sheet, error) {
	tokens, err := scan(src, roots)
	if err != nil {
		return nil, err
	}
	r := reader{src: src, tokens: tokens}
	r.documents(roots)
	return &r.sheet, r.err
}

func (r *reader) documents(roots []*Node) {
	for _, root := range roots {
		var doc entry
		first := len(r.sheet.docs) == 0
		cut, marked := r.separators(&doc, first)
		doc.blank = r.blank() || cut && len(doc.head) > 0
		if !first && !marked {
			r.lost()
		}
		var at entry
		doc.value = r.value(root, &at, -1, false)
		if at.note != nil { // behind the first bracket
			doc.head = append(doc.head, *at.note)
		}
		r.sheet.docs = append(r.sheet.docs, doc)
		if r.err != nil {
			return
		}
	}
	var rest entry
	r.separators(&rest, true)
	if n := len(r.sheet.docs); n > 0 {
		last := &r.sheet.docs[n-1]
		last.tail = append(last.tail, rest.head...)
	} else {
		r.sheet.head = rest.head
	}
	if len(r.tokens) > 0 {
		r.lost()
	}
}

// separators reads comments and markers up to a document's first value. What
// stands before the first marker belongs to the document above, if there is one.
// Where the markers go, an empty line stands for them (cut).
func (r *reader) separators(doc *entry, drop bool) (cut, marked bool) {
	for {
		switch r.peek() {
		case startToken, endToken:
			r.next()
			cut, marked = true, true
		case commentToken:
			alone := r.tokens[0].alone
			c := r.comment()
			switch last := len(r.sheet.docs) - 1; {
			case !marked && last >= 0:
				above := &r.sheet.docs[last]
				above.tail = append(above.tail, c)
			case !alone && !drop && doc.note == nil && len(doc.head) == 0:
				doc.note = &c
			default:
				c.blank = c.blank || cut && drop
				doc.head = append(doc.head, c)
			}
			cut = false
		default:
			return cut && drop, marked
		}
	}
}

func (r *reader) peek() byte {
	if len(r.tokens) == 0 || r.err != nil {
		return 0
	}
	return r.tokens[0].kind
}

func (r *reader) next() token {
	t := r.tokens[0]
	r.tokens = r.tokens[1:]
	return t
}

func (r *reader) lost() {
	if r.err == nil {
		r.err = errLost
		if len(r.tokens) > 0 {
			r.err = fmt.Errorf("%w at %s", errLost, Span{r.src, r.tokens[0].start, r.tokens[0].end})
		}
	}
}

// expect reads one token, and ? before it, which says nothing.
func (r *reader) expect(kind byte) {
	if r.peek() == '?' {
		r.next()
	}
	if r.peek() != kind {
		r.lost()
		return
	}
	r.next()
}

func (r *reader) blank() bool { return len(r.tokens) > 0 && r.tokens[0].blank }

// column is where something stands on its line, from 0, in cells.
func (r *reader) column(offset int) int {
	line, _ := r.src.position(offset)
	_, start := r.src.line(line)
	return cells(r.src.Text[start:offset])
}

func (r *reader) comment() comment {
	t := r.next()
	c := comment{strings.TrimRight(r.src.Text[t.start:t.end], " \t"), r.column(t.start), t.blank}
	r.sheet.comments = append(r.sheet.comments, c.text)
	return c
}

// comments reads all comments that come next.
func (r *reader) comments() (all []comment) {
	for r.peek() == commentToken {
		all = append(all, r.comment())
	}
	return all
}

// behind reads a comment on the line of the token before.
func (r *reader) behind() *comment {
	if r.peek() != commentToken || r.tokens[0].alone {
		return nil
	}
	c := r.comment()
	return &c
}

// value reads the value of an entry of a block in the column outer, or of
// brackets.
func (r *reader) value(n *Node, e *entry, outer int, flow bool) *value {
	v := &value{node: n}
	if n.Kind == Scalar && n.Span.Start == n.Span.End {
		e.note = or(e.note, r.behind())
		return v
	}
	bracket := byte(0)
	if c := r.src.Text[n.Span.Start]; n.Kind != Scalar && (c == '[' || c == '{') {
		bracket = c
	}
	v.inline = bracket != 0 || flow && n.Kind != Scalar
	if n.Kind != Scalar && !v.inline {
		e.note = or(e.note, r.behind())
		r.block(v, outer)
		return v
	}
	if v.inline && bracket == 0 { // the pair in [a: b]
		r.pairs(v)
		return v
	}
	if e.note == nil {
		e.note = r.behind()
	}
	v.above = r.comments()
	switch {
	case n.Kind == Scalar && (n.Style == Literal || n.Style == Folded):
		r.expect(scalarToken)
		v.note = r.header(n)
		return v
	case n.Kind == Scalar:
		r.expect(scalarToken)
	default:
		r.expect(bracket)
		r.brackets(v, e)
		r.expect(closer(bracket))
	}
	v.note = r.behind()
	return v
}

func or(a, b *comment) *comment {
	if a != nil {
		return a
	}
	return b
}

// header is the comment in the first line of a block of text.
func (r *reader) header(n *Node) *comment {
	line := n.Span.Text()
	line = line[:lineEnd(line)]
	k := strings.IndexByte(line, '#')
	if k < 0 {
		return nil
	}
	c := comment{text: strings.TrimRight(line[k:], " \t"), column: r.column(n.Span.Start + k)}
	r.sheet.comments = append(r.sheet.comments, c.text)
	return &c
}

// block reads the entries of a list or mapping that is written without brackets.
// A comment behind the last entry belongs to the block if it is indented like it.
func (r *reader) block(v *value, outer int) {
	column := -1
	for i := range max(len(v.node.Items), len(v.node.Fields)) {
		if r.err != nil {
			return
		}
		var e entry
		if e.head = r.comments(); r.peek() == 0 {
			r.lost()
			return
		}
		e.blank = r.blank()
		if column < 0 {
			column = r.column(r.tokens[0].start)
		}
		if v.node.Kind == List {
			r.expect('-')
			e.value = r.value(v.node.Items[i], &e, column, false)
		} else {
			e.key = v.node.Fields[i].Key
			r.expect(scalarToken)
			r.colon()
			e.value = r.value(v.node.Fields[i].Value, &e, column, false)
		}
		v.entries = append(v.entries, e)
	}
	for column > outer && r.peek() == commentToken && r.column(r.tokens[0].start) >= column {
		v.foot = append(v.foot, r.comment())
	}
}

// brackets reads what stands inside [] or {}.
func (r *reader) brackets(v *value, outer *entry) {
	if outer.note == nil {
		outer.note = r.behind()
	}
	if v.node.Kind == Map {
		r.pairs(v)
	} else {
		for _, n := range v.node.Items {
			e := entry{head: r.comments(), blank: r.blank()}
			e.value = r.value(n, &e, -1, true)
			r.comma(v, e)
		}
	}
	v.foot = append(v.foot, r.comments()...)
}

// pairs reads the entries of a mapping in brackets.
func (r *reader) pairs(v *value) {
	for _, f := range v.node.Fields {
		if r.err != nil {
			return
		}
		e := entry{head: r.comments(), blank: r.blank(), key: f.Key}
		r.expect(scalarToken)
		e.note = r.behind()
		r.colon()
		e.value = r.value(f.Value, &e, -1, true)
		r.comma(v, e)
	}
}

// colon reads a colon, which a key without a value can lack.
func (r *reader) colon() {
	if r.peek() == ':' {
		r.next()
	}
}

// comma ends an entry in brackets. The comment behind it is the entry's.
func (r *reader) comma(v *value, e entry) {
	if r.peek() == ',' {
		r.next()
		if e.value.note == nil {
			e.value.note = r.behind()
		}
	}
	v.entries = append(v.entries, e)
}
