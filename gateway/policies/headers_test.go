package policies_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestHeaders(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Backend", "inside-7")
		h.Add("Set-Cookie", "a=1")
		h.Set("Cache-Control", "public")
		for _, name := range []string{"X-Client", "X-Version", "Cookie", "X_version", "Accept-Language", "X-Role"} {
			if v := r.Header[name]; v != nil {
				h[http.CanonicalHeaderKey("Got-"+strings.ReplaceAll(name, "_", "-"))] = v
			}
		}
		_, _ = io.WriteString(w, "page")
	})
	w := flowtest.Serve(t, site(`{ headers: {
  request: { set: { x-version: '$(query.version ?? "1")', X-Role: '$(headers["X-Role"] ?? "")-seen' }, add: { Accept-Language: en }, remove: [Cookie] },
  response: { set: { Cache-Control: no-cache, X-Path: $(request.path), X-Empty: '$(query.empty ?? "")' }, add: { Set-Cookie: b=2 }, remove: [X-Backend] } },
  authorize: { when: 'request.method != "DELETE"' } }`, "", shopFlows,
		"flow: told\ntrigger: { http: GET /told, policies: [{ headers: { request: { set: { X-Client: $(request.remote) } } } }] }\nsteps: [{ forward: backend }]\n"), flowtest.Backends{"backend": backend})
	for _, c := range []struct {
		name, method, path string
		sent               []string
		status             int
		want               map[string][]string
	}{
		{"a request that is forwarded", "GET", "/page", []string{"Cookie", "s=1", "X-Version", "9", "Accept-Language", "de", "X-Role", "staff"}, 200,
			map[string][]string{"Got-X-Version": {"1"}, "Got-Cookie": nil, "Got-Accept-Language": {"de", "en"}, "Got-X-Role": {"staff-seen"}}},
		{"the answer of a backend", "GET", "/page", nil, 200, map[string][]string{"X-Backend": nil, "Set-Cookie": {"a=1", "b=2"}, "Cache-Control": {"no-cache"}, "X-Path": {"/page"}, "X-Empty": nil}},
		{"an expression over the query", "GET", "/page?version=2", nil, 200, map[string][]string{"Got-X-Version": {"2"}}},
		{"what is set does not come from the caller in other letters", "GET", "/page", []string{"X_Version", "9"}, 200, map[string][]string{"Got-X-Version": {"1"}}},
		{"an empty value removes", "GET", "/page?version=", []string{"X-Version", "9"}, 200, map[string][]string{"Got-X-Version": nil}},
		{"the answer of a flow", "GET", "/open", nil, 200, map[string][]string{"Set-Cookie": {"b=2"}, "X-Path": {"/open"}}},
		{"a problem", "GET", "/nowhere", nil, 404, map[string][]string{"Set-Cookie": {"b=2"}, "X-Path": {"/nowhere"}}},
		{"those of the gateway and of the route", "GET", "/told", nil, 200, map[string][]string{"Got-X-Client": {"127.0.0.1"}, "Got-X-Version": {"1"}}},
		{"no line can be broken in a request", "GET", "/page?version=" + url.QueryEscape("1\r\nX-Role: admin"), nil, 400, map[string][]string{"Got-X-Role": nil}},
		{"nor in an answer", "GET", "/page?empty=" + url.QueryEscape("1\r\nSet-Cookie: evil"), nil, 200, map[string][]string{"X-Empty": nil, "Set-Cookie": {"a=1", "b=2"}}},
		{"what is no header in an answer", "GET", "/page?empty=" + url.QueryEscape("a\x00b"), nil, 200, map[string][]string{"X-Empty": nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, c.method, c.path, c.sent...)
			if got.status != c.status {
				t.Errorf("%d, not %d: %s", got.status, c.status, got.body)
			}
			for name, want := range c.want {
				if had := got.header[name]; !slices.Equal(had, want) {
					t.Errorf("%s: %q, not %q", name, had, want)
				}
			}
		})
	}
}
