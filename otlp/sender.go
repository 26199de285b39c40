// Package otlp sends what a process tells of itself to a collector: spans,
// metrics and records, by OTLP over HTTP, with protobuf bodies.
//
// The SDK of OpenTelemetry for Go is not used. Its exporter is built on gRPC,
// which makes the binary 6.3 MB larger and an idle process 3.1 MB, whether it
// exports or not; and its spans are on the heap, one by one. Here a span or a
// record is written to the batch that is waiting when it ends, and its memory is
// used again; metrics are read from where they are counted anyway.
package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

// Config says where a signal goes, and how. The zero value of a number is its
// default, which is that of OpenTelemetry.
type Config struct {
	Endpoint string // the URL that it is posted to
	Headers  http.Header
	Resource []trace.Attr  // who sends it
	Version  string        // of what makes it
	Plain    bool          // bodies are not compressed
	Timeout  time.Duration // of one attempt; 10s
	// Transport sends requests; that of net/http, if it is nil.
	Transport http.RoundTripper
	Log       *slog.Logger

	// Of spans and records: how long the first of a batch waits for others (5s,
	// and 1s), how many do not wait (512), and how many wait at most (2048).
	Delay        time.Duration
	Batch, Queue int

	// Of metrics: how often they are sent (60s), and whether a histogram that has
	// both kinds of buckets is sent with the exponential ones.
	Interval    time.Duration
	Exponential bool
}

func (c Config) withDefaults() Config {
	c.Batch, c.Queue = cmp.Or(c.Batch, 512), cmp.Or(c.Queue, 2048)
	c.Timeout, c.Interval = cmp.Or(c.Timeout, 10*time.Second), cmp.Or(c.Interval, time.Minute)
	if c.Transport == nil {
		c.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Batch = min(c.Batch, c.Queue)
	return c
}

// signal is what a sender sends.
type signal struct{ name, items string }

var (
	traces  = signal{"traces", "spans"}
	metrics = signal{"metrics", "points"}
	logs    = signal{"logs", "records"}
)

// Bounds of one delivery.
const (
	maxAnswer  = 64 << 10 // bytes
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// maxPatience is how long a message is tried to be sent.
	maxPatience = time.Minute
)

// sender delivers the messages of one signal, one at a time, and counts what
// became of what is in them.
type sender struct {
	signal
	cfg     Config
	client  http.Client
	once    sync.Once // of closing
	closing chan struct{}
	done    chan struct{} // nothing is sent any more
	ctx     context.Context
	cancel  context.CancelFunc
	failing bool // the last message was lost, which is told once

	sent, dropped, failed, rejected atomic.Int64
}

func newSender(of signal, cfg Config) *sender {
	s := &sender{signal: of, cfg: cfg.withDefaults(), closing: make(chan struct{}), done: make(chan struct{})}
	s.client = http.Client{Transport: s.cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Stats are counts of spans, of points of metrics, or of records.
type Stats struct {
	Sent     int64
	Dropped  int64 // for lack of room, or after Shutdown
	Failed   int64 // the collector could not be reached, or refused the request
	Rejected int64 // the collector took the request, but not these
}

// Stats gives what was counted since the beginning.
func (s *sender) Stats() Stats {
	return Stats{Sent: s.sent.Load(), Dropped: s.dropped.Load(), Failed: s.failed.Load(), Rejected: s.rejected.Load()}
}

// send delivers n items, which are encoded, and tells once when they are lost.
func (s *sender) send(items []byte, n int, patience time.Duration) {
	answer, err := s.deliver(request(s.cfg.Resource, s.cfg.Version, items), patience)
	if err != nil {
		s.failed.Add(int64(n))
		if !s.failing {
			s.cfg.Log.Warn(s.name+" cannot be exported; they are dropped", "endpoint", s.place(), "error", err)
		}
		s.failing = true
		return
	}
	if s.failing {
		s.cfg.Log.Info(s.name+" are exported again", "endpoint", s.place())
	}
	s.failing = false
	refused, why := rejected(answer)
	refused = min(max(refused, 0), int64(n))
	if refused > 0 {
		s.cfg.Log.Warn("the collector of "+s.name+" rejected some", "endpoint", s.place(), s.items, refused, "error", clean(why))
	}
	s.rejected.Add(refused)
	s.sent.Add(int64(n) - refused)
}

// place is the endpoint as it may be shown.
func (s *sender) place() string {
	u, err := url.Parse(s.cfg.Endpoint)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// refusal is an answer that is none of success.
type refusal struct {
	status int
	after  time.Duration // how long to wait before the next attempt
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the collector answered with status %d", r.status)
}

// temporary reports whether another attempt makes sense: OTLP specification,
// "Retryable Response Codes".
func temporary(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return true
	}
	switch r.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// deliver sends a request until it is taken, refused for good, or older than
// patience. In shutdown there is one more attempt, at once.
func (s *sender) deliver(message []byte, patience time.Duration) (answer []byte, err error) {
	body := message
	if !s.cfg.Plain {
		body = compressed(message)
	}
	begun := time.Now()
	for bound := firstPause; ; bound = min(2*bound, maxPause) {
		answer, err = s.post(body)
		if err == nil || !temporary(err) || s.ctx.Err() != nil {
			return answer, err
		}
		pause := bound/2 + rand.N(bound/2)
		var r *refusal
		if errors.As(err, &r) {
			pause = max(pause, r.after)
		}
		if time.Since(begun)+pause > patience {
			return nil, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.closing:
			t.Stop()
			return s.post(body)
		}
	}
}

// zips are for all signals. One takes 0.8 MB, so an idle process has none.
var zips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // a level that there is
	return z
}}

func compressed(message []byte) []byte {
	var out bytes.Buffer
	z := zips.Get().(*gzip.Writer)
	defer zips.Put(z)
	z.Reset(&out)
	_, _ = z.Write(message) // a buffer takes all
	_ = z.Close()
	return out.Bytes()
}

func (s *sender) post(body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range s.cfg.Headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "weir/"+s.cfg.Version)
	if !s.cfg.Plain {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what was taken is taken, whatever it says
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, &refusal{resp.StatusCode, after(resp.Header.Get("Retry-After"))}
	}
	return answer, nil
}

// after reads a Retry-After field (RFC 9110 section 10.2.3).
func after(value string) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 16); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return 0
}

// Shutdown sends what there is and ends, at the latest when ctx does: then the
// rest is lost, and the error says so.
func (s *sender) Shutdown(ctx context.Context) error {
	s.once.Do(func() { close(s.closing) })
	defer s.client.CloseIdleConnections()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	<-s.done
	return fmt.Errorf("not all %s were exported: %w", s.name, ctx.Err())
}
