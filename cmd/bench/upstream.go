package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

// upstream is a synchronous HTTP/1.1 client of one host: a request has a connection to itself, the caller's goroutine
// writes and reads it, and a deadline on the connection bounds it. It probes what such a client saves over
// http.Transport; a connection that went stale while idle fails its request, which a product's client must not allow.
type upstream struct {
	host string

	mu   sync.Mutex
	idle []*link
}

// link is one connection with its buffers.
type link struct {
	net.Conn
	in  *stream
	out []byte
}

// take is an idle connection or a new one, due to finish by the time given.
func (u *upstream) take(due time.Time) (*link, error) {
	u.mu.Lock()
	var l *link
	if n := len(u.idle); n > 0 {
		l = u.idle[n-1]
		u.idle = u.idle[:n-1]
	}
	u.mu.Unlock()
	if l == nil {
		conn, err := net.DialTimeout("tcp", u.host, time.Until(due))
		if err != nil {
			return nil, err
		}
		l = &link{Conn: conn, in: newStream(conn, 32<<10)}
	}
	if err := l.SetDeadline(due); err != nil {
		l.Close()
		return nil, err
	}
	l.out = l.out[:0]
	return l, nil
}

func (u *upstream) put(l *link, h head) {
	if h.closes {
		l.Close()
		return
	}
	u.mu.Lock()
	u.idle = append(u.idle, l)
	u.mu.Unlock()
}

// get appends the body of a 200 answer to buf.
func (u *upstream) get(due time.Time, buf []byte, path ...string) ([]byte, error) {
	l, err := u.take(due)
	if err != nil {
		return buf, err
	}
	l.out = append(l.out, "GET "...)
	for _, part := range path {
		l.out = append(l.out, part...)
	}
	l.out = append(append(append(l.out, " HTTP/1.1\r\nHost: "...), u.host...), "\r\n\r\n"...)
	h, status, err := l.exchange()
	if err != nil {
		l.Close()
		return buf, err
	}
	for {
		p, err := l.in.piece()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			l.Close()
			return buf, err
		}
		buf = append(buf, p...)
	}
	u.put(l, h)
	if status != http.StatusOK {
		return buf, fmt.Errorf("%s: status %d", strings.Join(path, ""), status)
	}
	return buf, nil
}

// ServeHTTP passes a request through: the bodies are streamed both ways.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l, err := u.take(time.Now().Add(deadline))
	if err != nil {
		http.Error(w, "upstream failed", http.StatusBadGateway)
		return
	}
	err = l.send(u.host, r)
	var h head
	var status int
	if err == nil {
		h, status, err = l.exchange()
	}
	if err != nil {
		l.Close()
		http.Error(w, "upstream failed", http.StatusBadGateway)
		return
	}
	copyHeader(w.Header(), h.fields)
	w.WriteHeader(status)
	for {
		p, err := l.in.piece()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			_, err = w.Write(p)
		}
		if err != nil {
			l.Close()
			panic(http.ErrAbortHandler)
		}
	}
	u.put(l, h)
}

// send puts the request's head into l.out and, where there is a body, writes all but its last part.
func (l *link) send(host string, r *http.Request) error {
	out := append(l.out, r.Method...)
	out = append(append(out, ' '), r.URL.RequestURI()...)
	out = append(append(append(out, " HTTP/1.1\r\nHost: "...), host...), "\r\n"...)
	for name, values := range r.Header {
		if hopByHop(name) {
			continue
		}
		for _, v := range values {
			out = append(append(append(append(out, name...), ": "...), v...), "\r\n"...)
		}
	}
	if r.ContentLength < 0 {
		return errors.New("a body without a length is not passed on")
	}
	if r.ContentLength > 0 {
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), r.ContentLength, 10), "\r\n"...)
	}
	out = append(out, "\r\n"...)
	for left := r.ContentLength; left > 0; {
		if cap(out) < 16<<10 {
			out = append(make([]byte, 0, 16<<10), out...)
		}
		if len(out) == cap(out) {
			if _, err := l.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
		n, err := r.Body.Read(out[len(out):min(cap(out), len(out)+int(left))])
		out = out[:len(out)+n]
		left -= int64(n)
		if err != nil && left > 0 {
			return io.ErrUnexpectedEOF
		}
	}
	l.out = out
	return nil
}

// exchange writes l.out and reads the head of the answer.
func (l *link) exchange() (head, int, error) {
	if _, err := l.Write(l.out); err != nil {
		return head{}, 0, err
	}
	h, err := l.in.next()
	if err != nil {
		return head{}, 0, err
	}
	status, err := h.status()
	if err == nil && !h.framed {
		err = errors.New("answer without a length")
	}
	return h, status, err
}

// copyHeader shares one string among all names and values.
func copyHeader(to http.Header, fields []byte) {
	text := string(fields)
	for line := range strings.SplitSeq(text, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if name != "Content-Length" && hopByHop(name) {
			continue
		}
		to[name] = append(to[name], strings.TrimSpace(value))
	}
}

// hopByHop tells the headers that are one connection's matter (RFC 9110, section 7.6.1), and the length, which is written anew.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}
