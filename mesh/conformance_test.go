package mesh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// conformance lists what both transports do alike. Each runs against a service
// made by open, over the one and over the other.
var conformance = []struct {
	name string
	test func(t *testing.T, open func(Config) *Service)
}{
	{"replies are framed by length, by chunks and by the end of the connection", framings},
	{"HEAD, 204 and 304 have no body", bodiless},
	{"informational responses are passed over", informational},
	{"HTTP/1.0 servers", oldServers},
	{"the header arrives with its names in canonical form", headers},
	{"bodies arrive as they were sent", uploads},
	{"trailers in both directions", trailers},
	{"Expect: 100-continue", expectContinue},
	{"a server that answers before it has read the body", earlyAnswer},
	{"both directions stream at once", streaming},
	{"a large reply waits for its reader", backPressure},
	{"an upgraded connection is the caller's", upgrade},
	{"a connection serves one request after the other", reuse},
	{"Connection: close", connectionClose},
	{"a reply closed before its end", earlyClose},
	{"a connection closed while idle", staleConnection},
	{"broken replies", brokenReplies},
	{"requests that cannot be sent", badRequests},
	{"a body that cannot be read", badBody},
	{"refused", refused},
	{"cancellation, deadline and timeout are told apart", endings},
	{"a stream outlives the attempt timeout", streamTimeout},
	{"path and query are appended to the base", targets},
}

func TestConformance(t *testing.T) {
	for _, transport := range []string{"h1", "net/http"} {
		t.Run(transport, func(t *testing.T) {
			for _, c := range conformance {
				t.Run(c.name, func(t *testing.T) {
					c.test(t, func(cfg Config) *Service {
						s := open(t, cfg)
						if transport == "net/http" {
							overStd(s)
						}
						return s
					})
				})
			}
		})
	}
}

func framings(t *testing.T, open func(Config) *Service) {
	for name, reply := range map[string]string{
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
		"end":         "HTTP/1.1 200 OK\r\n\r\nhello",
		"upper case":  "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n005\r\nhello\r\n00\r\n\r\n",
		"two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"no reason":   "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
	} {
		s := open(Config{Endpoints: []string{rawServer(t, func(conn net.Conn, in *bufio.Reader) {
			http.ReadRequest(in)
			io.WriteString(conn, reply)
		})}})
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		if got := text(t, resp, err); got != "hello" {
			t.Errorf("%s: body %q", name, got)
		}
	}
}

func bodiless(t *testing.T, open func(Config) *Service) {
	for _, c := range []struct{ method, reply string }{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: x\r\n\r\n"},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	} {
		s := open(Config{Endpoints: []string{rawServer(t, answering(c.reply))}})
		for range 3 {
			resp, err := s.RoundTrip(newRequest(t, c.method, "/", nil))
			if got := text(t, resp, err); got != "" {
				t.Errorf("%s %q: body %q", c.method, c.reply, got)
			}
		}
		if n := s.Stats().Endpoints[0].Dialed; n != 1 {
			t.Errorf("%s %q: %d connections", c.method, c.reply, n)
		}
	}
}

func informational(t *testing.T, open func(Config) *Service) {
	s := open(Config{Endpoints: []string{rawServer(t, answering(
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))}})
	resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
	if got := text(t, resp, err); got != "ok" || resp.StatusCode != 200 || resp.Header.Get("Link") != "" {
		t.Errorf("status %d, body %q, header %v", resp.StatusCode, got, resp.Header)
	}
}

func oldServers(t *testing.T, open func(Config) *Service) {
	for reply, dialed := range map[string]int64{
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":                                  2,
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok":        1,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nok":          2,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, x\r\n\r\nok":     1,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5, max=99\r\n\r\nok": 1,
	} {
		s := open(Config{Endpoints: []string{rawServer(t, answering(reply))}})
		for range 2 {
			resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
			if got := text(t, resp, err); got != "ok" {
				t.Errorf("%q: body %q", reply, got)
			}
		}
		if n := s.Stats().Endpoints[0].Dialed; n != dialed {
			t.Errorf("%q: %d connections, want %d", reply, n, dialed)
		}
	}
}

