package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

const binaryProxy = proxySignature + "\x21\x11\x00\x0c" + "\xc0\x00\x02\x07" + "\x7f\x00\x00\x01" + "\x12\x67\x00\x50"

func TestHeadersOfTheProxyProtocol(t *testing.T) {
	of := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	for _, c := range []struct {
		name, text string
		source     netip.AddrPort
		err        error
	}{
		{"version 1", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n", of("192.0.2.7:4711"), nil},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", of("[2001:db8::7]:4711"), nil},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", netip.AddrPort{}, nil},
		{"version 1, unknown with more", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", netip.AddrPort{}, nil},
		{"version 1, the longest", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", netip.AddrPort{}, nil},
		{"version 1, longer", "PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, LF alone", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\n", netip.AddrPort{}, errBadProxy},
		{"version 1, two spaces", "PROXY TCP4  192.0.2.7 127.0.0.1 4711 80\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, more words", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80 x\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, another family", "PROXY TCP4 2001:db8::7 ::1 4711 80\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 80\r\n", of("192.0.2.7:4711"), nil},
		{"version 1, a zone", "PROXY TCP6 fe80::1%eth0 ::1 4711 80\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, a great port", "PROXY TCP4 192.0.2.7 127.0.0.1 65536 80\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, an odd port", "PROXY TCP4 192.0.2.7 127.0.0.1 +4711 80\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, zeros", "PROXY TCP4 192.0.2.7 127.0.0.1 04711 80\r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, no protocol", "PROXY \r\n", netip.AddrPort{}, errBadProxy},
		{"version 1, in part", "PROXY TCP4 192.0", netip.AddrPort{}, errMoreProxy},
		{"the begin of either", "", netip.AddrPort{}, errMoreProxy},
		{"the begin of version 1", "PRO", netip.AddrPort{}, errMoreProxy},
		{"the begin of version 2", "\r\n\r\n\x00", netip.AddrPort{}, errMoreProxy},
		{"lower case", "proxy TCP4 192.0.2.7 127.0.0.1 4711 80\r\n", netip.AddrPort{}, errNoProxy},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", netip.AddrPort{}, errNoProxy},
		{"HTTP that begins alike", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", netip.AddrPort{}, errNoProxy},

		{"version 2", binaryProxy, of("192.0.2.7:4711"), nil},
		{"version 2 with more told", proxySignature + "\x21\x11\x00\x10" + "\xc0\x00\x02\x07\x7f\x00\x00\x01\x12\x67\x00\x50" + "\x04\x00\x01x", of("192.0.2.7:4711"), nil},
		{"version 2, IPv6", proxySignature + "\x21\x21\x00\x24" + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07" + strings.Repeat("\x00", 16) + "\x12\x67\x00\x50", of("[2001:db8::7]:4711"), nil},
		{"version 2, local", proxySignature + "\x20\x00\x00\x00", netip.AddrPort{}, nil},
		{"version 2, local with addresses", proxySignature + "\x20\x11\x00\x0c" + binaryProxy[16:], netip.AddrPort{}, nil},
		{"version 2, a socket of Unix", proxySignature + "\x21\x31\x00\xd8" + strings.Repeat("x", 216), netip.AddrPort{}, nil},
		{"version 2, too short for its family", proxySignature + "\x21\x11\x00\x0b" + binaryProxy[16:27], netip.AddrPort{}, errBadProxy},
		{"version 2, too short for IPv6", proxySignature + "\x21\x21\x00\x0c" + binaryProxy[16:], netip.AddrPort{}, errBadProxy},
		{"version 2, in part", binaryProxy[:20], netip.AddrPort{}, errMoreProxy},
		{"version 2, too long", proxySignature + "\x21\x11\xff\xff", netip.AddrPort{}, errBadProxy},
		{"version 3", proxySignature + "\x31\x11\x00\x0c" + binaryProxy[16:], netip.AddrPort{}, errBadProxy},
		{"version 2, another command", proxySignature + "\x22\x11\x00\x0c" + binaryProxy[16:], netip.AddrPort{}, errBadProxy},
	} {
		t.Run(c.name, func(t *testing.T) {
			source, n, err := parseProxy([]byte(c.text))
			if source != c.source || !errors.Is(err, c.err) || err == nil && n != len(c.text) {
				t.Errorf("got %v, %d, %v", source, n, err)
			}
			if _, again, err := parseProxy([]byte(c.text + "GET / HTTP/1.1\r\n")); c.err == nil && (err != nil || again != n) {
				t.Errorf("with more behind it: %d, %v", again, err)
			}
		})
	}
}

func FuzzProxyProtocol(f *testing.F) {
	f.Add([]byte(binaryProxy))
	f.Add([]byte("PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\nGET"))
	f.Fuzz(func(t *testing.T, b []byte) {
		source, n, err := parseProxy(b)
		if n < 0 || n > len(b) || err != nil && source.IsValid() {
			t.Fatalf("%v, %d, %v", source, n, err)
		}
		// What is not there in full is not read as something else.
		for i := range min(len(b), 64) {
			_, m, part := parseProxy(b[:i])
			if err == nil && i < n && !errors.Is(part, errMoreProxy) {
				t.Fatalf("the first %d bytes of a header of %d: %d, %v", i, n, m, part)
			}
		}
	})
}

func listenProxied(t *testing.T, trusted string) (l *Listener, seen func() string) {
	t.Helper()
	l = mustListen(t, newTestServer(t), "127.0.0.1:0", ListenerConfig{ProxyProtocol: true, Proxies: Proxies{Trusted: prefixes(trusted)}})
	addresses := make(chan string, 1)
	l.Swap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { addresses <- r.RemoteAddr }))
	l.Start()
	return l, func() string { return <-addresses }
}

func TestConnectionsOfTrustedProxiesAreThoseOfTheirClients(t *testing.T) {
	l, seen := listenProxied(t, "127.0.0.0/8")
	for _, c := range []struct{ header, want string }{
		{"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n", "192.0.2.7:4711"},
		{binaryProxy, "192.0.2.7:4711"},
		{"PROXY UNKNOWN\r\n", "127.0.0.1"},
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []string{c.header[:3], c.header[3:] + "GET / HT", "TP/1.1\r\nHost: x\r\n\r\n"} {
			if _, err := io.WriteString(conn, piece); err != nil {
				t.Fatal(err)
			}
		}
		if got := seen(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: from %s", c.header, got)
		}
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	if got := send(t, l.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); len(got) != 0 {
		t.Errorf("without a header: %v", got)
	}
}

func TestNobodyElseSaysWhereConnectionsComeFrom(t *testing.T) {
	l, seen := listenProxied(t, "10.0.0.0/8")
	if got := send(t, l.Addr().String(), "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"); len(got) != 1 || got[0] != 400 {
		t.Errorf("got %v", got)
	}
	if got := send(t, l.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); len(got) != 1 || got[0] != 200 {
		t.Errorf("got %v", got)
	}
	if got := seen(); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("from %s", got)
	}
}
