package gateway

import (
	"net/http"

	"github.com/weir-run/weir/dsl"
)

// Layer is a policy that is compiled. It is built once and shared by all
// requests.
type Layer struct {
	Policy string   // its key: rate_limit
	From   string   // whose it is, in words: gateway public, bundle partners
	Span   dsl.Span // of its key
	Detail string   // what it does as it is set here, in a few words; "" where its name says all
	Wrap   Middleware
	// Preflight says that a preflight of CORS goes as far as this layer.
	Preflight bool
	// Review reports what the policy has against a route that it applies to. Nil:
	// nothing.
	Review func(route *Route, r dsl.Reporter)
	// Identifies are the ways in which it finds out who calls, by the policies
	// that they are. Nil: it does not.
	Identifies []string
}

// wrap puts layers around a handler, the first outermost.
func wrap(layers []Layer, inner http.Handler) http.Handler {
	for i := len(layers) - 1; i >= 0; i-- {
		inner = layers[i].Wrap(inner)
	}
	return inner
}

// Refuse answers a request that a policy refuses, and notes which. The caller
// learns its name from Proxy-Status (RFC 9209), and no more than the problem
// says.
func Refuse(w http.ResponseWriter, r *http.Request, policy string, p Problem) {
	if q := FromContext(r.Context()); q != nil {
		q.Refused = policy
		if p.Status == http.StatusTooManyRequests {
			q.Limit(policy, "")
		}
	}
	w.Header()["Proxy-Status"] = []string{`weir; error=` + proxyError(p.Status) + `; details="` + policy + `"`}
	WriteProblem(w, r, p)
}

// proxyError is the type of error of RFC 9209, section 2.3, that fits best.
func proxyError(status int) string {
	switch {
	case status < http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests:
		return "http_request_denied"
	case status >= http.StatusInternalServerError:
		return "proxy_internal_response"
	default:
		return "http_request_error"
	}
}

// Preflight reports whether a request is a preflight of CORS (Fetch,
// 3.3.2).
func Preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Origin"] != nil && len(r.Header["Access-Control-Request-Method"]) == 1
}

// preflights are the layers that a preflight goes through: it carries no
// credentials, so that what stands behind the last of them could only refuse.
// Nil: none of them is for preflights.
func preflights(layers []Layer) []Layer {
	for i := len(layers) - 1; i >= 0; i-- {
		if layers[i].Preflight {
			return layers[:i+1]
		}
	}
	return nil
}

// chains are what the routes of a gateway do with requests, policies included.
type chains struct {
	routes     []http.Handler // by Route.index; nil: the common one
	preflights []http.Handler // by Route.index; nil: there is none
	common     http.Handler   // of requests without a route
	astray     http.Handler   // of preflights for requests without a route; nil: there is none
	bare       http.Handler   // of routes without policies
}

func newChains(rt *Router, unrouted []Layer, outer func(http.Handler) http.Handler) *chains {
	inner := dispatch(rt)
	c := &chains{
		routes: make([]http.Handler, len(rt.routes)), preflights: make([]http.Handler, len(rt.routes)),
		common: outer(wrap(unrouted, inner)), bare: outer(inner),
	}
	if reach := preflights(unrouted); reach != nil {
		c.astray = outer(wrap(reach, inner))
	}
	for i := range rt.routes {
		if layers := rt.routes[i].Layers; len(layers) > 0 {
			c.routes[i] = outer(wrap(layers, inner))
			if reach := preflights(layers); reach != nil {
				c.preflights[i] = outer(wrap(reach, inner))
			}
		}
	}
	return c
}

// of is the chain of a request.
func (c *chains) of(rt *Router, q *Request, r *http.Request) http.Handler {
	if r.Method == http.MethodOptions && Preflight(r) {
		if h := c.ofPreflight(rt, q, r); h != nil {
			return h
		}
	}
	if q.Route == nil {
		return c.common
	}
	if h := c.routes[q.Route.index]; h != nil {
		return h
	}
	return c.bare
}

// ofPreflight is the chain of a preflight: that of the route which the request
// behind it would have, also where another route takes OPTIONS. It is nil where
// no policy is for preflights: then it is a request like any other.
func (c *chains) ofPreflight(rt *Router, q *Request, r *http.Request) http.Handler {
	asked := rt.asked(r).Match(Asked{Method: r.Header["Access-Control-Request-Method"][0], URL: r.URL, Header: r.Header, Preflight: true}, nil).Route
	switch {
	case asked != nil && c.preflights[asked.index] != nil:
		q.Asked = asked
		return c.preflights[asked.index]
	case q.Route != nil:
		return nil
	case asked != nil:
		return c.bare
	default:
		return c.astray
	}
}
