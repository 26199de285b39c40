package mesh

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
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

// h1Transport carries attempts over the fast path for plain HTTP/1.1.
type h1Transport struct{ client *h1.Client }

// maxAge makes connections follow an address that has changed: those in steady
// use are never idle for long enough to be closed (golang.org/issue/23427).
const maxAge = 5 * time.Minute

func newH1Transport(base *url.URL, cfg Config) h1Transport {
	return h1Transport{h1.New(base, h1.Config{
		ConnectTimeout: cfg.ConnectTimeout,
		MaxIdle:        maxIdle,
		IdleTimeout:    idleTimeout,
		MaxAge:         maxAge,
		MaxHeaderBytes: maxHeaderBytes,
		Host:           cfg.host,
		Dial:           cfg.dialInTime(),
	})}
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

func (t h1Transport) roundTrip(req *http.Request, o h1.Options) (*http.Response, error) {
	return t.client.Do(req, o)
}

func (t h1Transport) close() { t.client.Close() }

func (t h1Transport) connections() (dialed, closed int64) { return t.client.Stats() }

// stdTransport carries attempts over an http.RoundTripper: net/http's Transport,
// or the one of [Config].Transport.
type stdTransport struct {
	base   *url.URL
	host   string // the Host header of a request that has none, in place of base's
	rt     http.RoundTripper
	idle   func() // closes idle connections
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	dialed atomic.Int64
	closed atomic.Int64
}

// newStdTransport tunes a http.Transport for one endpoint. Proxy settings of the
// environment do not apply: an endpoint is where it says it is. Compression is
// left to the caller, who may want the bytes as they are.
func newStdTransport(base *url.URL, cfg Config) *stdTransport {
	t := &stdTransport{base: base, host: cfg.host, dialer: cfg.dialInTime()}
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.dial(ctx, network, addr, cfg.ConnectTimeout)
		},
		TLSClientConfig:        tlsConfig(cfg.TLS, cfg.serverName(base)),
		DisableCompression:     true,
		MaxIdleConns:           0, // the bound per host is the bound: there is one host
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
		// Without pings a peer that vanished is noticed only by the kernel,
		// after a quarter of an hour (golang.org/issue/30702).
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	// The handshake is made here so that its failure is known to be one of
	// connecting.
	tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
		defer cancel()
		raw, err := t.dial(ctx, network, addr, 0)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, tr.TLSClientConfig)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, &h1.Error{Op: h1.OpDial, Addr: addr, Err: fmt.Errorf("tls: %w", err)}
		}
		return conn, nil
	}
	t.rt, t.idle = tr, tr.CloseIdleConnections
	return t
}

func tlsConfig(cfg *tls.Config, serverName string) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = serverName
	}
	if cfg.NextProtos == nil {
		cfg.NextProtos = []string{"h2", "http/1.1"}
	}
	return cfg
}

func (t *stdTransport) dial(ctx context.Context, network, addr string, timeout time.Duration) (net.Conn, error) {
	dial := t.dialer
	if dial == nil {
		dial = (&net.Dialer{Timeout: timeout}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, &h1.Error{Op: h1.OpDial, Addr: addr, Err: err}
	}
	t.dialed.Add(1)
	return &countedConn{Conn: conn, closed: &t.closed}, nil
}

type countedConn struct {
	net.Conn
	closed *atomic.Int64
	once   atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.once.Swap(true) {
		c.closed.Add(1)
	}
	return c.Conn.Close()
}

func (t *stdTransport) close() {
	if t.idle != nil {
		t.idle()
	}
}

func (t *stdTransport) connections() (dialed, closed int64) {
	return t.dialed.Load(), t.closed.Load()
}

// roundTrip sends a copy of the request that has the endpoint's address, and a
// context that ends at the deadline.
func (t *stdTransport) roundTrip(req *http.Request, o h1.Options) (*http.Response, error) {
	if err := h1.Validate(req); err != nil {
		closeBody(req)
		return nil, &h1.Error{Op: h1.OpRequest, Addr: t.base.Host, Err: err}
	}
	caller := req.Context()
	if !o.Stream {
		o.Idle = 0
	}
	if o.Deadline.IsZero() && o.Idle == 0 {
		out := new(http.Request)
		*out = *req
		body := t.readdress(out, o)
		resp, err := t.rt.RoundTrip(out)
		return resp, t.cause(caller, body.cause(t, err))
	}
	ctx, cancel := context.WithCancelCause(caller)
	late := func() { cancel(os.ErrDeadlineExceeded) }
	stop := func() { cancel(nil) }
	var timer *time.Timer // nil without a deadline
	if !o.Deadline.IsZero() {
		timer = time.AfterFunc(time.Until(o.Deadline), late)
		stop = func() { timer.Stop(); cancel(nil) }
	}

	out := req.WithContext(ctx)
	body := t.readdress(out, o)
	resp, err := t.rt.RoundTrip(out)
	if err != nil {
		err = t.cause(ctx, body.cause(t, err))
		stop()
		return nil, err
	}
	if resp.Body == http.NoBody {
		stop()
		return resp, nil
	}
	if o.Stream && timer != nil {
		timer.Stop()
	}
	timed := timedBody{ReadCloser: resp.Body, ctx: ctx, stop: stop, t: t}
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &timedConn{timed, w}
	} else {
		timed.idle, timed.late = o.Idle, late
		resp.Body = &timed
	}
	return resp, nil
}

