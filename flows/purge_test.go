package flows_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestStoredAnswersArePurged(t *testing.T) {
	for _, c := range []struct {
		name, purge string
		want        string
		gone        []string
	}{
		{"by URL", `{"url": "http://public/a?x=1"}`, `{"purged":1}`, []string{"/a?x=1"}},
		{"by prefix", `{"prefix": "http://public/a"}`, `{"purged":3}`, []string{"/a", "/a?x=1", "/a/b"}},
		{"by tag", `{"tag": "even"}`, `{"purged":2}`, []string{"/a?x=1", "/b"}},
		{"a tag that nothing has", `{"tag": "eve"}`, `{"purged":0}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			paths := []string{"/a", "/a?x=1", "/a/b", "/b"}
			asked := map[string]int{}
			w := flowtest.Serve(t, `flow: all
trigger: { http: "GET /{rest:.*}" }
steps: [{ forward: origin }]
---
gateways: { public: { listen: "public:80", policies: [{ cache: {} }] } }
---
services: { origin: { endpoints: ["http://origin"] } }
`, flowtest.Backends{"origin": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for i, path := range paths {
					if path == r.URL.RequestURI() {
						asked[path]++
						w.Header().Set([]string{"Surrogate-Key", "Cache-Tag"}[i/2], []string{"odd all", "all even", "all, odd", "even"}[i])
					}
				}
				w.Header().Set("Cache-Control", "max-age=60")
			})})
			for _, path := range paths {
				w.Get(path)
			}
			if got := purge(w, "application/json", c.purge); got.Code != 200 || compact(got.Body.String()) != c.want {
				t.Errorf("%d %s", got.Code, got.Body)
			}
			for _, path := range paths {
				w.Get(path)
				want := 1
				for _, gone := range c.gone {
					if gone == path {
						want = 2
					}
				}
				if asked[path] != want {
					t.Errorf("%s was asked for %d times, not %d", path, asked[path], want)
				}
			}
		})
	}
}

func TestWhatToPurgeIsTold(t *testing.T) {
	w := flowtest.Serve(t, "flow: a\ntrigger: { http: GET /, policies: [{ cache: { ttl: 1m } }] }\nsteps: [{ return: 1 }]\n", nil)
	for _, c := range []struct {
		name, media, body string
		status            int
	}{
		{"by a form of a page", "text/plain", `{"tag": "a"}`, 415},
		{"of nothing", "application/json", `{}`, 400},
		{"of everything, by mistake", "application/json", `{"prefix": ""}`, 400},
		{"of two things", "application/json", `{"tag": "a", "url": "b"}`, 400},
		{"of what is not known", "application/json", `{"tags": "a"}`, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := purge(w, c.media, c.body); got.Code != c.status {
				t.Errorf("%d %s", got.Code, got.Body)
			}
		})
	}
}

func purge(w *flowtest.World, media, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/purge", strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	page := httptest.NewRecorder()
	w.Host.PurgeHandler().ServeHTTP(page, r)
	return page
}

func compact(text string) string { return strings.Join(strings.Fields(text), "") }
