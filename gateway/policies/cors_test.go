package policies_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

// corsSite has routes of one method, of any, with OPTIONS of their own, without
// the policy, and with another one.
const corsSite = `flow: read
trigger: { http: GET /orders }
steps: [{ return: 1 }]
---
flow: remove
trigger: { http: DELETE /orders, policies: [{ cors: { origins: [https://admin.example] } }] }
steps: [{ return: 2 }]
---
flow: any
trigger: { http: "ANY /any/{id}" }
steps: [{ return: 3 }]
---
flow: put
trigger: { http: "PUT /any/{id}", without: [cors] }
steps: [{ return: 4 }]
---
flow: own
trigger: { http: OPTIONS /own, without: [cors] }
steps: [{ return: { took: OPTIONS } }]
---
flow: own get
trigger: { http: GET /own }
steps: [{ return: 5 }]
---
flow: passed on
trigger: { http: GET /passed }
steps: [{ forward: backend }]
---
flow: failing
trigger: { http: GET /failing }
steps: [{ fail: broken, status: 502 }]
---
flow: guarded
trigger: { http: GET /guarded, policies: [{ authorize: { when: "false" } }] }
steps: [{ return: 6 }]
---
gateways: { public: { listen: "public:80", policies: [{ cors: { origins: [https://shop.example, "https://*.shop.example", "http://localhost:*"], credentials: true, expose: [X-Total], max_age: 5m } }] } }
---
services: { backend: { endpoints: ["http://backend"] } }
`

var corsBackend = flowtest.Backends{"backend": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Private-Network", "true")
	h.Set("Vary", "accept-language, ORIGIN")
	_, _ = io.WriteString(w, "page")
})}

