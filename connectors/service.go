// Package connectors holds what reaches outside systems: the services of a
// program and the verbs that use them, one file each.
package connectors

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/openapi"
	"github.com/weir-run/weir/mesh"
)

// All are the verbs of this package.
func All() []engine.StepKind { return []engine.StepKind{Call, Forward} }

// Service is one service of a program: checked when the program is, opened
// before it serves.
type Service struct {
	Name dsl.String

	probing atomic.Bool // a run that fails fast was let through
	config  mesh.Config
	headers []serviceHeader // of each request; no part of the key
	auth    serviceAuth
	written []engine.Setting
	key     string
	openAPI dsl.String        // the path of a document; empty: there is none
	api     *openapi.Document // while the program is checked
	client  *mesh.Service
}

// serviceHeader is a header field that requests are sent with.
type serviceHeader struct {
	name   string   // canonical
	values []string // one, which nobody changes
}

type serviceConfig struct {
	serviceSplit
	Headers map[string]dsl.Secret `yaml:"headers" doc:"Headers that every request to the service is sent with, in place of those that a caller sent. A step can set others."`
	serviceBalance
	serviceCalls
	serviceTransport
	Auth    *authConfig `yaml:"auth" doc:"What the service knows us by: an Authorization that every request is sent with, in place of a caller's. A step can set another. If the service answers with 401, and there is another token to be had, the request is sent once more."`
	OpenAPI dsl.String  `yaml:"openapi" doc:"The service's OpenAPI document, 3.0 or 3.1: a file, relative to this one. Calls are checked against it, and expressions that read their results."`
	MaxBody dsl.Size    `yaml:"max_body" doc:"How large an answer that a call reads may be." default:"10MB" min:"1B"`
	serviceHealth
	serviceLimits
}

// area is some keys of a service, in a file of their own.
type area interface {
	// configure writes the keys into the configuration of the service, and
	// reports whether that makes sense of them. What does not is reported to r.
	configure(r dsl.Reporter, at *dsl.Node, to *mesh.Config) bool
}

// ServiceKind is the Kind of an entry of the services section.
var ServiceKind = dsl.Define("service", "A service that flows call: where it runs and how it is called.",
	func(r dsl.Reporter, at *dsl.Node, cfg *serviceConfig) *Service { return newService(r, at, cfg) },
	dsl.Example{Name: "two endpoints with retry and breaker", YAML: `
endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
timeout: 800ms
retry: { attempts: 3, on: [connect, 503] }
breaker: { failures: 50%, of: 20, open: 10s }
`},
	dsl.Example{Name: "a new version that gets a tenth of the calls", YAML: `
versions:
  v1: { endpoints: ["http://127.0.0.1:9001"], weight: 90 }
  v2:
    endpoints: ["http://127.0.0.1:9002"]
    weight: 10
    when: { header: X-Canary, is: "true" }
    fallback: v1
sticky: { cookie: session }
`},
	dsl.Example{Name: "callers that keep their endpoint", YAML: `
endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
affinity: { cookie: cart_server, max_age: 1h }
`},
	dsl.Example{Name: "a new version that only gets copies of calls", YAML: `
versions:
  v1: { endpoints: ["http://127.0.0.1:9001"], weight: 100 }
  v2: { endpoints: ["http://127.0.0.1:9002"], weight: 0 }
mirror: { to: v2, share: 10% }
`},
	dsl.Example{Name: "breakers that look at time", YAML: `
endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
breaker: { failures: 50%, within: 10s, slow: { over: 2s }, max_open: 5m }
service_breaker: { failures: 5 }
`},
	dsl.Example{Name: "no more than it can do", YAML: `
endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
limit: { concurrent: 100, per_endpoint: 60, queue: 50, wait: 200ms }
`},
	dsl.Example{Name: "as much as it turns out to be able to do", YAML: `
endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
limit: { adaptive: { max: 200 }, queue: 50 }
`},
	dsl.Example{Name: "no more than its provider allows", YAML: `
endpoints: ["https://api.partner.example"]
rate: { limit: 100/s, wait: 500ms }
`},
	dsl.Example{Name: "endpoints that are left out when they fail more than the others", YAML: `
endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9002", "http://127.0.0.1:9003"]
ejection: { failures: 30%, for: 30s, at_most: 50% }
`},
	dsl.Example{Name: "endpoints that are asked whether they are well", YAML: `
endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
health: { http: { path: /health }, interval: 5s, unhealthy_after: 2 }
`},
	dsl.Example{Name: "a service that asks for a key", YAML: `
endpoints: ["https://payments.example"]
headers: { authorization: Bearer $(secret.PAYMENTS_KEY) }
`},
	dsl.Example{Name: "a service that knows its clients by their certificates", YAML: `
endpoints: ["https://payments.example"]
tls: { ca: certs/ca.pem, cert: certs/client.pem, key: certs/client.key }
`},
	dsl.Example{Name: "a service that wants access tokens, which login gives", YAML: `
endpoints: ["https://ledger.example"]
auth:
  oauth2:
    service: login
    path: /oauth2/token
    client_id: shop
    client_secret: $(secret.LEDGER_CLIENT)
    scopes: [entries.read]
`},
	dsl.Example{Name: "a service that is found in DNS", YAML: `
endpoints: ["dns+srv://_orders._tcp.shop.local"]
`})

