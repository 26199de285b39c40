package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/dsl"
)

// wanting is a route with conditions, written as "X-Version=1|2 ?page=* !X-Old X-A~[a-z]+".
func wanting(method, path, conditions string) Route {
	r := route(method, path)
	r.Name, r.Handler = strings.TrimSpace(path+" "+conditions), text(strings.TrimSpace(path+" "+conditions))
	for word := range strings.FieldsSeq(conditions) {
		var c Condition
		word, c.Absent = strings.CutPrefix(word, "!")
		if name, ok := strings.CutPrefix(word, "?"); ok {
			word, c.In = name, InQuery
		}
		if name, pattern, ok := strings.Cut(word, "~"); ok {
			word, c.Pattern = name, pattern
		}
		name, values, _ := strings.Cut(word, "=")
		c.Name = name
		switch values {
		case "":
		case "*":
			c.Present = true
		default:
			c.Values = strings.Split(values, "|")
		}
		r.Match = append(r.Match, c)
	}
	return r
}

func TestRoutesAreToldApartByHeaderAndQuery(t *testing.T) {
	routes := []Route{
		wanting("GET", "/a", ""), wanting("GET", "/a", "X-Version=2"), wanting("GET", "/a", "X-Version=2 ?debug=*"), wanting("GET", "/a", "X-Version=3|4"), wanting("GET", "/a", "X-Version~5[.][0-9]"),
		wanting("POST", "/a", "Content-Type=text/csv"), wanting("POST", "/a", "Content-Type=application/json"),
		wanting("GET", "/b", "Accept=application/vnd.shop.v2+json"), wanting("GET", "/b", "Accept=application/vnd.shop.v1+json"),
		wanting("GET", "/c", "?q=*"), wanting("GET", "/{any}", ""), wanting("PUT", "/d", "X-A=1 X-B=2"), wanting("GET", "/e", "!X-Old ?v=1"),
	}
	slices.Reverse(routes) // the order in which they are written does not matter
	h := newTestHandler(t, Options{}, routes...)
	for _, c := range []struct {
		request, header string
		status          int
		want, vary      string
	}{
		{"GET /a", "", 200, "/a", "X-Version"},
		{"GET /a", "X-Version: 2", 200, "/a X-Version=2", "X-Version"},
		{"GET /a?debug", "X-Version: 2", 200, "/a X-Version=2 ?debug=*", "X-Version"},
		{"GET /a?debug", "", 200, "/a", "X-Version"},
		{"GET /a", "X-Version: 4", 200, "/a X-Version=3|4", "X-Version"},
		{"GET /a", "X-Version: 5.1", 200, "/a X-Version~5[.][0-9]", "X-Version"},
		{"GET /a", "X-Version: 5.12", 200, "/a", "X-Version"},
		{"HEAD /a", "X-Version: 2", 200, "", "X-Version"},
		{"GET /a", "X-Version: 2|X-Version: 3", 200, "/a", "X-Version"}, // together: 2, 3
		{"GET /a", "X-Version: 2 ", 200, "/a X-Version=2", "X-Version"},
		{"POST /a", "Content-Type: application/json; charset=utf-8", 200, "/a Content-Type=application/json", "Content-Type"},
		{"POST /a", "Content-Type: Text/CSV", 200, "/a Content-Type=text/csv", "Content-Type"},
		{"POST /a", "Content-Type: application/xml", 415, "unsupported-media-type", "Content-Type"},
		{"POST /a", "", 415, "unsupported-media-type", "Content-Type"},
		{"GET /b", "Accept: text/html;q=0.5, application/vnd.shop.v1+json", 200, "/b Accept=application/vnd.shop.v1+json", "Accept"},
		{"GET /b", "Accept: application/vnd.shop.v1+json;q=0.8, application/vnd.shop.v2+json;q=0.9", 200, "/b Accept=application/vnd.shop.v2+json", "Accept"},
		{"GET /b", "Accept: */*", 200, "/{any}", "Accept"},
		{"GET /c?q", "", 200, "/c ?q=*", ""},
		{"GET /c", "", 200, "/{any}", ""},
		{"PUT /d", "X-A: 1", 404, "route-not-found", "X-A,X-B"},
		{"PUT /d", "X-A: 1|X-B: 2", 200, "/d X-A=1 X-B=2", "X-A,X-B"},
		{"DELETE /d", "", 405, "method-not-allowed", ""},
		{"GET /e?v=1", "", 200, "/e !X-Old ?v=1", "X-Old"},
		{"GET /e?v=1", "X-Old: ", 200, "/{any}", "X-Old"},
		{"GET /e?v=1&v=2", "", 200, "/{any}", "X-Old"}, // who reads it may take the other
		{"GET /e?v=1&v=1", "", 200, "/{any}", "X-Old"},
		{"GET /z", "", 200, "/{any}", ""},
	} {
		t.Run(c.request+" "+c.header, func(t *testing.T) {
			method, path, _ := strings.Cut(c.request, " ")
			r := httptest.NewRequest(method, path, nil)
			for line := range strings.SplitSeq(c.header, "|") {
				if name, value, ok := strings.Cut(line, ":"); ok {
					r.Header.Add(name, strings.TrimSpace(value))
				}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || method != "HEAD" && !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.want)
			}
			if got := strings.ReplaceAll(strings.Join(w.Header()["Vary"], ","), " ", ""); got != c.vary {
				t.Errorf("Vary is %q, want %q", got, c.vary)
			}
		})
	}
}

