package trace

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	someTrace  = "12345678901234567890123456789012"
	someParent = "1234567890123456"
	valid      = "00-" + someTrace + "-" + someParent + "-01"
)

// ended keeps what is exported.
type ended struct{ spans []Span }

func (e *ended) Export(s *Span) {
	kept := *s
	kept.Attrs, kept.Links = slices.Clone(s.Attrs), slices.Clone(s.Links)
	e.spans = append(e.spans, kept)
}

// passed gives the fields with which a call goes on for a request that came with
// these.
func passed(tr *Tracer, in http.Header) http.Header {
	t, out := &Trace{}, http.Header{}
	tr.Accept(t, in)
	t.Inject(out)
	return out
}

func header(fields ...string) http.Header {
	h := http.Header{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		h.Add(name, value)
	}
	return h
}

// The cases are those of the specification's own suite for services
// (https://github.com/w3c/trace-context, test/test.py).
func TestTraceparentIsTakenOverOrBegunAnew(t *testing.T) {
	future := "-what-the-future-will-be-like"
	for _, c := range []struct {
		name  string
		in    []string
		goes  bool // the trace goes on
		flags string
	}{
		{"none", nil, false, ""},
		{"one", []string{valid}, true, "01"},
		{"not sampled", []string{valid[:53] + "00"}, true, "00"},
		{"random, level 2", []string{valid[:53] + "03"}, true, "03"},
		{"flags that nobody knows are sent as zero", []string{valid[:53] + "ff"}, true, "03"},
		{"two fields", []string{valid, valid}, false, ""},
		{"two different fields", []string{"00-12345678901234567890123456789011-1234567890123456-01", valid}, false, ""},
		{"two in one field", []string{valid + "," + valid}, false, ""},
		{"an empty field", []string{""}, false, ""},
		{"version 00 with something behind", []string{valid + "."}, false, ""},
		{"version 00 with a part behind", []string{valid + future}, false, ""},
		{"version cc", []string{"cc" + valid[2:]}, true, "01"},
		{"version cc with a part behind", []string{"cc" + valid[2:] + future}, true, "01"},
		{"version cc with a dash behind", []string{"cc" + valid[2:] + "-"}, true, "01"},
		{"version cc with something else behind", []string{"cc" + valid[2:] + "." + future[1:]}, false, ""},
		{"version cc, too short", []string{"cc" + valid[2:54]}, false, ""},
		{"version cc, longer than anything", []string{"cc" + valid[2:] + "-" + strings.Repeat("x", maxParent)}, false, ""},
		{"version ff", []string{"ff" + valid[2:]}, false, ""},
		{"version with a dot in front", []string{".0" + valid[2:]}, false, ""},
		{"version with a dot behind", []string{"0." + valid[2:]}, false, ""},
		{"version in capitals", []string{"CC" + valid[2:]}, false, ""},
		{"version of three digits", []string{"0" + valid}, false, ""},
		{"version of four digits", []string{"00" + valid}, false, ""},
		{"version of one digit", []string{valid[1:]}, false, ""},
		{"trace id of zeros", []string{"00-" + strings.Repeat("0", 32) + valid[35:]}, false, ""},
		{"trace id with a dot in front", []string{"00-." + valid[4:]}, false, ""},
		{"trace id with a dot behind", []string{valid[:34] + "." + valid[35:]}, false, ""},
		{"trace id in capitals", []string{"00-ABCDEF78901234567890123456789012" + valid[35:]}, false, ""},
		{"trace id too long", []string{valid[:35] + "3" + valid[35:]}, false, ""},
		{"trace id too short", []string{valid[:34] + valid[35:]}, false, ""},
		{"parent id of zeros", []string{valid[:36] + strings.Repeat("0", 16) + valid[52:]}, false, ""},
		{"parent id with a dot in front", []string{valid[:36] + "." + valid[37:]}, false, ""},
		{"parent id with a dot behind", []string{valid[:51] + "." + valid[52:]}, false, ""},
		{"parent id too long", []string{valid[:52] + "7" + valid[52:]}, false, ""},
		{"parent id too short", []string{valid[:51] + valid[52:]}, false, ""},
		{"flags with a dot in front", []string{valid[:53] + ".0"}, false, ""},
		{"flags with a dot behind", []string{valid[:53] + "0."}, false, ""},
		{"flags in capitals", []string{valid[:53] + "0A"}, false, ""},
		{"flags too long", []string{valid[:53] + "001"}, false, ""},
		{"flags too short", []string{valid[:53] + "1"}, false, ""},
		{"other separators", []string{strings.ReplaceAll(valid, "-", "_")}, false, ""},
		{"space around", []string{"\t " + valid + " \t"}, true, "01"},
		{"a zero byte behind", []string{valid + "\x00"}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := http.Header{}
			if c.in != nil {
				in[headerParent] = c.in
			}
			in[headerState] = []string{"foo=1"}
			tr := &Tracer{Sampler: Sampler{Ratio: 1, Follow: true}, Sink: &ended{}}
			out := passed(tr, in)
			got, ok := ParseParent(out[headerParent])
			if !ok {
				t.Fatalf("sent %q", out[headerParent])
			}
			if goes := got.TraceID.String() == someTrace; goes != c.goes {
				t.Fatalf("sent %q", out[headerParent])
			}
			if got.SpanID.String() == someParent {
				t.Error("the parent is still the caller's")
			}
			if state := out.Get(headerState); c.goes != (state == "foo=1") {
				t.Errorf("the state %q goes on", state)
			}
			want := c.flags
			if !c.goes {
				want = "03" // begun here: of random bytes
			}
			if flags := out.Get(headerParent)[53:]; flags != want {
				t.Errorf("flags %s, want %s", flags, want)
			}

			// Who only forwards leaves what is valid as it is, and what is of a
			// later version, which it does not look into.
			out = passed(nil, in)
			unknown := len(c.in) == 1 && strings.HasPrefix(c.in[0], "cc-") && len(c.in[0]) < maxParent
			if forwarded := slices.Equal(out[headerParent], c.in) && c.in != nil; forwarded != (c.goes || unknown) {
				t.Errorf("forwarded %q", out[headerParent])
			}
			if len(out[headerParent]) == 0 && len(out[headerState]) > 0 {
				t.Errorf("forwarded the state %q of no trace", out[headerState])
			}
		})
	}
}

