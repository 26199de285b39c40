package h1

import (
	"net"
	"os"
	"syscall"
)

// asking looks whether an idle connection is quiet, writes a request and waits
// for the answer to begin, in that order and in one go. The look of [conn.quiet]
// is a read that finds nothing, and so is the first read after a write, unless
// the server is faster than a system call: here one of them does for both. The
// poller tells of all that comes after the look, so nothing is waited for that is
// there already.
type asking struct {
	step  func(fd uintptr) bool
	p     []byte // to write
	n     int    // how much was written
	err   error  // of writing
	state askingState
}

type askingState uint8

const (
	notAsked askingState = iota
	asked
	unquiet // nothing was written
)

// initAsking is for plain TCP: over anything else, what is written to the socket
// is not what the connection was given.
func (cn *conn) initAsking() {
	if _, tcp := cn.nc.(*net.TCPConn); !tcp || cn.raw == nil {
		return
	}
	a := &asking{}
	a.step = func(fd uintptr) bool {
		if a.state == asked {
			return true // there is something to read
		}
		if cn.probe(fd); !cn.silent {
			a.state = unquiet
			return true
		}
		a.state = asked
		for a.n < len(a.p) {
			n, err := syscall.Write(int(fd), a.p[a.n:])
			switch {
			case n > 0:
				a.n += n
			case err == syscall.EINTR:
			case err == syscall.EAGAIN:
				return true // the rest waits for room
			default:
				a.err = &net.OpError{Op: "write", Net: "tcp", Addr: cn.nc.RemoteAddr(), Err: os.NewSyscallError("write", err)}
				return true
			}
		}
		return false
	}
	cn.ask = a
}

// sendInOneGo is send for a connection that asks, followed by the wait for
// something to read. What goes wrong with waiting goes wrong with the read that
// follows, too, and is left to it.
func (cn *conn) sendInOneGo(p []byte) (int, error) {
	a := cn.ask
	a.p, a.n, a.err, a.state = p, 0, nil, notAsked
	err := cn.raw.Read(a.step)
	if a.state == notAsked && cn.settle(err) {
		err = cn.raw.Read(a.step)
	}
	a.p = nil
	switch {
	case a.state == notAsked:
		return 0, err
	case a.state == unquiet:
		return 0, errStale
	case a.err != nil || a.n == len(p):
		return a.n, a.err
	}
	n, err := cn.send(p[a.n:])
	return a.n + n, err
}
