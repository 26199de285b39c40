package mesh

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzEndpoint holds that what is taken for the URL of an endpoint is one that
// requests can be sent to, and nothing else than was written.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{"http://a:80", "https://[::1]:8443/base/", "a:80", "http://u:p@a", "http://a/%2f//", "http://a?x#y", "ftp://a", "http://a:0", "http:///x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, message, _ := parseEndpoint(text)
		if (u == nil) != (message != "") {
			t.Fatalf("%q: %v, %q", text, u, message)
		}
		if u == nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(u.Path, "/") {
			t.Errorf("%q is taken for %q", text, u)
		}
		if again, message, _ := parseEndpoint(u.String()); again == nil || again.String() != u.String() {
			t.Errorf("%q is taken for %q, and that for %v: %s", text, u, again, message)
		}
	})
}

// FuzzSPIFFE holds that a pattern without an end matches itself and nothing of
// another trust domain.
func FuzzSPIFFE(f *testing.F) {
	f.Add("spiffe://prod/ns/shop", "spiffe://prod/ns/shop")
	f.Add("spiffe://prod/ns/*", "spiffe://prod/ns/../x")
	f.Add("spiffe://prod", "spiffe://production/x")
	f.Fuzz(func(t *testing.T, pattern, id string) {
		p, err := parseSPIFFE(pattern)
		if err != nil {
			return
		}
		if !p.below && !p.matches(pattern) {
			t.Errorf("%q does not match itself", pattern)
		}
		if p.matches(id) && id != "spiffe://"+p.domain && !strings.HasPrefix(id, "spiffe://"+p.domain+"/") {
			t.Errorf("%q matches %q", pattern, id)
		}
	})
}

// FuzzTokenReply holds that no answer of a token server ends the process, that the
// token of one can be sent, and that no error has the secret in it.
func FuzzTokenReply(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"a","token_type":"bearer","expires_in":"1e9"}`)
	f.Add(400, "application/json; charset=utf-8", `{"error":"invalid_client","error_description":"s3cr3t+ \n"}`)
	f.Add(200, "text/html", "<html>")
	f.Add(302, "", "")
	f.Fuzz(func(t *testing.T, status int, media, body string) {
		const secret = "s3cr3t+"
		resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {media}}}
		reply, err := readTokenReply(resp, []byte(body), secret)
		if err != nil {
			if strings.Contains(err.Error(), secret) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q", err)
			}
			return
		}
		if status != http.StatusOK || !validToken(reply.AccessToken) || reply.lifetime < 0 || reply.lifetime > maxLifetime {
			t.Errorf("%d: %+v", status, reply)
		}
	})
}

// FuzzRetryAfter holds that nobody is told to wait for less than no time, and that
// what is a number is that many seconds.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"7", "-1", "18446744073709551615", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if wait := retryAfter(http.Header{"Retry-After": {text}}); wait < 0 || len(text) == 1 && '0' <= text[0] && text[0] <= '9' && wait != time.Duration(text[0]-'0')*time.Second {
			t.Errorf("%q: %v", text, wait)
		}
		if class, from, to, ok := parseOutcome(text); ok && class == OK && (from < 400 || to > 599 || from > to) {
			t.Errorf("%q: %d to %d", text, from, to)
		}
	})
}
