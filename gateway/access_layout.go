package gateway

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// AccessLayout is how a record is written: which fields it has, and in which
// form. A record is one line whatever callers send: each value is escaped for the
// form, and cut at maxAccessValue.
type AccessLayout struct {
	form   accessForm
	fields []accessField
	before []string // of a template: the text before each field, and after the last
}

type accessForm int

const (
	accessJSON accessForm = iota
	accessText
	accessTemplate
)

// maxAccessValue bounds one value of a record, in bytes.
const maxAccessValue = 2 << 10

// JSONAccess is an object of JSON in each line. Fields of omit are left out, and
// those of the header with the names in headers are added.
func JSONAccess(omit, headers []string) AccessLayout { return listed(accessJSON, omit, headers) }

// TextAccess is name=value in each line, with quotes where they are needed.
func TextAccess(omit, headers []string) AccessLayout { return listed(accessText, omit, headers) }

func listed(form accessForm, omit, headers []string) AccessLayout {
	l := AccessLayout{form: form}
	for _, f := range accessFields {
		if !slices.Contains(omit, f.name) {
			l.fields = append(l.fields, f)
		}
	}
	for _, name := range headers {
		l.fields = append(l.fields, headerField(name))
	}
	return l
}

// TemplateError is a place of a template that names what there is not.
type TemplateError struct {
	Name  string   // "": the place is not closed
	Known []string // the names that there are
}

func (e *TemplateError) Error() string {
	if e.Name == "" {
		return "a place begins with $( and does not end"
	}
	return fmt.Sprintf("there is no field %q", e.Name)
}

// TemplateAccess is text with $(FIELD) in the place of each value; $(header.NAME)
// is a field of the request's header, and $$( is a literal $(. What has no value
// is -.
func TemplateAccess(text string) (AccessLayout, error) {
	l := AccessLayout{form: accessTemplate}
	var before strings.Builder
	for {
		i := strings.Index(text, "$(")
		if i < 0 {
			before.WriteString(text)
			break
		}
		if i > 0 && text[i-1] == '$' {
			before.WriteString(text[:i-1] + "$(")
			text = text[i+2:]
			continue
		}
		before.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], ")")
		if !closed {
			return l, &TemplateError{}
		}
		f, ok := findAccessField(strings.TrimSpace(name))
		if header, is := strings.CutPrefix(strings.TrimSpace(name), headerPrefix); is && header != "" {
			f, ok = headerField(header), true
		}
		if !ok {
			return l, &TemplateError{Name: strings.TrimSpace(name), Known: AccessFields()}
		}
		l.fields, l.before = append(l.fields, f), append(l.before, oneLine(before.String()))
		before.Reset()
		text = rest
	}
	l.before = append(l.before, oneLine(before.String()))
	return l, nil
}

// oneLine is the text of a template, in which a line ends a record.
func oneLine(text string) string {
	return strings.NewReplacer("\r", "", "\n", " ").Replace(strings.TrimRight(text, "\r\n"))
}

func (l *AccessLayout) append(b []byte, e *accessEntry) []byte {
	if l.form == accessJSON {
		b = append(b, '{')
	}
	begin := len(b)
	for i := range l.fields {
		f := &l.fields[i]
		if l.form == accessTemplate {
			b = append(b, l.before[i]...)
			from := len(b)
			if b = f.append(b, e, l.form); len(b) == from {
				b = append(b, '-')
			}
			continue
		}
		from := len(b)
		if from > begin {
			b = append(b, l.form.between())
		}
		b = l.form.appendName(b, f.name)
		value := len(b)
		if b = f.append(b, e, l.form); len(b) == value {
			b = b[:from] // it has none
		}
	}
	switch l.form {
	case accessJSON:
		b = append(b, '}')
	case accessTemplate:
		b = append(b, l.before[len(l.fields)]...)
	}
	return append(b, '\n')
}

func (f accessForm) between() byte {
	if f == accessJSON {
		return ','
	}
	return ' '
}

func (f accessForm) appendName(b []byte, name string) []byte {
	if f == accessJSON {
		return append(appendEscaped(append(b, '"'), name), '"', ':')
	}
	return append(appendEscaped(b, name), '=')
}

// append appends the value, or nothing if there is none.
func (f *accessField) append(b []byte, e *accessEntry, form accessForm) []byte {
	switch {
	case f.number != nil:
		if n := f.number(e); n >= 0 {
			return strconv.AppendInt(b, n, 10)
		}
		return b
	case f.micros != nil:
		return appendSeconds(b, f.micros(e))
	}
	text := f.text(e)
	switch {
	case text == "":
		return b
	case form == accessJSON || form == accessText && !isPlain(text):
		return append(appendEscaped(append(b, '"'), text), '"')
	default:
		return appendEscaped(b, text)
	}
}

func appendSeconds(b []byte, micros int64) []byte {
	micros = max(micros, 0)
	b = strconv.AppendInt(b, micros/1e6, 10)
	b = append(b, '.')
	for part, digit := micros%1e6, int64(1e5); digit > 0; digit /= 10 {
		b = append(b, byte('0'+part/digit%10))
	}
	return b
}

// isPlain reports whether a value can stand in text without quotes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=' {
			return false
		}
	}
	return true
}

// appendEscaped appends s as it can stand between quotes, in JSON as well as in
// text: without anything that ends a value or a line, or that a terminal takes
// for a command. What is not UTF-8 is U+FFFD.
func appendEscaped(b []byte, s string) []byte {
	cut := len(s) > maxAccessValue
	if cut {
		s = s[:maxAccessValue]
	}
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && !isEscaped[s[i]] {
			i++
		}
		if b = append(b, s[from:i]...); i == len(s) {
			break
		}
		if c := s[i]; c < utf8.RuneSelf {
			if c == '"' || c == '\\' {
				b = append(b, '\\', c)
			} else {
				b = appendUnicode(b, rune(c))
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1 && cut && len(s)-i < utf8.UTFMax:
			// The character that was cut in two.
		case r == utf8.RuneError && size == 1:
			b = append(b, "\ufffd"...)
		case !unicode.IsPrint(r): // directions, separators, and controls of terminals
			b = appendUnicode(b, r)
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	if cut {
		b = append(b, "…"...)
	}
	return b
}

// isEscaped are the bytes that are looked at one by one.
var isEscaped = func() (is [256]bool) {
	for c := range is {
		is[c] = c < ' ' || c >= 0x7f || c == '"' || c == '\\'
	}
	return is
}()

func appendUnicode(b []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		b = appendUnicode(b, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
