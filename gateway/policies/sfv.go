package policies

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Structured fields (RFC 9651). What is read is kept in its order, so that it can
// be written again in the one way that the RFC has for it: signatures are of that
// text. Where the RFC lets the last of two members of one name count, both are
// refused here: who reads the field next may take the first.

// sfBare is an item without its parameters.
type sfBare struct {
	kind   sfKind
	text   string // of a string, a token or a display string; the bytes of a byte sequence
	number int64  // of an integer or a date; 1000 times that of a decimal; 1 is true
}

type sfKind byte

const (
	sfInteger sfKind = iota
	sfDecimal
	sfString
	sfToken
	sfBytes
	sfBoolean
	sfDate
	sfDisplay
)

// sfParam is a parameter of an item or of an inner list.
type sfParam struct {
	key   string
	value sfBare
}

// sfMember is a member of a list or of a dictionary: an item, or an inner list.
type sfMember struct {
	key    string // of a dictionary
	inner  bool
	bare   sfBare   // of an item
	list   []sfItem // of an inner list
	params []sfParam
}

type sfItem struct {
	bare   sfBare
	params []sfParam
}

var (
	errSFV     = errors.New("this is no structured field")
	errSFTwice = errors.New("a name stands in a structured field twice")
)

// sfParamOf gives a parameter, if it is there.
func sfParamOf(params []sfParam, key string) (sfBare, bool) {
	for i := range params {
		if params[i].key == key {
			return params[i].value, true
		}
	}
	return sfBare{}, false
}

// sfReader reads a field from its first byte to its last.
type sfReader struct {
	in string
	at int
}

// readDictionary reads a dictionary of at most so many members (section 4.2.2).
func readDictionary(text string, most int) ([]sfMember, error) {
	return readMembers(text, most, func(s *sfReader) (m sfMember, err error) {
		if m.key, err = s.key(); err != nil {
			return m, err
		}
		if s.peek() == '=' {
			s.at++
			key := m.key
			m, err = s.member()
			m.key = key
			return m, err
		}
		m.bare = sfBare{kind: sfBoolean, number: 1}
		m.params, err = s.params()
		return m, err
	})
}

// readList reads a list of at most so many members (section 4.2.1).
func readList(text string, most int) ([]sfMember, error) {
	return readMembers(text, most, (*sfReader).member)
}

// readItem reads an item (section 4.2.3).
func readItem(text string) (sfItem, error) {
	s := &sfReader{in: strings.Trim(text, " ")}
	it, err := s.item()
	if err == nil && s.at != len(s.in) {
		err = errSFV
	}
	return it, err
}

func readMembers(text string, most int, member func(*sfReader) (sfMember, error)) (all []sfMember, err error) {
	s := &sfReader{in: strings.Trim(text, " ")}
	if s.in == "" {
		return nil, nil
	}
	for {
		if len(all) == most {
			return nil, fmt.Errorf("a structured field has more than %d members", most)
		}
		m, err := member(s)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if m.key != "" && all[i].key == m.key {
				return nil, errSFTwice
			}
		}
		all = append(all, m)
		s.skip(" \t")
		if s.at == len(s.in) {
			return all, nil
		}
		if s.next() != ',' {
			return nil, errSFV
		}
		if s.skip(" \t"); s.at == len(s.in) {
			return nil, errSFV
		}
	}
}

