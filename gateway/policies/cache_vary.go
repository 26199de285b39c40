package policies

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// selecting is a field of requests that an answer depends on, and what it was, in
// a form in which values that mean the same are equal.
type selecting struct{ name, value string }

// missing is the value of a field that a request has not: it equals no other
// (RFC 9111, section 4.1).
const missing = "\x00"

// varying lists the fields that Vary names, sorted, each once. It is false if the
// answer depends on more than fields can tell: Vary: *.
func varying(h http.Header) (names []string, ok bool) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			switch name = strings.TrimSpace(name); name {
			case "":
			case "*":
				return nil, false
			default:
				names = append(names, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// selected are the values that a request has in the fields.
func selected(names []string, asked http.Header) []selecting {
	if len(names) == 0 {
		return nil
	}
	all := make([]selecting, len(names))
	for i, name := range names {
		all[i] = selecting{name, normal(name, asked[name])}
	}
	return all
}

// selects reports whether a request has these values.
func selects(all []selecting, asked http.Header) bool {
	for i := range all {
		s, lines := &all[i], asked[all[i].name]
		if len(lines) == 1 && lines[0] == s.value && s.name != "Accept-Encoding" {
			continue
		}
		if normal(s.name, lines) != s.value {
			return false
		}
	}
	return true
}

// normal joins the lines of a field, without the whitespace around its members.
// Names of languages and codings do not depend on case, and in which order
// codings of the same weight come, or which weight they have, does not make one
// unacceptable: an answer in a coding is good for all that accept the same ones.
func normal(name string, lines []string) string {
	if lines == nil {
		return missing
	}
	if name == "Accept-Encoding" {
		return acceptedCodings(lines)
	}
	var b strings.Builder
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.TrimSpace(member))
		}
	}
	if name == "Accept-Language" {
		return strings.ToLower(b.String())
	}
	return b.String()
}

// acceptedCodings are those that Accept-Encoding takes, sorted, and those that it does
// not take by name.
func acceptedCodings(lines []string) string {
	var all []string
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(member, ";")
			coding = strings.ToLower(strings.TrimSpace(coding))
			if coding == "" {
				continue
			}
			_, q, _ := strings.Cut(weight, "=")
			if q = strings.Trim(q, " \t0."); q == "" && weight != "" {
				coding = "!" + coding
			}
			all = append(all, coding)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}
