package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Versions are how callers say which version of a route they mean: by a header, a
// parameter of the query, or the begin of the path.
type Versions struct {
	In      Part
	Name    string // of the header or the parameter; "" where it is the path
	Path    string // what comes before the path of the route, with {version} in it
	Default string // the version of requests that do not say; "" is none
	Known   []*Version
	Span    dsl.Span
}

// Version is one version of what a gateway serves.
type Version struct {
	Name       string
	Deprecated time.Time // since or from when; zero is not
	Sunset     time.Time // when it goes; zero is not known
	Link       string    // tells more about either; "" is nothing

	of                        *Versions
	deprecation, sunset, link []string
}

// Add makes the version one of those that are known.
func (v *Versions) Add(one *Version) {
	one.of = v
	rel := "deprecation" // RFC 9745, section 3
	if !one.Deprecated.IsZero() {
		one.deprecation = []string{"@" + strconv.FormatInt(one.Deprecated.Unix(), 10)}
	} else {
		rel = "sunset" // RFC 8594, section 6
	}
	if !one.Sunset.IsZero() {
		one.sunset = []string{one.Sunset.UTC().Format(http.TimeFormat)}
	}
	if one.Link != "" {
		one.link = []string{"<" + one.Link + `>; rel="` + rel + `"`}
	}
	v.Known = append(v.Known, one)
}

// Named is the version of a name, or nil.
func (v *Versions) Named(name string) *Version {
	if i := slices.IndexFunc(v.Known, func(one *Version) bool { return one.Name == name }); i >= 0 {
		return v.Known[i]
	}
	return nil
}

// Routes are the routes that a route is which serves some versions: one for each,
// and for the default by path one more.
func (v *Versions) Routes(r Route, names []string) (all []Route) {
	for _, name := range names {
		one := v.Named(name)
		if one == nil {
			continue
		}
		with := r
		with.Version = one
		if v.Name == "" {
			with.Path = v.prefix(name) + r.Path
			all = append(all, with)
			if name == v.Default {
				with.Path = r.Path
				all = append(all, with)
			}
			continue
		}
		with.Match = append(slices.Clone(r.Match), Condition{In: v.In, Name: v.Name, Values: []string{name}, Absent: name == v.Default, Span: r.Span})
		all = append(all, with)
	}
	return all
}

func (v *Versions) prefix(name string) string { return strings.Replace(v.Path, "{version}", name, 1) }

// How is how a request says its version.
func (v *Versions) How() string {
	if v.Name == "" {
		return "the path, as " + v.Path + "/..."
	}
	return "the " + v.In.String() + " " + v.Name
}

// rest is what follows the version in a path that has one, known or not.
func (v *Versions) rest(path string) (string, bool) {
	before, after, _ := strings.Cut(v.Path, "{version}")
	text, ok := strings.CutPrefix(path, before)
	if v.Name != "" || !ok {
		return "", false
	}
	name, rest, ok := strings.Cut(text, "/")
	name, fits := strings.CutSuffix(name, after)
	return "/" + rest, ok && fits && name != ""
}

// EditHeader is what HeaderEditor asks for: answers of an old version say so (RFC
// 9745, RFC 8594).
func (v *Version) EditHeader(_ *Request, _ int, h http.Header) {
	if v.deprecation != nil {
		h["Deprecation"] = v.deprecation
	}
	if v.sunset != nil {
		h["Sunset"] = v.sunset
	}
	if v.link != nil {
		h["Link"] = append(h["Link"][:len(h["Link"]):len(h["Link"])], v.link...)
	}
}

// old reports whether answers say anything of the version.
func (v *Version) old() bool { return v.deprecation != nil || v.sunset != nil || v.link != nil }

// Offered are the versions in which there is what a request asks for, in the order
// in which they are known.
func (rt *Router) Offered(a Asked) (of *Versions, names []string) {
	of = rt.versions
	path, ok := routingPath(a.URL)
	if of == nil || !ok {
		return of, nil
	}
	takes := func(path string) (all []*Route) {
		for _, r := range rt.taking(path) {
			if r.takesMethod(a.Method) && r.Version != nil {
				all = append(all, r)
			}
		}
		return all
	}
	var routes []*Route
	if rest, ok := of.rest(path); ok {
		for _, one := range of.Known {
			routes = append(routes, takes(of.prefix(one.Name)+rest)...)
		}
	} else if of.Name != "" {
		routes = takes(path)
	}
	for _, one := range of.Known {
		if slices.ContainsFunc(routes, func(r *Route) bool { return r.Version == one }) {
			names = append(names, one.Name)
		}
	}
	return of, names
}

// says reports whether a request says a version where versions are said.
func (v *Versions) says(a Asked) bool {
	c := Condition{In: v.In, Name: v.Name}
	_, there, _ := c.value(a.Header, func() url.Values { return a.URL.Query() })
	return v.Name == "" || there
}

// Status is that of requests for a version that there is not.
func (v *Versions) Status() int {
	if v.Name == "" {
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

func unknownVersion(rt *Router, a Asked) Problem {
	of, names := rt.Offered(a)
	p := Problem{Status: of.Status(), Code: CodeUnknownVersion, Detail: "There is no such version of this.", Extensions: map[string]any{"versions": names, "said_by": of.How()}}
	if !of.says(a) {
		p.Detail = "The request does not say which version of this it means."
	}
	return p
}
