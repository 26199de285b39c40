package h1

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// upload sends the body of a request. It shares nothing with the exchange but
// the connection, so that it may outlive it for as long as reading the body takes.
type upload struct {
	cn      *conn
	body    io.ReadCloser
	framing framing
	trailer http.Header
}

func (u upload) run(prefix []byte) {
	err := u.send(prefix)
	u.cn.upload <- err
	if own, ok := err.(*Error); ok && own.Op == OpBody {
		u.cn.abort()
	}
}

// send closes the body in any case.
func (u upload) send(prefix []byte) error {
	if u.framing.whole {
		out, err := u.appendBody(prefix)
		u.cn.out = out
		if err != nil {
			return u.failed(OpBody, err)
		}
		u.cn.finishing.Store(true)
		return u.write(out)
	}
	defer u.body.Close()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if u.framing.length >= 0 {
		return u.sendExact((*buf)[:copySize])
	}
	return u.sendChunked(*buf)
}

func (u upload) failed(op Op, err error) error {
	return &Error{Op: op, Addr: u.cn.client.addr, Err: err}
}

func (u upload) write(b []byte) error {
	if _, err := u.cn.nc.Write(b); err != nil {
		return u.failed(OpWrite, err)
	}
	return nil
}

// appendBody reads a body of known length to its end, and closes it.
func (u upload) appendBody(b []byte) ([]byte, error) {
	defer u.body.Close()
	start, length := len(b), int(u.framing.length)
	room := start + length + 1 // for one byte that must not be there
	if cap(b) < room {
		b = append(make([]byte, 0, room), b...)
	}
	n, err := io.ReadFull(u.body, b[start:room])
	switch {
	case err == nil:
		return b, u.tooLong()
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return b, err
	case n < length:
		return b, u.tooShort(n)
	}
	return b[:start+length], nil
}

func (u upload) tooLong() error {
	return fmt.Errorf("the body is longer than its ContentLength %d", u.framing.length)
}

func (u upload) tooShort(n int) error {
	return fmt.Errorf("the body ended after %d bytes of its ContentLength %d", n, u.framing.length)
}

const (
	copySize   = 32 << 10
	chunkSpace = len("8000\r\n")
)

// buffers have room for a chunk with its size before and CRLF behind.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, chunkSpace+copySize+2)
	return &b
}}

func (u upload) sendExact(b []byte) error {
	for sent := int64(0); ; {
		n, err := u.body.Read(b)
		if sent += int64(n); sent > u.framing.length {
			return u.failed(OpBody, u.tooLong())
		}
		if n > 0 {
			u.cn.finishing.Store(sent == u.framing.length)
			if err := u.write(b[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && sent == u.framing.length:
			return nil
		case err == io.EOF:
			return u.failed(OpBody, u.tooShort(int(sent)))
		case err != nil:
			return u.failed(OpBody, err)
		}
	}
}

// sendChunked writes what each Read gives as one chunk, at once: whoever streams
// decides on the pace.
func (u upload) sendChunked(b []byte) error {
	for {
		n, err := u.body.Read(b[chunkSpace : chunkSpace+copySize])
		if n > 0 {
			if err := u.write(chunk(b, n)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return u.failed(OpBody, err)
		}
	}
	last := append(b[:0], "0\r\n"...)
	for name, values := range u.trailer { // filled in by the time the body ends
		for _, v := range values {
			if !validToken(name) || !validTrailer(name) || !validValue(v) {
				return u.failed(OpBody, fmt.Errorf("invalid trailer %q", name))
			}
			last = append(last, name...)
			last = append(last, ": "...)
			last = append(last, v...)
			last = append(last, "\r\n"...)
		}
	}
	u.cn.finishing.Store(true)
	return u.write(append(last, "\r\n"...))
}

// chunk puts size and end around the n bytes of data that b has after chunkSpace.
func chunk(b []byte, n int) []byte {
	var digits [chunkSpace]byte
	size := append(strconv.AppendInt(digits[:0], int64(n), 16), "\r\n"...)
	start := chunkSpace - len(size)
	copy(b[start:], size)
	end := chunkSpace + n
	b[end], b[end+1] = '\r', '\n'
	return b[start : end+2]
}
