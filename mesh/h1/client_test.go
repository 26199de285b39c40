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
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

const okReply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// exchangeText makes one call and returns the reply's body.
func exchangeText(c *Client, req *http.Request) (string, error) {
	resp, err := c.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func opOf(err error) Op {
	var e *Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Op
}

// A server that reads a request on a connection that was idle, and closes it
// without an answer, looks like one that had closed it just before.
func TestRequestsThatAreSentAgain(t *testing.T) {
	streamed := func() io.Reader { return io.MultiReader(strings.NewReader("data")) }
	for _, c := range []struct {
		name, method string
		body         func() io.Reader
		key          string
		again        bool
	}{
		{"GET", "GET", nil, "", true},
		{"DELETE", "DELETE", nil, "", true},
		{"PUT in memory", "PUT", func() io.Reader { return strings.NewReader("data") }, "", true},
		{"PUT streamed", "PUT", streamed, "", false},
		{"POST", "POST", nil, "", false},
		{"POST in memory", "POST", func() io.Reader { return strings.NewReader("data") }, "", false},
		{"POST in memory with a key", "POST", func() io.Reader { return strings.NewReader("data") }, "k1", true},
		{"POST streamed with a key", "POST", streamed, "k1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var connections atomic.Int32
			client := serve(t, Config{}, func(conn net.Conn) {
				in := bufio.NewReader(conn)
				answers := 1
				if connections.Add(1) > 1 {
					answers = 100
				}
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if answers--; answers < 0 {
						return
					}
					io.WriteString(conn, okReply)
				}
			})
			if got, err := exchangeText(client, get(t, "GET")); got != "ok" {
				t.Fatal(got, err)
			}
			var body io.Reader
			if c.body != nil {
				body = c.body()
			}
			req, _ := http.NewRequest(c.method, "/", body)
			if c.key != "" {
				req.Header.Set("Idempotency-Key", c.key)
			}
			got, err := exchangeText(client, req)
			if c.again != (err == nil) || c.again != (connections.Load() == 2) {
				t.Errorf("%q, %v, %d connections", got, err, connections.Load())
			}
			if !c.again && (opOf(err) != OpRead || !isReset(err)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// What was not asked for must not become the answer to the next request.
func TestBytesNobodyAskedFor(t *testing.T) {
	timeout := "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	t.Run("with the response", func(t *testing.T) {
		c := serve(t, Config{}, replying(okReply+timeout))
		for range 3 {
			if got, err := exchangeText(c, get(t, "GET")); got != "ok" {
				t.Error(got, err)
			}
		}
		if dialed, closed := c.Stats(); dialed != 3 || closed != 3 {
			t.Errorf("%d dialed, %d closed", dialed, closed)
		}
	})
	t.Run("while idle", func(t *testing.T) {
		said := make(chan struct{}, 3)
		idle := make(chan struct{}, 3)
		c := serve(t, Config{}, func(conn net.Conn) {
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, okReply)
			<-idle
			io.WriteString(conn, timeout)
			said <- struct{}{}
		})
		for range 3 {
			if got, err := exchangeText(c, get(t, "POST")); got != "ok" {
				t.Error(got, err)
			}
			idle <- struct{}{}
			<-said
		}
	})
}

func TestBodyToALengthPromised(t *testing.T) {
	for _, size := range []int{10, maxTogether + 10} {
		for name, c := range map[string]struct {
			extra  int
			stream bool
		}{
			"short in memory": {-1, false}, "long in memory": {1, false},
			"short streamed": {-1, true}, "long streamed": {1, true},
		} {
			client := serve(t, Config{}, func(conn net.Conn) { io.Copy(io.Discard, conn) })
			var body io.Reader = strings.NewReader(strings.Repeat("x", size+c.extra))
			if c.stream {
				body = iotest.OneByteReader(body)
			}
			req, _ := http.NewRequest("POST", "/", body)
			req.ContentLength = int64(size)
			if _, err := exchangeText(client, req); opOf(err) != OpBody {
				t.Errorf("%s, %d bytes: %v", name, size, err)
			}
		}
	}
}

type closeCounter struct {
	io.Reader
	closed chan struct{}
}

func (c closeCounter) Close() error { c.closed <- struct{}{}; return nil }

func TestTheBodyIsClosedOnceInAllCases(t *testing.T) {
	refusing := New(&url.URL{Host: "127.0.0.1:1"}, Config{})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		client *Client
		spoil  func(*http.Request)
		ctx    context.Context
	}{
		{"success", serve(t, Config{}, replying(okReply)), nil, t.Context()},
		{"refused", refusing, nil, t.Context()},
		{"canceled", refusing, nil, canceled},
		{"reset", serve(t, Config{}, func(net.Conn) {}), nil, t.Context()},
		{"invalid", refusing, func(r *http.Request) { r.Method = "a b" }, t.Context()},
		{"expectation refused", serve(t, Config{}, replying("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")),
			func(r *http.Request) { r.Header.Set("Expect", "100-continue") }, t.Context()},
	} {
		for _, length := range []int64{4, -1} {
			body := closeCounter{strings.NewReader("\r\n\r\n"), make(chan struct{}, 2)}
			req, _ := http.NewRequestWithContext(c.ctx, "POST", "/", body)
			req.ContentLength = length
			if c.spoil != nil {
				c.spoil(req)
			}
			exchangeText(c.client, req)
			<-body.closed
			if len(body.closed) > 0 {
				t.Errorf("%s, length %d: closed twice", c.name, length)
			}
		}
	}
}

