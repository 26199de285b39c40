package h1

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Config bounds a client. The zero value of a field is its default.
type Config struct {
	// ConnectTimeout bounds making a connection. 0 is 1s.
	ConnectTimeout time.Duration
	// MaxIdle is how many idle connections are kept. 0 is 256.
	MaxIdle int
	// IdleTimeout is how long one is kept. It should be shorter than the
	// server's, so that it is the client that closes. 0 is 30s.
	IdleTimeout time.Duration
	// MaxAge is how old a connection may be when it is kept, give or take a
	// tenth so that those made together do not end together. It makes a client
	// follow changes of address. 0 is no limit.
	MaxAge time.Duration
	// MaxHeaderBytes bounds the header of a response, with any informational
	// ones before it, and its trailer. 0 is 64 KiB.
	MaxHeaderBytes int
	// ContinueTimeout is how long a request with Expect: 100-continue waits
	// before its body is sent all the same. 0 is 1s.
	ContinueTimeout time.Duration
	// Host is the Host header of a request that has none, in place of base's.
	Host string
	// Dial makes a connection in place of net.Dialer. Its context ends with the
	// call's deadline. If it makes a *tls.Conn, that has shaken hands.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c Config) withDefaults() Config {
	setDefault(&c.ConnectTimeout, time.Second)
	setDefault(&c.MaxIdle, 256)
	setDefault(&c.IdleTimeout, 30*time.Second)
	setDefault(&c.MaxHeaderBytes, 64<<10)
	setDefault(&c.ContinueTimeout, time.Second)
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Client is a pool of connections to one server. It implements
// http.RoundTripper and is safe for concurrent use.
type Client struct {
	cfg  Config
	addr string // to dial
	host string // Host header of a request that has none
	base string // escaped path put before the request's
	pool pool

	dialed atomic.Int64
	closed atomic.Int64
}

// Options are the parts of a call that are not in the request.
type Options struct {
	// Start is when the call begins, for a caller that has just looked at the
	// clock; zero is now.
	Start time.Time
	// Deadline is when the call times out, beside the context's own deadline;
	// zero is never. It is kept apart so that no context has to be made for it,
	// and so that the error tells which of the two passed.
	Deadline time.Time
	// Stream ends the effect of Deadline when the response's header has come.
	Stream bool
	// Idle bounds each wait for more of the body of a streamed response; 0 is no
	// bound. What is switched to another protocol has none.
	Idle time.Duration
	// Remaining names a header field in which the server is told how long the
	// caller still waits; empty is none. See [AppendRemaining].
	Remaining string
	// Fields becomes the header of the response, so that none has to be made for
	// it. What is in it is lost. It may be nil.
	Fields http.Header
	// Interim, if set, is told of each response that comes before the one that
	// counts (RFC 9110 section 15.2), such as 103 (Early Hints), on the goroutine of
	// the call; but not of 100 and 101, which are the client's own matter. The header
	// is not to be kept. More than [MaxInterim] of them, told of or not, are an error.
	Interim func(status int, header http.Header)
	// Prompt says that reading the request's body does not wait for longer than
	// the call may take, so that the caller's goroutine can do it if the body is
	// small. It is a matter of cost alone, and implied by GetBody.
	Prompt bool
}

// New makes a client of the server at base, "http://host:port/path", without
// dialing. With https, Dial has to be one that speaks TLS.
func New(base *url.URL, cfg Config) *Client {
	c := &Client{
		cfg:  cfg.withDefaults(),
		addr: base.Host,
		host: orDefault(cfg.Host, base.Host),
		base: strings.TrimRight(base.EscapedPath(), "/"),
	}
	if base.Port() == "" {
		port := "80"
		if base.Scheme == "https" {
			port = "443"
		}
		c.addr = net.JoinHostPort(base.Hostname(), port)
	}
	c.pool = pool{max: c.cfg.MaxIdle, timeout: c.cfg.IdleTimeout}
	return c
}

// RoundTrip is [Client.Do] without options.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	return c.Do(req, Options{})
}

