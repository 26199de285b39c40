package dsl

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// What a file may hold. The bounds keep a hostile or broken file from costing
// more than a diagnostic.
const (
	maxSourceBytes = 4 << 20
	maxDepth       = 100
	maxNodes       = 200_000
	maxDataBytes   = 32 << 20
	maxDataNodes   = 2_000_000
	maxFaults      = 1000 // per file; what is beyond is not reported
)

// capped passes on the first faults only.
type capped struct {
	Reporter
	left int
}

func (c *capped) Report(x Diagnostic) {
	if c.left--; c.left >= 0 {
		c.Reporter.Report(x)
	}
}

// Parse reads all YAML documents of a file. It reports every fault it finds:
// bad syntax (and goes on with the next document), duplicate keys, and the
// constructs and traps of YAML that the language leaves out. Empty documents
// are left out; in the place of one that cannot be read stands a Broken node.
func Parse(src *Source, r Reporter) []*Node { return parse(src, r, false) }

// ParseData reads a file that is no flow file but one that others write, such
// as an OpenAPI document: one document of YAML or JSON, with all that these
// allow. It gives nil after reporting why the file cannot be read.
func ParseData(src *Source, r Reporter) *Node {
	var ds Diagnostics
	roots := parse(src, &ds, true)
	for _, d := range ds.All() {
		r.Report(d)
	}
	if ds.Failed() || len(roots) == 0 || roots[0].broken {
		if !ds.Failed() {
			r.Report(Diagnostic{Span: Span{src, 0, 0}, Code: "empty-file", Message: "the file holds nothing", Hint: "write what it is to hold, or name another file"})
		}
		return nil
	}
	return roots[0]
}

func parse(src *Source, r Reporter, data bool) []*Node {
	unread := &Node{Span: Span{src, 0, 0}, broken: true}
	left := maxNodes
	if data {
		left = maxDataNodes
	}
	if !readable(src, data, r) {
		return []*Node{unread}
	}
	r = &capped{r, maxFaults}
	var roots []*Node
	values := left
	for _, d := range documents(src, r) {
		root, err := d.decode()
		if err != nil {
			r.Report(d.explain(err))
			roots = append(roots, unread)
			continue
		}
		if root == nil {
			continue
		}
		c := converter{document: d, r: r, left: left, lineAt: -1, data: data}
		n := c.node(root, place{})
		if left = c.left; left <= 0 {
			r.Report(Diagnostic{
				Span: Span{src, d.start, d.start}, Code: "too-large",
				Message: fmt.Sprintf("the file has more than %d values", values),
				Hint:    "split it into several files",
			})
			return append(roots, unread)
		}
		if n.Kind != Scalar || n.Text != "" || n.Style != Plain {
			roots = append(roots, n)
		}
	}
	return roots
}

// readable reports bytes that no YAML file may hold, or that readers disagree
// about.
func readable(src *Source, data bool, r Reporter) bool {
	most := maxSourceBytes
	if data {
		most = maxDataBytes
	}
	if len(src.Text) > most {
		r.Report(Diagnostic{
			Span: Span{src, 0, 0}, Code: "too-large",
			Message: fmt.Sprintf("the file is larger than %s", Size(most)),
			Hint:    "split it into several files",
		})
		return false
	}
	for i := 0; i < len(src.Text); {
		c := src.Text[i]
		if ' ' <= c && c < 0x7f || c == '\n' || c == '\t' || c == '\r' {
			i++
			continue
		}
		char, size := utf8.DecodeRuneInString(src.Text[i:])
		span := Span{src, i, i + size}
		switch {
		case char == utf8.RuneError && size == 1:
			r.Report(Diagnostic{
				Span: span, Code: "bad-encoding", Message: "the file is not UTF-8",
				Hint: "save it as UTF-8",
			})
			return false
		case char == 0:
			r.Report(Diagnostic{
				Span: span, Code: "bad-character", Message: "the file holds a NUL byte",
				Hint: "save it as UTF-8 text",
			})
			return false
		case data:
		case invisible(char) && i > 0:
			x := Diagnostic{
				Span: span, Code: "bad-character",
				Message: fmt.Sprintf("the invisible character U+%04X stands here", char),
				Hint:    fmt.Sprintf(`delete it, or write "%s" in double quotes`, visible(char)),
			}
			x.Offer("delete it", Edit{span, ""})
			r.Report(x)
			return false
		case invisible(char) && char != '\ufeff':
			x := Diagnostic{
				Span: span, Code: "bad-character",
				Message: fmt.Sprintf("the invisible character U+%04X stands here", char), Hint: "delete it",
			}
			x.Mend("delete it", Edit{span, ""})
			r.Report(x)
			return false
		}
		i += size
	}
	return true
}

