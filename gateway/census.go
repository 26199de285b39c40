package gateway

import (
	"net"
	"net/netip"
	"sync"
)

// census counts the connections of a listener, in all and by where they come
// from. It holds no more than there are connections.
type census struct {
	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
}

// counted is what a census knows of a connection.
type counted struct {
	in, placed, gone bool
	at               netip.Addr
}

// enter counts a connection, unless most are there already; a number that is not
// positive is no bound.
func (c *census) enter(who *counted, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most > 0 && c.all >= most {
		return false
	}
	c.all++
	who.in = true
	return true
}

// place counts a connection that has entered for its address, likewise.
func (c *census) place(who *counted, at netip.Addr, most int) bool {
	if most <= 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if who.gone || c.from[at] >= most {
		return false
	}
	if c.from == nil {
		c.from = map[netip.Addr]int{}
	}
	c.from[at]++
	who.placed, who.at = true, at
	return true
}

// leave takes back what was counted.
func (c *census) leave(who *counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who.gone = true
	if who.in {
		c.all--
	}
	if who.placed {
		if c.from[who.at]--; c.from[who.at] == 0 {
			delete(c.from, who.at)
		}
	}
}

// neighbourhood is what connections are counted by: an address of IPv4, and of
// IPv6 the 64 bits of a network, in which a client has all addresses that it
// likes.
func neighbourhood(a net.Addr) netip.Addr {
	addr := addressOf(a)
	if addr.Is6() {
		network, _ := addr.Prefix(64) // 64 is no more than there are
		return network.Addr()
	}
	return addr
}

// addressOf is the zero Addr for what is no address of IP.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	if a == nil {
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(a.String())
	return at.Addr().Unmap().WithZone("")
}
