package h1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"
)

// MaxInterim bounds the 1xx responses before the one that counts.
const MaxInterim = 5

// exchange is one request and its response. All that a call needs to keep lies
// in it, the response included, so that it is one allocation.
type exchange struct {
	client  *Client
	req     *http.Request
	ctx     context.Context
	late    LateWatcher // ctx, if it is one
	start   time.Time
	framing framing
	payload io.ReadCloser // the request's body, until it is sent; nil without one

	deadline  time.Time // of the connection; zero is none
	byContext bool      // it is the context's

	remaining string    // the field that tells the server when the caller leaves
	waits     time.Time // when that is; zero is never

	idle time.Duration // how long a read of the body may wait; 0 is no bound

	fields  http.Header                          // for the response; nil: it gets a map of its own
	interim func(status int, header http.Header) // may be nil

	stop      func() bool // ends the watch on ctx; nil if there is none
	progress  progress
	uploading bool // an upload will report on conn.upload
	keep      bool // the server lets the connection be used again
	closing   bool // the request asks for its end

	resp http.Response
	body body
}

// progress is how much of a request can have reached the server.
type progress uint8

const (
	sentNothing progress = iota // nothing was written
	sentSome                    // the server may have seen it
	answered                    // a part of the response has come
)

// setDeadline takes the earlier of the two deadlines, and notes whose it is.
func (x *exchange) setDeadline(o Options) {
	x.deadline, x.byContext = o.Deadline, false
	if d, ok := x.ctx.Deadline(); ok && (o.Deadline.IsZero() || d.Before(o.Deadline)) {
		x.deadline, x.byContext = d, true
	}
}

// begin readies cn, which was idle or is new, for the exchange. If watching ctx
// is costly then cn gets a nearer deadline than the call's, and the watch begins
// when that has passed: see [conn.settle].
func (x *exchange) begin(cn *conn) {
	if x.late != nil && (!x.framing.body || x.framing.inline) {
		patience := x.late.Unwatched()
		unwatched := x.start.Add(patience)
		if x.deadline.IsZero() || unwatched.Before(x.deadline) {
			cn.unsettled = x
			// Moving a deadline costs more than a look at where it is: one that the
			// exchange before has left there is near enough.
			if left := cn.deadline.Sub(x.start); left < patience/2 || left > patience {
				cn.setDeadline(unwatched)
			}
			return
		}
	}
	cn.setDeadline(x.deadline)
}

// run makes the exchange on cn, which it owns from here on.
func (x *exchange) run(cn *conn, o Options) (*http.Response, error) {
	if cn.unsettled == nil {
		x.stop = AfterCancel(x.ctx, cn.abort)
	}
	h, err := x.converse(cn)
	if err != nil {
		if x.stop != nil {
			x.stop()
		}
		cn.drop()
		return nil, err
	}
	cn.fresh = false
	x.resp.TLS = cn.tls
	if o.Stream {
		x.setDeadline(Options{})
		if x.resp.StatusCode != http.StatusSwitchingProtocols {
			x.idle, cn.idle, cn.bound = o.Idle, o.Idle, x.deadline
		}
		if cn.unsettled == nil {
			cn.setDeadline(x.deadline)
		}
	}
	x.keep = !h.close
	x.receive(cn, h)
	return &x.resp, nil
}

// A CancelWatcher is a context that can be watched for its cancellation alone.
// The connection keeps the deadline, so a context whose deadline costs
// something to wait for need not be asked to.
type CancelWatcher interface {
	context.Context
	// AfterCancel is context.AfterFunc, but for the passing of the deadline. f
	// waits for nothing, and may be called by whoever cancels.
	AfterCancel(f func()) (stop func() bool)
}

// A LateWatcher is a CancelWatcher for which AfterCancel is too costly to be
// asked for by a call that ends at once.
type LateWatcher interface {
	CancelWatcher
	// Unwatched is how long a call may go on before it watches.
	Unwatched() time.Duration
	// ErrAt is Err for those who know what time it is.
	ErrAt(now time.Time) error
}

// AfterCancel calls f when ctx is cancelled, until stop, in the way that costs
// the least. stop is nil if ctx cannot be cancelled.
func AfterCancel(ctx context.Context, f func()) (stop func() bool) {
	if w, ok := ctx.(CancelWatcher); ok {
		return w.AfterCancel(f)
	}
	if ctx.Done() == nil {
		return nil
	}
	return context.AfterFunc(ctx, f)
}

