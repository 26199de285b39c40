package policies

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/gateway"
)

// appendKey appends the key of a request's URL: its gateway, which requests
// cannot choose, and the URL that callers know it by (RFC 9111, section 2; RFC
// 9110, section 4.2.3), behind the last NUL.
func (p *cache) appendKey(b []byte, r *http.Request, q *gateway.Request) []byte {
	b = append(append(b, q.Route.Gateway...), 0)
	if r.TLS != nil {
		b = append(b, "https://"...)
	} else {
		b = append(b, "http://"...)
	}
	b = appendHost(b, r.Host, r.TLS != nil)
	b = appendPath(b, r.URL)
	return p.appendQuery(b, r.URL.RawQuery)
}

// appendHost appends a host in lower case, without the port of its scheme.
func appendHost(b []byte, host string, tls bool) []byte {
	if tls {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	for i := 0; i < len(host); i++ {
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// appendPath appends a path in which what need not be escaped is not, and what is
// escaped is in upper case: RFC 3986, section 6.2.2.
func appendPath(b []byte, u *url.URL) []byte {
	path := u.EscapedPath()
	if path == "" {
		return append(b, '/')
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b = append(b, path[i])
			continue
		}
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		if unreserved(c) {
			b = append(b, c)
		} else {
			const digits = "0123456789ABCDEF"
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
		i += 2
	}
	return b
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// appendQuery appends a query without the parameters that are ignored. Their
// order stays: it can mean something.
func (p *cache) appendQuery(b []byte, query string) []byte {
	if query == "" {
		return b
	}
	if len(p.ignore) == 0 {
		return append(append(b, '?'), query...)
	}
	sep := byte('?')
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if part != "" && !slices.Contains(p.ignore, name) {
			b = append(append(b, sep), part...)
			sep = '&'
		}
	}
	return b
}

// sameOrigin is a request for what an answer to r refers to, if that is of the
// same origin (RFC 9110, section 4.3.1).
func (p *cache) sameOrigin(r *http.Request, at string) (*http.Request, bool) {
	ref, err := url.Parse(at)
	if err != nil {
		return nil, false
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	base := &url.URL{Scheme: scheme, Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath}
	u := base.ResolveReference(ref)
	if u.Scheme != scheme || string(appendHost(nil, u.Host, r.TLS != nil)) != string(appendHost(nil, r.Host, r.TLS != nil)) {
		return nil, false
	}
	return &http.Request{URL: u, Host: r.Host, TLS: r.TLS}, true
}
