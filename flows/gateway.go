package flows

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// Gateway is one listener with its routes.
type Gateway struct {
	Name    dsl.String
	Listen  string
	MaxBody int64 // bytes
	// Policies are those of requests that no route takes, outermost first.
	Policies []gateway.Layer
	// DeadlineHeader is where callers tell how long they wait; "" is nowhere.
	DeadlineHeader string
	// Connections is how those of the gateway are treated.
	Connections gateway.ListenerConfig
	// MaxURL (bytes), MaxFields and Stall are as in gateway.Options; 0 is the
	// default.
	MaxURL, MaxFields int
	Stall             time.Duration

	// Versions are how callers say which version of a route they mean; nil: they do
	// not.
	Versions *gateway.Versions

	access   *accessLog  // nil: there is none
	policies []*dsl.Node // as they are written
	routes   []gateway.Route
	router   *gateway.Router
	at       dsl.Span // of listen
}

// options are those that the gateway serves with, wherever it does.
func (g *Gateway) options(log *slog.Logger, m *gateway.Metrics, redact *dsl.Redactor) gateway.Options {
	return gateway.Options{
		Gateway: g.Name.Value, Log: log, Metrics: m, DeadlineHeader: g.DeadlineHeader, MaxBody: g.MaxBody, Redactor: redact, Layers: g.Policies,
		Proxies: g.Connections.Proxies, MaxURL: g.MaxURL, MaxFields: g.MaxFields, StallTimeout: g.Stall,
	}
}

// Routes is how many routes the gateway serves.
func (g *Gateway) Routes() int { return len(g.routes) }

type gatewayConfig struct {
	Listen dsl.String `yaml:"listen" doc:"The address: HOST:PORT, or :PORT for all of the machine's addresses." required:"true"`
	connectionsConfig
	Policies       dsl.Bundles      `yaml:"policies" doc:"What applies to all requests of the gateway: names of bundles of the section policies, and bundles that stand in their place."`
	MaxBody        dsl.Size         `yaml:"max_body" doc:"How large the body of a request may be where the flow does not say." default:"10MB" min:"1B"`
	Versions       *versionsConfig  `yaml:"versions" doc:"Which versions there are of what the gateway serves, and how callers say which of them they mean: by one of header, query and path. Triggers name those that they are of."`
	AccessLog      *accessLogConfig `yaml:"access_log" doc:"Writes down each request, those included that policies refuse and that no route takes: {} is one line of JSON on the standard output. The fields of a record are time, gateway, route, flow, method, host, path, query, protocol, status, outcome, bytes_in, bytes_out, duration (seconds), attempts (at services), consumer, policy (that refused it), code (of the problem), cache, limited, request_id, trace_id, remote, user_agent, config and flow_config (which state of the files, and of the flow, is served). No request waits for it: what finds no room is dropped and counted."`
	DeadlineHeader dsl.String       `yaml:"deadline_header" doc:"The header in which callers tell how many milliseconds they wait for the answer, such as X-Envoy-Expected-Rq-Timeout-Ms, or Grpc-Timeout, in the form of gRPC. A request then has that much time, if the deadline of its flow is not shorter. Default: none."`
}

// GatewayKind is the Kind of an entry of the gateways section.
var GatewayKind = dsl.Define("gateway", "An address that serves the routes of flows.",
	func(r dsl.Reporter, at *dsl.Node, cfg *gatewayConfig) *Gateway {
		if err := gateway.CheckAddress(cfg.Listen.Value); err != nil {
			message, hint, _ := strings.Cut(err.Error(), ": write ")
			d := dsl.Diagnostic{Span: cfg.Listen.Span, Code: "bad-address", Message: message, Hint: "write " + hint}
			if strings.Trim(cfg.Listen.Value, "0123456789") == "" {
				d.Hint = fmt.Sprintf("write %q", ":"+cfg.Listen.Value)
				if at, ok := cfg.Listen.Span.Find(cfg.Listen.Value); ok && cfg.Listen.Value != "" {
					d.Mend(d.Hint, dsl.Edit{Span: cfg.Listen.Span, New: strconv.Quote(":" + at.Text())})
				}
			}
			r.Report(d)
		}
		if name := cfg.DeadlineHeader; name.Value != "" {
			if message, hint := engine.HeaderFault(name.Value); message != "" {
				r.Report(dsl.Diagnostic{Span: name.Span, Code: "bad-header", Message: message, Hint: hint})
			}
		}
		var access *accessLog
		if cfg.AccessLog != nil {
			access = cfg.AccessLog.compile(r, at.Field("access_log"))
		}
		g := &Gateway{access: access, Listen: cfg.Listen.Value, MaxBody: int64(cfg.MaxBody), policies: cfg.Policies.Items, DeadlineHeader: cfg.DeadlineHeader.Value, Connections: cfg.compile(r, at), at: cfg.Listen.Span}
		cfg.bound(g)
		if cfg.Versions != nil {
			g.Versions = cfg.Versions.compile(r, at.Field("versions"))
		}
		return g
	},
	dsl.Example{Name: "all addresses", YAML: `listen: ":8080"`},
	dsl.Example{Name: "two versions of an API, told apart by a header; the first one goes", YAML: `
listen: ":8080"
versions:
  header: X-Api-Version
  default: "2"
  known:
    "1": { deprecated: 2026-06-30, sunset: 2027-06-30, link: "https://shop.example/docs/v2" }
    "2": {}
`},
	dsl.Example{Name: "behind another gateway, which tells how long it waits", YAML: `
listen: ":8080"
deadline_header: X-Envoy-Expected-Rq-Timeout-Ms
`},
	dsl.Example{Name: "a line for each request, in a file for each day", YAML: `
listen: ":8080"
access_log: { file: access.log, max_age: 24h, keep: 14 }
`},
	dsl.Example{Name: "a record for each request, with its trace, in a collector of OpenTelemetry", YAML: `
listen: ":8080"
access_log: { omit: [user_agent], otlp: true }
`},
	dsl.Example{Name: "the lines of other servers, for one request in ten and all that fail", YAML: `
listen: ":8080"
access_log:
  template: $(remote) - $(consumer) [$(time)] "$(method) $(path) $(protocol)" $(status) $(bytes_out) "$(header.referer)" "$(user_agent)"
  sample: 10%
`},
	dsl.Example{Name: "behind balancers that tell where connections come from", YAML: `
listen: ":8080"
limits: { connections: 20000, per_address: 200, header_time: 3s }
trusted_proxies: [10.1.0.0/16]
proxy_protocol: true
`},
	dsl.Example{Name: "two names on one port, and clients that show who they are", YAML: `
listen: ":8443"
tls:
  certificates:
    - { cert: certs/shop.pem, key: certs/shop.key }
    - { cert: certs/partners.pem, key: certs/partners.key }
  client: request
  client_ca: certs/partners-ca.pem
`},
	dsl.Example{Name: "certificates that an authority issues", YAML: `
listen: ":443"
tls:
  acme:
    domains: [shop.example, www.shop.example]
    accept_terms: true
    email: ops@shop.example
    cache: /var/lib/weir/acme
`})