// document is one YAML document of a source, from its --- (if it has one).
type document struct {
	src        *Source
	start, end int
	firstLine  int
}

// documents splits a source at the lines --- and ..., which by the
// specification end every construct, so that a fault in one document leaves the
// others alone.
func documents(src *Source, r Reporter) []document {
	var all []document
	current := document{src: src, firstLine: 1}
	if strings.HasPrefix(src.Text, byteOrderMark) {
		current.start = len(byteOrderMark)
	}
	end := func(at int) {
		if current.end = at; current.content(r) {
			all = append(all, current)
		}
	}
	for i, start := range src.lines {
		if i == 0 {
			start = current.start
		}
		rest := src.Text[start:]
		isStart, isEnd := strings.HasPrefix(rest, "---"), strings.HasPrefix(rest, "...")
		if !isStart && !isEnd || len(rest) > 3 && strings.IndexByte(" \t\r\n", rest[3]) < 0 {
			continue
		}
		end(start)
		current.start, current.firstLine = start, i+1
		if isEnd {
			line, _ := src.line(i + 1)
			if behind := strings.TrimLeft(line[3:], " \t"); behind != "" && behind[0] != '#' {
				r.Report(Diagnostic{
					Span: Span{src, start, start + len(line)}, Code: "syntax",
					Message: "nothing may stand behind ... on its line", Hint: "begin a document with ---",
				})
			}
			current.start, current.firstLine = len(src.Text), i+2
			if i+1 < len(src.lines) {
				current.start = src.lines[i+1]
			}
		}
	}
	end(len(src.Text))
	return all
}

// content reports whether there is anything to parse. Directives are refused
// here: the library would take some of them and misplace the fault of others.
func (d document) content(r Reporter) bool {
	for rest := d.text(); rest != ""; {
		line := rest[:lineEnd(rest)]
		tail := rest[len(line)+lineBreak(rest, len(line)):]
		switch trimmed := strings.TrimLeft(line, " \t"); {
		case strings.HasPrefix(line, "%"):
			at := d.end - len(rest)
			x := Diagnostic{
				Span: Span{d.src, at, at + len(line)}, Code: "yaml-directive",
				Message: "YAML directives are not used here", Hint: "delete this line",
			}
			x.Mend("delete the line", Edit{Span{d.src, at, d.end - len(tail)}, ""})
			r.Report(x)
			return false
		case trimmed != "" && trimmed[0] != '#':
			return true
		}
		rest = tail
	}
	return false
}

func (d document) text() string { return d.src.Text[d.start:d.end] }

// decode is nil for an empty document. A second decoding makes sure that the
// library has read to the end, for it stops behind the first root value.
func (d document) decode() (root *yaml.Node, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			root, err = nil, fmt.Errorf("yaml: %v", fault)
		}
	}()
	decoder := yaml.NewDecoder(strings.NewReader(d.text()))
	var first, second yaml.Node
	if err := decoder.Decode(&first); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, errTrailing
	case err != io.EOF:
		return nil, err
	}
	return first.Content[0], nil
}

// converter turns the library's nodes into ours, in the order of the source.
type converter struct {
	document
	r    Reporter
	left int // how many more nodes the file may have
	slab []Node
	deep bool // the depth has been reported
	data bool // the file is data of others

	// the last place looked up: on a long line of other than ASCII characters
	// each look-up goes on from the one before
	lineAt, columnAt, offsetAt int
}

// place is where a node stands.
type place struct {
	depth int
	flow  bool // inside [] or {}
	key   bool
	merge bool // the value of <<
}

func (p place) inside(flow bool) place { return place{depth: p.depth + 1, flow: p.flow || flow} }

// offset turns the library's line and column, which counts runes, to an offset.
func (c *converter) offset(line, column int) int {
	i := c.firstLine + line - 2
	if i >= len(c.src.lines) {
		return c.end
	}
	if i != c.lineAt || column < c.columnAt {
		c.lineAt, c.columnAt, c.offsetAt = i, 1, max(c.src.lines[i], c.start)
	}
	for c.columnAt < column && c.offsetAt < c.end {
		_, size := utf8.DecodeRuneInString(c.src.Text[c.offsetAt:])
		c.offsetAt += size
		c.columnAt++
	}
	return min(c.offsetAt, c.end)
}

