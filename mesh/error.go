package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// Class says in one word why an attempt or a call failed. Its zero value is
// [OK], no failure.
type Class uint8

const (
	// OK is the class of an attempt that did not fail.
	OK Class = iota
	// Connect: no connection could be made; the request was not sent.
	Connect
	// Timeout: the attempt took longer than [Config].Timeout, or than the caller
	// gives the service: its context ended with a cause that matches
	// os.ErrDeadlineExceeded.
	Timeout
	// Refused: the endpoint refused the stream before it looked at the request
	// (RFC 9113 section 8.7).
	Refused
	// Reset: the connection broke before the reply was complete.
	Reset
	// Malformed: the endpoint's answer is not valid HTTP.
	Malformed
	// TooLarge: the reply is larger than [Config].MaxBody.
	TooLarge
	// Status: the endpoint answered with status 500 or above. A class of
	// statistics only: such a reply is returned, not turned into an error.
	Status
	// Canceled: the caller's context was canceled.
	Canceled
	// Deadline: the caller's deadline passed.
	Deadline
	// Rejected: the request itself cannot be sent: it is not valid HTTP, or
	// its body could not be read.
	Rejected
	// BreakerOpen: the breaker of the service, or those of all endpoints, are
	// open; nothing was sent.
	BreakerOpen
	// NoEndpoint: the service has no endpoint; nothing was sent.
	NoEndpoint
	// Overloaded: [Config].Limit was reached, and waiting was of no use; nothing
	// was sent, but for attempts before.
	Overloaded
	// NoCredentials: [Config].Credentials have no value for the request; nothing
	// was sent.
	NoCredentials

	classes // their number
)

var classNames = [classes]string{
	OK: "ok", Connect: "connect", Timeout: "timeout", Refused: "refused_stream", Reset: "reset", Malformed: "malformed",
	TooLarge: "too_large", Status: "status", Canceled: "canceled", Deadline: "deadline",
	Rejected: "rejected", BreakerOpen: "breaker_open", NoEndpoint: "no_endpoint", Overloaded: "overloaded",
	NoCredentials: "no_credentials",
}

// String returns the class as it is written in configuration and metrics.
func (c Class) String() string {
	if c < classes {
		return classNames[c]
	}
	return "unknown"
}

// Error is the error of a call, and of reading the body of its reply.
type Error struct {
	Service  string
	Class    Class
	Endpoint string   // base URL of the last attempt, empty if there was none
	Attempts int      // attempts made, the failed ones included
	Stopped  Decision // why there were no more of them
	Records  Attempts // of the attempts
	Panic    bool     // an attempt was made with too few of the endpoints usable; see [Config].Panic
	Err      error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("service %s: %s", e.Service, e.Class)
	if e.Attempts > 1 {
		s += fmt.Sprintf(" after %d attempts", e.Attempts)
	}
	if reason := e.Stopped.Reason(); reason != "" {
		s += ", " + reason
	}
	if e.Panic {
		s += ", when too few of its endpoints were usable and all were used"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Trail tells of the attempts in a line; it is empty if there were none.
func (e *Error) Trail() string { return e.Records.String() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether time ran out: the attempt's or the caller's.
func (e *Error) Timeout() bool { return e.Class == Timeout || e.Class == Deadline }

var errNoEndpoint = errors.New("there is no endpoint")

// endpointFault reports whether the class speaks against the endpoint.
func (c Class) endpointFault() bool {
	switch c {
	case Connect, Timeout, Refused, Reset, Malformed, Status:
		return true
	}
	return false
}

// neutral reports whether the class says nothing about the endpoint at all.
func (c Class) neutral() bool {
	switch c {
	case Canceled, Deadline, Rejected, BreakerOpen, NoEndpoint, Overloaded, NoCredentials:
		return true
	}
	return false
}

// contextClass is the class of a context that has ended.
func contextClass(err error) Class {
	if errors.Is(err, context.DeadlineExceeded) {
		return Deadline
	}
	return Canceled
}

// isOverdue reports whether a context that has ended was the caller's bound for
// the service, rather than for work of its own: the cause matches
// os.ErrDeadlineExceeded, as an attempt's timeout does.
func isOverdue(ctx context.Context) bool {
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		<-ctx.Done() // its timer may be a little behind the connection's
	}
	return errors.Is(context.Cause(ctx), os.ErrDeadlineExceeded)
}

// isUnneeded reports whether a context has ended because its caller has what it
// wants without the reply: the cause says so with a method Unneeded() bool. That is
// nobody's failure, and not counted as one.
func isUnneeded(ctx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	var cause interface{ Unneeded() bool }
	return errors.As(context.Cause(ctx), &cause) && cause.Unneeded()
}

// classify gives the class of a transport's error. Both of our transports
// return [*h1.Error]; what remains are errors of a [Config].Transport.
func classify(err error) Class {
	var he *h1.Error
	if errors.As(err, &he) {
		switch he.Op {
		case h1.OpRequest, h1.OpBody:
			return Rejected
		case h1.OpDial:
			// Only the context's own error says that the caller gave up: a dial
			// that timed out matches context.DeadlineExceeded too.
			if he.Err == context.Canceled || he.Err == context.DeadlineExceeded {
				return contextClass(he.Err)
			}
			return Connect
		case h1.OpParse:
			return Malformed
		}
	}
	if turnedAway(err) {
		return Connect
	}
	if class := byText(err.Error()); class != OK {
		return class
	}
	var op *net.OpError
	var stream streamError
	switch {
	case errors.As(err, &stream) && stream.Code == refusedStream:
		return Refused
	case stream.Code > protocolError:
		return Reset
	case errors.As(err, &op) && op.Op == "dial":
		return Connect
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case he != nil, op != nil, isBroken(err):
		return Reset
	}
	return Malformed
}

// isBroken reports whether err is a connection that ended.
func isBroken(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed)
}

// texts are how errors begin whose types net/http keeps to itself. What follows
// may be the server's words.
var texts = []struct {
	begin, then string
	class       Class
}{
	{"http2: client conn could not be established", "", Connect}, // closed before a request was sent on it
	// Streams that the server says it has not looked at, whose requests net/http
	// would repeat if it had their bodies.
	{"http2: Transport: cannot retry err [http2: Transport received Server's graceful shutdown GOAWAY]", "", Refused},
	{"http2: Transport: cannot retry err [stream error: stream ID ", "; REFUSED_STREAM", Refused},
	{"http2: Transport received Server's graceful shutdown GOAWAY", "", Refused},
	{"http2: Transport received GOAWAY from server", "", Refused},
	{"http2: client connection lost", "", Reset},
	{"http2: client connection force closed", "", Reset}, // when another request could not be written to it
	{"http2: client conn is closed", "", Reset},
	{"http2: server sent GOAWAY", "", Reset},
	{"http: server closed idle connection", "", Reset},
}

// byText is the class of an error of net/http's that says nothing but its text,
// and else OK.
func byText(text string) Class {
	if !strings.HasPrefix(text, "http") {
		return OK
	}
	for _, t := range texts {
		if rest, ok := strings.CutPrefix(text, t.begin); ok && strings.Contains(rest, t.then) {
			return t.class
		}
	}
	return OK
}

// streamError has the form of an error of a stream of HTTP/2, by which net/http
// lets itself be asked for its own: that one has no name for others.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("stream error %d", e.Code) }

// RFC 9113 section 7. What net/http itself cannot read is a protocol error, too.
const (
	protocolError = 0x1
	refusedStream = 0x7
)
