package h1

import (
	"bytes"
	"io"
)

// lastChunk is the usual end of a chunked body, with the CRLF of the chunk before.
const lastChunk = "\r\n0\r\n\r\n"

// readChunked fills p from one chunk after the other, without waiting for more
// once it has something, and with io.EOF when it saw the end: RFC 9112 section 7.1.
func (b *body) readChunked(cn *conn, p []byte) (n int, err error) {
	for {
		if b.left == 0 {
			if n > 0 && !b.chunkReady(cn) {
				return n, nil
			}
			if err := b.nextChunk(cn); err != nil {
				return n, err
			}
		}
		m, err := b.readLeft(cn, p[n:])
		n += m
		if err != nil {
			return n, err
		}
		if b.left > 0 || n == len(p) && !b.endReady(cn) {
			return n, nil
		}
	}
}

// endReady reports whether nothing but the end of the body follows, in the buffer.
func (b *body) endReady(cn *conn) bool {
	return bytes.HasPrefix(cn.in[cn.pos:cn.end], []byte(lastChunk))
}

// chunkReady reports whether the next chunk can be begun, or the body be ended,
// without reading from the connection.
func (b *body) chunkReady(cn *conn) bool {
	if b.endReady(cn) {
		return true
	}
	window := cn.in[cn.pos:cn.end]
	if len(window) < 3 {
		return false
	}
	i := bytes.IndexByte(window[2:], '\n')
	// A last chunk's trailer may still be on its way.
	return i >= 0 && window[2] != '0' && 2+i+1 < len(window)
}

// nextChunk reads the line that begins a chunk. After the last one it reads the
// trailer too, and returns io.EOF.
func (b *body) nextChunk(cn *conn) error {
	if b.begun {
		line, err := cn.peekLine(maxChunkLine)
		if err != nil {
			return err
		}
		if len(line) > 0 {
			return malformed("a chunk is longer than its size")
		}
		cn.pos += 2
	}
	line, err := cn.peekLine(maxChunkLine)
	if err != nil {
		return err
	}
	size, digits, err := parseChunkSize(line)
	if err != nil {
		return err
	}
	if b.excess += len(line) - digits; b.excess > maxChunkExcess {
		return malformed("too many chunk extensions")
	}
	cn.pos += len(line) + 2
	b.begun, b.left = true, size
	if size > 0 {
		return nil
	}
	if err := cn.readTrailer(&b.x.resp, b.x.client.cfg.MaxHeaderBytes); err != nil {
		return err
	}
	return io.EOF
}

// parseChunkSize reads hexadecimal digits, which an extension may follow.
func parseChunkSize(line []byte) (size int64, digits int, err error) {
	for ; digits < len(line); digits++ {
		d := hexDigit(line[digits])
		if d < 0 {
			break
		}
		if size >= 1<<58 || digits == maxChunkDigits {
			return 0, 0, malformed("a chunk's size is too large")
		}
		size = size<<4 | int64(d)
	}
	if digits == 0 || digits < len(line) && line[digits] != ';' || !validValue(string(line[digits:])) {
		return 0, 0, malformedf("chunk size %.32q", line)
	}
	return size, digits, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
