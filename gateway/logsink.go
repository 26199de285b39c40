package gateway

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
)

// LogSink takes records from requests and writes them behind their backs: a
// request appends to memory that is bounded, and goes on. What finds no room,
// because nobody reads at the other end or the disk is slow, is dropped. It is
// safe for concurrent use.
type LogSink struct {
	w        io.Writer
	redactor *dsl.Redactor
	log      *slog.Logger

	mu     sync.Mutex
	buffer []byte
	spare  []byte // what was written last, to be filled next
	closed bool

	wake chan struct{} // the buffer is no longer empty, or full enough
	end  chan struct{}
	done chan struct{}
}

const (
	sinkRoom  = 1 << 20               // bytes that wait
	sinkBatch = 64 << 10              // so many need not wait for more
	sinkPause = 50 * time.Millisecond // others wait so long for more, which saves a write for each
	sinkGrace = time.Second           // for what is left at the end: at the other end of a pipe nobody may read
)

// NewLogSink makes a sink that writes to w, which belongs to it if it is an
// io.Closer. The redactor takes secrets out of it; it may be nil.
func NewLogSink(w io.Writer, redactor *dsl.Redactor, log *slog.Logger) *LogSink {
	s := &LogSink{w: w, redactor: redactor, log: log, wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// add takes a whole record, or reports that it has no room.
func (s *LogSink) add(record []byte) bool {
	s.mu.Lock()
	before := len(s.buffer)
	if s.closed || before+len(record) > sinkRoom {
		s.mu.Unlock()
		return false
	}
	s.buffer = append(s.buffer, record...)
	s.mu.Unlock()
	if before == 0 || before < sinkBatch && before+len(record) >= sinkBatch {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return true
}

func (s *LogSink) run() {
	defer close(s.done)
	pause := time.NewTimer(0)
	<-pause.C
	for {
		select {
		case <-s.wake:
		case <-s.end:
			s.write()
			return
		}
		if s.waiting() < sinkBatch {
			pause.Reset(sinkPause)
			select {
			case <-pause.C:
			case <-s.wake: // there is enough
			case <-s.end:
			}
			pause.Stop()
		}
		s.write()
	}
}

func (s *LogSink) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.buffer)
}

// write writes what waits. What could not be written is lost: to try again could
// put half a record before a whole one.
func (s *LogSink) write() {
	s.mu.Lock()
	batch := s.buffer
	s.buffer, s.spare = s.spare[:0], nil
	s.mu.Unlock()
	if len(batch) > 0 {
		if _, err := s.w.Write(s.redactor.Bytes(batch)); err != nil {
			s.log.Error("the access log cannot be written", "error", err, "bytes", len(batch))
		}
	}
	s.mu.Lock()
	if s.spare = batch; cap(batch) > 4*sinkBatch && len(batch) < cap(batch)/4 {
		s.spare = nil // of a burst that is over
	}
	s.mu.Unlock()
}

// Close writes what is left, for a second at most.
func (s *LogSink) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.end)
	select {
	case <-s.done:
	case <-time.After(sinkGrace):
		s.log.Warn("the end of the access log is lost: nobody takes it")
		return
	}
	if c, ok := s.w.(io.Closer); ok {
		if err := c.Close(); err != nil {
			s.log.Warn("the access log was not closed well", "error", err)
		}
	}
}
