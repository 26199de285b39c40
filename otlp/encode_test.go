package otlp

import (
	"math"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	spans "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weir-run/weir/engine/trace"
)

func decoded(t *testing.T, message []byte) *collector.ExportTraceServiceRequest {
	t.Helper()
	r := &collector.ExportTraceServiceRequest{}
	if err := proto.Unmarshal(message, r); err != nil {
		t.Fatal(err)
	}
	again, err := proto.Marshal(r)
	if err != nil || len(r.ProtoReflect().GetUnknown()) > 0 || len(again) != len(message) {
		t.Fatalf("%v, %d bytes are %d", err, len(message), len(again))
	}
	return r
}

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// The generated messages read what is written by hand, and all of it.
func TestSpansAreMessagesOfOTLP(t *testing.T) {
	start := time.Unix(1_700_000_000, 123_456_789)
	long := strings.Repeat("x", 3*maxText)
	full := &trace.Span{
		Trace: trace.TraceID{1, 2, 15: 16}, ID: trace.SpanID{3, 7: 9}, Parent: trace.SpanID{4}, Remote: true, Flags: 3, State: "a=1,b=2",
		Name: "GET /x", Kind: trace.Server, Start: start, Ended: start.Add(time.Second), Failed: true, Why: "it broke: \xff",
		Attrs: []trace.Attr{{Key: "text", Text: "ü\xc3"}, {Key: "empty"}, {Key: "int", Type: trace.Int, Number: math.MinInt64},
			{Key: "true", Type: trace.Bool, Number: 1}, {Key: "long", Text: long}},
		Links: []trace.Context{{TraceID: trace.TraceID{7}, SpanID: trace.SpanID{8}, Flags: 1, State: "c=3"}},
	}
	bare := &trace.Span{Trace: trace.TraceID{1}, ID: trace.SpanID{2}, Start: start, Ended: start}
	got := decoded(t, request([]trace.Attr{{Key: "service.name", Text: "weir"}}, "1.2", appendSpan(appendSpan(nil, full), bare)))

	whole := got.ResourceSpans[0]
	if len(got.ResourceSpans) != 1 || len(whole.ScopeSpans) != 1 || !proto.Equal(whole.Resource.Attributes[0], text("service.name", "weir")) {
		t.Errorf("%v", got)
	}
	scope := whole.ScopeSpans[0]
	if scope.Scope.Name != "github.com/weir-run/weir" || scope.Scope.Version != "1.2" || len(scope.Spans) != 2 {
		t.Errorf("%v", scope.Scope)
	}
	want := &spans.Span{
		TraceId: full.Trace[:], SpanId: full.ID[:], ParentSpanId: full.Parent[:], TraceState: "a=1,b=2", Flags: 0x303,
		Name: "GET /x", Kind: spans.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1_700_000_000_123_456_789, EndTimeUnixNano: 1_700_000_001_123_456_789,
		Attributes: []*common.KeyValue{
			text("text", "ü\uFFFD"), text("empty", ""),
			{Key: "int", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: math.MinInt64}}},
			{Key: "true", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}},
			text("long", long[:maxText]),
		},
		Links:  []*spans.Span_Link{{TraceId: full.Links[0].TraceID[:], SpanId: full.Links[0].SpanID[:], TraceState: "c=3", Flags: 1}},
		Status: &spans.Status{Code: spans.Status_STATUS_CODE_ERROR, Message: "it broke: \uFFFD"},
	}
	if !proto.Equal(scope.Spans[0], want) {
		t.Errorf("got  %v\nwant %v", scope.Spans[0], want)
	}
	want = &spans.Span{TraceId: bare.Trace[:], SpanId: bare.ID[:], Flags: 0x100, Kind: spans.Span_SPAN_KIND_INTERNAL,
		StartTimeUnixNano: 1_700_000_000_123_456_789, EndTimeUnixNano: 1_700_000_000_123_456_789}
	if !proto.Equal(scope.Spans[1], want) {
		t.Errorf("got  %v\nwant %v", scope.Spans[1], want)
	}
}

func TestAnAnswerTellsWhatWasRejected(t *testing.T) {
	b, err := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 7, ErrorMessage: "too old"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, why := rejected(b); n != 7 || why != "too old" {
		t.Errorf("%d, %q", n, why)
	}
	for _, none := range []string{"", "no message", "\x0a", "\x0a\xff", string(b[:len(b)-3])} {
		if n, why := rejected([]byte(none)); n != 0 || why != "" {
			t.Errorf("%q: %d, %q", none, n, why)
		}
	}
}

func FuzzRejected(f *testing.F) {
	f.Add([]byte("\x0a\x05\x08\x07\x12\x01x"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		n, why := rejected(answer)
		var r collector.ExportTraceServiceResponse
		if err := proto.Unmarshal(answer, &r); err != nil {
			return
		}
		// Repeated fields are merged there and not here: no collector sends them.
		if p := r.GetPartialSuccess(); p == nil && (n != 0 || why != "") {
			t.Errorf("%q: %d, %q", answer, n, why)
		}
	})
}

func FuzzAppendSpan(f *testing.F) {
	f.Add("GET /x", "url.path", "/x", "it broke", int64(-1))
	f.Fuzz(func(t *testing.T, name, key, value, why string, n int64) {
		s := &trace.Span{Trace: trace.TraceID{1}, ID: trace.SpanID{1}, Name: name, Failed: true, Why: why, Start: time.Unix(1, 0), Ended: time.Unix(1, 0),
			Attrs: []trace.Attr{{Key: key, Text: value}, {Key: value, Type: trace.Int, Number: n}}}
		r := &collector.ExportTraceServiceRequest{}
		if err := proto.Unmarshal(request(nil, "", appendSpan(nil, s)), r); err != nil {
			t.Fatal(err)
		}
		if got := r.ResourceSpans[0].ScopeSpans[0].Spans[0]; got.Name != clean(name) || got.Attributes[0].Value.GetStringValue() != clean(value) || got.Attributes[1].Value.GetIntValue() != n {
			t.Errorf("%v", got)
		}
	})
}