func newService(r dsl.Reporter, at *dsl.Node, cfg *serviceConfig) *Service {
	s := &Service{openAPI: cfg.OpenAPI, written: engine.Settings(at), config: mesh.Config{
		MaxBody: int64(cfg.MaxBody),
	}}
	for _, area := range []area{&cfg.serviceSplit, &cfg.serviceBalance, &cfg.serviceCalls, &cfg.serviceTransport, &cfg.serviceHealth, &cfg.serviceLimits} {
		if !area.configure(r, at, &s.config) {
			return s // what else is wrong may only follow from it
		}
	}
	s.headers = headersOf(r, at.Field("headers"), cfg.Headers)
	var basic []serviceHeader
	s.auth, basic = authOf(r, at.Field("auth"), cfg.Auth, s.headers)
	s.headers = append(s.headers, basic...)
	for _, fault := range mesh.Validate(s.config) {
		r.Report(dsl.Diagnostic{Span: place(at, fault.Field), Code: "bad-service", Message: fault.Message, Hint: fault.Hint})
	}
	s.key = fmt.Sprintf("%#v", s.config)
	return s
}

// headersOf gives the headers of a service in the order of their names.
func headersOf(r dsl.Reporter, at *dsl.Node, fields map[string]dsl.Secret) (headers []serviceHeader) {
	written := map[string]dsl.Span{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		key := at.Field(name).KeySpan()
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		d := dsl.Diagnostic{Span: key, Code: "bad-header"}
		first, twice := written[canonical]
		written[canonical] = key
		switch d.Message, d.Hint = engine.HeaderFault(name); {
		case d.Message != "":
		case twice:
			d.Message, d.Hint = "the header "+canonical+" is written twice", "keep one of them"
			d.Related = []dsl.Related{{Span: first, Message: "the other one"}}
		case strings.ContainsFunc(fields[name].Reveal(), engine.IsControl):
			d.Span = fields[name].Span
			d.Message, d.Hint = "the value of "+canonical+" holds a control character, such as a line break", "write it in one line"
		default:
			headers = append(headers, serviceHeader{canonical, []string{fields[name].Reveal()}})
			continue
		}
		r.Report(d)
	}
	return headers
}

// addHeaders gives a request the headers that the service is to get.
func (s *Service) addHeaders(h http.Header) {
	for i := range s.headers {
		h[s.headers[i].name] = s.headers[i].values
	}
	if s.auth.any() {
		delete(h, authorization) // of a caller
	}
}

