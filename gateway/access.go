package gateway

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/trace"
)

// AccessLog is how the requests of a gateway are written down, one record for
// each. It is no policy: it has to see what policies refuse, and what no route
// takes. It is immutable and shared by all requests.
type AccessLog struct {
	layout AccessLayout
	sample float64
	redact []string // in lower case
	query  bool
	sink   *LogSink
	to     trace.Recorder // in place of sink
	shown  func(string) string
}

// AccessOptions are what an [AccessLog] is made of.
type AccessOptions struct {
	Layout AccessLayout
	// Sample is the share of requests that are written, from 0 to 1. Failures are
	// written in any case.
	Sample float64
	// Query says that the query is written.
	Query bool
	// Redact are names of fields and of parameters whose values are not, beside
	// those that are known to carry credentials. Case does not matter.
	Redact []string
}

// NewAccessLog makes an access log that writes to sink.
func NewAccessLog(o AccessOptions, sink *LogSink) *AccessLog {
	l := newAccessLog(o)
	l.sink = sink
	return l
}

// NewAccessRecords makes an access log whose records go to a collector. Their form
// is that of records there: of the layout only the fields matter. The redactor
// takes secrets out of them; it may be nil.
func NewAccessRecords(o AccessOptions, to trace.Recorder, redactor *dsl.Redactor) *AccessLog {
	l := newAccessLog(o)
	l.to, l.shown = to, redactor.String
	return l
}

func newAccessLog(o AccessOptions) *AccessLog {
	l := &AccessLog{layout: o.Layout, sample: o.Sample, query: o.Query, redact: slices.Clone(credentialNames)}
	for _, name := range o.Redact {
		l.redact = append(l.redact, strings.ToLower(name))
	}
	return l
}

// credentialNames are the header fields and parameters that carry what proves
// who someone is.
var credentialNames = []string{
	"access_token", "api-key", "api_key", "apikey", "assertion", "auth", "authorization", "client_assertion", "client_secret", "code", "cookie",
	"id_token", "jwt", "key", "pass", "password", "proxy-authorization", "pwd", "refresh_token", "secret", "session", "set-cookie", "sig",
	"signature", "token", "x-amz-credential", "x-amz-security-token", "x-amz-signature", "x-api-key", "x-auth-token", "x-csrf-token",
}

// redacted stands for a value that is not written.
const redacted = "[redacted]"

func (l *AccessLog) redacts(name string) bool {
	return slices.Contains(l.redact, strings.ToLower(name))
}

// accessEntry is one request while it is written.
type accessEntry struct {
	log       *AccessLog
	gateway   *recorder
	q         *Request
	r         *http.Request
	now       time.Time
	completed bool

	scratch [64]byte // for texts that are made here
	line    []byte
	record  trace.Record
}

// accessEntries keep their memory, so that a record allocates none.
var accessEntries = sync.Pool{New: func() any { return &accessEntry{line: make([]byte, 0, 1<<10)} }}

// write makes a record of a request that has ended. It never waits: a sink that
// is full drops the record, which is counted.
func (l *AccessLog) write(h *recorder, q *Request, r *http.Request, now time.Time, completed bool) {
	failed := !completed || q.w.status >= http.StatusInternalServerError
	if !failed && l.sample < 1 && rand.Float64() >= l.sample { // not by an id, which callers choose
		return
	}
	e := accessEntries.Get().(*accessEntry)
	e.log, e.gateway, e.q, e.r, e.now, e.completed = l, h, q, r, now, completed
	if e.send(failed) {
		h.accessWritten.Inc()
	} else {
		h.accessDropped.Inc()
	}
	e.log, e.gateway, e.q, e.r = nil, nil, nil, nil
	if cap(e.line) <= 16<<10 {
		accessEntries.Put(e)
	}
}

// send gives the record away, or reports that there is no room for it.
func (e *accessEntry) send(failed bool) bool {
	l := e.log
	if l.to == nil {
		e.line = l.layout.append(e.line[:0], e)
		return l.sink.add(e.line)
	}
	attrs := l.layout.attributes(e.record.Attrs[:0], e)
	e.record = trace.Record{At: e.q.Start, Event: "weir.access", Failed: failed, Context: e.q.Trace.Context(), Attrs: attrs}
	taken := l.to.Record(&e.record)
	clear(attrs)
	return taken
}

// shownQuery is the query without the values that are not to be seen. It is cut
// up as text: what servers make of a malformed one differs, so each name is
// compared as it was sent and as it reads unescaped.
func (l *AccessLog) shownQuery(raw string) string {
	if raw == "" || !l.query {
		return ""
	}
	var b strings.Builder
	for i, pair := range strings.FieldsFunc(raw, func(c rune) bool { return c == '&' || c == ';' }) {
		if i > 0 {
			b.WriteByte('&')
		}
		name, _, has := strings.Cut(pair, "=")
		if has && l.redacts(unescaped(name)) {
			b.WriteString(name)
			b.WriteString("=" + redacted)
			continue
		}
		b.WriteString(pair)
	}
	return b.String()
}

// unescaped undoes what escaping can hide a name behind; what is malformed stays
// as it is.
func unescaped(name string) string {
	if !strings.ContainsAny(name, "%+") {
		return name
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '%' && i+2 < len(name) && isHex(name[i+1]) && isHex(name[i+2]):
			out = append(out, unhex(name[i+1])<<4|unhex(name[i+2]))
			i += 2
		case c == '+':
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return strings.TrimSpace(string(out))
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
