package dsl

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Fault is an expression that failed on the values of one request.
type Fault struct {
	Span    Span
	Message string
	Err     error // the cause that another package gave, or nil
}

func (f *Fault) Error() string { return f.Message }
func (f *Fault) Unwrap() error { return f.Err }

// machine is the state of one evaluation. Its address is the environment that
// expr's VM sees.
type machine struct {
	vm    vm.VM
	ctx   context.Context
	env   Env
	ticks int
	bytes int
}

var machines = sync.Pool{New: func() any { return new(machine) }}

// Eval gives the value of the expression: nil, bool, int, float64, Number,
// string, []any, map[string]any, or a time or duration. The caller must not
// change it. An error is a *Fault with the place that failed, or wraps the
// context's error if its deadline ended a loop.
func (e *Expr) Eval(ctx context.Context, env Env) (any, error) {
	if e.read != nil {
		v, err := e.read.Value(env)
		if err != nil {
			return nil, e.told(e.code.fault(err, e.code.whole()))
		}
		if v == nil && e.orElse != nil {
			return e.orElse.Eval(ctx, env)
		}
		return v, nil
	}
	m := machines.Get().(*machine)
	m.ctx, m.env, m.ticks, m.bytes = ctx, env, 0, 0
	v, err := m.vm.Run(e.program, m)
	m.ctx, m.env = nil, nil
	machines.Put(m)
	if err != nil {
		return nil, e.told(e.runFault(err))
	}
	return plainList(v), nil
}

// plainList gives the lists that expr's ranges and functions make the one type
// that lists have everywhere else.
func plainList(v any) any {
	switch v := v.(type) {
	case []int:
		return anyList(v)
	case []string:
		return anyList(v)
	}
	return v
}

func anyList[T any](items []T) []any {
	list := make([]any, len(items))
	for i := range items {
		list[i] = items[i]
	}
	return list
}

// Bool evaluates a condition. Anything but a boolean is a *Fault: a missing
// value must be given a meaning with ??.
func (e *Expr) Bool(ctx context.Context, env Env) (bool, error) {
	v, err := e.Eval(ctx, env)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		message := "a condition is true or false; this one gave " + kindOf(v)
		if v == nil {
			message += " (write ?? to say what absence means)"
		}
		return false, &Fault{Span: e.code.whole(), Message: message}
	}
	return b, nil
}

// AppendJSON appends the value as JSON text: as it stands in the message it
// was read from where that can be, encoded otherwise.
func (e *Expr) AppendJSON(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	text, ok, err := e.JSON(env)
	if err != nil {
		return dst, err
	}
	if ok {
		return append(dst, text...), nil
	}
	v, err := e.Eval(ctx, env)
	if err != nil {
		return dst, err
	}
	dst, err = AppendJSON(dst, v)
	if err != nil {
		return dst, e.told(&Fault{Span: e.code.whole(), Message: err.Error(), Err: err})
	}
	return dst, nil
}

// AppendText appends the value as it stands inside text.
func (e *Expr) AppendText(ctx context.Context, env Env, dst []byte) ([]byte, error) {
	v, err := e.Eval(ctx, env)
	if err != nil {
		return dst, err
	}
	dst, err = AppendText(dst, v)
	if err != nil {
		return dst, e.told(&Fault{Span: e.code.whole(), Message: err.Error(), Err: err})
	}
	return dst, nil
}

// JSON is the value as JSON text if that is at hand without encoding it.
func (e *Expr) JSON(env Env) (string, bool, error) {
	if e.read == nil {
		return "", false, nil
	}
	text, ok, err := e.read.JSON(env)
	if err != nil {
		return "", false, e.code.fault(err, e.code.whole())
	}
	if e.orElse != nil && strings.Trim(text, jsonSpace) == "null" {
		return e.orElse.JSON(env)
	}
	return text, ok, nil
}

// told is a failure as others may know of it.
func (e *Expr) told(err error) error {
	var f *Fault
	if !e.discreet || !errors.As(err, &f) {
		return err
	}
	out := *f
	out.Message = quotation.ReplaceAllString(f.Message, `"…"`)
	return &out
}

// quotation is what messages have of values.
var quotation = regexp.MustCompile(`"(?:[^"\\]|\\.)*"…?|'(?:[^'\\]|\\.)*'`)

// fault gives err a place if it has none.
func (c code) fault(err error, at Span) error {
	var f *Fault
	if errors.As(err, &f) {
		return err
	}
	return &Fault{Span: at, Message: err.Error(), Err: err}
}

// runFault turns what the VM recovered into a Fault.
func (e *Expr) runFault(err error) error {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	var fe *file.Error
	if !errors.As(err, &fe) {
		return &Fault{Span: e.code.whole(), Message: err.Error(), Err: err}
	}
	f = &Fault{Span: e.code.span(fe.From, fe.To), Message: fe.Message, Err: fe.Prev}
	switch {
	case strings.HasPrefix(f.Message, "interface conversion"), strings.HasPrefix(f.Message, "runtime error"),
		strings.HasPrefix(f.Message, "reflect"):
		f.Message = "the values do not fit this operation"
	case strings.Contains(f.Message, "memory budget exceeded"):
		f.Message = "the expression makes too large a list"
	}
	f.Message, _ = inOurWords(f.Message, words{whole: e.code.text, at: f.Span.Text()})
	if e.discreet && !errors.As(err, new(libraryError)) {
		f.Message = "this fails on the value of a secret"
	}
	if len(f.Message) > maxFaultMessage { // it may quote what a caller sent
		f.Message = strings.ToValidUTF8(f.Message[:maxFaultMessage], "") + "…"
	}
	return f
}
