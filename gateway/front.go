package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/gateway/acme"
	"github.com/weir-run/weir/gateway/h1"
)

// front is a listener's ways with connections under one configuration: those
// that come while it is in place keep it until they end.
type front struct {
	config   ListenerConfig
	identity *identity // nil: no TLS
	http1    *h1.Server
	http2    *http.Server // nil: there is none
	feed     *feed        // of http2
	http3    http3Server  // nil: there is none
	open     atomic.Int64 // connections
	census   *census
	preparing
	*listenerMetrics
}

// newFront reads the files of the configuration. It serves nothing yet.
func newFront(l *Listener, c ListenerConfig) (*front, error) {
	f := &front{config: c, feed: newFeed(l.Addr()), census: &l.census, listenerMetrics: l.metrics.ofListener(c.Name)}
	if c.TLS != nil {
		id, err := newIdentity(*c.TLS, l.issuer, l.log)
		if err != nil {
			return nil, err
		}
		f.identity = id
	}
	f.http1 = &h1.Server{
		Handler:           http.HandlerFunc(l.serve),
		BaseContext:       l.base,
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		ReadTimeout:       c.ReadTimeout,
		WriteTimeout:      c.WriteTimeout,
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    c.MaxHeaderBytes,
		MaxFields:         c.MaxFields,
		Refusal:           refusal,
		Malformed:         func(fault *h1.Fault) { f.count(f.malformed, fault.Reason) },
		Log:               l.log,
	}
	var protocols http.Protocols
	protocols.SetHTTP2(c.TLS != nil && !c.TLS.HTTP1)
	protocols.SetUnencryptedHTTP2(c.H2C)
	if protocols != (http.Protocols{}) {
		f.http2 = f.newHTTP2(l, &protocols)
	}
	if c.TLS != nil && c.TLS.HTTP3 {
		var err error
		if f.http3, err = newHTTP3(l, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *front) newHTTP2(l *Listener, protocols *http.Protocols) *http.Server {
	c := &f.config
	return &http.Server{
		Handler:                      http.HandlerFunc(l.serve),
		DisableGeneralOptionsHandler: true, // OPTIONS * is refused like every other *
		ReadTimeout:                  c.ReadTimeout,
		WriteTimeout:                 c.WriteTimeout,
		IdleTimeout:                  c.IdleTimeout,
		MaxHeaderBytes:               c.MaxHeaderBytes,
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: c.MaxStreams},
		BaseContext:                  func(net.Listener) context.Context { return l.base },
		ConnContext:                  withConn,
		ErrorLog:                     slog.NewLogLogger(l.log.Handler(), slog.LevelDebug), // clients' faults
	}
}

// http3Server serves the connections of a front that come by UDP. Not every build
// has one.
type http3Server interface {
	// serve takes connections until stop.
	serve(*slog.Logger)
	stop()
	// shutdown follows stop. It waits for requests in progress, or until ctx is done.
	shutdown(ctx context.Context) error
	// close cuts off what is left.
	close()
}

// udpPort is the socket that they come by.
type udpPort interface {
	// lead gives those that come from now on to a server, or to none.
	lead(http3Server)
	// release is for when there are none left.
	release()
}

// refusal is what is said of a request that is none.
func refusal(fault *h1.Fault) (http.Header, []byte) {
	p := problemOf(fault)
	return http.Header{"Content-Type": contentTypeProblem, "Cache-Control": cacheControlNoStore, "X-Content-Type-Options": noSniff}, p.render()
}

// serve takes what comes over HTTP/2 and HTTP/3.
func (f *front) serve(log *slog.Logger) {
	if f.http3 != nil {
		go f.http3.serve(log)
	}
	if f.http2 == nil {
		return
	}
	err := f.http2.Serve(f.feed)
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("listener failed", "address", f.feed.Addr().String(), "error", err)
	}
}

