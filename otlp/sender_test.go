package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/weir-run/weir/engine/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend plays a collector: answer decides on the nth request, from 1.
type backend struct {
	t      *testing.T
	answer func(n int) (*http.Response, error)

	mu    sync.Mutex
	at    []time.Duration // of requests, since the first
	begun time.Time
	spans []int // of each request
	last  *http.Request
}

func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	if err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	if b.begun.IsZero() {
		b.begun = time.Now()
	}
	b.at = append(b.at, time.Since(b.begun))
	b.spans = append(b.spans, len(decoded(b.t, body).ResourceSpans[0].ScopeSpans[0].Spans))
	b.last = r
	n := len(b.at)
	b.mu.Unlock()
	if b.answer == nil {
		return status(200, ""), nil
	}
	return b.answer(n)
}

func (b *backend) requests() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]int{}, b.spans...)
}

func status(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func export(e *Spans, n int) {
	for range n {
		e.Export(&trace.Span{Trace: trace.TraceID{1}, ID: trace.SpanID{1}, Name: "x", Start: time.Now(), Ended: time.Now()})
	}
}

func shut(t *testing.T, e interface{ Shutdown(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestSpansAreSentInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{t: t}
		e := NewSpans(Config{Endpoint: "http://collector:4318/v1/traces", Headers: http.Header{"Api-Key": {"k"}}, Batch: 3, Transport: b, Version: "1"})
		export(e, 2)
		time.Sleep(5*time.Second - 1)
		if got := b.requests(); len(got) > 0 {
			t.Errorf("%v too early", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		export(e, 3) // does not wait
		synctest.Wait()
		export(e, 1)
		shut(t, e)
		export(e, 1)
		if got := b.requests(); len(got) != 3 || got[0] != 2 || got[1] != 3 || got[2] != 1 {
			t.Errorf("%v", got)
		}
		if s := e.Stats(); s != (Stats{Sent: 6, Dropped: 1}) {
			t.Errorf("%+v", s)
		}
		h := b.last.Header
		if b.last.Method != "POST" || b.last.URL.String() != "http://collector:4318/v1/traces" || h.Get("Content-Type") != "application/x-protobuf" ||
			h.Get("Content-Encoding") != "gzip" || h.Get("Api-Key") != "k" || h.Get("User-Agent") != "weir/1" {
			t.Errorf("%+v", b.last)
		}
		shut(t, e) // once more
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		b := &backend{t: t, answer: func(int) (*http.Response, error) {
			<-open
			return status(200, ""), nil
		}}
		e := NewSpans(Config{Endpoint: "http://c", Batch: 2, Queue: 4, Plain: true, Transport: b})
		export(e, 2)
		synctest.Wait() // they are under way
		export(e, 7)
		close(open)
		shut(t, e)
		if s := e.Stats(); s != (Stats{Sent: 6, Dropped: 3}) || b.last.Header.Get("Content-Encoding") != "" {
			t.Errorf("%+v", s)
		}
		// A few that are huge are as bad as many.
		e = NewSpans(Config{Endpoint: "http://c", Transport: b, Batch: 2000})
		var long []trace.Attr
		for i := range 100 {
			long = append(long, trace.Attr{Key: strconv.Itoa(i), Text: strings.Repeat("x", maxText)})
		}
		for range 100 {
			e.Export(&trace.Span{Trace: trace.TraceID{1}, ID: trace.SpanID{1}, Attrs: long})
		}
		shut(t, e)
		if s := e.Stats(); s.Sent+s.Dropped != 100 || s.Dropped < 70 || s.Sent < 10 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhatFailsIsTriedAgain(t *testing.T) {
	refused := errors.New("connection refused")
	for _, c := range []struct {
		name   string
		answer func(n int) (*http.Response, error)
		tries  int
		least  time.Duration // between the first and the last
		want   Stats
	}{
		{"unavailable", func(n int) (*http.Response, error) {
			return status(map[bool]int{true: 503, false: 200}[n < 3], ""), nil
		}, 3, 1500 * time.Millisecond, Stats{Sent: 1}},
		{"no connection", func(n int) (*http.Response, error) {
			if n == 1 {
				return nil, refused
			}
			return status(202, ""), nil
		}, 2, 500 * time.Millisecond, Stats{Sent: 1}},
		{"it says when", func(n int) (*http.Response, error) {
			r := status(map[bool]int{true: 429, false: 200}[n < 2], "")
			r.Header.Set("Retry-After", "20")
			return r, nil
		}, 2, 20 * time.Second, Stats{Sent: 1}},
		{"it says when, too late", func(int) (*http.Response, error) {
			r := status(429, "")
			r.Header.Set("Retry-After", "3600")
			return r, nil
		}, 1, 0, Stats{Failed: 1}},
		{"refused for good", func(int) (*http.Response, error) { return status(400, ""), nil }, 1, 0, Stats{Failed: 1}},
		{"a redirect is not followed", func(int) (*http.Response, error) {
			r := status(307, "")
			r.Header.Set("Location", "http://elsewhere")
			return r, nil
		}, 1, 0, Stats{Failed: 1}},
		{"some are rejected", func(int) (*http.Response, error) {
			b, err := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 99, ErrorMessage: "x"}})
			return status(200, string(b)), err
		}, 1, 0, Stats{Rejected: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{t: t, answer: c.answer}
				e := NewSpans(Config{Endpoint: "http://c", Transport: b})
				export(e, 1)
				time.Sleep(2 * time.Minute)
				if s := e.Stats(); s != c.want {
					t.Errorf("%+v", s)
				}
				if len(b.at) != c.tries || b.at[len(b.at)-1] < c.least {
					t.Errorf("tried at %v", b.at)
				}
				shut(t, e)
			})
		})
	}
}

func TestALossIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &backend{t: t, answer: func(n int) (*http.Response, error) {
			return status(map[bool]int{true: 403, false: 200}[n < 4], ""), nil
		}}
		e := NewSpans(Config{Endpoint: "http://user:hunter2@collector/v1/traces", Transport: b, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range 6 {
			export(e, 1)
			time.Sleep(time.Minute)
		}
		shut(t, e)
		text := log.String()
		if strings.Count(text, "cannot be exported") != 1 || strings.Count(text, "exported again") != 1 || !strings.Contains(text, "403") || strings.Contains(text, "hunter2") {
			t.Error(text)
		}
	})
}

func TestShutdownDoesNotWaitForACollectorThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{t: t, answer: func(int) (*http.Response, error) { return status(503, ""), nil }}
		e := NewSpans(Config{Endpoint: "http://c", Transport: b})
		export(e, 1)
		time.Sleep(5100 * time.Millisecond) // the first attempt has failed
		start := time.Now()
		shut(t, e)
		if took := time.Since(start); took > 0 || len(b.at) != 2 || e.Stats().Failed != 1 {
			t.Errorf("%v, tried at %v, %+v", took, b.at, e.Stats())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		hangs := transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		e := NewSpans(Config{Endpoint: "http://c", Transport: hangs, Timeout: time.Hour})
		export(e, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := e.Shutdown(ctx); err == nil || time.Since(start) != 3*time.Second || e.Stats().Failed != 1 {
			t.Errorf("%v after %v, %+v", err, time.Since(start), e.Stats())
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestASpanCostsNoMemoryOfItsOwn(t *testing.T) {
	e := NewSpans(Config{Endpoint: "http://127.0.0.1:1", Queue: 1 << 20, Batch: 1 << 20, Delay: time.Hour})
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Shutdown(ctx) // there is nobody who would take them
	}()
	e.waiting = make([]byte, 0, maxQueued)
	s := &trace.Span{Trace: trace.TraceID{1}, ID: trace.SpanID{1}, Name: "GET /x", Start: time.Now(), Ended: time.Now(),
		Attrs: []trace.Attr{{Key: "http.route", Text: "/x"}, {Key: "http.response.status_code", Type: trace.Int, Number: 200}}}
	e.Export(s)
	if n := testing.AllocsPerRun(500, func() { e.Export(s) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkExport(b *testing.B) {
	e := NewSpans(Config{Endpoint: "http://c", Transport: transport(func(*http.Request) (*http.Response, error) { return status(200, ""), nil })})
	defer e.Shutdown(context.Background())
	s := &trace.Span{Trace: trace.TraceID{1}, ID: trace.SpanID{1}, Name: "GET /x", Start: time.Now(), Ended: time.Now(),
		Attrs: []trace.Attr{{Key: "http.route", Text: "/x"}, {Key: "http.response.status_code", Type: trace.Int, Number: 200}, {Key: "weir.flow", Text: "profile"}}}
	b.ReportAllocs()
	for b.Loop() {
		e.Export(s)
	}
}
