package policies

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/gateway"
)

// signed is a request as signatures see it (RFC 9421 section 2).
type signed struct {
	r      *http.Request
	scheme string
	host   string
}

func signedOf(q *gateway.Request, r *http.Request) signed {
	in := q.Input()
	m := signed{r: r, scheme: in.Scheme, host: in.Host}
	if m.host == "" {
		m.host = r.Host
	}
	if m.scheme == "" {
		m.scheme = "http"
		if r.TLS != nil {
			m.scheme = "https"
		}
	}
	return m
}

const maxComponents = 64

var errComponent = errors.New("a component of the signature is none of this request")

// base appends the signature base: what is signed (section 2.5).
func (m *signed) base(b []byte, input *sfMember) ([]byte, error) {
	if len(input.list) > maxComponents {
		return nil, fmt.Errorf("the signature covers more than %d components", maxComponents)
	}
	var covered []string
	for _, id := range input.list {
		name := identified(id)
		if slices.Contains(covered, name) {
			return nil, errors.New("the signature covers a component twice")
		}
		covered = append(covered, name)
		b = append(appendItem(b, id), ": "...)
		from := len(b)
		var err error
		if b, err = m.appendComponent(b, id); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(b[from:], func(c byte) bool { return c == '\n' || c == '\r' }) {
			return nil, errComponent
		}
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return appendMember(b, input), nil
}

// identified is what two identifiers of one component have in common: the order of
// its parameters means nothing.
func identified(id sfItem) string {
	params := slices.Clone(id.params)
	slices.SortFunc(params, func(a, b sfParam) int { return strings.Compare(a.key, b.key) })
	return string(appendItem(nil, sfItem{id.bare, params}))
}

// appendComponent appends the value of a component.
func (m *signed) appendComponent(b []byte, id sfItem) ([]byte, error) {
	if id.bare.kind != sfString || id.bare.text == "" {
		return nil, errComponent
	}
	if id.bare.text[0] == '@' {
		return m.appendDerived(b, id)
	}
	return m.appendField(b, id)
}

// appendDerived appends a component that is no field (section 2.2).
func (m *signed) appendDerived(b []byte, id sfItem) ([]byte, error) {
	if id.bare.text == "@query-param" {
		return m.appendQueryParam(b, id.params)
	}
	if len(id.params) > 0 { // req and tr are of answers
		return nil, errComponent
	}
	path, query := m.target()
	switch id.bare.text {
	case "@method":
		return append(b, m.r.Method...), nil
	case "@scheme":
		return append(b, strings.ToLower(m.scheme)...), nil
	case "@authority":
		return appendHost(b, m.host, m.scheme == "https"), nil
	case "@target-uri":
		b = append(append(b, strings.ToLower(m.scheme)...), "://"...)
		b = append(appendHost(b, m.host, m.scheme == "https"), path...)
		return append(b, query...), nil
	case "@request-target":
		return append(b, m.r.RequestURI...), nil
	case "@path":
		return append(b, path...), nil
	case "@query":
		if query == "" {
			query = "?"
		}
		return append(b, query...), nil
	}
	return nil, errComponent
}

// target is the path and the query, with its question mark, as they came: whatever
// a policy has made of them.
func (m *signed) target() (path, query string) {
	uri := m.r.RequestURI
	if !strings.HasPrefix(uri, "/") { // in absolute form, or *
		uri = m.r.URL.EscapedPath()
		if m.r.URL.RawQuery != "" || m.r.URL.ForceQuery {
			uri += "?" + m.r.URL.RawQuery
		}
	}
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		uri, query = uri[:i], uri[i:]
	}
	if uri == "" {
		uri = "/"
	}
	return uri, query
}

// appendQueryParam appends a parameter of the query that is there once (section
// 2.2.8).
func (m *signed) appendQueryParam(b []byte, params []sfParam) ([]byte, error) {
	if len(params) != 1 || params[0].key != "name" || params[0].value.kind != sfString {
		return nil, errComponent
	}
	_, query := m.target()
	var found []string
	for part := range strings.SplitSeq(strings.TrimPrefix(query, "?"), "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || !utf8.ValidString(name) {
			return nil, errComponent
		}
		if string(appendForm(nil, name)) == params[0].value.text {
			found = append(found, value)
		}
	}
	if len(found) != 1 {
		return nil, errComponent
	}
	value, err := url.QueryUnescape(found[0])
	if err != nil || !utf8.ValidString(value) {
		return nil, errComponent
	}
	return appendForm(b, value), nil
}

// appendForm escapes what the percent-encode set of application/x-www-form-urlencoded
// has (URL Standard, 1.3), spaces included.
func appendForm(b []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; isLower(c|0x20) || isDigit(c) || strings.IndexByte("*-._", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// lines are the lines of a field as they came, without the space around them. The
// server keeps some of them elsewhere.
func (m *signed) lines(name string) []string {
	values := m.r.Header[http.CanonicalHeaderKey(name)]
	if name == "host" {
		values = []string{m.r.Host}
	}
	lines := make([]string, len(values))
	for i, v := range values {
		lines[i] = strings.Trim(v, " \t")
	}
	return lines
}

// appendField appends the value of a field (section 2.1).
func (m *signed) appendField(b []byte, id sfItem) ([]byte, error) {
	name := id.bare.text
	lines := m.lines(name)
	if len(lines) == 0 || name != strings.ToLower(name) || !isToken(name) {
		return nil, errComponent
	}
	strictly, asBytes, member := false, false, ""
	for _, p := range id.params {
		flag := p.value == sfBare{kind: sfBoolean, number: 1}
		switch {
		case p.key == "sf" && flag:
			strictly = true
		case p.key == "bs" && flag:
			asBytes = true
		case p.key == "key" && p.value.kind == sfString && p.value.text != "":
			member = p.value.text
		default:
			return nil, errComponent
		}
	}
	text := strings.Join(lines, ", ")
	switch {
	case asBytes && (strictly || member != ""):
		return nil, errComponent
	case asBytes:
		for i, line := range lines {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(base64.StdEncoding.AppendEncode(append(b, ':'), []byte(line)), ':')
		}
		return b, nil
	case member != "":
		members, err := readDictionary(text, maxMembers)
		if err != nil {
			return nil, err
		}
		for i := range members {
			if members[i].key == member {
				return appendMember(b, &members[i]), nil
			}
		}
		return nil, errComponent
	case strictly:
		return appendStrictly(b, name, text)
	}
	return append(b, text...), nil
}

// maxMembers bounds the members of a field that a signature has read as a
// structured one.
const maxMembers = 256

// structured are the fields of requests that are known to be structured ones, by
// what they are: which it is cannot be seen.
var structured = map[string]string{
	"accept-ch": "list", "accept-signature": "dictionary", "client-cert": "item", "client-cert-chain": "list", "content-digest": "dictionary",
	"priority": "dictionary", "repr-digest": "dictionary", "signature": "dictionary", "signature-input": "dictionary",
	"want-content-digest": "dictionary", "want-repr-digest": "dictionary",
}

// appendStrictly writes a structured field in the one way that there is.
func appendStrictly(b []byte, name, text string) ([]byte, error) {
	var members []sfMember
	var err error
	switch structured[name] {
	case "dictionary":
		members, err = readDictionary(text, maxMembers)
	case "list":
		members, err = readList(text, maxMembers)
	case "item":
		it, err := readItem(text)
		return appendItem(b, it), err
	default:
		return nil, fmt.Errorf("it is not known what structured field %s is", name)
	}
	return appendMembers(b, members), err
}
