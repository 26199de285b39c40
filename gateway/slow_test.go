package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pipes is a listener whose connections are in memory, so that their time is
// virtual. What one side writes waits until the other reads it.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.ended); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// client is the other end of a connection to a gateway, in virtual time.
type client struct {
	net.Conn
	t     *testing.T
	read  *bufio.Reader
	begin time.Time
}

// connect opens a connection to a gateway whose only route is POST /a.
func connect(t *testing.T, handler http.HandlerFunc) *client {
	r := route("POST", "/a")
	r.Handler, r.MaxBody = handler, -1
	p := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
	server := NewServer(slog.New(slog.DiscardHandler), newTestMetrics(t, prometheus.NewRegistry()))
	server.Open = func(string, string) (net.Listener, error) { return p, nil }
	l := mustListen(t, server, ":80", ListenerConfig{})
	l.Swap(newTestHandler(t, Options{}, r))
	l.Start()
	near, far := net.Pipe()
	p.conns <- far
	t.Cleanup(func() {
		near.Close()
		if err := l.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &client{Conn: near, t: t, read: bufio.NewReader(near), begin: time.Now()}
}

func (c *client) send(format string, args ...any) error {
	_, err := fmt.Fprintf(c, format, args...)
	return err
}

// drip sends the text every second until the connection is closed.
func (c *client) drip(header, text string) {
	ended := make(chan struct{})
	c.t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		for err := c.send("%s", header); err == nil; err = c.send("%s", text) {
			time.Sleep(time.Second)
		}
	}()
}

func (c *client) expect(status int, body string) {
	c.t.Helper()
	answer, err := http.ReadResponse(c.read, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	got, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != status || !strings.Contains(string(got), body) {
		c.t.Fatalf("got %d %q, %v", answer.StatusCode, got, err)
	}
}

// expectClosed reads to the end of the connection, which must come at a time
// after the client began.
func (c *client) expectClosed(after time.Duration) {
	c.t.Helper()
	_, _ = io.Copy(io.Discard, c.read)
	if took := time.Since(c.begin); took != after {
		c.t.Errorf("closed after %v, want %v", took, after)
	}
}

func echoLength(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if p, ok := ProblemOf(err); ok {
		WriteProblem(w, r, p)
		return
	}
	fmt.Fprintf(w, "%d bytes", n)
}

func TestASlowHeaderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, echoLength)
		c.drip("", "P")
		c.expectClosed(5 * time.Second)
	})
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, echoLength)
		go func() { _ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n") }()
		c.expect(200, "0 bytes")
		c.expectClosed(75 * time.Second)
	})
}

func TestADrippingBodyIsRefused(t *testing.T) {
	for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
		synctest.Test(t, func(t *testing.T) {
			c := connect(t, echoLength)
			c.drip("POST /a HTTP/1.1\r\nHost: x\r\n"+framing+"\r\n\r\n", "1\r\n1\r\n")
			c.expect(408, "body-too-slow")
			if took := time.Since(c.begin); took < 28*time.Second || took > 32*time.Second {
				t.Errorf("refused after %v", took)
			}
			_, _ = io.Copy(io.Discard, c.read) // the connection closes
		})
	}
}

func TestALongUploadAtTheLeastRateIsTaken(t *testing.T) {
	const pieces = 600
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, echoLength)
		go func() {
			_ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", pieces*600)
			for range pieces {
				time.Sleep(time.Second)
				_ = c.send("%s", strings.Repeat("x", 600))
			}
		}()
		c.expect(200, fmt.Sprint(pieces*600))
	})
}

func TestTheHandlersOwnTimeIsNotTheClients(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			_, _ = io.ReadFull(r.Body, make([]byte, 1))
			time.Sleep(time.Minute)
		}
		echoLength(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, slow)
		go func() { _ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello") }()
		c.expect(200, "2 bytes")
	})
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		c := connect(t, func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.Copy(w, strings.NewReader(strings.Repeat("x", 10<<20)))
			ended <- err
		})
		_ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the write ended by %v", err)
		}
		if took := time.Since(c.begin); took != 30*time.Second {
			t.Errorf("cut off after %v", took)
		}
	})
}

func TestPausesOfTheHandlerAreNotStalls(t *testing.T) {
	events := func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			time.Sleep(10 * time.Minute)
			fmt.Fprintf(w, "event %d\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, events)
		for range 2 { // the second request finds the deadlines of the first
			go func() { _ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok") }()
			c.expect(200, "event 2")
			time.Sleep(time.Minute)
		}
	})
}

func TestAClientThatLeavesEndsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		c := connect(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
		_ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
		time.Sleep(time.Hour) // no read deadline is left that would end it
		c.Close()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended by %v", err)
		}
		if took := time.Since(c.begin); took != time.Hour {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestExpectContinueIsAnsweredWhenTheBodyIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, echoLength)
		go func() {
			_ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		}()
		c.expect(100, "")
		go func() { _ = c.send("hello") }()
		c.expect(200, "5 bytes")
	})
}

func TestABodyIsAskedForHoweverLongTheHandlerTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			echoLength(w, r)
		})
		go func() {
			_ = c.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		}()
		c.expect(100, "")
		go func() { _ = c.send("hello") }()
		c.expect(200, "5 bytes")
	})
}

func TestABodyThatNobodyReadsDoesNotHoldTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, echoLength)
		go func() { _ = c.send("POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n") }()
		c.expect(404, "route-not-found")
		if took := time.Since(c.begin); took != 0 {
			t.Errorf("answered after %v", took)
		}
		c.expectClosed(5 * time.Second)
	})
}
