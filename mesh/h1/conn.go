package h1

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	readBuffer = 4 << 10
	// keepBuffer is the largest buffer that an idle connection holds on to. A
	// connection that gets responses longer than readBuffer has one: what is
	// read with one system call is mostly written with one, too.
	keepBuffer = 16 << 10
)

// conn is one connection. It belongs to one exchange at a time, or to the pool.
type conn struct {
	client *Client
	nc     net.Conn
	below  net.Conn             // what nc is made of, if that is TLS; else nc
	tls    *tls.ConnectionState // nil without TLS
	fresh  bool                 // it has carried no request
	in     []byte               // read but not consumed: in[pos:end]
	pos    int
	end    int
	out    []byte // the request's header and small body
	short  bool   // a response did not fit into in

	deadline  time.Time     // as it was last set; zero is none
	idle      time.Duration // how long a read may wait; 0 is no bound of its own
	bound     time.Time     // what bounds reads beside idle; zero is none
	unsettled *exchange     // whose deadline and context do not apply yet; else nil
	expires   time.Time     // not to be kept after this; zero is never
	since     time.Time     // when it became idle

	raw    syscall.RawConn // nil where there is none
	probe  func(fd uintptr) bool
	silent bool    // what probe found
	ask    *asking // nil where a request cannot be sent in one go

	abort     func()      // fails reads and writes under way, and all to come
	aborted   atomic.Bool // abort was called
	upload    chan error  // the result of the goroutine that writes the body
	finishing atomic.Bool // which is about to report
}

func newConn(c *Client, nc net.Conn) *conn {
	cn := &conn{client: c, nc: nc, below: nc, fresh: true, in: make([]byte, readBuffer)}
	if secure, ok := nc.(*tls.Conn); ok {
		state := secure.ConnectionState()
		cn.below, cn.tls = secure.NetConn(), &state
	}
	cn.abort = func() {
		cn.aborted.Store(true)
		nc.SetDeadline(longAgo)
	}
	if c.cfg.MaxAge > 0 {
		tenth := c.cfg.MaxAge / 10
		cn.expires = time.Now().Add(c.cfg.MaxAge - tenth + rand.N(2*tenth+1))
	}
	cn.initProbe()
	cn.initAsking()
	return cn
}

var longAgo = time.Unix(1, 0)

// setDeadline may be called while another goroutine calls abort.
func (cn *conn) setDeadline(t time.Time) {
	if t.IsZero() && cn.deadline.IsZero() {
		return
	}
	cn.nc.SetDeadline(t) // fails only on a closed connection, as the next read does
	cn.deadline = t
	if cn.aborted.Load() {
		cn.nc.SetDeadline(longAgo) // abort came before: it has the last word
	}
}

// quiet reports whether an idle connection can carry another request: the server
// has neither closed it nor sent anything. Bytes that nobody asked for would be
// taken for the next response, so they are as bad as an end. Over TLS they may
// be a session ticket: those come behind the handshake, before a first response.
func (cn *conn) quiet() bool {
	if cn.raw == nil || cn.fresh {
		return true
	}
	cn.silent = false
	return cn.raw.Read(cn.probe) == nil && cn.silent
}

func (cn *conn) buffered() int { return cn.end - cn.pos }

// fill reads once into the buffer, which it makes larger up to limit if it is full.
func (cn *conn) fill(limit int) (int, error) {
	if cn.pos == cn.end {
		cn.pos, cn.end = 0, 0
	}
	if cn.end == len(cn.in) {
		if cn.pos > 0 {
			cn.end = copy(cn.in, cn.in[cn.pos:cn.end])
			cn.pos = 0
		} else if len(cn.in) < limit {
			grown := make([]byte, min(2*len(cn.in), limit))
			copy(grown, cn.in)
			cn.in = grown
		} else {
			return 0, errHeaderTooLarge
		}
	}
	n, err := cn.receive(cn.in[cn.end:])
	cn.end += n
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// settle gives the connection the deadline of its exchange, and watches the
// context, if an operation failed with err because that had been put off.
func (cn *conn) settle(err error) bool {
	x := cn.unsettled
	if x == nil || !isTimeout(err) {
		return false
	}
	cn.unsettled = nil
	if cn.aborted.Load() {
		return false
	}
	x.stop = AfterCancel(x.ctx, cn.abort)
	cn.setDeadline(x.deadline)
	return true
}

// receive reads once from the network.
func (cn *conn) receive(p []byte) (int, error) {
	cn.arm()
	n, err := cn.nc.Read(p)
	if n == 0 && cn.settle(err) {
		cn.arm()
		n, err = cn.nc.Read(p)
	}
	return n, err
}

// arm bounds the next read where it is bound by itself.
func (cn *conn) arm() {
	if cn.idle > 0 && cn.unsettled == nil {
		cn.setDeadline(earlier(cn.bound, time.Now().Add(cn.idle)))
	}
}

// send writes all of p.
func (cn *conn) send(p []byte) (int, error) {
	n, err := cn.nc.Write(p)
	if n < len(p) && cn.settle(err) {
		var more int
		more, err = cn.nc.Write(p[n:])
		n += more
	}
	return n, err
}

// refusal is why the server broke off a new connection with TLS, if it said so,
// or else err, which a write returned. With TLS 1.3 it may refuse the client's
// certificate when that has begun to write already.
func (cn *conn) refusal(err error) error {
	if cn.tls == nil || !cn.fresh || isTimeout(err) {
		return err
	}
	const moment = 50 * time.Millisecond
	cn.nc.SetReadDeadline(time.Now().Add(moment))
	var alert *net.OpError
	if _, why := cn.nc.Read(make([]byte, 1)); errors.As(why, &alert) && alert.Op == "remote error" {
		return why
	}
	return err
}

// release gives the connection back after an exchange that ended cleanly.
func (cn *conn) release(now time.Time) {
	if cn.buffered() > 0 {
		cn.close() // the server sent more than its response
		return
	}
	switch {
	case len(cn.in) > keepBuffer:
		cn.in = make([]byte, keepBuffer)
	case cn.short && len(cn.in) < keepBuffer:
		cn.in, cn.pos, cn.end = make([]byte, keepBuffer), 0, 0
	}
	cn.short = false
	if cap(cn.out) > keepBuffer {
		cn.out = nil
	}
	cn.client.pool.put(cn, now)
}

// close closes the connection. It is called once, by whoever owns it.
func (cn *conn) close() {
	cn.client.closed.Add(1)
	cn.nc.Close()
}

// drop is close after an exchange that failed. TLS does not say goodbye: that is
// a write of up to 5s to a server that may not read any more.
func (cn *conn) drop() {
	cn.client.closed.Add(1)
	cn.below.Close()
}
