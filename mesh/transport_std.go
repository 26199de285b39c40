package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// stdTransport carries attempts over an http.RoundTripper: net/http's Transport
// for HTTP/2, or the one of [Config].Transport.
type stdTransport struct {
	base  *url.URL
	host  string // the Host header of a request that has none, in place of base's
	rt    http.RoundTripper
	make  func(*era) *http.Transport // if rt is nil
	spare atomic.Pointer[spareConn]  // the next connection, if it has been made already

	now    atomic.Pointer[era]
	ending sync.Mutex // of now; held by who replaces it
	closed atomic.Bool

	dials *connCount
}

// era is a transport while it is young. net/http's connections of HTTP/2 live
// for as long as they are used; here all of one era end with it, which is when
// the last call that was made in it does, and later calls make their own.
type era struct {
	std   *stdTransport
	tr    *http.Transport
	until time.Time
	calls atomic.Int64 // under way, those whose reply is being read included
	over  atomic.Bool

	mu    sync.Mutex
	conns map[*countedConn]struct{}
}

// spareConn is a connection that was made to find out what a server speaks.
type spareConn struct {
	conn net.Conn
	at   *era
}

// newStdTransport tunes a http.Transport for one endpoint. Proxy settings of the
// environment do not apply: an endpoint is where it says it is. Compression is
// left to the caller, who may want the bytes as they are. With h2c there is no
// TLS; over TLS, protos are offered.
func newStdTransport(base *url.URL, cfg Config, protos ...string) *stdTransport {
	t := &stdTransport{base: base, host: cfg.host, dials: new(connCount)}
	t.make = func(e *era) *http.Transport {
		plain := cfg.dialInTime()
		if plain == nil {
			plain = (&net.Dialer{Timeout: cfg.ConnectTimeout}).DialContext
		}
		secure := cfg.dialTLS(base, e.made, protos...)
		tr := &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := plain(ctx, network, addr)
				if err != nil {
					return nil, &h1.Error{Op: h1.OpDial, Addr: addr, Err: err}
				}
				return e.made(conn), nil
			},
			DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if made := t.spare.Swap(nil); made != nil {
					if made.at == e {
						return made.conn, nil
					}
					made.conn.Close()
				}
				conn, err := secure(ctx, network, addr)
				if err != nil {
					return nil, &h1.Error{Op: h1.OpDial, Addr: addr, Err: err}
				}
				return conn, nil
			},
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
			// after a quarter of an hour (golang.org/issue/30702), and a peer that
			// takes no bytes holds up all streams of its connection.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second, WriteByteTimeout: 10 * time.Second},
		}
		if cfg.Protocol == protocolH2C {
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetUnencryptedHTTP2(true)
		}
		return tr
	}
	return t
}

// begin counts a call into the era that it is made in.
func (t *stdTransport) begin() *era {
	for {
		e := t.now.Load()
		if e == nil || e.over.Load() || time.Now().After(e.until) {
			if t.closed.Load() { // one for this call alone
				e = t.newEra()
				e.over.Store(true)
				e.calls.Add(1)
				return e
			}
			e = t.renew(e)
		}
		e.calls.Add(1)
		if !e.over.Load() {
			return e
		}
		e.leave()
	}
}

// renew ends the era old, unless someone else has, and returns the one after it.
func (t *stdTransport) renew(old *era) *era {
	t.ending.Lock()
	defer t.ending.Unlock()
	if e := t.now.Load(); e != old || t.closed.Load() && e != nil {
		return e
	}
	next := t.newEra()
	if t.closed.Load() {
		next.over.Store(true)
	}
	t.now.Store(next)
	old.end()
	return next
}

func (t *stdTransport) newEra() *era {
	e := &era{std: t, until: time.Now().Add(aged()), conns: map[*countedConn]struct{}{}}
	e.tr = t.make(e)
	return e
}

// adopt begins an era with a connection that has been made for it.
func (t *stdTransport) adopt(conn *tls.Conn) {
	e := t.renew(t.now.Load())
	e.track(conn.NetConn().(*countedConn))
	if unused := t.spare.Swap(&spareConn{conn, e}); unused != nil {
		unused.conn.Close()
	}
}

// end lets the era's connections go when no call needs them any more.
func (e *era) end() {
	if e == nil {
		return
	}
	e.over.Store(true)
	if e.calls.Load() == 0 {
		e.closeConns()
	}
}

func (e *era) leave() {
	if e.calls.Add(-1) == 0 && e.over.Load() {
		e.closeConns()
	}
}