func TestTracestateIsCombinedWithinItsLimits(t *testing.T) {
	members := func(from, to int) string {
		var all []string
		for i := from; i <= to; i++ {
			all = append(all, "bar"+string(rune('0'+i/10))+string(rune('0'+i%10))+"=1")
		}
		return strings.Join(all, ",")
	}
	allKeys := "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
	var all strings.Builder
	for c := ' '; c <= '~'; c++ {
		if c != ',' && c != '=' {
			all.WriteRune(c)
		}
	}
	allValues := all.String()
	large, long := strings.Repeat("l", 130), strings.Repeat("v", 100)
	for _, c := range []struct {
		name string
		in   []string
		want string
	}{
		{"none", nil, ""},
		{"one", []string{"foo=1,bar=2"}, "foo=1,bar=2"},
		{"empty", []string{""}, ""},
		{"empty behind", []string{"foo=1", ""}, "foo=1"},
		{"empty in front", []string{"", "foo=1"}, "foo=1"},
		{"empty members", []string{"foo=1,,, \t,bar=2,"}, "foo=1,bar=2"},
		{"several fields", []string{"foo=1,bar=2", "rojo=1,congo=2", "baz=3"}, "foo=1,bar=2,rojo=1,congo=2,baz=3"},
		{"a key twice", []string{"foo=1,foo=1"}, ""},
		{"a key twice with other values", []string{"foo=1,foo=2"}, ""},
		{"a key twice in two fields", []string{"foo=1", "foo=2"}, ""},
		{"a key that begins as another", []string{"foobar=1,foo=2"}, "foobar=1,foo=2"},
		{"all characters", []string{allKeys + "=" + allValues}, allKeys + "=" + allValues},
		{"all characters with a vendor", []string{allKeys + "@a-z0-9_-*/=" + allValues}, allKeys + "@a-z0-9_-*/=" + allValues},
		{"space around members", []string{"foo=1 \t , \t bar=2, \t baz=3"}, "foo=1,bar=2,baz=3"},
		{"space around", []string{"\t foo=1 \t"}, "foo=1"},
		{"space in a value", []string{"foo= 1 2 "}, "foo= 1 2"},
		{"space in a key", []string{"foo =1"}, ""},
		{"capitals in a key", []string{"FOO=1"}, ""},
		{"a dot in a key", []string{"foo.bar=1"}, ""},
		{"no key", []string{"=1"}, ""},
		{"no value", []string{"foo="}, ""},
		{"no member", []string{"foo"}, ""},
		{"two equals signs", []string{"foo=1=2"}, ""},
		{"a tab in a value", []string{"foo=1\t2"}, ""},
		{"not ASCII", []string{"foo=ü"}, ""},
		{"a key that begins with @", []string{"@foo=1,bar=2"}, ""},
		{"a key that begins with a digit", []string{"1foo@bar=1"}, "1foo@bar=1"},
		// Level 1 allows one @ at one place; level 2 has it as any other letter.
		{"a key that ends with @", []string{"foo@=1,bar=2"}, "foo@=1,bar=2"},
		{"a key with @ and a long vendor", []string{"foo=1", "t@" + strings.Repeat("v", 15) + "=1"}, "foo=1,t@" + strings.Repeat("v", 15) + "=1"},
		{"32 members", []string{members(1, 10), members(11, 20), members(21, 32)}, members(1, 32)},
		{"33 members", []string{members(1, 10), members(11, 20), members(21, 33)}, ""},
		{"a key of 256", []string{"foo=1", strings.Repeat("z", 256) + "=1"}, "foo=1," + strings.Repeat("z", 256) + "=1"},
		{"a key of 257", []string{"foo=1", strings.Repeat("z", 257) + "=1"}, ""},
		{"a value of 256", []string{"foo=" + strings.Repeat("z", 256)}, "foo=" + strings.Repeat("z", 256)},
		{"a value of 257", []string{"foo=" + strings.Repeat("z", 257)}, ""},
		{"too long: the last of the large ones goes first", []string{"a=" + large + ",b=1,c=" + large + ",d=2,e=" + large + ",f=" + long + ",g=3"},
			"a=" + large + ",b=1,c=" + large + ",d=2,f=" + long + ",g=3"},
		{"too long: then the last ones", []string{"a=" + long + ",b=" + long + ",c=" + long + ",d=" + long + ",e=" + long + ",f=1"},
			"a=" + long + ",b=" + long + ",c=" + long + ",d=" + long},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := passed(&Tracer{Sampler: Sampler{Ratio: 1}, Sink: &ended{}}, http.Header{headerParent: {valid}, headerState: c.in})
			if got := out.Get(headerState); got != c.want || len(out[headerState]) > 1 {
				t.Errorf("sent %q, want %q", out[headerState], c.want)
			}
			if out.Get(headerParent)[3:35] != someTrace {
				t.Errorf("the state has an effect on the parent: %q", out[headerParent])
			}
			if out := passed(nil, http.Header{headerParent: {valid}, headerState: c.in}); !slices.Equal(out[headerState], c.in) {
				t.Errorf("forwarded %q", out[headerState])
			}
		})
	}
}