func TestRoutesThatHaveNoOrderAreRefused(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"X-A=1", "X-A=2", ""},
		{"X-A=1", "X-A=1|2", ""},
		{"X-A=1|2", "X-A=2|3", "neither wants all"},
		{"X-A=1", "X-A=1", "is defined twice"},
		{"", "", "is defined twice"},
		{"X-A=1", "x-a=1", "is defined twice"},
		{"X-A=1", "X-B=1", "neither wants all"},
		{"X-A=1", "?A=1", "neither wants all"},
		{"X-A=1", "X-A=1 X-B=1", ""},
		{"X-A=1 X-B=*", "X-A=1 X-B=1", ""},
		{"X-A=1 X-B=1", "X-A=2 X-C=1", ""},
		{"X-A=*", "!X-A", ""},
		{"X-A=1", "!X-A", ""},
		{"X-A~[0-9]+", "X-A=7", ""},
		{"X-A~[0-9]+", "X-A~[a-z]+", ""},
		{"X-A~[0-9]+", "X-A~[0-9]+[.][0-9]", ""},
		{"X-A~[0-9a]+", "X-A~[0-9b]+", "neither wants all"},
		{"X-A~7|8", "X-A=7|8", "is defined twice"},
		{"X-A=*", "X-A~.*", ""},                   // a parameter could be there twice
		{"X-A~x*", "X-A~y*", "neither wants all"}, // both take the empty one
		{"Accept=a/b", "Accept=A/B", "is defined twice"},
	} {
		var ds dsl.Diagnostics
		rt := NewRouter([]Route{wanting("GET", "/a", c.a), wanting("GET", "/a", c.b)}, &ds)
		got := ""
		if ds.Len() > 0 {
			got = ds.All()[0].Message
		}
		if (rt == nil) != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%q and %q: %q, want %q", c.a, c.b, got, c.want)
		}
	}
	var ds dsl.Diagnostics
	if NewRouter([]Route{wanting("GET", "/{a:[a-m]+}", "X-A=1"), wanting("GET", "/{b:[h-z]+}", "X-A=2")}, &ds) == nil {
		t.Error("patterns that cross are told apart by a header", ds.All())
	}
}

