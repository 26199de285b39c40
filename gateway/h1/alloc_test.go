package h1

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// endless is a client that asks the same over and over, and does not look at the
// answers.
type endless struct {
	net.Conn
	text  string
	left  int
	wrote int
}

func (c *endless) Read(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, io.EOF
	}
	return copy(p, c.text), nil
}

func (c *endless) Write(p []byte) (int, error)      { c.wrote++; return len(p), nil }
func (*endless) Close() error                       { return nil }
func (*endless) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (*endless) SetDeadline(time.Time) error        { return nil }
func (*endless) SetReadDeadline(time.Time) error    { return nil }
func (*endless) SetWriteDeadline(t time.Time) error { return nil }

// A request costs its memory, its text, its header, which is a map with a group
// of fields and the values, and the header of the answer likewise.
func TestAllocations(t *testing.T) {
	value := []string{"x"}
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = value
		_, _ = io.WriteString(w, "text")
	})}
	const requests = 1000
	run := func(n int) float64 {
		return testing.AllocsPerRun(1, func() {
			c := &endless{text: plainRequest, left: n}
			s.Serve(c)
			if c.wrote != n {
				t.Fatalf("%d writes", c.wrote)
			}
		})
	}
	const most = 7
	if got := (run(2*requests) - run(requests)) / requests; got > most+0.5 {
		t.Errorf("%.2f allocations, want %d at most", got, most)
	}
}

func BenchmarkServe(b *testing.B) {
	value := []string{"x"}
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = value
		_, _ = io.WriteString(w, "text")
	})}
	b.ReportAllocs()
	s.Serve(&endless{text: plainRequest, left: b.N})
}
