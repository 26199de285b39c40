package policies

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

type securityHeadersConfig struct {
	HSTS        *hstsConfig `yaml:"hsts" doc:"Strict-Transport-Security (RFC 6797): browsers come back by https only. It is sent over TLS."`
	Frame       string      `yaml:"frame" doc:"Who may show answers inside of a page, as X-Frame-Options: deny, sameorigin, or any." default:"deny" enum:"deny|sameorigin|any"`
	Referrer    string      `yaml:"referrer" doc:"What browsers tell others of the page that a request came from, as Referrer-Policy." default:"no-referrer" enum:"no-referrer|no-referrer-when-downgrade|origin|origin-when-cross-origin|same-origin|strict-origin|strict-origin-when-cross-origin|unsafe-url"`
	CSP         string      `yaml:"csp" doc:"Content-Security-Policy. Default: default-src 'none'; frame-ancestors 'none', which is right for what is no page. An empty text sends none." default:"default-src 'none'; frame-ancestors 'none'"`
	Opener      string      `yaml:"opener" doc:"Cross-Origin-Opener-Policy." default:"same-origin" enum:"same-origin|same-origin-allow-popups|unsafe-none"`
	Resource    string      `yaml:"resource" doc:"Who may embed answers, as Cross-Origin-Resource-Policy." default:"same-origin" enum:"same-origin|same-site|cross-origin"`
	Permissions string      `yaml:"permissions" doc:"Permissions-Policy, such as geolocation=(), camera=()."`
	Remove      []string    `yaml:"remove" doc:"Headers of answers that tell too much." default:"[Server, X-Powered-By, X-AspNet-Version, X-AspNetMvc-Version]"`
	Keep        bool        `yaml:"keep" doc:"Whether what a flow or a backend says in these headers stays as it is." default:"false"`
}

type hstsConfig struct {
	MaxAge     dsl.Duration `yaml:"max_age" doc:"For how long." default:"8760h" min:"0s"`
	Subdomains bool         `yaml:"subdomains" doc:"Whether it is for all names below this one, too." default:"false"`
	Preload    bool         `yaml:"preload" doc:"Whether browsers may be delivered knowing it. It takes subdomains and at least 8760h, and cannot be taken back soon." default:"false"`
}

// SecurityHeaders is the Kind of the policy security_headers.
var SecurityHeaders = Kind{
	Why: "every answer has them, also those of the policies further inside",
	Kind: dsl.Define("security_headers", "Adds the headers by which browsers protect those who use them, and takes away those that tell of the inside.",
		func(c *Compiler, at *dsl.Node, cfg *securityHeadersConfig) gateway.Middleware {
			p := &securityHeaders{keep: cfg.Keep}
			if h := cfg.HSTS; h != nil {
				if h.Preload && (!h.Subdomains || time.Duration(h.MaxAge) < 8760*time.Hour) {
					c.Report(dsl.Diagnostic{Span: at.Field("hsts").KeySpan(), Code: "bad-policy", Message: "no browser takes preload without subdomains and a max_age of 8760h at least", Hint: "write hsts: { max_age: 8760h, subdomains: true, preload: true }, or leave out preload"})
				}
				p.hsts = []string{h.text()}
			}
			p.set("X-Content-Type-Options", "nosniff")
			if cfg.Frame != "any" {
				p.set("X-Frame-Options", strings.ToUpper(cfg.Frame))
			}
			p.set("Referrer-Policy", cfg.Referrer)
			p.set("Content-Security-Policy", cfg.CSP)
			p.set("Cross-Origin-Opener-Policy", cfg.Opener)
			p.set("Cross-Origin-Resource-Policy", cfg.Resource)
			p.set("Permissions-Policy", cfg.Permissions)
			for _, name := range cfg.Remove {
				p.remove = append(p.remove, http.CanonicalHeaderKey(name))
			}
			return p.wrap
		},
		dsl.Example{Name: "an API that browsers call by TLS", YAML: "hsts: { max_age: 8760h, subdomains: true }"},
		dsl.Example{Name: "pages that may show images of others", YAML: `csp: "default-src 'self'; img-src https:"`}),
}

func (h *hstsConfig) text() string {
	text := fmt.Sprintf("max-age=%d", int64(time.Duration(h.MaxAge).Seconds()))
	if h.Subdomains {
		text += "; includeSubDomains"
	}
	if h.Preload {
		text += "; preload"
	}
	return text
}

type securityHeaders struct {
	hsts   []string // nil: it is not sent
	names  []string
	values [][]string
	remove []string
	keep   bool
}

func (p *securityHeaders) set(name, value string) {
	if value != "" {
		p.names, p.values = append(p.names, name), append(p.values, []string{value})
	}
}

func (p *securityHeaders) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gateway.FromContext(r.Context()).BeforeAnswer(p)
		next.ServeHTTP(w, r)
	})
}

// EditHeader is what gateway.HeaderEditor asks for.
func (p *securityHeaders) EditHeader(q *gateway.Request, _ int, h http.Header) {
	for _, name := range p.remove {
		delete(h, name)
	}
	for i, name := range p.names {
		if !p.keep || h[name] == nil {
			h[name] = p.values[i]
		}
	}
	if p.hsts != nil && q.Input().Request.TLS != nil {
		h["Strict-Transport-Security"] = p.hsts
	}
}
