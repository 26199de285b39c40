package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/trace"
)

// Input is what a flow runs on: a request that came through a gateway, or the
// values that another flow passed. It is set before the flow starts and not
// changed after.
type Input struct {
	ID      string // the request id, for logs and answers
	Request *http.Request
	Writer  http.ResponseWriter // for steps that stream their answer
	Params  Params
	Body    Value
	Remote  string
	// Host and Scheme are what the client asked for, where a proxy in between is
	// trusted and tells; "" is what Request says.
	Host, Scheme string
	Version      string // that the route is of; "" is none
	// Consumer is who sends the request; nil: no policy has found out.
	Consumer *Consumer
	// Origins hears of what the answer is made of; nil: nobody does.
	Origins Origins
	With    Value // the input of a sub-flow
	Log     *slog.Logger
	Trace   *trace.Trace // nil: nothing is recorded, and nothing passed on

	Priority Priority
	// Attempts is how often services were asked for this request, retries and
	// hedges included. Run sets it when it returns.
	Attempts int64

	once  sync.Once
	query url.Values
	typed *typedInput // nil: nothing is said of the request

	// Of the step that runs a sub-flow.
	ledger *Ledger
	again  bool      // it is repeated
	until  time.Time // when the sub-flow has to be done; zero is no bound
}

// Params are the variables of the path that the request came by.
type Params interface {
	Var(name string) (value string, ok bool)
}

// Query is the request's query, parsed at the first call. What is malformed in
// it is left out.
func (in *Input) Query() url.Values {
	in.once.Do(func() { in.query = in.Request.URL.Query() })
	return in.query
}

// Result is what one step left behind.
type Result struct {
	Value  Value
	Status int // of a call; 0 if it was not made
	Header http.Header
	Took   time.Duration
}

// outcome is the Result of one name, readable by expressions.
type outcome struct {
	cell
	status int
	header http.Header
	took   time.Duration
	err    *Error
}

func (in *Input) param(name string) string {
	value, _ := in.Params.Var(name)
	return value
}

// An Exchange is one request on its way through a flow, or one round of a loop
// in it. Steps of one flow share it; a goroutine may set only the results of
// the steps it runs, before any reader starts.
type Exchange struct {
	In      *Input
	frame   *frame
	parent  *Exchange
	root    *Exchange
	answer  Answer    // of the root
	until   time.Time // of the root: the deadline of the flow; zero is none
	results []outcome
	slots   []slot
	kept    atomic.Bool // something reads it after it was released
	ledger  *Ledger     // of the root: own, or its caller's
	own     Ledger
}

// Env marks an Exchange as what expressions look into.
func (x *Exchange) Env() {}

// frame is the static side of an Exchange: a flow, or the body of a loop.
type frame struct {
	parent *frame
	names  []*name // one for each result
	slots  int
	pool   sync.Pool
}

// seal fixes the layout once everything is compiled.
func (f *frame) seal() {
	for _, n := range f.names {
		n.base = f.slots
		f.slots += len(n.paths.list)
	}
}

// exchange takes a fresh Exchange for the frame. It goes back by release.
func (f *frame) exchange(in *Input, parent *Exchange) *Exchange {
	x, _ := f.pool.Get().(*Exchange)
	if x == nil {
		x = &Exchange{frame: f, results: make([]outcome, len(f.names)), slots: make([]slot, f.slots)}
	}
	x.In, x.parent, x.root = in, parent, x
	switch {
	case parent != nil:
		x.root = parent.root
	case in.ledger != nil:
		x.ledger = in.ledger
	default:
		x.ledger = &x.own
	}
	return x
}

// release gives an Exchange back. Nothing may refer to it any more; texts and
// values read from it stay good.
func (x *Exchange) release() {
	if x.kept.Load() {
		return // it is left to the garbage collector
	}
	x.In, x.parent, x.root, x.answer, x.until, x.ledger = nil, nil, nil, Answer{}, time.Time{}, nil
	x.own.renew()
	x.forget(0, len(x.results))
	clear(x.slots)
	x.frame.pool.Put(x)
}