func (c *converter) node(y *yaml.Node, at place) *Node {
	if len(c.slab) == 0 {
		c.slab = make([]Node, 32)
	}
	n := &c.slab[0]
	c.slab = c.slab[1:]
	c.left--
	if c.data && y.Kind == yaml.AliasNode && c.left > 0 {
		if at.depth < maxDepth {
			return c.node(y.Alias, at.inside(false))
		}
		c.r.Report(tooDeep(Span{c.src, c.offset(y.Line, y.Column), c.offset(y.Line, y.Column)}))
	}

	start := c.offset(y.Line, y.Column)
	n.Span = Span{c.src, start, start}
	c.properties(n, y, at)
	switch {
	case y.Kind == yaml.AliasNode:
	case c.left < 0:
	case y.Kind == yaml.ScalarNode:
		c.scalar(n, y, at)
	case at.depth >= maxDepth:
		if !c.deep {
			c.r.Report(tooDeep(n.Span))
		}
		c.deep = true
	case y.Kind == yaml.SequenceNode:
		c.list(n, y, at)
	default:
		c.mapping(n, y, at)
	}
	return n
}

func tooDeep(span Span) Diagnostic {
	return Diagnostic{
		Span: span, Code: "too-deep",
		Message: fmt.Sprintf("values are nested more than %d deep", maxDepth),
		Hint:    "move the inner part to a sub-flow",
	}
}

func (c *converter) scalar(n *Node, y *yaml.Node, at place) {
	n.Text, n.Type = y.Value, Str
	switch {
	case y.Style&yaml.SingleQuotedStyle != 0:
		n.Style = SingleQuoted
	case y.Style&yaml.DoubleQuotedStyle != 0:
		n.Style = DoubleQuoted
	case y.Style&yaml.LiteralStyle != 0:
		n.Style = Literal
	case y.Style&yaml.FoldedStyle != 0:
		n.Style = Folded
	default:
		n.Type = resolve(n.Text)
	}
	n.trace(c.end)
	if !at.key && !c.data {
		c.checkScalar(n, at)
	}
}

func (c *converter) list(n *Node, y *yaml.Node, at place) {
	n.Kind = List
	flow := y.Style&yaml.FlowStyle != 0
	n.Items = make([]*Node, len(y.Content))
	for i, item := range y.Content {
		n.Items[i] = c.node(item, at.inside(flow))
		n.Span.End = max(n.Span.End, n.Items[i].Span.End)
	}
	if flow {
		n.Span.End = c.closing(n.Span, ']')
	}
}

func (c *converter) mapping(n *Node, y *yaml.Node, at place) {
	n.Kind = Map
	flow := y.Style&yaml.FlowStyle != 0
	if flow && !c.data && c.doubleBraces(n) {
		return
	}
	n.Fields = make([]Field, 0, len(y.Content)/2)
	var seen map[string]*Node
	if len(y.Content) > 32 {
		seen = make(map[string]*Node, len(y.Content)/2)
	}
	for i := 0; i+1 < len(y.Content); i += 2 {
		inside := at.inside(flow)
		inside.key = true
		key := c.node(y.Content[i], inside)
		inside.key = false
		inside.merge = key.Style == Plain && key.Text == "<<"
		value := c.node(y.Content[i+1], inside)
		value.key = key
		n.Span.End = max(n.Span.End, key.Span.End, value.Span.End)
		if !c.checkKey(key, y.Content[i]) {
			continue
		}
		first := seen[key.Text]
		if seen == nil {
			first = n.keyNode(key.Text)
		}
		if first != nil {
			c.r.Report(Diagnostic{
				Span: key.Span, Code: "duplicate-key",
				Message: fmt.Sprintf("the key %q is written twice", key.Text),
				Hint:    "keep one of them",
				Related: []Related{{first.Span, "first written here"}},
			})
			continue
		}
		if seen != nil {
			seen[key.Text] = key
		}
		n.Fields = append(n.Fields, Field{key, value})
	}
	// The pair in [a: b] is a mapping in flow style without braces.
	if flow && strings.HasPrefix(c.src.Text[n.Span.Start:c.end], "{") {
		n.Span.End = c.closing(n.Span, '}')
	}
}

func (n *Node) keyNode(text string) *Node {
	for _, f := range n.Fields {
		if f.Key.Text == text {
			return f.Key
		}
	}
	return nil
}

// closing is the end of a flow list or mapping whose last value ends at
// span.End: between there and the bracket stand only commas, colons, white space
// and comments.
func (c *converter) closing(span Span, bracket byte) int {
	src, i := c.src.Text[:c.end], max(span.End, span.Start+1)
	for i < len(src) {
		switch src[i] {
		case bracket:
			return i + 1
		case '#':
			k := strings.IndexAny(src[i:], "\r\n")
			if k < 0 {
				return span.End
			}
			i += k
		case ' ', '\t', '\r', '\n', ',', ':', '?':
			i++
		default:
			return span.End
		}
	}
	return span.End
}
