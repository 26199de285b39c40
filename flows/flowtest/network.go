package flowtest

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Network is a network in memory: addresses are names, and connections are
// pipes, on which a write lasts until the other side has read it. It is safe
// for concurrent use.
type Network struct {
	// Sockets makes connections those of TCP, at ports that the system chooses:
	// for what the system does, and the server does with it. Addresses are names
	// all the same.
	Sockets bool

	sockets   map[string]net.Listener
	mu        sync.Mutex
	listeners map[string]*listener
	dialed    map[string]int
}

// Listen opens an address, as net.Listen does. An address that is open already
// is in use.
func (n *Network) Listen(_, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.Sockets {
		return n.listen(addr)
	}
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "memory", Addr: address(addr), Err: syscall.EADDRINUSE}
	}
	l := &listener{network: n, addr: address(addr), conns: make(chan net.Conn), closed: make(chan struct{})}
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	n.listeners[addr] = l
	return l, nil
}

// Dial connects to an address, as net.Dialer.DialContext does. An address where
// nobody listens refuses.
func (n *Network) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l, socket := n.listeners[addr], n.sockets[addr]
	if l != nil || socket != nil {
		if n.dialed == nil {
			n.dialed = map[string]int{}
		}
		n.dialed[addr]++
	}
	n.mu.Unlock()
	if socket != nil {
		return new(net.Dialer).DialContext(ctx, "tcp", socket.Addr().String())
	}
	if l != nil {
		near, far := net.Pipe()
		select {
		case l.conns <- caller{far}:
			return near, nil
		case <-l.closed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, &net.OpError{Op: "dial", Net: "memory", Addr: address(addr), Err: syscall.ECONNREFUSED}
}

// socket is a listener that has a name.
type socket struct {
	net.Listener
	close func() error
}

func (s socket) Close() error { return s.close() }

func (n *Network) listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if n.sockets == nil {
		n.sockets = map[string]net.Listener{}
	}
	n.sockets[addr] = l
	return socket{l, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.sockets[addr] == l {
			delete(n.sockets, addr)
		}
		return l.Close()
	}}, nil
}

// Dialed is how many connections were asked for at an open address.
func (n *Network) Dialed(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialed[addr]
}

type address string

func (a address) Network() string { return "memory" }
func (a address) String() string  { return string(a) }

// caller is a connection as the side that accepts it sees it: those who dial are
// all at Caller.
type caller struct{ net.Conn }

// Caller is the address that connections come from.
const Caller = "127.0.0.1:50000"

func (caller) RemoteAddr() net.Addr { return address(Caller) }

type listener struct {
	network *Network
	addr    address
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, string(l.addr))
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }
