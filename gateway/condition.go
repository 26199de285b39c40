package gateway

import (
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// Part is what of a request a condition looks into.
type Part uint8

// The parts of a request that routes of one path and method are told apart by.
const (
	InHeader Part = iota
	InQuery
)

// String is the part as messages call it.
func (p Part) String() string {
	if p == InQuery {
		return "query parameter"
	}
	return "header"
}

// Condition is what a route wants of a header or a parameter of the query. Any
// one of Values, Pattern, Present and Absent is enough.
//
// A header of several lines has the value that they make together (RFC 9110,
// section 5.3). That of Content-Type is its media type without parameters, that
// of Accept the media type that it prefers, both in lower case. A parameter that
// is there more than once is there, but has no value: what reads it further
// inside may take either.
type Condition struct {
	In      Part
	Name    string
	Values  []string
	Pattern string // a regular expression, matched from end to end; "" is none
	Present bool   // with any value, or several
	Absent  bool
	Span    dsl.Span

	re *regexp.Regexp
}

// String is what the condition wants: header X-Version is 2.
func (c *Condition) String() string {
	var wants []string
	if len(c.Values) > 0 {
		wants = append(wants, "is "+strings.Join(c.Values, " or "))
	}
	if c.Pattern != "" {
		wants = append(wants, "matches "+c.Pattern)
	}
	if c.Present {
		wants = append(wants, "is there")
	}
	if c.Absent {
		wants = append(wants, "is not there")
	}
	return fmt.Sprintf("%s %s %s", c.In, c.Name, strings.Join(wants, " or "))
}

// alike reports whether both look at the same.
func (c *Condition) alike(other Condition) bool { return c.In == other.In && c.Name == other.Name }

// check makes the condition ready for use, or says what is wrong with it.
func (c *Condition) check() (message, hint string) {
	switch {
	case c.Name == "":
		return "a parameter has a name", "write it, as in query: { version: { is: \"2\" } }"
	case c.In == InHeader:
		if message, hint := engine.HeaderFault(c.Name); message != "" {
			return message, hint
		}
		switch c.Name = textproto.CanonicalMIMEHeaderKey(c.Name); c.Name {
		case "Host":
			return "routes are not told apart by the header Host", "write hosts: at the trigger"
		case "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Keep-Alive":
			return c.Name + " belongs to the connection and says nothing of what is asked for", "match on another header"
		}
	}
	for i, v := range c.Values {
		if v = c.normal(v); c.In == InHeader && (strings.TrimSpace(v) != v || strings.ContainsFunc(v, unicode.IsControl)) {
			return fmt.Sprintf("no request has a header with the value %q", v), "write it without white space around it, in one line"
		}
		c.Values[i] = c.normal(v)
	}
	if c.Pattern == "" {
		return "", ""
	}
	if _, err := regexp.Compile(c.Pattern); err != nil {
		return "the pattern is not a regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "), "write one such as [0-9]+"
	}
	if strings.HasPrefix(c.Pattern, "^") || strings.HasSuffix(c.Pattern, "$") {
		return "the pattern is always matched from end to end", "leave out ^ and $"
	}
	c.re = regexp.MustCompile("^(?:" + c.Pattern + ")$")
	return "", ""
}

// isMedia reports whether the value is a media type.
func (c *Condition) isMedia() bool {
	return c.In == InHeader && (c.Name == "Accept" || c.Name == "Content-Type")
}

func (c *Condition) normal(v string) string {
	if c.isMedia() {
		return strings.ToLower(v)
	}
	return v
}

// holds reports whether a request is as the condition wants it.
func (c *Condition) holds(h http.Header, query func() url.Values) bool {
	value, there, one := c.value(h, query)
	switch {
	case !there:
		return c.Absent
	case c.Present:
		return true
	case !one:
		return false
	}
	return slices.Contains(c.Values, value) || c.re != nil && c.re.MatchString(value)
}

func (c *Condition) value(h http.Header, query func() url.Values) (value string, there, one bool) {
	if c.In == InQuery {
		all := query()[c.Name]
		if len(all) == 0 {
			return "", false, false
		}
		return all[0], true, len(all) == 1
	}
	lines := h[c.Name]
	switch {
	case len(lines) == 0:
		return "", false, false
	case c.Name == "Accept":
		return preferred(lines), true, true
	case c.Name == "Content-Type":
		media, _, err := mime.ParseMediaType(lines[0])
		return media, true, err == nil && len(lines) == 1
	case len(lines) == 1:
		return lines[0], true, true
	}
	return strings.Join(lines, ", "), true, true
}

// preferred is the media type of the greatest weight in Accept, the first of
// several (RFC 9110, section 12.5.1). It is "" where all have none.
func preferred(lines []string) (best string) {
	most := 0.0
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(member, ";")
			weight := 1.0
			for param := range strings.SplitSeq(params, ";") {
				if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(param)), "q="); ok {
					var err error
					if weight, err = strconv.ParseFloat(q, 64); err != nil || weight > 1 {
						weight = 0
					}
				}
			}
			if media = strings.ToLower(strings.TrimSpace(media)); media != "" && weight > most {
				best, most = media, weight
			}
		}
	}
	return best
}

// relate compares the requests that two conditions of one name take.
func (c *Condition) relate(other *Condition) (r relation) {
	r.note(c.Absent, other.Absent, "nothing")
	a, b := c.texts(), other.texts()
	switch {
	case c.Present || other.Present:
		// One that is there several times is no value's.
		r.note(c.Present || a != "", other.Present || b != "", "anything")
		r.note(c.Present, other.Present, "anything")
	case a == "" || b == "":
		r.note(a != "", b != "", "")
	default:
		texts := relateTexts(a, b)
		r.onlyA, r.onlyB, r.unknown = r.onlyA || texts.onlyA, r.onlyB || texts.onlyB, texts.unknown
		if r.shared == "" {
			r.shared = texts.shared
		}
	}
	return r
}

// texts is the values and the pattern as one expression, "" where there are none.
func (c *Condition) texts() string {
	if c.Pattern == "" && len(c.Values) == 0 {
		return ""
	}
	var all []string
	for _, v := range c.Values {
		all = append(all, regexp.QuoteMeta(v))
	}
	if c.Pattern != "" {
		all = append(all, "(?:"+c.Pattern+")")
	}
	return "(?:" + strings.Join(all, "|") + ")"
}

// relateMatches compares the requests that two lists of conditions take. What one
// of them does not look at may be anything.
func relateMatches(a, b []Condition) (r relation) {
	r.shared = "anything"
	for i := range a {
		with := relation{shared: "anything", onlyB: true}
		if j := slices.IndexFunc(b, a[i].alike); j >= 0 {
			with = a[i].relate(&b[j])
		}
		r.and(with)
	}
	for j := range b {
		if !slices.ContainsFunc(a, b[j].alike) {
			r.and(relation{shared: "anything", onlyA: true})
		}
	}
	return r
}

// and adds a name: what takes the request has to take it by each of them. That
// they share none by one of them is certain even if another could not be compared.
func (r *relation) and(by relation) {
	if by.disjoint() || r.disjoint() {
		*r = relation{onlyA: true, onlyB: true}
		return
	}
	r.onlyA, r.onlyB, r.unknown = r.onlyA || by.onlyA, r.onlyB || by.onlyB, r.unknown || by.unknown
}
