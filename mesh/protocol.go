package mesh

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
	"github.com/weir-run/weir/mesh/h1"
)

// The values of [Config].Protocol.
const (
	protocolAuto  = "auto"
	protocolHTTP1 = "http1"
	protocolHTTP2 = "http2"
	protocolH2C   = "h2c"
)

// Protocols returns the names that [Config].Protocol may have.
func Protocols() []string {
	return []string{protocolAuto, protocolHTTP1, protocolHTTP2, protocolH2C}
}

// What ALPN calls them.
const (
	protoHTTP1 = "http/1.1"
	protoHTTP2 = "h2"
)

// validateProtocol also holds the protocol and what is said of TLS against the
// endpoints. Those of a source of the program's own are not known.
func (c Config) validateProtocol(f *faults) {
	secure := len(c.Discovery.Sources) > 0
	for i, e := range c.Endpoints {
		scheme, _, _ := strings.Cut(e, ":")
		tls := strings.HasSuffix(scheme, "https")
		secure = secure || tls
		if scheme == "file" && discovery.Is(e) { // the file may say https itself
			secure = true
			continue
		}
		field := fmt.Sprintf("endpoints[%d]", i)
		switch {
		case c.Protocol == protocolHTTP2 && !tls:
			f.add(field, "protocol http2 is spoken over TLS, which this endpoint does not have", "write https, or protocol: h2c")
		case c.Protocol == protocolH2C && tls:
			f.add(field, "protocol h2c is spoken without TLS, which this endpoint has", "write http, or protocol: http2")
		}
	}
	switch c.Protocol {
	case "", protocolAuto, protocolHTTP1, protocolHTTP2, protocolH2C:
	default:
		f.add("protocol", fmt.Sprintf("there is no protocol %q", c.Protocol), "write "+strings.Join(Protocols(), ", "))
	}
	if t := c.TLS; !secure && (t.CA != "" || t.Cert != "" || t.ServerName != "" || t.SPIFFE != "" || t.MinVersion != "") {
		f.add("tls", "no endpoint is spoken to with TLS", "write https in endpoints, or leave out tls")
	}
}

func newTransport(base *url.URL, cfg Config) transport {
	switch {
	case cfg.Transport != nil:
		return &stdTransport{base: base, host: cfg.host, rt: cfg.Transport}
	case base.Scheme == "http" && cfg.Protocol == protocolH2C:
		return newStdTransport(base, cfg)
	case base.Scheme == "http", cfg.Protocol == protocolHTTP1:
		return newH1Transport(base, cfg)
	case cfg.Protocol == protocolHTTP2:
		return newStdTransport(base, cfg, protoHTTP2)
	}
	return newAutoTransport(base, cfg)
}

// autoTransport asks a server with TLS what it speaks, with the first connection
// that is made to it, and remembers the answer for as long as connections live:
// HTTP/1.1 takes the fast path, HTTP/2 net/http's.
type autoTransport struct {
	addr string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	h1   h1Transport
	std  *stdTransport

	speaks atomic.Int32 // unknown, speaksHTTP1, speaksHTTP2
	until  atomic.Int64 // in Unix nanoseconds; then it is asked again
	asking atomic.Bool  // again
}

const (
	unknown = iota
	speaksHTTP1
	speaksHTTP2
)

func newAutoTransport(base *url.URL, cfg Config) *autoTransport {
	t := &autoTransport{
		addr: hostPort(base),
		h1:   newH1Transport(base, cfg),
		std:  newStdTransport(base, cfg, protoHTTP2, protoHTTP1),
	}
	t.std.dials = t.h1.dials
	t.dial = cfg.dialTLS(base, t.std.dials.made, protoHTTP2, protoHTTP1)
	return t
}

// hostPort is what is dialled.
func hostPort(base *url.URL) string {
	switch {
	case base.Port() != "":
		return base.Host
	case base.Scheme == "https":
		return net.JoinHostPort(base.Hostname(), "443")
	}
	return net.JoinHostPort(base.Hostname(), "80")
}

func (t *autoTransport) roundTrip(req *http.Request, o h1.Options) (*http.Response, error) {
	speaks := t.speaks.Load()
	if speaks == unknown || time.Now().UnixNano() > t.until.Load() && !t.asking.Swap(true) {
		now, err := t.ask(req, o)
		if err != nil && speaks == unknown {
			closeBody(req)
			return nil, err
		}
		if err != nil { // what there is may still do
			t.until.Store(time.Now().Add(askAgain).UnixNano())
		} else {
			speaks = now
		}
		t.asking.Store(false)
	}
	if speaks == speaksHTTP1 {
		return t.h1.roundTrip(req, o)
	}
	return t.std.roundTrip(req, o)
}

// askAgain is how long a server that could not be asked is left alone.
const askAgain = 10 * time.Second

// ask makes a connection, leaves it to the transport for what the server chose,
// and tells which that is.
func (t *autoTransport) ask(req *http.Request, o h1.Options) (int32, error) {
	if err := h1.Validate(req); err != nil {
		return unknown, &h1.Error{Op: h1.OpRequest, Addr: t.addr, Err: err}
	}
	ctx := req.Context()
	if !o.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.Deadline)
		defer cancel()
	}
	conn, err := t.dial(ctx, "tcp", t.addr)
	if err != nil {
		if ended := req.Context().Err(); ended != nil {
			err = ended
		}
		return unknown, &h1.Error{Op: h1.OpDial, Addr: t.addr, Err: err}
	}
	speaks := int32(speaksHTTP1)
	secure := conn.(*tls.Conn)
	switch again := t.asking.Load(); {
	case secure.ConnectionState().NegotiatedProtocol != protoHTTP2:
		t.h1.client.Add(conn)
	case !again && t.speaks.Load() == speaksHTTP2: // others have one for all of us
		conn.Close()
		return speaksHTTP2, nil
	default:
		speaks = speaksHTTP2
		t.std.adopt(secure)
	}
	t.until.Store(time.Now().Add(aged()).UnixNano())
	t.speaks.Store(speaks)
	return speaks, nil
}

func (t *autoTransport) close() {
	t.h1.close()
	t.std.close()
}

func (t *autoTransport) connections() (dialed, closed int64) { return t.h1.connections() }
