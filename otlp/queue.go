package otlp

import (
	"sync"
	"time"

	"github.com/weir-run/weir/engine/trace"
)

// maxQueued bounds what waits in a queue, in bytes: few that are huge are as bad
// as many.
const maxQueued = 4 << 20

// queue gathers batches of what comes one by one. While a batch is tried to be
// sent the next one waits, and what is new is dropped if it has no room. It has
// one goroutine, until Shutdown.
type queue struct {
	*sender

	mu      sync.Mutex
	waiting []byte // encoded
	n       int
	spare   []byte // to be waiting again
	closed  bool

	some, full chan struct{} // there is one, a batch; each holds one
}

func newQueue(of signal, cfg Config) *queue {
	q := &queue{sender: newSender(of, cfg), some: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	go q.run()
	return q
}

// Spans is a [trace.Sink].
type Spans struct{ *queue }

// NewSpans makes a sink of spans. It connects when there is something to send.
func NewSpans(cfg Config) *Spans {
	if cfg.Delay == 0 {
		cfg.Delay = 5 * time.Second
	}
	return &Spans{newQueue(traces, cfg)}
}

// Export puts a span into the queue, or drops it. It waits for nobody.
func (e *Spans) Export(s *trace.Span) {
	room := scratch.Get().(*[]byte)
	e.add(room, appendSpan((*room)[:0], s))
}

// Logs is a [trace.Recorder].
type Logs struct{ *queue }

// NewLogs makes a sink of records. It connects when there is something to send.
func NewLogs(cfg Config) *Logs {
	if cfg.Delay == 0 {
		cfg.Delay = time.Second
	}
	return &Logs{newQueue(logs, cfg)}
}

// Record puts a record into the queue, or drops it and says so. It waits for
// nobody.
func (l *Logs) Record(r *trace.Record) bool {
	room := scratch.Get().(*[]byte)
	return l.add(room, appendRecord((*room)[:0], r))
}

var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// add takes one that is encoded in the memory of room, and gives that back.
func (q *queue) add(room *[]byte, b []byte) (taken bool) {
	q.mu.Lock()
	if taken = !q.closed && q.n < q.cfg.Queue && len(q.waiting)+len(b) <= maxQueued; taken {
		q.waiting = append(q.waiting, b...)
		q.n++
	}
	n := q.n
	q.mu.Unlock()
	switch {
	case !taken:
		q.dropped.Add(1)
	case n == 1:
		notify(q.some)
	}
	if taken && n == q.cfg.Batch {
		notify(q.full)
	}
	if *room = b; cap(b) <= 16<<10 {
		scratch.Put(room)
	}
	return taken
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (q *queue) run() {
	defer close(q.done)
	for {
		select {
		case <-q.some:
			q.await()
		case <-q.closing:
		}
		q.flush()
		select {
		case <-q.closing:
			q.mu.Lock()
			q.closed = true
			q.mu.Unlock()
			q.flush() // what came while the last batch was sent
			return
		default:
		}
	}
}

// await gives the first of a batch time to be joined by others.
func (q *queue) await() {
	t := time.NewTimer(q.cfg.Delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.full:
	case <-q.closing:
	}
}

// flush sends all that is waiting.
func (q *queue) flush() {
	q.mu.Lock()
	items, n := q.waiting, q.n
	q.waiting, q.n, q.spare = q.spare[:0], 0, nil
	q.mu.Unlock()
	select {
	case <-q.full: // it was of this batch
	default:
	}
	if n == 0 {
		return
	}
	q.send(items, n, maxPatience)
	if q.spare = items; cap(items) > 256<<10 {
		q.spare = nil // a burst is not paid for ever
	}
}
