package policies_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestSecurityHeadersAreOnEveryAnswer(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "inside/1.2")
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		_, _ = io.WriteString(w, "page")
	})
	passing := `flow: page
trigger: { http: GET /page }
steps: [{ forward: backend }]
---
flow: own
trigger: { http: GET /own, policies: [{ security_headers: { keep: true, csp: "", referrer: origin } }] }
steps: [{ forward: backend }]
---
services: { backend: { endpoints: ["http://backend"] } }
`
	w := flowtest.Serve(t, site(`{ security_headers: { hsts: {} }, authorize: { when: 'request.method != "DELETE"' } }`, "", passing), flowtest.Backends{"backend": backend})
	for _, c := range []struct{ name, method, path, frame, csp, referrer string }{
		{"of a flow", "GET", "/open", "DENY", "default-src 'none'; frame-ancestors 'none'", "no-referrer"},
		{"that is passed on", "GET", "/page", "DENY", "default-src 'none'; frame-ancestors 'none'", "no-referrer"},
		{"of a route with its own", "GET", "/own", "SAMEORIGIN", "", "origin"},
		{"that is a refusal", "DELETE", "/open", "DENY", "default-src 'none'; frame-ancestors 'none'", "no-referrer"},
		{"that nothing was found", "GET", "/nowhere", "DENY", "default-src 'none'; frame-ancestors 'none'", "no-referrer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := ask(t, w, c.method, c.path).header
			for name, want := range map[string]string{
				"X-Frame-Options": c.frame, "Content-Security-Policy": c.csp, "Referrer-Policy": c.referrer, "X-Content-Type-Options": "nosniff",
				"Server": "", "Strict-Transport-Security": "", // the request did not come by TLS
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q, not %q", name, got, want)
				}
			}
		})
	}
}
