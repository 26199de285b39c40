package gateway

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/gateway/usage"
)

// Defaults of [Options].
const (
	DefaultMaxBody      = 10 << 20 // bytes
	DefaultMaxURL       = 8 << 10  // bytes
	DefaultMaxFields    = 100
	DefaultStallTimeout = 30 * time.Second
	DefaultMinBodyRate  = 512 // bytes per second
)

// Options are what all routes of a gateway share. Log and Metrics must be set.
type Options struct {
	Gateway string // a label of metrics and logs
	Log     *slog.Logger
	Metrics *Metrics
	// MaxBody caps the bodies of requests, in bytes. 0 is DefaultMaxBody,
	// negative is no cap.
	MaxBody int64
	// StallTimeout is how long a client may keep the gateway waiting: in all
	// for the body of a request, beyond the time that MinBodyRate gives it,
	// and for each piece of an answer. 0 is DefaultStallTimeout, negative is
	// without end.
	StallTimeout time.Duration
	// MinBodyRate is in bytes per second. 0 is DefaultMinBodyRate.
	MinBodyRate int64
	// DeadlineHeader names the field in which callers tell how long they wait, for
	// which the deadline of their route is shortened; "" is none. See package mesh.
	DeadlineHeader string
	// Redactor takes secrets out of problem documents. It may be nil.
	Redactor *dsl.Redactor
	// MaxURL caps the target of a request, in bytes, and MaxFields its header, in
	// fields. 0 is DefaultMaxURL and DefaultMaxFields, negative is no cap.
	MaxURL, MaxFields int
	// Proxies are those that are trusted to say where requests come from.
	Proxies Proxies
	// Layers are the policies of requests that no route takes, outermost first.
	Layers []Layer
	// Tracer decides which requests are recorded as spans. It may be nil.
	Tracer *trace.Tracer
	// Assumed is who sends all requests, for tests: nobody has to show it. Nil:
	// policies find out.
	Assumed *engine.Consumer
	// Revision tells spans which state of the files is served.
	Revision string
	// Access gets a record of each request. It may be nil.
	Access *AccessLog
	// Faults counts requests that fail, and Recent keeps requests. Both may be nil.
	Faults *Faults
	Recent *Recent
	// Limited counts requests that limits refuse. It may be nil.
	Limited *Limited
	// Usage counts who uses what. It may be nil.
	Usage *usage.Usage
}

// Middleware is the shape of every layer and of every policy. It is built once
// and shared by all requests.
type Middleware func(http.Handler) http.Handler

// NewHandler puts a gateway's layers around its routes. Their order, with the
// reasons, is in the package's documentation.
func NewHandler(rt *Router, o Options) http.Handler {
	o = o.withDefaults()
	h := &recorder{router: rt, options: o, stats: make([]stats, len(rt.routes))}
	for i, route := range rt.routes {
		h.stats[i] = stats{metrics: o.Metrics, gateway: o.Gateway, route: route.Name, method: methodLabel(route.Method)}
	}
	h.inFlight = o.Metrics.inFlight.WithLabelValues(o.Gateway)
	if o.Access != nil {
		h.accessWritten, h.accessDropped = o.Metrics.access.WithLabelValues(o.Gateway, "taken"), o.Metrics.access.WithLabelValues(o.Gateway, "dropped")
	}
	outer := recoverPanics(o)
	h.chains = newChains(rt, o.Layers, func(inner http.Handler) http.Handler { return outer(refuseAmbiguous(o, capBody(inner))) })
	return h
}

func (o Options) withDefaults() Options {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	o.MaxURL = cmp.Or(o.MaxURL, DefaultMaxURL)
	o.MaxFields = cmp.Or(o.MaxFields, DefaultMaxFields)
	if o.StallTimeout == 0 {
		o.StallTimeout = DefaultStallTimeout
	}
	if o.MinBodyRate <= 0 {
		o.MinBodyRate = DefaultMinBodyRate
	}
	o.DeadlineHeader = http.CanonicalHeaderKey(o.DeadlineHeader)
	return o
}

// recorder is the outermost layer.
type recorder struct {
	router   *Router
	options  Options
	chains   *chains
	stats    []stats // by Route.index
	inFlight prometheus.Gauge

	accessWritten, accessDropped prometheus.Counter // of Options.Access
}

