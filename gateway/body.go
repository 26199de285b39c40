package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/gateway/h1"
)

// ErrBodyTooLarge is what reading a request's body beyond its cap ends with; a
// *http.MaxBytesError in the same error tells the cap.
var ErrBodyTooLarge = errors.New("the request's body is over its cap")

// ErrBodyTooSlow is what reading a request's body ends with when the client
// does not keep up the least rate.
var ErrBodyTooSlow = errors.New("the request's body arrives too slowly")

// body reads a request's body under a cap and a least rate.
//
// A fixed time limit would break large uploads, and a limit on each read would
// let a client hold a connection with one byte at a time. So the client has a
// credit of waiting time: waiting uses it up, bytes that arrive add to it, at
// the least rate, up to what it was at first. Time that the reader spends
// elsewhere does not count.
type body struct {
	io.ReadCloser // the server's
	responder     http.ResponseWriter

	capped bool
	limit  int64
	left   int64 // of limit; -1 once exceeded

	stall  time.Duration // the whole credit; 0 is without end
	rate   int64         // bytes per second
	credit time.Duration

	taken   atomic.Int64 // bytes that were read
	glimpse *glimpse     // nil: nobody looks

	// refused makes the answer close the connection: what the client goes on
	// sending cannot be told from a next request.
	refused atomic.Bool

	// Reads may go on in another goroutine when the request is over, and the
	// connection then serves the next one.
	mu       sync.Mutex
	over     bool
	deadline time.Time // as last set on the connection; zero once the body is read

	// asks is set while the client waits to be asked for the body, which the first
	// read does, in a write of its own.
	asks bool

	stream *streamWatch // in place of the deadline, for HTTP/2
}

func (b *body) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge(b.limit)
	}
	if b.capped && int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more byte tells a body at its cap from one over it
	}
	n, err := b.readInTime(p)
	if b.capped && int64(n) > b.left {
		n, b.left = int(b.left), -1
		b.refused.Store(true)
		err = tooLarge(b.limit)
	} else if b.capped {
		b.left -= int64(n)
	}
	b.glimpse.see(p[:n])
	return n, err
}

func (b *body) readInTime(p []byte) (int, error) {
	if b.stall <= 0 {
		n, err := b.ReadCloser.Read(p)
		b.taken.Add(int64(n))
		return n, err
	}
	begin := time.Now()
	n, err := b.readBy(begin.Add(b.credit), p)
	b.taken.Add(int64(n))
	switch {
	case err == nil:
		earned := time.Duration(n) * time.Second / time.Duration(b.rate)
		b.credit = min(b.credit-time.Since(begin)+earned, b.stall)
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.refused.Store(true)
		err = ErrBodyTooSlow
	case isFault(err):
		b.refused.Store(true)
	case err == io.EOF && b.stream == nil:
		b.arm(time.Time{})
	}
	return n, err
}

// readBy reads once, until a deadline.
func (b *body) readBy(deadline time.Time, p []byte) (int, error) {
	if b.stream == nil {
		b.arm(deadline)
		return b.ReadCloser.Read(p)
	}
	b.stream.begin(time.Until(deadline))
	defer b.stream.end()
	return b.ReadCloser.Read(p)
}

func isFault(err error) bool {
	_, ok := errors.AsType[*h1.Fault](err)
	return ok
}

// end leaves the connection to the next request.
func (b *body) end() {
	if b.ReadCloser == nil {
		return
	}
	if b.stream != nil {
		b.stream.close()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}

// arm moves the read deadline, if it would move by more than moving it is
// worth.
func (b *body) arm(deadline time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asks && !b.over {
		b.asks = false
		_ = http.NewResponseController(b.responder).SetWriteDeadline(time.Now().Add(b.stall))
	}
	near := !deadline.IsZero() && deadline.Sub(b.deadline).Abs() < b.stall/16
	if b.over || near {
		return
	}
	b.deadline = deadline
	_ = http.NewResponseController(b.responder).SetReadDeadline(deadline) // a body without a connection cannot stall
}

type bodyTooLargeError struct{ max http.MaxBytesError }

func tooLarge(limit int64) error {
	return &bodyTooLargeError{http.MaxBytesError{Limit: limit}}
}

func (e *bodyTooLargeError) Error() string   { return ErrBodyTooLarge.Error() }
func (e *bodyTooLargeError) Unwrap() []error { return []error{ErrBodyTooLarge, &e.max} }
