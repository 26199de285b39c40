package h1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// typical is a reply of 1 KB with the fields that servers send.
var typical = "HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Type: application/json\r\n" +
	"Content-Length: 1024\r\nCache-Control: no-store\r\nX-Request-Id: 0123456789abcdef\r\n\r\n" + strings.Repeat("x", 1024)

func typicalRequest(t testing.TB, ctx context.Context, base string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", base+"/customers/7/orders?limit=20", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Accept":       {"application/json"},
		"User-Agent":   {"weir"},
		"X-Request-Id": {"0123456789abcdef"},
		"Traceparent":  {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	return req
}

// roundTrip makes one call and reads the reply with buf.
func roundTrip(t testing.TB, rt http.RoundTripper, req *http.Request, buf []byte) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = resp.Body.Read(buf)
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestAllocationsOfAGet(t *testing.T) {
	c := serve(t, Config{}, replying(typical))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	buf := make([]byte, 4096)
	for _, test := range []struct {
		name    string
		ctx     context.Context
		ceiling float64
	}{
		{"a context without end", context.Background(), 6},
		{"a context that can be canceled", ctx, 9},
	} {
		req := typicalRequest(t, test.ctx, "http://"+c.addr)
		if got := testing.AllocsPerRun(200, func() { roundTrip(t, c, req, buf) }); got > test.ceiling {
			t.Errorf("%s: %v allocations, ceiling %v", test.name, got, test.ceiling)
		}
	}
}

// BenchmarkGet compares this client with net/http's and with the least that a
// program can do: one connection, a fixed request, no parsing. The server is in
// the same process and does not allocate.
func BenchmarkGet(b *testing.B) {
	c := serve(b, Config{}, replying(typical))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	std := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	defer std.CloseIdleConnections()
	for name, rt := range map[string]http.RoundTripper{"h1": c, "net/http": std} {
		b.Run(name, func(b *testing.B) {
			req, buf := typicalRequest(b, ctx, "http://"+c.addr), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				roundTrip(b, rt, req, buf)
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		var out strings.Builder
		typicalRequest(b, ctx, "http://"+c.addr).Write(&out)
		request, buf := []byte(out.String()), make([]byte, len(typical))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := conn.Write(request); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(conn, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor with http.ReadResponse", func(b *testing.B) {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		req, in, buf := typicalRequest(b, ctx, "http://"+c.addr), bufio.NewReader(conn), make([]byte, 4096)
		b.ReportAllocs()
		for b.Loop() {
			roundTrip(b, rawTrip{conn, in}, req, buf)
		}
	})
}

type rawTrip struct {
	conn net.Conn
	in   *bufio.Reader
}

func (r rawTrip) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Write(r.conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(r.in, req)
}

// BenchmarkPost sends 10 KB: in memory, which goes out in one write by the
// caller, or as a stream of known length, which takes a goroutine.
func BenchmarkPost(b *testing.B) {
	data := make([]byte, 10<<10)
	answer := []byte(typical)
	c := serve(b, Config{}, func(conn net.Conn) {
		in := bufio.NewReaderSize(conn, 16<<10)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) > 2 {
				continue
			}
			if _, err := in.Discard(len(data)); err != nil {
				return
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
	std := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	defer std.CloseIdleConnections()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	for _, t := range []struct {
		name   string
		rt     http.RoundTripper
		memory bool
	}{{"h1/memory", c, true}, {"h1/prompt", prompt{c}, false}, {"h1/stream", c, false}, {"net-http/memory", std, true}, {"net-http/stream", std, false}} {
		b.Run(t.name, func(b *testing.B) {
			req, buf := typicalRequest(b, ctx, "http://"+c.addr), make([]byte, 4096)
			req.Method, req.ContentLength = "POST", int64(len(data))
			in := bytes.NewReader(data)
			req.Body = io.NopCloser(in)
			if t.memory {
				req.GetBody = func() (io.ReadCloser, error) { return req.Body, nil }
			}
			b.ReportAllocs()
			for b.Loop() {
				in.Reset(data)
				roundTrip(b, t.rt, req, buf)
			}
		})
	}
}

type prompt struct{ c *Client }

func (p prompt) RoundTrip(req *http.Request) (*http.Response, error) {
	return p.c.Do(req, Options{Prompt: true})
}
