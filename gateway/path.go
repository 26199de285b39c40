package gateway

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// encodedSlash stands for %2F in a path being matched. It can have no other
// meaning there, because soundPath refuses control characters.
const encodedSlash = "\x01"

// routingPath is the path that routes are matched against: percent-decoded,
// except that a slash which the client encoded stays apart from one that
// separates segments. It is false for a path that no route may see.
func routingPath(u *url.URL) (path string, ok bool) {
	if !soundPath(u.Path) {
		return "", false
	}
	// Go fills RawPath only when the encoding carries something that Path
	// has lost, which for matching is the encoded slash alone.
	if u.RawPath == "" || !strings.Contains(u.RawPath, "%2F") && !strings.Contains(u.RawPath, "%2f") {
		return u.Path, true
	}
	raw := strings.NewReplacer("%2F", encodedSlash, "%2f", encodedSlash).Replace(u.RawPath)
	path, err := url.PathUnescape(raw)
	return path, err == nil
}

// soundPath refuses, in a decoded path, what different servers read
// differently: dot segments (also behind an encoded slash or before a path
// parameter, "..;"), backslashes, control characters, invalid UTF-8.
func soundPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	ascii := true
	segment := 1
	for i := 1; i < len(p); i++ {
		switch c := p[i]; {
		case c == '/':
			if dotSegment(p[segment:i]) {
				return false
			}
			segment = i + 1
		case c < ' ' || c == 0x7f || c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return !dotSegment(p[segment:]) && (ascii || utf8.ValidString(p))
}

func dotSegment(s string) bool {
	if s == "" || s[0] != '.' {
		return false
	}
	name, _, _ := strings.Cut(s, ";")
	return name == "." || name == ".."
}