func (h *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := h.newRequest(r)
	q.Start, q.ID, q.redactor = time.Now(), q.requestID(r.Header), h.options.Redactor
	q.assumed, q.log = h.options.Assumed, h.options.Log
	found := h.router.asked(r).Match(asked(r), q.varRoom[:0])
	q.Route, q.Vars, q.Choice, q.verdict = found.Route, found.Vars, found.Choice, found.Verdict
	q.w = responseWriter{ResponseWriter: w, request: q, stall: h.options.StallTimeout}
	h.options.Recent.watch(q)
	q.ctx.Context, q.ctx.record = r.Context(), q
	if q.Route != nil && q.Route.Deadline > 0 {
		q.ctx.deadline = q.Start.Add(q.Route.Deadline)
	}
	if h.options.DeadlineHeader != "" {
		if left, ok := waits(r.Header, h.options.DeadlineHeader); ok {
			if d := q.Start.Add(left); q.ctx.deadline.IsZero() || d.Before(q.ctx.deadline) {
				q.ctx.deadline = d
			}
		}
	}
	q.idRoom[0] = q.ID
	w.Header()[headerRequestID] = q.idRoom[:]

	h.inFlight.Inc()
	completed := false
	defer func() { h.finish(q, r, completed) }()
	if r.ProtoMajor >= 2 {
		q.w.stream = &streamWatch{expire: http.NewResponseController(w).SetWriteDeadline}
	} else {
		q.w.arm(q.Start)
	}
	q.inner = *r.WithContext(&q.ctx) // a copy that costs no memory of its own
	inner := &q.inner
	h.limitBody(q, inner)
	from := h.options.Proxies.origin(r)
	q.proxies = &h.options.Proxies
	q.input = engine.Input{ID: q.ID, Request: inner, Params: q, Remote: from.remote, Host: from.host, Scheme: from.scheme, Trace: q.Trace}
	if q.Choice != nil && len(q.Choice.Headers) > 0 {
		q.BeforeAnswer(q.Choice)
	}
	if q.Route != nil && q.Route.Version != nil {
		q.input.Version = q.Route.Version.Name
		if q.Route.Version.old() {
			q.BeforeAnswer(q.Route.Version)
		}
	}
	h.chains.of(h.router, q, r).ServeHTTP(&q.w, inner)
	if len(q.editors) > 0 && !q.w.begun() {
		q.w.WriteHeader(http.StatusOK) // as the server does
	}
	completed = true
}

// asked is what of a request its route is found by.
func asked(r *http.Request) Asked { return Asked{Method: r.Method, URL: r.URL, Header: r.Header} }

// limitBody replaces the body of a request that has one.
func (h *recorder) limitBody(q *Request, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	limit := h.options.MaxBody
	if q.Route != nil && q.Route.MaxBody != 0 {
		limit = q.Route.MaxBody
	}
	b := &q.body
	b.ReadCloser, b.responder = r.Body, q.w.ResponseWriter
	b.capped, b.limit, b.left = limit >= 0, limit, max(limit, 0)
	b.stall, b.rate, b.credit = h.options.StallTimeout, h.options.MinBodyRate, h.options.StallTimeout
	b.asks = r.Header["Expect"] != nil
	if r.ProtoMajor >= 2 {
		if engine.IsGRPC(r.Header) {
			b.stall = 0 // messages come when there is something to say, and cost nothing until then
		}
		b.stream = &streamWatch{expire: http.NewResponseController(b.responder).SetReadDeadline}
	}
	r.Body = b
}

func (h *recorder) finish(q *Request, r *http.Request, completed bool) {
	now := time.Now()
	q.body.end()
	q.ctx.release()
	took := now.Sub(q.Start)
	q.w.last(now) // the server sends the rest of its buffer
	if completed && !q.w.begun() {
		q.w.status = http.StatusOK // as the server does
	}
	h.inFlight.Dec()
	h.count(q, r, took, now)
	h.record(q, r, now, completed)
	if h.options.Access != nil {
		h.options.Access.write(h, q, r, now, completed)
	}
	if h.options.Usage != nil {
		h.use(q, r, took, completed)
	}
	if q.Limited != "" {
		h.options.Limited.add(h.options.Gateway, q, now)
	}
	if h.options.Recent != nil {
		h.options.Recent.add(h, q, r, now, completed)
	}
	if q.w.status >= http.StatusInternalServerError || !completed {
		if q.failed() || q.Refused != "" {
			h.options.Faults.add(h.options.Gateway, q, r, now)
		}
		h.log(q, r, took)
	}
}

// failed reports, of a request that ended with a status of 500 or above, or was
// cut off, that something has gone wrong: a policy that refuses, as in maintenance
// or when there is too much to do, does what it is there for, and what no route
// takes is the fault of who sends it.
func (q *Request) failed() bool {
	return q.Err != nil || q.Code == CodeInternal || q.Route != nil && q.Refused == ""
}

