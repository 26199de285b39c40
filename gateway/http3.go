//go:build http3

package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// HTTP3 reports whether this build serves HTTP/3.
const HTTP3 = true

// overQUIC serves the connections of a front that come over QUIC (RFC 9114). It is
// the listener that its server takes them from.
type overQUIC struct {
	front    *front
	listener *Listener
	server   *http3.Server
	tls      atomic.Pointer[tlsOverQUIC]
	conns    chan *quic.Conn
	done     chan struct{}
	ending   chan struct{} // nothing new is begun

	mu     sync.Mutex
	over   bool          // no connections are taken any more
	served chan struct{} // is closed when the server takes none; nil: it has not begun
	open   map[*quicConn]struct{}
	end    sync.Once
	ended  chan struct{} // all is answered
}

// newHTTP3 opens the socket, unless it is open.
func newHTTP3(l *Listener, f *front) (http3Server, error) {
	if l.udp == nil {
		p, err := l.ports.hold(l.Addr(), l.log)
		if err != nil {
			return nil, err
		}
		l.udp = p
	}
	s := &overQUIC{front: f, listener: l, conns: make(chan *quic.Conn), done: make(chan struct{}), ending: make(chan struct{}),
		ended: make(chan struct{}), open: map[*quicConn]struct{}{}}
	s.server = &http3.Server{
		Handler:        s,
		MaxHeaderBytes: f.config.MaxHeaderBytes,
		Logger:         slog.New(slog.DiscardHandler), // clients' faults
		ConnContext:    s.context,
	}
	return s, nil
}

// context ends requests with their connection, or before it, so that they know why.
func (s *overQUIC) context(ctx context.Context, _ *quic.Conn) context.Context {
	c := ctx.Value(quicConnKey{}).(*quicConn)
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, c.cut = context.WithCancelCause(ctx)
	return ctx
}

func (s *overQUIC) serve(log *slog.Logger) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.served = make(chan struct{})
	s.mu.Unlock()
	defer close(s.served)
	if err := s.server.ServeListener(s); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Error("listener failed", "address", "udp "+s.listener.Addr().String(), "error", err)
	}
}

// Accept is what http3.QUICListener asks for.
func (s *overQUIC) Accept(ctx context.Context) (*quic.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, quic.ErrServerClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Addr is what http3.QUICListener asks for.
func (s *overQUIC) Addr() net.Addr { return s.listener.Addr() }

// Close is what http3.QUICListener asks for.
func (s *overQUIC) Close() error {
	s.stop()
	return nil
}

func (s *overQUIC) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		close(s.done)
	}
}

// shutdown tells clients that no request is taken any more, and waits for those in
// progress. It may be called more than once.
func (s *overQUIC) shutdown(ctx context.Context) error {
	s.end.Do(func() {
		s.mu.Lock()
		served := s.served
		close(s.ending)
		for c := range s.open {
			c.rest()
		}
		s.mu.Unlock()
		go func() {
			defer close(s.ended)
			if served != nil {
				<-served // the server cannot be told to end while it still takes connections
			}
			_ = s.server.Shutdown(context.Background())
		}()
	})
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.all() {
		if c.busy() {
			return ctx.Err()
		}
	}
	return nil // all that is left is clients that stay without asking for anything
}

func (s *overQUIC) all() []*quicConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}

func (s *overQUIC) close() {
	for _, c := range s.all() {
		c.interrupt(errCut)
		c.close(http3.ErrCodeNoError)
	}
}

// tlsOverQUIC is what is made of a configuration for QUIC.
type tlsOverQUIC struct{ of, made *tls.Config }

// config is the configuration of a handshake that begins now. Sessions are not
// resumed: a ticket would outlive the files that it was given under, and with it
// goes the early data that anyone can send once more (RFC 8470).
func (s *overQUIC) config() *tls.Config {
	of := s.front.identity.current()
	if last := s.tls.Load(); last != nil && last.of == of {
		return last.made
	}
	made := of.Clone()
	made.MinVersion, made.NextProtos, made.SessionTicketsDisabled = tls.VersionTLS13, []string{http3.NextProtoH3}, true
	made.GetConfigForClient = nil // of authorities, which ask by TCP
	s.tls.Store(&tlsOverQUIC{of, made})
	return made
}

// begin is called for each request. It is false when a client has so many under way
// that it must have taken back others whose handlers have not seen it yet: the
// library counts streams, not handlers.
func (s *overQUIC) begin(c *quicConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := s.front.config.MaxStreams; most > 0 && c.running >= most+maxResets {
		return false
	}
	if c.running++; c.timer != nil {
		c.timer.Stop()
	}
	return true
}

// ServeHTTP makes of a request what the handlers of other versions get, and of
// their answer what HTTP/3 has.
func (s *overQUIC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(quicConnKey{}).(*quicConn)
	if !s.begin(c) {
		s.front.count(s.front.rejected, "resets")
		c.close(http3.ErrCodeExcessiveLoad)
		return
	}
	defer func() {
		if many := c.resets.count(r.Context().Err() != nil); many {
			s.front.count(s.front.rejected, "resets")
			c.close(http3.ErrCodeExcessiveLoad)
		}
		c.rested()
	}()
	delete(r.Header, "Host") // is r.Host; the library has compared them
	if slices.Equal(r.Header["Expect"], []string{"100-continue"}) {
		delete(r.Header, "Expect")
		w.WriteHeader(http.StatusContinue)
	}
	inner := *r
	s.findBody(w, r, &inner)
	own := &plainWriter{ResponseWriter: w}
	s.listener.serve(own, &inner)
	own.strip()
}

// bodiless are the methods of requests that hardly ever have a body.
var bodiless = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete}

// findBody tells a request without a body from one whose length is not known, which
// the library does not. It waits for the client to say so where a body would be a
// surprise.
func (s *overQUIC) findBody(w http.ResponseWriter, r, inner *http.Request) {
	var first []byte
	switch {
	case r.ContentLength == 0:
		inner.Body = http.NoBody
		return
	case r.ContentLength < 0 && slices.Contains(bodiless, r.Method):
		var one [1]byte
		within := http.NewResponseController(w)
		if d := s.front.config.ReadHeaderTimeout; d > 0 {
			_ = within.SetReadDeadline(time.Now().Add(d))
		}
		n, err := r.Body.Read(one[:])
		_ = within.SetReadDeadline(time.Time{})
		if n == 0 && err == io.EOF {
			inner.Body, inner.ContentLength = http.NoBody, 0
			return
		}
		first = one[:n]
	}
	inner.Body = &quicBody{ReadCloser: r.Body, first: first, of: r, announced: inner.Trailer}
}

// quicBody gives what was read of a body before, and the trailers that were
// announced to the request that handlers have.
type quicBody struct {
	io.ReadCloser
	first     []byte
	of        *http.Request // has all that came
	announced http.Header
}

func (b *quicBody) Read(p []byte) (n int, err error) {
	if len(b.first) > 0 && len(p) > 0 {
		n = copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	n, err = b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.announced {
			b.announced[name] = b.of.Trailer[name]
		}
	}
	return n, err
}

// plainWriter leaves out what only HTTP/1.1 says of connections (RFC 9114, section
// 4.2), which the library would send.
type plainWriter struct{ http.ResponseWriter }

func (w *plainWriter) strip() {
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		delete(w.Header(), name)
	}
}

func (w *plainWriter) WriteHeader(status int) {
	w.strip()
	w.ResponseWriter.WriteHeader(status)
}

func (w *plainWriter) Write(p []byte) (int, error) {
	w.strip()
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *plainWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
