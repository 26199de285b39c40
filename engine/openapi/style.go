package openapi

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// pair is a parameter of a query as it came: the delimiters of a value mean
// something only where they are not encoded.
type pair struct{ name, raw string }

type pairs struct {
	all       []pair
	malformed bool
}

// pairsOf reads a query. What net/url leaves out, a backend may read: it is
// malformed.
func pairsOf(query string) (out pairs) {
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		rawName, raw, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(rawName)
		if _, fault := url.QueryUnescape(raw); err != nil || fault != nil || strings.Contains(part, ";") {
			out.malformed = true
			continue
		}
		out.all = append(out.all, pair{name, raw})
	}
	return out
}

func (q pairs) of(name string) (raw []string) {
	for _, p := range q.all {
		if p.name == name {
			raw = append(raw, p.raw)
		}
	}
	return raw
}

func (q pairs) names() (names []string) {
	for _, p := range q.all {
		if !slices.Contains(names, p.name) {
			names = append(names, p.name)
		}
	}
	return names
}

// unescaped is text of a query, decoded: that it can be was seen before.
func unescaped(raw string) string {
	text, _ := url.QueryUnescape(raw)
	return text
}

func asIs(text string) string { return text }

func (p *parameter) list() bool {
	return p.Type != nil && p.Type.Kinds&dsl.IsList != 0 && p.Type.Kinds&dsl.IsObject == 0
}

func (p *parameter) object() bool { return p.Type != nil && p.Type.Kinds&dsl.IsObject != 0 }

// read takes the value of a parameter out of a request, as its style says, or says
// what is wrong with how it is written.
func (p *parameter) read(in Incoming, query pairs) (value any, there bool, wrong string) {
	switch p.In {
	case "path":
		text, ok := in.Var(p.Name)
		if !ok {
			return nil, false, ""
		}
		return p.inPath(text)
	case "header":
		lines := in.Header[textproto.CanonicalMIMEHeaderKey(p.Name)]
		if len(lines) == 0 {
			return nil, false, ""
		}
		return p.written(strings.Join(lines, ","), ",", func(s string) string { return strings.Trim(s, " \t") })
	case "cookie":
		var all []string
		for _, c := range (&http.Request{Header: http.Header{"Cookie": in.Header["Cookie"]}}).CookiesNamed(p.Name) {
			all = append(all, c.Value)
		}
		switch {
		case len(all) == 0:
			return nil, false, ""
		case len(all) > 1:
			return nil, true, "must be there once"
		}
		return p.written(all[0], ",", asIs)
	}
	return p.inQuery(query)
}

func (p *parameter) inPath(text string) (value any, there bool, wrong string) {
	delimiter := ","
	switch p.style {
	case "label":
		var ok bool
		if text, ok = strings.CutPrefix(text, "."); !ok {
			return nil, true, "must begin with a dot"
		}
		if p.explode {
			delimiter = "."
		}
	case "matrix":
		rest, ok := strings.CutPrefix(text, ";")
		if !ok {
			return nil, true, "must begin with a semicolon"
		}
		if p.explode && p.object() {
			return p.written(rest, ";", asIs)
		}
		var values []string
		for part := range strings.SplitSeq(rest, ";") {
			name, v, _ := strings.Cut(part, "=")
			if name != p.Name {
				return nil, true, "must be written as ;" + p.Name + "="
			}
			values = append(values, v)
		}
		text = strings.Join(values, ",")
	}
	return p.written(text, delimiter, asIs)
}

