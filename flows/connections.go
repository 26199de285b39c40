package flows

import (
	"fmt"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/gateway/policies"
)

// connectionsConfig is how a gateway treats connections.
type connectionsConfig struct {
	TLS *gatewayTLS `yaml:"tls" doc:"Connections are encrypted. Files are relative to this one; those that are replaced are used for the next connection, and those that there are stay."`
	H2C bool        `yaml:"h2c" doc:"Whether clients without TLS may speak HTTP/2, too. With TLS they always may."`

	Limits         *limitsConfig `yaml:"limits" doc:"What clients may hold on to, and how large requests may be."`
	TrustedProxies []dsl.String  `yaml:"trusted_proxies" doc:"Addresses and networks (CIDR) of proxies that are believed on where requests come from. request.remote is then the first address, from right to left, that is none of theirs. All others may say what they like."`
	Forwarded      dsl.String    `yaml:"forwarded" doc:"Where trusted proxies say so: in X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto, or in Forwarded (RFC 7239). Only one of the two can be believed: what a proxy does not write it passes on as its client wrote it." default:"x-forwarded-for" enum:"x-forwarded-for|forwarded"`
	ProxyProtocol  bool          `yaml:"proxy_protocol" doc:"Whether connections from trusted proxies begin with a header of the PROXY protocol, version 1 or 2."`
}

type limitsConfig struct {
	Connections int          `yaml:"connections" doc:"How many connections there may be. More are closed at once. Default: as many as the system allows." min:"1"`
	PerAddress  int          `yaml:"per_address" doc:"How many connections there may be from one address, or from one /64 of IPv6. Default: no bound." min:"1"`
	Streams     int          `yaml:"streams" doc:"How many requests may be under way on a connection of HTTP/2 or 3." default:"100" min:"1"`
	Fields      int          `yaml:"fields" doc:"How many fields the header of a request may have." default:"100" min:"1"`
	HeaderSize  dsl.Size     `yaml:"header_size" doc:"How large the request line and the header may be." default:"64KB" min:"1KB"`
	URL         dsl.Size     `yaml:"url" doc:"How long the path and the query may be." default:"8KB" min:"64B"`
	HeaderTime  dsl.Duration `yaml:"header_time" doc:"How long a client may take for a header, and for what comes before the first, such as a handshake." default:"5s" min:"1ms"`
	Idle        dsl.Duration `yaml:"idle" doc:"How long a connection may do nothing between two requests." default:"75s" min:"1ms"`
	Stall       dsl.Duration `yaml:"stall" doc:"How long a client may keep the gateway waiting: for the body of a request beyond the time that a slow line needs, and for each piece of an answer. Calls of gRPC may be silent for as long as their route has time." default:"30s" min:"1ms"`
}

type gatewayTLS struct {
	Certificates []certificateFiles `yaml:"certificates" doc:"What the gateway shows: the certificate for exactly the name that a client asks for (SNI), or one for a wildcard that takes it, or else the first. Write this or acme."`
	ACME         *acmeConfig        `yaml:"acme" doc:"Has certificates issued by an authority that speaks ACME, such as Let's Encrypt, in place of certificates. The authority looks at port 443 of each domain (TLS-ALPN-01), or at port 80 (HTTP-01), where any gateway without tls answers it: one of them has to lead here."`
	MinVersion   dsl.String         `yaml:"min_version" doc:"The oldest version of TLS that is spoken." default:"1.2" enum:"1.2|1.3"`
	Client       dsl.String         `yaml:"client" doc:"Whether clients are asked for a certificate: request takes those without one, require does not. One that is shown has to be sound. Default: they are not asked." enum:"request|require"`
	ClientCA     dsl.String         `yaml:"client_ca" doc:"A file with the certificates of the authorities that vouch for clients, in PEM."`
	HTTP2        bool               `yaml:"http2" doc:"Whether clients may choose HTTP/2." default:"true"`
	HTTP3        bool               `yaml:"http3" doc:"Whether clients may use HTTP/3 as well: at the same port in UDP, which others are told of in Alt-Svc. It needs a Weir that was built with go build -tags http3."`
}

type certificateFiles struct {
	Cert dsl.String `yaml:"cert" doc:"A file with the certificate and those that lead to its authority, in PEM." required:"true"`
	Key  dsl.String `yaml:"key" doc:"A file with the private key of cert, in PEM." required:"true"`
}

