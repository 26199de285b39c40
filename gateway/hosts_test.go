package gateway

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

func hosted(method, path string, hosts ...string) Route {
	r := route(method, path)
	r.Name += " " + strings.Join(hosts, " ")
	r.Handler = text(r.Name)
	for _, h := range hosts {
		r.Hosts = append(r.Hosts, dsl.String{Value: h})
	}
	return r
}

func TestTheMostSpecificHostDecides(t *testing.T) {
	h := newTestHandler(t, Options{},
		hosted("GET", "/a"), hosted("GET", "/a", "shop.example", "www.shop.example"), hosted("GET", "/a", "*.shop.example"), hosted("GET", "/a", "*.api.shop.example"),
		hosted("GET", "/{any}"), hosted("GET", "/b/{x}", "shop.example"), hosted("POST", "/c", "shop.example"), hosted("GET", "/c", "*.shop.example"))
	for _, c := range []struct {
		host, method, path string
		status             int
		want               string
	}{
		{"shop.example", "GET", "/a", 200, "GET /a shop.example www.shop.example"},
		{"www.shop.example", "GET", "/a", 200, "GET /a shop.example www.shop.example"},
		{"SHOP.example:8080", "GET", "/a", 200, "GET /a shop.example www.shop.example"},
		{"shop.example.", "GET", "/a", 200, "GET /a shop.example www.shop.example"},
		{"m.shop.example", "GET", "/a", 200, "GET /a *.shop.example"},
		{"a.b.shop.example", "GET", "/a", 200, "GET /a *.shop.example"},
		{"v1.api.shop.example", "GET", "/a", 200, "GET /a *.api.shop.example"},
		{"api.shop.example", "GET", "/a", 200, "GET /a *.shop.example"},
		{"notshop.example", "GET", "/a", 200, "GET /a "},
		{"other.example", "GET", "/a", 200, "GET /a "},
		{"[::1]:80", "GET", "/a", 200, "GET /a "},
		{"shop.example", "GET", "/z", 200, "GET /{any} "}, // routes for any host are for this one, too
		{"shop.example", "GET", "/b/1", 200, "GET /b/{x} shop.example"},
		{"other.example", "GET", "/b/1", 404, ""},
		{"shop.example", "DELETE", "/c", 405, ""},
		{"shop.example", "GET", "/c", 200, "GET /{any} "},
		{"v1.api.shop.example", "GET", "/c", 200, "GET /c *.shop.example"},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || c.want != "" && w.Body.String() != c.want {
			t.Errorf("%s %s%s: got %d %s, want %d %s", c.method, c.host, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}

// A client that has one connection for several names (RFC 9113, section 9.1.1)
// asks again over another one.
func TestAHostThatNobodyServesIsMisdirected(t *testing.T) {
	h := newTestHandler(t, Options{}, hosted("GET", "/a", "shop.example"))
	for host, want := range map[string]int{"shop.example": 200, "other.example": 421, "": 421} {
		r := httptest.NewRequest("GET", "/a", nil)
		r.Host = host
		if host == "" {
			r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d", host, w.Code)
		}
	}
}

func TestHostsOfRoutesAreChecked(t *testing.T) {
	for host, want := range map[string]string{
		"https://shop.example": "bad-host", "shop.example:8080": "bad-host", "*": "bad-host", "*.": "bad-host", "a.*.example": "bad-host", "shop example": "bad-host",
		"": "bad-host", ".example": "bad-host", "a..b": "bad-host", "shop.example/a": "bad-host",
		"shop.example": "", "*.shop.example": "", "Shop.Example": "", "127.0.0.1": "", "::1": "", "localhost": "",
	} {
		var faults dsl.Diagnostics
		rt := NewRouter([]Route{hosted("GET", "/a", host)}, &faults)
		got := ""
		for _, d := range faults.All() {
			got = d.Code
		}
		if got != want || (rt == nil) != (want != "") {
			t.Errorf("%q: %q", host, got)
		}
	}
	var faults dsl.Diagnostics
	NewRouter([]Route{hosted("GET", "/a", "shop.example"), hosted("GET", "/a", "Shop.example")}, &faults)
	if all := faults.All(); len(all) != 1 || all[0].Code != "ambiguous-route" {
		t.Errorf("two routes for one host: %v", all)
	}
}