// place finds the node of a field path such as retry.on[0].
func place(n *dsl.Node, path string) dsl.Span {
	for _, key := range strings.Split(path, ".") {
		key, index, indexed := strings.Cut(key, "[")
		next := n.Field(key)
		if next == nil && key == "ratio" {
			next = n.Field("failures")
		}
		if next == nil {
			break
		}
		n = next
		if i, err := strconv.Atoi(strings.TrimSuffix(index, "]")); indexed && err == nil && i < len(n.Items) {
			n = n.Items[i]
		}
	}
	return n.Span
}

// Dial makes a connection, as net.Dialer.DialContext does.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// Key is equal for services of equal configuration: one can take over the
// connections, breakers and statistics of the other.
func (s *Service) Key() string { return s.Name.Value + " " + s.key + s.auth.key() }

// Open makes the service callable, after the one that gives its tokens. from is the client of an equal service of
// the program before this one, or nil. Open dials nothing itself; connections
// are made by dial, or by net.Dialer if it is nil.
// Changes of its state go to log.
func (s *Service) Open(from *mesh.Service, dial Dial, log *slog.Logger) (err error) {
	if s.client = from; from != nil {
		return nil
	}
	config := s.config
	config.Dial = dial
	config.Changed = logs(log)
	if config.Credentials, err = s.auth.open(); err != nil {
		return fmt.Errorf("service %s: auth: %w", s.Name.Value, err)
	}
	s.client, err = mesh.Open(s.Name.Value, config)
	return err
}

// Client is what Open opened.
func (s *Service) Client() *mesh.Service { return s.client }

// OpenOver makes the service callable over a transport that stands for the
// network: nothing is looked up. Retries, breakers and timeouts stay what they
// are.
func (s *Service) OpenOver(transport http.RoundTripper) (err error) {
	config := s.config
	config.Transport, config.Endpoints, config.Inject = transport, s.Endpoints(), mesh.Inject{}
	config.Versions, config.Sticky, config.Mirror = nil, mesh.Sticky{}, mesh.Mirror{} // mocks answer for all of them
	config.Affinity = mesh.Affinity{}                                                 // nor are they endpoints to be kept with
	config.Protocol, config.TLS = "", mesh.TLS{}                                      // there is nothing to speak to
	config.Health = mesh.Health{}                                                     // nor to check
	if config.Ejection == (mesh.Ejection{}) {
		config.Panic = 0
	}
	s.client, err = mesh.Open(s.Name.Value, config)
	return err
}

// describe says what a request to the service can come to, which has an
// idempotency key or not.
func (s *Service) describe(method, path string, keyed bool) *engine.PlanCall {
	b := s.config.Bounds(method, keyed)
	return &engine.PlanCall{
		Service: s.Name.Value, Span: s.Name.Span, Method: method, Path: path, Repeats: mesh.Idempotent(method),
		Requests: b.Requests, Time: b.Time, Hang: b.Hang, Callee: s.callee(),
	}
}

// roleOf is where the step at hand, which calls a service, stands. The service is
// nil if there is none of its name.
func roleOf(c *engine.Compiler, s *Service) *engine.Role {
	return c.Role(s != nil && (s.tries() > 1 || s.hedges()), s != nil && s.hedges())
}

// tries is how often a call is tried at most, hedges apart.
func (s *Service) tries() int { return s.config.Retry.Attempts }

func (s *Service) hedges() bool { return s.config.Hedge != mesh.Hedge{} }

// Written are the keys of the service as they are written.
func (s *Service) Written() []engine.Setting { return s.written }

// Config is the configuration of the service, with its defaults.
func (s *Service) Config() mesh.Config { return s.config.Effective() }

// Timeout is how long one attempt may take.
func (s *Service) Timeout() time.Duration { return s.config.Timeout }

// Endpoints are the base URLs of the service. Those that are looked for have
// its name for their host.
func (s *Service) Endpoints() []string { return s.config.Static(s.Name.Value) }
