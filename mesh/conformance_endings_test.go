package mesh

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// The part of the conformance table that is about connections and about calls
// that do not end well.

func reuse(t *testing.T, open func(Config) *Service) {
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}})
	for i := range 20 {
		data := strings.Repeat("x", i*1000)
		resp, err := s.RoundTrip(newRequest(t, "POST", "/", strings.NewReader(data)))
		if got := text(t, resp, err); got != data {
			t.Fatalf("%d of %d bytes", len(got), len(data))
		}
	}
	if e := s.Stats().Endpoints[0]; e.Dialed != 1 || e.Closed != 0 || e.InFlight != 0 {
		t.Errorf("%+v", e)
	}
	s.Close()
	if e := s.Stats().Endpoints[0]; !eventually(func() bool { return s.Stats().Endpoints[0].Closed == 1 }) {
		t.Errorf("after Close: %+v", e)
	}
}

// eventually waits for what another goroutine does.
func eventually(ok func() bool) bool {
	for range 1000 {
		if ok() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

func connectionClose(t *testing.T, open func(Config) *Service) {
	saw := make(chan string, 4)
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		saw <- r.Header.Get("Connection")
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}})
	byField, byHeader := newRequest(t, "GET", "/", nil), newRequest(t, "GET", "/", nil)
	byField.Close = true
	byHeader.Header.Set("Connection", "close")
	for _, req := range []*http.Request{byField, byHeader} {
		resp, err := s.RoundTrip(req)
		text(t, resp, err)
		if got := <-saw; got != "close" {
			t.Errorf("server saw Connection: %q", got)
		}
	}
	if n := s.Stats().Endpoints[0].Dialed; n != 2 {
		t.Errorf("%d connections", n)
	}
}

func earlyClose(t *testing.T, open func(Config) *Service) {
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			w.Write(make([]byte, 10<<10))
		}
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}})
	for range 5 {
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Read(make([]byte, 10))
		resp.Body.Close()
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 10)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Error(err)
		}
	}
	if e := s.Stats().Endpoints[0]; e.InFlight != 0 || !eventually(func() bool { e = s.Stats().Endpoints[0]; return e.Closed == e.Dialed }) {
		t.Errorf("%+v", e)
	}
}

func staleConnection(t *testing.T, open func(Config) *Service) {
	closed := make(chan struct{}, 10)
	s := open(Config{Endpoints: []string{rawServer(t, func(conn net.Conn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		conn.Close()
		closed <- struct{}{}
	})}})
	for range 5 {
		body := io.MultiReader(strings.NewReader("cannot be replayed"))
		resp, err := s.RoundTrip(newRequest(t, "POST", "/", body))
		if got := text(t, resp, err); got != "ok" {
			t.Error(got)
		}
		<-closed
		time.Sleep(2 * time.Millisecond) // net/http notices on another goroutine
	}
}

func brokenReplies(t *testing.T, open func(Config) *Service) {
	huge := "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHeaderBytes+1) + "\r\n\r\n"
	for _, c := range []struct {
		name, reply string
		class       Class // of RoundTrip
		body        Class // of reading the body
	}{
		{"nothing", "", Reset, OK},
		{"another protocol", "SSH-2.0-OpenSSH_9.6\r\n", Malformed, OK},
		{"no status", "HTTP/1.1 OK\r\n\r\n", Malformed, OK},
		{"differing lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", Malformed, OK},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab", Malformed, OK},
		{"a list as length", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", Malformed, OK},
		{"an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Malformed, OK},
		{"a huge header", huge, Malformed, OK},
		{"a short body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", OK, Reset},
		{"a short chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", OK, Reset},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", OK, Reset},
		{"a bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\nab\r\n", OK, Malformed},
		{"a huge chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nab", OK, Malformed},
		{"a chunk longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", OK, Malformed},
	} {
		s := open(Config{Endpoints: []string{rawServer(t, func(conn net.Conn, in *bufio.Reader) {
			http.ReadRequest(in)
			io.WriteString(conn, c.reply)
		})}})
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		if got := classOf(t, err); got != c.class {
			t.Errorf("%s: %v, want %v: %v", c.name, got, c.class, err)
		}
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			if got := classOf(t, err); got != c.body {
				t.Errorf("%s: body: %v, want %v: %v", c.name, got, c.body, err)
			}
			resp.Body.Close()
		}
		if e := s.Stats().Endpoints[0]; e.InFlight != 0 || !eventually(func() bool { e = s.Stats().Endpoints[0]; return e.Closed == e.Dialed }) {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

func badRequests(t *testing.T, open func(Config) *Service) {
	s := open(Config{Endpoints: []string{rawServer(t, answering("HTTP/1.1 200 OK\r\n\r\n"))}})
	for name, spoil := range map[string]func(*http.Request){
		"header value":   func(r *http.Request) { r.Header["X"] = []string{"a\r\nEvil: b"} },
		"header NUL":     func(r *http.Request) { r.Header["X"] = []string{"a\x00b"} },
		"header name":    func(r *http.Request) { r.Header["X: y\r\nZ"] = []string{"a"} },
		"empty name":     func(r *http.Request) { r.Header[""] = []string{"a"} },
		"method":         func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"host":           func(r *http.Request) { r.Host = "a\r\nEvil: b" },
		"query newline":  func(r *http.Request) { r.URL.RawQuery = "a\nb" },
		"query space":    func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1" },
		"opaque":         func(r *http.Request) { r.URL.Opaque = "//x/y z" },
		"CONNECT":        func(r *http.Request) { r.Method = "CONNECT" },
		"trailer":        func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} },
		"length, nobody": func(r *http.Request) { r.ContentLength, r.Body = 5, nil },
		"no URL":         func(r *http.Request) { r.URL = nil },
	} {
		req := newRequest(t, "POST", "/", strings.NewReader("x"))
		spoil(req)
		if _, err := s.RoundTrip(req); classOf(t, err) != Rejected {
			t.Errorf("%s: %v", name, err)
		}
	}
	// In the path such characters are escaped, not refused.
	if n := s.Stats().Endpoints[0].Dialed; n != 0 {
		t.Errorf("%d connections", n)
	}
}

func badBody(t *testing.T, open func(Config) *Service) {
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer srv.Close()
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		body   io.Reader
		length int64
	}{
		"small":   {iotest.ErrReader(broken), 100},
		"large":   {io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10)), iotest.ErrReader(broken)), 200 << 10},
		"unknown": {io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), -1},
	} {
		s := open(Config{Retry: Retry{Attempts: 3}, Endpoints: []string{srv.URL}})
		req := newRequest(t, "PUT", "/", c.body)
		req.ContentLength = c.length
		_, err := s.RoundTrip(req)
		if classOf(t, err) != Rejected || !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.Stats().Endpoints[0].Attempts; n != 1 {
			t.Errorf("%s: %d attempts", name, n)
		}
	}
}

