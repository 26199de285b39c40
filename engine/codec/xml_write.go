package codec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

type xmlWriter struct {
	o        *XML
	buf      []byte
	bindings bindings
	used     map[string]bool // the prefixes of the options that the root must declare
	root     int             // where it would do so
	nodes    int
}

// Encode writes a document. Lists become elements of one name, null an element
// with xsi:nil.
func (o *XML) Encode(json string) (string, string, error) {
	w := &xmlWriter{o: o, buf: make([]byte, 0, len(json)+len(json)/2+64), used: map[string]bool{}}
	if o.Declaration {
		w.buf = append(w.buf, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"...)
	}
	name, raw := o.Root, trim(json)
	if name == "" {
		if raw[0] != '{' {
			return "", "", faultf(0, "a document has a root element, and %s has no name for it: write xml: { root: name }", kindOf(raw))
		}
		all := fields(raw)
		if len(all) != 1 {
			return "", "", faultf(0, "a document has one root element, and this object has %d fields: write xml: { root: name }", len(all))
		}
		name, raw = all[0].key, all[0].raw
	}
	if err := w.element(name, raw, 1, o.Indent > 0); err != nil {
		return "", "", err
	}
	if o.Indent > 0 {
		w.buf = append(w.buf, '\n')
	}
	return string(w.declareUsed()), "application/xml", nil
}

// declareUsed puts the declarations of the prefixes that are used into the root
// element.
func (w *xmlWriter) declareUsed() []byte {
	var b []byte
	for _, prefix := range slices.Sorted(maps.Keys(w.used)) {
		uri, _ := w.o.namespace(prefix)
		b = append(b, " xmlns"...)
		if prefix != "" {
			b = append(b, ":"+prefix...)
		}
		b = append(appendEscaped(append(b, `="`...), uri, true), '"')
	}
	return slices.Insert(w.buf, w.root, b...)
}

func (w *xmlWriter) element(name, raw string, level int, indent bool) error {
	w.nodes++
	switch {
	case level > maxElements:
		return faultf(0, "this nests deeper than %d elements", maxElements)
	case w.nodes > maxNodes:
		return faultf(0, "this has more than %d elements, attributes and texts", maxNodes)
	case len(w.buf) > MaxBytes:
		return tooLarge()
	case raw[0] == '[':
		return faultf(0, "%s is a list directly in a list, or the root: its elements have no name", excerpt(name))
	}
	outside := len(w.bindings)
	defer func() { w.bindings = w.bindings[:outside] }()
	var inside []field
	if raw[0] == '{' {
		inside = fields(raw)
		for _, f := range inside {
			if err := w.declare(f); err != nil {
				return err
			}
		}
	}
	if err := w.name(name, false); err != nil {
		return err
	}
	w.buf = append(append(w.buf, '<'), name...)
	if level == 1 {
		w.root = len(w.buf)
	}
	if raw[0] == 'n' {
		if _, bound := w.bindings.find("xsi"); !bound {
			w.used["xsi"] = true
		}
		w.buf = append(w.buf, ` xsi:nil="true"`...)
	}
	attributes := 0
	for _, f := range inside {
		if attribute, ok := strings.CutPrefix(f.key, "@"); ok && f.raw[0] != 'n' {
			if attributes++; attributes > maxAttributes-len(w.o.Namespaces)-1 {
				return faultf(0, "%s has more than %d attributes", excerpt(name), maxAttributes-len(w.o.Namespaces)-1)
			}
			if err := w.attribute(attribute, f.raw); err != nil {
				return err
			}
		}
	}
	w.nodes += attributes
	w.buf = append(w.buf, '>')
	start := len(w.buf)
	var err error
	if raw[0] == '{' {
		err = w.content(name, inside, level, indent)
	} else {
		err = w.text(name, raw)
	}
	if err != nil {
		return err
	}
	if len(w.buf) == start {
		w.buf = append(w.buf[:start-1], '/', '>')
		return nil
	}
	w.buf = append(append(append(w.buf, '<', '/'), name...), '>')
	return nil
}

// declare notes what an attribute says of namespaces.
func (w *xmlWriter) declare(f field) error {
	attribute, ok := strings.CutPrefix(f.key, "@")
	if !ok || f.raw[0] == 'n' {
		return nil
	}
	if prefix, ok := declared(attribute); ok {
		uri, _ := scalar(f.raw)
		if problem := w.bindings.declare(prefix, uri); problem != "" {
			return faultf(0, "%s", problem)
		}
		if known, ok := w.o.namespace(prefix); ok && known != uri {
			return faultf(0, "%s", otherwise(prefix, uri, known))
		}
	}
	return nil
}

// name checks the name of an element or attribute, and that its prefix is
// declared.
func (w *xmlWriter) name(name string, isAttribute bool) error {
	if !isQName(name) {
		return faultf(0, "%s cannot be the name of an element or attribute", excerpt(name))
	}
	prefix, _, ok := strings.Cut(name, ":")
	if !ok {
		if isAttribute {
			return nil
		}
		prefix = ""
	}
	if _, bound := w.bindings.find(prefix); bound {
		return nil
	}
	if _, known := w.o.namespace(prefix); known {
		w.used[prefix] = true
	} else if prefix != "" {
		return faultf(0, "the prefix of %s is not declared: write xml: { namespaces: { prefix: namespace } }, or an attribute @xmlns:%s", excerpt(name), excerptMessage(prefix))
	}
	return nil
}

func (w *xmlWriter) attribute(name, raw string) error {
	value, ok := scalar(raw)
	if !ok {
		return faultf(0, "the attribute %s is %s, and can only be text", excerpt(name), kindOf(raw))
	}
	if prefix, ok := declared(name); !ok {
		if err := w.name(name, true); err != nil {
			return err
		}
	} else if prefix != "" && !isNCName(prefix) {
		return faultf(0, "%s cannot be a prefix", excerpt(prefix))
	}
	if err := checkChars(name, value); err != nil {
		return err
	}
	w.buf = append(append(append(w.buf, ' '), name...), '=', '"')
	w.buf = append(appendEscaped(w.buf, value, true), '"')
	return nil
}

// child is one field of an object: the elements or texts of one name.
type child struct {
	key    string
	values []string // those that are not yet written
}

func (w *xmlWriter) content(name string, inside []field, level int, indent bool) error {
	var children []child
	var known names
	var order []string
	elements := false
	for _, f := range inside {
		switch {
		case f.key == keyOrder:
			for _, raw := range values(f.raw) {
				key, _ := scalar(raw)
				order = append(order, key)
			}
		case f.key == "@xml:space":
			indent = indent && f.raw != `"preserve"`
		case f.key == keyText:
			indent = false // space would be content there
			fallthrough
		case !strings.HasPrefix(f.key, "@"):
			known.add(f.key)
			children = append(children, child{f.key, values(f.raw)})
			elements = elements || f.key != keyText && len(children[len(children)-1].values) > 0
		}
	}
	for _, key := range order {
		i, ok := known.find(key)
		if !ok || len(children[i].values) == 0 {
			continue
		}
		if err := w.child(name, key, children[i].values[0], level, indent); err != nil {
			return err
		}
		children[i].values = children[i].values[1:]
	}
	for _, c := range children {
		for _, raw := range c.values {
			if err := w.child(name, c.key, raw, level, indent); err != nil {
				return err
			}
		}
	}
	if elements {
		w.newline(level-1, indent)
	}
	return nil
}

func (w *xmlWriter) child(parent, key, raw string, level int, indent bool) error {
	if key == keyText {
		w.nodes++
		return w.text(parent, raw)
	}
	w.newline(level, indent)
	return w.element(key, raw, level+1, indent)
}

func (w *xmlWriter) newline(level int, indent bool) {
	if indent {
		w.buf = append(w.buf, '\n')
		w.buf = append(w.buf, strings.Repeat(" ", level*w.o.Indent)...)
	}
}

// text writes the text of an element.
func (w *xmlWriter) text(element, raw string) error {
	text, ok := scalar(raw)
	if !ok {
		return faultf(0, "the text of %s is %s", excerpt(element), kindOf(raw))
	}
	if err := checkChars(element, text); err != nil || text == "" {
		return err
	}
	if !slices.Contains(w.o.CDATA, element) {
		w.buf = appendEscaped(w.buf, text, false)
		return nil
	}
	w.buf = append(append(w.buf, "<![CDATA["...), cdataEscaper.Replace(text)...)
	w.buf = append(w.buf, "]]>"...)
	return nil
}

// cdataEscaper leaves the section for what cannot stand in it.
var cdataEscaper = strings.NewReplacer("]]>", "]]]]><![CDATA[>", "\r", "]]>&#xD;<![CDATA[")

// checkChars finds characters that no XML document can hold (XML 1.0 section
// 2.2).
func checkChars(name, text string) error {
	for _, r := range text {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return faultf(0, "the value of %s holds %s, which XML has no way to write", excerpt(name), fmt.Sprintf("%U", r))
		}
	}
	return nil
}

// appendEscaped appends text so that a reader gets it back as it is: without
// escapes, line ends in attributes would be spaces, and a carriage return a line
// feed.
func appendEscaped(dst []byte, text string, inAttribute bool) []byte {
	start := 0
	for i := 0; i < len(text); i++ {
		var escape string
		switch c := text[i]; {
		case c >= utf8.RuneSelf || c > '>':
			continue
		case c == '&':
			escape = "&amp;"
		case c == '<':
			escape = "&lt;"
		case c == '>':
			escape = "&gt;"
		case c == '\r':
			escape = "&#xD;"
		case c == '"' && inAttribute:
			escape = "&quot;"
		case c == '\n' && inAttribute:
			escape = "&#xA;"
		case c == '\t' && inAttribute:
			escape = "&#x9;"
		default:
			continue
		}
		dst = append(append(dst, text[start:i]...), escape...)
		start = i + 1
	}
	return append(dst, text[start:]...)
}