func TestRoutesThatNoRequestComesToAreTold(t *testing.T) {
	for _, c := range []struct {
		routes []string
		want   string // the one that is shadowed
	}{
		{[]string{"", "X-A=*", "!X-A"}, ""},
		{[]string{"", "X-A=1", "!X-A"}, "-"},
		{[]string{"?b=*", "?b=* X-A=*", "?b=* !X-A"}, "?b=*"},
		{[]string{"X-A=1|2", "X-A=1", "X-A=2"}, "X-A=1|2"},
		{[]string{"X-A~[12]", "X-A=1", "X-A=2"}, "X-A~[12]"},
		{[]string{"X-A~[123]", "X-A=1", "X-A=2"}, "-"},
		{[]string{"", "X-A=* X-B=*", "!X-A X-B=*"}, "-"},
	} {
		var ds dsl.Diagnostics
		var routes []Route
		for _, conditions := range c.routes {
			routes = append(routes, wanting("GET", "/a", conditions))
		}
		if NewRouter(routes, &ds) == nil {
			t.Fatal(c.routes, ds.All())
		}
		if c.want == "-" && ds.Len() > 0 || c.want != "-" && (ds.Len() != 1 || ds.All()[0].Code != "shadowed-route") {
			t.Errorf("%q: %v", c.routes, ds.All())
		}
	}
}

func TestPreflightsFindTheRouteThatAHeaderWouldChoose(t *testing.T) {
	rt := mustRouter(t, []Route{wanting("PUT", "/a", "X-Version=1 ?x=1"), wanting("GET", "/a", "X-Version=1")})
	for target, want := range map[string]Verdict{"/a?x=1": Matched, "/a": Unmatched} {
		u, _ := url.Parse(target)
		if got := rt.Match(Asked{Method: "PUT", URL: u, Preflight: true}, nil); got.Verdict != want {
			t.Errorf("%s: %v", target, got)
		}
	}
}

func TestVersionsOfRoutes(t *testing.T) {
	day := time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		versions Versions
		request  string
		header   string
		status   int
		want     string
	}{
		{"by header", Versions{Name: "X-V", Default: "2"}, "/a", "1", 200, "one"},
		{"by header, the default", Versions{Name: "X-V", Default: "2"}, "/a", "", 200, "two"},
		{"by header, the default that is said", Versions{Name: "X-V", Default: "2"}, "/a", "2", 200, "two"},
		{"by header, unknown", Versions{Name: "X-V", Default: "2"}, "/a", "9", 400, `"code":"unknown-version","request_id":"ID","said_by":"the header X-V","versions":["1","2"]`},
		{"by header, none said and no default", Versions{Name: "X-V"}, "/a", "", 400, "does not say which version"},
		{"by header, not of this version", Versions{Name: "X-V"}, "/b", "1", 400, `"versions":["2"]`},
		{"by header, no such path", Versions{Name: "X-V"}, "/c", "1", 404, "route-not-found"},
		{"by header, a route of no version", Versions{Name: "X-V"}, "/health", "9", 200, "health"},
		{"by query", Versions{In: InQuery, Name: "v"}, "/a?v=1", "", 200, "one"},
		{"by query, unknown", Versions{In: InQuery, Name: "v"}, "/a?v=9", "", 400, "the query parameter v"},
		{"by query, twice", Versions{In: InQuery, Name: "v"}, "/a?v=1&v=2", "", 400, "unknown-version"},
		{"by path", Versions{Path: "/v{version}"}, "/v1/a", "", 200, "one"},
		{"by path, the other", Versions{Path: "/v{version}"}, "/v2/a", "", 200, "two"},
		{"by path, none said and no default", Versions{Path: "/v{version}"}, "/a", "", 404, "route-not-found"},
		{"by path, the default", Versions{Path: "/v{version}", Default: "1"}, "/a", "", 200, "one"},
		{"by path, unknown", Versions{Path: "/v{version}"}, "/v9/a", "", 404, `"versions":["1","2"]`},
		{"by path, not of this version", Versions{Path: "/v{version}"}, "/v1/b", "", 404, `"versions":["2"]`},
		{"by path, no such path", Versions{Path: "/v{version}"}, "/v1/c", "", 404, "route-not-found"},
		{"by path, a route of no version", Versions{Path: "/v{version}"}, "/v1/health", "", 404, "route-not-found"},
		{"by path, with more before it", Versions{Path: "/api/{version}.x"}, "/api/1.x/a", "", 200, "one"},
		{"by path, with more before it, unknown", Versions{Path: "/api/{version}.x"}, "/api/9.x/a", "", 404, "unknown-version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := c.versions
			v.Add(&Version{Name: "1", Deprecated: day, Sunset: day.AddDate(1, 0, 0), Link: "https://shop.example/v2"})
			v.Add(&Version{Name: "2"})
			routes := []Route{route("GET", "/health")}
			routes[0].Handler = text("health")
			for _, of := range []struct{ path, name, text string }{{"/a", "1", "one"}, {"/a", "2", "two"}, {"/b", "2", "b"}} {
				r := route("GET", of.path)
				r.Handler = text(of.text)
				routes = append(routes, v.Routes(r, []string{of.name})...)
			}
			h := newTestHandler(t, Options{}, routes...)
			r := httptest.NewRequest("GET", c.request, nil)
			r.Header.Set("X-Request-Id", "ID")
			if c.header != "" {
				r.Header.Set("X-V", c.header)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.want)
			}
			deprecated := strings.Join(append(append(w.Header()["Deprecation"], w.Header()["Sunset"]...), w.Header()["Link"]...), " ")
			if want := map[bool]string{true: `@1782777600 Wed, 30 Jun 2027 00:00:00 GMT <https://shop.example/v2>; rel="deprecation"`}[c.want == "one"]; deprecated != want {
				t.Errorf("the answer says %q of its version, want %q", deprecated, want)
			}
		})
	}
}

