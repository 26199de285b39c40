package connectors

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/mesh"
)

// tell logs the attempts of a call that took several, or failed. It is for who
// looks into something, so at the level for that: what the request came to is
// logged with its failure, and a service that often needs several shows in the
// metrics.
func (s *Service) tell(ctx context.Context, x *engine.Exchange, how *mesh.Call) {
	if len(how.Records) == 0 || x.In.Log == nil || !x.In.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	x.In.Log.LogAttrs(ctx, slog.LevelDebug, "attempts of a call", slog.String("service", s.Name.Value),
		slog.String("request_id", x.In.ID), slog.String("attempts", how.Records.String()))
}

// tries are the attempts that came to an answer which is a failure. As the cause
// of that failure they are for the log, which asks it for its trail.
type tries mesh.Attempts

func (t tries) Error() string { return "attempts: " + t.Trail() }

// Trail tells of the attempts in a line, as that of mesh.Error does.
func (t tries) Trail() string { return mesh.Attempts(t).String() }

// attempts makes a span of each attempt of a call, which the service that is
// called then names as the parent of its own. It does not change, because
// attempts run beside each other: the ids of all of them follow from the first.
type attempts struct {
	trace         *trace.Trace
	first, parent trace.SpanID
	method, path  string
}

// observe has the attempts of req be spans within the one that ctx belongs to, if
// the request is recorded.
func observe(ctx context.Context, x *engine.Exchange, req *http.Request, how *mesh.Call) {
	t := x.In.Trace
	if !t.Recording() {
		return
	}
	a := &attempts{trace: t, method: req.Method, path: req.URL.EscapedPath()}
	a.first, a.parent = t.Series(ctx)
	how.Observer = a
}

func (s *attempts) id(number int) trace.SpanID { return s.first.At(number - 1) }

// Begin is what mesh.Observer asks for.
func (s *attempts) Begin(number int, h http.Header) http.Header {
	h = maps.Clone(h)
	s.trace.InjectSpan(h, s.id(number))
	return h
}

// End is what mesh.Observer asks for. Names are those of OpenTelemetry's semantic
// conventions for HTTP, and of the mesh's own records. The query is left out: it
// is where credentials are.
func (s *attempts) End(a mesh.Attempt) {
	span := s.trace.Record(s.id(a.Number), s.parent, a.Start)
	if span == nil {
		return
	}
	span.Name, span.Kind = s.method, trace.Client
	span.Set("http.request.method", s.method)
	span.Set("url.full", a.Endpoint+s.path)
	host, port := placeOf(a.Endpoint)
	span.Set("server.address", host)
	span.SetInt("server.port", port)
	if a.Status > 0 {
		span.SetInt("http.response.status_code", int64(a.Status))
	}
	if a.Number > 1 {
		span.SetInt("http.request.resend_count", int64(a.Number-1))
	}
	span.Set("weir.service", a.Service)
	span.Set("weir.attempt.picked", a.Picked)
	span.Set("weir.attempt.next", a.Next.String())
	if a.Hedge {
		span.SetTrue("weir.attempt.hedge")
	}
	if a.Unhedged != "" {
		span.Set("weir.attempt.unhedged", a.Unhedged)
	}
	if a.Wait > 0 {
		span.SetInt("weir.attempt.wait_us", a.Wait.Microseconds())
	}
	if a.Next == mesh.Retried {
		span.SetInt("weir.attempt.pause_us", a.Pause.Microseconds())
	}
	if a.Budget >= 0 {
		span.SetInt("weir.attempt.budget", int64(a.Budget))
	}
	switch {
	case a.Next == mesh.Lost || a.Class == mesh.Canceled: // nobody's failure
		span.Set("weir.attempt.class", a.Class.String())
	case a.Status >= http.StatusBadRequest:
		span.Fail(strconv.Itoa(a.Status), "")
	case a.Class != mesh.OK:
		why := ""
		if a.Err != nil {
			why = a.Err.Error()
		}
		span.Fail(a.Class.String(), why)
	}
	span.End(a.Start.Add(a.Took))
}

// placeOf is the host and port of a base URL.
func placeOf(base string) (host string, port int64) {
	scheme, rest, _ := strings.Cut(base, "://")
	authority, _, _ := strings.Cut(rest, "/")
	host, text, err := net.SplitHostPort(authority)
	if n, bad := strconv.ParseUint(text, 10, 16); err == nil && bad == nil {
		return host, int64(n)
	}
	if scheme == "https" {
		return strings.Trim(authority, "[]"), 443
	}
	return strings.Trim(authority, "[]"), 80
}
