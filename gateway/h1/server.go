package h1

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves connections. Its exported fields are set before the first one; in
// each that is a bound or a time, 0 or less is none, but for MaxHeaderBytes. Its
// methods are safe for concurrent use.
type Server struct {
	Handler http.Handler
	// BaseContext is what the contexts of all requests are made of. Nil is the
	// background.
	BaseContext context.Context
	// ReadHeaderTimeout is for the header of a request: of the first one from when
	// the connection is served, of others from their first byte.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is between two requests.
	IdleTimeout time.Duration
	// ReadTimeout and WriteTimeout are from the end of a header to that of the body
	// and of the answer, unless a handler moves the deadlines.
	ReadTimeout, WriteTimeout time.Duration
	// MaxHeaderBytes is for the request line with the header, and for a trailer. 0
	// is 64 KB, less is none.
	MaxHeaderBytes int
	// MaxFields is how many fields a header, or a trailer, may have.
	MaxFields int
	// Refusal makes the answer to what is no request: its fields and its body. Nil:
	// its detail in plain text.
	Refusal func(*Fault) (http.Header, []byte)
	// Malformed is called once for each request that is answered so, or whose body
	// is not what it should be. It may be nil.
	Malformed func(*Fault)
	// Log gets the panics of handlers, at the level of debugging. It may be nil.
	Log *slog.Logger

	patrol  patrol
	date    atomic.Pointer[date]
	closing atomic.Bool

	mu    sync.Mutex
	conns map[*conn]struct{}
	empty chan struct{} // closed when no connection is left; nil while nobody waits
}

// Serve serves a connection to its end, on the caller's goroutine; it closes it,
// unless a handler takes it over. A connection with a method Raw() net.Conn lets
// bytes be written beneath, to what it gives; one with CloseWrite() error is closed
// so that the last answer is not lost.
func (s *Server) Serve(nc net.Conn) {
	c := newConn(s, nc)
	if !s.admit(c) {
		c.gone()
		_ = nc.Close()
		return
	}
	c.serve()
}

func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// newGrace is how long a connection may take for its first request when the
// server shuts down: a client that has just connected cannot know.
const newGrace = 5 * time.Second

// Shutdown takes no connections any more, closes idle ones, and waits for the
// requests under way. If ctx is done first, its error is returned, and they go on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing.Store(true)
	s.closeThose(isIdle, 0)
	s.closeThose(isNew, newGrace)
	s.mu.Lock()
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	grace := time.AfterFunc(newGrace, func() { s.closeThose(isNew, 0) })
	defer grace.Stop()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeThose closes the connections in a state that are of an age.
func (s *Server) closeThose(state int32, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if (age == 0 || time.Since(c.since) >= age) && c.state.CompareAndSwap(state, isGone) {
			go c.nc.Close() // TLS says so first, which waits for a client that takes nothing
		}
	}
}

// Close closes all connections, and ends the contexts of their requests. What a
// handler has taken over it leaves alone.
func (s *Server) Close() error {
	s.closing.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.state.Swap(isGone) != isGone {
			_ = c.nc.SetDeadline(time.Unix(1, 0)) // a handler that learns of it does not answer any more
			c.gone()
			go c.nc.Close()
		}
	}
	return nil
}

func (s *Server) base() context.Context {
	if s.BaseContext == nil {
		return context.Background()
	}
	return s.BaseContext
}

func (s *Server) maxHeader() int {
	const most = 1 << 30
	switch {
	case s.MaxHeaderBytes < 0:
		return most
	case s.MaxHeaderBytes == 0:
		return 64 << 10
	}
	return min(s.MaxHeaderBytes, most)
}

func (s *Server) malformed(f *Fault) {
	if s.Malformed != nil {
		s.Malformed(f)
	}
}

// date is the text of a second.
type date struct {
	second int64
	text   string
}

// now is the text of the field Date.
func (s *Server) now() string {
	now := time.Now()
	d := s.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		s.date.Store(d)
	}
	return d.text
}

func (s *Server) logf(format string, args ...any) {
	if s.Log != nil {
		s.Log.Debug(fmt.Sprintf(format, args...))
	}
}
