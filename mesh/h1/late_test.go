package h1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// late is a context that calls watch only when they last, and counts those that did.
type late struct {
	context.Context
	watched int
}

const unwatched = 5 * time.Millisecond

func (c *late) Unwatched() time.Duration { return unwatched }

func (c *late) ErrAt(time.Time) error { return c.Err() }

func (c *late) AfterCancel(f func()) (stop func() bool) {
	c.watched++
	return context.AfterFunc(c.Context, f)
}

// What a caller may rely on holds whether the context is watched from the first
// moment or later.
func TestACallThatIsWatchedLate(t *testing.T) {
	pause := func(d time.Duration) func(*bufio.Reader, net.Conn) {
		return func(in *bufio.Reader, conn net.Conn) {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			time.Sleep(d)
			io.WriteString(conn, okReply)
		}
	}
	inPieces := func(in *bufio.Reader, conn net.Conn) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
		for _, b := range "slow" {
			time.Sleep(3 * time.Millisecond)
			io.WriteString(conn, string(b))
		}
	}
	for _, c := range []struct {
		name     string
		server   func(*bufio.Reader, net.Conn) // answers one request
		body     string
		cancel   time.Duration // 0: never
		deadline time.Duration // the attempt's; 0: none
		context  time.Duration // the context's deadline; 0: none
		want     string
		err      error
		took     time.Duration
		watched  int
		kept     bool // the connection
	}{
		{name: "ends at once", server: pause(0), want: "ok", kept: true},
		{name: "ends before it is watched", server: pause(unwatched - 1), want: "ok", took: unwatched - 1, kept: true},
		{name: "lasts", server: pause(time.Second), want: "ok", took: time.Second, watched: 1, kept: true},
		{name: "its body lasts", server: inPieces, want: "slow", took: 12 * time.Millisecond, watched: 1, kept: true},
		{name: "is cancelled early", server: pause(time.Second), cancel: time.Millisecond, err: context.Canceled, took: unwatched, watched: 1},
		{name: "is cancelled late", server: pause(time.Second), cancel: 80 * time.Millisecond, err: context.Canceled, took: 80 * time.Millisecond, watched: 1},
		{name: "times out early", server: pause(time.Second), deadline: time.Millisecond, err: errTimedOut, took: time.Millisecond, watched: 1},
		{name: "times out late", server: pause(time.Second), deadline: 50 * time.Millisecond, err: errTimedOut, took: 50 * time.Millisecond, watched: 1},
		{name: "its context ends early", server: pause(time.Second), context: time.Millisecond, err: context.DeadlineExceeded, took: time.Millisecond, watched: 1},
		{name: "its context ends late", server: pause(time.Second), context: 50 * time.Millisecond, err: context.DeadlineExceeded, took: 50 * time.Millisecond, watched: 1},
		{name: "has a body", server: pause(time.Millisecond), body: "data", want: "ok", took: time.Millisecond, kept: true},
		{name: "the server is slow to read", body: strings.Repeat("data", 1000), want: "ok", took: 20 * time.Millisecond, watched: 1, kept: true,
			server: func(in *bufio.Reader, conn net.Conn) {
				time.Sleep(20 * time.Millisecond)
				pause(0)(in, conn)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				client := New(&url.URL{Scheme: "http", Host: "test"}, Config{
					Dial: func(context.Context, string, string) (net.Conn, error) { return here, nil },
				})
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					defer there.Close()
					for in := bufio.NewReader(there); ; {
						if _, err := in.Peek(1); err != nil {
							return
						}
						c.server(in, there)
					}
				}()
				defer func() { client.Close(); here.Close(); <-ended }()

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.context > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.context)
					defer cancel()
				}
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				begin := time.Now()
				l := &late{Context: ctx}
				method, body := "GET", io.Reader(nil)
				if c.body != "" {
					method, body = "POST", strings.NewReader(c.body)
				}
				req, _ := http.NewRequestWithContext(l, method, "/", body)
				var o Options
				if c.deadline > 0 {
					o.Deadline = begin.Add(c.deadline)
				}
				resp, err := client.Do(req, o)
				got := ""
				if err == nil {
					var b []byte
					b, err = io.ReadAll(resp.Body)
					got = string(b)
					resp.Body.Close()
				}
				if got != c.want || c.err == errTimedOut && !isTimeout(err) || c.err != errTimedOut && !errors.Is(err, c.err) {
					t.Errorf("got %q, %v, want %q, %v", got, err, c.want, c.err)
				}
				if took := time.Since(begin); took != c.took || l.watched != c.watched {
					t.Errorf("took %v and watched %d times, want %v and %d", took, l.watched, c.took, c.watched)
				}
				if _, closed := client.Stats(); (closed == 0) != c.kept {
					t.Errorf("%d connections were closed", closed)
				}
			})
		})
	}
}

// errTimedOut stands for the attempt's own timeout.
var errTimedOut = errors.New("timed out")
