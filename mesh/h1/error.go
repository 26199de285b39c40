package h1

import (
	"errors"
	"fmt"
)

// Op names the part of a round trip that failed. It tells a caller what the
// server can have seen of the request.
type Op string

const (
	// OpRequest: the request is not valid HTTP. Nothing was sent.
	OpRequest Op = "request"
	// OpDial: no connection was made. Nothing was sent.
	OpDial Op = "dial"
	// OpBody: reading the request's body from the caller failed, or it was not
	// as long as it was declared. The server may have seen a part of it.
	OpBody Op = "body"
	// OpWrite: the connection failed while the request was being written.
	OpWrite Op = "write"
	// OpRead: the connection failed, ended or timed out before the response
	// was complete.
	OpRead Op = "read"
	// OpParse: the server sent something that is not the response of RFC 9112.
	OpParse Op = "parse"
)

// Error is the error of a failed round trip, and of reading a response's body.
//
// Err is context.Canceled or context.DeadlineExceeded if it was the request's
// context that ended, and matches os.ErrDeadlineExceeded if it was
// [Options].Deadline, or if the context was cancelled with a cause that does.
type Error struct {
	Op   Op
	Addr string // host:port of the server
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Addr, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether a deadline caused the error, as net.Error has it.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}
