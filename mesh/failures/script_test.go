package failures

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// serverConn is a connection to a backend that follows a script: it reads
// requests as they should be, and says byte by byte what it answers.
type serverConn struct {
	way    way
	tcp    *countedConn
	rw     io.ReadWriter // tcp, or TLS on it
	in     *bufio.Reader
	stream uint32 // of HTTP/2, that the last request came on; 0 before it
}

// newServerConn is nil if the client does not get as far as an exchange.
func newServerConn(w way, tcp *countedConn) *serverConn {
	c := &serverConn{way: w, tcp: tcp, rw: tcp}
	if w.tls {
		config := serverTLS()
		if config.NextProtos = []string{"http/1.1"}; w.http2 {
			config.NextProtos = []string{"h2"}
		}
		secure := tls.Server(tcp, config)
		if secure.Handshake() != nil {
			return nil
		}
		c.rw = secure
	}
	c.in = bufio.NewReader(c.rw)
	return c
}

// Types of frames (RFC 9113 section 6) and their flags.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameSettings = 0x4
	frameGoAway   = 0x7
	endStream     = 0x1
	ack           = 0x1
	endHeaders    = 0x4
)

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = append(head, flags)
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// request reads the header of a request, and reports whether one came.
func (c *serverConn) request() bool {
	if !c.way.http2 {
		_, err := http.ReadRequest(c.in)
		return err == nil
	}
	if c.stream == 0 {
		preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		if _, err := io.ReadFull(c.in, preface); err != nil {
			return false
		}
		c.say(frame(frameSettings, 0, 0, nil))
		c.say(frame(frameSettings, ack, 0, nil))
	}
	for {
		var head [9]byte
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return false
		}
		length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		if _, err := c.in.Discard(length); err != nil {
			return false
		}
		if head[3] == frameHeaders {
			c.stream = binary.BigEndian.Uint32(head[5:])
			return true
		}
	}
}

// header is that of a reply, with padding bytes of a field in it.
func (c *serverConn) header(padding int) []byte {
	if !c.way.http2 {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nX-Padding: %s\r\nContent-Length: 1000\r\n\r\n", strings.Repeat("x", padding))
	}
	fields := []byte{0x88} // HPACK for :status 200
	for range padding / 100 {
		fields = append(fields, 0, 1, 'x', 100) // a literal that is not indexed
		fields = append(fields, strings.Repeat("x", 100)...)
	}
	return frame(frameHeaders, endHeaders, c.stream, fields)
}

// body is n bytes of the body of a reply, which has 1000.
func (c *serverConn) body(n int) []byte {
	data := []byte(strings.Repeat("x", n))
	if !c.way.http2 {
		return data
	}
	return frame(frameData, 0, c.stream, data)
}

// last is the end of a body, n bytes.
func (c *serverConn) last(n int) []byte {
	end := c.body(n)
	if c.way.http2 {
		end[4] = endStream
	}
	return end
}

// bodyByte is one byte of the body.
func (c *serverConn) bodyByte(int) []byte { return c.body(1) }

// headerByte is the byte at i of a header that has no end within a test's time.
func (c *serverConn) headerByte(i int) []byte {
	whole := c.header(10_000)
	return whole[i : i+1]
}

// say writes what the client may not want any more.
func (c *serverConn) say(b []byte) bool {
	_, err := c.rw.Write(b)
	return err == nil
}

// reset ends the connection without a goodbye: RST in place of FIN.
func (c *serverConn) reset() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
}

// halfClose says that nothing more is coming, and waits for the client to end
// the connection.
func (c *serverConn) halfClose() {
	_ = c.tcp.CloseWrite()
	c.wait()
}

// drip says what piece gives, slowly, as often as the client lets it: the
// connection is busy and the reply gets nowhere.
func (c *serverConn) drip(piece func(i int) []byte) {
	for i := 0; c.say(piece(i)); i++ {
		time.Sleep(10 * time.Millisecond)
	}
}

// wait waits for the client to end the connection.
func (c *serverConn) wait() { _, _ = io.Copy(io.Discard, c.in) }
