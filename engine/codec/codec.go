// Package codec turns documents of common formats into JSON text and back. A
// format is a struct of its options; its methods are pure and may be called by
// any number of goroutines.
//
// Documents are not trusted: whatever they hold, the work and the memory they
// cost are bounded by their size times a constant, what comes out is at most
// MaxBytes long, and JSON that comes out passes dsl.CheckJSON.
package codec

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/weir-run/weir/dsl"
)

// MaxBytes is how long a document can be that a codec makes. Formats that write
// a name once for many values, as CSV does, could make much from little.
const MaxBytes = 64 << 20

// Format is one format with its options.
type Format interface {
	// Decode reads a document as JSON text. mediaType is its Content-Type, or
	// "" if that is not known. What is wrong with the document is a *Fault.
	Decode(document, mediaType string) (json string, err error)
	// Encode writes JSON text, which dsl.CheckJSON accepts, as a document. What
	// the format has no form for is a *Fault.
	Encode(json string) (document, mediaType string, err error)
	// Check reports options that cannot be meant, each by its key.
	Check(report func(key, message, hint string))
}

// Fault is what is wrong with a document. It tells nothing but what whoever
// sent the document knows.
type Fault struct {
	Line    int // from 1; 0 if the fault is not of one line
	Message string
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.Message
	}
	return "line " + strconv.Itoa(f.Line) + ": " + f.Message
}

func faultf(line int, format string, args ...any) *Fault {
	return &Fault{Line: line, Message: fmt.Sprintf(format, args...)}
}

func tooLarge() *Fault { return faultf(0, "this would become larger than %d MiB", MaxBytes>>20) }

// excerpt is the beginning of a text of the document, for messages.
func excerpt(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strconv.Quote(s)
}

// lineAt is the line that the byte at offset i is in.
func lineAt(text string, i int) int { return strings.Count(text[:i], "\n") + 1 }

// names numbers texts in the order in which they first come.
type names struct {
	list   []string
	number map[string]int // once there are more than a look along the list is good for
}

func (n *names) find(name string) (i int, ok bool) {
	if n.number != nil {
		i, ok = n.number[name]
		return i, ok
	}
	for i, s := range n.list {
		if s == name {
			return i, true
		}
	}
	return 0, false
}

func (n *names) add(name string) (i int, fresh bool) {
	if i, ok := n.find(name); ok {
		return i, false
	}
	i = len(n.list)
	n.list = append(n.list, name)
	if n.number == nil && len(n.list) > 16 {
		n.number = make(map[string]int, 2*len(n.list))
		for i, s := range n.list {
			n.number[s] = i
		}
	} else if n.number != nil {
		n.number[name] = i
	}
	return i, true
}

// field is one field of a JSON object.
type field struct{ key, raw string }

// fields gives the fields of a JSON object in their order. Of a key written
// twice the last value counts, as everywhere.
func fields(object string) []field {
	var list []field
	var known names
	gjson.Parse(object).ForEach(func(k, v gjson.Result) bool {
		key := unquoted(k.Raw)
		if i, fresh := known.add(key); fresh {
			list = append(list, field{key, v.Raw})
		} else {
			list[i].raw = v.Raw
		}
		return true
	})
	return list
}

// elements gives the elements of a JSON list.
func elements(list string) []string {
	var out []string
	gjson.Parse(list).ForEach(func(_, v gjson.Result) bool {
		out = append(out, v.Raw)
		return true
	})
	return out
}

// values gives the elements of a list, or the one value that is no list.
func values(raw string) []string {
	if raw[0] == '[' {
		return elements(raw)
	}
	return []string{raw}
}

// trim takes off the white space around JSON text.
func trim(json string) string { return strings.Trim(json, " \t\r\n") }

func unquoted(raw string) string {
	s, _ := dsl.DecodeJSON(raw).(string)
	return s
}

// scalar gives JSON text that is no list and no object as text: null as none.
func scalar(raw string) (text string, ok bool) {
	switch raw[0] {
	case '"':
		return unquoted(raw), true
	case 'n':
		return "", true
	case '{', '[':
		return "", false
	}
	return raw, true
}

// kindOf names the kind of JSON text.
func kindOf(raw string) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "text"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

// appendTyped appends a text of a document as JSON of a type: integer, number,
// boolean, or text if the type is "". No text has no value of the other types.
func appendTyped(dst []byte, kind, text string) ([]byte, bool) {
	if kind == "" {
		return dsl.AppendJSONString(dst, text), true
	}
	text = trim(text)
	switch {
	case text == "":
		return append(dst, "null"...), true
	case kind == "boolean":
		switch text {
		case "true", "1":
			return append(dst, "true"...), true
		case "false", "0":
			return append(dst, "false"...), true
		}
		return dst, false
	case kind == "integer" && strings.ContainsAny(text, ".eE"):
		return dst, false
	}
	return appendNumber(dst, text)
}

// appendNumber appends a decimal number with all its digits. XML and CSV take
// what JSON does not: a plus, zeros in front, and a point at either end.
func appendNumber(dst []byte, text string) ([]byte, bool) {
	out := dst
	switch text[0] {
	case '-':
		out = append(out, '-')
		text = text[1:]
	case '+':
		text = text[1:]
	}
	whole, text := digits(text)
	fraction, point := "", false
	if text, point = strings.CutPrefix(text, "."); point {
		fraction, text = digits(text)
	}
	if whole == "" && fraction == "" {
		return dst, false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	out = append(out, whole...)
	if fraction != "" {
		out = append(append(out, '.'), fraction...)
	}
	if text != "" && (text[0] == 'e' || text[0] == 'E') {
		start := 1
		if len(text) > 1 && (text[1] == '+' || text[1] == '-') {
			start = 2
		}
		exponent, rest := digits(text[start:])
		if exponent == "" {
			return dst, false
		}
		out = append(append(out, text[:start]...), exponent...)
		text = rest
	}
	return out, text == ""
}

func digits(s string) (digits, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(rest)], rest
}

// JSON is the format that all others are turned into.
type JSON struct{}

// Decode checks the text.
func (JSON) Decode(document, _ string) (string, error) {
	if err := dsl.CheckJSON(document); err != nil {
		return "", &Fault{Message: err.Error()}
	}
	return document, nil
}

// Encode gives the text as it is.
func (JSON) Encode(json string) (string, string, error) { return json, "application/json", nil }

// Check has nothing to report.
func (JSON) Check(func(key, message, hint string)) {}