// Do sends req to the server, whatever its URL's scheme and host, and returns
// the response when its header has come. As for any http.RoundTripper, req is
// not modified, its body is closed in all cases though perhaps later, and the
// caller closes the response's body; reading that body to its end, or closing it
// near the end, lets the connection be used again. The error is an [*Error].
//
// A body of known length up to 64 KiB is read as a whole before anything is
// sent. A larger one, or one of unknown length, is sent as it is read.
//
// The body of a response with status 101 is an io.ReadWriteCloser to which
// neither the context nor the deadline applies.
func (c *Client) Do(req *http.Request, o Options) (*http.Response, error) {
	if err := Validate(req); err != nil {
		closeBody(req)
		return nil, &Error{Op: OpRequest, Addr: c.addr, Err: err}
	}
	x := &exchange{client: c, req: req, ctx: req.Context(), framing: frame(req, o.Prompt), remaining: o.Remaining, start: o.Start, fields: o.Fields, interim: o.Interim}
	if x.start.IsZero() {
		x.start = time.Now()
	}
	x.late, _ = x.ctx.(LateWatcher)
	if x.framing.body {
		x.payload = req.Body
	}
	x.setDeadline(o)
	x.waits = x.deadline
	if o.Stream {
		x.waits, _ = x.ctx.Deadline() // a stream outlives the deadline of its header
	}
	resp, err := x.do(o)
	if err != nil && x.payload != nil {
		x.payload.Close()
	}
	return resp, err
}

// do uses an idle connection if there is one. Should that turn out to have been
// closed, it uses a new one: the next idle one is likely to be as stale.
func (x *exchange) do(o Options) (*http.Response, error) {
	c := x.client
	if err := x.ended(); err != nil {
		return nil, &Error{Op: OpDial, Addr: c.addr, Err: err}
	}
	for {
		cn := c.idle(x)
		if cn == nil {
			break
		}
		resp, err := x.run(cn, o)
		stale := err == errStale
		if err == nil || !stale && !x.maySendAgain(err) {
			return resp, err
		}
		if err := x.rewind(); err != nil {
			return nil, err
		}
		if !stale {
			break
		}
	}
	cn, err := c.dial(x)
	if err != nil {
		return nil, err
	}
	return x.run(cn, o)
}

// ended is why the call need not begin, or nil.
func (x *exchange) ended() error {
	if x.late != nil {
		return x.late.ErrAt(x.start)
	}
	return x.ctx.Err()
}

// idle takes a connection from the pool that the server has not closed, with the
// call's deadline set; nil if there is none. One that is asked in one go finds
// out by itself.
func (c *Client) idle(x *exchange) *conn {
	for {
		cn := c.pool.take()
		if cn == nil {
			return nil
		}
		x.begin(cn)
		if x.inOneGo(cn) || cn.quiet() {
			return cn
		}
		cn.close()
	}
}

func (c *Client) dial(x *exchange) (*conn, error) {
	dial, ctx := c.cfg.Dial, x.ctx
	if dial == nil {
		d := net.Dialer{Timeout: c.cfg.ConnectTimeout, Deadline: x.deadline}
		dial = d.DialContext
	} else if !x.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, x.deadline)
		defer cancel()
	}
	nc, err := dial(ctx, "tcp", c.addr)
	if err != nil {
		if x.byContext && !time.Now().Before(x.deadline) {
			err = context.DeadlineExceeded
		}
		if ended := x.ctx.Err(); ended != nil {
			err = ended
		}
		return nil, &Error{Op: OpDial, Addr: c.addr, Err: err}
	}
	c.dialed.Add(1)
	cn := newConn(c, nc)
	x.begin(cn)
	return cn, nil
}

// Add gives the client a connection that was made to its server and has not
// been used; a call that is made next will.
func (c *Client) Add(nc net.Conn) {
	c.dialed.Add(1)
	c.pool.put(newConn(c, nc), time.Now())
}

// Close closes idle connections now and those in use when their calls end. Calls
// may still be made; their connections are then not kept.
func (c *Client) Close() { c.pool.close() }

// Stats returns how many connections were made and how many closed since New.
func (c *Client) Stats() (dialed, closed int64) {
	closed = c.closed.Load() // first, so that it is never the greater
	return c.dialed.Load(), closed
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
