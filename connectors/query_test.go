package connectors_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestForwardRewritesTheQuery(t *testing.T) {
	w := flowtest.Serve(t, `
flow: pass
trigger: { http: "GET /{rest:.*}" }
steps: [{ forward: b, query: { tenant: shop, utm_source: null, by: '$(headers["X-By"])', tag: '$(split(headers["X-Tags"] ?? "", "+"))', "sort[]": 'a&b=c' } }]`,
		flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.RawQuery) })})
	for _, c := range []struct{ name, query, want string }{
		{"what stays is as it came", "?x=%7e&b=1+2&&y&x=", "x=%7e&b=1+2&y&x=&tenant=shop&by=ada&tag=p&tag=q&sort%5B%5D=a%26b%3Dc"},
		{"none", "", "tenant=shop&by=ada&tag=p&tag=q&sort%5B%5D=a%26b%3Dc"},
		{"what is set replaces all of the name", "?tenant=other&x=1&tenant=&tenant", "x=1&tenant=shop&by=ada&tag=p&tag=q&sort%5B%5D=a%26b%3Dc"},
		{"however it is escaped", "?%74enant=other&utm%5Fsource=mail&sort%5b%5D=z&sort[]=z", "tenant=shop&by=ada&tag=p&tag=q&sort%5B%5D=a%26b%3Dc"},
		{"what cannot be read", "?a%=1&te%zznant=other&x=1", "x=1&tenant=shop&by=ada&tag=p&tag=q&sort%5B%5D=a%26b%3Dc"},
		{"what some would take apart", "?x=1;tenant=other&y;utm_source=2&z=3", "z=3&tenant=shop&by=ada&tag=p&tag=q&sort%5B%5D=a%26b%3Dc"},
		{"names are told apart by case", "?Tenant=other", "Tenant=other&tenant=shop&by=ada&tag=p&tag=q&sort%5B%5D=a%26b%3Dc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.Request("GET", "/"+c.query, "")
			r.Header.Set("X-By", "ada")
			r.Header.Set("X-Tags", "p+q")
			w.Send(r).Is(t, 200, c.want)
		})
	}
	w.Send(w.Request("GET", "/?by=other", "")).Is(t, 200, "tenant=shop&tag=&sort%5B%5D=a%26b%3Dc")
}

func FuzzQueriesAreRewritten(f *testing.F) {
	w := flowtest.Serve(f, `
flow: pass
trigger: { http: "GET /" }
steps: [{ forward: b, query: { tenant: shop } }]`,
		flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.URL.Query()["tenant"]; len(got) != 1 || got[0] != "shop" {
				w.WriteHeader(http.StatusTeapot)
			}
		})})
	for _, query := range []string{"", "tenant=a", "%74enant=a&&x", "a=1;tenant=b", "te%nant=&=&tenant", "x=%00&tenant%00=1"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://public:80/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		if res, err := w.Client.Do(r); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusTeapot {
				t.Errorf("%q", query)
			}
		}
	})
}

func TestRequestsStayWithAVersion(t *testing.T) {
	const services = `
services:
  shop:
    versions:
      v1: { endpoints: ["http://old"], weight: 60 }
      v2: { endpoints: ["http://new"], weight: 40, when: { header: X-Canary, is: "yes" } }
    sticky: { header: X-Session }`
	old := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "old") })
	latest := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "new") })
	w := flowtest.Serve(t, `
flow: pass
trigger: { http: GET /pass }
steps: [{ forward: shop, path: /, sticky: '$(headers["X-User"] ?? "")' }]
---
flow: ask
trigger: { http: GET /ask }
steps: [{ id: got, call: GET shop /, sticky: '$(headers["X-User"] ?? "")' }, { return: $(got) }]
---`+services, flowtest.Backends{"old": old, "new": latest})
	ask := func(path string, header ...string) string {
		r := w.Request("GET", path, "")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return w.Send(r).Body
	}
	users := map[string]int{}
	for _, name := range []string{"ada", "bob", "cyd", "dan", "eve", "fay", "gil", "hal"} {
		first := ask("/pass", "X-User", name)
		users[first]++
		for range 5 {
			if got := ask("/pass", "X-User", name); got != first {
				t.Errorf("%s saw %s and %s", name, first, got)
			}
			if got := ask("/ask", "X-User", name); got != first {
				t.Errorf("%s saw %s, and %s by another verb", name, first, got)
			}
		}
		if got := ask("/pass", "X-User", name, "X-Canary", "yes"); got != "new" {
			t.Errorf("a condition of the service comes first: %s", got)
		}
		if got := ask("/pass", "X-Session", name); got != first {
			t.Errorf("where it is empty the service decides: %s is %s, and was %s", name, got, first)
		}
	}
	if users["old"] == 0 || users["new"] == 0 {
		t.Errorf("%v", users)
	}
	seen := map[string]bool{}
	for range 10 {
		seen[ask("/pass")] = true
	}
	if len(seen) != 2 {
		t.Errorf("who is nobody goes anywhere: %v", seen)
	}
}
