package mesh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// The pool's bounds, the same for both transports.
const (
	maxIdle = 256
	// idleTimeout is shorter than that of the usual servers (60s and more; 5s
	// for Node, whose closing is noticed before a connection is used again), so
	// that it is the client that closes and no request meets a closing connection.
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 64 << 10
)

// h1Transport carries attempts over the fast path: HTTP/1.1, with TLS or without.
type h1Transport struct {
	client *h1.Client
	dials  *connCount // over TLS: of the connections below it
}

// maxAge makes connections follow an address that has changed: those in steady
// use are never idle for long enough to be closed (golang.org/issue/23427).
const maxAge = 5 * time.Minute

// aged is maxAge give or take a tenth, so that what was made together does not
// end together.
func aged() time.Duration {
	const tenth = maxAge / 10
	return maxAge - tenth + rand.N(2*tenth+1)
}

func newH1Transport(base *url.URL, cfg Config) h1Transport {
	t := h1Transport{}
	dial := cfg.dialInTime()
	if base.Scheme == "https" {
		t.dials = new(connCount)
		dial = cfg.dialTLS(base, t.dials.made, protoHTTP1)
	}
	t.client = h1.New(base, h1.Config{
		ConnectTimeout: cfg.ConnectTimeout,
		MaxIdle:        maxIdle,
		IdleTimeout:    idleTimeout,
		MaxAge:         maxAge,
		MaxHeaderBytes: maxHeaderBytes,
		Host:           cfg.host,
		Dial:           dial,
	})
	return t
}

// dialInTime is the configured Dial with the bound that net.Dialer would keep;
// nil without one.
func (c Config) dialInTime() func(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Dial == nil {
		return nil
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
		defer cancel()
		conn, err := c.Dial(ctx, network, addr)
		if err != nil {
			// Wrapped, so that it is not taken for the end of the call's context.
			return nil, fmt.Errorf("connecting: %w", err)
		}
		return conn, nil
	}
}

// dialTLS makes connections that have shaken hands, and were made for one of
// protos. The handshake is made here so that its failure is known to be one of
// connecting, and is under the same bound. made gets the connections below.
func (c Config) dialTLS(base *url.URL, made func(net.Conn) net.Conn, protos ...string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
		defer cancel()
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("connecting: %w", err) // see dialInTime
		}
		conn, err := c.trust.shake(ctx, made(raw), c.serverName(base), protos...)
		if err != nil {
			return nil, err
		}
		if got := conn.ConnectionState().NegotiatedProtocol; len(protos) == 1 && protos[0] == protoHTTP2 && got != protoHTTP2 {
			conn.Close()
			return nil, errors.New("the server does not speak HTTP/2")
		}
		return conn, nil
	}
}

func (t h1Transport) roundTrip(req *http.Request, o h1.Options) (*http.Response, error) {
	return t.client.Do(req, o)
}

func (t h1Transport) close() { t.client.Close() }

func (t h1Transport) connections() (dialed, closed int64) {
	if t.dials != nil {
		return t.dials.read()
	}
	return t.client.Stats()
}

// connCount counts connections, those that fail to shake hands, too.
type connCount struct{ dialed, closed atomic.Int64 }

func (t *connCount) count(conn net.Conn) *countedConn {
	t.dialed.Add(1)
	return &countedConn{Conn: conn, dials: t}
}

func (t *connCount) made(conn net.Conn) net.Conn { return t.count(conn) }

func (t *connCount) read() (dialed, closed int64) {
	closed = t.closed.Load() // first, so that it is never the greater
	return t.dialed.Load(), closed
}

type countedConn struct {
	net.Conn
	dials *connCount
	era   *era // that it belongs to; nil without one
	once  atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.once.Swap(true) {
		c.dials.closed.Add(1)
		if c.era != nil {
			c.era.forget(c)
		}
	}
	return c.Conn.Close()
}

// SyscallConn is for package h1, which looks whether a server has hung up.
func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
