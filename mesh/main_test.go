package mesh

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rawServer runs script on each connection made to it, one after the other or at
// the same time, and closes the connection when script returns. It gives its URL.
func rawServer(t testing.TB, script func(conn net.Conn, in *bufio.Reader)) string {
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
				script(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		done.Wait()
	})
	return "http://" + l.Addr().String()
}

// answering is a script that reads each request with its body and writes the
// same reply.
func answering(reply string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	}
}

// open opens a service that takes its endpoints in turn, unless cfg says
// otherwise, so that a test knows where calls go.
func open(t testing.TB, cfg Config) *Service {
	t.Helper()
	cfg.Balance = orDefault(cfg.Balance, balanceRoundRobin)
	s, err := Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// overStd replaces the transports of s by net/http's.
func overStd(s *Service) *Service {
	for _, e := range s.set.Load().endpoints {
		u, _, _ := parseEndpoint(e.target.URL)
		e.transport = newStdTransport(u, s.cfg)
	}
	return s
}

func newRequest(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = ""
	return req
}

// text reads a reply's body to its end.
func text(t testing.TB, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// classOf is the class of a mesh error, OK without one.
func classOf(t testing.TB, err error) Class {
	t.Helper()
	if err == nil {
		return OK
	}
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("%T is not a *mesh.Error: %v", err, err)
	}
	return e.Class
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, message, _ := parseEndpoint(s)
	if message != "" {
		t.Fatal(message)
	}
	return u
}