// converse writes the request and reads the header of the response that counts.
func (x *exchange) converse(cn *conn) (head, error) {
	if err := x.send(cn); err != nil {
		return head{}, err
	}
	waiting := x.framing.wait // for leave to send the body
	if waiting {
		cn.setDeadline(earlier(x.deadline, time.Now().Add(x.client.cfg.ContinueTimeout)))
	}
	upload := func() {
		waiting = false
		cn.setDeadline(x.deadline)
		x.upload(cn, nil)
	}
	limit := x.client.cfg.MaxHeaderBytes
	for before := range MaxInterim + 1 {
		block, lines, err := cn.readBlock(limit)
		if waiting && isTimeout(err) && !x.over() {
			upload()
			block, lines, err = cn.readBlock(limit)
		}
		if err != nil {
			if cn.buffered() > 0 {
				x.progress = answered
			}
			return head{}, x.failed(cn, OpRead, err)
		}
		x.progress = answered
		limit -= len(block)
		h, err := parseHead(block, lines, x.req.Method, &x.resp, x.fields)
		if err != nil {
			return head{}, x.failed(cn, OpParse, err)
		}
		switch status := x.resp.StatusCode; {
		case status == http.StatusSwitchingProtocols && len(x.req.Header["Upgrade"]) == 0:
			return head{}, x.failed(cn, OpParse, malformed("101 to a request without Upgrade"))
		case status == http.StatusContinue && waiting:
			upload()
		case status != http.StatusContinue && status < 200 && status != http.StatusSwitchingProtocols:
			if x.interim != nil && before < MaxInterim {
				x.interim(status, x.resp.Header)
			}
		case status >= 200 || status == http.StatusSwitchingProtocols:
			if waiting {
				// The server does not want the body, but may wait for it.
				x.payload.Close()
				x.payload = nil
				h.close = true
			}
			return h, nil
		}
	}
	return head{}, x.failed(cn, OpParse, ErrTooManyInterim)
}

// over reports whether the call's own time is up.
func (x *exchange) over() bool {
	return x.ctx.Err() != nil || !x.deadline.IsZero() && !time.Now().Before(x.deadline)
}

// failed gives the reason for err, which an operation on cn returned.
func (x *exchange) failed(cn *conn, op Op, err error) error {
	if x.uploading {
		select {
		case sent := <-cn.upload:
			x.uploading = false
			var own *Error
			if errors.As(sent, &own) && own.Op == OpBody && x.ctx.Err() == nil {
				return sent // it was the upload that failed the read
			}
		default:
		}
	}
	if op == OpWrite {
		err = cn.refusal(err)
	}
	var syntax malformed
	switch {
	case isTimeout(err):
		err = x.ranOut(err)
	case errors.As(err, &syntax):
		op = OpParse
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return &Error{Op: op, Addr: x.client.addr, Err: err}
}

// ranOut tells which of the call's bounds a timeout of the connection was.
func (x *exchange) ranOut(err error) error {
	ended := x.ctx.Err()
	switch {
	case errors.Is(ended, context.Canceled):
		if cause := context.Cause(x.ctx); errors.Is(cause, os.ErrDeadlineExceeded) {
			return cause // whoever cancelled it did so because time was up
		}
		return ended
	case x.idle > 0 && ended == nil && (x.deadline.IsZero() || time.Now().Before(x.deadline)):
		return err
	case x.byContext:
		return context.DeadlineExceeded // even if its own timer is a little behind
	case ended != nil && (x.deadline.IsZero() || time.Now().Before(x.deadline)):
		return ended // a context that does not tell its deadline
	}
	return err
}

// maySendAgain reports whether a request that failed on a connection that had
// been idle can go out once more. The server probably closed the connection just
// before; it is certain that it did not act if nothing was written, and harmless
// if it did where sending twice has the effect of sending once.
func (x *exchange) maySendAgain(err error) bool {
	if !isReset(err) || x.progress == answered {
		return false
	}
	if x.bodySent() && x.req.GetBody == nil {
		return false
	}
	return x.progress == sentNothing || repeatable(x.req)
}

// bodySent reports whether a part of the body may be gone.
func (x *exchange) bodySent() bool { return x.framing.body && x.payload == nil }

// rewind makes the exchange ready to be run again.
func (x *exchange) rewind() error {
	if x.bodySent() {
		body, err := x.req.GetBody()
		if err != nil {
			return &Error{Op: OpBody, Addr: x.client.addr, Err: err}
		}
		x.payload = body
	}
	x.stop, x.progress, x.uploading = nil, sentNothing, false
	return nil
}

// repeatable reports whether a request may be sent twice: RFC 9110 section
// 9.2.2, or the client's word in an Idempotency-Key.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete:
		return true
	}
	return len(req.Header["Idempotency-Key"]) > 0
}

// uploaded reports whether the request was sent as a whole. An upload that is
// just finishing gets a moment to say so: that is cheaper than a connection.
func (x *exchange) uploaded(cn *conn) bool {
	if !x.uploading {
		return true
	}
	var sent error
	if cn.finishing.Load() {
		const moment = 50 * time.Millisecond
		t := time.NewTimer(moment)
		defer t.Stop()
		select {
		case sent = <-cn.upload:
		case <-t.C:
			return false
		}
	} else {
		select {
		case sent = <-cn.upload:
		default:
			return false
		}
	}
	x.uploading = false
	return sent == nil
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// isReset reports whether the connection ended under the operation.
func isReset(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// ErrTooManyInterim is the fault of a server that sends more than [MaxInterim].
const ErrTooManyInterim = malformed("too many informational responses")

// malformed is a violation of RFC 9112.
type malformed string

func (m malformed) Error() string { return "malformed response: " + string(m) }

func malformedf(format string, args ...any) error {
	return malformed(fmt.Sprintf(format, args...))
}
