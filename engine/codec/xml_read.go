package codec

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// node is an element, or a text if it has no name.
type node struct {
	name  string
	text  string // of an element: if no elements are inside
	attrs []attribute
	kids  []node
	line  int32
}

type attribute struct{ name, value string }

// openNode is an element that has not ended.
type openNode struct {
	node
	written  xml.Name
	bindings int  // how many there are outside
	preserve bool // white space is content
}

type xmlReader struct {
	o        *XML
	d        *xml.Decoder
	stack    []openNode
	bindings bindings
	text     []byte // since the last tag
	nodes    int
	root     *node
}

// Decode reads a document.
func (o *XML) Decode(document, mediaType string) (string, error) {
	charset := charsetOf(mediaType, "")
	if charset == "" && (strings.HasPrefix(document, "\x00<") || strings.HasPrefix(document, "<\x00")) {
		return "", faultf(1, "this looks like UTF-16, but has no byte order mark")
	}
	text, told := document, charset != ""
	if told = told || hasMark(document); told {
		var err error
		if text, err = toUTF8(document, charset); err != nil {
			return "", err
		}
	}
	r := &xmlReader{o: o, d: xml.NewDecoder(strings.NewReader(text))}
	r.d.CharsetReader = func(label string, in io.Reader) (io.Reader, error) {
		if told {
			return in, nil // what is known from outside counts more (RFC 7303 section 3)
		}
		known, ok := charsets[strings.ToLower(label)]
		if !ok && !strings.EqualFold(label, "us-ascii") {
			return nil, unknownCharset(label)
		}
		if !ok {
			return in, nil
		}
		return known.NewDecoder().Reader(in), nil
	}
	if err := r.read(); err != nil {
		return "", err
	}
	return r.json()
}

func hasMark(document string) bool {
	return strings.HasPrefix(document, markUTF8) || strings.HasPrefix(document, markLarge) || strings.HasPrefix(document, markSmall)
}

func (r *xmlReader) line() int {
	line, _ := r.d.InputPos()
	return line
}

func (r *xmlReader) read() error {
	for first := true; ; first = false {
		token, err := r.d.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return xmlFault(err, r.line())
		}
		switch t := token.(type) {
		case xml.StartElement:
			err = r.start(&t)
		case xml.EndElement:
			err = r.end(t.Name)
		case xml.CharData:
			err = r.chars(t)
		case xml.Directive:
			return faultf(r.line(), "document type definitions and their entities are refused")
		case xml.ProcInst:
			if strings.EqualFold(t.Target, "xml") && !first {
				return faultf(r.line(), "the XML declaration does not stand at the start")
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case len(r.stack) > 0:
		return faultf(r.line(), "the document ends inside <%s>", excerptName(r.stack[len(r.stack)-1].written))
	case r.root == nil:
		return faultf(r.line(), "there is no element")
	}
	return nil
}

func xmlFault(err error, line int) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return faultf(syntax.Line, "%s", excerptMessage(syntax.Msg))
	}
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return faultf(line, "%s", excerptMessage(strings.TrimPrefix(err.Error(), "xml: ")))
}

