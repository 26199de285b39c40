package mesh

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
	"github.com/weir-run/weir/mesh/h1"
)

// Endpoint is one place that serves a service, as it is in one set of endpoints.
type Endpoint struct {
	target  discovery.Target
	index   int // in its set
	version int // of the service; 0 without versions
	*vitals
}

// vitals are what is known of an endpoint and what leads to it. They outlive
// the set that an Endpoint is in.
type vitals struct {
	transport transport
	breaker   *breaker  // nil without one
	limit     *limiter  // nil if it does not limit endpoints
	latency   *latency  // nil unless the balancer asks for it
	warmup    *warmup   // nil without a slow start
	ejection  *ejection // nil without one
	health    *health   // nil without checks
	code      string    // in cookies; empty without affinity

	attempts atomic.Int64
	inFlight atomic.Int64
	failures failures
}

// Address returns the endpoint's base URL as it was configured or found.
func (e *Endpoint) Address() string { return e.target.URL }

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

// newEndpoint expects a target whose URL is valid.
func newEndpoint(target discovery.Target, cfg Config, clock func() time.Duration) *Endpoint {
	u, _, _ := parseEndpoint(target.URL)
	cfg.host = target.Host
	e := &Endpoint{target: target, vitals: &vitals{breaker: newBreaker(cfg.Breaker, "attempts", cfg.Timeout, clock, cfg.Random), warmup: newWarmup(cfg, clock), ejection: cfg.ejector.endpoint()}}
	if e.breaker != nil {
		e.breaker.changes, e.breaker.endpoint = cfg.changes, target.URL
		e.breaker.closed = e.warmup.begin
		if cfg.overload != nil {
			e.breaker.changed = cfg.overload.changed
		}
	}
	if cfg.Balance == balancePeakEWMA {
		e.latency = new(latency)
	}
	e.code = cfg.Affinity.code(e)
	e.transport = newTransport(u, cfg)
	e.health = newHealth(target.URL, u, cfg, e.vitals)
	return e
}

// close ends what the endpoint does by itself.
func (e *Endpoint) close() {
	e.health.close()
	e.ejection.close()
	e.transport.close()
}
