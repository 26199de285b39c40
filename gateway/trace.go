package gateway

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

// newRequest is the record of a request, with the trace that it is part of. The
// two are one piece of memory where every request has a trace.
func (h *recorder) newRequest(r *http.Request) *Request {
	tracer := h.options.Tracer
	if tracer.Records() {
		both := new(struct {
			request Request
			trace   trace.Trace
		})
		tracer.Accept(&both.trace, r.Header)
		both.request.Trace = &both.trace
		return &both.request
	}
	q := new(Request)
	if tracer.Carries(r.Header) {
		if t := new(trace.Trace); tracer.Accept(t, r.Header) {
			q.Trace = t
		}
	}
	return q
}

// record ends the span of a request. Names are those of OpenTelemetry's semantic
// conventions for HTTP. There is nothing of the query in it, nor of the header
// but what the caller calls itself: that is where credentials are.
func (h *recorder) record(q *Request, r *http.Request, now time.Time, completed bool) {
	s := q.Trace.Own(q.Start)
	if s == nil {
		return
	}
	method := knownMethod(r.Method)
	if method == "other" {
		method = "_OTHER"
		s.Set("http.request.method_original", r.Method)
	}
	s.Name = method
	s.Set("http.request.method", method)
	if q.Route != nil {
		s.Name = method + " " + q.Route.Path
		s.Set("http.route", q.Route.Path)
		s.Set("weir.flow", q.Route.Name)
		s.Set("weir.flow_config", q.Route.Revision)
	}
	s.Set("url.path", r.URL.Path)
	s.Set("url.scheme", scheme(r))
	s.Set("network.protocol.version", protocolVersion(r))
	host, port := address(r.Host)
	s.Set("server.address", host)
	if port > 0 {
		s.SetInt("server.port", port)
	}
	s.Set("client.address", remote(r))
	s.Set("user_agent.original", r.UserAgent())
	s.Set("weir.gateway", h.options.Gateway)
	s.Set("weir.config", h.options.Revision)
	s.Set("weir.request_id", q.ID)
	s.Set("weir.problem", q.Code)
	s.Set("weir.policy", q.Refused)
	s.Set("weir.limited", q.Limited)
	s.Set("weir.cache", cacheStatus(q.w.Header()))
	if q.w.status > 0 {
		s.SetInt("http.response.status_code", int64(q.w.status))
	}
	if !completed || q.w.status >= http.StatusInternalServerError {
		s.Fail(failedBy(q), cause(q))
	}
	s.End(now)
}

// failedBy is why an answer is a failure, in a word of which there are few.
func failedBy(q *Request) string {
	switch {
	case q.Code != "":
		return q.Code
	case q.w.status > 0:
		return strconv.Itoa(q.w.status)
	}
	return "aborted"
}

// cause is why a request failed, in full.
func cause(q *Request) string {
	if q.Err == nil {
		return ""
	}
	return q.Err.Error()
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func protocolVersion(r *http.Request) string {
	switch {
	case r.ProtoMajor == 3:
		return "3"
	case r.ProtoMajor == 2:
		return "2"
	case r.ProtoMajor == 1 && r.ProtoMinor == 0:
		return "1.0"
	}
	return "1.1"
}

// address splits a Host field; port is 0 if there is none.
func address(hostport string) (host string, port int64) {
	if strings.IndexByte(hostport, ':') < 0 {
		return hostport, 0 // without an error, which takes memory
	}
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport, 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return host, 0
	}
	return host, int64(n)
}
