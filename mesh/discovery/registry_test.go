package discovery

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// serve lets a handler answer at every address, over pipes, until the test ends.
func serve(t testing.TB, h http.Handler) func(ctx context.Context, network, addr string) (net.Conn, error) {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // it ends with ErrServerClosed
	t.Cleanup(func() {
		_ = s.Close()
		serving.Wait()
	})
	return l.dial
}

type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }
