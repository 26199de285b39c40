package connectors

import (
	"net/http"
	"strconv"
	"strings"
)

// Ways that messages came, each as the one member of a Via field.
var viaHTTP10, viaHTTP11, viaHTTP2, viaHTTP3 = []string{"1.0 weir"}, []string{"1.1 weir"}, []string{"2.0 weir"}, []string{"3.0 weir"}

// via is the Via field of a request that is passed on: the way that it has come
// so far, and in which version of HTTP it came here (RFC 9110, section 7.6.3).
func via(in *http.Request) []string {
	here := viaHTTP11
	switch {
	case in.ProtoMajor == 3:
		here = viaHTTP3
	case in.ProtoMajor == 2:
		here = viaHTTP2
	case !in.ProtoAtLeast(1, 1):
		here = viaHTTP10
	}
	if before := in.Header["Via"]; before != nil {
		return []string{strings.Join(before, ", ") + ", " + here[0]}
	}
	return here
}

// countHops takes one off Max-Forwards, which counts for OPTIONS alone where
// there is no TRACE (RFC 9110, section 7.6.2). It is false for a request that may
// not be passed on any more. A field that is no number says nothing, and does not
// go on.
func countHops(method string, h http.Header) (more bool) {
	lines := h["Max-Forwards"]
	if lines == nil || method != http.MethodOptions {
		return true
	}
	n, err := strconv.ParseUint(lines[0], 10, 64)
	switch {
	case err != nil || len(lines) > 1:
		delete(h, "Max-Forwards")
	case n == 0:
		return false
	default:
		h["Max-Forwards"] = []string{strconv.FormatUint(n-1, 10)}
	}
	return true
}
