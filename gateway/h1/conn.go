package h1

import (
	"context"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// conn serves the requests of one connection, one after the other.
type conn struct {
	line
	server   *Server
	ctx      context.Context
	template http.Request // what all requests have in common
	since    time.Time
	state    atomic.Int32
	served   bool // a request, at least
	head     head
	out      []byte  // of the answer at hand
	one      [1]byte // the first byte after a long time
	exchange *exchange
}

// What a connection is doing. It only ever goes from one of the first three to
// another while it is served, and is closed by those who find it in one of the
// first two.
const (
	isNew int32 = iota
	isIdle
	isActive
	isGone // closed, or another's
)

const (
	// idleLong is after how much time a connection gives its buffer back.
	idleLong = 5 * time.Second
	// drainTime is how long is waited, after the answer, for what the handler left
	// of a body, and for a refusal to be taken.
	drainTime = 5 * time.Second
	// lingerTime is how long a connection that is closed is read on, so that what
	// still comes does not have the system throw away the answer.
	lingerTime = 500 * time.Millisecond
)

type buffer [firstRoom]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, since: time.Now()}
	c.nc, c.patrol = nc, &s.patrol
	if over, ok := nc.(interface{ Raw() net.Conn }); ok {
		c.raw, _ = over.Raw().(*net.TCPConn)
	} else {
		c.raw, _ = nc.(*net.TCPConn)
	}
	c.head.maxFields = s.MaxFields
	c.ctx, c.gone = context.WithCancel(s.base())
	c.template = http.Request{ProtoMajor: 1, RemoteAddr: nc.RemoteAddr().String(), TLS: stateOf(nc)}
	return c
}

// serve ends when the connection is closed, or another's.
func (c *conn) serve() {
	defer c.leave()
	c.bound(c.server.ReadHeaderTimeout, c.since)
	for c.next() {
	}
}

// leave closes the connection, unless it is another's, and frees what it held.
func (c *conn) leave() {
	if c.state.Swap(isGone) != isGone {
		_ = c.nc.Close() // what a connection says on being closed is nobody's concern
	}
	c.gone()
	if x := c.exchange; x != nil && !x.answer.hijacked {
		x.end()
	}
	c.giveBack()
	c.server.forget(c)
}

// giveBack frees what only a request needs.
func (c *conn) giveBack() {
	for _, b := range []*[]byte{&c.in, &c.out} {
		if cap(*b) == firstRoom {
			buffers.Put((*buffer)((*b)[:firstRoom]))
		}
		*b = nil
	}
	c.r, c.w, c.head.fields = 0, 0, nil
}

// next serves one request, and reports whether another one can follow.
func (c *conn) next() bool {
	text, err := c.readHead()
	if err != nil {
		if fault, ok := err.(*Fault); ok {
			c.refuse(fault, "")
		}
		return false
	}
	x, fault := c.newExchange(text)
	if fault != nil {
		c.refuse(fault, x.request.Method)
		return false
	}
	c.exchange = x
	c.begin(x)
	return c.handle(x) && c.finish(x)
}

// readHead reads up to the end of a header.
func (c *conn) readHead() (text string, err error) {
	c.head.begin()
	if c.r == c.w {
		if err := c.await(); err != nil {
			return "", err
		}
	}
	if c.state.Load() != isActive && !c.state.CompareAndSwap(isNew, isActive) && !c.state.CompareAndSwap(isIdle, isActive) {
		return "", net.ErrClosed
	}
	limit := c.server.maxHeader()
	for timed := !c.served; ; timed = true {
		complete := c.head.parse(c.in[c.r:c.w])
		switch {
		case c.head.fault != nil:
			c.r += c.head.at
			return "", c.head.fault
		case c.head.at > limit:
			return "", tooLarge
		case complete:
			text = string(c.in[c.r : c.r+c.head.at])
			c.r += c.head.at
			c.served = true
			return text, nil
		}
		if !timed {
			c.bound(c.server.ReadHeaderTimeout, time.Now())
		}
		if err := c.fill(limit); isTimeout(err) {
			return "", tooSlow
		} else if err != nil {
			return "", err
		}
	}
}

// bound gives reads a deadline, if there is a limit to how long they may take.
func (c *conn) bound(limit time.Duration, since time.Time) {
	var deadline time.Time
	if limit > 0 {
		deadline = since.Add(limit)
	}
	c.setReadDeadline(deadline)
}

