package policies

import (
	"net/http"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// CodeCrossOrigin is that of a request that a page of another origin caused.
const CodeCrossOrigin = "cross-origin-request"

type csrfConfig struct {
	Origins []dsl.String `yaml:"origins" doc:"Other origins whose pages may cause such requests, written as those of cors. The gateway's own need not be listed."`
}

// CSRF is the Kind of the policy csrf.
var CSRF = Kind{
	Why: "what a page of others causes is not what its visitor wants, whoever that is",
	Kind: dsl.Define("csrf", "Refuses requests of browsers that pages of other origins have caused, as Sec-Fetch-Site and Origin tell: those that may change something, "+
		"and handshakes of WebSockets. It needs no tokens in forms, and lets programs pass, which send neither header.",
		func(c *Compiler, _ *dsl.Node, cfg *csrfConfig) gateway.Middleware {
			p := &csrf{origins: compileOrigins(c, cfg.Origins)}
			for _, t := range cfg.Origins {
				if t.Value == "*" {
					c.Report(dsl.Diagnostic{Span: t.Span, Code: "bad-policy", Message: "csrf that lets every origin pass refuses nothing", Hint: "list the origins that may pass, or leave csrf out of the route: without: [csrf]"})
				}
			}
			return p.wrap
		},
		dsl.Example{Name: "what pages call with cookies", YAML: "origins: [https://shop.example]"}),
}

type csrf struct {
	*origins
	fetch http.CrossOriginProtection
}

func (p *csrf) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.admits(r) {
			gateway.Refuse(w, r, "csrf", gateway.Problem{Status: http.StatusForbidden, Code: CodeCrossOrigin, Detail: "A page of another origin may not cause this request."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (p *csrf) admits(r *http.Request) bool {
	if r.Method == http.MethodGet && r.Header["Upgrade"] != nil {
		// A handshake is a GET that browsers send to any origin, with cookies, and
		// what follows can change anything.
		unsafe := *r
		unsafe.Method = http.MethodPost
		r = &unsafe
	}
	if p.fetch.Check(r) == nil {
		return true
	}
	o := r.Header["Origin"]
	return len(o) == 1 && p.have(o[0])
}