// excerptMessage keeps a message short that quotes the document.
func excerptMessage(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

func excerptName(n xml.Name) string {
	return excerptMessage(join(n.Space, n.Local))
}

func join(prefix, local string) string {
	if prefix == "" {
		return local
	}
	return prefix + ":" + local
}

func (r *xmlReader) count() error {
	if r.nodes++; r.nodes > maxNodes {
		return faultf(r.line(), "the document has more than %d elements, attributes and texts", maxNodes)
	}
	return nil
}

func (r *xmlReader) start(t *xml.StartElement) error {
	switch {
	case len(r.stack) == 0 && r.root != nil:
		return faultf(r.line(), "a second root element: <%s>", excerptName(t.Name))
	case len(r.stack) == maxElements:
		return faultf(r.line(), "more than %d elements stand inside of each other", maxElements)
	case len(t.Attr) > maxAttributes:
		return faultf(r.line(), "<%s> has more than %d attributes", excerptName(t.Name), maxAttributes)
	}
	if err := r.count(); err != nil {
		return err
	}
	if err := r.flush(); err != nil {
		return err
	}
	e := openNode{written: t.Name, bindings: len(r.bindings)}
	e.line = int32(min(r.line(), 1<<31-1))
	if len(r.stack) > 0 {
		e.preserve = r.stack[len(r.stack)-1].preserve
	}
	for _, a := range t.Attr {
		if prefix, ok := declared(join(a.Name.Space, a.Name.Local)); ok {
			if err := r.declare(prefix, a.Value); err != nil {
				return err
			}
		}
	}
	var err error
	if e.name, err = r.name(t.Name, false); err != nil {
		return err
	}
	for _, a := range t.Attr {
		if err := r.attribute(&e, a); err != nil {
			return err
		}
	}
	r.stack = append(r.stack, e)
	return nil
}

func (r *xmlReader) declare(prefix, uri string) error {
	if prefix != "" && !isNCName(prefix) {
		return faultf(r.line(), "%s is not a prefix", excerpt(prefix))
	}
	if problem := r.bindings.declare(prefix, uri); problem != "" {
		return faultf(r.line(), "%s", problem)
	}
	// Names in known namespaces get their prefixes from the flow, whatever these
	// are declared as here. A prefix of another namespace goes with its names, if
	// it does not mean something else in JSON.
	if _, known := r.o.prefix(uri); !known && uri != "" && r.clashes(prefix) {
		r.bindings[len(r.bindings)-1].shown = r.free()
	}
	return nil
}

// clashes reports whether names with a prefix of the document's own would be
// taken for names of another namespace.
func (r *xmlReader) clashes(prefix string) bool {
	_, taken := r.o.namespace(prefix)
	return taken || slices.ContainsFunc(r.bindings, func(b binding) bool { return b.shown == prefix && b.prefix != prefix })
}

// free is a prefix that nothing here has.
func (r *xmlReader) free() string {
	for n := 1; ; n++ {
		prefix := "ns" + strconv.Itoa(n)
		_, taken := r.o.namespace(prefix)
		if !taken && !slices.ContainsFunc(r.bindings, func(b binding) bool { return b.prefix == prefix || b.shown == prefix }) {
			return prefix
		}
	}
}

func (r *xmlReader) attribute(e *openNode, a xml.Attr) error {
	name := join(a.Name.Space, a.Name.Local)
	if prefix, ok := declared(name); ok {
		if _, known := r.o.prefix(a.Value); known {
			return nil
		}
		if b, _ := r.bindings.find(prefix); b.shown != prefix {
			name = join("xmlns", b.shown)
		}
	} else {
		var err error
		if name, err = r.name(a.Name, true); err != nil {
			return err
		}
	}
	for i := range e.attrs {
		if e.attrs[i].name == name {
			return faultf(r.line(), "<%s> has the attribute %s twice", excerptName(e.written), excerptMessage(name))
		}
	}
	if name == "xml:space" {
		e.preserve = a.Value == "preserve"
	}
	e.attrs = append(e.attrs, attribute{name, a.Value})
	return r.count()
}

// name gives the name that an element or attribute has in JSON.
func (r *xmlReader) name(n xml.Name, isAttribute bool) (string, error) {
	switch {
	case !isNCName(n.Local): // the decoder looks at the name as a whole
		return "", faultf(r.line(), "%s is not a name", excerpt(n.Local))
	case isAttribute && n.Space == "":
		return n.Local, nil
	case n.Space == "xml":
		return join(n.Space, n.Local), nil
	}
	b, ok := r.bindings.find(n.Space)
	if !ok && n.Space != "" {
		return "", faultf(r.line(), "the prefix %s is not declared", excerpt(n.Space))
	}
	if b.uri == "" {
		if none, ok := r.o.namespace(""); ok {
			return "", faultf(r.line(), "<%s> has no namespace, where it must be %s", excerptName(n), excerpt(none))
		}
		return n.Local, nil
	}
	prefix, ok := r.o.prefix(b.uri)
	if !ok {
		return join(b.shown, n.Local), nil
	}
	if prefix == "" && isAttribute {
		return "", faultf(r.line(), "the attribute %s is in the namespace of names without prefix, and attributes need one", excerpt(join(n.Space, n.Local)))
	}
	return join(prefix, n.Local), nil
}

func (r *xmlReader) chars(t xml.CharData) error {
	if len(r.stack) > 0 {
		r.text = append(r.text, t...)
		return nil
	}
	if !isBlank(string(t)) {
		return faultf(r.line(), "text stands outside of the root element")
	}
	return nil
}

// flush puts the text since the last tag among the kids of the open element.
func (r *xmlReader) flush() error {
	if len(r.text) == 0 {
		return nil
	}
	e := &r.stack[len(r.stack)-1]
	e.kids = append(e.kids, node{text: string(r.text)})
	r.text = r.text[:0]
	return r.count()
}

func (r *xmlReader) end(name xml.Name) error {
	if len(r.stack) == 0 {
		return faultf(r.line(), "</%s> closes nothing", excerptName(name))
	}
	e := &r.stack[len(r.stack)-1]
	if e.written != name {
		return faultf(r.line(), "<%s> of line %d is closed by </%s>", excerptName(e.written), e.line, excerptName(name))
	}
	if len(e.kids) == 0 {
		e.text = string(r.text)
		r.text = r.text[:0]
	} else if err := r.flush(); err != nil {
		return err
	}
	content := e.preserve || slices.ContainsFunc(e.kids, func(k node) bool { return k.name == "" && !isBlank(k.text) })
	if !content {
		e.kids = slices.DeleteFunc(e.kids, func(k node) bool { return k.name == "" })
	}
	r.bindings = r.bindings[:e.bindings]
	done := e.node
	r.stack = r.stack[:len(r.stack)-1]
	if len(r.stack) == 0 {
		r.root = &done
		return nil
	}
	parent := &r.stack[len(r.stack)-1]
	parent.kids = append(parent.kids, done)
	return nil
}

// json writes the document that was read.
func (r *xmlReader) json() (string, error) {
	if r.o.Root != "" && r.root.name != r.o.Root {
		return "", faultf(int(r.root.line), "the root element is <%s>, not <%s>", excerptMessage(r.root.name), r.o.Root)
	}
	var b []byte
	var err error
	if r.o.Root != "" {
		b, err = r.value(b, r.root)
		return string(b), err
	}
	b = appendKey(append(b, '{'), r.root.name)
	if b, err = r.value(b, r.root); err != nil {
		return "", err
	}
	return string(append(b, '}')), nil
}

func appendKey(dst []byte, key string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(dsl.AppendJSONString(dst, key), ':')
}

func (r *xmlReader) value(dst []byte, n *node) ([]byte, error) {
	if len(dst) > MaxBytes {
		return dst, tooLarge()
	}
	empty := r.emptyLists(n)
	if len(n.kids) == 0 && empty == nil {
		if len(n.attrs) == 0 {
			return r.typed(dst, n.name, n.text, n.line)
		}
		if n.text == "" && len(n.attrs) == 1 && n.attrs[0] == (attribute{"xsi:nil", "true"}) {
			return append(dst, "null"...), nil
		}
	}
	var err error
	dst = append(dst, '{')
	for i := range n.attrs {
		key := "@" + n.attrs[i].name
		if dst, err = r.typed(appendKey(dst, key), key, n.attrs[i].value, n.line); err != nil {
			return dst, err
		}
	}
	if n.text != "" && !(empty != nil && isBlank(n.text)) {
		if dst, err = r.typed(appendKey(dst, keyText), n.name, n.text, n.line); err != nil {
			return dst, err
		}
	}
	if dst, err = r.kids(dst, n); err != nil {
		return dst, err
	}
	for _, name := range empty {
		dst = append(appendKey(dst, name), "[]"...)
	}
	return append(dst, '}'), nil
}

func (r *xmlReader) typed(dst []byte, name, text string, line int32) ([]byte, error) {
	kind := r.o.Types[name]
	out, ok := appendTyped(dst, kind, text)
	if !ok {
		return dst, faultf(int(line), "%s: %s is not of type %s", excerptMessage(name), excerpt(text), kind)
	}
	return out, nil
}

func (n *node) key() string {
	if n.name == "" {
		return keyText
	}
	return n.name
}

// kids appends the fields of what is inside an element: those of one name
// together, and their order where that does not tell it.
func (r *xmlReader) kids(dst []byte, n *node) ([]byte, error) {
	var known names
	numbers := make([]int, len(n.kids))
	apart := false
	for i := range n.kids {
		number, fresh := known.add(n.kids[i].key())
		numbers[i] = number
		apart = apart || !fresh && numbers[i-1] != number
	}
	kids := n.kids
	if apart {
		kids = gathered(n.kids, numbers, len(known.list))
	}
	var err error
	for len(kids) > 0 {
		key, same := kids[0].key(), 1
		for same < len(kids) && kids[same].key() == key {
			same++
		}
		list := same > 1 || r.isList(n.name, key)
		dst = appendKey(dst, key)
		if list {
			dst = append(dst, '[')
		}
		for i := range same {
			if i > 0 {
				dst = append(dst, ',')
			}
			if k := &kids[i]; k.name == "" {
				dst = dsl.AppendJSONString(dst, k.text)
			} else if dst, err = r.value(dst, k); err != nil {
				return dst, err
			}
		}
		if list {
			dst = append(dst, ']')
		}
		kids = kids[same:]
	}
	if !apart {
		return dst, nil
	}
	dst = append(appendKey(dst, keyOrder), '[')
	for i := range n.kids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = dsl.AppendJSONString(dst, n.kids[i].key())
	}
	return append(dst, ']'), nil
}

// gathered gives the kids by their numbers, in order among those of one number.
func gathered(kids []node, numbers []int, most int) []node {
	starts := make([]int, most+1)
	for _, number := range numbers {
		starts[number+1]++
	}
	for i := range most {
		starts[i+1] += starts[i]
	}
	out := make([]node, len(kids))
	for i, number := range numbers {
		out[starts[number]] = kids[i]
		starts[number]++
	}
	return out
}

func (r *xmlReader) isList(parent, name string) bool {
	for _, l := range r.o.Lists {
		if in, child, ok := strings.Cut(l, "/"); l == name || ok && child == name && in == parent {
			return true
		}
	}
	return false
}

// emptyLists are the lists that an element has although nothing is in them.
func (r *xmlReader) emptyLists(n *node) (list []string) {
	for _, l := range r.o.Lists {
		in, child, ok := strings.Cut(l, "/")
		if ok && in == n.name && !slices.ContainsFunc(n.kids, func(k node) bool { return k.name == child }) && !slices.Contains(list, child) {
			list = append(list, child)
		}
	}
	return list
}
