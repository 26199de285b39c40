package dsl

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"
)

// MaxDepth is how deeply lists and objects may nest in JSON that Weir reads
// or writes. It bounds every recursion over untrusted data.
const MaxDepth = 128

// MaxSize is how many bytes of JSON one value that a flow makes may take: what
// a caller sends once could otherwise be written out for each of its parts.
const MaxSize = 64 << 20

// ErrSize says that a value takes more than MaxSize.
var ErrSize = fmt.Errorf("the value takes more than %d MiB", MaxSize>>20)

// ErrDepth says that JSON nests deeper than MaxDepth.
var ErrDepth = fmt.Errorf("JSON nests deeper than %d levels", MaxDepth)

// CheckJSON reports whether text is one JSON value (RFC 8259) in UTF-8 that
// nests at most MaxDepth deep. It must succeed before DecodeJSON or any
// lookup in the text: those trust their input.
func CheckJSON(text string) error {
	// The depth comes first because the syntax check recurses.
	if err := checkDepth(text); err != nil {
		return err
	}
	if !gjson.Valid(text) {
		if strings.HasPrefix(text, "\ufeff") {
			return errors.New("not JSON: it begins with a byte order mark")
		}
		var syntax *json.SyntaxError
		err := json.Unmarshal([]byte(text), new(json.RawMessage))
		if errors.As(err, &syntax) {
			return fmt.Errorf("not JSON at byte %d: %s", syntax.Offset, strings.TrimPrefix(syntax.Error(), "json: "))
		}
		return errors.New("not JSON")
	}
	if !utf8.ValidString(text) {
		return errors.New("not UTF-8")
	}
	return nil
}

// jsonSpace is what may stand around a JSON value.
const jsonSpace = " \t\r\n"

func checkDepth(text string) error {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > MaxDepth {
				return ErrDepth
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

// DecodeJSON turns checked JSON text into nil, bool, int, float64, Number,
// string, []any and map[string]any. Of a key written twice the last value
// counts, as in encoding/json.
func DecodeJSON(text string) any {
	d := jsonReader{text: text}
	return d.value()
}

// ErrMemory says that a value would take too much memory in the form that
// expressions see.
var ErrMemory = fmt.Errorf("taken apart, the value would take more than %d MiB of memory", maxDecoded>>20)

const (
	maxDecoded  = 2 * MaxSize
	surelySmall = 1 << 20 // text of fewer bytes cannot make more than maxDecoded
)

// DecodeBounded is DecodeJSON for text of any size: a list of small objects takes
// fifty times the room of its text, and whoever sends one knows that. Its only
// error is ErrMemory.
func DecodeBounded(text string) (any, error) {
	if len(text) > surelySmall && decodedSize(text) > maxDecoded {
		return nil, ErrMemory
	}
	return DecodeJSON(text), nil
}

// DecodeOnce is DecodeBounded that tells a key which is there twice in one object,
// "" if there is none. Of two readers of such text each may take another value
// (RFC 8259, section 4).
func DecodeOnce(text string) (v any, twice string, err error) {
	if len(text) > surelySmall && decodedSize(text) > maxDecoded {
		return nil, "", ErrMemory
	}
	d := jsonReader{text: text, once: true}
	v = d.value()
	return v, d.twice, nil
}

// decodedSize is about how many bytes DecodeJSON makes of text, besides its
// strings.
func decodedSize(text string) int {
	size := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			size += 340
		case '[':
			size += 40
		case ',':
			size += 24
		}
	}
	return size
}

// jsonReader reads checked text: it never looks for faults.
type jsonReader struct {
	text  string
	pos   int
	once  bool   // keep note of keys that are there twice
	twice string // the first of them
}

