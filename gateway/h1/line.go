package h1

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// line is a connection with its buffer of what has come. What nearly no request
// needs is done only when it matters:
//
//   - Deadlines are handed to the connection below when a call has lasted for a
//     while, not whenever they move. They hold to the grain of [patrol], and
//     exactly when they are further away.
//   - Whether the client has left, while a handler is at work, is watched for by
//     reading on, when the handler has taken its time and the body of the request
//     is read. What comes then stays in the buffer.
type line struct {
	nc     net.Conn
	raw    *net.TCPConn // where bytes go out as they are; nil for TLS and others
	patrol *patrol
	gone   context.CancelFunc // ends the contexts of the connection's requests

	in     []byte // nil while idle for long
	r, w   int    // what is not used yet is in[r:w]
	pieces net.Buffers
	room   [3][]byte // of pieces

	mu      sync.Mutex
	reads   timing
	writes  timing
	visited bool // the patrol comes by again
	cut     bool // reads end at once
	watch   watchState
	fresh   bool          // whether the watch is younger than the patrol's last visit
	ended   chan struct{} // of a running watch
}

// timing is a deadline, and the call that it is for.
type timing struct {
	wanted, given time.Time // by the server or a handler; to the connection below
	busy          bool      // a call is under way
	fresh         bool      // it is younger than the patrol's last visit
}

type watchState uint8

const (
	unwatched watchState = iota
	watchDue
	watching
)

// firstRoom is what the buffer has at first.
const firstRoom = 4 << 10

