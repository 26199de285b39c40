package mesh

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// Endpoint is one place that serves a service.
type Endpoint struct {
	address   string
	transport transport
	breaker   *breaker // nil without one

	attempts atomic.Int64
	inFlight atomic.Int64
	failures [classes]atomic.Int64
}

// Address returns the endpoint's base URL as it was configured.
func (e *Endpoint) Address() string { return e.address }

// InFlight returns the number of attempts under way, those whose reply is still
// being read included.
func (e *Endpoint) InFlight() int64 { return e.inFlight.Load() }

// transport carries attempts to one endpoint.
type transport interface {
	// roundTrip is http.RoundTripper's with the attempt's deadline beside the
	// request rather than in its context, which the fast path has no use for.
	roundTrip(req *http.Request, o h1.Options) (*http.Response, error)
	close()
	connections() (dialed, closed int64)
}

// newEndpoint expects a base that Validate has accepted.
func newEndpoint(base string, cfg Config, clock func() time.Duration) *Endpoint {
	u, _, _ := parseEndpoint(base)
	e := &Endpoint{address: base, breaker: newBreaker(cfg.Breaker, clock)}
	switch {
	case cfg.Transport != nil:
		e.transport = &stdTransport{base: u, rt: cfg.Transport}
	case u.Scheme == "https":
		e.transport = newStdTransport(u, cfg)
	default:
		e.transport = newH1Transport(u, cfg)
	}
	return e
}
