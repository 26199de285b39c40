package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
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
	resets resets
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
		c.front.leave(&c.counted)
	}
	return c.Conn.Close()
}

// CloseWrite lets the server say that no more will come while it still reads.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Raw lets the server write to what is below.
func (c *conn) Raw() net.Conn { return c.Conn }

// preface is what a client of HTTP/2 begins with: RFC 9113, section 3.4.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// beginsHTTP2 reads as far as a preface goes. It leaves what it has read to be
// read once more.
func (c *conn) beginsHTTP2() (bool, error) {
	begin := slices.Clone(c.rest)
	for len(begin) < len(preface) && strings.HasPrefix(preface, string(begin)) {
		more := make([]byte, len(preface)-len(begin))
		n, err := c.Conn.Read(more)
		if n == 0 && err != nil {
			return false, err
		}
		begin = append(begin, more[:n]...)
	}
	c.rest = begin
	return strings.HasPrefix(string(begin), preface), nil
}

type connKey struct{}

// withConn lets requests of HTTP/2 find their connection.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, nc)
}
