package policies

import (
	"net/http"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// Codes of the problems that policies refuse requests with. They are part of the
// interface: clients, logs and metrics may rely on them.
const (
	CodeForbidden = "forbidden"
)

type authorizeConfig struct {
	Span dsl.Span `yaml:",span"`
	When dsl.Cond `yaml:"when" doc:"What must be true of a request to be let in: an expression over request, headers, query, claims and consumer. One that cannot be evaluated lets nobody in." required:"true"`
}

// Authorize is the Kind of the policy authorize.
var Authorize = Kind{
	Why:      "what a caller may do depends on who it is, and what is not allowed need not be counted",
	Together: true,
	Kind: dsl.Define("authorize", "Lets requests in for which an expression is true. All others are answered with status 403.",
		func(c *Compiler, _ *dsl.Node, cfg *authorizeConfig) gateway.Middleware {
			when := c.Cond(cfg.When)
			return func(next http.Handler) http.Handler { return &authorize{when, next} }
		},
		dsl.Example{Name: "readers, and those who write from inside", YAML: `when: request.method in ["GET", "HEAD"] || request.remote startsWith "10."`}),
}

type authorize struct {
	when *Cond
	next http.Handler
}

func (p *authorize) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ok, err := p.when.Holds(r.Context())
	if err != nil {
		gateway.FromContext(r.Context()).Err = err
	}
	if err != nil || !ok {
		gateway.Refuse(w, r, "authorize", gateway.Problem{Status: http.StatusForbidden, Code: CodeForbidden, Detail: "This request is not allowed."})
		return
	}
	p.next.ServeHTTP(w, r)
}
