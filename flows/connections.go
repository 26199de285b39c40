package flows

import (
	"fmt"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/gateway"
)

// connectionsConfig is how a gateway treats connections.
type connectionsConfig struct {
	TLS *gatewayTLS `yaml:"tls" doc:"Connections are encrypted. Files are relative to this one; those that are replaced are used for the next connection, and those that there are stay."`
	H2C bool        `yaml:"h2c" doc:"Whether clients without TLS may speak HTTP/2, too. With TLS they always may."`
}

type gatewayTLS struct {
	Certificates []certificateFiles `yaml:"certificates" doc:"What the gateway shows: the certificate for exactly the name that a client asks for (SNI), or one for a wildcard that takes it, or else the first." required:"true"`
	MinVersion   dsl.String         `yaml:"min_version" doc:"The oldest version of TLS that is spoken." default:"1.2" enum:"1.2|1.3"`
	Client       dsl.String         `yaml:"client" doc:"Whether clients are asked for a certificate: request takes those without one, require does not. One that is shown has to be sound. Default: they are not asked." enum:"request|require"`
	ClientCA     dsl.String         `yaml:"client_ca" doc:"A file with the certificates of the authorities that vouch for clients, in PEM."`
	HTTP2        bool               `yaml:"http2" doc:"Whether clients may choose HTTP/2." default:"true"`
}

type certificateFiles struct {
	Cert dsl.String `yaml:"cert" doc:"A file with the certificate and those that lead to its authority, in PEM." required:"true"`
	Key  dsl.String `yaml:"key" doc:"A file with the private key of cert, in PEM." required:"true"`
}

func (cfg *connectionsConfig) compile(r dsl.Reporter, at *dsl.Node) gateway.ListenerConfig {
	out := gateway.ListenerConfig{H2C: cfg.H2C}
	if cfg.TLS != nil {
		out.TLS = cfg.TLS.compile(r, at.Field("tls"))
		if cfg.H2C {
			r.Report(dsl.Diagnostic{Span: at.Field("h2c").KeySpan(), Code: "bad-tls", Message: "h2c is HTTP/2 without TLS, and this gateway has tls", Hint: "remove h2c: with TLS clients may speak HTTP/2 anyway"})
		}
	}
	return out
}

func (t *gatewayTLS) compile(r dsl.Reporter, at *dsl.Node) *gateway.TLS {
	fault := func(at dsl.Span, message, hint string) {
		r.Report(dsl.Diagnostic{Span: at, Code: "bad-tls", Message: message, Hint: hint})
	}
	out := &gateway.TLS{MinVersion: t.MinVersion.Value, Client: t.Client.Value, ClientCA: t.ClientCA.Path(), HTTP1: !t.HTTP2}
	if len(t.Certificates) == 0 {
		fault(at.Field("certificates").KeySpan(), "tls has no certificate to show", "write certificates: [{ cert: FILE, key: FILE }]")
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