func headers(t *testing.T, open func(Config) *Service) {
	s := open(Config{Endpoints: []string{rawServer(t, answering(
		"HTTP/1.1 200 Fine, really\r\ncontent-length: 0\r\nx-a:  1 \r\nX-A:2\r\nx-empty:\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n"))}})
	resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
	text(t, resp, err)
	got := fmt.Sprint(resp.Status, resp.Header["X-A"], resp.Header["X-Empty"], resp.Header["Set-Cookie"], resp.ContentLength)
	if want := "200 Fine, really[1 2] [] [a b] 0"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func uploads(t *testing.T, open func(Config) *Service) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, r.ContentLength, r.TransferEncoding, " ")
		w.Write(b)
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}})
	for _, size := range []int{0, 1, 1000, 65 << 10, 1 << 20} {
		data := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		for name, c := range map[string]struct {
			body   io.Reader
			length int64
			want   string
		}{
			"in memory": {strings.NewReader(data), int64(size), fmt.Sprint(size, []string{}, " ")},
			"stream":    {iotest.HalfReader(strings.NewReader(data)), int64(size), fmt.Sprint(size, []string{}, " ")},
			"unknown":   {iotest.HalfReader(strings.NewReader(data)), -1, "-1 [chunked] "},
		} {
			req := newRequest(t, "POST", "/", c.body)
			req.ContentLength = c.length
			if size == 0 && name == "stream" {
				continue // length 0 with a body is unknown
			}
			resp, err := s.RoundTrip(req)
			if got := text(t, resp, err); got != c.want+data {
				t.Errorf("%s, %d bytes: got %.40q, %d bytes", name, size, got, len(got))
			}
		}
	}
	if n := s.Stats().Endpoints[0].Dialed; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func trailers(t *testing.T, open func(Config) *Service) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum")+"!")
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}})
	req := newRequest(t, "POST", "/", nil)
	req.Trailer = http.Header{"X-Sum": nil}
	req.ContentLength = -1
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("hello"), readerFunc(func([]byte) (int, error) {
		req.Trailer.Set("X-Sum", "42")
		return 0, io.EOF
	})))
	resp, err := s.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, announced := resp.Trailer["X-Sum"]; !announced || resp.Header["Trailer"] != nil {
		t.Errorf("trailer %v, header %v", resp.Trailer, resp.Header)
	}
	if got := text(t, resp, err); got != "hello" || resp.Trailer.Get("X-Sum") != "42!" {
		t.Errorf("body %q, trailer %v", got, resp.Trailer)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func expectContinue(t *testing.T, open func(Config) *Service) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		io.Copy(w, r.Body) // makes the server say 100 Continue
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}})
	for path, want := range map[string]string{"/": "hello", "/refuse": ""} {
		body := &countingReader{r: strings.NewReader("hello")}
		req := newRequest(t, "POST", path, body)
		req.ContentLength = 5
		req.Header.Set("Expect", "100-continue")
		resp, err := s.RoundTrip(req)
		if got := text(t, resp, err); got != want || body.n != len(want) {
			t.Errorf("%s: body %q, %d bytes read", path, got, body.n)
		}
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func earlyAnswer(t *testing.T, open func(Config) *Service) {
	read := make(chan struct{})
	s := open(Config{Endpoints: []string{rawServer(t, func(conn net.Conn, in *bufio.Reader) {
		http.ReadRequest(in)
		io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
		<-read // closing with data unread would reset the connection under the answer
	})}})
	defer close(read)
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	resp, err := s.RoundTrip(newRequest(t, "PUT", "/", endless))
	if got := text(t, resp, err); got != "no!" || resp.StatusCode != 413 {
		t.Errorf("status %d, body %q", resp.StatusCode, got)
	}
}

func streaming(t *testing.T, open func(Config) *Service) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(bytes.ToUpper(buf[:n]))
			rc.Flush()
			if err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}})
	out, in := io.Pipe()
	resp, err := s.RoundTrip(newRequest(t, "POST", "/", out))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 3)
	for range 5 {
		io.WriteString(in, "abc")
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "ABC" {
			t.Fatal(string(buf), err)
		}
	}
	in.Close()
	if rest := text(t, resp, nil); rest != "" {
		t.Errorf("rest %q", rest)
	}
}