// await reads the first bytes of a request. When they are long in coming, the
// buffer is given back.
func (c *conn) await() error {
	c.mu.Lock()
	deadline := c.reads.wanted
	long := c.served && (deadline.IsZero() || c.server.IdleTimeout > 2*idleLong)
	if long {
		c.reads.wanted = deadline.Add(idleLong - c.server.IdleTimeout)
		if deadline.IsZero() {
			c.reads.wanted = time.Now().Add(idleLong)
		}
	}
	c.mu.Unlock()
	err := c.fill(c.server.maxHeader())
	if !long || !isTimeout(err) {
		return err
	}
	c.giveBack()
	c.setReadDeadline(deadline)
	if _, err := c.read(c.one[:]); err != nil {
		return err
	}
	c.in = buffers.Get().(*buffer)[:]
	c.in[0], c.w = c.one[0], 1
	return nil
}

// begin gives the connection the deadlines of a request, and has the client
// watched if nothing more is to come from it.
func (c *conn) begin(x *exchange) {
	var read, write time.Time
	if s := c.server; s.ReadTimeout > 0 || s.WriteTimeout > 0 {
		now := time.Now()
		if s.ReadTimeout > 0 {
			read = now.Add(s.ReadTimeout)
		}
		if s.WriteTimeout > 0 {
			write = now.Add(s.WriteTimeout)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads.wanted, c.writes.wanted = read, write
	if x.body.state == atEnd {
		c.watch, c.fresh = watchDue, true
		c.expect()
	}
}

// handle reports whether the handler has returned: if it panics, the connection
// is closed with whatever is missing of the answer.
func (c *conn) handle(x *exchange) (returned bool) {
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			c.server.logf("panic serving %v: %v\n%s", c.nc.RemoteAddr(), v, debug.Stack())
		}
	}()
	c.server.Handler.ServeHTTP(&x.answer, &x.request)
	return true
}

// finish ends the answer, and reports whether the connection can be used again.
func (c *conn) finish(x *exchange) bool {
	err := x.answer.end()
	x.ctx.end()
	if x.answer.hijacked || err != nil {
		return false
	}
	busy := x.body.abandon() // before the watch, which a read that comes to the end asks for
	c.mu.Lock()
	c.unwatch()
	c.mu.Unlock()
	if x.answer.closing {
		if busy || x.body.state != atEnd || c.r < c.w || !x.request.Close {
			c.linger()
		}
		return false
	}
	if !x.body.finish(busy) {
		c.linger()
		return false
	}
	c.exchange = nil
	if len(c.in) > firstRoom && c.r == c.w {
		c.in, c.r, c.w = nil, 0, 0
	}
	if c.server.closing.Load() { // which the answer may have begun too early to say
		c.linger()
		return false
	}
	if c.r < c.w {
		return true
	}
	c.bound(c.server.IdleTimeout, time.Now())
	return c.state.CompareAndSwap(isActive, isIdle) && !c.server.closing.Load()
}

// end has nothing of an exchange touch the connection any more.
func (x *exchange) end() {
	c := x.conn
	x.ctx.end()
	x.answer.ended = true
	x.body.abandon()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwatch()
}

// refuse answers what is no request, and reads on for a while: the answer must
// not be lost by what still comes.
func (c *conn) refuse(fault *Fault, method string) {
	s := c.server
	s.malformed(fault)
	header, body := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, []byte(fault.Detail+"\n")
	if s.Refusal != nil {
		header, body = s.Refusal(fault)
	}
	text := appendStatus(nil, false, fault.Status)
	text = appendFields(text, header)
	text = append(text, "Connection: close\r\nContent-Length: "...)
	text = strconv.AppendInt(text, int64(len(body)), 10)
	text = append(text, "\r\n\r\n"...)
	if method == http.MethodHead {
		body = nil
	}
	c.setWriteDeadline(time.Now().Add(drainTime))
	if c.write(text, body) == nil {
		c.linger()
	}
}

// linger says that no more will come, and waits for the client to say so, too.
func (c *conn) linger() {
	if !c.closeWrite() {
		return
	}
	c.setReadDeadline(time.Now().Add(lingerTime))
	for {
		if _, err := c.read(c.scratch(firstRoom)); err != nil {
			return
		}
	}
}

// scratch is room for what nobody looks at, when there is no answer at hand.
func (c *conn) scratch(most int) []byte {
	if c.out == nil {
		c.out = buffers.Get().(*buffer)[:]
	}
	b := c.out[:cap(c.out)]
	return b[:min(len(b), most)]
}
