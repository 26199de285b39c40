package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// call is one request and the answer that is right for it.
type call struct {
	request []byte
	want    []byte
	json    bool // compare as JSON documents: the order of fields and spaces are free
}

// request is one with Host and four headers, as clients of a gateway send them.
type request struct {
	method, path, body string
	token              string // "" is one that nobody looks at
	public             bool   // has no token at all
	fields             string // further lines of the header
}

// newCall makes a request, and says what answer is right.
func newCall(method, path, body, want string, asJSON bool) call {
	return request{method: method, path: path, body: body}.expect(want, asJSON)
}

func (r request) expect(want string, asJSON bool) call {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1\r\nAccept: application/json\r\nX-Tenant: acme\r\n", r.method, r.path)
	if !r.public {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", cmp.Or(r.token, "0123456789abcdef0123456789abcdef"))
	}
	b.WriteString(r.fields)
	if r.body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n" + r.body)
	return call{request: b.Bytes(), want: []byte(want), json: asJSON}
}

// load is a closed loop of keep-alive connections to one server. Between dial and close it allocates nothing per request.
type load struct {
	addr    string
	conns   []*loadConn
	calls   []call
	lengths []int // of the body of each call's answer, as verified
}

type loadConn struct {
	net.Conn
	in   *stream
	took []time.Duration
}

// dial opens the connections and verifies every call's answer.
func dial(addr string, connections int, calls []call) (*load, error) {
	l := &load{addr: addr, calls: calls}
	for range connections {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, &loadConn{Conn: conn, in: newStream(conn, 64<<10)})
	}
	for _, c := range calls {
		n, err := l.conns[0].verify(c)
		if err != nil {
			l.close()
			line, _, _ := strings.Cut(string(c.request), " HTTP")
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		l.lengths = append(l.lengths, n)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		c.Close()
	}
}

// run makes n requests, checks the status and length of every answer and says how long all took together.
// It fails at the first wrong one.
func (l *load) run(ctx context.Context, n int) (time.Duration, error) {
	for _, c := range l.conns {
		c.took = slices.Grow(c.took, n)
		if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			return 0, err
		}
	}
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	var (
		group  sync.WaitGroup
		next   atomic.Int64
		failed = make([]error, len(l.conns))
	)
	start := time.Now()
	for i, c := range l.conns {
		group.Go(func() {
			if failed[i] = c.spin(l, &next, int64(n)); failed[i] != nil {
				next.Store(int64(n))
			}
		})
	}
	group.Wait()
	wall := time.Since(start)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return wall, errors.Join(failed...)
}

// latencies are those of all requests since the last time they were asked for, sorted.
func (l *load) latencies() []time.Duration {
	var all []time.Duration
	for _, c := range l.conns {
		all = append(all, c.took...)
		c.took = c.took[:0]
	}
	slices.Sort(all)
	return all
}

func (c *loadConn) spin(l *load, next *atomic.Int64, n int64) error {
	for {
		i := next.Add(1) - 1
		if i >= n {
			return nil
		}
		which := int(i) % len(l.calls)
		start := time.Now()
		h, err := c.send(l.calls[which].request)
		if err != nil {
			return err
		}
		length := 0
		for {
			p, err := c.in.piece()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			length += len(p)
		}
		if length != l.lengths[which] {
			return fmt.Errorf("answer of %d bytes, want %d", length, l.lengths[which])
		}
		if h.closes {
			return errors.New("the server closes a connection that the client keeps alive")
		}
		c.took = append(c.took, time.Since(start))
	}
}

// send writes a request and reads the head of the answer, which must be a 200.
func (c *loadConn) send(request []byte) (head, error) {
	if _, err := c.Write(request); err != nil {
		return head{}, err
	}
	h, err := c.in.next()
	if err != nil {
		return head{}, err
	}
	status, err := h.status()
	switch {
	case err != nil:
		return head{}, err
	case status != 200:
		return head{}, fmt.Errorf("status %d, want 200", status)
	case !h.framed:
		return head{}, errors.New("answer without a length")
	}
	return h, nil
}

// verify compares one answer with the expected one and returns the length of its body.
func (c *loadConn) verify(want call) (int, error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	h, err := c.send(want.request)
	if err != nil {
		return 0, err
	}
	kind, coding := "", ""
	for name, value := range headers(h.fields) {
		switch strings.ToLower(string(name)) {
		case "content-type":
			kind = string(value)
		case "content-encoding":
			coding = string(value)
		}
	}
	var body []byte
	for {
		p, err := c.in.piece()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		body = append(body, p...)
	}
	if kind, _, _ = strings.Cut(kind, ";"); kind != "application/json" {
		return 0, fmt.Errorf("Content-Type %q, want application/json", kind)
	}
	length := len(body)
	if coding == "gzip" {
		if body, err = unzip(body); err != nil {
			return 0, err
		}
	}
	return length, sameBody(body, want)
}

func unzip(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func sameBody(body []byte, want call) error {
	if bytes.Equal(body, want.want) {
		return nil
	}
	if want.json {
		got, err := decode(body)
		if err != nil {
			return fmt.Errorf("the answer is not JSON: %w: %.200s", err, body)
		}
		if expected, err := decode(want.want); err != nil || reflect.DeepEqual(got, expected) {
			return err
		}
	}
	return fmt.Errorf("answer of %d bytes: %.300s\nwant %d bytes: %.300s", len(body), body, len(want.want), want.want)
}

func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = errors.New("more than one document")
	}
	return v, err
}
