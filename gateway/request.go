package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/trace"
)

// Request is what the gateway, its policies and the flow share about one
// request. All of it but Code, Err, Refused, Limited and the consumer of its
// Input is set before any of them runs. It is used by the request's own goroutine
// only.
//
// It is not pooled: contexts of work that outlives the request, such as a dial
// that a connection pool goes on with, still read it afterwards.
type Request struct {
	Route *Route // nil when no route takes the request
	Vars  []Var
	// Choice is what decided between several routes; nil: host, path and method.
	Choice *Choice
	ID     string // in the answer's X-Request-Id
	Start  time.Time
	// Trace is what is recorded of the request and goes on with each call. It may
	// be nil.
	Trace *trace.Trace

	// Asked is the route that the request behind a preflight would have.
	Asked *Route

	// Code is that of the problem the request was answered with.
	Code string
	// Err is why the request failed, in full, for the log. The caller never
	// sees it.
	Err error
	// Refused is the policy that refused the request; "" is none.
	Refused string
	// Limited is the limit that refused the request, or would have if it were not
	// there to look only: "rate_limit 100/s", "quota 1000/day shadow".
	Limited string

	limitedAs string // whom Limited counts

	verdict  Verdict
	w        responseWriter
	body     body
	ctx      requestContext
	inner    http.Request // with that context
	input    engine.Input
	varRoom  [4]Var
	idRoom   [1]string
	idText   [32]byte
	assumed  *engine.Consumer
	proxies  *Proxies
	editors  []HeaderEditor // the innermost is the last
	room     [4]HeaderEditor
	redactor *dsl.Redactor
	log      *slog.Logger
}

// Log is where policies tell what becomes of the request besides its answer.
func (q *Request) Log() *slog.Logger { return q.log }

// Env marks a Request as what the expressions of policies look into.
func (q *Request) Env() {}

// Input is what the flow will run on. Policies may set its Consumer.
func (q *Request) Input() *engine.Input { return &q.input }

// Assumed is who sends the request by the word of a test, which policies take
// without credentials, or nil. What a caller may do is decided as always.
func (q *Request) Assumed() *engine.Consumer { return q.assumed }

// Proxied reports whether the connection is that of a trusted proxy, which is to
// be believed what it says of its client.
func (q *Request) Proxied() bool { return q.proxies.proxied(q.input.Request) }

// A HeaderEditor has a say in the header of an answer, whoever makes the answer:
// a flow, a backend that it passes on, another policy, or a problem.
type HeaderEditor interface {
	EditHeader(q *Request, status int, h http.Header)
}

// BeforeAnswer lets e edit the header of the answer when it begins, after those
// that are called further inside: the outermost has the last word.
func (q *Request) BeforeAnswer(e HeaderEditor) {
	if q.editors == nil {
		q.editors = q.room[:0]
	}
	q.editors = append(q.editors, e)
}

func (q *Request) edit(status int, h http.Header) {
	for i := len(q.editors) - 1; i >= 0; i-- {
		q.editors[i].EditHeader(q, status, h)
	}
}

// Limit notes that a limit refused the request, or would have: which one, and
// whom it counts, as operators may see that. "" is the consumer, or the address.
// The first of several counts.
func (q *Request) Limit(by, whom string) {
	if q.Limited == "" {
		q.Limited, q.limitedAs = by, whom
	}
}

// FromContext is the record of the request that ctx belongs to, or nil outside
// of a gateway.
func FromContext(ctx context.Context) *Request {
	q, _ := ctx.Value(requestKey{}).(*Request)
	return q
}

// Var is the value of a variable of the path.
func (q *Request) Var(name string) (value string, ok bool) {
	for i := range q.Vars {
		if q.Vars[i].Name == name {
			return q.Vars[i].Value, true
		}
	}
	return "", false
}

type requestKey struct{}

// requestContext adds the record and the deadline to the server's context,
// which ends when the client has gone. The deadline costs a timer, a channel
// and a place among the children of the server's context, seven allocations,
// and most requests are answered without anyone waiting for it: so it is armed
// only when someone first does. Until then the clock decides.
type requestContext struct {
	context.Context // the server's
	record          *Request
	deadline        time.Time // zero for none

	mu     sync.Mutex
	armed  context.Context
	cancel context.CancelFunc
}

func (c *requestContext) Deadline() (time.Time, bool) {
	d, ok := c.Context.Deadline()
	if c.deadline.IsZero() || ok && d.Before(c.deadline) {
		return d, ok
	}
	return c.deadline, true
}

// AfterCancel calls f in its own goroutine when the client has gone or the
// server ends, but not when the deadline passes: for those who keep the
// deadline themselves.
func (c *requestContext) AfterCancel(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}

// AfterFunc is what package context asks for, where a child would otherwise cost
// a goroutine.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.arm(), f)
}

// Unwatched is how long a call need not watch for the client's going: most end
// before, and a place among the children of the server's context costs six
// allocations.
func (c *requestContext) Unwatched() time.Duration { return 5 * time.Millisecond }

func (c *requestContext) Done() <-chan struct{} { return c.arm().Done() }

func (c *requestContext) Err() error {
	if c.deadline.IsZero() {
		return c.Context.Err()
	}
	return c.ErrAt(time.Now())
}

// ErrAt is Err for those who know what time it is.
func (c *requestContext) ErrAt(now time.Time) error {
	if !c.deadline.IsZero() && !now.Before(c.deadline) {
		return c.arm().Err()
	}
	return c.current().Err()
}

func (c *requestContext) Value(key any) any {
	if key == (requestKey{}) {
		return c.record
	}
	// package context asks for its own parent here, to attach children to it.
	return c.current().Value(key)
}

// current is the server's context until the deadline is armed.
func (c *requestContext) current() context.Context {
	if c.deadline.IsZero() {
		return c.Context
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed == nil {
		return c.Context
	}
	return c.armed
}

func (c *requestContext) arm() context.Context {
	if c.deadline.IsZero() {
		return c.Context
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed == nil {
		c.armed, c.cancel = context.WithDeadline(c.Context, c.deadline)
	}
	return c.armed
}

// release frees the timer.
func (c *requestContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}
