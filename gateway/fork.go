package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/weir-run/weir/engine"
)

// Fork makes a request of its own out of one that has no body, or one that was
// read (r.GetBody): it asks the same of the same route, for the same consumer, in
// the same trace, with a header of its own. Whoever works on it answers to w, and
// may go on when r is over. It ends with ctx, or when the route's deadline, which
// begins anew, has passed; release frees what that takes.
func Fork(ctx context.Context, r *http.Request, w http.ResponseWriter) (fork *Request, release func()) {
	q := FromContext(r.Context())
	f := &Request{Route: q.Route, ID: q.ID, Start: time.Now(), Trace: q.Trace, verdict: q.verdict, redactor: q.redactor}
	f.Vars = append(f.varRoom[:0], q.Vars...)
	f.w = responseWriter{ResponseWriter: w, request: f}
	f.ctx.Context, f.ctx.record = ctx, f
	if q.Route != nil && q.Route.Deadline > 0 {
		f.ctx.deadline = f.Start.Add(q.Route.Deadline)
	}
	asks := r.WithContext(&f.ctx)
	asks.Header = r.Header.Clone()
	asks.Body = http.NoBody
	if r.GetBody != nil {
		asks.Body, _ = r.GetBody() // it was read, and stands in memory
	}
	f.input = engine.Input{ID: q.ID, Request: asks, Params: f, Remote: q.input.Remote, Trace: q.Trace, Consumer: q.input.Consumer}
	return f, f.ctx.release
}

// Serve has h answer the request, whose answer is whole when it returns.
func (q *Request) Serve(h http.Handler) {
	h.ServeHTTP(&q.w, q.input.Request)
	if !q.w.begun() {
		q.w.WriteHeader(http.StatusOK) // as the server does
	}
}
