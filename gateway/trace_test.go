package gateway

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-run/weir/engine/trace"
)

// sinkOf calls itself for each span.
type sinkOf func(*trace.Span)

func (f sinkOf) Export(s *trace.Span) { f(s) }

func tracedHandler(t testing.TB, tracer *trace.Tracer, inner http.HandlerFunc) http.Handler {
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	rt := mustRouter(t, []Route{{Method: "GET", Path: "/x/{id}", Name: "x", Handler: inner}})
	return NewHandler(rt, Options{Gateway: "public", Log: slog.New(slog.DiscardHandler), Metrics: metrics, Tracer: tracer, Revision: "abc"})
}

// Tracing that is off, or does not record the request at hand, allocates nothing.
func TestWhatIsNotRecordedCostsARequestNothing(t *testing.T) {
	none := sinkOf(func(*trace.Span) { t.Error("a span") })
	quiet := http.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}, "Tracestate": {"a=1,b=2"}}
	measure := func(tracer *trace.Tracer, header http.Header) float64 {
		h := tracedHandler(t, tracer, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		r := httptest.NewRequest("GET", "/x/7", nil)
		r.Header = header
		return testing.AllocsPerRun(300, func() { h.ServeHTTP(httptest.NewRecorder(), r) })
	}
	bare := measure(nil, http.Header{})
	for name, got := range map[string]float64{
		"no exporter":        measure(&trace.Tracer{Sampler: trace.Sampler{Ratio: 1}}, http.Header{}),
		"the caller says no": measure(&trace.Tracer{Sampler: trace.Sampler{Ratio: 1, Follow: true}, Sink: none}, quiet),
		"none is begun":      measure(&trace.Tracer{Sink: none}, http.Header{}),
	} {
		if got > bare {
			t.Errorf("%s: %v allocations, where there are %v without a tracer", name, got, bare)
		}
	}
}

func TestExemplarsOfSlowRequestsAreNotCrowdedOut(t *testing.T) {
	var s stats
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		took  time.Duration
		after time.Duration
		want  bool
	}{
		{2 * time.Millisecond, 0, true}, {7 * time.Millisecond, 0, false}, {time.Second, 0, true}, {time.Hour, 0, true}, {time.Minute, 0, false}, {0, 0, true},
		{2 * time.Millisecond, 999 * time.Millisecond, false}, {2 * time.Millisecond, time.Second, true}, {-1, time.Second, true},
	} {
		if got := s.shows(c.took, at.Add(c.after)); got != c.want {
			t.Errorf("%v after %v: %v", c.took, c.after, got)
		}
	}
}

// A span is no reason to watch a request in a costlier way.
func TestASpanHidesNothingOfTheContextOfARequest(t *testing.T) {
	tracer := &trace.Tracer{Sampler: trace.Sampler{Ratio: 1}, Sink: sinkOf(func(*trace.Span) {})}
	tracedHandler(t, tracer, func(_ http.ResponseWriter, r *http.Request) {
		q := FromContext(r.Context())
		within := trace.Within(r.Context(), q.Trace.Start(r.Context(), q.Start))
		again := trace.Within(within, q.Trace.Start(within, q.Start))
		bare := reflect.TypeOf(r.Context())
		for i := range bare.NumMethod() {
			name := bare.Method(i).Name
			for _, ctx := range []context.Context{within, again} {
				if _, there := reflect.TypeOf(ctx).MethodByName(name); !there {
					t.Errorf("%T has no %s", ctx, name)
				}
			}
		}
		if FromContext(again) != q {
			t.Error("the request is lost")
		}
	}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x/7", nil))
}

// Whatever a caller sends, a span can be made of it, and nobody is let through
// to the trace of another.
func TestSpansOfHostileRequests(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *http.Request)
		want   string // name and error
	}{
		{"a method of its own", func(r *http.Request) { r.Method = "STEAL" }, "_OTHER "},
		{"no route", func(r *http.Request) { r.URL.Path = "/none" }, "GET "},
		{"a path that no route may see", func(r *http.Request) { r.URL.Path = "/x/../y" }, "GET "},
		{"a host that is none", func(r *http.Request) { r.Host = "[::1:99999" }, "GET /x/{id} "},
		{"a huge agent", func(r *http.Request) { r.Header.Set("User-Agent", strings.Repeat("x", 60<<10)) }, "GET /x/{id} "},
		{"what is not text", func(r *http.Request) { r.Header["User-Agent"] = []string{"\xff\xfe\x00"} }, "GET /x/{id} "},
		{"two parents", func(r *http.Request) {
			r.Header["Traceparent"] = []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
		}, "GET /x/{id} "},
		{"a panic", func(r *http.Request) { r.Header.Set("Panic", "1") }, "GET /x/{id} internal-error"},
		{"an answer that breaks off", func(r *http.Request) { r.Header.Set("Abort", "1") }, "GET /x/{id} aborted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			tracer := &trace.Tracer{Sampler: trace.Sampler{Ratio: 1, Follow: true}, Sink: sinkOf(func(s *trace.Span) {
				failed := ""
				for _, a := range s.Attrs {
					if a.Key == "error.type" {
						failed = a.Text
					}
				}
				if got = append(got, s.Name+" "+failed); s.Parent.Valid() || s.Kind != trace.Server {
					t.Errorf("%+v", s)
				}
			})}
			h := tracedHandler(t, tracer, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Header.Get("Panic") != "":
					panic("broken")
				case r.Header.Get("Abort") != "":
					panic(http.ErrAbortHandler)
				}
				io.WriteString(w, "fine")
			})
			r := httptest.NewRequest("GET", "/x/7", nil)
			c.change(r)
			func() {
				defer func() { _ = recover() }() // the server's part
				h.ServeHTTP(httptest.NewRecorder(), r)
			}()
			if len(got) != 1 || got[0] != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
