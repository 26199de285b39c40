package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// line is a connection of HTTP/1.1 as net/http's server uses it. It reads along,
// see [framing], and does only when it matters what the server asks for with
// every request and what hardly any request needs:
//
//   - Deadlines are handed to the connection below when a call has lasted for a
//     while, not whenever they move. They hold to the grain of [patrol], and
//     exactly when they are further away.
//   - The server reads in the background while a handler is at work, to learn that
//     the client has left. That read ends at once, with nothing; where the handler
//     takes its time the line begins to read in its stead, keeps the byte that
//     comes for the next read, and ends the context of the connection's requests
//     when nothing more can come.
type line struct {
	net.Conn // *conn or *tls.Conn
	framing  framing
	patrol   *patrol
	gone     context.CancelFunc // nil until the server has the connection

	mu      sync.Mutex
	reads   timing
	writes  timing
	visited bool // the patrol comes by again
	watch   watchState
	fresh   bool          // whether the watch is younger than the patrol's last visit
	excused bool          // the last read was taken for the server's background read
	drain   bool          // what comes while watching is no HTTP
	leaving bool          // the watch is being called off
	ended   chan struct{} // of a running watch
	held    [1]byte
	holds   bool // a byte
}

// timing is a deadline, and the call that it is for.
type timing struct {
	wanted, given time.Time // by the server; to the connection below
	busy          bool      // a call is under way
	fresh         bool      // it is younger than the patrol's last visit
}

type watchState uint8

const (
	unwatched watchState = iota
	watchSoon
	watching
)

// Read is what net.Conn asks for.
func (l *line) Read(p []byte) (int, error) {
	if len(p) == 1 && l.excuse(p) {
		return 0, nil
	}
	return l.framing.receive(below{l}, p)
}

// Write is what net.Conn asks for.
func (l *line) Write(p []byte) (int, error) { return l.framing.send(below{l}, p) }

// excuse reports whether a read is the server's background read. A buffer that
// has room for just one more byte is read into in the same way, but is tried again
// when there was nothing, and without a deadline being set in between.
func (l *line) excuse(p []byte) bool {
	if cap(p) != 1 || l.framing.state == inOther {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.excused || l.holds {
		return false
	}
	l.excused = true
	if l.watch == unwatched {
		l.watch, l.fresh, l.drain = watchSoon, true, l.framing.fault != nil
		l.expect()
	}
	return true
}

// below reads and writes what a line is over.
type below struct{ line *line }

// Read is what io.Reader asks for.
func (b below) Read(p []byte) (int, error) {
	l := b.line
	l.mu.Lock()
	l.unwatch()
	l.excused = false
	if l.holds && len(p) > 0 {
		l.holds = false
		l.mu.Unlock()
		p[0] = l.held[0]
		return 1, nil
	}
	l.begin(&l.reads, l.Conn.SetReadDeadline)
	l.mu.Unlock()
	n, err := l.Conn.Read(p)
	l.mu.Lock()
	l.reads.busy = false
	l.mu.Unlock()
	return n, err
}

// Write is what io.Writer asks for.
func (b below) Write(p []byte) (int, error) {
	l := b.line
	l.beginWrite()
	defer l.endWrite()
	return l.Conn.Write(p)
}

func (l *line) beginWrite() {
	l.mu.Lock()
	l.begin(&l.writes, l.Conn.SetWriteDeadline)
	l.mu.Unlock()
}

func (l *line) endWrite() {
	l.mu.Lock()
	l.writes.busy = false
	l.mu.Unlock()
}

// begin makes ready for a call: a deadline that the connection was given for one
// before must not end it, ahead of the patrol's visit.
func (l *line) begin(t *timing, give func(time.Time) error) {
	if !t.given.IsZero() && time.Until(t.given) < time.Second {
		t.settle(give)
	}
	t.busy, t.fresh = true, true
	l.expect()
}

// settle hands the deadline over.
func (t *timing) settle(give func(time.Time) error) {
	if t.given != t.wanted {
		t.given = t.wanted
		_ = give(t.wanted) // it fails where the call does, too
	}
}

func (l *line) expect() {
	if !l.visited {
		l.visited = true
		l.patrol.add(l)
	}
}

// SetDeadline is what net.Conn asks for.
func (l *line) SetDeadline(d time.Time) error {
	_ = l.SetReadDeadline(d)
	return l.SetWriteDeadline(d)
}

// SetReadDeadline is what net.Conn asks for.
func (l *line) SetReadDeadline(d time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.excused = false
	l.reads.wanted = d
	if l.reads.busy {
		l.reads.settle(l.Conn.SetReadDeadline)
	}
	return nil
}

// SetWriteDeadline is what net.Conn asks for.
func (l *line) SetWriteDeadline(d time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes.wanted = d
	if l.writes.busy {
		l.writes.settle(l.Conn.SetWriteDeadline)
	}
	return nil
}

// visit does what is due of a line, and reports whether something may be due at
// the next visit. A call or a watch that is as old as the last visit is settled.
func (l *line) visit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visited = l.reads.visit(l.Conn.SetReadDeadline)
	l.visited = l.writes.visit(l.Conn.SetWriteDeadline) || l.visited
	if l.watch == watchSoon {
		if l.fresh {
			l.fresh, l.visited = false, true
		} else {
			l.look()
		}
	}
	return l.visited
}