// closeConns closes also what net/http believes to be in use: a stream whose
// reply has been read ends a moment later.
func (e *era) closeConns() {
	e.tr.CloseIdleConnections()
	e.mu.Lock()
	left := e.conns
	e.conns = map[*countedConn]struct{}{}
	e.mu.Unlock()
	for c := range left {
		c.Close()
	}
}

func (e *era) made(conn net.Conn) net.Conn {
	c := e.std.dials.count(conn)
	e.track(c)
	return c
}

func (e *era) track(c *countedConn) {
	c.era = e
	e.mu.Lock()
	e.conns[c] = struct{}{}
	e.mu.Unlock()
}

func (e *era) forget(c *countedConn) {
	e.mu.Lock()
	delete(e.conns, c)
	e.mu.Unlock()
}

func (t *stdTransport) close() {
	t.ending.Lock()
	t.closed.Store(true)
	e := t.now.Load()
	t.ending.Unlock()
	e.end()
	if unused := t.spare.Swap(nil); unused != nil {
		unused.conn.Close()
	}
}

func (t *stdTransport) connections() (dialed, closed int64) {
	if t.dials == nil {
		return 0, 0
	}
	return t.dials.read()
}

// roundTrip sends a copy of the request that has the endpoint's address, and a
// context that ends at the deadline.
func (t *stdTransport) roundTrip(req *http.Request, o h1.Options) (*http.Response, error) {
	if err := h1.Validate(req); err != nil {
		closeBody(req)
		return nil, &h1.Error{Op: h1.OpRequest, Addr: t.base.Host, Err: err}
	}
	caller, rt, leave := req.Context(), t.rt, func() {}
	if rt == nil {
		e := t.begin()
		rt, leave = e.tr, e.leave
	}
	if !o.Stream {
		o.Idle = 0
	}
	if o.Deadline.IsZero() && o.Idle == 0 && o.Interim == nil {
		out := new(http.Request)
		*out = *req
		body := t.readdress(out, o)
		resp, err := rt.RoundTrip(out)
		if err != nil || resp.Body == http.NoBody {
			leave()
			return resp, t.cause(caller, body.cause(t, err))
		}
		if t.rt == nil {
			resp.Body = t.timed(resp.Body, caller, leave)
		}
		return resp, nil
	}
	ctx, cancel := context.WithCancelCause(caller)
	late := func() { cancel(os.ErrDeadlineExceeded) }
	var timer *time.Timer // nil without a deadline
	if !o.Deadline.IsZero() {
		timer = time.AfterFunc(time.Until(o.Deadline), late)
	}
	stop := func() {
		if timer != nil {
			timer.Stop()
		}
		cancel(nil)
		leave()
	}

	heard := hear(o.Interim)
	out := req.WithContext(heard.within(ctx))
	body := t.readdress(out, o)
	resp, err := rt.RoundTrip(out)
	heard.end()
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
	resp.Body = t.timed(resp.Body, ctx, stop)
	if b, ok := resp.Body.(*timedBody); ok {
		b.idle, b.late = o.Idle, late
	}
	return resp, nil
}

func (t *stdTransport) timed(body io.ReadCloser, ctx context.Context, stop func()) io.ReadCloser {
	timed := &timedBody{ReadCloser: body, ctx: ctx, stop: stop, t: t}
	if w, ok := body.(io.Writer); ok {
		return &timedConn{timed, w}
	}
	return timed
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
	err    atomic.Pointer[error]
	closed atomic.Bool // what fails then fails because of it
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() {
		b.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
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
	return &h1.Error{Op: h1.OpRead, Addr: t.base.Host, Err: whyEnded(ctx)}
}

// whyEnded is why a context has ended, in an error that says whether it was cancelled
// or its time was up: a cause that its caller chose may say neither, and would be
// taken for a failure of the endpoint.
func whyEnded(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ctx.Err()) || errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, os.ErrDeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}

// timedBody is a reply's body that ends with the attempt's context.
type timedBody struct {
	io.ReadCloser
	ctx   context.Context
	stop  func()
	ended atomic.Bool // stop has been called
	t     *stdTransport

	idle  time.Duration // how long a Read may wait; 0 is no bound
	late  func()
	timer *time.Timer // while it waits; nil before
}

// timedConn is the body of an upgraded connection.
type timedConn struct {
	*timedBody
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
		b.end()
		return n, err
	}
	return n, b.t.cause(b.ctx, err)
}

func (b *timedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (b *timedBody) end() {
	if !b.ended.Swap(true) {
		b.stop()
	}
}
