package gateway

import (
	"sync"
	"time"
)

// streamWatch bounds how long one read or write of a stream of HTTP/2 may wait
// for the client.
//
// In HTTP/1.1 a deadline of the connection does that: it is looked at when
// somebody reads or writes, and nobody minds one that has passed meanwhile. A
// deadline of a stream ends the stream when it passes, also while the handler
// waits for a backend and the client for the handler. So one is only set when
// it has passed and somebody still waits, in the past, which takes effect at
// once. It must not be copied.
type streamWatch struct {
	expire func(time.Time) error // sets the deadline

	mu    sync.Mutex
	timer *time.Timer
	until time.Time // of what waits; zero: nothing does
	over  bool
}

// begin is called before a read or write that may take this long.
func (w *streamWatch) begin(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.until = time.Now().Add(d)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.pass)
	} else {
		w.timer.Reset(d)
	}
}

// end is called when it has returned.
func (w *streamWatch) end() { w.stop(false) }

// close is called when the handler returns. From then on the stream, which may be
// gone, is left alone, whoever still reads.
func (w *streamWatch) close() { w.stop(true) }

func (w *streamWatch) stop(over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = w.over || over
	w.until = time.Time{}
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *streamWatch) pass() {
	w.mu.Lock() // held while the deadline is set: the stream may be gone after close
	defer w.mu.Unlock()
	if now := time.Now(); !w.until.IsZero() && !now.Before(w.until) {
		_ = w.expire(time.Unix(1, 0)) // a stream without a connection cannot stall
	}
}
