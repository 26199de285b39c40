package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// Miss is a route that does not get a request, and why.
type Miss struct {
	Route *Route
	Why   string // of the route: takes GET, not POST
	near  int    // what speaks for it that the request was meant for this route
}

// Misses says why the routes that [Router.Match] does not choose for a request
// are not chosen: those that are most like it, the nearest first. It looks at
// every route.
func (rt *Router) Misses(a Asked, most int) []Miss {
	path, ok := routingPath(a.URL)
	if !ok {
		return nil
	}
	chosen := rt.Match(a, nil).Route
	s := search{asked: a}
	parts := strings.Split(path[1:], "/")
	known := patterns{}
	var all []Miss
	for i := range rt.routes {
		r := &rt.routes[i]
		if chosen != nil && r.index == chosen.index {
			continue
		}
		segments, err := known.parse(r.Path)
		if err != nil {
			continue // such a route has no router
		}
		m := Miss{Route: r}
		m.Why, m.near = missed(segments, splitSegments(r.Path[1:]), parts)
		switch {
		case m.Why != "":
		case !rt.takes(r):
			m.Why = fmt.Sprintf("is for the host %s", r.Hosts[0].Value)
		case !r.takesMethod(a.Method):
			m.Why = fmt.Sprintf("takes %s, not %s", r.Method, a.Method)
		case !s.fits(r):
			i := slices.IndexFunc(r.Match, func(c Condition) bool { return !c.holds(a.Header, s.values) })
			m.Why = fmt.Sprintf("is for requests whose %s", &r.Match[i])
		case chosen != nil && chosen.Path == r.Path && chosen.Method == r.Method && len(chosen.Match) > 0:
			m.Why = "takes it, too, but wants less of it"
		case chosen != nil && chosen.Path == r.Path:
			m.Why = fmt.Sprintf("takes every method, and %s this one", chosen)
		case chosen != nil:
			m.Why = fmt.Sprintf("takes it, too, but %s is more specific", chosen)
		}
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b Miss) int { return b.near - a.near })
	all = slices.DeleteFunc(all, func(m Miss) bool { return m.near <= 0 })
	return all[:min(len(all), most)]
}

// missed says where a path leaves the segments of a template, "" if it does not,
// and how much of it is alike.
func missed(segments []segment, written, parts []string) (why string, near int) {
	like := func(by int) {
		if why == "" { // behind that a variable takes anything
			near += by
		}
	}
	note := func(format string, args ...any) {
		if why == "" {
			why = fmt.Sprintf(format, args...)
		}
	}
	for i, s := range segments {
		if s.kind == restOrNil || s.kind == rest && i < len(parts) && strings.Join(parts[i:], "/") != "" {
			like(2)
			return why, near
		}
		if i >= len(parts) {
			note("wants more: the path ends before %s", written[i])
			return why, near - 3*(len(segments)-i)
		}
		part := parts[i]
		switch {
		case s.kind == literal && s.text != part:
			note("wants %q, not %q", s.text, restoreSlashes(part))
			if _, almost := dsl.Nearest(part, []string{s.text}); almost && part != "" {
				near += 2
			}
		case s.kind == literal:
			near += 4
		case s.kind == patterned && !s.re.MatchString("/"+part):
			like(3)
			note("wants %s, which %q does not match", written[i], restoreSlashes(part))
		case part == "":
			note("wants something for %s", written[i])
		default:
			like(4)
		}
	}
	if more := len(parts) - len(segments); more > 0 {
		note("ends before /%s", restoreSlashes(strings.Join(parts[len(segments):], "/")))
		near -= more
	}
	return why, near
}
