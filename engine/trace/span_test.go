package trace

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// begun is a trace that is recorded, of a request that came with one.
func begun(t *testing.T) (*Trace, *ended) {
	out := &ended{}
	tr := &Tracer{Sampler: Sampler{Ratio: 1}, Sink: out, Redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }}
	trace := &Trace{}
	if !tr.Accept(trace, header("Traceparent:"+valid, "Tracestate:foo=1")) || !trace.Recording() {
		t.Fatal("it is not recorded")
	}
	return trace, out
}

func TestSpansAreNested(t *testing.T) {
	trace, out := begun(t)
	at := time.Unix(100, 0)
	outer := trace.Start(t.Context(), at)
	ctx := Within(t.Context(), outer)
	inner := trace.Start(ctx, at)
	first, parent := trace.Series(Within(ctx, inner))
	attempt := trace.Record(first.At(1), parent, at)
	h := http.Header{}
	trace.Inject(h)
	trace.InjectSpan(h, attempt.ID)
	if want := "00-" + someTrace + "-" + attempt.ID.String() + "-01"; h.Get("Traceparent") != want || h.Get("Tracestate") != "foo=1" {
		t.Errorf("sent %v, want %s", h, want)
	}
	later := trace.Start(Continue(context.Background(), ctx), at)
	for _, s := range []*Span{attempt, inner, outer, later} {
		s.End(at.Add(time.Second))
	}
	trace.Own(at).End(at)
	a, i, o, l, own := out.spans[0], out.spans[1], out.spans[2], out.spans[3], out.spans[4]
	if a.Parent != i.ID || i.Parent != o.ID || o.Parent != own.ID || l.Parent != o.ID || own.Parent.String() != someParent {
		t.Errorf("%+v", out.spans)
	}
	for _, s := range out.spans {
		if s.Trace.String() != someTrace || s.State != "foo=1" || s.Flags != Sampled || s.Remote != (s.ID == own.ID) {
			t.Errorf("%+v", s)
		}
	}
	if o.Ended.Sub(o.Start) != time.Second || own.Kind != Server {
		t.Errorf("%+v", o)
	}
}

func TestASpanTellsNoSecrets(t *testing.T) {
	trace, out := begun(t)
	s := trace.Start(t.Context(), time.Now())
	s.Set("url.path", "/login/hunter2")
	s.Set("nothing", "")
	s.Fail("connect", "no connection to hunter2")
	s.End(time.Now())
	got := out.spans[0]
	if len(got.Attrs) != 2 || got.Attrs[0].Text != "/login/***" || got.Why != "no connection to ***" || got.Attrs[1] != (Attr{Key: "error.type", Text: "connect"}) {
		t.Errorf("%+v", got)
	}
	trace.Start(t.Context(), time.Now()).End(time.Now())
	if next := out.spans[1]; len(next.Attrs) > 0 || next.Failed || next.Why != "" {
		t.Errorf("a span begins with what another was told: %+v", next)
	}
}

func TestTheSpansOfARequestAreBounded(t *testing.T) {
	trace, out := begun(t)
	for range maxSpans + 7 {
		trace.Start(t.Context(), time.Now()).End(time.Now())
	}
	trace.Own(time.Now()).End(time.Now())
	own := out.spans[len(out.spans)-1]
	if len(out.spans) != maxSpans+1 || own.Attrs[0] != (Attr{Key: "weir.spans.dropped", Type: Int, Number: 7}) {
		t.Errorf("%d spans, and %+v", len(out.spans), own)
	}
}

func TestAJointTraceIsLinkedToThoseItIsOf(t *testing.T) {
	a, out := begun(t)
	b, _ := begun(t)
	joint := Join(Join(nil, nil), &Trace{})
	if joint != nil {
		t.Error("a trace of nothing that is recorded")
	}
	joint = Join(Join(joint, a), b)
	for range 2 * maxLinks {
		joint = Join(joint, b)
	}
	joint.Own(time.Now()).End(time.Now())
	own := out.spans[0]
	if own.Trace == a.context.TraceID || own.Parent.Valid() || len(own.Links) != maxLinks || own.Links[0].SpanID != a.context.SpanID || own.Links[1].SpanID != b.context.SpanID {
		t.Errorf("%+v", own)
	}
}

func TestIdsOfASeriesAreNeverNone(t *testing.T) {
	last := SpanID{255, 255, 255, 255, 255, 255, 255, 254}
	if got := last.At(1).String() + " " + last.At(2).String() + " " + last.At(3).String(); got != "ffffffffffffffff 0000000000000001 0000000000000002" {
		t.Error(got)
	}
}

func TestWhatIsNotRecordedCostsNoMemory(t *testing.T) {
	tr := &Tracer{Sampler: Sampler{Follow: true}, Sink: &ended{}}
	in, out := header("Traceparent:"+valid[:53]+"00", "Tracestate:foo=1,bar=2", "Baggage:a=1"), http.Header{}
	room := make([]Trace, 2000)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		trace := &room[i]
		i++
		tr.Accept(trace, in)
		trace.Inject(out)
		s := trace.Start(t.Context(), time.Time{})
		s.Set("a", "b")
		s.End(time.Time{})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

type nowhere struct{}

func (nowhere) Export(*Span) {}

func BenchmarkTrace(b *testing.B) {
	for name, flags := range map[string]string{"not sampled": "00", "sampled, a span": "01"} {
		b.Run(name, func(b *testing.B) {
			tr := &Tracer{Sampler: Sampler{Follow: true}, Sink: nowhere{}}
			in, out := header("Traceparent:"+valid[:53]+flags), http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				trace := &Trace{}
				tr.Accept(trace, in)
				trace.Inject(out)
				s := trace.Start(b.Context(), time.Time{})
				s.Set("a", "b")
				s.End(time.Time{})
			}
		})
	}
}
