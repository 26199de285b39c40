package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/gateway"
)

// Request is what the gateways of a program do with a request.
type Request struct {
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	Gateways []Verdict `json:"gateways"`
}

// Verdict is what one gateway does.
type Verdict struct {
	Gateway   string     `json:"gateway"`
	Listen    string     `json:"listen"`
	Status    int        `json:"status,omitempty"` // of the refusal
	Code      string     `json:"code,omitempty"`   // of the refusal
	Why       string     `json:"why,omitempty"`    // of the refusal
	Flow      string     `json:"flow,omitempty"`
	Route     string     `json:"route,omitempty"`
	Version   string     `json:"version,omitempty"`
	At        string     `json:"at,omitempty"`
	Deadline  string     `json:"deadline,omitempty"`
	Variables []Variable `json:"variables,omitempty"`
	Others    []Other    `json:"others,omitempty"` // the nearest routes that do not get it
}

// Variable is one variable of a path.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Other is a route that does not get the request.
type Other struct {
	Route string `json:"route"`
	Flow  string `json:"flow"`
	At    string `json:"at"`
	Why   string `json:"why"`
}

// mostOthers is how many routes that do not get a request are told.
const mostOthers = 5

// Ask says what the gateways do with a request for a host, "" for any.
func Ask(p *flows.Program, host string, a gateway.Asked) *Request {
	out := &Request{Method: a.Method, Path: a.URL.EscapedPath(), Gateways: []Verdict{}}
	for _, g := range p.Gateways {
		out.Gateways = append(out.Gateways, ask(g, host, a))
	}
	return out
}

func ask(g *flows.Gateway, host string, a gateway.Asked) Verdict {
	v := Verdict{Gateway: g.Name.Value, Listen: g.Listen}
	router := g.Router().At(host)
	found := router.Match(a, nil)
	switch verdict := found.Verdict; verdict {
	case gateway.Matched:
		route := found.Route
		v.Flow, v.Route, v.At, v.Deadline = route.Name, route.String(), route.Span.String(), shown(route.Deadline)
		if route.Version != nil {
			v.Version = route.Version.Name
		}
		for _, x := range found.Vars {
			v.Variables = append(v.Variables, Variable{x.Name, x.Value})
		}
	case gateway.MethodNotAllowed:
		v.Status, v.Code, v.Why = 405, verdict.String(), "the path takes "+router.Allow(a.URL)
	case gateway.Unmatched:
		v.Status, v.Code, v.Why = 404, verdict.String(), "no route takes it with these headers and parameters"
	case gateway.NotAcceptable:
		v.Status, v.Code, v.Why = 406, verdict.String(), "no route is for what Accept prefers"
	case gateway.UnsupportedType:
		v.Status, v.Code, v.Why = 415, verdict.String(), "no route is for this Content-Type"
	case gateway.UnknownVersion:
		of, names := router.Offered(a)
		v.Status, v.Code, v.Why = of.Status(), verdict.String(), "of this there are, by "+of.How()+", the versions "+strings.Join(names, ", ")
	case gateway.BadPath:
		v.Status, v.Code, v.Why = 400, verdict.String(), "no route may see a path with empty or dot segments, backslashes or control characters"
	case gateway.Misdirected:
		v.Status, v.Code, v.Why = 421, verdict.String(), "every route is for other hosts"
	default:
		v.Status, v.Code, v.Why = 404, verdict.String(), "no route takes the path"
	}
	for _, m := range router.Misses(a, mostOthers) {
		v.Others = append(v.Others, Other{m.Route.String(), m.Route.Name, m.Route.Span.String(), m.Why})
	}
	return v
}

// Text writes the explanation as people read it.
func (r *Request) Text(w io.Writer) error {
	t := &text{}
	t.line("%s %s", r.Method, r.Path)
	for _, v := range r.Gateways {
		t.line("\ngateway %s (%s)", v.Gateway, v.Listen)
		t.verdict(v)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func (t *text) verdict(v Verdict) {
	if v.Flow == "" {
		t.line("  answers %d %s: %s", v.Status, v.Code, v.Why)
	} else {
		t.line("  flow %s, by its route %s  %s", v.Flow, v.Route, v.At)
		if v.Version != "" {
			t.line("  version %s", v.Version)
		}
		var vars []string
		for _, x := range v.Variables {
			vars = append(vars, fmt.Sprintf("%s = %q", x.Name, x.Value))
		}
		if len(vars) > 0 {
			t.line("  params: %s", strings.Join(vars, ", "))
		}
		t.line("  deadline %s", v.Deadline)
	}
	if len(v.Others) > 0 {
		t.line("  not")
	}
	for _, o := range v.Others {
		t.line("    %s, which %s  %s", o.Route, o.Why, o.At)
	}
}