// forget takes back the results [from, to), as if their steps had not run.
func (x *Exchange) forget(from, to int) {
	for i := from; i < to; i++ {
		o := &x.results[i]
		o.cell.set(Value{})
		o.status, o.header, o.took, o.err = 0, nil, 0, nil
	}
}

// up gives the Exchange of an enclosing frame.
func (x *Exchange) up(levels int) *Exchange {
	for ; levels > 0; levels-- {
		x = x.parent
	}
	return x
}

// Set records the result of a step. It is called once for each Slot.
func (x *Exchange) Set(s Slot, r Result) {
	o := &x.results[s.name.index]
	o.cell.set(r.Value)
	o.status, o.header, o.took = r.Status, r.Header, r.Took
}

// SetError records why a step failed, beside its result.
func (x *Exchange) SetError(s Slot, err *Error) {
	x.results[s.name.index].err = err
}

// Value is what Set recorded.
func (x *Exchange) Value(s Slot) Value { return x.results[s.name.index].Value }

// Return sets the answer of the flow. The step that calls it gives ErrReturn.
func (x *Exchange) Return(a Answer) { x.root.answer = a }

// Answer is what the flow has returned. What is kept of it must be cloned.
func (x *Exchange) Answer() Answer { return x.root.answer }

// takeBack makes the flow one that has not returned, unless the caller has its
// answer already.
func (x *Exchange) takeBack() {
	if a := &x.root.answer; !a.Written {
		a.Release()
		*a = Answer{}
	}
}

// Slot is the place of a step's result.
type Slot struct{ name *name }

// Read reports whether anything in the flow reads the result.
func (s Slot) Read() bool {
	for n := s.name; n != nil; n = n.becomes {
		if n.read {
			return true
		}
	}
	return false
}

// Hold says what is known of the result, for the expressions that read it: also
// which secrets it holds.
func (s Slot) Hold(static *dsl.StaticType) { s.name.static, s.name.known = static, true }

// Static is what is known of the result.
func (s Slot) Static() *dsl.StaticType { return s.name.static }

// Deny says why there is no result, to expressions that read it. What stands
// beside it can be read.
func (s Slot) Deny(why *dsl.Denied) { s.name.denied = why }

// Timed reports whether anything reads how long the step took.
func (s Slot) Timed() bool {
	for n := s.name; n != nil; n = n.becomes {
		if n.timed {
			return true
		}
	}
	return false
}

// name is one name with a value of its own in a frame.
type name struct {
	text   string
	static *dsl.StaticType // what is known of the value
	known  bool            // that was said
	denied *dsl.Denied     // why there is none; nil: there is one
	index  int
	frame  *frame
	paths  paths
	base   int // of its slots
	read   bool
	timed  bool
	used   bool // the value, or what stands beside it, is read
	member bool // of a compose, or of another step that names its steps
	caller bool // it is what the caller sent, or part of it
	asked  bool // it is the body of the request

	becomes *name // the name whose result this one's can become
}

// read is a look at a name's value, or at a path below it.
type read struct {
	name *name
	up   int
	id   int // of the path; -1 is the whole value
}

func (r *read) outcome(env dsl.Env) (*outcome, []slot) {
	x := env.(*Exchange).up(r.up)
	return &x.results[r.name.index], x.slots[r.name.base : r.name.base+len(r.name.paths.list)]
}

// Value is what dsl.Read asks for.
func (r *read) Value(env dsl.Env) (any, error) {
	o, slots := r.outcome(env)
	if r.id < 0 {
		v, err := o.whole()
		return v, r.judge(o, err)
	}
	v, err := o.cell.read(&r.name.paths, r.id, slots)
	return v, r.judge(o, err)
}

// JSON is what dsl.Read asks for.
func (r *read) JSON(env dsl.Env) (string, bool, error) {
	o, slots := r.outcome(env)
	if r.id < 0 {
		return o.text, o.form == formJSON, nil
	}
	text, ok, err := o.cell.readJSON(&r.name.paths, r.id, slots)
	return text, ok, r.judge(o, err)
}

