//go:build http3

package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// ports are the sockets of UDP that a server has open.
type ports struct {
	mu   sync.Mutex
	open map[string]*port
}

// port is a socket of UDP. Connections of QUIC have none of their own, so that it
// stays open until the last of them ends, and listeners that follow each other on
// an address share it.
type port struct {
	of        *ports
	address   string
	holders   int // guarded by of.mu
	socket    net.PacketConn
	transport *quic.Transport
	listener  *quic.Listener
	to        atomic.Pointer[overQUIC] // nil: connections are refused
	shaking   atomic.Int64             // handshakes under way
}

// hold opens the socket that belongs to a listener's address. The caller has to
// release it.
func (s *ports) hold(at net.Addr, log *slog.Logger) (udpPort, error) {
	address := at.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.open[address]; p != nil {
		p.holders++
		return p, nil
	}
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, fmt.Errorf("http3: %w", listenError("udp "+address, err))
	}
	p := &port{of: s, address: address, holders: 1, socket: socket}
	p.transport = &quic.Transport{Conn: socket, VerifySourceAddress: p.doubts, ConnContext: p.admit}
	p.listener, err = p.transport.Listen(&tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{http3.NextProtoH3},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return hello.Context().Value(quicConnKey{}).(*quicConn).server.config(), nil
		},
	}, &quic.Config{GetConfigForClient: p.config})
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("http3: listen on udp %s: %w", address, err)
	}
	if s.open == nil {
		s.open = map[string]*port{}
	}
	s.open[address] = p
	go p.accept(log)
	return p, nil
}

func (p *port) release() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.holders--; p.holders > 0 {
		return
	}
	delete(p.of.open, p.address)
	_ = p.listener.Close() // nobody is served any more, whatever they say
	_ = p.transport.Close()
	_ = p.socket.Close()
}

// lead gives the connections that come from now on to s; nil refuses them.
func (p *port) lead(s http3Server) {
	to, _ := s.(*overQUIC)
	p.to.Store(to)
}

// fewHandshakes are as many as may be under way while nobody has to prove an
// address.
const fewHandshakes = 100

// doubts asks a client to show that it gets what is sent to its address, which
// takes a round trip: where places are counted, or many are on their way in, others
// could be kept out by making addresses up (RFC 9000, section 8.1).
func (p *port) doubts(net.Addr) bool {
	to := p.to.Load()
	if to == nil {
		return false
	}
	c := &to.front.config
	return c.MaxConnections > 0 || c.MaxPerAddress > 0 || p.shaking.Load() >= fewHandshakes
}

var errNobodyServes = errors.New("HTTP/3 is not served here")

// What a client may send ahead of being read: of a body, and of all that a
// connection has under way.
const (
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

func (p *port) config(*quic.ClientInfo) (*quic.Config, error) {
	to := p.to.Load()
	if to == nil {
		return nil, errNobodyServes
	}
	const unbounded = 1 << 60
	c := &to.front.config
	cfg := &quic.Config{
		HandshakeIdleTimeout:       c.ReadHeaderTimeout / 2, // the whole may take twice as long
		MaxIdleTimeout:             c.IdleTimeout,
		MaxIncomingStreams:         int64(c.MaxStreams),
		MaxStreamReceiveWindow:     streamWindow,
		MaxConnectionReceiveWindow: connectionWindow,
	}
	if c.ReadHeaderTimeout < 0 {
		cfg.HandshakeIdleTimeout = 24 * time.Hour
	}
	if c.IdleTimeout < 0 {
		cfg.MaxIdleTimeout = 24 * time.Hour
	}
	if c.MaxStreams < 0 {
		cfg.MaxIncomingStreams = unbounded
	}
	return cfg, nil
}

// admit counts a connection before its handshake. ctx ends with the connection,
// however that ends.
func (p *port) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	var s *overQUIC
	for {
		if s = p.to.Load(); s == nil {
			return nil, errNobodyServes
		}
		s.front.open.Add(1) // from here on it stays
		if p.to.Load() == s {
			break
		}
		s.front.open.Add(-1) // another has taken its place, and may not have seen this one
	}
	f, c := s.front, &quicConn{server: s, port: p}
	f.connections.Inc()
	if !f.census.enter(&c.counted, f.config.MaxConnections) {
		f.count(f.rejected, "connections")
		f.leave(&c.counted)
		return nil, errManyConnections
	}
	if !f.census.place(&c.counted, neighbourhood(info.RemoteAddr), f.config.MaxPerAddress) {
		f.count(f.rejected, "address")
		f.leave(&c.counted)
		return nil, errManyConnections
	}
	p.shaking.Add(1)
	context.AfterFunc(ctx, c.gone)
	return context.WithValue(ctx, quicConnKey{}, c), nil
}