func (t *timing) visit(give func(time.Time) error) (again bool) {
	switch {
	case !t.busy:
		return false
	case t.fresh:
		t.fresh = false
		return true
	default:
		t.settle(give)
		return false
	}
}

// look begins to read. The deadline of the server's reads is not that of the watch.
func (l *line) look() {
	l.watch, l.ended = watching, make(chan struct{})
	if !l.reads.given.IsZero() {
		l.reads.given = time.Time{}
		_ = l.Conn.SetReadDeadline(time.Time{}) // the read fails, too
	}
	go l.awaitEnd()
}

func (l *line) awaitEnd() {
	n, err := l.Conn.Read(l.held[:])
	for l.drain && err == nil {
		n, err = l.Conn.Read(l.held[:])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = n == 1 && !l.drain
	if err != nil && !l.leaving && l.gone != nil {
		l.gone()
	}
	l.watch = unwatched
	close(l.ended)
}

// unwatch calls the watch off, and waits until it is.
func (l *line) unwatch() {
	if l.watch != watching {
		l.watch = unwatched
		return
	}
	l.leaving = true
	l.reads.given = time.Unix(1, 0)
	_ = l.Conn.SetReadDeadline(l.reads.given) // the read has ended if this fails
	l.mu.Unlock()
	<-l.ended
	l.mu.Lock()
	l.leaving = false
}

// release ends what is special to HTTP/1.1: the connection is another protocol's
// now.
func (l *line) release() {
	l.framing.state, l.framing.fault = inOther, nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwatch()
}

// Close is what net.Conn asks for.
func (l *line) Close() error {
	if l.gone != nil {
		l.gone()
	}
	return l.Conn.Close()
}

// CloseWrite lets the server say that no more will come while it still reads.
func (l *line) CloseWrite() error { return closeWrite(l.Conn) }

// plainConn is a line without TLS.
type plainConn struct{ line }

// ReadFrom lets the system send a file without copying it through here.
func (c *plainConn) ReadFrom(src io.Reader) (int64, error) {
	c.beginWrite()
	defer c.endWrite()
	return c.line.Conn.(*conn).ReadFrom(src)
}

// secureConn is a line over TLS.
type secureConn struct{ line }

// ConnectionState is what the server tells requests of TLS.
func (c *secureConn) ConnectionState() tls.ConnectionState {
	return c.line.Conn.(*tls.Conn).ConnectionState()
}

// patrol comes by the lines on which something was begun, until it has ended or
// is settled. While nothing is begun it rests.
type patrol struct {
	mu      sync.Mutex
	lines   []*line
	walking []*line // the round that is being made, its room that of the next
	timer   *time.Timer
	due     bool
}

// grain is how long it takes between two visits. What lasts is settled at the
// second one.
const grain = 5 * time.Millisecond

func (p *patrol) add(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, l)
	p.rise()
}

func (p *patrol) rise() {
	switch {
	case p.due:
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(grain, p.round)
	default:
		p.timer.Reset(grain)
	}
	p.due = true
}

func (p *patrol) round() {
	p.mu.Lock()
	p.lines, p.walking = p.walking[:0], p.lines
	p.mu.Unlock()
	again := p.walking[:0]
	for _, l := range p.walking {
		if l.visit() {
			again = append(again, l)
		}
	}
	clear(p.walking[len(again):])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, again...)
	clear(again)
	if p.due = false; len(p.lines) > 0 {
		p.rise()
	}
}