// judge makes a fault of a look into the request's body that of the caller,
// who sent what has no such place, and a look into what a backend sent as
// something other than JSON that of the backend.
func (r *read) judge(o *outcome, err error) error {
	if err == nil {
		return nil
	}
	if !r.name.asked {
		var f *dsl.Fault
		if o.form != formBytes || !errors.As(err, &f) {
			return err
		}
		message := fmt.Sprintf("the result of %s is %s, not JSON", r.name.text, o.contentType)
		return &dsl.Fault{Span: f.Span, Message: message, Err: &Error{Kind: KindMalformed, Message: message, Span: f.Span}}
	}
	if errors.Is(err, dsl.ErrMemory) {
		return &Error{Kind: KindInput, Message: err.Error(), Detail: "The body of the request has too many parts for this route to take it apart."}
	}
	var f *dsl.Fault
	if !errors.As(err, &f) {
		return err
	}
	detail := fmt.Sprintf("The body of the request has no %s, which this route reads.", pathText(r.name.paths.list[r.id]))
	if o.form == formBytes {
		detail = "The body of the request is not JSON (or its Content-Type does not say so), and this route reads JSON."
	}
	return &dsl.Fault{Span: f.Span, Message: f.Message, Err: &Error{Kind: KindInput, Message: f.Message, Detail: detail, Span: f.Span}}
}

// pathText writes a path as expressions do.
func pathText(path dsl.Path) string {
	var b strings.Builder
	for i, key := range path {
		switch {
		case key.IsIndex:
			fmt.Fprintf(&b, "[%d]", key.Index)
		case i == 0:
			b.WriteString(key.Name)
		default:
			b.WriteString("." + key.Name)
		}
	}
	return b.String()
}

// field is a look at something beside a body.
type field func(x *Exchange) any

// Value is what dsl.Read asks for.
func (f field) Value(env dsl.Env) (any, error) { return f(env.(*Exchange)), nil }

// JSON is what dsl.Read asks for.
func (f field) JSON(dsl.Env) (string, bool, error) { return "", false, nil }

// loopVar is the variable of a $each: a name in the frame it stands in.
type loopVar struct{ name *name }

// Set is what dsl.Var asks for.
func (l loopVar) Set(env dsl.Env, v any) {
	env.(*Exchange).results[l.name.index].cell.set(Go(v))
}

// SetJSON is what dsl.Var asks for.
func (l loopVar) SetJSON(env dsl.Env, text string) {
	env.(*Exchange).results[l.name.index].cell.set(JSON(text))
}

// ValueOf evaluates a shape or expression to a Value without encoding what is
// at hand as JSON text.
func ValueOf(ctx context.Context, x *Exchange, shape *dsl.ShapeTemplate) (Value, error) {
	if e, ok := shape.Expr(); ok {
		return exprValue(ctx, x, e)
	}
	if t, ok := shape.Text(); ok {
		s, err := t.String(ctx, x)
		return Go(s), err
	}
	if shape.Null() {
		return Value{}, nil
	}
	buf := buffers.Get().(*[]byte)
	b, err := shape.AppendJSON(ctx, x, (*buf)[:0])
	v := JSON(string(b))
	if cap(b) <= maxPooled {
		*buf = b
		buffers.Put(buf)
	}
	return v, err
}

func exprValue(ctx context.Context, x *Exchange, e *dsl.Expr) (Value, error) {
	if r, ok := e.Read().(*read); ok && r.id < 0 {
		o, _ := r.outcome(x)
		return o.Value, nil
	}
	text, ok, err := e.JSON(x)
	if err != nil {
		return Value{}, err
	}
	if ok {
		return part(text), nil
	}
	v, err := e.Eval(ctx, x)
	return Go(v), err
}

// part is a value from the JSON text of a part of a document. Text in it is text
// like any other, not a document.
func part(text string) Value {
	if strings.HasPrefix(text, `"`) {
		return Go(dsl.DecodeJSON(text))
	}
	return JSON(text)
}

// AppendJSON appends a value as JSON text.
func (v Value) AppendJSON(dst []byte) ([]byte, error) {
	switch v.form {
	case formJSON:
		return append(dst, v.text...), nil
	case formBytes:
		return dsl.AppendJSONString(dst, v.text), nil
	}
	return dsl.AppendJSON(dst, v.value)
}