// However the caller spells a field that frames the message, there is one that counts.
func TestTheRequestIsFramedOnce(t *testing.T) {
	got := make(chan string, 1)
	c := serve(t, Config{}, func(conn net.Conn) {
		b := make([]byte, 4096)
		n, _ := conn.Read(b)
		got <- string(b[:n])
		io.WriteString(conn, okReply)
	})
	req, _ := http.NewRequest("POST", "http://shop/a?b", strings.NewReader("data"))
	for _, name := range []string{"Content-Length", "content-length", "Transfer-Encoding", "tRANSFER-eNCODING", "Host", "host", "Trailer", "trailer"} {
		req.Header[name] = []string{"99"}
	}
	if _, err := exchangeText(c, req); err != nil {
		t.Fatal(err)
	}
	const want = "POST /a?b HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\ndata"
	if got := <-got; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestExpectContinueWithASilentServer(t *testing.T) {
	c := serve(t, Config{ContinueTimeout: 5 * time.Millisecond}, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		body := make([]byte, 5)
		if _, err := io.ReadFull(in, body); err == nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"+string(body))
		}
	})
	req, _ := http.NewRequest("POST", "/", strings.NewReader("hello"))
	req.Header.Set("Expect", "100-continue")
	if got, err := exchangeText(c, req); got != "hello" {
		t.Error(got, err)
	}
}

func TestCancellationWhileTheBodyIsRead(t *testing.T) {
	c := serve(t, Config{}, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	out, in := io.Pipe()
	defer in.Close()
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", "/", out)
	go func() {
		io.WriteString(in, "some")
		cancel()
	}()
	if _, err := exchangeText(c, req); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCloseUnderARead(t *testing.T) {
	c := serve(t, Config{}, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
		io.Copy(io.Discard, conn)
	})
	resp, err := c.RoundTrip(get(t, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(resp.Body, make([]byte, 2))
	time.AfterFunc(5*time.Millisecond, func() { resp.Body.Close() })
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Error(err)
	}
	if dialed, closed := c.Stats(); dialed != closed {
		t.Errorf("%d dialed, %d closed", dialed, closed)
	}
}

func TestASmallRestIsDrained(t *testing.T) {
	for reply, kept := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + strings.Repeat("x", 500):                                        true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + strings.Repeat("x", 500) + "\r\n0\r\n\r\n":        true,
		"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + strings.Repeat("x", 50000):                                    false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n" + strings.Repeat("x", 50000) + "\r\n0\r\n\r\n":     false,
		"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + strings.Repeat("x", 400):                                        false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + strings.Repeat("x", 500) + "\r\n0\r\nX: trailing": false,
	} {
		c := serve(t, Config{}, replying(reply))
		resp, err := c.RoundTrip(get(t, "GET"))
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(resp.Body, make([]byte, 10))
		resp.Body.Close()
		if _, closed := c.Stats(); kept != (closed == 0) {
			t.Errorf("%.60q: kept %v", reply, closed == 0)
		}
	}
}

func TestTimeoutErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(&url.URL{Host: "test"}, Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				io.Copy(io.Discard, server)
				server.Close()
			}()
			return client, nil
		}})
		_, err := c.Do(get(t, "GET"), Options{Deadline: time.Now().Add(time.Second)})
		var timeout net.Error
		if !isTimeout(err) || errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Error(err)
		}
		for _, o := range []Options{{}, {Deadline: time.Now().Add(time.Hour)}} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err = c.Do(get(t, "GET").WithContext(ctx), o); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
		}
	})
}