func TestBaggageIsPassedOn(t *testing.T) {
	limit := strings.Repeat("x", maxPassed-2)
	for _, c := range []struct {
		name string
		tr   *Tracer
		in   []string
		want []string
	}{
		{"none", nil, nil, nil},
		{"one", nil, []string{"user=ada;public, cart=7"}, []string{"user=ada;public, cart=7"}},
		{"several fields", nil, []string{"a=1", "b=2"}, []string{"a=1", "b=2"}},
		{"as much as everyone passes on", nil, []string{"a", limit}, []string{"a", limit}},
		{"more", nil, []string{"a=", limit}, nil},
		{"empty", nil, []string{""}, nil},
		{"beside spans", &Tracer{Sink: &ended{}}, []string{"a=1"}, []string{"a=1"}},
		{"switched off", &Tracer{Propagation: Propagation{NoBaggage: true}}, []string{"a=1"}, nil},
		{"contexts are off", &Tracer{Propagation: Propagation{NoContext: true}, Sink: &ended{}}, []string{"a=1"}, []string{"a=1"}},
	} {
		out := passed(c.tr, http.Header{headerBaggage: c.in, headerParent: {valid}})
		if !slices.Equal(out[headerBaggage], c.want) {
			t.Errorf("%s: sent %.40q", c.name, out[headerBaggage])
		}
		if off := c.tr != nil && c.tr.NoContext; off != (out[headerParent] == nil) {
			t.Errorf("%s: sent %q", c.name, out[headerParent])
		}
	}
}

