package mesh

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
	"github.com/weir-run/weir/mesh/h1"
)

// Health asks each endpoint, whether it is called or not, if it is well, and
// leaves out those that are not. [Breaker] and [Ejection] judge by calls, some of
// which have to fail first; a check finds an endpoint that fails before anybody
// calls it, and one that is back without a call at risk. None undoes what another
// one has found.
//
// A check goes over the transport that calls go over, with its TLS, and through
// none of the layers above it. It is not counted among the attempts.
type Health struct {
	// Check is what is asked: "http", for a path; "tcp", for a connection, with TLS
	// if the endpoint has it; "grpc", for what grpc.health.v1.Health says. Empty is
	// none.
	Check string
	// HTTP is what is asked for if Check is "http".
	HTTP HTTPCheck
	// GRPC is what is asked about if Check is "grpc".
	GRPC GRPCCheck
	// Interval is the time from one check of an endpoint to the next, give or take a
	// tenth, so that many clients do not ask at the same moment. The first comes at
	// once. 0 is 10s.
	Interval time.Duration
	// Timeout bounds one check to the end of its reply. It is no longer than
	// Interval. 0 is 1s, or Interval if that is shorter.
	Timeout time.Duration
	// HealthyAfter is how many checks in a row have to succeed until an endpoint
	// that was unhealthy is used again, with a slow start if there is one. 0 is 2.
	HealthyAfter int
	// UnhealthyAfter is how many checks in a row have to fail until an endpoint is
	// left out. 0 is 3.
	UnhealthyAfter int
	// Initial is what an endpoint is until it has been checked: "healthy", the
	// default, since calls may come before any answer, and a check proves no more
	// than a call; or "unhealthy", until its first check succeeds, or HealthyAfter
	// later ones do.
	Initial string
}

// The values of [Health].Check.
const (
	checkHTTP = "http"
	checkTCP  = "tcp"
	checkGRPC = "grpc"
)

// The values of [Health].Initial.
const (
	initiallyHealthy   = "healthy"
	initiallyUnhealthy = "unhealthy"
)

const (
	defaultHealthInterval = 10 * time.Second
	defaultHealthTimeout  = time.Second
	defaultHealthyAfter   = 2
	defaultUnhealthyAfter = 3
)

func (c Health) enabled() bool { return c.Check != "" }

func (c Health) withDefaults() Health {
	if !c.enabled() {
		return c
	}
	c.Interval = orDefault(c.Interval, defaultHealthInterval)
	c.Timeout = orDefault(c.Timeout, min(defaultHealthTimeout, c.Interval))
	c.HealthyAfter = orDefault(c.HealthyAfter, defaultHealthyAfter)
	c.UnhealthyAfter = orDefault(c.UnhealthyAfter, defaultUnhealthyAfter)
	c.Initial = orDefault(c.Initial, initiallyHealthy)
	if c.Check == checkHTTP && len(c.HTTP.Status) == 0 {
		c.HTTP.Status = defaultHealthStatus
	}
	return c
}

// validateHealth also holds the check against what endpoints are spoken to with.
func (c Config) validateHealth(f *faults) {
	h := c.Health
	switch h.Check {
	case "":
		if h.Interval != 0 || h.Timeout != 0 || h.HealthyAfter != 0 || h.UnhealthyAfter != 0 || h.Initial != "" {
			f.add("health", "nothing is checked", "write http: { path: /health }, tcp: {} or grpc: {}")
		}
	case checkHTTP:
		h.HTTP.validate(f)
	case checkTCP:
		if c.Transport != nil {
			f.add("health.tcp", "a Transport makes its connections itself", "check with http or grpc")
		}
	case checkGRPC:
		c.validateGRPC(f)
	default:
		f.add("health.check", fmt.Sprintf("there is no check %q", h.Check), "write http, tcp or grpc")
	}
	f.nonNegative("health.interval", h.Interval)
	f.nonNegative("health.timeout", h.Timeout)
	if every := orDefault(h.Interval, defaultHealthInterval); every > 0 && h.Timeout > every {
		f.add("health.timeout", fmt.Sprintf("%v is longer than interval, %v", h.Timeout, every), fmt.Sprintf("write timeout: %v or less, or a longer interval", every))
	}
	if h.HealthyAfter < 0 {
		f.add("health.healthy_after", "a count cannot be negative", "")
	}
	if h.UnhealthyAfter < 0 {
		f.add("health.unhealthy_after", "a count cannot be negative", "")
	}
	switch h.Initial {
	case "", initiallyHealthy, initiallyUnhealthy:
	default:
		f.add("health.initial", fmt.Sprintf("an endpoint cannot be %q", h.Initial), "write healthy or unhealthy")
	}
}

// validateGRPC looks whether HTTP/2 is spoken. What a file or a source finds is
// not known.
func (c Config) validateGRPC(f *faults) {
	const hint = "write protocol: h2c, or https in endpoints"
	if c.Protocol == protocolHTTP1 {
		f.add("health.grpc", "gRPC is spoken over HTTP/2, and protocol is http1", hint)
		return
	}
	if c.Protocol == protocolH2C || c.Transport != nil {
		return
	}
	for _, e := range c.AllEndpoints() {
		scheme, _, _ := strings.Cut(e, ":")
		if !strings.HasSuffix(scheme, "https") && !(scheme == "file" && discovery.Is(e)) {
			f.add("health.grpc", fmt.Sprintf("gRPC is spoken over HTTP/2, which %s does not speak without TLS", e), hint)
			return
		}
	}
}

