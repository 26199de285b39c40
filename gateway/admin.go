package gateway

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-run/weir/dsl"
)

// DefaultAdminAddr is reachable from this machine only: what admin endpoints
// show is not for callers.
const DefaultAdminAddr = "127.0.0.1:9900"

// AdminListener is the configuration of an admin listener, whose answers are
// small and whose clients are near.
var AdminListener = ListenerConfig{Name: "admin", ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute}

// Admin serves /healthz, /readyz and /metrics, and what Handle and HandleChange
// add.
type Admin struct {
	// Access is who may use them. It is set before the first request; the zero one
	// shows nobody more than those three.
	Access AdminAccess

	mux     http.ServeMux
	guarded http.Handler
}

// NewAdmin makes the admin handler. ready is asked on each /readyz; its error
// is why the process should get no requests now, and is shown.
func NewAdmin(ready func() error, metrics prometheus.Gatherer) *Admin {
	a := new(Admin)
	a.guarded = a.Access.guard(&a.mux)
	a.Handle("GET /healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plain(w, "ok") }))
	a.Handle("GET /readyz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := ready(); err != nil {
			WriteProblem(w, r, Problem{Status: http.StatusServiceUnavailable, Code: CodeUnavailable, Detail: err.Error()})
			return
		}
		plain(w, "ready")
	}))
	a.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	a.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteProblem(w, r, Problem{Status: http.StatusNotFound, Code: CodeRouteNotFound})
	}))
	return a
}

func plain(w http.ResponseWriter, text string) {
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	w.Header()["Cache-Control"] = cacheControlNoStore
	_, _ = io.WriteString(w, text+"\n")
}

// Handle adds an endpoint, with a pattern of http.ServeMux. All are added
// before the first request; two of one pattern are a programming error.
func (a *Admin) Handle(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// HandleChange adds an endpoint that changes something: it is refused unless the
// access allows that, and bodies of requests are bounded.
func (a *Admin) HandleChange(pattern string, h http.Handler) {
	a.mux.Handle(pattern, a.Access.change(h))
}

func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.guarded.ServeHTTP(w, r) }

// Redacted is a handler whose answers hold no secrets. It is for answers that are
// small: as soon as there are secrets, each is held until it is whole.
func Redacted(redactor *dsl.Redactor, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if redactor.Empty() {
			next.ServeHTTP(w, r)
			return
		}
		r = r.Clone(r.Context())
		r.Header.Del("Accept-Encoding") // what is compressed cannot be looked into
		held := &heldAnswer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(held, r)
		body := redactor.Bytes(held.body.Bytes())
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
		w.WriteHeader(held.status)
		_, _ = w.Write(body) // a client that has gone is no fault
	})
}

// heldAnswer keeps an answer until it is whole.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) WriteHeader(status int) { h.status = status }

func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }
