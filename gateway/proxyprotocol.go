package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// What a proxy tells of a connection that it passes on stands in front of its
// bytes: the PROXY protocol of HAProxy, version 1 in text, 2 in binary.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyText      = "PROXY "
	maxProxyLine   = 107     // with CRLF
	maxProxyHeader = 4 << 10 // of version 2: addresses, and what else is told
)

var (
	errNoProxy   = errors.New("the connection of a proxy does not begin with a header of the PROXY protocol")
	errBadProxy  = errors.New("the header of the PROXY protocol cannot be read")
	errMoreProxy = errors.New("the header of the PROXY protocol is not there in full")
)

// parseProxy reads a header at the begin of b, and gives how long it is. The
// source is the zero AddrPort where the proxy speaks for itself, or knows none.
// It fails with errMoreProxy for the begin of one.
func parseProxy(b []byte) (source netip.AddrPort, n int, err error) {
	switch {
	case bytes.HasPrefix(b, []byte(proxySignature)):
		return parseProxyBinary(b)
	case bytes.HasPrefix(b, []byte(proxyText)):
		end := bytes.IndexByte(b[:min(len(b), maxProxyLine)], '\n')
		if end < 0 {
			if len(b) >= maxProxyLine {
				return source, 0, errBadProxy
			}
			return source, 0, errMoreProxy
		}
		source, err = parseProxyLine(string(b[:end+1]))
		return source, end + 1, err
	case len(b) < len(proxySignature) && (strings.HasPrefix(proxySignature, string(b)) || strings.HasPrefix(proxyText, string(b))):
		return source, 0, errMoreProxy
	}
	return source, 0, errNoProxy
}

func parseProxyLine(line string) (source netip.AddrPort, err error) {
	line, ok := strings.CutSuffix(line, "\r\n")
	words := strings.Split(line, " ")
	if !ok || len(words) < 2 {
		return source, errBadProxy
	}
	if words[1] == "UNKNOWN" {
		return source, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return source, errBadProxy
	}
	from, errFrom := netip.ParseAddr(words[2])
	to, errTo := netip.ParseAddr(words[3])
	port, okPort := decimalPort(words[4])
	_, okTo := decimalPort(words[5])
	four := words[1] == "TCP4"
	if errFrom != nil || errTo != nil || !okPort || !okTo || from.Is4() != four || to.Is4() != four || from.Zone() != "" || to.Zone() != "" {
		return source, errBadProxy
	}
	return netip.AddrPortFrom(from.Unmap(), port), nil
}

func decimalPort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && strconv.FormatUint(n, 10) == s
}

func parseProxyBinary(b []byte) (source netip.AddrPort, n int, err error) {
	const fixed = len(proxySignature) + 4
	if len(b) < fixed {
		return source, 0, errMoreProxy
	}
	command, family := b[12], b[13]
	length := int(binary.BigEndian.Uint16(b[14:]))
	if command != 0x20 && command != 0x21 || length > maxProxyHeader {
		return source, 0, errBadProxy
	}
	n = fixed + length
	if len(b) < n {
		return source, 0, errMoreProxy
	}
	told := b[fixed:n]
	if command == 0x20 { // the proxy's own connection, such as a check of health
		return source, n, nil
	}
	switch family {
	case 0x11: // TCP over IPv4
		if len(told) < 12 {
			return source, 0, errBadProxy
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(told)), binary.BigEndian.Uint16(told[8:])), n, nil
	case 0x21: // TCP over IPv6
		if len(told) < 36 {
			return source, 0, errBadProxy
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(told)).Unmap(), binary.BigEndian.Uint16(told[32:])), n, nil
	}
	return source, n, nil // nothing that comes over TCP
}

// readProxy takes the header off a connection.
func (c *conn) readProxy() error {
	b := make([]byte, 0, 256)
	for {
		source, n, err := parseProxy(b)
		if err == nil {
			c.rest = b[n:]
			if source.IsValid() {
				c.remote = net.TCPAddrFromAddrPort(source)
			}
			return nil
		}
		if !errors.Is(err, errMoreProxy) {
			return err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		got, err := c.Conn.Read(b[len(b):cap(b)])
		b = b[:len(b)+got]
		if err != nil && got == 0 {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
	}
}
