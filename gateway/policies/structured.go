package policies

import "strings"

// fieldKind is what a member of a dictionary of structured fields is.
type fieldKind uint8

const (
	fieldOther   fieldKind = iota // list has the text of each
	fieldBoolean                  // is
	fieldStrings                  // list: each was a string
)

type fieldValue struct {
	kind fieldKind
	is   bool
	list []string
}

// parseDictionary reads a dictionary of structured fields (RFC 9651, section
// 4.2.2). It is false for what is malformed anywhere. Of a key that is there twice
// the last counts.
func parseDictionary(text string) (all map[string]fieldValue, ok bool) {
	p := fieldParser{strings.TrimLeft(text, " ")}
	all = map[string]fieldValue{}
	for p.rest != "" {
		key, ok := p.key()
		if !ok {
			return nil, false
		}
		value := fieldValue{kind: fieldBoolean, is: true}
		if p.take('=') {
			if value, ok = p.value(); !ok {
				return nil, false
			}
		}
		if !p.parameters() {
			return nil, false
		}
		all[key] = value
		p.rest = strings.TrimLeft(p.rest, " \t")
		if p.rest == "" {
			return all, true
		}
		if !p.take(',') {
			return nil, false
		}
		if p.rest = strings.TrimLeft(p.rest, " \t"); p.rest == "" {
			return nil, false // a comma with nothing behind it
		}
	}
	return all, true
}

type fieldParser struct{ rest string }

func (p *fieldParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *fieldParser) key() (string, bool) {
	n := 0
	for n < len(p.rest) && (p.rest[n] >= 'a' && p.rest[n] <= 'z' || p.rest[n] == '*' ||
		n > 0 && (p.rest[n] >= '0' && p.rest[n] <= '9' || p.rest[n] == '-' || p.rest[n] == '_' || p.rest[n] == '.')) {
		n++
	}
	key := p.rest[:n]
	p.rest = p.rest[n:]
	return key, n > 0
}

// value reads an item, or a list in parentheses, without the parameters behind.
func (p *fieldParser) value() (v fieldValue, ok bool) {
	if !p.take('(') {
		v, text, ok := p.item()
		v.list = []string{text}
		return v, ok
	}
	v.kind = fieldStrings
	for {
		p.rest = strings.TrimLeft(p.rest, " ")
		if p.take(')') {
			return v, true
		}
		isString := strings.HasPrefix(p.rest, `"`)
		_, text, ok := p.item()
		if !ok || !p.parameters() {
			return v, false
		}
		if !isString {
			v.kind = fieldOther
		}
		v.list = append(v.list, text)
		if p.rest == "" || p.rest[0] != ' ' && p.rest[0] != ')' {
			return v, false
		}
	}
}

// item reads one value and its text: of a string what it says, of a boolean
// none. What is neither is not looked into.
func (p *fieldParser) item() (v fieldValue, text string, ok bool) {
	switch {
	case p.take('"'):
		text, ok = p.text()
		return v, text, ok
	case p.take('?'):
		v.kind, v.is = fieldBoolean, p.take('1')
		return v, "", v.is || p.take('0')
	}
	n := strings.IndexAny(p.rest, " \t,;()\"")
	if n < 0 {
		n = len(p.rest)
	}
	text = p.rest[:n]
	p.rest = p.rest[n:]
	return v, text, n > 0
}

// text reads a string behind its first quote.
func (p *fieldParser) text() (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\':
			if i++; i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", false
			}
			b.WriteByte(p.rest[i])
		case c < ' ' || c > '~':
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// parameters passes over what stands behind a value.
func (p *fieldParser) parameters() bool {
	for p.take(';') {
		p.rest = strings.TrimLeft(p.rest, " ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, _, ok := p.item(); !ok {
				return false
			}
		}
	}
	return true
}
