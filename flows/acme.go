package flows

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway/acme"
)

// acmeConfig is where a gateway has its certificates issued.
type acmeConfig struct {
	Domains     []dsl.String `yaml:"domains" doc:"The names that the gateway is asked for. Each gets a certificate of its own. They are exact: an authority gives a wildcard only to who can change DNS." required:"true"`
	AcceptTerms bool         `yaml:"accept_terms" doc:"Whether the terms of the authority are agreed to. Without that it issues nothing." required:"true"`
	Directory   dsl.String   `yaml:"directory" doc:"The URL of the authority's directory (RFC 8555). Default: that of Let's Encrypt."`
	Email       dsl.String   `yaml:"email" doc:"Where the authority writes to."`
	Cache       dsl.String   `yaml:"cache" doc:"A directory, relative to this file, that keeps certificates, their keys and that of the account. It is made if it is not there, and has to outlive the process: authorities bound how often they issue the same." required:"true"`
	CA          dsl.String   `yaml:"ca" doc:"A file with the certificates that the authority's server itself is known by, in PEM, for an authority of one's own. Default: those of the system."`
}

func (a *acmeConfig) compile(r dsl.Reporter, at *dsl.Node) *acme.Config {
	fault := func(at dsl.Span, message, hint string) {
		r.Report(dsl.Diagnostic{Span: at, Code: "bad-tls", Message: message, Hint: hint})
	}
	out := &acme.Config{Directory: acme.Production, Email: a.Email.Value, Cache: a.Cache.Path(), CA: a.CA.Path()}
	if f := at.Field("domains"); f != nil && len(a.Domains) == 0 {
		fault(f.KeySpan(), "there is no domain to issue a certificate for", "write domains: [shop.example]")
	}
	seen := map[string]bool{}
	for _, d := range a.Domains {
		switch name := d.Value; {
		case strings.HasPrefix(name, "*."):
			fault(d.Span, "a wildcard cannot be proved by a gateway, only by DNS", "write each name, or have the certificate issued by something else and write certificates")
		case !isDomain(name):
			fault(d.Span, fmt.Sprintf("%q is no name of a host", name), "write a name such as shop.example, in small letters, without port")
		case seen[name]:
			fault(d.Span, name+" is there twice", "remove one of them")
		}
		seen[d.Value] = true
		out.Domains = append(out.Domains, d.Value)
	}
	if f := at.Field("accept_terms"); f != nil && !a.AcceptTerms {
		fault(f.Span, "an authority issues nothing to who does not agree to its terms", "read them, and write accept_terms: true")
	}
	if f := at.Field("cache"); f != nil && a.Cache.Value == "" {
		fault(f.Span, "the name of a directory cannot be empty", "write one that outlives the process")
	}
	if d := a.Directory; d.Value != "" {
		out.Directory = d.Value
		if u, err := url.Parse(d.Value); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			fault(d.Span, "the directory of an authority is a URL of https", "write one such as "+acme.Production)
		}
	}
	if e := a.Email.Value; e != "" && (!strings.Contains(e, "@") || strings.ContainsAny(e, " ,;?<>")) {
		fault(a.Email.Span, fmt.Sprintf("%q is no address of mail", e), "write one such as ops@shop.example")
	}
	return out
}

// isDomain reports names of hosts as DNS has them (RFC 1123, section 2.1).
func isDomain(name string) bool {
	if len(name) > 253 || net.ParseIP(name) != nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// prove has gateways without TLS answer the authorities of those that have
// certificates issued.
func (c *checker) prove() {
	var caches []string
	plain := false
	for _, g := range c.program.Gateways {
		if t := g.Connections.TLS; t == nil {
			plain = true
		} else if t.ACME != nil {
			caches = append(caches, t.ACME.Cache)
		}
	}
	for _, g := range c.program.Gateways {
		if t := g.Connections.TLS; t == nil {
			g.Connections.Challenges = caches
		} else if t.ACME != nil {
			t.ACME.HTTP01 = plain
		}
	}
}