// health is what is known of one endpoint from asking it. It is nil without
// checks.
type health struct {
	Health
	ask      func(ctx context.Context) error // within Timeout; an error is a failed check
	own      transport                       // that nothing but checks goes over; nil without one
	overload *overload
	warmup   *warmup
	changes  *changes
	endpoint string
	random   *rand.Rand // of the goroutine that checks

	unhealthy atomic.Bool

	mu          sync.Mutex
	end         context.CancelFunc // of the checks; nil before they begin
	closed      bool
	since       time.Time
	inARow      int // checks that speak against the state
	checks      int64
	failures    int64
	lastFailure time.Time
	failure     error // of the last check; nil if it succeeded
}

// newHealth expects an endpoint that has the rest of its vitals.
func newHealth(endpoint string, base *url.URL, cfg Config, v *vitals) *health {
	if !cfg.Health.enabled() {
		return nil
	}
	h := &health{Health: cfg.Health, overload: cfg.overload, warmup: v.warmup, changes: cfg.changes, endpoint: endpoint, since: time.Now(), random: rand.New(rand.NewPCG(cfg.Random(), cfg.Random()))}
	over := v.transport
	if h.Check != checkTCP && base.Path != "" { // the path of a check is a whole one
		root := *base
		root.Path, root.RawPath = "", ""
		h.own = newTransport(&root, cfg)
		over = h.own
	}
	switch h.Check {
	case checkHTTP:
		h.ask = h.HTTP.over(over, h.Timeout)
	case checkGRPC:
		h.ask = h.GRPC.over(over, h.Timeout)
	case checkTCP:
		h.ask = connects(base, cfg)
	}
	if h.Initial == initiallyUnhealthy {
		h.unhealthy.Store(true)
		h.overload.found(1)
	}
	return h
}

// out reports whether the endpoint is left out.
func (h *health) out() bool { return h != nil && h.unhealthy.Load() }

// begin starts the checks, which end with close.
func (h *health) begin() {
	if h == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.mu.Lock()
	h.end = cancel
	h.mu.Unlock()
	go h.watch(ctx)
}

// watch checks until ctx ends. A check that is late is followed by the next one
// at once, and there is one at a time.
func (h *health) watch(ctx context.Context) {
	for {
		began := time.Now()
		err := h.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		h.changes.tell(h.learn(err))
		tenth := h.Interval / 10
		pause := h.Interval - tenth + time.Duration(h.random.Int64N(int64(2*tenth)+1))
		if sleep(ctx, pause-time.Since(began)) != nil {
			return
		}
	}
}

// learn takes the outcome of a check.
func (h *health) learn(err error) (change Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return change
	}
	h.checks++
	if h.failure = err; err != nil {
		h.failures++
		h.lastFailure = time.Now()
	}
	unhealthy := h.unhealthy.Load()
	if unhealthy == (err != nil) {
		h.inARow = 0
		return change
	}
	h.inARow++
	switch {
	case !unhealthy && h.inARow >= h.UnhealthyAfter:
		h.become(true)
		return Change{What: EndpointUnhealthy, Endpoint: h.endpoint, Because: err.Error()}
	case unhealthy && (h.inARow >= h.HealthyAfter || h.checks == 1):
		h.warmup.begin()
		h.become(false)
		return Change{What: EndpointHealthy, Endpoint: h.endpoint}
	}
	return change
}

// become changes the state. mu is held.
func (h *health) become(unhealthy bool) {
	h.inARow, h.since = 0, time.Now()
	h.unhealthy.Store(unhealthy)
	if unhealthy {
		h.overload.found(1)
	} else {
		h.overload.found(-1)
	}
}

// close ends the checks without waiting for the one that is under way. An
// endpoint that nobody checks any more counts as healthy.
func (h *health) close() {
	if h == nil {
		return
	}
	h.mu.Lock()
	if h.unhealthy.Load() {
		h.become(false)
	}
	h.closed = true
	if h.end != nil {
		h.end()
	}
	h.mu.Unlock()
	if h.own != nil {
		h.own.close()
	}
}

// HealthStats are what checks have found of an endpoint.
type HealthStats struct {
	Healthy     bool
	Since       time.Time // when it became that, or was new
	Checks      int64     // that have ended
	Failures    int64     // those of them that failed
	LastFailure time.Time // of the last of those; zero if there was none
	Failure     error     // why the last check failed; nil if it succeeded
}

func (h *health) stats() *HealthStats {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return &HealthStats{
		Healthy: !h.unhealthy.Load(), Since: h.since, Checks: h.checks,
		Failures: h.failures, LastFailure: h.lastFailure, Failure: h.failure,
	}
}

// checkOptions bound a check that begins now.
func checkOptions(timeout time.Duration) h1.Options {
	return h1.Options{Deadline: time.Now().Add(timeout), Prompt: true}
}
