package discovery

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// nameServers is what resolv.conf(5) says.
type nameServers struct {
	servers  []string // host:port
	search   []string // without a dot at the end
	ndots    int
	timeout  time.Duration // of one question to one server
	attempts int           // rounds over all servers
	tcp      bool
}

const (
	// maxServers is that of the C library, which ignores those that follow.
	maxServers = 3
	// dnsTimeout is shorter than the 5s of the C library: nobody waits for a
	// refresh, and the next server may know.
	dnsTimeout = 2 * time.Second
)

func parseResolvConf(text string) nameServers {
	c := nameServers{ndots: 1, timeout: dnsTimeout, attempts: 2}
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(f[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, net.JoinHostPort(addr.String(), "53"))
			}
		case "domain", "search": // the last one counts
			c.search = nil
			for _, domain := range f[1:] {
				if domain = strings.TrimSuffix(domain, "."); domain != "" {
					c.search = append(c.search, domain)
				}
			}
		case "options":
			for _, option := range f[1:] {
				name, value, _ := strings.Cut(option, ":")
				n, err := strconv.Atoi(value)
				switch {
				case name == "use-vc" || name == "usevc" || name == "tcp":
					c.tcp = true
				case err != nil || n < 0:
				case name == "ndots":
					c.ndots = min(n, 15)
				case name == "timeout":
					c.timeout = time.Duration(min(max(n, 1), 30)) * time.Second
				case name == "attempts":
					c.attempts = min(max(n, 1), 5)
				}
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []string{"127.0.0.1:53"}
	}
	return c
}

// candidates are the absolute names that a name can mean, in the order in which
// they are tried.
func (c nameServers) candidates(name string) []string {
	if absolute, ok := strings.CutSuffix(name, "."); ok {
		return []string{absolute}
	}
	var all []string
	for _, domain := range c.search {
		if all = append(all, name+"."+domain); len(name)+1+len(domain) > 253 {
			all = all[:len(all)-1]
		}
	}
	if strings.Count(name, ".") >= c.ndots {
		return append([]string{name}, all...)
	}
	return append(all, name)
}

// resolvConf reads the file again when it is another one: a container's can
// change while it runs.
type resolvConf struct {
	path string

	mu   sync.Mutex
	seen os.FileInfo
	last nameServers
}

func (r *resolvConf) read() nameServers {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.path)
	if err == nil && r.seen != nil && info.ModTime() == r.seen.ModTime() && info.Size() == r.seen.Size() {
		return r.last
	}
	text, err := os.ReadFile(r.path)
	if err != nil && r.seen != nil {
		return r.last
	}
	r.seen, r.last = info, parseResolvConf(string(text))
	return r.last
}