// readdress points a copy of the caller's request to the endpoint, and watches
// its body: net/http does not tell whose failure it was that ended an upload.
func (t *stdTransport) readdress(out *http.Request, o h1.Options) *watchedBody {
	if o.Remaining != "" {
		tellRemaining(out, o)
	}
	out.URL = t.target(out.URL)
	if out.Host == "" {
		out.Host = t.host
	}
	if !h1.HasBody(out) {
		return nil
	}
	body := &watchedBody{ReadCloser: out.Body}
	out.Body = body
	return body
}

// tellRemaining says in the header how long the caller waits, as package h1 does.
func tellRemaining(out *http.Request, o h1.Options) {
	waits, bound := out.Context().Deadline()
	if !o.Stream && !o.Deadline.IsZero() && (!bound || o.Deadline.Before(waits)) {
		waits, bound = o.Deadline, true
	}
	if !bound {
		return
	}
	name := http.CanonicalHeaderKey(o.Remaining)
	if out.Header = out.Header.Clone(); out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header[name] = []string{string(h1.AppendRemaining(nil, name, time.Until(waits)))}
}

// watchedBody remembers why reading a request's body failed.
type watchedBody struct {
	io.ReadCloser
	err atomic.Pointer[error]
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.err.Store(&err)
	}
	return n, err
}

// cause says why a round trip failed: the body, if it did.
func (b *watchedBody) cause(t *stdTransport, err error) error {
	if err == nil || b == nil || b.err.Load() == nil {
		return err
	}
	return &h1.Error{Op: h1.OpBody, Addr: t.base.Host, Err: *b.err.Load()}
}

// target appends path and query of u to the endpoint's base.
func (t *stdTransport) target(u *url.URL) *url.URL {
	out := *t.base
	path, escaped := u.Path, u.EscapedPath()
	if !strings.HasPrefix(path, "/") && path != "*" {
		path, escaped = "/"+path, "/"+escaped
	}
	escaped = out.EscapedPath() + escaped
	out.Path += path
	out.RawPath = escaped // ignored by package url where it says what Path says
	out.RawQuery, out.ForceQuery = u.RawQuery, u.ForceQuery
	return &out
}

// cause says why an operation under ctx failed: the context, if that has ended.
func (t *stdTransport) cause(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &h1.Error{Op: h1.OpRead, Addr: t.base.Host, Err: context.Cause(ctx)}
}

// timedBody is a reply's body that ends with the attempt's context.
type timedBody struct {
	io.ReadCloser
	ctx  context.Context
	stop func()
	t    *stdTransport

	idle  time.Duration // how long a Read may wait; 0 is no bound
	late  func()
	timer *time.Timer // while it waits; nil before
}

// timedConn is the body of an upgraded connection.
type timedConn struct {
	timedBody
	io.Writer
}

func (b *timedBody) Read(p []byte) (int, error) {
	switch {
	case b.idle == 0:
	case b.timer == nil:
		b.timer = time.AfterFunc(b.idle, b.late)
	default:
		b.timer.Reset(b.idle)
	}
	n, err := b.ReadCloser.Read(p)
	if b.timer != nil {
		b.timer.Stop()
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		b.stop()
		return n, err
	}
	return n, b.t.cause(b.ctx, err)
}

func (b *timedBody) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	return err
}
