package h1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorded is a connection whose client says all that it has to say at once, and
// whose answers are kept.
type recorded struct {
	inPieces
	wrote  bytes.Buffer
	closed bool
}

func (c *recorded) Write(p []byte) (int, error)      { return c.wrote.Write(p) }
func (c *recorded) Close() error                     { c.closed = true; return nil }
func (c *recorded) SetDeadline(time.Time) error      { return nil }
func (c *recorded) SetReadDeadline(time.Time) error  { return nil }
func (c *recorded) SetWriteDeadline(time.Time) error { return nil }

// serveText is all that a handler's server says to a text.
func serveText(handler http.HandlerFunc, text string) string {
	c := &recorded{inPieces: inPieces{rest: text, piece: 1 << 20}}
	(&Server{Handler: handler, MaxFields: 100}).Serve(c)
	return c.wrote.String()
}

// listen serves what connects to an address, until the test ends.
func listen(t testing.TB, s *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.Serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		_ = s.Shutdown(context.Background())
		serving.Wait()
	})
	return l.Addr().String()
}

// pipe serves one connection in memory, until the test ends.
func pipe(t testing.TB, s *Server) net.Conn {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(far)
	}()
	t.Cleanup(func() {
		_ = near.Close()
		<-served
	})
	return near
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// answers reads answers until the connection ends. Interim ones are left out.
func answers(t testing.TB, r io.Reader, methods ...string) (all []*http.Response) {
	t.Helper()
	for b := bufio.NewReader(r); ; {
		method := http.MethodGet
		if final := len(all); final < len(methods) {
			method = methods[final]
		}
		a, err := http.ReadResponse(b, &http.Request{Method: method})
		if err != nil {
			if _, err := b.Peek(1); err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				t.Errorf("what follows %d answers is none: %v", len(all), err)
			}
			return all
		}
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Errorf("answer %d breaks off: %v", len(all), err)
		}
		a.Body = io.NopCloser(bytes.NewReader(body))
		if a.StatusCode >= 200 || a.StatusCode == http.StatusSwitchingProtocols {
			all = append(all, a)
		}
	}
}

func bodyOf(a *http.Response) string {
	text, _ := io.ReadAll(a.Body)
	a.Body = io.NopCloser(bytes.NewReader(text))
	return string(text)
}
