package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync/atomic"
)

// conn is a connection as it was accepted, below TLS.
type conn struct {
	net.Conn
	rest   []byte   // was read with what a proxy says
	remote net.Addr // as a proxy says; nil: none does
	front  *front
	ended  atomic.Bool
	counted
	resets atomic.Int32 // requests of HTTP/2 that were taken back, less those that were not
}

// Read is what net.Conn asks for.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// RemoteAddr is what net.Conn asks for.
func (c *conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// Close is what net.Conn asks for.
func (c *conn) Close() error {
	if c.ended.CompareAndSwap(false, true) {
		c.front.leave(c)
	}
	return c.Conn.Close()
}

// CloseWrite lets the server say that no more will come while it still reads.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// ReadFrom lets the system send a file without copying it through here.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	if direct, ok := c.Conn.(io.ReaderFrom); ok {
		return direct.ReadFrom(src)
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, src, *buffer)
}

// unframed ends the reading along: the connection is another protocol's now.
func unframed(nc net.Conn) {
	switch c := nc.(type) {
	case *plainConn:
		c.release()
	case *secureConn:
		c.release()
	}
}

// told is how much of a request the server has to have before it learns that the
// rest is none: it closes without a word if it cannot read this much.
const told = 4

// receive reads what a client sends, up to the first byte that is no HTTP.
// After that it fails, for as long as it is asked.
func (f *framing) receive(from io.Reader, p []byte) (int, error) {
	if f.fault != nil {
		if f.head >= told {
			return 0, f.fault
		}
		n, err := from.Read(p[:min(len(p), told-f.head)])
		f.head += n
		return n, err
	}
	n, err := from.Read(p)
	if f.state == inOther || n == 0 {
		return n, err
	}
	sound := f.read(p[:n])
	if sound < n && f.front != nil {
		f.front.count(f.front.malformed, f.fault.reason)
	}
	switch {
	case sound == n:
		return n, err
	case sound == 0 && f.head >= told:
		return f.receive(from, p)
	case f.head < told:
		more := min(n-sound, told-f.head)
		f.head += more
		sound += more
	}
	return sound, nil
}

// send writes what the server answers. What it says of a request that it could
// not read is for the gateway to say.
func (f *framing) send(to io.Writer, p []byte) (int, error) {
	if f.fault != nil && bytes.HasPrefix(p, serverSays400) {
		if f.head < math.MaxInt {
			_, err := to.Write(f.fault.answer())
			return len(p), err
		}
		return len(p), nil // the request whose body it was has been answered
	}
	return to.Write(p)
}

var serverSays400 = []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

func (m *malformation) answer() []byte {
	p := Problem{Status: m.status, Code: m.code, Detail: m.detail}
	body := p.render()
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		m.status, http.StatusText(m.status), len(body))
	return append([]byte(head), body...)
}

type connKey struct{}

// withConn lets requests find their connection, and a line end them.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	switch c := nc.(type) {
	case *plainConn: // it may turn out to be one of HTTP/2
		ctx, c.gone = context.WithCancel(ctx)
		nc = c.Conn
	case *secureConn:
		ctx, c.gone = context.WithCancel(ctx)
	case *tls.Conn: // HTTP/2
		nc = c.NetConn()
	}
	return context.WithValue(ctx, connKey{}, nc)
}
