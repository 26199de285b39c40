package policies_test

import (
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestCSRF(t *testing.T) {
	w := flowtest.Serve(t, site(`{ csrf: { origins: [https://shop.example, "https://*.shop.example"] } }`, ""), nil)
	for _, c := range []struct {
		name, method string
		sent         []string
		want         int
	}{
		{"a program says nothing of origins", "POST", nil, 200},
		{"a page of the same origin", "POST", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://public"}, 200},
		{"someone at the address bar", "POST", []string{"Sec-Fetch-Site", "none"}, 200},
		{"a page of another site", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"a page of a neighbour", "DELETE", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://blog.public"}, 403},
		{"a page of another site that hides its origin", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, 403},
		{"a page of another site without an origin", "PUT", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"what no browser says is not believed", "POST", []string{"Sec-Fetch-Site", "Same-Origin"}, 403},
		{"reading changes nothing", "GET", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 200},
		{"a handshake of a WebSocket is no reading", "GET", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example", "Connection", "Upgrade", "Upgrade", "websocket"}, 403},
		{"a handshake of an own page", "GET", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://public", "Connection", "Upgrade", "Upgrade", "websocket"}, 200},
		{"a page of an origin that is trusted", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://shop.example"}, 200},
		{"a page of one below it", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://www.shop.example"}, 200},
		{"two origins are none", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://shop.example", "Origin", "https://shop.example"}, 403},
		{"an old browser on a page of the same host", "POST", []string{"Origin", "http://public:80"}, 200},
		{"an old browser on a page of another", "POST", []string{"Origin", "http://public.evil.example"}, 403},
		{"an old browser that hides the origin", "POST", []string{"Origin", "null"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, w, c.method, "/orders/1", c.sent...)
			if got.status != c.want {
				t.Errorf("%d, not %d: %s", got.status, c.want, got.body)
			}
			if got.status == 403 && (got.problem.Code != "cross-origin-request" || got.header.Get("Proxy-Status") != `weir; error=http_request_denied; details="csrf"`) {
				t.Errorf("%s %v", got.body, got.header)
			}
		})
	}
}
