package gateway

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
)

// hosts are the routers of those requests that a route asks to be for a host.
// Each has the routes of its host, those of wildcards that take it, and those
// that take any host, in this order: the first that takes the request gets it.
type hosts struct {
	exact map[string]*Router
	wild  map[string]*Router // by what follows the *.
	other *Router            // of hosts that no route names
}

// At is the router of the requests for a host, with or without a port (RFC 9110,
// section 7.2). That of "" has the routes of all hosts.
func (rt *Router) At(host string) *Router {
	if rt.hosts == nil || host == "" {
		return rt
	}
	return rt.hosts.of(host)
}

// asked is At for a request. One that names no host is for none.
func (rt *Router) asked(r *http.Request) *Router {
	if rt.hosts == nil {
		return rt
	}
	return rt.hosts.of(r.Host)
}

func (h *hosts) of(host string) *Router {
	name := hostName(host)
	if rt := h.exact[name]; rt != nil {
		return rt
	}
	for len(h.wild) > 0 {
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		if rt := h.wild[parent]; rt != nil {
			return rt
		}
		name = parent
	}
	return h.other
}

// hostName is a host as routes are compared with it: without a port, the dot of
// the root, and capitals.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	return strings.ToLower(host)
}

// takes reports whether a route can be found in rt, which may be that of a host.
func (rt *Router) takes(r *Route) bool {
	var found func(n *node) bool
	in := func(l *leaf) bool { return l != nil && slices.Contains(l.routes, r) }
	found = func(n *node) bool {
		if n == nil {
			return false
		}
		if in(n.leaf) || in(n.rest) || in(n.restOrNil) || found(n.parameter) {
			return true
		}
		for _, child := range n.literals.all() {
			if found(child) {
				return true
			}
		}
		for i := range n.patterns {
			if found(n.patterns[i].child) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(rt.roots, found)
}

// sites are the tries of routes by the hosts that they name, "" for any.
type sites map[string]*builder

func (s sites) of(host string) *builder {
	b := s[host]
	if b == nil {
		b = newBuilder()
		s[host] = b
	}
	return b
}

// router puts the tries together.
func (s sites) router(rt *Router) {
	roots := func(names ...string) (all []*node) {
		for _, name := range names {
			if b := s[name]; b != nil {
				all = append(all, &b.root)
			}
		}
		return all
	}
	if len(s) == 1 && s[""] != nil || len(s) == 0 {
		rt.roots = []*node{&s.of("").root}
		return
	}
	part := func(names ...string) *Router {
		return &Router{routes: rt.routes, roots: roots(names...), versions: rt.versions}
	}
	rt.hosts = &hosts{exact: map[string]*Router{}, wild: map[string]*Router{}, other: part("")}
	rt.hosts.other.foreign = s[""] == nil
	for name := range s {
		var wider []string
		parent := name
		if suffix, ok := strings.CutPrefix(name, "*."); ok {
			parent = suffix
		}
		for {
			_, next, ok := strings.Cut(parent, ".")
			if !ok {
				break
			}
			parent = next
			wider = append(wider, "*."+parent)
		}
		with := part(append(append([]string{name}, wider...), "")...)
		switch suffix, wild := strings.CutPrefix(name, "*."); {
		case name == "":
		case wild:
			rt.hosts.wild[suffix] = with
		default:
			rt.hosts.exact[name] = with
		}
	}
	rt.roots = roots("")
	for name, b := range s {
		if name != "" {
			rt.roots = append(rt.roots, &b.root)
		}
	}
}

// checkHosts gives the hosts of a route in the form of hostName.
func checkHosts(route *Route, r dsl.Reporter) (names []string, sound bool) {
	if len(route.Hosts) == 0 {
		return []string{""}, true
	}
	sound = true
	seen := map[string]bool{}
	for _, h := range route.Hosts {
		name := strings.ToLower(h.Value)
		d := dsl.Diagnostic{Span: h.Span, Code: "bad-host"}
		plain := strings.TrimPrefix(name, "*.")
		switch {
		case strings.Contains(name, "://") || strings.Contains(name, "/"):
			d.Message, d.Hint = fmt.Sprintf("%q is more than a host", h.Value), "write its name alone, such as shop.example"
		case plain == "" || name == "*":
			d.Message, d.Hint = fmt.Sprintf("%q is no host", h.Value), "write one such as shop.example or *.shop.example, or leave hosts out for any"
		case strings.Contains(plain, "*"):
			d.Message, d.Hint = fmt.Sprintf("%q has a * where none can stand", h.Value), "write *. in front of the name, for all that is below it"
		case strings.Contains(plain, ":") && strings.Count(plain, ":") == 1:
			d.Message, d.Hint = fmt.Sprintf("%q names a port", h.Value), "write the name alone: a gateway has its port from listen"
		case !hostChars.spells(plain) && !addressChars.spells(plain) || strings.HasPrefix(plain, ".") || strings.HasSuffix(plain, ".") || strings.Contains(plain, ".."):
			d.Message, d.Hint = fmt.Sprintf("%q is no host", h.Value), "write one such as shop.example or *.shop.example"
		case seen[name]:
			d.Message, d.Hint = fmt.Sprintf("%s is there twice", name), "remove one of them"
		default:
			seen[name] = true
			names = append(names, name)
			continue
		}
		r.Report(d)
		sound = false
	}
	return names, sound
}