func (d *jsonReader) space() byte {
	for {
		switch c := d.text[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
}

func (d *jsonReader) value() any {
	switch c := d.space(); c {
	case '{':
		d.pos++
		object := map[string]any{}
		for d.space() != '}' {
			if d.text[d.pos] == ',' {
				d.pos++
				d.space()
			}
			key := d.string()
			d.space()
			d.pos++ // the colon
			if d.once && d.twice == "" {
				if _, known := object[key]; known {
					d.twice = cmp.Or(key, `""`)
				}
			}
			object[key] = d.value()
		}
		d.pos++
		return object
	case '[':
		d.pos++
		list := []any{}
		for d.space() != ']' {
			if d.text[d.pos] == ',' {
				d.pos++
			}
			list = append(list, d.value())
		}
		d.pos++
		return list
	case '"':
		return d.string()
	case 't':
		d.pos += len("true")
		return true
	case 'f':
		d.pos += len("false")
		return false
	case 'n':
		d.pos += len("null")
		return nil
	}
	start := d.pos
	for d.pos < len(d.text) && !strings.ContainsRune(",]} \t\r\n", rune(d.text[d.pos])) {
		d.pos++
	}
	return parseNumber(d.text[start:d.pos])
}

func (d *jsonReader) string() string {
	start := d.pos
	end, escaped := scanString(d.text, start)
	d.pos = end
	if !escaped {
		return d.text[start+1 : end-1]
	}
	return unquote(d.text[start+1 : end-1])
}

// scanString gives the end of the quoted string that starts at pos and
// whether it holds escapes.
func scanString(text string, pos int) (end int, escaped bool) {
	for pos++; text[pos] != '"'; pos++ {
		if text[pos] == '\\' {
			escaped = true
			pos++
		}
	}
	return pos + 1, escaped
}

// unquote resolves the escapes of a JSON string's inside. Lone surrogates
// become U+FFFD, as in encoding/json.
func unquote(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			b = append(b, c)
			i++
			continue
		}
		switch c = s[i+1]; c {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hex4(s[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if strings.HasPrefix(s[i:], `\u`) {
					pair = utf16.DecodeRune(r, hex4(s[i+2:]))
				}
				if r = pair; pair != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
			continue
		default:
			b = append(b, c)
		}
		i += 2
	}
	return string(b)
}

func hex4(s string) rune {
	n, _ := strconv.ParseUint(s[:4], 16, 32) // checked text
	return rune(n)
}

// AppendJSON appends v as compact JSON. Objects come with sorted keys,
// durations as text such as "1.5s". A number that JSON cannot say (NaN, an
// infinity), a value of another kind, nesting beyond MaxDepth or text beyond
// MaxSize is an error.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	return appendJSON(dst, v, 0, len(dst)+MaxSize)
}

func appendJSON(dst []byte, v any, depth, most int) ([]byte, error) {
	if depth > MaxDepth {
		return dst, ErrDepth
	}
	if len(dst) > most {
		return dst, ErrSize
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return AppendJSONString(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return dst, fmt.Errorf("%v is not a number that JSON can say", v)
		}
		return appendFloat(dst, v), nil
	case Number:
		return append(dst, v...), nil
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSON(dst, item, depth+1, most); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		dst = append(dst, '{')
		for i, k := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendJSONString(dst, k), ':')
			var err error
			if dst, err = appendJSON(dst, v[k], depth+1, most); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case map[any][]any: // what groupBy gives
		object := make(map[string]any, len(v))
		for k, items := range v {
			name, err := AppendText(nil, k)
			if err != nil {
				return dst, err
			}
			if _, taken := object[string(name)]; taken {
				return dst, fmt.Errorf("two groups have the key %s in JSON", excerpt(string(name)))
			}
			object[string(name)] = items
		}
		return appendJSON(dst, object, depth, most)
	case map[string]string:
		object := make(map[string]any, len(v))
		for k, s := range v {
			object[k] = s
		}
		return appendJSON(dst, object, depth, most)
	case []string:
		return appendJSON(dst, anyList(v), depth, most)
	case []int:
		return appendJSON(dst, anyList(v), depth, most)
	case time.Duration:
		return AppendJSONString(dst, v.String()), nil
	case time.Time:
		return AppendJSONString(dst, v.Format(time.RFC3339Nano)), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case time.Month:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case time.Weekday:
		return strconv.AppendInt(dst, int64(v), 10), nil
	}
	return dst, fmt.Errorf("%s has no form in JSON", kindOf(v))
}

// AppendText appends v as it stands inside text: strings as they are, null as
// nothing, numbers and booleans by their JSON text, lists and objects as JSON.
func AppendText(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return dst, nil
	case string:
		return append(dst, v...), nil
	case time.Duration:
		return append(dst, v.String()...), nil
	case time.Time:
		return v.AppendFormat(dst, time.RFC3339Nano), nil
	}
	return AppendJSON(dst, v)
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD;
// U+2028 and U+2029 are escaped so that the text is also valid JavaScript.
func AppendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i += size
			start = i
			continue
		}
		if r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&15])
			i += size
			start = i
			continue
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

// kindOf names the kind of a value as authors know it.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int, int64, float64, Number:
		return "a number"
	case string:
		return "text"
	case []any, []string, []int:
		return "a list"
	case map[string]any, map[string]string, map[any][]any:
		return "an object"
	case time.Duration:
		return "a duration"
	case time.Time:
		return "a time"
	}
	return fmt.Sprintf("a %T", v)
}

// textOf reads bytes that are never written again as text, without a copy.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
