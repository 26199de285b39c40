package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
)

// conn is a connection as it was accepted, below TLS.
type conn struct {
	net.Conn
	closed func() // called once
	ended  atomic.Bool
}

// Close is what net.Conn asks for.
func (c *conn) Close() error {
	if c.ended.CompareAndSwap(false, true) {
		c.closed()
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

// secureConn is a connection of HTTP/1.1 over TLS.
type secureConn struct{ *tls.Conn }

type connKey struct{}

// withConn lets requests find their connection.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	if s, ok := nc.(*tls.Conn); ok { // HTTP/2
		nc = s.NetConn()
	}
	return context.WithValue(ctx, connKey{}, nc)
}