// peek is the next byte, or 0 at the end: no structured field has that one.
func (s *sfReader) peek() byte {
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

func (s *sfReader) next() byte {
	b := s.peek()
	s.at++
	return b
}

func (s *sfReader) skip(bytes string) {
	for s.at < len(s.in) && strings.IndexByte(bytes, s.in[s.at]) >= 0 {
		s.at++
	}
}

func (s *sfReader) member() (m sfMember, err error) {
	if s.peek() != '(' {
		it, err := s.item()
		return sfMember{bare: it.bare, params: it.params}, err
	}
	m.inner = true
	for s.at++; ; {
		s.skip(" ")
		if s.peek() == ')' {
			s.at++
			m.params, err = s.params()
			return m, err
		}
		it, err := s.item()
		if err != nil {
			return m, err
		}
		m.list = append(m.list, it)
		if b := s.peek(); b != ' ' && b != ')' {
			return m, errSFV
		}
	}
}

func (s *sfReader) item() (it sfItem, err error) {
	if it.bare, err = s.bare(); err == nil {
		it.params, err = s.params()
	}
	return it, err
}

// maxParams bounds the parameters of an item: it is what the RFC asks for, and names
// are compared with each other.
const maxParams = 256

func (s *sfReader) params() (all []sfParam, err error) {
	for s.peek() == ';' {
		if len(all) == maxParams {
			return nil, fmt.Errorf("an item of a structured field has more than %d parameters", maxParams)
		}
		s.at++
		s.skip(" ")
		p := sfParam{value: sfBare{kind: sfBoolean, number: 1}}
		if p.key, err = s.key(); err != nil {
			return nil, err
		}
		if s.peek() == '=' {
			s.at++
			if p.value, err = s.bare(); err != nil {
				return nil, err
			}
		}
		if _, twice := sfParamOf(all, p.key); twice {
			return nil, errSFTwice
		}
		all = append(all, p)
	}
	return all, nil
}

func (s *sfReader) key() (string, error) {
	from := s.at
	if b := s.peek(); !isLower(b) && b != '*' {
		return "", errSFV
	}
	for b := s.peek(); isLower(b) || isDigit(b) || b == '_' || b == '-' || b == '.' || b == '*'; b = s.peek() {
		s.at++
	}
	return s.in[from:s.at], nil
}

func (s *sfReader) bare() (sfBare, error) {
	switch b := s.peek(); {
	case b == '-' || isDigit(b):
		return s.number()
	case b == '"':
		return s.quoted()
	case b == '*' || isLower(b|0x20):
		return s.token(), nil
	case b == ':':
		return s.bytes()
	case b == '?':
		s.at++
		if b := s.next(); b == '0' || b == '1' {
			return sfBare{kind: sfBoolean, number: int64(b - '0')}, nil
		}
	case b == '@':
		s.at++
		n, err := s.number()
		if err == nil && n.kind == sfInteger {
			n.kind = sfDate
			return n, nil
		}
	case b == '%':
		return s.display()
	}
	return sfBare{}, errSFV
}

// number reads an integer of up to 15 digits, or a decimal of up to 12 and 3.
func (s *sfReader) number() (n sfBare, err error) {
	minus := s.peek() == '-'
	if minus {
		s.at++
	}
	from, dot := s.at, -1
	for b := s.peek(); isDigit(b) || b == '.' && dot < 0; b = s.peek() {
		if b == '.' {
			dot = s.at
		}
		s.at++
	}
	whole, fraction := s.in[from:s.at], ""
	if dot >= 0 {
		n.kind = sfDecimal
		whole, fraction = s.in[from:dot], s.in[dot+1:s.at]
	}
	switch {
	case whole == "", dot < 0 && len(whole) > 15:
		return n, errSFV
	case dot >= 0 && (len(whole) > 12 || len(fraction) < 1 || len(fraction) > 3):
		return n, errSFV
	case dot >= 0:
		whole += (fraction + "00")[:3]
	}
	n.number, err = strconv.ParseInt(whole, 10, 64)
	if minus {
		n.number = -n.number
	}
	return n, err
}

func (s *sfReader) quoted() (sfBare, error) {
	var b strings.Builder
	for s.at++; ; {
		switch c := s.next(); {
		case c == '\\':
			if c = s.next(); c != '"' && c != '\\' {
				return sfBare{}, errSFV
			}
			b.WriteByte(c)
		case c == '"':
			return sfBare{kind: sfString, text: b.String()}, nil
		case c < ' ' || c > '~':
			return sfBare{}, errSFV
		default:
			b.WriteByte(c)
		}
	}
}

func (s *sfReader) token() sfBare {
	from := s.at
	for b := s.peek(); b == ':' || b == '/' || isTokenByte(b); b = s.peek() {
		s.at++
	}
	return sfBare{kind: sfToken, text: s.in[from:s.at]}
}

// bytes reads a byte sequence. Padding may be missing (section 4.2.7).
func (s *sfReader) bytes() (sfBare, error) {
	s.at++
	end := strings.IndexByte(s.in[s.at:], ':')
	if end < 0 {
		return sfBare{}, errSFV
	}
	text := s.in[s.at : s.at+end]
	s.at += end + 1
	if strings.ContainsAny(text, "\r\n") { // which the decoder would leave out
		return sfBare{}, errSFV
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return sfBare{}, errSFV
	}
	return sfBare{kind: sfBytes, text: string(b)}, nil
}

func (s *sfReader) display() (sfBare, error) {
	var b strings.Builder
	if s.at++; s.next() != '"' {
		return sfBare{}, errSFV
	}
	for {
		switch c := s.next(); {
		case c == '%':
			if s.at+2 > len(s.in) || !isLowerHex(s.in[s.at]) || !isLowerHex(s.in[s.at+1]) {
				return sfBare{}, errSFV
			}
			b.WriteByte(unhex(s.in[s.at])<<4 | unhex(s.in[s.at+1]))
			s.at += 2
		case c == '"':
			if !utf8.ValidString(b.String()) {
				return sfBare{}, errSFV
			}
			return sfBare{kind: sfDisplay, text: b.String()}, nil
		case c < ' ' || c > '~':
			return sfBare{}, errSFV
		default:
			b.WriteByte(c)
		}
	}
}

func isLower(b byte) bool    { return 'a' <= b && b <= 'z' }
func isDigit(b byte) bool    { return '0' <= b && b <= '9' }
func isLowerHex(b byte) bool { return isDigit(b) || 'a' <= b && b <= 'f' }

func isTokenByte(b byte) bool { return b < 0x80 && isToken(string(rune(b))) }

// appendMembers writes a list or a dictionary (section 4.1).
func appendMembers(b []byte, all []sfMember) []byte {
	for i := range all {
		if i > 0 {
			b = append(b, ", "...)
		}
		m := &all[i]
		b = append(b, m.key...)
		if m.key != "" && !m.inner && m.bare == (sfBare{kind: sfBoolean, number: 1}) {
			b = appendParams(b, m.params)
			continue
		}
		if m.key != "" {
			b = append(b, '=')
		}
		b = appendMember(b, m)
	}
	return b
}

// appendMember writes what a member is, without its key.
func appendMember(b []byte, m *sfMember) []byte {
	if !m.inner {
		return appendParams(appendBare(b, m.bare), m.params)
	}
	b = append(b, '(')
	for i := range m.list {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendItem(b, m.list[i])
	}
	return appendParams(append(b, ')'), m.params)
}

func appendItem(b []byte, it sfItem) []byte { return appendParams(appendBare(b, it.bare), it.params) }

func appendParams(b []byte, params []sfParam) []byte {
	for _, p := range params {
		b = append(append(b, ';'), p.key...)
		if p.value != (sfBare{kind: sfBoolean, number: 1}) {
			b = appendBare(append(b, '='), p.value)
		}
	}
	return b
}

func appendBare(b []byte, v sfBare) []byte {
	switch v.kind {
	case sfInteger:
		return strconv.AppendInt(b, v.number, 10)
	case sfDecimal:
		n := v.number
		if n < 0 {
			b, n = append(b, '-'), -n
		}
		b = append(strconv.AppendInt(b, n/1000, 10), '.')
		fraction := strings.TrimRight(fmt.Sprintf("%03d", n%1000), "0")
		if fraction == "" {
			fraction = "0"
		}
		return append(b, fraction...)
	case sfString:
		b = append(b, '"')
		for i := range len(v.text) {
			if c := v.text[i]; c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, v.text[i])
		}
		return append(b, '"')
	case sfBytes:
		return append(base64.StdEncoding.AppendEncode(append(b, ':'), []byte(v.text)), ':')
	case sfBoolean:
		return append(b, '?', '0'+byte(v.number))
	case sfDate:
		return strconv.AppendInt(append(b, '@'), v.number, 10)
	case sfDisplay:
		b = append(b, `%"`...)
		for i := range len(v.text) {
			if c := v.text[i]; c < ' ' || c > '~' || c == '%' || c == '"' {
				const digits = "0123456789abcdef"
				b = append(b, '%', digits[c>>4], digits[c&15])
			} else {
				b = append(b, c)
			}
		}
		return append(b, '"')
	}
	return append(b, v.text...) // a token
}
