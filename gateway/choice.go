package gateway

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Choice is what of a request decided, beside its host, path and method, which of
// several routes takes it. It is immutable.
type Choice struct {
	Headers []string // canonical, sorted
	Query   []string // sorted
}

// EditHeader is what HeaderEditor asks for: an answer tells by Vary which headers
// of the request chose what made it, so that caches keep apart what routes do
// (RFC 9110, section 12.5.5).
func (c *Choice) EditHeader(_ *Request, _ int, h http.Header) {
	have := h["Vary"]
	named := func(name string) bool {
		for _, line := range have {
			for member := range strings.SplitSeq(line, ",") {
				if m := strings.TrimSpace(member); m == "*" || textproto.CanonicalMIMEHeaderKey(m) == name {
					return true
				}
			}
		}
		return false
	}
	var add []string
	for _, name := range c.Headers {
		if !named(name) {
			add = append(add, name)
		}
	}
	if add != nil {
		h["Vary"] = append(have[:len(have):len(have)], strings.Join(add, ", "))
	}
}

// with is what decides if this does and other, either of which may be nil.
func (c *Choice) with(other *Choice) *Choice {
	if c == nil || other == nil || c == other {
		if c == nil {
			return other
		}
		return c
	}
	return &Choice{Headers: union(c.Headers, other.Headers), Query: union(c.Query, other.Query)}
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func choiceOf(match []Condition) *Choice {
	if len(match) == 0 {
		return nil
	}
	c := &Choice{}
	for i := range match {
		if match[i].In == InHeader {
			c.Headers = append(c.Headers, match[i].Name)
		} else {
			c.Query = append(c.Query, match[i].Name)
		}
	}
	return (&Choice{}).with(c)
}
