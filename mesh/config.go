package mesh

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/mesh/h1"

	"github.com/weir-run/weir/mesh/discovery"
)

// Config describes one service. The zero value of a field is its default.
type Config struct {
	// Endpoints are the base URLs that serve the same thing:
	// "http://host:port", "https://host", each with a path before which the
	// request's own is appended, if wanted; or where to look for such URLs, as
	// discovery.Location says. At least one, if there are no Discovery.Sources.
	Endpoints []string
	// Versions, in place of Endpoints, share the calls between versions of the
	// service.
	Versions []Version
	// Sticky is what keeps a user with one version.
	Sticky Sticky
	// Discovery is how endpoints are found.
	Discovery Discovery
	// Balance names the way endpoints are chosen; "peak_ewma" is the default.
	Balance string
	// Hash is what decides where a request goes, if Balance goes by a hash.
	Hash Hash
	// Affinity is off unless Cookie is set.
	Affinity Affinity
	// Zone is where the caller runs. Endpoints that are known to be in another
	// zone, or in none, are used when there is no usable one in it.
	Zone string
	// Deadline bounds a call with all its attempts and the pauses between them, to
	// where Timeout ends: a call that runs into it is a [Timeout] of the service,
	// where the end of the caller's context is not. 0 is none.
	Deadline time.Duration
	// DeadlineHeader names the header field in which each attempt tells the
	// endpoint how long its reply is waited for: milliseconds, or what gRPC wants
	// if it is "grpc-timeout". Empty is none.
	DeadlineHeader string
	// Timeout bounds one attempt, from picking an endpoint to the last byte of
	// the body (the last of the header if [Call].Stream). 0 is none. While a long
	// request body is sent it starts anew with each piece that the endpoint takes,
	// and does not run while there is nothing to send.
	Timeout time.Duration
	// StreamIdleTimeout bounds each wait for more of the body of a streamed reply
	// ([Call].Stream). 0 is none.
	StreamIdleTimeout time.Duration
	// ConnectTimeout bounds making a connection, with TLS. 0 is 1s.
	ConnectTimeout time.Duration
	// MaxBody bounds a reply that is read as a whole ([Call].Buffer), in bytes.
	// 0 is 10 MiB.
	MaxBody int64
	// Observe, if set, gets the record of each attempt when it is known what
	// follows it, on the goroutine of the call, which waits for it.
	Observe func(ctx context.Context, a Attempt)
	// Changed, if set, is told when the state of the service or of an endpoint
	// changes, on the goroutine that changes it, which waits for it. It is told of 20
	// changes at once, and of one a second after that.
	Changed func(Change)
	// Retry is off unless Attempts is more than 1.
	Retry Retry
	// Hedge is off unless Extra or Quantile is set.
	Hedge Hedge
	// Breaker is each endpoint's. It is off unless Failures, Ratio or Slow is set.
	Breaker Breaker
	// ServiceBreaker is the service's, which counts calls: those that fail when
	// all attempts have been made. It is off unless Failures, Ratio or Slow is
	// set.
	ServiceBreaker Breaker
	// Limit is off unless Concurrent, Adaptive.Max or PerEndpoint is set.
	Limit Limit
	// Rate is off unless Requests is set.
	Rate Rate
	// Ejection is off unless Failures or Ratio is set.
	Ejection Ejection
	// Health is off unless Check is set.
	Health Health
	// Panic is the share of the endpoints, from 0 to 1, below which too few are
	// usable, neither ejected, nor unhealthy, nor stopped by their breakers: then
	// all are used again that are not draining. It needs Ejection or Health. 0 is a
	// half.
	Panic float64
	// SlowStart is how long an endpoint that is new, was ejected, or whose breaker
	// has just closed, takes to get its whole share of the attempts. 0 is none: it gets it
	// at once, as those do that a service begins with.
	SlowStart time.Duration
	// Mirror is off unless Share is set.
	Mirror Mirror
	// Inject is off unless Delay or Abort is set. It is for tests.
	Inject Inject
	// Protocol names what endpoints are spoken to with: "auto", the default, is
	// HTTP/1.1 for http, and what the server prefers of HTTP/2 and HTTP/1.1 for
	// https (ALPN); "http1"; "http2", over TLS and nothing less; "h2c", HTTP/2
	// without TLS and without asking before (RFC 9113 section 3.3).
	Protocol string
	// TLS is for https endpoints.
	TLS TLS
	// Credentials, if set, are what requests are sent with that have no field
	// Authorization of their own. They may be those of several services; the one
	// that was opened last is told when they change.
	Credentials Credentials
	// Dial, if set, makes connections in place of net.Dialer, those of discovery
	// ("udp", too) included. Its context ends with ConnectTimeout, or with the
	// bound of what is looked up.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Transport, if set, carries all attempts in place of the package's own.
	// Its requests have absolute URLs, and contexts with the attempt's deadline.
	Transport http.RoundTripper
	// Random, if set, is what chance is drawn from in place of the generator of
	// the runtime. It is safe for concurrent use.
	Random func() uint64

	host     string    // of one endpoint: what its target says
	ramps    *ramps    // of the endpoints of a service
	overload *overload // of a service that leaves out endpoints
	ejector  *ejector  // of a service with ejection
	trust    *trust    // what TLS comes to; nil with a Transport
	changes  *changes  // of a service; nil without Changed
}

