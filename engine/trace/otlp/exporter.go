// Package otlp sends spans to a collector: OTLP over HTTP, with protobuf bodies.
//
// The SDK of OpenTelemetry for Go is not used. Its exporter is built on gRPC,
// which makes the binary 6.3 MB larger and an idle process 3.1 MB, whether it
// exports or not; and its spans are on the heap, one by one. Here a span is
// written to the batch that is waiting when it ends, and its memory is used
// again.
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

// Config says where spans go. The zero value of a number is its default, which is
// that of OpenTelemetry.
type Config struct {
	Endpoint string // the URL that spans are posted to
	Headers  http.Header
	Resource []trace.Attr  // who sends them
	Version  string        // of what makes them
	Plain    bool          // bodies are not compressed
	Timeout  time.Duration // of one attempt; 10s
	Delay    time.Duration // how long the first span of a batch waits for others; 5s
	Batch    int           // spans that do not wait; 512
	Queue    int           // spans that wait at most; 2048
	// Transport sends requests; that of net/http, if it is nil.
	Transport http.RoundTripper
	Log       *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Batch, c.Queue = cmp.Or(c.Batch, 512), cmp.Or(c.Queue, 2048)
	c.Timeout, c.Delay = cmp.Or(c.Timeout, 10*time.Second), cmp.Or(c.Delay, 5*time.Second)
	if c.Transport == nil {
		c.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Batch = min(c.Batch, c.Queue)
	return c
}

// The rest of the bounds.
const (
	maxQueued  = 4 << 20 // bytes of spans that wait
	maxAnswer  = 64 << 10
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// patience is how long a batch is tried to be sent. Meanwhile the next one
	// waits in the queue, which is bounded: what is new is dropped.
	patience = time.Minute
)

// Exporter is a [trace.Sink]. It has one goroutine, until Shutdown.
type Exporter struct {
	cfg    Config
	client http.Client
	zip    *gzip.Writer

	mu     sync.Mutex
	queue  []byte // spans, encoded
	queued int
	spare  []byte // to be the queue again
	closed bool

	some, full chan struct{} // there is a span, a batch; each holds one
	closing    chan struct{}
	done       chan struct{}
	ctx        context.Context
	cancel     context.CancelFunc
	failing    bool // the last batch was lost, which is told once

	sent, dropped, failed, rejected atomic.Int64
}

// New makes an Exporter. It connects when there is something to send.
func New(cfg Config) *Exporter {
	e := &Exporter{
		cfg:  cfg.withDefaults(),
		some: make(chan struct{}, 1), full: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
	}
	e.client = http.Client{Transport: e.cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	go e.run()
	return e
}

// Stats are counts of spans.
type Stats struct {
	Sent     int64
	Dropped  int64 // for lack of room, or after Shutdown
	Failed   int64 // the collector could not be reached, or refused the request
	Rejected int64 // the collector took the request, but not these
}

// Stats gives what was counted since New.
func (e *Exporter) Stats() Stats {
	return Stats{Sent: e.sent.Load(), Dropped: e.dropped.Load(), Failed: e.failed.Load(), Rejected: e.rejected.Load()}
}

var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Export puts a span into the queue, or drops it. It waits for nobody.
func (e *Exporter) Export(s *trace.Span) {
	room := scratch.Get().(*[]byte)
	b := appendSpan((*room)[:0], s)
	e.mu.Lock()
	if e.closed || e.queued >= e.cfg.Queue || len(e.queue)+len(b) > maxQueued {
		e.mu.Unlock()
		e.dropped.Add(1)
	} else {
		e.queue = append(e.queue, b...)
		e.queued++
		n := e.queued
		e.mu.Unlock()
		if n == 1 {
			signal(e.some)
		}
		if n == e.cfg.Batch {
			signal(e.full)
		}
	}
	if *room = b; cap(b) <= 16<<10 {
		scratch.Put(room)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (e *Exporter) run() {
	defer close(e.done)
	for {
		select {
		case <-e.some:
			e.await()
		case <-e.closing:
		}
		e.flush()
		select {
		case <-e.closing:
			e.flush() // what came while the last batch was sent
			return
		default:
		}
	}
}

// await gives the first span of a batch time to be joined by others.
func (e *Exporter) await() {
	t := time.NewTimer(e.cfg.Delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-e.full:
	case <-e.closing:
	}
}

// flush sends all that is in the queue.
func (e *Exporter) flush() {
	e.mu.Lock()
	spans, n := e.queue, e.queued
	e.queue, e.queued, e.spare = e.spare[:0], 0, nil
	e.mu.Unlock()
	select {
	case <-e.full: // it was of this batch
	default:
	}
	if n == 0 {
		return
	}
	answer, err := e.deliver(request(e.cfg.Resource, e.cfg.Version, spans))
	if e.spare = spans; cap(spans) > 256<<10 {
		e.spare = nil // a burst is not paid for ever
	}
	if err != nil {
		e.failed.Add(int64(n))
		if !e.failing {
			e.cfg.Log.Warn("traces cannot be exported; they are dropped", "endpoint", e.place(), "error", err)
		}
		e.failing = true
		return
	}
	if e.failing {
		e.cfg.Log.Info("traces are exported again", "endpoint", e.place())
	}
	e.failing = false
	refused, why := rejected(answer)
	refused = min(max(refused, 0), int64(n))
	if refused > 0 {
		e.cfg.Log.Warn("the collector of traces rejected some", "endpoint", e.place(), "spans", refused, "error", clean(why))
	}
	e.rejected.Add(refused)
	e.sent.Add(int64(n) - refused)
}

// place is the endpoint as it may be shown.
func (e *Exporter) place() string {
	u, err := url.Parse(e.cfg.Endpoint)
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

// deliver sends a request until it is taken, refused for good, or too old. In
// shutdown there is one more attempt, at once.
func (e *Exporter) deliver(message []byte) (answer []byte, err error) {
	body := message
	if !e.cfg.Plain {
		body = e.compress(message)
	}
	begun := time.Now()
	for bound := firstPause; ; bound = min(2*bound, maxPause) {
		answer, err = e.post(body)
		if err == nil || !temporary(err) || e.ctx.Err() != nil {
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
		case <-e.closing:
			t.Stop()
			return e.post(body)
		}
	}
}

func (e *Exporter) compress(message []byte) []byte {
	var out bytes.Buffer
	if e.zip == nil {
		e.zip, _ = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	} else {
		e.zip.Reset(&out)
	}
	_, _ = e.zip.Write(message) // a buffer takes all
	_ = e.zip.Close()
	return out.Bytes()
}

func (e *Exporter) post(body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range e.cfg.Headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "weir/"+e.cfg.Version)
	if !e.cfg.Plain {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := e.client.Do(req)
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

// Shutdown sends what is in the queue and ends, at the latest when ctx does: then
// the rest is lost, and the error says so.
func (e *Exporter) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	if first {
		close(e.closing)
	}
	defer e.client.CloseIdleConnections()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	e.cancel()
	<-e.done
	return fmt.Errorf("not all traces were exported: %w", ctx.Err())
}
