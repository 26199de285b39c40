package trace

import (
	"context"
	"encoding/binary"
	"net/http"
	"sync/atomic"
	"time"
	"unsafe"
)

// Trace is the part of a trace that is this process's work for one request. A
// nil one records nothing and passes nothing on. It is safe for concurrent use
// once [Tracer.Accept] has begun it.
type Trace struct {
	tracer    *Tracer
	context   Context // SpanID is that of the request's own span
	parent    SpanID  // the caller's; none if the trace begins here
	recording bool
	begun     atomic.Int32 // spans, and those there was no room for
	links     []Context    // of the request's own span

	parents, states, baggage []string // header fields that go on with each call
	field                    parentField
	state                    [1]string

	b3     *b3Fields   // nil: it is not asked for
	passed http.Header // fields of B3 that go on as they came
	debug  bool        // B3 says so
}

// parentField is a traceparent field in one piece of memory.
type parentField struct {
	values [1]string
	text   [parentLength]byte
}

func (f *parentField) set(t TraceID, s SpanID, flags byte) {
	appendParent(f.text[:0], t, s, flags)
	f.values[0] = unsafe.String(&f.text[0], len(f.text)) // nobody writes to it again
}

// maxSpans bounds what one request can have recorded: a loop has as many rounds
// as its caller likes.
const maxSpans = 1000

// Recording reports whether spans are recorded.
func (t *Trace) Recording() bool { return t != nil && t.recording }

// Context is the place of the request's own span.
func (t *Trace) Context() Context {
	if t == nil {
		return Context{}
	}
	return t.context
}

// Inject sets the header fields with which a call is part of the trace, in place
// of others of their names. The calls of a request that is not recorded all have
// the same: there is nothing to tell them apart by.
func (t *Trace) Inject(h http.Header) {
	if t == nil {
		return
	}
	if t.parents != nil {
		h[headerParent] = t.parents
		if t.states != nil {
			h[headerState] = t.states
		}
	}
	if t.b3 != nil {
		t.b3.inject(h, t.tracer.Propagation)
	}
	for name, values := range t.passed {
		h[name] = values
	}
	if t.baggage != nil {
		h[headerBaggage] = t.baggage
	}
}

// InjectSpan has h, in which Inject has set the fields, name the span id.
func (t *Trace) InjectSpan(h http.Header, id SpanID) {
	if t.parents != nil {
		f := new(parentField)
		f.set(t.context.TraceID, id, t.context.Flags)
		h[headerParent] = f.values[:]
	}
	if t.b3 != nil {
		t.b3At(id).inject(h, t.tracer.Propagation)
	}
}

// Propagated reports whether name, as http.Header has it, is one that Inject
// sets: what comes under it is not passed on in any other way.
func Propagated(name string) bool {
	return name == headerParent || name == headerState || name == headerBaggage
}

// Own begins the request's own span, within which all others are. It is begun
// once, and can be when they have ended.
func (t *Trace) Own(at time.Time) *Span {
	if !t.Recording() {
		return nil
	}
	s := t.span(t.context.SpanID, t.parent, at)
	s.Kind, s.Remote, s.Links = Server, t.parent.Valid(), append(s.Links, t.links...)
	if lost := t.begun.Load() - maxSpans; lost > 0 {
		s.SetInt("weir.spans.dropped", int64(lost))
	}
	return s
}

// Start begins a span within the one that ctx belongs to. It is nil, which
// takes all that can be told of a span, if nothing is recorded, or a thousand
// spans have been.
func (t *Trace) Start(ctx context.Context, at time.Time) *Span {
	if !t.Recording() || t.begun.Add(1) > maxSpans {
		return nil
	}
	return t.span(t.tracer.newSpanID(), t.current(ctx), at)
}

// Record begins a span whose id and parent are known: it is told of when it is
// over.
func (t *Trace) Record(id, parent SpanID, at time.Time) *Span {
	if !t.Recording() || t.begun.Add(1) > maxSpans {
		return nil
	}
	return t.span(id, parent, at)
}

// Series gives n ids of spans and the one that ctx belongs to, which is their
// parent.
func (t *Trace) Series(ctx context.Context) (first, parent SpanID) {
	return t.tracer.newSpanID(), t.current(ctx)
}

// At is the nth id of a series; n is from 0.
func (s SpanID) At(n int) SpanID {
	at := binary.BigEndian.Uint64(s[:]) + uint64(n)
	if at < uint64(n) {
		at++ // past zero, which is none
	}
	binary.BigEndian.PutUint64(s[:], at)
	return s
}

// Join makes other one of those that joint is work for, and gives joint: a trace
// of its own, linked to each of theirs. It is begun with the first that is
// recorded; until then it is nil. It keeps nothing of other, and is not safe for
// concurrent use before its work begins.
func Join(joint, other *Trace) *Trace {
	if !other.Recording() {
		return joint
	}
	if joint == nil {
		tr := other.tracer
		joint = &Trace{tracer: tr, recording: true}
		joint.context = Context{TraceID: tr.newTraceID(), SpanID: tr.newSpanID(), Flags: Random | Sampled}
		joint.publish()
	}
	if len(joint.links) < maxLinks {
		c := other.context
		c.State = "" // a part of the request's memory
		joint.links = append(joint.links, c)
	}
	return joint
}

// maxLinks is the limit that OpenTelemetry has.
const maxLinks = 128
