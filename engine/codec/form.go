package codec

import (
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Form is application/x-www-form-urlencoded (WHATWG URL standard, section 5).
type Form struct {
	Lists []string          `yaml:"lists" doc:"Names whose values are always a list, also where there is one or none."`
	Types map[string]string `yaml:"types" doc:"Types of values by name. What is not named stays text." enum:"integer|number|boolean"`
}

// maxFields is more than forms have. A field can cost much more memory than its
// bytes.
const maxFields = 100_000

// Decode gives an object with a field for each name; a name that comes more
// than once gives a list.
func (o *Form) Decode(document, _ string) (string, error) {
	g := grouping{lists: o.Lists}
	if strings.Count(document, "&") >= maxFields {
		return "", faultf(0, "the form has more than %d fields", maxFields)
	}
	for pair := range strings.SplitSeq(document, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, err := unescaped(key)
		if err != nil {
			return "", err
		}
		if value, err = unescaped(value); err != nil {
			return "", err
		}
		json, ok := appendTyped(nil, o.Types[key], value)
		if !ok {
			return "", faultf(0, "%s: %s is not of type %s", excerpt(key), excerpt(value), o.Types[key])
		}
		g.add(key, string(json))
	}
	return g.object()
}

func unescaped(s string) (string, error) {
	text, err := url.QueryUnescape(s)
	if err != nil {
		return "", faultf(0, "%s is not escaped as a form is", excerpt(s))
	}
	if invalidAt(text) >= 0 {
		return "", faultf(0, "%s is not UTF-8", excerpt(s))
	}
	return text, nil
}

// Encode writes the fields of an object, those that are lists once for each
// element. Null is left out.
func (o *Form) Encode(json string) (string, string, error) {
	var b strings.Builder
	err := eachValue(trim(json), "a form", func(key, raw string) error {
		text, ok := scalar(raw)
		if !ok {
			return faultf(0, "the value of %s is %s, which a form has no place for", excerpt(key), kindOf(raw))
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(key))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(text))
		if b.Len() > MaxBytes {
			return tooLarge()
		}
		return nil
	})
	return b.String(), "application/x-www-form-urlencoded", err
}

// Check has nothing to report.
func (o *Form) Check(func(key, message, hint string)) {}

// eachValue calls fn for the values of an object's fields that are not null, and
// for each element of those that are lists.
func eachValue(json, what string, fn func(key, raw string) error) error {
	if json[0] != '{' {
		return faultf(0, "%s is written from an object, not from %s", what, kindOf(json))
	}
	for _, f := range fields(json) {
		for _, raw := range values(f.raw) {
			if raw[0] == 'n' {
				continue
			}
			if err := fn(f.key, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// grouping collects values by name: in the order of the names, and of the
// values of each. The values are JSON text.
type grouping struct {
	lists  []string // the names that are lists in any case
	names  names
	values [][]string
}

func (g *grouping) add(name, json string) {
	i, fresh := g.names.add(name)
	if fresh {
		g.values = append(g.values, nil)
	}
	g.values[i] = append(g.values[i], json)
}

func (g *grouping) object() (string, error) {
	for _, name := range g.lists {
		if _, fresh := g.names.add(name); fresh {
			g.values = append(g.values, nil)
		}
	}
	b := []byte{'{'}
	for i, name := range g.names.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(dsl.AppendJSONString(b, name), ':')
		list := len(g.values[i]) != 1 || slices.Contains(g.lists, name)
		if list {
			b = append(b, '[')
		}
		for j, json := range g.values[i] {
			if j > 0 {
				b = append(b, ',')
			}
			b = append(b, json...)
		}
		if list {
			b = append(b, ']')
		}
		if len(b) > MaxBytes {
			return "", tooLarge()
		}
	}
	return string(append(b, '}')), nil
}
