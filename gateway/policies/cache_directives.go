package policies

import (
	"errors"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// directives are those of a Cache-Control field that this cache knows (RFC 9111,
// section 5.2; RFC 5861). Ages are in seconds, absent if not written.
type directives struct {
	noStore, noCache, private, public, mustRevalidate, proxyRevalidate, mustUnderstand, onlyIfCached bool

	maxAge, sMaxAge, minFresh, maxStale, staleRevalidate, staleError int64

	// without are the fields that no-cache and private name, canonical: they are
	// not kept, the rest of the answer is.
	without []string
	said    bool // there is at least one directive
}

const (
	absent = -1
	// forever is what ages are cut at, in seconds: 68 years (section 1.2.2).
	forever = 1<<31 - 1
)

func noDirectives() directives {
	return directives{maxAge: absent, sMaxAge: absent, minFresh: absent, maxStale: absent, staleRevalidate: absent, staleError: absent}
}

// parseDirectives reads a Cache-Control field. What cannot be understood is
// ignored, but for an age: one that is no number is 0, so that the answer is
// stale (section 4.2.1). Of a directive that is written twice the first counts.
func parseDirectives(lines []string) directives {
	d := noDirectives()
	for _, line := range lines {
		for line != "" {
			var name, arg string
			var has bool
			name, arg, has, line = nextDirective(line)
			d.set(name, arg, has)
		}
	}
	return d
}

// nextDirective cuts the first member off a list: token, or token "=" (token /
// quoted-string).
func nextDirective(s string) (name, arg string, has bool, rest string) {
	s = strings.TrimLeft(s, " \t,")
	end := strings.IndexAny(s, "=,")
	if end < 0 {
		return strings.TrimRight(s, " \t"), "", false, ""
	}
	name = strings.TrimRight(s[:end], " \t")
	if s[end] == ',' {
		return name, "", false, s[end+1:]
	}
	s = strings.TrimLeft(s[end+1:], " \t")
	if strings.HasPrefix(s, `"`) {
		arg, s = unquote(s[1:])
		if end = strings.IndexByte(s, ','); end < 0 {
			return name, arg, true, ""
		}
		return name, arg, true, s[end+1:]
	}
	if end = strings.IndexByte(s, ','); end < 0 {
		return name, strings.TrimRight(s, " \t"), true, ""
	}
	return name, strings.TrimRight(s[:end], " \t"), true, s[end+1:]
}

// unquote reads a quoted string after its first quote. One that does not end goes
// to the end.
func unquote(s string) (text, rest string) {
	if end := strings.IndexAny(s, `"\`); end >= 0 && s[end] == '"' {
		return s[:end], s[end+1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

func (d *directives) set(name, arg string, has bool) {
	if name == "" {
		return
	}
	d.said = true
	switch strings.ToLower(name) {
	case "no-store":
		d.noStore = true
	case "no-cache":
		if !d.leaveOut(arg) {
			d.noCache = true
		}
	case "private":
		if !d.leaveOut(arg) {
			d.private = true
		}
	case "public":
		d.public = true
	case "must-revalidate":
		d.mustRevalidate = true
	case "proxy-revalidate":
		d.proxyRevalidate = true
	case "must-understand":
		d.mustUnderstand = true
	case "only-if-cached":
		d.onlyIfCached = true
	case "max-age":
		firstAge(&d.maxAge, arg)
	case "s-maxage":
		firstAge(&d.sMaxAge, arg)
	case "min-fresh":
		firstAge(&d.minFresh, arg)
	case "stale-while-revalidate":
		firstAge(&d.staleRevalidate, arg)
	case "stale-if-error":
		firstAge(&d.staleError, arg)
	case "max-stale":
		if !has {
			arg = strconv.Itoa(forever) // any age will do
		}
		firstAge(&d.maxStale, arg)
	}
}

// leaveOut notes the fields that a directive is about. It is false for one that
// names none, and so is about the whole answer.
func (d *directives) leaveOut(fields string) bool {
	named := false
	for name := range strings.SplitSeq(fields, ",") {
		if name = strings.TrimSpace(name); name != "" {
			d.without, named = append(d.without, textproto.CanonicalMIMEHeaderKey(name)), true
		}
	}
	return named
}

func firstAge(seconds *int64, arg string) {
	if *seconds == absent {
		*seconds, _ = deltaSeconds(arg)
	}
}

// deltaSeconds reads an age (section 1.2.2). One that is too large is forever.
func deltaSeconds(s string) (seconds int64, ok bool) {
	if s == "" {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		seconds = min(seconds*10+int64(s[i]-'0'), forever)
	}
	return seconds, true
}

// httpDate reads a date (RFC 9110, section 5.6.7), whatever the case of its
// letters. It is false for what is none, and for one of a zone other than GMT: what
// that means would be the host's to say (section 4.2).
func httpDate(text string) (t time.Time, ok bool) {
	t, err := http.ParseTime(text)
	if err != nil {
		text = strings.ToUpper(text)
		t, err = http.ParseTime(text)
	}
	if err != nil || !strings.HasSuffix(text, "GMT") && strings.Contains(text, ",") { // asctime has no zone, and no comma
		return time.Time{}, false
	}
	hour, minute, second := t.Clock()
	return time.Date(t.Year(), t.Month(), t.Day(), hour, minute, second, 0, time.UTC), true
}

// ageField is the value of an Age field; 0 if it has none that can be read. Of several
// the first counts (section 5.1).
func ageField(h http.Header) time.Duration {
	if lines := h["Age"]; len(lines) > 0 {
		text, _, _ := strings.Cut(lines[0], ",")
		seconds, _ := deltaSeconds(strings.TrimSpace(text))
		return time.Duration(seconds) * time.Second
	}
	return 0
}

// responseDirectives are those that an answer has for this cache. A
// CDN-Cache-Control that can be read stands in place of Cache-Control and Expires
// (RFC 9213, section 2.2), which targeted tells.
func responseDirectives(h http.Header) (d directives, targeted bool) {
	if lines := h["Cdn-Cache-Control"]; lines != nil {
		if d, ok := parseTargeted(strings.Join(lines, ",")); ok && d.said {
			return d, true
		}
	}
	return parseDirectives(h["Cache-Control"]), false
}

// parseTargeted reads a dictionary of structured fields (RFC 9213, section 2.1).
// One that is malformed is false as a whole. One in which a name stands twice is
// not: no reader of it is to keep what another would not.
func parseTargeted(text string) (directives, bool) {
	d := noDirectives()
	all, err := readDictionary(text, mostMembers)
	if errors.Is(err, errSFTwice) {
		d.noStore, d.said = true, true
		return d, true
	}
	for i := range all {
		m := &all[i]
		switch {
		case m.inner:
			d.set(m.key, strings.Join(stringsOf(m.list), ","), true)
		case m.bare.kind != sfBoolean:
			arg := m.bare.text
			if m.bare.kind == sfInteger {
				arg = strconv.FormatInt(m.bare.number, 10)
			}
			d.set(m.key, arg, true)
		case m.bare.number == 1: // what is false is not said
			d.set(m.key, "", false)
		}
	}
	return d, err == nil
}

// mostMembers bounds the dictionaries that answers have for this cache.
const mostMembers = 64

// stringsOf are the strings of an inner list.
func stringsOf(list []sfItem) (all []string) {
	for _, it := range list {
		if it.bare.kind == sfString {
			all = append(all, it.bare.text)
		}
	}
	return all
}