func refused(t *testing.T, open func(Config) *Service) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := open(Config{Endpoints: []string{"http://" + l.Addr().String()}, Timeout: time.Minute})
	if _, err := s.RoundTrip(newRequest(t, "POST", "/", strings.NewReader("x"))); classOf(t, err) != Connect {
		t.Error(err)
	}
}

func endings(t *testing.T, open func(Config) *Service) {
	release := make(chan struct{})
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("begun"))
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		close(release)
		srv.Close()
	})
	for _, c := range []struct {
		name    string
		timeout time.Duration
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		want    Class
		cause   error
	}{
		{"canceled", time.Hour, canceledSoon, Canceled, context.Canceled},
		{"canceled, no timeout", 0, canceledSoon, Canceled, context.Canceled},
		{"deadline", time.Hour, deadlineSoon, Deadline, context.DeadlineExceeded},
		{"deadline, no timeout", 0, deadlineSoon, Deadline, context.DeadlineExceeded},
		{"timeout", soon, context.WithCancel, Timeout, nil},
	} {
		for _, path := range []string{"/header", "/body"} {
			t.Run(c.name+", in the "+path[1:], func(t *testing.T) {
				t.Parallel()
				s := open(Config{Endpoints: []string{srv.URL}, Timeout: c.timeout})
				ctx, cancel := c.ctx(t.Context())
				defer cancel()
				resp, err := s.RoundTrip(newRequest(t, "GET", path, nil).WithContext(ctx))
				if path == "/body" {
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if classOf(t, err) != c.want || c.cause != nil && !errors.Is(err, c.cause) {
					t.Error(err)
				}
				if overHTTP2(s) {
					s.Close() // a stream that ends takes no connection with it
				}
				if e := s.Stats().Endpoints[0]; e.InFlight != 0 || !eventually(func() bool { e = s.Stats().Endpoints[0]; return e.Closed == e.Dialed }) {
					t.Errorf("%+v", e)
				}
			})
		}
	}
}

// soon is long enough for a connection to be made and a header to come, even on
// a busy machine.
const soon = 200 * time.Millisecond

func canceledSoon(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(soon, cancel)
	return ctx, cancel
}

func deadlineSoon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, soon)
}

func streamTimeout(t *testing.T, open func(Config) *Service) {
	proceed := make(chan struct{})
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("begun "))
		w.(http.Flusher).Flush()
		<-proceed
		w.Write([]byte("done"))
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}, Timeout: soon})
	resp, err := s.Do(newRequest(t, "GET", "/", nil), &Call{Stream: true})
	for range 20 { // on a machine that is busy the header, too, takes its time
		if classOf(t, err) != Timeout {
			break
		}
		resp, err = s.Do(newRequest(t, "GET", "/", nil), &Call{Stream: true})
	}
	time.AfterFunc(3*soon/2, func() { close(proceed) })
	if got := text(t, resp, err); got != "begun done" {
		t.Error(got)
	}
}

func targets(t *testing.T, open func(Config) *Service) {
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Host+" "+r.RequestURI)
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, c := range []struct{ base, target, host, want string }{
		{"", "/", "", host + " /"},
		{"", "/a%2Fb/%20c?d=e%2F", "", host + " /a%2Fb/%20c?d=e%2F"},
		{"/base/", "/x", "", host + " /base/x"},
		{"/b%2Fb", "/x%2Fy", "", host + " /b%2Fb/x%2Fy"},
		{"", "/x", "shop.example:81", "shop.example:81 /x"},
		{"", "http://elsewhere/x?", "", host + " /x?"},
		{"/base", "", "", host + " /base/"},
	} {
		s := open(Config{Endpoints: []string{srv.URL + c.base}})
		req := newRequest(t, "GET", c.target, nil)
		req.Host = c.host
		resp, err := s.RoundTrip(req)
		if got := text(t, resp, err); got != c.want {
			t.Errorf("%s + %s: got %q, want %q", c.base, c.target, got, c.want)
		}
	}
}