// pipeDialer makes connections in memory, which synctest can see waiting, to a
// server that says okReply.
func pipeDialer(_ context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		replying(okReply)(server)
		server.Close()
	}()
	return client, nil
}

func TestThePoolForgets(t *testing.T) {
	// together makes n calls at once and returns when all are done.
	together := func(c *Client, n int) {
		var replies []*http.Response
		for range n {
			resp, err := c.RoundTrip(get(t, "GET"))
			if err != nil {
				t.Fatal(err)
			}
			replies = append(replies, resp)
		}
		for _, resp := range replies {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	t.Run("more than MaxIdle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := New(&url.URL{Host: "test"}, Config{Dial: pipeDialer, MaxIdle: 2})
			together(c, 5)
			if dialed, closed := c.Stats(); dialed != 5 || closed != 3 {
				t.Errorf("%d dialed, %d closed", dialed, closed)
			}
			c.Close()
			if dialed, closed := c.Stats(); dialed != closed {
				t.Errorf("%d dialed, %d closed", dialed, closed)
			}
		})
	})
	t.Run("what was idle too long, the oldest first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := New(&url.URL{Host: "test"}, Config{Dial: pipeDialer, IdleTimeout: 10 * time.Second})
			defer c.Close()
			together(c, 3)
			for range 3 { // keeps the last one in use
				time.Sleep(4 * time.Second)
				together(c, 1)
			}
			synctest.Wait()
			if dialed, closed := c.Stats(); dialed != 3 || closed != 2 {
				t.Errorf("%d dialed, %d closed", dialed, closed)
			}
			time.Sleep(time.Minute)
			if _, closed := c.Stats(); closed != 3 {
				t.Errorf("%d closed", closed)
			}
		})
	})
	t.Run("what is too old, even in steady use", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := New(&url.URL{Host: "test"}, Config{Dial: pipeDialer, MaxAge: time.Minute})
			defer c.Close()
			for range 200 {
				together(c, 1)
				time.Sleep(time.Second)
			}
			if dialed, _ := c.Stats(); dialed != 4 && dialed != 3 {
				t.Errorf("%d dialed", dialed)
			}
		})
	})
	t.Run("what is in use after Close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := New(&url.URL{Host: "test"}, Config{Dial: pipeDialer})
			resp, err := c.RoundTrip(get(t, "GET"))
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			if _, closed := c.Stats(); closed != 1 {
				t.Errorf("%d closed", closed)
			}
		})
	})
}

// Many callers, some of which give up at any moment, get their own answers and
// leave nothing behind.
func TestManyCallersAtOnce(t *testing.T) {
	c := serve(t, Config{}, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			b, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			(&http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, TransferEncoding: []string{"chunked"},
				Body: io.NopCloser(strings.NewReader(req.URL.Path + string(b)))}).Write(conn)
		}
	})
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for j := range 50 {
				text := strings.Repeat(string(rune('a'+i)), j*20)
				ctx, cancel := context.WithCancel(context.Background())
				var body io.Reader = strings.NewReader(text)
				if j%2 == 0 {
					body = iotest.HalfReader(body)
				}
				req, _ := http.NewRequestWithContext(ctx, "POST", "/"+string(rune('a'+i)), body)
				if j%5 == 4 {
					go cancel()
				}
				got, err := exchangeText(c, req)
				switch {
				case err != nil && !errors.Is(err, context.Canceled):
					t.Error(err)
				case err == nil && got != req.URL.Path+text:
					t.Errorf("got %.20q for %.20q", got, req.URL.Path+text)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	c.Close()
	if dialed, closed := c.Stats(); dialed != closed {
		t.Errorf("%d dialed, %d closed", dialed, closed)
	}
}
