package trace

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// What comes by B3 is read in both forms, and all that is not valid begins a
// trace anew (https://github.com/openzipkin/b3-propagation).
func TestB3IsTakenOverOrBegunAnew(t *testing.T) {
	const id64, zeros = "1234567890123456", "0000000000000000"
	for _, c := range []struct {
		name     string
		in       []string
		trace    string // "": begun here
		recorded bool
	}{
		{"none", nil, "", true},
		{"Single Header: sampled", []string{"b3:" + someTrace + "-" + someParent + "-1"}, someTrace, true},
		{"Single Header: not sampled", []string{"b3:" + someTrace + "-" + someParent + "-0"}, someTrace, false},
		{"Single Header: debug", []string{"b3:" + someTrace + "-" + someParent + "-d"}, someTrace, true},
		{"Single Header: the decision is deferred", []string{"b3:" + someTrace + "-" + someParent}, someTrace, true},
		{"Single Header: with the parent's parent", []string{"b3:" + someTrace + "-" + someParent + "-1-05e3ac9a4f6e3b90"}, someTrace, true},
		{"Single Header: a trace id of 64 bits", []string{"b3:" + id64 + "-" + someParent + "-1"}, zeros + id64, true},
		{"Single Header: deny, and no trace", []string{"b3:0"}, "", false},
		{"Single Header: debug, and no trace", []string{"b3:d"}, "", true},
		{"Single Header: space around", []string{"b3: \t0 "}, "", false},
		{"Single Header: an unknown decision", []string{"b3:" + someTrace + "-" + someParent + "-2"}, "", true},
		{"Single Header: a parent that is none", []string{"b3:" + someTrace + "-" + someParent + "-1-xyz"}, "", true},
		{"Single Header: a trace id of zeros", []string{"b3:" + zeros + zeros + "-" + someParent + "-1"}, "", true},
		{"Single Header: a span id of zeros", []string{"b3:" + someTrace + "-" + zeros + "-1"}, "", true},
		{"Single Header: capitals", []string{"b3:ABCDEF78901234567890123456789012-" + someParent + "-1"}, "", true},
		{"Single Header: too short", []string{"b3:" + someTrace[1:] + "-" + someParent + "-1"}, "", true},
		{"Single Header: something behind", []string{"b3:" + someTrace + "-" + someParent + "-1-05e3ac9a4f6e3b90-x"}, "", true},
		{"Single Header: empty", []string{"b3:"}, "", true},
		{"Single Header: twice", []string{"b3:0", "b3:0"}, "", true},
		{"Multiple Headers: sampled", []string{"X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent, "X-B3-Sampled:1"}, someTrace, true},
		{"Multiple Headers: not sampled", []string{"X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent, "X-B3-Sampled:0"}, someTrace, false},
		{"Multiple Headers: as old senders say it", []string{"X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent, "X-B3-Sampled:false"}, someTrace, false},
		{"Multiple Headers: debug makes the decision redundant", []string{"X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent, "X-B3-Sampled:0", "X-B3-Flags:1"}, someTrace, true},
		{"Multiple Headers: the decision is deferred", []string{"X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent}, someTrace, true},
		{"Multiple Headers: deny, and no trace", []string{"X-B3-Sampled:0"}, "", false},
		{"Multiple Headers: an unknown decision", []string{"X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent, "X-B3-Sampled:d"}, "", true},
		{"Multiple Headers: no span", []string{"X-B3-TraceId:" + someTrace, "X-B3-Sampled:0"}, "", true},
		{"Multiple Headers: no trace", []string{"X-B3-SpanId:" + someParent, "X-B3-Sampled:0"}, "", true},
		{"Multiple Headers: two traces", []string{"X-B3-TraceId:" + someTrace, "X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent}, "", true},
		{"both forms: the single one counts", []string{"b3:" + someTrace + "-" + someParent + "-1", "X-B3-TraceId:" + id64, "X-B3-SpanId:" + someParent, "X-B3-Sampled:0"}, someTrace, true},
		{"both forms: the single one is not valid", []string{"b3:x", "X-B3-TraceId:" + someTrace, "X-B3-SpanId:" + someParent}, "", true},
		{"Trace Context has the last word", []string{"Traceparent:" + valid, "b3:" + id64 + "-" + someParent + "-0"}, someTrace, true},
		{"a traceparent that is not valid does not count", []string{"Traceparent:x", "b3:" + someTrace + "-" + someParent + "-0"}, someTrace, false},
	} {
		t.Run("B3 "+c.name, func(t *testing.T) {
			tr := &Tracer{Sampler: Sampler{Ratio: 1, Follow: true}, Sink: &ended{}, Propagation: Propagation{B3: true, B3Multi: true}}
			trace, out := &Trace{}, header("X-B3-Parentspanid:"+someParent)
			tr.Accept(trace, header(c.in...))
			trace.Inject(out)
			if trace.Recording() != c.recorded {
				t.Errorf("recorded: %v", trace.Recording())
			}
			single, _, ok := parseB3Single(out.Get("B3"))
			multi, _, both := parseB3Multi(out)
			parent, w3c := ParseParent(out["Traceparent"])
			if !ok || !both || !w3c || single != multi || single.TraceID != parent.TraceID || single.SpanID != parent.SpanID {
				t.Fatalf("sent %v", out)
			}
			if goes := c.trace != ""; goes != (single.TraceID.String() == c.trace) || single.SpanID.String() == someParent {
				t.Errorf("sent %v", out)
			}
			if sampled := single.Flags&Sampled != 0; sampled != c.recorded {
				t.Errorf("sent %v", out)
			}
			if len(out["X-B3-Parentspanid"]) > 0 {
				t.Error("the parent of somebody else's span goes on")
			}
			call := header("X-Kept:1")
			trace.Inject(call)
			trace.InjectSpan(call, SpanID{7})
			if at, _, ok := parseB3(call); !ok || at.SpanID != (SpanID{7}) || call.Get("X-B3-Spanid") != at.SpanID.String() || call.Get("X-Kept") != "1" {
				t.Errorf("a call is sent %v", call)
			}
		})
	}
}

func TestB3GoesOnInTheFormThatIsAskedFor(t *testing.T) {
	in := header("b3:"+someTrace+"-"+someParent+"-d", "Baggage:a=1")
	names := func(h http.Header) string {
		var all []string
		for _, name := range []string{"Traceparent", "B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Sampled", "X-B3-Flags", "Baggage"} {
			if h.Get(name) != "" {
				all = append(all, name)
			}
		}
		return strings.Join(all, " ")
	}
	for want, p := range map[string]Propagation{
		"Traceparent Baggage":                 {},
		"Traceparent B3 Baggage":              {B3: true},
		"B3":                                  {NoContext: true, NoBaggage: true, B3: true},
		"X-B3-Traceid X-B3-Spanid X-B3-Flags": {NoContext: true, NoBaggage: true, B3Multi: true},
		"Traceparent X-B3-Traceid X-B3-Spanid X-B3-Flags Baggage": {B3Multi: true},
	} {
		out := passed(&Tracer{Sampler: Sampler{Ratio: 1}, Sink: &ended{}, Propagation: p}, in)
		if got := names(out); got != want {
			t.Errorf("%+v: sent %s, want %s", p, got, want)
		}
		if b3 := out.Get("B3"); b3 != "" && (!strings.HasPrefix(b3, someTrace) || !strings.HasSuffix(b3, "-d")) {
			t.Errorf("%+v: sent %s", p, b3)
		}
	}
	// Who only forwards leaves it as it is.
	tr := &Tracer{Propagation: Propagation{B3: true}}
	if out := passed(tr, in); out.Get("B3") != in.Get("B3") || !tr.Carries(in) {
		t.Errorf("forwarded %v", out)
	}
	for _, bad := range []http.Header{header("b3:x"), header("X-B3-TraceId:x", "X-B3-SpanId:"+someParent)} {
		if out := passed(tr, bad); len(out) > 0 {
			t.Errorf("forwarded %v", out)
		}
	}
	if (&Tracer{}).Carries(header("b3:0")) {
		t.Error("nobody asked for it")
	}
	trace := &Trace{}
	tr.Accept(trace, in)
	if trace.Context().TraceID.String() != someTrace || trace.Recording() || trace.Start(t.Context(), time.Now()) != nil {
		t.Errorf("%+v", trace.Context())
	}
}

func FuzzParseB3(f *testing.F) {
	f.Add(someTrace+"-"+someParent+"-1-"+someParent, "", "", "", "")
	f.Add("", someTrace, someParent, "true", "1")
	f.Fuzz(func(t *testing.T, single, id, span, sampled, flags string) {
		in := http.Header{}
		for name, value := range map[string]string{"B3": single, "X-B3-Traceid": id, "X-B3-Spanid": span, "X-B3-Sampled": sampled, "X-B3-Flags": flags} {
			if value != "" {
				in[name] = []string{value}
			}
		}
		c, d, ok := parseB3(in)
		if !ok && (c != Context{} || d != undecided) || c.TraceID.Valid() != c.SpanID.Valid() {
			t.Fatalf("%+v %v %v", c, d, ok)
		}
		if !c.TraceID.Valid() {
			return
		}
		f := new(b3Fields)
		f.set(c.TraceID, c.SpanID, max(d, deny))
		out := http.Header{}
		f.inject(out, Propagation{B3: true})
		if again, _, ok := parseB3(out); !ok || again.TraceID != c.TraceID || again.SpanID != c.SpanID {
			t.Fatalf("%v reads as %+v", out, again)
		}
	})
}