func (p *parameter) inQuery(query pairs) (value any, there bool, wrong string) {
	raw := query.of(p.Name)
	switch {
	case p.style == "deepObject":
		return p.deep(query)
	case p.object() && p.explode && p.style == "form" && p.content.node == nil:
		object := map[string]any{}
		for name := range p.Type.Fields {
			if raw := query.of(name); len(raw) > 0 {
				object[name] = field(p.Type, name, decoded(raw))
			}
		}
		return object, len(object) > 0, ""
	case len(raw) == 0:
		return nil, false, ""
	case p.list() && p.explode && p.content.node == nil:
		return schema.FromTexts(decoded(raw), p.Type), true, ""
	case len(raw) > 1 && (p.Type != nil || p.content.node != nil):
		return nil, true, "must be there once" // of two readers each could take another
	}
	switch p.style {
	case "spaceDelimited":
		return p.written(strings.ReplaceAll(raw[0], "+", "%20"), "%20", unescaped)
	case "pipeDelimited":
		return p.written(strings.NewReplacer("%7C", "|", "%7c", "|").Replace(raw[0]), "|", unescaped)
	}
	return p.written(raw[0], ",", unescaped)
}

func decoded(raw []string) []string {
	texts := make([]string, len(raw))
	for i := range raw {
		texts[i] = unescaped(raw[i])
	}
	return texts
}

// deep reads name[field]=value, one level deep: of more OpenAPI says nothing.
func (p *parameter) deep(query pairs) (value any, there bool, wrong string) {
	object := map[string]any{}
	for _, name := range query.names() {
		rest, ok := strings.CutPrefix(name, p.Name+"[")
		if !ok {
			continue
		}
		key, ok := strings.CutSuffix(rest, "]")
		if !ok || strings.ContainsAny(key, "[]") {
			return nil, true, "must be written as " + p.Name + "[name]="
		}
		object[key] = field(p.Type, key, decoded(query.of(name)))
	}
	return object, len(object) > 0, ""
}

// written reads one text: a list or an object if there is a delimiter in its type,
// or else a single value.
func (p *parameter) written(raw, delimiter string, decode func(string) string) (value any, there bool, wrong string) {
	switch {
	case p.content.node != nil:
		text := decode(raw)
		if err := dsl.CheckJSON(text); err != nil {
			return nil, true, "must be JSON"
		}
		v, twice, err := dsl.DecodeOnce(text)
		if err != nil || twice != "" {
			return nil, true, "must be JSON without equal keys"
		}
		return v, true, ""
	case p.object():
		return p.objectIn(raw, delimiter, decode)
	case p.list():
		if raw == "" {
			return []any{}, true, ""
		}
		parts := strings.Split(raw, delimiter)
		list := make([]any, len(parts))
		for i, part := range parts {
			kinds := dsl.IsText
			if e := p.Type.Element(); e != nil {
				kinds = e.Kinds
			}
			list[i] = schema.FromText(decode(part), kinds)
		}
		return list, true, ""
	case p.Type == nil:
		return decode(raw), true, ""
	}
	return schema.FromText(decode(raw), p.Type.Kinds), true, ""
}

// objectIn reads a,1,b,2, or if it explodes a=1,b=2.
func (p *parameter) objectIn(raw, delimiter string, decode func(string) string) (value any, there bool, wrong string) {
	object := map[string]any{}
	parts := strings.Split(raw, delimiter)
	if raw == "" {
		return object, true, ""
	}
	put := func(name, text string) bool {
		name = decode(name)
		_, twice := object[name]
		object[name] = schema.FromText(decode(text), fieldOf(p.Type, name).Kinds)
		return !twice
	}
	const twice = "has the same name twice"
	if p.explode {
		for _, part := range parts {
			name, text, ok := strings.Cut(part, "=")
			if !ok {
				return nil, true, "must be written as name=value" + delimiter + "name=value"
			}
			if !put(name, text) {
				return nil, true, twice
			}
		}
		return object, true, ""
	}
	if len(parts)%2 != 0 {
		return nil, true, "must be written as name" + delimiter + "value" + delimiter + "name" + delimiter + "value"
	}
	for i := 0; i < len(parts); i += 2 {
		if !put(parts[i], parts[i+1]) {
			return nil, true, twice
		}
	}
	return object, true, ""
}
