package trace

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
)

// Tracer decides which requests are traced. It is set up before the first of
// them, and safe for concurrent use. A nil one passes on what comes, and so does
// one without a Sink.
type Tracer struct {
	Sampler Sampler
	Sink    Sink // gets the spans
	Propagation
	// Redact takes secrets out of what spans tell. It may be nil.
	Redact func(string) string
	// Random is what ids are made of; the generator of the runtime, if it is nil.
	Random func() uint64
}

// Propagation is in which forms traces go on with calls. The zero one is that of
// W3C: Trace Context and Baggage. Of a request that comes with several, Trace
// Context has the last word.
type Propagation struct {
	// NoContext and NoBaggage have trace contexts and baggage end here.
	NoContext, NoBaggage bool
	// B3 and B3Multi are the forms of Zipkin: one field, and several.
	B3, B3Multi bool
}

func (p Propagation) b3() bool { return p.B3 || p.B3Multi }

// Sink gets spans that have ended. It is safe for concurrent use.
type Sink interface {
	// Export takes a span, which is used again when it returns.
	Export(s *Span)
}

// Sampler decides whether the spans of a request are recorded. The zero one
// records none.
type Sampler struct {
	Ratio  float64 // the share of traces, from 0 to 1
	Follow bool    // what has a trace is recorded if its caller recorded it
}

// samples decides by the trace's id, so that all who sample a share of the same
// traces agree: the lower 63 bits of its second half, as the SDKs of
// OpenTelemetry have it. Level 2 says that these are random.
func (s Sampler) samples(id TraceID, by decision) bool {
	switch {
	case s.Follow && by != undecided:
		return by != deny
	case s.Ratio >= 1:
		return true
	case !(s.Ratio > 0):
		return false
	}
	return binary.BigEndian.Uint64(id[8:])>>1 < uint64(s.Ratio*math.MaxInt64)
}

// Records reports whether there can be spans at all.
func (tr *Tracer) Records() bool { return tr != nil && tr.Sink != nil && (!tr.NoContext || tr.b3()) }

// Carries reports whether a request may have anything to pass on.
func (tr *Tracer) Carries(h http.Header) bool {
	return len(h[headerParent]) > 0 || len(h[headerBaggage]) > 0 || tr != nil && tr.b3() && carriesB3(h)
}

// Accept begins t with what a request carries. It reports whether there is
// anything in it: to record, or to pass on.
func (tr *Tracer) Accept(t *Trace, h http.Header) bool {
	t.tracer = tr
	if tr == nil || !tr.NoBaggage {
		t.baggage = passable(h[headerBaggage])
	}
	if tr.Records() {
		tr.begin(t, h)
		return true
	}
	if tr == nil || !tr.NoContext {
		t.pass(h)
	}
	if tr != nil && tr.b3() && carriesB3(h) {
		t.passB3(h)
	}
	return t.parents != nil || t.baggage != nil || t.passed != nil
}

// begin takes part in the trace, or starts one: the processing model of a system
// that participates.
func (tr *Tracer) begin(t *Trace, h http.Header) {
	parent, by, has := tr.extract(h)
	if has {
		t.context, t.parent = Context{TraceID: parent.TraceID, Flags: parent.Flags & Random, State: parent.State}, parent.SpanID
	} else {
		t.context = Context{TraceID: tr.newTraceID(), Flags: Random}
	}
	t.context.SpanID = tr.newSpanID()
	if t.recording = tr.Sampler.samples(t.context.TraceID, by); t.recording {
		t.context.Flags |= Sampled
	}
	t.debug = t.recording && by == debug
	t.publish()
}

// extract reads the place that a request comes from, and what was decided there:
// by Trace Context, or else by B3.
func (tr *Tracer) extract(h http.Header) (c Context, by decision, has bool) {
	if !tr.NoContext {
		if c, has = ParseParent(h[headerParent]); has {
			c.State, _ = ParseState(h[headerState])
			if c.Flags&Sampled != 0 {
				return c, accept, true
			}
			return c, deny, true
		}
	}
	if !tr.b3() {
		return c, undecided, false
	}
	c, by, _ = parseB3(h)
	return c, by, c.TraceID.Valid()
}

// publish makes the fields that go on with each call.
func (t *Trace) publish() {
	if !t.tracer.NoContext {
		t.field.set(t.context.TraceID, t.context.SpanID, t.context.Flags)
		t.parents = t.field.values[:]
		if t.context.State != "" {
			t.state[0] = t.context.State
			t.states = t.state[:]
		}
	}
	if t.tracer.b3() {
		t.b3 = t.b3At(t.context.SpanID)
	}
}

func (t *Trace) b3At(id SpanID) *b3Fields {
	by := deny
	switch {
	case t.debug:
		by = debug
	case t.recording:
		by = accept
	}
	f := new(b3Fields)
	f.set(t.context.TraceID, id, by)
	return f
}

// pass is the processing model of a system that only forwards: what is valid goes
// on as it came, and of later versions what could be.
func (t *Trace) pass(h http.Header) {
	values := h[headerParent]
	if len(values) != 1 || len(values[0]) > maxParent {
		return
	}
	parent, ok := ParseParent(values)
	v := strings.Trim(values[0], " \t")
	if !ok && (!hasVersion(v) || v[:2] == "00") {
		return
	}
	t.context, t.parents = parent, values
	if states := h[headerState]; size(states) <= maxPassed {
		t.states = states
	}
}

// maxPassed bounds what is passed on without being looked into, in bytes: what
// W3C Baggage has everyone pass on at least.
const maxPassed = 8192

// passable are the values of baggage fields, which nobody here looks into; all
// of them, or none.
func passable(values []string) []string {
	if n := size(values); n == 0 || n > maxPassed {
		return nil
	}
	return values
}

func size(values []string) (n int) {
	for i, v := range values {
		if n += len(v); i > 0 {
			n++ // the comma that they would be combined with
		}
	}
	return n
}

// random is what ids are made of.
func (tr *Tracer) random() uint64 {
	if tr.Random != nil {
		return tr.Random()
	}
	return rand.Uint64()
}

func (tr *Tracer) newTraceID() (id TraceID) {
	for !id.Valid() {
		binary.BigEndian.PutUint64(id[:8], tr.random())
		binary.BigEndian.PutUint64(id[8:], tr.random())
	}
	return id
}

func (tr *Tracer) newSpanID() (id SpanID) {
	for !id.Valid() {
		binary.BigEndian.PutUint64(id[:], tr.random())
	}
	return id
}
