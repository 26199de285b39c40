package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

// Kind is the stable name of a class of failures: the same in error.kind, in
// problem documents, logs and metrics.
type Kind string

// The kinds of failure.
const (
	KindStatus        Kind = "status"         // a backend answered with a status that the step does not accept
	KindTimeout       Kind = "timeout"        // a step or one attempt took longer than its timeout
	KindDeadline      Kind = "deadline"       // the whole flow ran out of time
	KindConnect       Kind = "connect"        // no connection to the backend
	KindReset         Kind = "reset"          // the backend broke the connection
	KindBreaker       Kind = "breaker_open"   // the breaker let nothing through
	KindOverloaded    Kind = "overloaded"     // a limit of ours was reached
	KindNoCredentials Kind = "no_credentials" // there is no token for the backend
	KindMalformed     Kind = "malformed"      // a backend's answer is not what it claims to be
	KindTooLarge      Kind = "too_large"      // a body is larger than its limit
	KindInput         Kind = "input"          // the caller sent something wrong
	KindExpression    Kind = "expression"     // an expression failed on the values of this request
	KindFail          Kind = "fail"           // a fail step
	KindCanceled      Kind = "canceled"       // the caller went away, or a sibling failed
	KindInternal      Kind = "internal"       // a fault of Weir
)

// kinds are all of them, as expressions see them.
var kinds = []string{
	string(KindStatus), string(KindTimeout), string(KindDeadline), string(KindConnect), string(KindReset), string(KindBreaker), string(KindOverloaded),
	string(KindNoCredentials), string(KindMalformed), string(KindTooLarge), string(KindInput), string(KindExpression), string(KindFail), string(KindCanceled), string(KindInternal),
}

// Error is why a step failed. Message is for logs and handlers: nothing of it
// goes to a caller by itself.
type Error struct {
	Step     string // the id of the step, or its verb where it has none
	Kind     Kind
	Status   int // the backend's status, or the one a fail step gives; 0 if there was none
	Message  string
	Body     Value  // the backend's body, if it came
	Attempts int    // how often the backend was asked
	Code     string // a fail step's own code
	Detail   string // a sentence for the caller: of kind input and overloaded, what is wrong
	// RetryAfter is how long it is of no use to ask again; 0 if that is not known.
	RetryAfter time.Duration
	// Violations are what a value does not keep to, which its schema says. They
	// are shown to callers if the kind is input.
	Violations []schema.Violation
	Undo       []*Error // the compensations of a saga that failed: each tells of the step whose effect is left
	Span       dsl.Span
	Err        error
}

func (e *Error) Error() string {
	s := string(e.Kind) + ": " + e.Message
	for _, u := range e.Undo {
		s += "; not undone: " + u.Step + ": " + string(u.Kind) + ": " + u.Message
	}
	if e.Step != "" && e.Step != string(e.Kind) {
		s = e.Step + ": " + s
	}
	if e.Span.Valid() {
		s = e.Span.String() + ": " + s
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus is the status of an answer that tells of the failure: 502 and 504
// speak of a backend (RFC 9110 sections 15.6.3 and 15.6.5), whose own status is
// never passed on.
func (e *Error) HTTPStatus() int {
	switch e.Kind {
	case KindStatus, KindConnect, KindNoCredentials, KindReset, KindMalformed, KindTooLarge:
		return http.StatusBadGateway
	case KindTimeout, KindDeadline:
		return http.StatusGatewayTimeout
	case KindBreaker, KindOverloaded:
		return http.StatusServiceUnavailable
	case KindInput:
		return http.StatusBadRequest
	case KindCanceled:
		return 499 // nobody reads it; the log does
	case KindFail:
		return e.Status
	}
	return http.StatusInternalServerError
}

// told is what the caller may be told in words: of a fail step what it says, of
// what the caller sent what is wrong with it; nil of all else.
func (e *Error) told() any {
	switch {
	case e.Kind == KindFail:
		return e.Message
	case e.Kind == KindInput && e.Detail != "":
		return e.Detail
	}
	return nil
}

// ErrReturn ends a flow that has its answer. Steps pass it on; nothing
// catches it.
var ErrReturn = errors.New("the flow returned")

// Apart is an error that several steps end with, for one of them: an *Error is
// completed on its way through each.
func Apart(err error) error {
	var e *Error
	if errors.As(err, &e) {
		own := *e
		return &own
	}
	return err
}

// ErrLeave ends one round of a loop, which leaves nothing behind. Like
// ErrReturn, of which it is one, nothing catches it but the loop.
var ErrLeave = fmt.Errorf("the round was left: %w", ErrReturn)

// failure makes an *Error of whatever a step gave.
func failure(ctx context.Context, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Kind: KindInternal, Message: err.Error(), Err: err}
	var f *dsl.Fault
	if errors.As(err, &f) {
		e.Kind, e.Span = KindExpression, f.Span
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || ctx.Err() != nil {
		e.Kind = interruption(ctx, err)
	}
	return e
}

// interruption says what ended a context.
func interruption(ctx context.Context, err error) Kind {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errStepTimeout):
		return KindTimeout
	case errors.Is(cause, context.DeadlineExceeded), cause == nil && errors.Is(err, context.DeadlineExceeded):
		return KindDeadline
	}
	return KindCanceled
}

// Interrupted gives the failure of a step whose context ended, or nil if it
// goes on.
func Interrupted(ctx context.Context) *Error {
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	return &Error{Kind: interruption(ctx, cause), Message: cause.Error(), Err: cause}
}

// errStepTimeout is the cause of a context that a timeout modifier ended. It
// matches os.ErrDeadlineExceeded: who let the time pass was too slow, where the
// end of the flow's own time says nothing of anybody.
var errStepTimeout error = stepTimeout{}

type stepTimeout struct{}

func (stepTimeout) Error() string { return "the step's timeout passed" }

func (stepTimeout) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}