func TestCORS(t *testing.T) {
	const shop = "https://shop.example"
	type header = map[string]string // "" is: not there
	asks := func(method string, more ...string) []string {
		return append([]string{"Origin", shop, "Access-Control-Request-Method", method}, more...)
	}
	readable := header{"Access-Control-Allow-Origin": shop, "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "X-Total", "Vary": "Origin", "Access-Control-Allow-Methods": ""}
	hidden := header{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Access-Control-Expose-Headers": "", "Vary": "Origin"}
	granted := func(method string) header {
		return header{"Access-Control-Allow-Origin": shop, "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": method,
			"Access-Control-Allow-Headers": "", "Access-Control-Expose-Headers": "", "Access-Control-Max-Age": "300",
			"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	}
	from := func(origin string) []string { return []string{"Origin", origin} }
	w := flowtest.Serve(t, corsSite, corsBackend)
	for _, c := range []struct {
		name, method, path string
		sent               []string
		status             int
		want               header
	}{
		{"Fetch: an origin that is allowed may read the answer", "GET", "/orders", from(shop), 200, readable},
		{"Fetch: the answer to a request without an origin varies by it, too", "GET", "/orders", nil, 200, hidden},
		{"Fetch: an origin that is not allowed may not, and the request is answered", "GET", "/orders", from("https://evil.example"), 200, hidden},
		{"Fetch: an origin is compared byte by byte", "GET", "/orders", from("https://Shop.example"), 200, hidden},
		{"Fetch: the scheme is part of an origin", "GET", "/orders", from("http://shop.example"), 200, hidden},
		{"Fetch: the port is part of an origin", "GET", "/orders", from("https://shop.example:8443"), 200, hidden},
		{"Fetch: an origin that begins like one that is allowed is another one", "GET", "/orders", from("https://shop.example.evil.example"), 200, hidden},
		{"Fetch: an origin that ends like one that is allowed is another one", "GET", "/orders", from("https://evilshop.example"), 200, hidden},
		{"Fetch: a host below one that is allowed with all of them", "GET", "/orders", from("https://a.b.shop.example"), 200, header{"Access-Control-Allow-Origin": "https://a.b.shop.example", "Vary": "Origin"}},
		{"Fetch: what is no host is not below one", "GET", "/orders", from("https://evil.example/.shop.example"), 200, hidden},
		{"Fetch: any port where all are allowed", "GET", "/orders", from("http://localhost:5173"), 200, header{"Access-Control-Allow-Origin": "http://localhost:5173"}},
		{"Fetch: no port where all are allowed", "GET", "/orders", from("http://localhost"), 200, header{"Access-Control-Allow-Origin": "http://localhost"}},
		{"Fetch: what is no port is none of all", "GET", "/orders", from("http://localhost:1@evil.example"), 200, hidden},
		{"Fetch: null is nobody's origin", "GET", "/orders", from("null"), 200, hidden},
		{"Fetch: two origins are none", "GET", "/orders", []string{"Origin", shop, "Origin", shop}, 200, hidden},
		{"Fetch: a list of origins is none", "GET", "/orders", from(shop + ", https://evil.example"), 200, hidden},
		{"Fetch: a star is no origin", "GET", "/orders", from("*"), 200, hidden},

		{"Fetch: a page can read that there is nothing", "GET", "/nowhere", from(shop), 404, readable},
		{"Fetch: a page can read that the method is not taken", "PATCH", "/orders", from(shop), 405, readable},
		{"Fetch: a page can read what a policy refuses", "GET", "/guarded", from(shop), 403, readable},
		{"Fetch: a page can read that a flow failed", "GET", "/failing", from(shop), 502, readable},
		{"Fetch: what a backend says of origins is replaced", "GET", "/passed", from(shop), 200, header{"Access-Control-Allow-Origin": shop, "Access-Control-Allow-Private-Network": "", "Vary": "accept-language, ORIGIN"}},
		{"Fetch: what a backend allows is not allowed", "GET", "/passed", from("https://evil.example"), 200, header{"Access-Control-Allow-Origin": "", "Vary": "accept-language, ORIGIN"}},

		{"Fetch: a preflight is answered for a route of one method", "OPTIONS", "/orders", asks("GET"), 204, granted("GET")},
		{"Fetch: a preflight is answered for HEAD where there is GET", "OPTIONS", "/orders", asks("HEAD"), 204, granted("HEAD")},
		{"Fetch: a preflight is answered for a route of any method", "OPTIONS", "/any/1", asks("PATCH"), 204, granted("PATCH")},
		{"Fetch: a preflight needs no credentials", "OPTIONS", "/guarded", asks("GET"), 204, granted("GET")},
		{"Fetch: a preflight names the headers when it is asked for them", "OPTIONS", "/orders", asks("GET", "Access-Control-Request-Headers", "authorization,x-other"), 204,
			header{"Access-Control-Allow-Headers": "Authorization, Content-Type"}},
		{"Fetch: a preflight from an origin that is not allowed is refused", "OPTIONS", "/orders", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "GET"}, 403,
			header{"Access-Control-Allow-Origin": "", "Vary": "Origin", "Proxy-Status": `weir; error=http_request_denied; details="cors"`}},
		{"Fetch: a preflight from two origins is refused", "OPTIONS", "/orders", asks("GET", "Origin", "https://evil.example"), 403, header{"Access-Control-Allow-Origin": ""}},
		{"Fetch: a preflight is answered by the policy of the route that is asked for", "OPTIONS", "/orders", asks("DELETE"), 403, header{"Access-Control-Allow-Origin": ""}},
		{"Fetch: a preflight for a route without the policy allows nothing", "OPTIONS", "/any/1", asks("PUT"), 200, header{"Access-Control-Allow-Methods": "", "Access-Control-Allow-Headers": ""}},
		{"Fetch: a method that the path does not take is not allowed", "OPTIONS", "/orders", asks("PATCH"), 204, header{"Access-Control-Allow-Origin": shop, "Access-Control-Allow-Methods": "", "Allow": "DELETE, GET, HEAD, OPTIONS"}},
		{"Fetch: methods are compared with their case", "OPTIONS", "/orders", asks("get"), 204, header{"Access-Control-Allow-Methods": ""}},
		{"Fetch: a method that is none is not allowed", "OPTIONS", "/any/1", asks("PUT, DELETE"), 204, header{"Access-Control-Allow-Methods": ""}},
		{"Fetch: a preflight for an unknown path is told so", "OPTIONS", "/nowhere", asks("GET"), 404, header{"Access-Control-Allow-Origin": shop}},
		{"Fetch: the preflight comes before an OPTIONS of the path's own", "OPTIONS", "/own", asks("GET"), 204, granted("GET")},
		{"Fetch: OPTIONS without a method to ask for is no preflight", "OPTIONS", "/own", from(shop), 200, header{"Access-Control-Allow-Origin": ""}},
		{"Fetch: OPTIONS with two methods to ask for is no preflight", "OPTIONS", "/orders", asks("GET", "Access-Control-Request-Method", "DELETE"), 204, header{"Access-Control-Allow-Methods": "", "Allow": "DELETE, GET, HEAD, OPTIONS"}},
		{"Fetch: a preflight is OPTIONS", "GET", "/orders", asks("GET"), 200, readable},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, c.method, c.path, c.sent...)
			if got.status != c.status {
				t.Errorf("%d, not %d: %s", got.status, c.status, got.body)
			}
			for name, want := range c.want {
				if had := strings.Join(got.header[name], ", "); had != want {
					t.Errorf("%s: %q, not %q", name, had, want)
				}
			}
		})
	}
}

func TestCORSForEveryone(t *testing.T) {
	w := flowtest.Serve(t, site(`{ cors: { origins: ["*"], headers: ["*", Authorization], expose: ["*"], methods: [PUT] } }`, ""), nil)
	for _, c := range []struct {
		name, method string
		sent         []string
		want         map[string]string
	}{
		{"Fetch: an answer for everyone does not vary", "GET", []string{"Origin", "https://a.example"}, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*", "Vary": ""}},
		{"Fetch: an answer for everyone is the same without an origin", "GET", nil, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*", "Vary": ""}},
		{"Fetch: everyone is null, too", "GET", []string{"Origin", "null"}, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": ""}},
		{"Fetch: Authorization is allowed by its name only", "OPTIONS", []string{"Origin", "https://a.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization"},
			map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Headers": "*, Authorization", "Access-Control-Max-Age": "600"}},
		{"Fetch: a method that is not listed is not allowed", "OPTIONS", []string{"Origin", "https://a.example", "Access-Control-Request-Method", "DELETE"},
			map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, c.method, "/orders/1", c.sent...)
			for name, want := range c.want {
				if had := strings.Join(got.header[name], ", "); had != want {
					t.Errorf("%s: %q, not %q", name, had, want)
				}
			}
		})
	}
}