// route gives every gateway its router, and reports routes that contradict
// each other.
func (c *checker) route() {
	for i, g := range c.program.Gateways {
		for _, other := range c.program.Gateways[:i] {
			if collide(g.Listen, other.Listen) {
				c.ds.Report(dsl.Diagnostic{Span: g.at, Code: "address-taken", Message: fmt.Sprintf("gateway %q listens where %q does", g.Name.Value, other.Name.Value),
					Hint: "give each its own port", Related: []dsl.Related{{Span: other.at, Message: "the other one"}}})
				break
			}
		}
	}
	c.prove()
	for _, f := range c.program.Flows {
		if s, ok := c.served[f]; ok {
			routes := c.versioned(f, s.by, c.routeOf(f, s))
			for i := range routes {
				for _, l := range routes[i].Layers {
					if l.Review != nil {
						l.Review(&routes[i], &c.ds)
					}
				}
			}
			s.by.routes = append(s.by.routes, routes...)
		}
	}
	for _, g := range c.program.Gateways {
		g.router = gateway.NewRouter(g.routes, &c.ds)
	}
}

func (c *checker) gatewayOf(f *engine.Flow, byName map[string]*Gateway) *Gateway {
	if c.env.Index != nil {
		c.env.Index.Use("gateway", f.Trigger.Gateway, dsl.Span{})
	}
	name, known := f.Trigger.Gateway, make([]string, 0, len(c.program.Gateways))
	for _, g := range c.program.Gateways {
		known = append(known, g.Name.Value)
	}
	d := dsl.Diagnostic{Span: name.Span, Code: "unknown-gateway", Message: fmt.Sprintf("there is no gateway %q", name.Value)}
	switch g, ok := byName[name.Value]; {
	case ok:
		return g
	case name.Value == "" && len(known) == 1:
		return c.program.Gateways[0]
	case c.partial:
		return nil
	case name.Value == "" && len(known) == 0:
		d.Span, d.Code = f.Trigger.Span, "no-gateway"
		d.Message, d.Hint = "there is no gateway that could serve this route", "define one: gateways: { public: { listen: \":8080\" } }"
	case name.Value == "":
		d.Span, d.Code = f.Trigger.Span, "no-gateway"
		d.Message, d.Hint = "there are several gateways, and this trigger does not say which serves it", "add gateway: "+strings.Join(known, " or gateway: ")
	case strings.Contains(name.Value, "$("):
		d.Message, d.Hint = "the name of a gateway cannot be an expression", "write the name"
	default:
		d.Hint = "define it: gateways: { " + name.Value + ": { listen: \":8080\" } }"
		d.Suggest(name.Value, known)
	}
	c.ds.Report(d)
	return nil
}

func (c *checker) routeOf(f *engine.Flow, s served) gateway.Route {
	r := gateway.Route{
		Match:   conditions(f.Trigger.Match),
		Gateway: s.by.Name.Value, Method: f.Trigger.Method, Path: f.Trigger.Path, Hosts: f.Trigger.Hosts, Span: f.Trigger.Span, Name: f.Name.Value,
		Deadline: f.Trigger.Deadline, MaxBody: f.Trigger.MaxBody, Priority: f.Trigger.Priority, Handler: http.NotFoundHandler(),
		Layers: s.policies.Layers,
	}
	if p := f.Program(); p != nil {
		r.Handler, r.Revision = gateway.FlowHandler(p, c.env.Log), f.Revision()
	}
	return r
}

// collide reports whether two addresses cannot be listened on at once. Those
// that are not sound have been reported.
func collide(a, b string) bool {
	a, errA := gateway.Address(a)
	b, errB := gateway.Address(b)
	if errA != nil || errB != nil {
		return false
	}
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return portA == portB && portA != "0" && (hostA == hostB || hostA == "" || hostB == "")
}