// FuzzConditions compares what load says of two routes with what requests do.
func FuzzConditions(f *testing.F) {
	f.Add("X-A=1|2 ?b=*", "X-A~[0-9] !X-C", "1", "2", "x")
	f.Add("X-A~(a|b)*", "X-A=*", "", "ab", "")
	f.Add("Accept=a/b", "Accept~a/.*", "a/b;q=0.1, a/c", "", "")
	f.Fuzz(func(t *testing.T, first, second, a, b, c string) {
		var ds dsl.Diagnostics
		one, two := wanting("GET", "/a", first), wanting("GET", "/a", second)
		both := []Route{one, two}
		if !checkMatch(&both[0], &ds) || !checkMatch(&both[1], &ds) {
			return
		}
		rel := relateMatches(both[0].Match, both[1].Match)
		mirrored := relateMatches(both[1].Match, both[0].Match)
		if rel.disjoint() != mirrored.disjoint() || rel.narrower() != mirrored.wider() {
			t.Fatalf("%q and %q: %v, mirrored %v", first, second, rel, mirrored)
		}
		for _, values := range [][]string{nil, {a}, {b}, {c}, {a, b}} {
			query, header := url.Values{}, http.Header{}
			for _, r := range both {
				for _, c := range r.Match {
					if c.In == InQuery {
						query[c.Name] = values
					} else {
						header[c.Name] = values
					}
				}
			}
			holds := func(r *Route) bool {
				return !slices.ContainsFunc(r.Match, func(c Condition) bool { return !c.holds(header, func() url.Values { return query }) })
			}
			x, y := holds(&both[0]), holds(&both[1])
			if x && y && rel.disjoint() || x && !y && rel.narrower() || y && !x && rel.wider() {
				t.Fatalf("%q (%t) and %q (%t) are %v for %q", first, x, second, y, rel, values)
			}
		}
	})
}