func TestNothingComesOfNothing(t *testing.T) {
	if (*Tracer)(nil).Accept(&Trace{}, header("X-Request-Id:7")) {
		t.Error("there is something to pass on")
	}
	var none *Trace
	none.Inject(nil)
	if none.Recording() || none.Own(time.Now()) != nil || none.Start(t.Context(), time.Now()) != nil || none.Context().TraceID.Valid() {
		t.Error("nothing is recorded")
	}
	var span *Span
	span.Set("a", "b")
	span.SetInt("a", 1)
	span.SetTrue("a")
	span.Fail("a", "b")
	span.End(time.Now())
	if ctx := t.Context(); Within(ctx, span) != ctx {
		t.Error("a context for nothing")
	}
}

func TestSamplers(t *testing.T) {
	sampled, not := header("Traceparent:"+valid), header("Traceparent:"+valid[:53]+"00")
	low, high := header("Traceparent:00-00000000000000010000000000000001-"+someParent+"-00"), header("Traceparent:00-0000000000000001fffffffffffffff1-"+someParent+"-00")
	for _, c := range []struct {
		name string
		s    Sampler
		in   http.Header
		want bool
	}{
		{"all", Sampler{Ratio: 1}, not, true},
		{"none", Sampler{}, sampled, false},
		{"not a number is none", Sampler{Ratio: math.NaN()}, sampled, false},
		{"half: a low id", Sampler{Ratio: .5}, low, true},
		{"half: a high id", Sampler{Ratio: .5}, high, false},
		{"as the caller: sampled", Sampler{Follow: true}, sampled, true},
		{"as the caller: not", Sampler{Ratio: 1, Follow: true}, not, false},
		{"as the caller: there is none", Sampler{Ratio: 1, Follow: true}, nil, true},
		{"as the caller: there is none, and none is begun", Sampler{Follow: true}, nil, false},
	} {
		tr := &Tracer{Sampler: c.s, Sink: &ended{}}
		trace := &Trace{}
		tr.Accept(trace, c.in)
		out := http.Header{}
		trace.Inject(out)
		parent, ok := ParseParent(out[headerParent])
		if trace.Recording() != c.want || !ok || (parent.Flags&Sampled != 0) != c.want {
			t.Errorf("%s: recorded %v, sent %q", c.name, trace.Recording(), out[headerParent])
		}
	}
	n, tr := 0, &Tracer{Sampler: Sampler{Ratio: .1}, Sink: &ended{}}
	for range 20_000 {
		trace := &Trace{}
		if tr.Accept(trace, nil); trace.Recording() {
			n++
		}
	}
	if n < 1800 || n > 2200 {
		t.Errorf("%d of 20,000 traces were sampled, not a tenth", n)
	}
}

func FuzzAccept(f *testing.F) {
	f.Add(valid, "foo=1", "a=1", byte(0))
	f.Add("cc"+valid[2:]+"-x", "foo=1,bar=2\nbaz=3", "", byte(1))
	f.Add(valid+"\n"+valid, strings.Repeat("z", 300)+"=1", "a=1\nb=2", byte(2))
	f.Fuzz(func(t *testing.T, parents, states, baggage string, mode byte) {
		in := http.Header{headerParent: strings.Split(parents, "\n"), headerState: strings.Split(states, "\n"), headerBaggage: strings.Split(baggage, "\n")}
		var tr *Tracer
		if mode&1 != 0 {
			tr = &Tracer{Sampler: Sampler{Ratio: .5, Follow: mode&2 != 0}, Sink: &ended{}}
		}
		out := passed(tr, in)
		if size(out[headerParent])+size(out[headerState])+size(out[headerBaggage]) > maxParent+2*maxPassed {
			t.Fatal("too much is passed on")
		}
		if tr == nil {
			return
		}
		if _, ok := ParseParent(out[headerParent]); !ok {
			t.Fatalf("sent %q", out[headerParent])
		}
		state, ok := ParseState(out[headerState])
		if !ok || len(state) > maxState || state != out.Get(headerState) {
			t.Fatalf("sent %q", out[headerState])
		}
	})
}
