package main

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"strconv"
)

var (
	errHead    = errors.New("malformed HTTP/1.1 head")
	errChunk   = errors.New("malformed chunk")
	errTooLong = errors.New("head or chunk line longer than the buffer")
)

// stream reads the HTTP/1.1 messages of one connection in place. It allocates nothing after newStream;
// the slices it hands out are valid until its next call. The backend, the load generator and the hybrid share it,
// so it reads requests and responses alike.
type stream struct {
	src      io.Reader
	buf      []byte
	pos, end int

	left    int64 // bytes left of the body, or of the current chunk
	chunked bool  // more chunks follow
	inside  bool  // a chunk was begun, so its CRLF comes before the next size
}

func newStream(src io.Reader, size int) *stream {
	return &stream{src: src, buf: make([]byte, size)}
}

// head is the start of one message: its first line, its header lines and what they say about the body.
type head struct {
	line   []byte
	fields []byte
	length int64 // of the body; -1 when chunked
	framed bool  // a length or a chunked coding was given
	closes bool  // Connection: close
}

// next reads the head of the next message. The body of the previous one must have been read to io.EOF.
func (s *stream) next() (head, error) {
	var searched int
	for {
		window := s.buf[s.pos:s.end]
		if i := bytes.Index(window[searched:], []byte("\r\n\r\n")); i >= 0 {
			i += searched
			s.pos += i + 4
			return s.frame(window[:i+2])
		}
		searched = max(0, len(window)-3)
		if err := s.fill(); err != nil {
			return head{}, err
		}
	}
}

func (s *stream) frame(raw []byte) (head, error) {
	line, fields, ok := bytes.Cut(raw, []byte("\r\n"))
	if !ok || len(line) == 0 {
		return head{}, errHead
	}
	h := head{line: line, fields: fields}
	for name, value := range headers(fields) {
		switch len(name) {
		case len("Content-Length"):
			if bytes.EqualFold(name, []byte("Content-Length")) {
				n, ok := number(value, 10)
				if !ok {
					return head{}, errHead
				}
				h.length, h.framed = n, true
			}
		case len("Transfer-Encoding"):
			if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
				h.length, h.framed = -1, bytes.EqualFold(value, []byte("chunked"))
			}
		case len("Connection"):
			if bytes.EqualFold(name, []byte("Connection")) {
				h.closes = bytes.EqualFold(value, []byte("close"))
			}
		}
	}
	s.left, s.chunked, s.inside = max(0, h.length), h.length < 0, false
	return h, nil
}

// piece is the next part of the current message's body; io.EOF ends it.
func (s *stream) piece() ([]byte, error) {
	for s.left == 0 && s.chunked {
		if err := s.chunk(); err != nil {
			return nil, err
		}
	}
	if s.left == 0 {
		return nil, io.EOF
	}
	if s.pos == s.end {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	n := int(min(int64(s.end-s.pos), s.left))
	p := s.buf[s.pos : s.pos+n]
	s.pos += n
	s.left -= int64(n)
	return p, nil
}

// chunk reads the next chunk's size, and after the last one the trailers.
func (s *stream) chunk() error {
	if s.inside {
		if rest, err := s.text(); err != nil || len(rest) != 0 {
			return errors.Join(errChunk, err)
		}
	}
	line, err := s.text()
	if err != nil {
		return err
	}
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, ok := number(bytes.TrimSpace(size), 16)
	if !ok {
		return errChunk
	}
	s.left, s.inside = n, true
	if n > 0 {
		return nil
	}
	for {
		line, err := s.text()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			s.chunked = false
			return nil
		}
	}
}

// text is the next line without its line end.
func (s *stream) text() ([]byte, error) {
	for {
		window := s.buf[s.pos:s.end]
		if i := bytes.IndexByte(window, '\n'); i >= 0 {
			s.pos += i + 1
			return bytes.TrimSuffix(window[:i], []byte("\r")), nil
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more behind what is buffered. A clean end between two messages is io.EOF, any other io.ErrUnexpectedEOF.
func (s *stream) fill() error {
	if s.pos == s.end {
		s.pos, s.end = 0, 0
	} else if s.end == len(s.buf) {
		if s.pos == 0 {
			return errTooLong
		}
		s.end = copy(s.buf, s.buf[s.pos:s.end])
		s.pos = 0
	}
	n, err := s.src.Read(s.buf[s.end:])
	s.end += n
	switch {
	case n > 0:
		return nil
	case err == io.EOF && (s.pos < s.end || s.left > 0 || s.chunked):
		return io.ErrUnexpectedEOF
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// status is the code of a response's first line.
func (h head) status() (int, error) {
	if len(h.line) < 12 || !bytes.HasPrefix(h.line, []byte("HTTP/1.")) {
		return 0, errHead
	}
	n, ok := number(h.line[9:12], 10)
	if !ok {
		return 0, errHead
	}
	return int(n), nil
}

// target is the method and the path with query of a request's first line.
func (h head) target() (method, path []byte, err error) {
	method, rest, ok := bytes.Cut(h.line, []byte(" "))
	path, version, found := bytes.Cut(rest, []byte(" "))
	if !ok || !found || !bytes.HasPrefix(version, []byte("HTTP/1.")) {
		return nil, nil, errHead
	}
	return method, path, nil
}

// headers yields the name and value of every line in fields.
func headers(fields []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(fields) > 0 {
			var line []byte
			line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
			name, value, ok := bytes.Cut(line, []byte(":"))
			if ok && !yield(name, bytes.TrimSpace(value)) {
				return
			}
		}
	}
}

// number reads an unsigned number of at most 15 digits.
func number(text []byte, base int) (int64, bool) {
	if len(text) == 0 || len(text) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range text {
		var digit int
		switch {
		case c >= '0' && c <= '9':
			digit = int(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			digit = int(c|0x20-'a') + 10
		default:
			return 0, false
		}
		if digit >= base {
			return 0, false
		}
		n = n*int64(base) + int64(digit)
	}
	return n, true
}

// appendResponse writes a complete 200 answer with a body of JSON, which no cache keeps.
func appendResponse(out, body []byte) []byte { return appendCacheable(out, body, "no-store") }

// appendCacheable says of an answer what caches may do with it.
func appendCacheable(out, body []byte, control string) []byte {
	out = append(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: "...)
	out = append(out, control...)
	out = append(out, "\r\nX-Served-By: backend\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	out = append(out, "\r\n\r\n"...)
	return append(out, body...)
}