// accept gives connections that have shaken hands to those who serve them, until
// the port is released.
func (p *port) accept(log *slog.Logger) {
	for {
		raw, err := p.listener.Accept(context.Background())
		if err != nil {
			if !errors.Is(err, quic.ErrServerClosed) && !errors.Is(err, quic.ErrTransportClosed) {
				log.Error("HTTP/3 is not served any more", "address", "udp "+p.address, "error", err)
			}
			return
		}
		c := raw.Context().Value(quicConnKey{}).(*quicConn)
		if !c.shaken(raw) {
			_ = raw.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
			continue
		}
		select {
		case c.server.conns <- raw:
		case <-c.server.done:
			c.close(http3.ErrCodeNoError)
		case <-raw.Context().Done():
		}
	}
}

type quicConnKey struct{}

// quicConn is a connection from its first packet on.
type quicConn struct {
	server *overQUIC
	port   *port
	counted
	resets resets
	made   atomic.Bool // the handshake is over, one way or the other
	ended  bool        // guarded by server.mu

	mu      sync.Mutex
	conn    *quic.Conn              // nil: in its handshake
	cut     context.CancelCauseFunc // of requests; nil: there can be none
	running int                     // requests
	timer   *time.Timer
}

// shaken is called after the handshake. It is false if the connection has ended.
func (c *quicConn) shaken(raw *quic.Conn) bool {
	if !c.made.CompareAndSwap(false, true) {
		return false
	}
	c.port.shaking.Add(-1)
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended {
		return false
	}
	s.open[c] = struct{}{}
	c.mu.Lock()
	c.conn = raw
	c.mu.Unlock()
	c.rest()
	return true
}

// gone is called when the connection has ended.
func (c *quicConn) gone() {
	f := c.server.front
	if c.made.CompareAndSwap(false, true) {
		c.port.shaking.Add(-1)
		f.count(f.rejected, "handshake")
	}
	f.leave(&c.counted)
	c.server.mu.Lock()
	delete(c.server.open, c)
	c.ended = true
	c.server.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
}

// rested is called when a request has been answered.
func (c *quicConn) rested() {
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	c.rest()
}

// flushTime is how long the end of an answer may take to arrive when its connection
// is closed after it: net/http gives HTTP/2 as much.
const flushTime = time.Second

// rest has a connection without requests closed, when it has been so for long
// enough. Packets that clients send to keep it open, and streams that do not get as
// far as a request, change nothing.
func (c *quicConn) rest() {
	after := c.server.front.config.IdleTimeout
	select {
	case <-c.server.ending:
		after = flushTime
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.running > 0 || after <= 0 || c.conn == nil:
	case c.timer == nil:
		c.timer = time.AfterFunc(after, c.idle)
	default:
		c.timer.Reset(after)
	}
}

func (c *quicConn) idle() {
	if !c.busy() {
		c.close(http3.ErrCodeNoError)
	}
}

func (c *quicConn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running > 0
}

// interrupt ends requests under way.
func (c *quicConn) interrupt(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut != nil {
		c.cut(cause)
	}
}

func (c *quicConn) close(code http3.ErrCode) {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(code), "")
	}
}
