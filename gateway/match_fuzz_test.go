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
		got, vars, verdict := rt.Match("GET", u, nil)
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
	var bestRank []string
	for i := range routes {
		vars, rank, ok := slowMatchOne(routes[i].Path, strings.Split(u.EscapedPath()[1:], "/"))
		if ok && (best == nil || slices.CompareFunc(rank, bestRank, cmp.Compare[string]) < 0) {
			best, bestVars, bestRank = &routes[i], vars, rank
		}
	}
	return best, bestVars
}

var (
	variable = regexp.MustCompile(`^\{(\w+)(?::(.*))?\}$`)
	piece    = regexp.MustCompile(`[^{}]+|\{(?:[^{}]|\{[^{}]*\})*\}`)
)

// slowMatchOne ranks a match with one text for each segment, the more specific
// the smaller.
func slowMatchOne(template string, segments []string) (vars []Var, rank []string, ok bool) {
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
			return append(vars, Var{m[1], all}), append(rank, "4"+map[string]string{".+": "a", ".*": "b"}[m[2]]), true
		case !strings.ContainsAny(part, "{}"):
			if part != text || text == "" && i < len(parts)-1 {
				return nil, nil, false
			}
			rank = append(rank, "1")
		case text == "":
			return nil, nil, false
		case m != nil && (m[2] == "" || m[2] == "[^/]+"):
			vars, rank = append(vars, Var{m[1], text}), append(rank, "3")
		default:
			found, order, ok := slowPattern(part, text)
			if !ok {
				return nil, nil, false
			}
			vars, rank = append(vars, found...), append(rank, "2"+order)
		}
	}
	return vars, rank, len(parts) == len(segments)
}

// slowPattern matches a segment with variables in it. Longer expressions come
// first.
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
	return vars, string(rune(1<<20-len(s.text))) + s.text, true
}