func (cfg *connectionsConfig) compile(r dsl.Reporter, at *dsl.Node) gateway.ListenerConfig {
	out := gateway.ListenerConfig{H2C: cfg.H2C}
	if cfg.TLS != nil {
		out.TLS = cfg.TLS.compile(r, at.Field("tls"))
		if cfg.TLS.HTTP3 && cfg.ProxyProtocol {
			r.Report(dsl.Diagnostic{Span: at.Field("tls").Field("http3").KeySpan(), Code: "bad-tls", Message: "the PROXY protocol tells nothing of connections of HTTP/3, which come past the proxy", Hint: "remove http3, or proxy_protocol"})
		}
		if cfg.H2C {
			r.Report(dsl.Diagnostic{Span: at.Field("h2c").KeySpan(), Code: "bad-tls", Message: "h2c is HTTP/2 without TLS, and this gateway has tls", Hint: "remove h2c: with TLS clients may speak HTTP/2 anyway"})
		}
	}
	if l := cfg.Limits; l != nil {
		out.MaxConnections, out.MaxPerAddress, out.MaxStreams, out.MaxFields = l.Connections, l.PerAddress, l.Streams, l.Fields
		out.MaxHeaderBytes, out.ReadHeaderTimeout, out.IdleTimeout = int(l.HeaderSize), time.Duration(l.HeaderTime), time.Duration(l.Idle)
	}
	out.Proxies = gateway.Proxies{Trusted: policies.Networks(r, cfg.TrustedProxies), Forwarded: cfg.Forwarded.Value == "forwarded"}
	if out.ProxyProtocol = cfg.ProxyProtocol; cfg.ProxyProtocol && at.Field("trusted_proxies") == nil {
		r.Report(dsl.Diagnostic{Span: at.Field("proxy_protocol").KeySpan(), Code: "misplaced-key", Message: "no proxy is trusted to say where connections come from", Hint: "add trusted_proxies: [10.0.0.0/8], with the addresses of those that do"})
	}
	if f := at.Field("forwarded"); f != nil && at.Field("trusted_proxies") == nil {
		r.Report(dsl.Diagnostic{Span: f.KeySpan(), Code: "misplaced-key", Message: "no proxy is trusted to say where requests come from", Hint: "add trusted_proxies: [10.0.0.0/8], or remove forwarded"})
	}
	return out
}

// bound sets the limits of requests.
func (cfg *connectionsConfig) bound(g *Gateway) {
	if l := cfg.Limits; l != nil {
		g.MaxURL, g.MaxFields, g.Stall = int(l.URL), l.Fields, time.Duration(l.Stall)
	}
}

func (t *gatewayTLS) compile(r dsl.Reporter, at *dsl.Node) *gateway.TLS {
	fault := func(at dsl.Span, message, hint string) {
		r.Report(dsl.Diagnostic{Span: at, Code: "bad-tls", Message: message, Hint: hint})
	}
	out := &gateway.TLS{MinVersion: t.MinVersion.Value, Client: t.Client.Value, ClientCA: t.ClientCA.Path(), HTTP1: !t.HTTP2, HTTP3: t.HTTP3}
	written, issued := at.Field("certificates"), at.Field("acme")
	switch {
	case issued != nil && written != nil:
		fault(written.KeySpan(), "tls has certificates of files and of an authority", "write certificates or acme; a gateway on another address can have the others")
	case t.ACME != nil:
		out.ACME = t.ACME.compile(r, issued)
	case written != nil && len(written.Items) == 0:
		fault(written.KeySpan(), "tls has no certificate to show", "write certificates: [{ cert: FILE, key: FILE }], or acme")
	case written == nil && issued == nil:
		fault(at.KeySpan(), "tls has no certificate to show", "add certificates: [{ cert: FILE, key: FILE }], or acme")
	}
	if t.HTTP3 && !gateway.HTTP3 {
		fault(at.Field("http3").KeySpan(), "this Weir was built without HTTP/3", "build it with go build -tags http3 ./cmd/weir, or remove http3")
	}
	seen := map[string]bool{}
	for _, c := range t.Certificates {
		files := gateway.CertificateFiles{Cert: c.Cert.Path(), Key: c.Key.Path()}
		switch {
		case c.Cert.Value == "":
			fault(c.Cert.Span, "the name of a file cannot be empty", "write that of the certificate")
		case c.Key.Value == "":
			fault(c.Key.Span, "the name of a file cannot be empty", "write that of the private key")
		case seen[files.Cert]:
			fault(c.Cert.Span, fmt.Sprintf("%s is there twice", c.Cert.Value), "remove one of them")
		}
		seen[files.Cert] = true
		out.Certificates = append(out.Certificates, files)
	}
	switch {
	case t.Client.Value != "" && t.ClientCA.Value == "":
		fault(t.Client.Span, "nobody vouches for the certificates of clients", "add client_ca: FILE with the authorities that do")
	case at.Field("client") == nil && t.ClientCA.Value != "":
		fault(t.ClientCA.Span, "clients are not asked for a certificate", "add client: require, or client: request for those that have one")
	}
	return out
}