func backPressure(t *testing.T, open func(Config) *Service) {
	const size = 64 << 20 // more than the sockets take
	finished := make(chan struct{})
	s := open(Config{Endpoints: []string{rawServer(t, func(conn net.Conn, in *bufio.Reader) {
		defer close(finished)
		http.ReadRequest(in)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		b := make([]byte, 1<<20)
		for range size / len(b) {
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	})}})
	resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	io.CopyN(io.Discard, resp.Body, 1<<20)
	select {
	case <-finished:
		t.Error("all of the reply was taken though a little was read")
	default:
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if n != size-1<<20 || err != nil {
		t.Error(n, err)
	}
	resp.Body.Close()
}

func upgrade(t *testing.T, open func(Config) *Service) {
	s := open(Config{Timeout: time.Hour, Endpoints: []string{rawServer(t, func(conn net.Conn, in *bufio.Reader) {
		http.ReadRequest(in)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhi ")
		io.Copy(conn, in)
	})}})
	req := newRequest(t, "GET", "/", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := s.RoundTrip(req)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("%T cannot be written to", resp.Body)
	}
	io.WriteString(rw, "there")
	buf := make([]byte, len("hi there"))
	if _, err := io.ReadFull(rw, buf); err != nil || string(buf) != "hi there" {
		t.Error(string(buf), err)
	}
	rw.Close()
	if e := s.Stats().Endpoints[0]; e.Closed != 1 || e.InFlight != 0 {
		t.Errorf("%+v", e)
	}
}

func reuse(t *testing.T, open func(Config) *Service) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		body   io.Reader
		length int64
	}{
		"small":   {iotest.ErrReader(broken), 100},
		"large":   {io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10)), iotest.ErrReader(broken)), 200 << 10},
		"unknown": {io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), -1},
	} {
		s := open(Config{Retry: Retry{Attempts: 3}, Endpoints: []string{rawServer(t, answering("HTTP/1.1 200 OK\r\n\r\n"))}})
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
	defer close(release)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("begun"))
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
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
		{"timeout", 20 * time.Millisecond, context.WithCancel, Timeout, nil},
	} {
		for _, path := range []string{"/header", "/body"} {
			s := open(Config{Endpoints: []string{srv.URL}, Timeout: c.timeout})
			ctx, cancel := c.ctx(t.Context())
			resp, err := s.RoundTrip(newRequest(t, "GET", path, nil).WithContext(ctx))
			if path == "/body" {
				if err != nil {
					t.Fatal(c.name, err)
				}
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			cancel()
			if classOf(t, err) != c.want || c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("%s, in the %s: %v", c.name, path[1:], err)
			}
			if e := s.Stats().Endpoints[0]; e.InFlight != 0 || !eventually(func() bool { e = s.Stats().Endpoints[0]; return e.Closed == e.Dialed }) {
				t.Errorf("%s, in the %s: %+v", c.name, path[1:], e)
			}
		}
	}
}

func canceledSoon(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(20*time.Millisecond, cancel)
	return ctx, cancel
}

func deadlineSoon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 20*time.Millisecond)
}

func streamTimeout(t *testing.T, open func(Config) *Service) {
	proceed := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("begun "))
		w.(http.Flusher).Flush()
		<-proceed
		w.Write([]byte("done"))
	}))
	defer srv.Close()
	s := open(Config{Endpoints: []string{srv.URL}, Timeout: 50 * time.Millisecond})
	resp, err := s.Do(newRequest(t, "GET", "/", nil), &Call{Stream: true})
	time.AfterFunc(100*time.Millisecond, func() { close(proceed) })
	if got := text(t, resp, err); got != "begun done" {
		t.Error(got)
	}
}

func targets(t *testing.T, open func(Config) *Service) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
