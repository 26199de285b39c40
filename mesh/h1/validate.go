package h1

import (
	"errors"
	"fmt"
	"net/http"
)

// Validate reports why a request cannot be sent, or nil. It refuses whatever
// could make the server read another request than the one meant: control
// characters in the method, target, host, header and trailer, and contradictory
// lengths. Validate does not read the body; its cost is one pass over the header.
func Validate(req *http.Request) error {
	switch {
	case req.URL == nil:
		return errors.New("the request has no URL")
	case req.Method != "" && !validToken(req.Method):
		return fmt.Errorf("invalid method %q", req.Method)
	case req.Method == http.MethodConnect:
		return errors.New("CONNECT is not supported")
	case req.URL.Opaque != "":
		return fmt.Errorf("the URL %q has no path", req.URL.Opaque)
	case !validTarget(req.URL.RawQuery):
		return fmt.Errorf("invalid character in query %q", req.URL.RawQuery)
	case !validHost(req.Host):
		return fmt.Errorf("invalid host %q", req.Host)
	case req.ContentLength > 0 && req.Body == nil:
		return fmt.Errorf("ContentLength is %d but there is no body", req.ContentLength)
	}
	for name, values := range req.Header {
		if !validToken(name) {
			return fmt.Errorf("invalid header name %q", name)
		}
		for _, v := range values {
			if !validValue(v) {
				return fmt.Errorf("invalid value of header %s", name) // may be a secret: not shown
			}
		}
	}
	for name := range req.Trailer {
		if !validToken(name) || !validTrailer(name) {
			return fmt.Errorf("invalid trailer name %q", name)
		}
	}
	return nil
}

const (
	charToken  = 1 << iota // RFC 9110 section 5.6.2
	charValue              // field-vchar, obs-text, space and tab: RFC 9110 section 5.5
	charTarget             // anything that cannot end a request target
	charHost               // what may stand in a Host header: RFC 3986 reg-name, IP literal, port
)

// chars classifies each byte once, so that checking is one lookup per byte.
var chars = func() (t [256]uint8) {
	for c := range 256 {
		isAlnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if isAlnum || inSet(c, "!#$%&'*+-.^_`|~") {
			t[c] |= charToken
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= charValue
		}
		if c > ' ' && c != 0x7f {
			t[c] |= charTarget
		}
		if isAlnum || inSet(c, "!$%&'()*+,-.:;=[]_~") {
			t[c] |= charHost
		}
	}
	return t
}()

func inSet(c int, set string) bool {
	for i := range len(set) {
		if int(set[i]) == c {
			return true
		}
	}
	return false
}

func all(s string, class uint8) bool {
	for i := range len(s) {
		if chars[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func validToken(s string) bool  { return s != "" && all(s, charToken) }
func validValue(s string) bool  { return printable(s) || all(s, charValue) }
func validTarget(s string) bool { return all(s, charTarget) }
func validHost(s string) bool   { return all(s, charHost) }

// printable reports whether each byte of s may stand in a value and is no tab,
// eight at a time: what is not the common case is looked at one by one.
func printable(s string) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		del := w ^ 0x7f*ones
		if (w-' '*ones)&^w&highs != 0 || (del-ones)&^del&highs != 0 {
			return false // one below the space, or DEL, or one that is taken for them
		}
	}
	return all(s, charValue)
}

// validTrailer reports whether a field may come after the body. Those that frame
// or route the message may not: RFC 9110 section 6.5.1.
func validTrailer(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Trailer", "Host", "Connection":
		return false
	}
	return true
}

// HasBody reports whether the request has one.
func HasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// ValidName reports whether a request may have a field of this name that the
// client does not write by itself.
func ValidName(name string) bool { return validToken(name) && !framesRequest(name) }
