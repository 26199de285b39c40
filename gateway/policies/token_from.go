package policies

import (
	"errors"
	"net/http"
	"strings"

	"github.com/weir-run/weir/dsl"
)

type tokenFromConfig struct {
	Header dsl.String `yaml:"header" doc:"A header that holds the token and nothing else."`
	Cookie dsl.String `yaml:"cookie" doc:"A cookie. Browsers send it on their own, so that pages of others can cause requests in the name of their visitors."`
	Query  dsl.String `yaml:"query" doc:"A parameter of the query, for clients that cannot send headers, such as WebSockets of browsers. URLs end up in logs and histories: RFC 6750 section 2.3 advises against it."`
}

var errSeveralTokens = errors.New("there are several tokens")

// tokenFrom is where the token of a request is.
type tokenFrom struct{ header, cookie, query string } // all empty: behind Bearer

func (c *Compiler) tokenFrom(at *dsl.Node, cfg *tokenFromConfig) (f tokenFrom) {
	if cfg == nil {
		return f
	}
	f = tokenFrom{http.CanonicalHeaderKey(cfg.Header.Value), cfg.Cookie.Value, cfg.Query.Value}
	if n := at.Field("from"); f.places() != 1 {
		c.Report(dsl.Diagnostic{Span: n.KeySpan(), Code: "bad-policy", Message: "a token is in one place", Hint: "write header, cookie or query"})
	}
	return f
}

func (f tokenFrom) places() (n int) {
	for _, name := range []string{f.header, f.cookie, f.query} {
		if name != "" {
			n++
		}
	}
	return n
}

// read gives the token of a request; "" is none. A request with several is
// refused: who reads it next may take another one (RFC 6750 section 2).
func (f tokenFrom) read(r *http.Request) (string, error) {
	var found []string
	switch {
	case f.header != "":
		found = r.Header[f.header]
	case f.cookie != "":
		for _, c := range r.CookiesNamed(f.cookie) {
			found = append(found, c.Value)
		}
	case f.query != "":
		found = r.URL.Query()[f.query]
	default:
		values := r.Header["Authorization"]
		if len(values) > 1 {
			return "", errSeveralTokens
		}
		if len(values) == 1 {
			text, _ := credentials(values[0], "Bearer")
			return text, nil
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", errSeveralTokens
}

// credentials are those behind a scheme (RFC 9110 section 11.4).
func credentials(value, scheme string) (string, bool) {
	if len(value) <= len(scheme) || value[len(scheme)] != ' ' || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	return strings.Trim(value[len(scheme)+1:], " "), true
}

// hide takes the token out of a request.
func (f tokenFrom) hide(r *http.Request) {
	switch {
	case f.header != "":
		delete(r.Header, f.header)
	case f.cookie != "":
		withoutCookie(r, f.cookie)
	case f.query != "":
		withoutParameter(r, f.query)
	default:
		delete(r.Header, "Authorization")
	}
}

func withoutCookie(r *http.Request, name string) {
	withoutCookies(r, func(own string) bool { return own == name })
}

// withoutCookies takes cookies out of a request, by their names.
func withoutCookies(r *http.Request, out func(name string) bool) {
	var kept []string
	for _, line := range r.Header["Cookie"] {
		var parts []string
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			if own, _, _ := strings.Cut(part, "="); part != "" && !out(strings.TrimSpace(own)) {
				parts = append(parts, part)
			}
		}
		if len(parts) > 0 {
			kept = append(kept, strings.Join(parts, "; "))
		}
	}
	if kept == nil {
		delete(r.Header, "Cookie")
		return
	}
	r.Header["Cookie"] = kept
}

func withoutParameter(r *http.Request, name string) {
	u, values := *r.URL, r.URL.Query()
	delete(values, name)
	u.RawQuery = values.Encode()
	r.URL = &u
}