// take makes what the server serves of a connection, without holding up the
// caller: a handshake takes as long as the client likes, up to the time for a
// header.
func (f *front) take(c *conn) {
	f.connections.Inc()
	if c.front = f; !f.census.enter(&c.counted, f.config.MaxConnections) {
		f.count(f.rejected, "connections")
		_ = c.Close()
		return
	}
	if f.identity == nil && !f.config.ProxyProtocol && !f.config.H2C {
		if f.place(c) {
			go f.http1.Serve(c)
		}
		return
	}
	if !f.begin(c) {
		_ = c.Close()
		return
	}
	go func() {
		ready, http2, err := f.prepare(c)
		f.end(c)
		switch {
		case err != nil:
			_ = c.Close()
		case http2:
			f.feed.give(ready)
		default:
			f.http1.Serve(ready)
		}
	}()
}

// leave is for a connection that has closed.
func (f *front) leave(who *counted) {
	f.connections.Dec()
	f.census.leave(who)
	f.open.Add(-1)
}

// place refuses a connection from where there are many.
func (f *front) place(c *conn) bool {
	if f.census.place(&c.counted, neighbourhood(c.RemoteAddr()), f.config.MaxPerAddress) {
		return true
	}
	f.count(f.rejected, "address")
	_ = c.Close()
	return false
}

var errManyConnections = errors.New("there are as many connections from there as there may be")

// prepare learns where a connection comes from, shakes hands, and finds out which
// protocol it is for.
func (f *front) prepare(c *conn) (ready net.Conn, http2 bool, err error) {
	if d := f.config.ReadHeaderTimeout; d > 0 {
		_ = c.SetDeadline(time.Now().Add(d)) // a connection that cannot is one of tests
	}
	if f.config.ProxyProtocol && f.config.Proxies.trusts(addressOf(c.RemoteAddr())) {
		if err := c.readProxy(); err != nil {
			f.count(f.rejected, "proxy-protocol")
			return nil, false, err
		}
	}
	if !f.place(c) {
		return nil, false, errManyConnections
	}
	if f.identity == nil {
		if f.config.H2C {
			http2, err = c.beginsHTTP2()
		}
		_ = c.SetDeadline(time.Time{})
		return c, http2, err
	}
	shaken := tls.Server(c, f.identity.current())
	if err := shaken.Handshake(); err != nil {
		f.count(f.rejected, "handshake")
		if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader) {
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis is the port of HTTPS.\n")
		}
		return nil, false, err
	}
	_ = c.SetDeadline(time.Time{})
	switch shaken.ConnectionState().NegotiatedProtocol {
	case "h2":
		return shaken, true, nil
	case acme.Protocol:
		return nil, false, errProved
	}
	return shaken, false, nil
}

var errProved = errors.New("an authority has seen whose domain it is, and wants nothing else")

// looksLikeHTTP is what a client sends that does not know of TLS.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
		return true
	}
	return false
}

// shutdown waits for requests in progress, or until ctx is done.
func (f *front) shutdown(ctx context.Context) error {
	var others [2]error
	var wg sync.WaitGroup
	if f.http2 != nil {
		wg.Go(func() { others[0] = f.http2.Shutdown(ctx) })
	}
	if f.http3 != nil {
		wg.Go(func() { others[1] = f.http3.shutdown(ctx) })
	}
	err := f.http1.Shutdown(ctx)
	wg.Wait()
	return errors.Join(err, others[0], others[1])
}

// close cuts off what is left.
func (f *front) close() {
	_ = f.http1.Close() // what a connection says on being closed is nobody's concern
	if f.http2 != nil {
		_ = f.http2.Close()
	}
	if f.http3 != nil {
		f.http3.close()
	}
}

// stop ends accepting: nothing that is being prepared is served any more.
func (f *front) stop() {
	f.feed.Close()
	if f.http3 != nil {
		f.http3.stop()
	}
	f.abandon()
}

// preparing are the connections on their way to the server.
type preparing struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	over  bool
}

func (p *preparing) begin(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	if p.conns == nil {
		p.conns = map[net.Conn]struct{}{}
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *preparing) end(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *preparing) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// feed is the net.Listener that a server takes prepared connections from.
type feed struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newFeed(addr net.Addr) *feed {
	return &feed{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (f *feed) give(c net.Conn) {
	select {
	case f.conns <- c:
	case <-f.done:
		_ = c.Close()
	}
}

// Accept is what net.Listener asks for.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// Close is what net.Listener asks for.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// Addr is what net.Listener asks for.
func (f *feed) Addr() net.Addr { return f.addr }
