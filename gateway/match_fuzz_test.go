package gateway

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

// FuzzMatch compares the trie with a matcher that tries every route on the
// segments of the path as the client sent it, and sorts those that match.
func FuzzMatch(f *testing.F) {
	f.Add("/a/{x}\n/a/b\n/{y}/b\n/{rest:.*}", "/a/b")
	f.Add("/u/{id:[0-9]+}\n/u/{name}\n/u/{n}.json\n/u/{rest:.+}", "/u/12%2Fx.json")
	f.Add("/a/b/c\n/{x}/b/d\n/a/{rest:.*}\n/a/", "/a//%2e%2e/b")
	f.Add("/{a}{b}\n/{a:.*}\n/{y:[0-9]{4}}-{m:[0-9]{2}}", "/2026-11")
	f.Add("/café/{x}\n/a b", "/caf%c3%a9/%e2%82%ac;v=1")
	f.Fuzz(func(t *testing.T, templates, raw string) {
		var routes []Route
		for template := range strings.SplitSeq(templates, "\n") {
			routes = append(routes, route("GET", template))
		}
		rt := NewRouter(routes, new(dsl.Diagnostics))
		u, err := url.ParseRequestURI(raw)
		if rt == nil || err != nil || u.Host != "" || u.Scheme != "" {
			return
		}
		found := rt.Match(Asked{Method: "GET", URL: u}, nil)
		got, vars, verdict := found.Route, found.Vars, found.Verdict
		slices.Reverse(routes)
		if reversed := NewRouter(routes, new(dsl.Diagnostics)).Match(Asked{Method: "GET", URL: u}, nil).Route; (reversed == nil) != (got == nil) || got != nil && reversed.Path != got.Path {
			t.Fatalf("%q: %v, but with the routes reversed %v", raw, got, reversed)
		}
		want, wantVars := slowMatch(rt.routes, u)
		if got != want {
			t.Fatalf("%q: got %v (%v), want %v", raw, got, verdict, want)
		}
		if got != nil && !slices.Equal(vars, wantVars) {
			t.Fatalf("%q to %v: got %v, want %v", raw, got, vars, wantVars)
		}
		if got != nil && slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }) {
			t.Fatalf("%q matches %v with a dot segment", raw, got)
		}
		if (got == nil) != (verdict != Matched) {
			t.Fatalf("%q: %v with verdict %v", raw, got, verdict)
		}
	})
}

// slowMatch is the most specific of all routes that match.
func slowMatch(routes []Route, u *url.URL) (best *Route, bestVars []Var) {
	if !soundPath(u.Path) {
		return nil, nil
	}
	var bestRanks []rank
	for i := range routes {
		vars, ranks, ok := slowMatchOne(routes[i].Path, strings.Split(u.EscapedPath()[1:], "/"))
		if ok && (best == nil || slices.CompareFunc(ranks, bestRanks, rank.compare) < 0) {
			best, bestVars, bestRanks = &routes[i], vars, ranks
		}
	}
	return best, bestVars
}

// rank is how specific a segment is.
type rank struct {
	kind       segmentKind
	expression string
}

func (r rank) compare(other rank) int {
	if r.kind != patterned || other.kind != patterned || r.expression == other.expression {
		return cmp.Compare(r.kind, other.kind)
	}
	if relate(r.expression, other.expression).narrower() {
		return -1
	}
	return 1
}

var (
	variable = regexp.MustCompile(`^\{(\w+)(?::(.*))?\}$`)
	piece    = regexp.MustCompile(`[^{}]+|\{(?:[^{}]|\{[^{}]*\})*\}`)
)

func slowMatchOne(template string, segments []string) (vars []Var, ranks []rank, ok bool) {
	parts := splitSegments(template[1:])
	for i, part := range parts {
		if i >= len(segments) {
			return nil, nil, false
		}
		m := variable.FindStringSubmatch(part)
		if m != nil && strings.ContainsAny(m[2], "{}") && len(piece.FindAllString(part, -1)) > 1 {
			m = nil
		}
		text, err := url.PathUnescape(segments[i])
		if err != nil {
			return nil, nil, false
		}
		switch {
		case m != nil && (m[2] == ".*" || m[2] == ".+"):
			all, err := url.PathUnescape(strings.Join(segments[i:], "/"))
			if err != nil || m[2] == ".+" && all == "" {
				return nil, nil, false
			}
			kind := map[string]segmentKind{".+": rest, ".*": restOrNil}[m[2]]
			return append(vars, Var{m[1], all}), append(ranks, rank{kind: kind}), true
		case !strings.ContainsAny(part, "{}"):
			if part != text || text == "" && i < len(parts)-1 {
				return nil, nil, false
			}
			ranks = append(ranks, rank{kind: literal})
		case text == "":
			return nil, nil, false
		case m != nil && (m[2] == "" || m[2] == "[^/]+"):
			vars, ranks = append(vars, Var{m[1], text}), append(ranks, rank{kind: parameter})
		default:
			found, expression, ok := slowPattern(part, text)
			if !ok {
				return nil, nil, false
			}
			vars, ranks = append(vars, found...), append(ranks, rank{patterned, expression})
		}
	}
	return vars, ranks, len(parts) == len(segments)
}

// slowPattern matches a segment with variables in it.
func slowPattern(part, text string) (vars []Var, order string, ok bool) {
	s, err := expression(part)
	if err != nil {
		return nil, "", false
	}
	// A slash in the text was encoded and so is part of the segment.
	groups := s.re.FindStringSubmatch("/" + strings.ReplaceAll(text, "/", encodedSlash))
	if groups == nil {
		return nil, "", false
	}
	for i, name := range s.names {
		vars = append(vars, Var{name, strings.ReplaceAll(groups[i+1], encodedSlash, "/")})
	}
	return vars, (&pattern{text: s.text}).expression(), true
}
