package connectors

import (
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// serviceTransport is what connections to a service are like.
type serviceTransport struct {
	Protocol dsl.String `yaml:"protocol" doc:"What endpoints are spoken to with: auto is HTTP/1.1 for http, and for https what the server prefers of HTTP/2 and HTTP/1.1; http1; http2, which nothing may take the place of; h2c, HTTP/2 without TLS." default:"auto"`
	TLS      *tlsConfig `yaml:"tls" doc:"How endpoints with https are trusted, and what they know this client by. Files are relative to this one. Those that are replaced are used for the next connection; those that there are stay."`
}

type tlsConfig struct {
	CA         dsl.String `yaml:"ca" doc:"A file with the certificates of the authorities that are trusted, in PEM. Default: those of the system."`
	Cert       dsl.String `yaml:"cert" doc:"A file with the certificate that is shown to a server that asks for one, in PEM, and those that lead to its authority."`
	Key        dsl.String `yaml:"key" doc:"A file with the private key of cert, in PEM."`
	ServerName dsl.String `yaml:"server_name" doc:"The name that a server is asked for (SNI), and that its certificate is to be for. Default: the host of the endpoint."`
	SPIFFE     dsl.String `yaml:"spiffe" doc:"The SPIFFE id that the certificate of a server is to have, in place of its name: spiffe://domain/path, spiffe://domain/path/* for all below a path, spiffe://domain for all of a trust domain."`
	MinVersion dsl.String `yaml:"min_version" doc:"The oldest version of TLS that is spoken, \"1.2\" or \"1.3\"." default:"1.2"`
}

func (c *serviceTransport) configure(_ dsl.Reporter, _ *dsl.Node, to *mesh.Config) bool {
	to.Protocol = c.Protocol.Value
	if t := c.TLS; t != nil {
		to.TLS = mesh.TLS{
			CA: t.CA.Path(), Cert: t.Cert.Path(), Key: t.Key.Path(),
			ServerName: t.ServerName.Value, SPIFFE: t.SPIFFE.Value, MinVersion: t.MinVersion.Value,
		}
	}
	return true
}
