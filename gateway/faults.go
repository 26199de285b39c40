package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/engine"
)

// Faults are the requests that failed of late, grouped by their cause, so that
// one that fails a thousand times hides no other. They cost what fails a lookup,
// and all others nothing. It is safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	groups map[faultCause]*Fault
}

// mostFaults bounds the groups: what was seen last the longest ago makes room.
const mostFaults = 200

// faultCause is what requests of one group have in common. Nothing in it is of a
// single request.
type faultCause struct {
	gateway, flow, code, step, kind, at string
	status                              int
}

// Fault is one group.
type Fault struct {
	Gateway   string    `json:"gateway"`
	Route     string    `json:"route,omitempty"`
	Flow      string    `json:"flow,omitempty"`
	Status    int       `json:"status,omitempty"` // none: the answer was cut off before it began
	Code      string    `json:"code,omitempty"`
	Step      string    `json:"step,omitempty"` // that failed
	Kind      string    `json:"kind,omitempty"` // of its failure
	At        string    `json:"at,omitempty"`   // where the step is written
	Count     int64     `json:"count"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Error     string    `json:"error,omitempty"` // of the last
	RequestID string    `json:"request_id"`      // of the last
	TraceID   string    `json:"trace_id,omitempty"`
}

const maxFaultText = 1 << 10 // bytes

// add counts a request that failed. A nil Faults counts none.
func (f *Faults) add(gateway string, q *Request, r *http.Request, now time.Time) {
	if f == nil || r.Context().Err() != nil { // a client that has gone is no fault
		return
	}
	cause := faultCause{gateway: gateway, code: q.Code, status: q.w.status}
	if q.Route != nil {
		cause.flow = q.Route.Name
	}
	var failed *engine.Error
	if errors.As(q.Err, &failed) {
		cause.step, cause.kind = failed.Step, string(failed.Kind)
		if failed.Span.Valid() {
			cause.at = failed.Span.String()
		}
	}
	text, trace := causeText(q), ""
	if id := q.Trace.Context().TraceID; id.Valid() {
		trace = id.String()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.groups[cause]
	if g == nil {
		f.makeRoom()
		g = &Fault{Gateway: gateway, Flow: cause.flow, Status: cause.status, Code: cause.code, Step: cause.step, Kind: cause.kind, At: cause.at, First: now.UTC()}
		if q.Route != nil {
			g.Route = q.Route.Path
		}
		f.groups[cause] = g
	}
	g.Count++
	g.Last, g.Error, g.RequestID, g.TraceID = now.UTC(), text, q.ID, trace
}

func causeText(q *Request) string {
	text := cause(q)
	if len(text) > maxFaultText {
		text = string([]byte(text[:maxFaultText])) + "…" // and nothing of the rest
	}
	return text
}

func (f *Faults) makeRoom() {
	if f.groups == nil {
		f.groups = map[faultCause]*Fault{}
	}
	if len(f.groups) < mostFaults {
		return
	}
	var oldest faultCause
	var last time.Time
	for c, g := range f.groups {
		if last.IsZero() || g.Last.Before(last) {
			oldest, last = c, g.Last
		}
	}
	delete(f.groups, oldest)
}

// All gives the groups, what failed last first.
func (f *Faults) All() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Fault, 0, len(f.groups))
	for _, g := range f.groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Fault) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.RequestID, b.RequestID)) })
	return all
}
