package gateway

import (
	"math/bits"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/engine/trace"
)

// Metrics are the gateways' metrics. They belong to the process and outlive
// configurations, so that counters only ever grow.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *durations
	inFlight *prometheus.GaugeVec
	panics   *prometheus.CounterVec
	unrouted *prometheus.CounterVec
	refused  *prometheus.CounterVec
	access   *prometheus.CounterVec

	connections *prometheus.GaugeVec
	rejected    *prometheus.CounterVec
	malformed   *prometheus.CounterVec
}

// NewMetrics registers the gateways' metrics. Its error is that of a second
// registration.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_http_requests_total",
			Help: "Requests answered, by class of status; aborted is an answer that was cut off before it began.",
		}, []string{"gateway", "route", "method", "status"}),
		duration: newDurations("weir_http_request_duration_seconds", "Time from the end of the request's header to the end of the answer.", [3]string{"gateway", "route", "method"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_http_requests_in_flight",
			Help: "Requests being answered.",
		}, []string{"gateway"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_http_panics_total",
			Help: "Requests that ended in a panic, which is a fault of weir itself.",
		}, []string{"gateway"}),
		unrouted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_http_unrouted_requests_total",
			Help: "Requests that no route took, by reason.",
		}, []string{"gateway", "reason"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_http_connections",
			Help: "Connections of clients that are open.",
		}, []string{"gateway"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_http_connections_rejected_total",
			Help: "Connections that were closed for what they are: one too many (connections, address), of a client that takes back its requests (resets), or by a handshake or a header of the PROXY protocol that failed.",
		}, []string{"gateway", "reason"}),
		malformed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_http_malformed_requests_total",
			Help: "Requests that are no HTTP, or that two readers may understand differently, by what is wrong.",
		}, []string{"gateway", "reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_policy_refusals_total",
			Help: "Requests that a policy refused, by the code of the problem that they were answered with.",
		}, []string{"gateway", "route", "policy", "code"}),
		access: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_access_log_records_total",
			Help: "Records of the access log by what became of them: taken, or dropped for lack of room.",
		}, []string{"gateway", "outcome"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.panics, m.unrouted, m.refused, m.access, m.connections, m.rejected, m.malformed} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// stats are the series of one route. Each is looked up when it first counts,
// so that a request path has no labels to resolve and a route that nobody
// calls has no series.
type stats struct {
	metrics                *Metrics
	gateway, route, method string
	classes                [len(classNames)]atomic.Pointer[prometheus.Counter]
	duration               atomic.Pointer[*duration]
	shown                  [8]atomic.Uint32 // when an exemplar was made last, in Unix seconds, by about how long it took
}

// shows reports whether a request becomes an exemplar, which costs as much as
// two spans. Who scrapes sees the last of each bucket, so one a second will do;
// what is slow and rare must not be crowded out by what is quick, so each
// fourfold of time counts for itself.
func (s *stats) shows(took time.Duration, now time.Time) bool {
	last := &s.shown[min(bits.Len64(uint64(took.Milliseconds()))/2, len(s.shown)-1)]
	before, second := last.Load(), uint32(now.Unix())
	return before != second && last.CompareAndSwap(before, second)
}

var classNames = [...]string{"aborted", "1xx", "2xx", "3xx", "4xx", "5xx"}

func (s *stats) count(status int, took time.Duration, t *trace.Trace, now time.Time) {
	class := status / 100
	if class >= len(classNames) {
		class = len(classNames) - 1
	}
	lookUp(&s.classes[class], func() prometheus.Counter {
		return s.metrics.requests.WithLabelValues(s.gateway, s.route, s.method, classNames[class])
	}).Inc()
	series := lookUp(&s.duration, func() *duration { return s.metrics.duration.with(s.gateway, s.route, s.method) })
	if t.Recording() && s.shows(took, now) {
		// An exemplar leads from a bucket to a trace of a request that fell into it.
		series.exemplify(took, t.Context().TraceID.String(), now)
		return
	}
	series.observe(took)
}

func lookUp[T any](p *atomic.Pointer[T], find func() T) T {
	if found := p.Load(); found != nil {
		return *found
	}
	found := find()
	p.Store(&found)
	return found
}

// knownMethod bounds the values of the method label where clients choose it.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace, "QUERY":
		return method
	default:
		return "other"
	}
}

// methodLabel is the route's method, so that a route has one series.
func methodLabel(method string) string {
	if method == "" {
		return "any"
	}
	return method
}

// listenerMetrics are those of the connections of one listener.
type listenerMetrics struct {
	gateway             string
	connections         prometheus.Gauge
	rejected, malformed *prometheus.CounterVec // of gateway and reason
}

func (m *Metrics) ofListener(gateway string) *listenerMetrics {
	return &listenerMetrics{gateway: gateway, connections: m.connections.WithLabelValues(gateway), rejected: m.rejected, malformed: m.malformed}
}

func (m *listenerMetrics) count(what *prometheus.CounterVec, reason string) {
	what.WithLabelValues(m.gateway, reason).Inc()
}
