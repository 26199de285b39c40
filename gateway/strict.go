package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-run/weir/gateway/h1"
)

// refuseAmbiguous refuses requests that two readers may understand differently,
// or that ask for what a gateway never does, and closes their connection. What is
// no HTTP/1.1 at all, or leaves doubt about where it ends, does not get here: see
// package h1.
func refuseAmbiguous(o Options, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, bad := ambiguity(r)
		if !bad {
			p, bad = excess(o, r)
		}
		if bad {
			w.Header()["Connection"] = connectionClose
			WriteProblem(w, r, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// excess is what is too long of a request. The fields of HTTP/1.1 are counted as
// they come.
func excess(o Options, r *http.Request) (p Problem, bad bool) {
	if o.MaxURL >= 0 && len(r.RequestURI) > o.MaxURL {
		return Problem{Status: http.StatusRequestURITooLong, Code: CodeURLTooLong, Detail: "The request target is longer than this gateway takes."}, true
	}
	if o.MaxFields >= 0 && r.ProtoMajor >= 2 {
		fields := 0
		for _, values := range r.Header {
			fields += len(values)
		}
		if fields > o.MaxFields {
			return problemOf(h1.TooManyFields), true
		}
	}
	if hops(r.Header["Via"]) > maxHopsHere {
		return Problem{Status: http.StatusLoopDetected, Code: CodeLoop, Detail: "The request has come through gateways such as this one too often: it goes in circles."}, true
	}
	return Problem{}, false
}

// maxHopsHere is how often a request may have come through gateways of this kind:
// more is a circle (RFC 9110, section 7.6). A few stand behind one another where
// groups of services have gateways of their own.
const maxHopsHere = 16

// hops counts the gateways of this kind in a Via field.
func hops(via []string) (n int) {
	for _, line := range via {
		for member := range strings.SplitSeq(line, ",") {
			_, by, _ := strings.Cut(strings.TrimSpace(member), " ")
			if by, _, _ = strings.Cut(by, " "); by == "weir" {
				n++
			}
		}
	}
	return n
}

var connectionClose = []string{"close"}

func ambiguity(r *http.Request) (p Problem, bad bool) {
	refused := func(detail string) (Problem, bool) {
		return Problem{Status: http.StatusBadRequest, Code: CodeBadRequest, Detail: detail}, true
	}
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return Problem{Status: http.StatusNotImplemented, Code: CodeMethodNotSupported,
			Detail: r.Method + " is not served here."}, true
	case !originForm(r):
		return refused("The request target is not a path.")
	case strings.IndexByte(r.RequestURI, '#') >= 0:
		return refused("The request target holds a fragment.")
	case !validHost(r.Host) && (r.Host != "" || r.ProtoAtLeast(1, 1)):
		return refused("The Host field is not a host and port.")
	}
	return Problem{}, false
}

// originForm is RFC 9112, section 3.2.1. The absolute form is for proxies, and
// carries a second host that policies would not see. Requests made inside the
// process have no target in text.
func originForm(r *http.Request) bool {
	return r.RequestURI == "" || r.RequestURI[0] == '/' && r.URL.Host == "" && r.URL.Scheme == ""
}

// validHost is RFC 9110, section 7.2, without percent-encoding and the
// delimiters that no registered name has.
func validHost(host string) bool {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && addressChars.spells(inner)
	}
	return hostChars.spells(name)
}

var (
	hostChars    = chars(alphanumeric + "-._~")
	addressChars = chars("0123456789abcdefABCDEF:.") // IPv6, also with IPv4 in it
)
