package h1

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs script on each connection made to it, and closes the connection
// when script returns. It gives a client of itself.
func serve(t testing.TB, cfg Config, script func(net.Conn)) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		conns []net.Conn
		done  sync.WaitGroup
	)
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			done.Go(func() {
				defer conn.Close()
				script(conn)
			})
		}
	})
	c := New(&url.URL{Scheme: "http", Host: l.Addr().String()}, cfg)
	t.Cleanup(func() {
		c.Close()
		l.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		done.Wait()
	})
	return c
}

// replying answers each request without a body by the same bytes, and does not
// allocate.
func replying(reply string) func(net.Conn) {
	answer := []byte(reply)
	return func(conn net.Conn) {
		buf := make([]byte, 16<<10)
		for n := 0; ; {
			m, err := conn.Read(buf[n:])
			if err != nil {
				return
			}
			if n += m; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
				continue
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
			n = 0
		}
	}
}

// pipe is a connection that has received in and then ended.
type pipe struct {
	net.Conn
	in io.Reader
}

func (p pipe) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p pipe) Write(b []byte) (int, error) { return len(b), nil }
func (p pipe) Close() error                { return nil }

func get(t testing.TB, method string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

var background = context.Background()