func (h *recorder) count(q *Request, r *http.Request, took time.Duration, now time.Time) {
	if q.Route != nil {
		h.stats[q.Route.index].count(q.w.status, took, q.Trace, now)
		h.countRefusal(q, q.Route.Name)
		return
	}
	h.countRefusal(q, "")
	m := h.options.Metrics
	if q.w.status >= http.StatusBadRequest {
		m.unrouted.WithLabelValues(h.options.Gateway, q.verdict.String()).Inc()
	}
	(&stats{metrics: m, gateway: h.options.Gateway, method: knownMethod(r.Method)}).count(q.w.status, took, q.Trace, now)
}

func (h *recorder) countRefusal(q *Request, route string) {
	if q.Refused != "" {
		h.options.Metrics.refused.WithLabelValues(h.options.Gateway, route, q.Refused, q.Code).Inc()
	}
}

// log notes a request that failed, with its cause, or was refused as if it had.
func (h *recorder) log(q *Request, r *http.Request, took time.Duration) {
	name := ""
	if q.Route != nil {
		name = q.Route.Name
	}
	level, what := slog.LevelError, "request failed"
	switch {
	case !q.failed():
		level, what = slog.LevelDebug, "request refused" // as many as anyone sends
	case r.Context().Err() != nil:
		level = slog.LevelInfo // the client has gone
	}
	if !h.options.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("gateway", h.options.Gateway),
		slog.String("route", name),
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", q.w.status),
		slog.String("code", q.Code),
		slog.String("request_id", q.ID),
		slog.String("config", h.options.Revision),
		slog.Duration("took", took),
		slog.String("error", cause(q)),
	}
	var tried interface{ Trail() string }
	if errors.As(q.Err, &tried) {
		if trail := tried.Trail(); trail != "" {
			attrs = append(attrs, slog.String("attempts", trail))
		}
	}
	if id := q.Trace.Context().TraceID; id.Valid() {
		attrs = append(attrs, slog.String("trace_id", id.String()))
	}
	h.options.Log.LogAttrs(r.Context(), level, what, attrs...)
}

// recoverPanics turns a panic into a 500, or cuts off an answer that has begun.
func recoverPanics(o Options) Middleware {
	panics := o.Metrics.panics.WithLabelValues(o.Gateway)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler {
					panic(v)
				}
				panics.Inc()
				o.Log.LogAttrs(r.Context(), slog.LevelError, "panic",
					slog.String("gateway", o.Gateway),
					slog.String("request_id", FromContext(r.Context()).ID),
					slog.Any("panic", v),
					slog.String("stack", string(debug.Stack())),
				)
				WriteProblem(w, r, Problem{Status: http.StatusInternalServerError, Code: CodeInternal})
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// capBody refuses a body that announces itself as too large before a byte of
// it is read. One that does not is cut off while it is read.
func capBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, ok := r.Body.(*body); ok && b.capped && r.ContentLength > b.limit {
			b.refused.Store(true)
			WriteProblem(w, r, bodyTooLarge(b.limit))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// dispatch carries out the router's verdict.
func dispatch(rt *Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := FromContext(r.Context())
		switch q.verdict {
		case Matched:
			q.Route.Handler.ServeHTTP(w, r)
		case BadPath:
			WriteProblem(w, r, Problem{Status: http.StatusBadRequest, Code: CodeBadPath,
				Detail: "The path holds dot segments, empty segments, backslashes, control characters or bad UTF-8."})
		case MethodNotAllowed:
			w.Header().Set("Allow", rt.asked(r).Allow(r.URL))
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			WriteProblem(w, r, Problem{Status: http.StatusMethodNotAllowed, Code: CodeMethodNotAllowed,
				Detail: "The resource does not take this method; Allow names those that it takes."})
		case Unmatched:
			WriteProblem(w, r, Problem{Status: http.StatusNotFound, Code: CodeRouteNotFound,
				Detail: "Routes take this path, but not with these headers or parameters."})
		case NotAcceptable:
			WriteProblem(w, r, Problem{Status: http.StatusNotAcceptable, Code: CodeNotAcceptable,
				Detail: "There is nothing of the media type that Accept prefers."})
		case UnsupportedType:
			WriteProblem(w, r, Problem{Status: http.StatusUnsupportedMediaType, Code: CodeUnsupportedType,
				Detail: "The resource does not take this Content-Type."})
		case UnknownVersion:
			WriteProblem(w, r, unknownVersion(rt.asked(r), asked(r)))
		case Misdirected:
			WriteProblem(w, r, Problem{Status: http.StatusMisdirectedRequest, Code: CodeMisdirected,
				Detail: "Nothing is served here for this host."})
		default:
			WriteProblem(w, r, Problem{Status: http.StatusNotFound, Code: CodeRouteNotFound,
				Detail: "No route takes this path."})
		}
	})
}