// fill reads once, behind what is in the buffer, which grows to limit.
func (l *line) fill(limit int) error {
	switch {
	case l.in == nil:
		l.in = buffers.Get().(*buffer)[:]
	case l.r == l.w:
		l.r, l.w = 0, 0
	case l.w < len(l.in):
	case l.r > 0:
		l.w = copy(l.in, l.in[l.r:l.w])
		l.r = 0
	default:
		grown := make([]byte, min(2*len(l.in), max(limit, len(l.in))+firstRoom))
		copy(grown, l.in)
		l.in = grown
	}
	n, err := l.read(l.in[l.w:])
	l.w += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// read calls the watch off, and reads once.
func (l *line) read(p []byte) (int, error) {
	l.mu.Lock()
	l.unwatch()
	if l.cut {
		l.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	l.begin(&l.reads, l.nc.SetReadDeadline)
	l.mu.Unlock()
	n, err := l.nc.Read(p)
	for tries := 0; n == 0 && err == nil; tries++ {
		if tries == 100 {
			err = io.ErrNoProgress
			break
		}
		n, err = l.nc.Read(p)
	}
	l.mu.Lock()
	l.reads.busy = false
	l.mu.Unlock()
	return n, err
}

// write sends up to three pieces, in one call where that can be.
func (l *line) write(pieces ...[]byte) error {
	l.mu.Lock()
	l.begin(&l.writes, l.nc.SetWriteDeadline)
	l.mu.Unlock()
	err := l.send(pieces)
	l.mu.Lock()
	l.writes.busy = false
	l.mu.Unlock()
	if err != nil {
		l.gone()
	}
	return err
}

func (l *line) send(pieces [][]byte) (err error) {
	if len(pieces) > 1 && l.raw != nil {
		l.pieces = append(l.room[:0], pieces...)
		_, err = l.pieces.WriteTo(l.raw)
		clear(l.room[:])
		return err
	}
	for _, p := range pieces {
		if len(p) > 0 && err == nil {
			_, err = l.nc.Write(p)
		}
	}
	return err
}

// sendFrom lets the system send a file without copying it through here.
func (l *line) sendFrom(src io.Reader) (n int64, err error) {
	l.mu.Lock()
	l.begin(&l.writes, l.nc.SetWriteDeadline)
	l.mu.Unlock()
	n, err = l.raw.ReadFrom(src)
	l.mu.Lock()
	l.writes.busy = false
	l.mu.Unlock()
	return n, err
}

// begin makes ready for a call: a deadline that the connection was given for one
// before must not end it, ahead of the patrol's visit, and one that has passed ends
// it, however short it is.
func (l *line) begin(t *timing, give func(time.Time) error) {
	if !t.given.IsZero() && time.Until(t.given) < time.Second || !t.wanted.IsZero() && time.Until(t.wanted) <= 0 {
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

// setReadDeadline bounds reads, the one under way among them.
func (l *line) setReadDeadline(d time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads.wanted = d
	if l.reads.busy && !l.cut {
		l.reads.settle(l.nc.SetReadDeadline)
	}
}

// setWriteDeadline bounds writes likewise.
func (l *line) setWriteDeadline(d time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes.wanted = d
	if l.writes.busy {
		l.writes.settle(l.nc.SetWriteDeadline)
	}
}

// interrupt ends the read under way, and all others until proceed.
func (l *line) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	l.endReads()
}

func (l *line) proceed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (l *line) endReads() {
	l.reads.given = time.Unix(1, 0)
	_ = l.nc.SetReadDeadline(l.reads.given) // reads have ended if this fails
}

// visit does what is due of a line, and reports whether something may be due at
// the next visit. A call or a watch that is as old as the last visit is settled.
func (l *line) visit(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visited = !l.cut && l.reads.visit(now, l.nc.SetReadDeadline)
	l.visited = l.writes.visit(now, l.nc.SetWriteDeadline) || l.visited
	if l.watch == watchDue {
		if l.fresh {
			l.fresh, l.visited = false, true
		} else {
			l.look()
		}
	}
	return l.visited
}

// visit settles a call whose time is up however young it is: who sends a byte at a
// time is never long in a call.
func (t *timing) visit(now time.Time, give func(time.Time) error) (again bool) {
	switch {
	case !t.busy:
		return false
	case t.fresh && (t.wanted.IsZero() || now.Before(t.wanted)):
		t.fresh = false
		return true
	default:
		t.settle(give)
		return false
	}
}

// watchSoon has the client watched when the request takes its time. Nothing else
// reads from here on, before the watch is called off.
func (l *line) watchSoon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watch == unwatched {
		l.watch, l.fresh = watchDue, true
		l.expect()
	}
}

// look begins to read. No deadline is that of the watch. A client that fills the
// buffer with further requests is not watched any more.
func (l *line) look() {
	if l.r == l.w {
		l.r, l.w = 0, 0
	}
	if l.in == nil || l.w == len(l.in) {
		return
	}
	l.watch, l.ended = watching, make(chan struct{})
	if !l.reads.given.IsZero() {
		l.reads.given = time.Time{}
		_ = l.nc.SetReadDeadline(time.Time{}) // the read fails, too
	}
	go l.awaitEnd()
}

func (l *line) awaitEnd() {
	defer close(l.ended)
	for l.w < len(l.in) {
		n, err := l.nc.Read(l.in[l.w:])
		l.w += n
		if err != nil {
			if !isTimeout(err) { // which is how the watch is called off
				l.gone()
			}
			return
		}
	}
}

// unwatch calls the watch off, and waits until it is.
func (l *line) unwatch() {
	if l.watch == watching {
		l.endReads()
		l.mu.Unlock()
		<-l.ended
		l.mu.Lock()
	}
	l.watch = unwatched
}

// takeOver ends all that reads or waits, for those who read the connection
// themselves from now on.
func (l *line) takeOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwatch()
	l.reads, l.writes = timing{}, timing{}
	_ = l.nc.SetDeadline(time.Time{}) // what fails is told by their reads
}

// closeWrite says that no more will come, and reports whether it could be said.
func (l *line) closeWrite() bool {
	half, ok := l.nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

func stateOf(nc net.Conn) *tls.ConnectionState {
	secure, ok := nc.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := secure.ConnectionState()
	return &state
}
