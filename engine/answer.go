package engine

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"unsafe"

	"github.com/weir-run/weir/dsl"
)

// Answer is what a flow returned.
type Answer struct {
	Status int         // 0: none was given
	Header http.Header // nil: no headers of its own
	Body   Value
	// Written says that a step has streamed the answer to Input.Writer.
	Written bool
	// Failure is what the errors of the flow answered with this; nil if nothing
	// failed that no step handled.
	Failure *Error

	buf *[]byte // where the text of Body stands, if that is pooled
}

// Release gives the memory of Body back. Body must not be used after it.
func (a *Answer) Release() {
	if a.buf != nil {
		if cap(*a.buf) <= maxPooled {
			buffers.Put(a.buf)
		}
		a.buf = nil
	}
	a.Body = Value{}
}

// Clone is the answer with memory of its own.
func (a Answer) Clone() Answer {
	return Answer{Status: a.Status, Header: a.Header.Clone(), Body: a.Body.Clone()}
}

// maxPooled keeps the pool from holding on to the rare huge answer, in bytes.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// AnswerTemplate makes the answers of one place in a flow.
type AnswerTemplate struct {
	body    *dsl.ShapeTemplate // nil: no body
	status  int
	dynamic *dsl.ShapeTemplate // the status, if an expression gives it
	headers []Header
}

// Answer compiles an answer. A status may be a number or an expression.
func (c *Compiler) Answer(body, status dsl.Shape, headers map[string]dsl.Shape) *AnswerTemplate {
	t := &AnswerTemplate{headers: c.Headers(headers)}
	where := "the answer"
	if c.flow.Trigger == nil {
		where = "the result of the flow"
	}
	for _, value := range headers {
		c.Shown(value.Node, where)
	}
	if body.Node != nil {
		t.body = c.Shape(body)
		c.Shown(body.Node, where)
	}
	n := status.Node
	if n == nil {
		return t
	}
	if n.Kind == dsl.Scalar && n.Type == dsl.Int {
		t.status, _ = strconv.Atoi(n.Text)
		if !isStatus(t.status) {
			c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-status", Message: fmt.Sprintf("%s is not a status", n.Text), Hint: "a status is a number from 200 to 599"})
		}
		return t
	}
	t.dynamic = c.Shape(status)
	c.Shown(n, where)
	if t.dynamic != nil {
		if _, ok := t.dynamic.Expr(); !ok {
			c.Report(dsl.Diagnostic{Span: n.Span, Code: "bad-status", Message: "a status is a number or an expression", Hint: "write status: 201 or status: $(...)"})
		}
	}
	return t
}

func isStatus(n int) bool { return 200 <= n && n <= 599 }

// Answer evaluates the template. A body that must be written goes to a pooled
// buffer, which the answer's Release gives back.
func (t *AnswerTemplate) Answer(ctx context.Context, x *Exchange) (Answer, error) {
	a := Answer{Status: t.status}
	var err error
	if t.dynamic != nil {
		v, err := ValueOf(ctx, x, t.dynamic)
		if err != nil {
			return a, err
		}
		n, ok := v.Decoded().(int)
		if !ok || !isStatus(n) {
			return a, &dsl.Fault{Span: t.dynamic.Span(), Message: "a status is a number from 200 to 599"}
		}
		a.Status = n
	}
	if a.Header, err = AppendHeaders(ctx, x, nil, t.headers); err != nil || t.body == nil {
		return a, err
	}
	_, whole := t.body.Expr()
	_, text := t.body.Text()
	if whole || text || t.body.Null() {
		v, err := ValueOf(ctx, x, t.body)
		if _, isText := v.Text(); err != nil || isText || v.form != formGo {
			a.Body = v
			return a, err
		}
	}
	a.buf = buffers.Get().(*[]byte)
	b, err := t.body.AppendJSON(ctx, x, (*a.buf)[:0])
	*a.buf = b
	if err != nil {
		a.Release()
		return a, err
	}
	a.Body = JSON(unsafe.String(unsafe.SliceData(b), len(b)))
	return a, nil
}
