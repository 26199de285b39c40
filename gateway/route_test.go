package gateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

func target(tb testing.TB, raw string) *url.URL {
	tb.Helper()
	u, err := url.ParseRequestURI(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func TestMatchTakesTheMostSpecificRoute(t *testing.T) {
	tests := []struct {
		name   string
		routes string // "GET /a | POST /b"
		method string
		path   string
		want   string // the route and its variables, or the verdict
	}{
		{"root", "GET /", "GET", "/", "GET /"},
		{"literal", "GET /a/b | GET /a/c", "GET", "/a/c", "GET /a/c"},
		{"variable", "GET /u/{id}", "GET", "/u/7", "GET /u/{id} id=7"},
		{"two variables", "GET /u/{id}/o/{order}", "GET", "/u/7/o/9", "GET /u/{id}/o/{order} id=7 order=9"},
		{"literal before variable", "GET /u/{id} | GET /u/me", "GET", "/u/me", "GET /u/me"},
		{"pattern before variable", "GET /u/{name} | GET /u/{id:[0-9]+}", "GET", "/u/7", "GET /u/{id:[0-9]+} id=7"},
		{"variable where the pattern fails", "GET /u/{name} | GET /u/{id:[0-9]+}", "GET", "/u/ada", "GET /u/{name} name=ada"},
		{"variable before rest", "GET /f/{rest:.*} | GET /f/{name}", "GET", "/f/x", "GET /f/{name} name=x"},
		{"rest takes several segments", "GET /f/{rest:.*} | GET /f/{name}", "GET", "/f/x/y", "GET /f/{rest:.*} rest=x/y"},
		{"rest takes nothing", "GET /f/{rest:.*}", "GET", "/f/", "GET /f/{rest:.*} rest="},
		{"rest needs its slash", "GET /f/{rest:.*}", "GET", "/f", "route-not-found"},
		{"prefix ends at a segment", "GET /api/{rest:.*}", "GET", "/apixyz", "route-not-found"},
		{"non-empty rest", "GET /f/{rest:.+}", "GET", "/f/", "route-not-found"},
		{"non-empty rest before any rest", "GET /f/{a:.*} | GET /f/{b:.+}", "GET", "/f/x", "GET /f/{b:.+} b=x"},
		{"rest of everything", "GET /{rest:.*}", "GET", "/", "GET /{rest:.*} rest="},
		{"left segment decides first", "GET /a/{x} | GET /{y}/b", "GET", "/a/b", "GET /a/{x} x=b"},
		{"back out of a literal that leads nowhere", "GET /a/b/c | GET /{x}/b/d", "GET", "/a/b/d", "GET /{x}/b/d x=a"},
		{"back out of a pattern that leads nowhere", "GET /{n:[0-9]+}/a | GET /{x}/b", "GET", "/1/b", "GET /{x}/b x=1"},
		{"back out into rest", "GET /a/b/c | GET /a/{rest:.*}", "GET", "/a/b/d", "GET /a/{rest:.*} rest=b/d"},
		{"text around variables", "GET /f/{name}.{ext}", "GET", "/f/a.b.txt", "GET /f/{name}.{ext} name=a.b ext=txt"},
		{"text before a variable", "GET /v{version:[0-9]+}/x", "GET", "/v12/x", "GET /v{version:[0-9]+}/x version=12"},
		{"narrower pattern first", "GET /{a:[0-9a-f]+} | GET /{b:[0-9]+}", "GET", "/12", "GET /{b:[0-9]+} b=12"},
		{"longer text first", "GET /{name}.{ext} | GET /{name}.json", "GET", "/a.json", "GET /{name}.json name=a"},
		{"crossing patterns that part ways", "GET /{a:[a-m]+}/x | GET /{b:[h-z]+}/y", "GET", "/hi/y", "GET /{b:[h-z]+}/y b=hi"},
		{"crossing patterns of other methods", "GET /{a:[a-m]+} | POST /{b:[h-z]+}", "POST", "/hi", "POST /{b:[h-z]+} b=hi"},
		{"pattern with braces", "GET /{year:[0-9]{4}}", "GET", "/2026", "GET /{year:[0-9]{4}} year=2026"},
		{"pattern covers the whole segment", "GET /{id:[0-9]+|x}", "GET", "/7x", "route-not-found"},
		{"pattern that takes any segment is plain", "GET /{id:[^/]+} | GET /{n:[0-9]+}", "GET", "/7", "GET /{n:[0-9]+} n=7"},
		{"trailing slash is another path", "GET /a", "GET", "/a/", "route-not-found"},
		{"trailing slash of its own", "GET /a | GET /a/", "GET", "/a/", "GET /a/"},
		{"variable is never empty", "GET /u/{id}", "GET", "/u/", "route-not-found"},
		{"pattern is never empty", "GET /u/{id:[0-9]*}", "GET", "/u/", "route-not-found"},
		{"case matters", "GET /a", "GET", "/A", "route-not-found"},

		{"method of its own", "GET /a | POST /a", "POST", "/a", "POST /a"},
		{"method elsewhere", "GET /u/me | PUT /u/{id}", "PUT", "/u/me", "PUT /u/{id} id=me"},
		{"no such method", "GET /a | POST /a", "PUT", "/a", "method-not-allowed"},
		{"any method", " /a", "PURGE", "/a", "/a"},
		{"own method before any", " /a | GET /a", "GET", "/a", "GET /a"},
		{"HEAD from GET", "GET /a", "HEAD", "/a", "GET /a"},
		{"HEAD of its own", "GET /a | HEAD /a", "HEAD", "/a", "HEAD /a"},
		{"HEAD from GET before any", " /a | GET /a", "HEAD", "/a", "GET /a"},
		{"OPTIONS of its own", "GET /a | OPTIONS /a", "OPTIONS", "/a", "OPTIONS /a"},

		{"encoded slash stays in its segment", "GET /f/{name}", "GET", "/f/a%2Fb", "GET /f/{name} name=a/b"},
		{"encoded slash in lower case", "GET /f/{name}/x", "GET", "/f/a%2fb/x", "GET /f/{name}/x name=a/b"},
		{"encoded slash beside text", "GET /f/{name}.json", "GET", "/f/a%2Fb.json", "GET /f/{name}.json name=a/b"},
		{"encoded slash in the rest", "GET /f/{rest:.*}", "GET", "/f/a%2Fb/c", "GET /f/{rest:.*} rest=a/b/c"},
		{"encoded slash separates nothing", "GET /a/b", "GET", "/a%2Fb", "route-not-found"},
		{"other encodings beside an encoded slash", "GET /f/{name}/{x}", "GET", "/f/a%2Fb%20c/%41", "GET /f/{name}/{x} name=a/b c x=A"},
		{"encoded space", "GET /f/{name}", "GET", "/f/a%20b", "GET /f/{name} name=a b"},
		{"encoded percent", "GET /f/{name}", "GET", "/f/100%25", "GET /f/{name} name=100%"},
		{"twice encoded is text", "GET /f/{name}", "GET", "/f/%252e%252e", "GET /f/{name} name=%2e%2e"},
		{"encoded letter of a literal", "GET /users", "GET", "/%75sers", "GET /users"},
		{"text beyond ASCII", "GET /café/{x}", "GET", "/caf%C3%A9/%E2%82%AC", "GET /café/{x} x=€"},
		{"plus is a plus", "GET /f/{name}", "GET", "/f/a+b", "GET /f/{name} name=a+b"},

		{"dot segment", "GET /{rest:.*}", "GET", "/a/../b", "bad-path"},
		{"single dot", "GET /{rest:.*}", "GET", "/a/./b", "bad-path"},
		{"dot segment at the end", "GET /{rest:.*}", "GET", "/a/..", "bad-path"},
		{"encoded dot segment", "GET /{rest:.*}", "GET", "/a/%2e%2E/b", "bad-path"},
		{"half encoded dot segment", "GET /{rest:.*}", "GET", "/a/.%2e/b", "bad-path"},
		{"dot segment behind encoded slashes", "GET /f/{name}", "GET", "/f/a%2F..%2Fb", "bad-path"},
		{"dot segment with a path parameter", "GET /{rest:.*}", "GET", "/a/..;x=1/b", "bad-path"},
		{"dots in a name", "GET /f/{name}", "GET", "/f/...", "GET /f/{name} name=..."},
		{"hidden name", "GET /f/{name}", "GET", "/f/.git", "GET /f/{name} name=.git"},
		{"backslash", "GET /{rest:.*}", "GET", `/a\b`, "bad-path"},
		{"encoded backslash", "GET /{rest:.*}", "GET", "/a%5Cb", "bad-path"},
		{"NUL", "GET /{rest:.*}", "GET", "/a%00b", "bad-path"},
		{"the mark for encoded slashes", "GET /{rest:.*}", "GET", "/a%01b", "bad-path"},
		{"line feed", "GET /{rest:.*}", "GET", "/a%0Ab", "bad-path"},
		{"delete", "GET /{rest:.*}", "GET", "/a%7Fb", "bad-path"},
		{"overlong slash", "GET /{rest:.*}", "GET", "/a%C0%AFb", "bad-path"},
		{"half a character", "GET /{rest:.*}", "GET", "/a%E2%82", "bad-path"},
		{"empty segment", "GET /a/b | GET /a/{x}/b", "GET", "/a//b", "bad-path"},
		{"empty segment first", "GET /a", "GET", "//a", "bad-path"},
		{"empty segments last", "GET /a/", "GET", "/a//", "bad-path"},
		{"empty segment in the rest", "GET /f/{rest:.*}", "GET", "/f//x", "GET /f/{rest:.*} rest=/x"},
		{"empty segment before the rest", "GET /f/{rest:.*}", "GET", "//f/x", "bad-path"},
		{"bad path before bad method", "POST /{rest:.*}", "GET", "/..", "bad-path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			routes := parseRoutes(tt.routes)
			for range 3 { // the order of routes never matters
				rand.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
				found := mustRouter(t, routes).Match(Asked{Method: tt.method, URL: target(t, tt.path)}, nil)
				got, vars, verdict := found.Route, found.Vars, found.Verdict
				if text := describe(got, vars, verdict); text != tt.want {
					t.Fatalf("%s %s: got %q, want %q", tt.method, tt.path, text, tt.want)
				}
			}
		})
	}
}

func parseRoutes(s string) (routes []Route) {
	for text := range strings.SplitSeq(s, " | ") {
		method, path, _ := strings.Cut(text, " ")
		routes = append(routes, route(method, path))
	}
	return routes
}

func describe(route *Route, vars []Var, verdict Verdict) string {
	if route == nil {
		return verdict.String()
	}
	text := route.String()
	for _, v := range vars {
		text += fmt.Sprintf(" %s=%s", v.Name, v.Value)
	}
	return text
}

func TestMatchKeepsTheCallersVariables(t *testing.T) {
	rt := mustRouter(t, parseRoutes("GET /a/{x}/b | GET /a/{y}/{z:[0-9]+}"))
	given := []Var{{"kept", "yes"}}
	vars := rt.Match(Asked{Method: "GET", URL: target(t, "/a/1/2")}, given).Vars
	if want := []Var{{"kept", "yes"}, {"y", "1"}, {"z", "2"}}; !reflect.DeepEqual(vars, want) {
		t.Errorf("matched: got %v, want %v", vars, want)
	}
	if vars = rt.Match(Asked{Method: "GET", URL: target(t, "/a/1/c")}, given).Vars; !reflect.DeepEqual(vars, given) {
		t.Errorf("not matched: got %v, want %v", vars, given)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	rt := mustRouter(t, parseRoutes("GET /a/{x}/b/{y} | GET /a/{n:[0-9]+}/c | GET /f/{rest:.*}"))
	for _, path := range []string{"/a/x/b/y", "/a/12/c", "/a/12/b/y", "/f/a/b/c", "/f/a%20b"} {
		u := target(t, path)
		var room [4]Var
		allocs := testing.AllocsPerRun(100, func() { rt.Match(Asked{Method: http.MethodGet, URL: u}, room[:0]) })
		if allocs != 0 {
			t.Errorf("%s: %v allocations", path, allocs)
		}
	}
}

func TestAllowNamesEveryMethodOfThePath(t *testing.T) {
	rt := mustRouter(t, parseRoutes("GET /u/me | PUT /u/{id} | DELETE /{rest:.*} | POST /u/{id}/x"))
	for path, want := range map[string]string{
		"/u/me":   "DELETE, GET, HEAD, OPTIONS, PUT",
		"/u/7":    "DELETE, OPTIONS, PUT",
		"/u/7/x":  "DELETE, OPTIONS, POST",
		"/u/../x": "",
	} {
		if got := rt.Allow(target(t, path)); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestNewRouterRefuses(t *testing.T) {
	tests := []struct {
		name, route   string
		message, hint string
	}{
		{"no slash", "GET users", `path "users" does not start with a slash`, "write /users"},
		{"no path", "GET ", `path "" does not start with a slash`, "write /"},
		{"open brace", "GET /u/{id", `"{id" is not a path template`, "write {name} or {name:pattern}"},
		{"closed brace", "GET /u/id}", `"id}" is not a path template`, "write {name} or {name:pattern}"},
		{"no name", "GET /u/{}", `"" is not a name for a path variable`, "write a letter, then letters, digits and underscores"},
		{"odd name", "GET /u/{user-id}", `"user-id" is not a name for a path variable`, "write a letter, then letters, digits and underscores"},
		{"ServeMux rest", "GET /u/{rest...}", `"rest..." is not a name for a path variable`, "write {rest:.*} for all that follows"},
		{"same name twice", "GET /u/{id}/o/{id}", `variable {id} stands twice in "/u/{id}/o/{id}"`, "give each variable its own name"},
		{"same name twice in a segment", "GET /{a}.{a}", `variable {a} stands twice in "/{a}.{a}"`, "give each variable its own name"},
		{"empty pattern", "GET /u/{id:}", "the pattern of {id:} is empty", "write {id}"},
		{"bad pattern", "GET /u/{id:[0-9}", "the pattern of {id} is not a regular expression: missing closing ]", "write a pattern such as {id:[0-9]+}"},
		{"capturing pattern", "GET /u/{id:(a|b)}", "the pattern of {id} captures a group", "write (?:...) for a group"},
		{"anchored pattern", "GET /u/{id:^[0-9]+$}", "the pattern of {id} is always matched from end to end", "leave out ^ and $"},
		{"pattern with a slash", "GET /u/{id:a/b}", "the pattern of {id} holds a slash, but matches within one segment", "write {rest:.*} as the last segment to take several"},
		{"rest in the middle", "GET /{rest:.*}/x", "{rest:.*} takes all that follows, so nothing can stand after it", "write {rest} for one segment"},
		{"star", "GET /a/*", "* is not a wildcard here", "write {rest:.*}"},
		{"colon", "GET /a/:id", ":id is not a variable here", "write {id}"},
		{"expression", "GET /a/$(params.id)", "a route's path cannot hold an expression", "write {name} for a variable"},
		{"query", "GET /a?x=1", "a route's path ends before ? and #", "query parameters are read in the flow, as $(query.name)"},
		{"encoded", "GET /a%20b", `"a%20b" holds a percent-encoding`, "write the character itself; clients may send it encoded"},
		{"empty segment", "GET /a//b", "the path has an empty segment", "remove one slash"},
		{"dot segment", "GET /a/../b", `no request reaches ".."`, "write the path as clients send it, without . and .. segments, backslashes and control characters"},
		{"method in lower case", "get /a", `method "get" is not in upper case`, "write GET"},
		{"no method", "G(T /a", `"G(T" is not an HTTP method`, "write one such as GET or POST"},
		{"TRACE", "TRACE /a", "method TRACE is never served", "write another, such as GET or POST"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var faults dsl.Diagnostics
			r := parseRoutes(tt.route)[0]
			r.Span = dsl.Span{Source: dsl.NewSource("a.yaml", tt.route), End: len(tt.route)}
			if NewRouter([]Route{route("GET", "/sound"), r}, &faults) != nil {
				t.Fatal("the router was built")
			}
			if faults.Len() != 1 {
				t.Fatalf("faults: %+v", faults.All())
			}
			got := faults.All()[0]
			if got.Code != "bad-route" || got.Span != r.Span || !strings.HasPrefix(got.Message, tt.message) || got.Hint != tt.hint {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestNewRouterNamesBothOfAnAmbiguousPair(t *testing.T) {
	source := dsl.NewSource("a.yaml", "first second")
	first, second := dsl.Span{Source: source, Start: 0, End: 5}, dsl.Span{Source: source, Start: 6, End: 12}
	tests := []struct{ name, routes, message string }{
		{"same route", "GET /a | GET /a", "route GET /a is defined twice"},
		{"same route for any method", " /a |  /a", "route /a is defined twice"},
		{"other names", "GET /u/{id} | GET /u/{name}", "route GET /u/{name} takes the same requests as route GET /u/{id}"},
		{"other names for a pattern", "GET /{a:[0-9]+} | GET /{b:[0-9]+}", "route GET /{b:[0-9]+} takes the same requests as route GET /{a:[0-9]+}"},
		{"pattern for any segment", "GET /{a} | GET /{b:[^/]+}", "route GET /{b:[^/]+} takes the same requests as route GET /{a}"},
		{"other names for the rest", "GET /{a:.*} | GET /{b:.*}", "route GET /{b:.*} takes the same requests as route GET /{a:.*}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			routes := parseRoutes(tt.routes)
			routes[0].Span, routes[1].Span = first, second
			var faults dsl.Diagnostics
			if NewRouter(routes, &faults) != nil || faults.Len() != 1 {
				t.Fatalf("faults: %+v", faults.All())
			}
			got := faults.All()[0]
			if got.Code != "ambiguous-route" || got.Message != tt.message || got.Span != second ||
				len(got.Related) != 1 || got.Related[0].Span != first || got.Hint == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestNewRouterRefusesPatternsThatCross(t *testing.T) {
	for _, routes := range []string{
		"GET /{a:[a-m]+} | GET /{b:[h-z]+}",
		"GET /{a:[0-9]+} | GET /{b:\\d+}",
		"GET /{a:[a-m]+} | /{b:[h-z]+}",
		"HEAD /{a:[a-m]+} | GET /{b:[h-z]+}",
		"GET /{a:[a-m]+}/x | GET /{b:[h-z]+}/{y}",
		"GET /{a:[a-m]+}/{x:[0-9]+} | GET /{b:[h-z]+}/12",
		"GET /{a:[a-m]+}/{x}/y | GET /{b:[h-z]+}/{rest:.*}",
		"GET /{a:[a-m]+}/ | GET /{b:[h-z]+}/{rest:.*}",
		"GET /{a:[a-m]+}/x/ | GET /{b:[h-z]+}/{rest:.+}",
	} {
		var faults dsl.Diagnostics
		if NewRouter(parseRoutes(strings.Replace(routes, "| /", "|  /", 1)), &faults) != nil || faults.Len() != 1 {
			t.Errorf("%s: %+v", routes, faults.All())
			continue
		}
		if got := faults.All()[0]; got.Code != "ambiguous-route" || !strings.Contains(got.Message, "neither is the more specific") || !strings.Contains(got.Hint, "both patterns match") {
			t.Errorf("%s: got %+v", routes, got)
		}
	}
	for _, routes := range []string{
		"GET /{a:[a-m]+}/ | GET /{b:[h-z]+}/{rest:.+}",
		"GET /{a:[a-m]+}/ | GET /{b:[h-z]+}/{x}",
		"GET /{a:[a-m]+} | GET /{b:[h-z]+}/{rest:.*}",
		"GET /{a:[a-m]+}/x | GET /{b:[h-z]+}/{y:[0-9]+}",
	} {
		mustRouter(t, parseRoutes(routes))
	}
}

func TestNewRouterReportsAllFaults(t *testing.T) {
	var faults dsl.Diagnostics
	NewRouter(parseRoutes("GET /a | GET /a | GET b | get /c | GET /d"), &faults)
	if faults.Len() != 3 {
		t.Errorf("faults: %+v", faults.All())
	}
}