// ConfigError is one fault of a [Config]. Field is the path of the value at
// fault, in the lower-case names of the fields: "endpoints[1]", "retry.on[0]".
type ConfigError struct {
	Field   string
	Message string // one sentence without a period
	Hint    string // what to write instead, or empty
}

func (e ConfigError) Error() string {
	s := e.Field + ": " + e.Message
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

const (
	defaultConnectTimeout = time.Second
	defaultMaxBody        = 10 << 20
)

// withDefaults fills in what was left zero. It expects a valid configuration.
func (c Config) withDefaults() Config {
	c.ConnectTimeout = orDefault(c.ConnectTimeout, defaultConnectTimeout)
	c.MaxBody = orDefault(c.MaxBody, defaultMaxBody)
	c.Balance = orDefault(c.Balance, defaultBalance)
	c.Inject.Share = orDefault(c.Inject.Share, 1)
	if c.Random == nil {
		c.Random = rand.Uint64
	}
	c.Protocol = orDefault(c.Protocol, protocolAuto)
	c.Retry = c.Retry.withDefaults()
	c.Hedge = c.Hedge.withDefaults()
	c.Limit, c.Rate = c.Limit.withDefaults(), c.Rate.withDefaults()
	c.Breaker, c.ServiceBreaker = c.Breaker.withDefaults(), c.ServiceBreaker.withDefaults()
	c.Ejection, c.Health = c.Ejection.withDefaults(), c.Health.withDefaults()
	if c.Ejection.enabled() || c.Health.enabled() {
		c.Panic = orDefault(c.Panic, defaultPanic)
	}
	c.Affinity = c.Affinity.withDefaults()
	c.Mirror = c.Mirror.withDefaults(c.Timeout)
	return c
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Validate returns all faults of a configuration, in the order of its fields.
func Validate(c Config) []ConfigError {
	var faults faults
	if len(c.Endpoints) == 0 && len(c.Versions) == 0 && len(c.Discovery.Sources) == 0 {
		faults.add("endpoints", "a service needs at least one endpoint", `write endpoints: ["http://host:port"]`)
	}
	faults.endpoints("endpoints", c.Endpoints, map[string]bool{})
	c.validateVersions(&faults)
	if c.Balance != "" && balancers[c.Balance] == nil {
		faults.add("balance", fmt.Sprintf("there is no balancer %q", c.Balance), "write "+strings.Join(Balancers(), ", "))
	} else {
		c.Hash.validate(&faults, orDefault(c.Balance, defaultBalance))
	}
	faults.nonNegative("deadline", c.Deadline)
	if c.DeadlineHeader != "" && !h1.ValidName(c.DeadlineHeader) {
		faults.add("deadline_header", fmt.Sprintf("%q is not the name of a header", c.DeadlineHeader), "write deadline_header: X-Envoy-Expected-Rq-Timeout-Ms")
	}
	c.Affinity.validate(&faults)
	c.Mirror.validate(&faults, c.Versions)
	c.Inject.validate(&faults)
	faults.nonNegative("timeout", c.Timeout)
	faults.nonNegative("stream_idle_timeout", c.StreamIdleTimeout)
	faults.nonNegative("connect_timeout", c.ConnectTimeout)
	c.validateProtocol(&faults)
	c.TLS.validate(&faults)
	if c.MaxBody < 0 {
		faults.add("max_body", "a size cannot be negative", "")
	}
	c.Retry.validate(&faults)
	c.Hedge.validate(&faults)
	c.Limit.validate(&faults)
	c.Rate.validate(&faults)
	c.Breaker.validate(&faults, "breaker")
	c.ServiceBreaker.validate(&faults, "service_breaker")
	c.Ejection.validate(&faults)
	c.validateHealth(&faults)
	c.validatePanic(&faults)
	faults.nonNegative("slow_start", c.SlowStart)
	return faults
}

type faults []ConfigError

func (f *faults) add(field, message, hint string) {
	*f = append(*f, ConfigError{Field: field, Message: message, Hint: hint})
}

// endpoints adds the faults of a list of endpoints, and those that are in it to
// the ones seen.
func (f *faults) endpoints(at string, endpoints []string, seen map[string]bool) {
	for i, e := range endpoints {
		field := fmt.Sprintf("%s[%d]", at, i)
		key, message, hint := endpointKey(e)
		if message != "" {
			f.add(field, message, hint)
			continue
		}
		if seen[key] {
			f.add(field, fmt.Sprintf("endpoint %q is listed twice", e), "remove one")
		}
		seen[key] = true
	}
}

func (f *faults) nonNegative(field string, d time.Duration) {
	if d < 0 {
		f.add(field, "a duration cannot be negative", "")
	}
}

// parseEndpoint reads a base URL. The path of the result has no trailing slash.
func parseEndpoint(s string) (u *url.URL, message, hint string) {
	const example = `write "http://host:port" or "https://host/base"`
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Scheme == "" || u.Host == "" && (u.Scheme == "http" || u.Scheme == "https") {
		if host, port, ok := strings.Cut(s, ":"); host != "" && !strings.Contains(s, "/") && (!ok || strings.Trim(port, "0123456789") == "") {
			return nil, fmt.Sprintf("%q has no scheme", s), fmt.Sprintf(`write "http://%s" or "https://%s"`, s, s)
		}
		return nil, fmt.Sprintf("%q is not a base URL", s), example
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Sprintf("scheme %q is not supported", u.Scheme),
			example + "; endpoints can be looked for with " + strings.Join(discovery.Schemes(), ", ")
	case u.Hostname() == "":
		return nil, fmt.Sprintf("%q has no host", s), example
	case u.User != nil:
		return nil, "an endpoint cannot carry a user and password", "write headers: { authorization: ... } beside endpoints"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "an endpoint has no query and no fragment", "write query: in the call"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Sprintf("%q is not a port", p), "write a number from 1 to 65535"
		}
	}
	escaped := strings.TrimRight(u.EscapedPath(), "/")
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	if u.EscapedPath() != escaped {
		u.RawPath = escaped
	}
	return u, "", ""
}

// Balancers returns the names that [Config].Balance may have.
func Balancers() []string {
	names := make([]string, 0, len(balancers))
	for name := range balancers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
