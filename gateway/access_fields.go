package gateway

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"unsafe"

	"github.com/weir-run/weir/engine/trace"
)

// accessField is one thing that is told of a request. It has one of
// text, number and micros.
type accessField struct {
	name   string
	attr   string                      // its name as an attribute: that of the request's span; "": it is a part of every record
	text   func(e *accessEntry) string // "": it has none
	number func(e *accessEntry) int64  // negative: it has none
	micros func(e *accessEntry) int64  // is told in seconds
	value  func(e *accessEntry) string // of the attribute, where it is another text
}

// accessFields are all, in their order. Their names and their meaning are part of
// the interface.
var accessFields = []accessField{
	{name: "time", text: (*accessEntry).time},
	{name: "gateway", attr: "weir.gateway", text: func(e *accessEntry) string { return e.gateway.options.Gateway }},
	{name: "route", attr: "http.route", text: (*accessEntry).route},
	{name: "flow", attr: "weir.flow", text: (*accessEntry).flow},
	{name: "method", attr: "http.request.method", text: func(e *accessEntry) string { return e.r.Method }},
	{name: "host", attr: "server.address", text: func(e *accessEntry) string { return e.r.Host }},
	{name: "path", attr: "url.path", text: func(e *accessEntry) string { return e.r.URL.Path }},
	{name: "query", attr: "url.query", text: func(e *accessEntry) string { return e.log.shownQuery(e.r.URL.RawQuery) }},
	{name: "protocol", attr: "network.protocol.version", text: func(e *accessEntry) string { return e.r.Proto }, value: func(e *accessEntry) string { return protocolVersion(e.r) }},
	{name: "status", attr: "http.response.status_code", number: (*accessEntry).status},
	{name: "outcome", attr: "weir.outcome", text: (*accessEntry).outcome},
	{name: "bytes_in", attr: "http.request.body.size", number: func(e *accessEntry) int64 { return e.q.body.taken.Load() }},
	{name: "bytes_out", attr: "http.response.body.size", number: func(e *accessEntry) int64 { return e.q.w.bytes }},
	{name: "duration", attr: "weir.duration_us", micros: func(e *accessEntry) int64 { return e.now.Sub(e.q.Start).Microseconds() }},
	{name: "attempts", attr: "weir.attempts", number: func(e *accessEntry) int64 { return e.q.input.Attempts }},
	{name: "consumer", attr: "weir.consumer", text: (*accessEntry).consumer},
	{name: "policy", attr: "weir.policy", text: func(e *accessEntry) string { return e.q.Refused }},
	{name: "code", attr: "weir.problem", text: func(e *accessEntry) string { return e.q.Code }},
	{name: "cache", attr: "weir.cache", text: func(e *accessEntry) string { return cacheStatus(e.q.w.Header()) }},
	{name: "limited", attr: "weir.limited", text: func(e *accessEntry) string { return e.q.Limited }},
	{name: "request_id", attr: "weir.request_id", text: func(e *accessEntry) string { return e.q.ID }},
	{name: "trace_id", text: (*accessEntry).traceID},
	{name: "remote", attr: "client.address", text: func(e *accessEntry) string { return e.q.input.Remote }},
	{name: "user_agent", attr: "user_agent.original", text: func(e *accessEntry) string { return e.r.UserAgent() }},
	{name: "config", attr: "weir.config", text: func(e *accessEntry) string { return e.gateway.options.Revision }},
	{name: "flow_config", attr: "weir.flow_config", text: (*accessEntry).flowRevision},
}

// AccessFields are the names of what is told of a request, in their order.
func AccessFields() []string {
	names := make([]string, len(accessFields))
	for i := range accessFields {
		names[i] = accessFields[i].name
	}
	return names
}

func findAccessField(name string) (accessField, bool) {
	i := slices.IndexFunc(accessFields, func(f accessField) bool { return f.name == name })
	if i < 0 {
		return accessField{}, false
	}
	return accessFields[i], true
}

// headerField tells a field of the request's header.
func headerField(name string) accessField {
	canonical := http.CanonicalHeaderKey(name)
	name = strings.ToLower(name)
	return accessField{name: headerPrefix + name, attr: "http.request.header." + name, text: func(e *accessEntry) string {
		switch values := e.r.Header[canonical]; {
		case len(values) == 0:
			return ""
		case e.log.redacts(canonical):
			return redacted
		case len(values) == 1:
			return values[0]
		default:
			return strings.Join(values, ", ")
		}
	}}
}

// attributes appends what a record in a collector has: the same as a line, with the
// names that spans have for it.
func (l *AccessLayout) attributes(dst []trace.Attr, e *accessEntry) []trace.Attr {
	for i := range l.fields {
		f := &l.fields[i]
		if f.attr == "" {
			continue
		}
		a := trace.Attr{Key: f.attr, Type: trace.Int}
		switch {
		case f.number != nil:
			a.Number = f.number(e)
		case f.micros != nil:
			a.Number = max(f.micros(e), 0)
		case f.value != nil:
			a.Type, a.Text = trace.Text, f.value(e)
		default:
			a.Type, a.Text = trace.Text, e.log.shown(f.text(e))
		}
		if a.Type == trace.Text && a.Text == "" || a.Number < 0 {
			continue
		}
		dst = append(dst, a)
	}
	return dst
}

const headerPrefix = "header."

// made is what stands in the scratch memory, until something else does.
func (e *accessEntry) made(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (e *accessEntry) time() string {
	return e.made(e.q.Start.UTC().AppendFormat(e.scratch[:0], "2006-01-02T15:04:05.000Z07:00"))
}

func (e *accessEntry) route() string {
	if e.q.Route == nil {
		return ""
	}
	return e.q.Route.Path
}

func (e *accessEntry) flow() string {
	if e.q.Route == nil {
		return ""
	}
	return e.q.Route.Name
}

func (e *accessEntry) flowRevision() string {
	if e.q.Route == nil {
		return ""
	}
	return e.q.Route.Revision
}

func (e *accessEntry) status() int64 {
	if e.q.w.status == 0 {
		return -1
	}
	return int64(e.q.w.status)
}

// outcome is a word for what the status does not tell.
func (e *accessEntry) outcome() string {
	switch {
	case e.r.Context().Err() != nil:
		return "client_gone"
	case !e.completed:
		return "aborted"
	case e.q.Refused != "":
		return "refused"
	case e.q.Route == nil:
		return "unrouted"
	case e.q.w.status >= http.StatusInternalServerError:
		return "failed"
	}
	return "answered"
}

func (e *accessEntry) consumer() string {
	if c := e.q.input.Consumer; c != nil {
		return c.Name
	}
	return ""
}

func (e *accessEntry) traceID() string {
	id := e.q.Trace.Context().TraceID
	if !id.Valid() {
		return ""
	}
	return e.made(hex.AppendEncode(e.scratch[:0], id[:]))
}

// cacheStatus is what our cache has said in Cache-Status (RFC 9211), in a word:
// hit, or why the answer is not from it. Caches nearer to the origin stand before
// ours.
func cacheStatus(h http.Header) string {
	values := h["Cache-Status"]
	if len(values) == 0 {
		return ""
	}
	how, ours := strings.CutPrefix(values[len(values)-1], "weir; ")
	if !ours {
		return ""
	}
	how, _, _ = strings.Cut(how, ";")
	return strings.TrimPrefix(strings.TrimPrefix(how, "fwd="), "detail=")
}
