package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

// Recent keeps the last requests, each with what an access log tells of it and
// the time that its steps and attempts took. It is a sink of spans: what it keeps
// of a request is what the request's trace has, so requests that are not traced
// have no steps. Its memory is bounded by the number of requests, and by
// maxRecentSteps and maxRecentText for each. It is safe for concurrent use.
type Recent struct {
	Next trace.Sink // gets all spans, too; it may be nil
	// Bodies is how many bytes of each body are kept, of requests and answers whose
	// bodies are text. It is set before use; 0 is none.
	Bodies int

	layout AccessLayout
	log    *AccessLog
	mu     sync.Mutex
	ring   []RecentRequest
	next   int                           // of ring
	open   map[trace.SpanID][]RecentStep // of requests that have not ended
}

const (
	maxRecentSteps = 64
	maxRecentText  = 256  // bytes
	maxRecentOpen  = 4096 // requests whose steps are collected
)

// RecentRequest is one request.
type RecentRequest struct {
	Request json.RawMessage `json:"request"` // as the access log has it
	Steps   []RecentStep    `json:"steps,omitempty"`
	Body    *RecentBody     `json:"body,omitempty"`   // what was read of the request's
	Answer  *RecentBody     `json:"answer,omitempty"` // what was sent
}

// RecentStep is a step or an attempt of a call.
type RecentStep struct {
	Name  string  `json:"name"`
	At    string  `json:"at,omitempty"` // where it is written: file:line
	Begin float64 `json:"begin"`        // seconds after the request
	Took  float64 `json:"took"`         // seconds
	Error string  `json:"error,omitempty"`

	start time.Time
}

// NewRecent keeps n requests.
func NewRecent(n int) *Recent {
	layout := JSONAccess(nil, nil)
	return &Recent{layout: layout, ring: make([]RecentRequest, 0, n), open: map[trace.SpanID][]RecentStep{},
		log: NewAccessLog(AccessOptions{Layout: layout, Query: true, Sample: 1}, nil)}
}

// watch has the bodies of a request seen.
func (c *Recent) watch(q *Request) {
	if c != nil && c.Bodies > 0 {
		q.body.glimpse, q.w.glimpse = &glimpse{most: c.Bodies}, &glimpse{most: c.Bodies}
	}
}

// Export is what trace.Sink asks for.
func (c *Recent) Export(s *trace.Span) {
	if c.Next != nil {
		c.Next.Export(s)
	}
	if s.ID == s.Root {
		return // the request itself
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	steps, begun := c.open[s.Root]
	if len(steps) >= maxRecentSteps {
		return
	}
	if !begun && len(c.open) >= maxRecentOpen {
		clear(c.open) // of work that went on without its request
	}
	c.open[s.Root] = append(steps, stepOf(s))
}

func stepOf(s *trace.Span) RecentStep {
	step := RecentStep{Name: s.Name, Took: s.Ended.Sub(s.Start).Seconds(), start: s.Start}
	line := ""
	for _, a := range s.Attrs {
		switch a.Key {
		case "code.file.path":
			step.At = a.Text
		case "code.line.number":
			line = ":" + strconv.FormatInt(a.Number, 10)
		case "weir.service":
			step.Name += " " + a.Text
		}
	}
	if step.At != "" {
		step.At += line
	}
	if s.Failed {
		step.Error = s.Why
		if len(step.Error) > maxRecentText {
			step.Error = string([]byte(step.Error[:maxRecentText])) + "…"
		}
	}
	return step
}

// add keeps a request that has ended.
func (c *Recent) add(h *recorder, q *Request, r *http.Request, now time.Time, completed bool) {
	e := accessEntries.Get().(*accessEntry)
	e.log, e.gateway, e.q, e.r, e.now, e.completed = c.log, h, q, r, now, completed
	line := c.layout.append(make([]byte, 0, 512), e)
	e.log, e.gateway, e.q, e.r = nil, nil, nil, nil
	accessEntries.Put(e)

	root := q.Trace.Context().SpanID
	c.mu.Lock()
	defer c.mu.Unlock()
	steps := c.open[root]
	delete(c.open, root)
	for i := range steps {
		steps[i].Begin = max(steps[i].start.Sub(q.Start).Seconds(), 0)
	}
	one := RecentRequest{json.RawMessage(line[:len(line)-1]), steps, q.body.glimpse.seen(), q.w.glimpse.seen()}
	if len(c.ring) < cap(c.ring) {
		c.ring = append(c.ring, one)
		return
	}
	c.ring[c.next] = one
	c.next = (c.next + 1) % len(c.ring)
}

// All gives the requests, the last one first.
func (c *Recent) All() []RecentRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]RecentRequest, 0, len(c.ring))
	for i := range c.ring {
		all = append(all, c.ring[(c.next+len(c.ring)-1-i)%len(c.ring)])
	}
	return all
}
