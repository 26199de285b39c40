package mesh

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// conformance lists what all transports do alike. Each runs against a service
// made by open, over each of them; what is about the bytes and the connections of
// HTTP/1.1 is left out for HTTP/2.
var conformance = []struct {
	name  string
	http1 bool
	test  func(t *testing.T, open func(Config) *Service)
}{
	{"replies are framed by length, by chunks and by the end of the connection", true, framings},
	{"HEAD, 204 and 304 have no body", true, bodiless},
	{"informational responses are passed over", true, informational},
	{"informational responses are told of to who wants to know", false, interimReplies},
	{"HTTP/1.0 servers", true, oldServers},
	{"the header arrives with its names in canonical form", true, headers},
	{"bodies arrive as they were sent", false, uploads},
	{"trailers in both directions", false, trailers},
	{"Expect: 100-continue", false, expectContinue},
	{"a server that answers before it has read the body", true, earlyAnswer},
	{"both directions stream at once", false, streaming},
	{"a large reply waits for its reader", true, backPressure},
	{"an upgraded connection is the caller's", true, upgrade},
	{"a connection serves one request after the other", false, reuse},
	{"Connection: close", true, connectionClose},
	{"a reply closed before its end", true, earlyClose},
	{"a connection closed while idle", true, staleConnection},
	{"broken replies", true, brokenReplies},
	{"requests that cannot be sent", false, badRequests},
	{"a body that cannot be read", false, badBody},
	{"refused", false, refused},
	{"cancellation, deadline and timeout are told apart", false, endings},
	{"a stream outlives the attempt timeout", false, streamTimeout},
	{"path and query are appended to the base", false, targets},
}

func TestConformance(t *testing.T) {
	for _, transport := range []struct {
		name  string
		http2 bool
		open  func(t *testing.T, cfg Config) *Service
	}{
		{"h1", false, func(t *testing.T, cfg Config) *Service { return open(t, cfg) }},
		{"h1 over TLS", false, func(t *testing.T, cfg Config) *Service { return open(t, overTLS(t, cfg, protoHTTP1)) }},
		{"net/http", false, func(t *testing.T, cfg Config) *Service { return overStd(open(t, cfg)) }},
		{"h2", true, func(t *testing.T, cfg Config) *Service { return open(t, overTLS(t, cfg, protoHTTP2, protoHTTP1)) }},
		{"h2c", true, func(t *testing.T, cfg Config) *Service { cfg.Protocol = protocolH2C; return open(t, cfg) }},
	} {
		t.Run(transport.name, func(t *testing.T) {
			for _, c := range conformance {
				if c.http1 && transport.http2 {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					c.test(t, func(cfg Config) *Service { return transport.open(t, cfg) })
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

func interimReplies(t *testing.T, open func(Config) *Service) {
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range len(r.URL.Path) - 1 {
			w.Header().Set("Link", fmt.Sprintf("</%d>", i))
			w.WriteHeader(http.StatusEarlyHints - i%2)
		}
		w.Header().Del("Link")
		io.WriteString(w, "ok")
	}))
	defer srv.Close()
	for name, c := range map[string]struct {
		path string
		want []string
		err  bool
	}{
		"none":           {"/", nil, false},
		"one":            {"/a", []string{"103 </0>"}, false},
		"as many as may": {"/abcde", []string{"103 </0>", "102 </1>", "103 </2>", "102 </3>", "103 </4>"}, false},
		"more than may":  {"/abcdef", []string{"103 </0>", "102 </1>", "103 </2>", "102 </3>", "103 </4>"}, true},
	} {
		for _, timeout := range []time.Duration{0, time.Minute} {
			s := open(Config{Endpoints: []string{srv.URL}, Timeout: timeout})
			var got []string
			resp, err := s.Do(newRequest(t, "GET", c.path, nil), &Call{Interim: func(status int, header http.Header) {
				got = append(got, fmt.Sprint(status, " ", header.Get("Link")))
			}})
			switch {
			case c.err && (err == nil || classOf(t, err) != Malformed):
				t.Errorf("%s: %v", name, err)
			case !c.err && (text(t, resp, err) != "ok" || resp.StatusCode != 200 || resp.Header.Get("Link") != ""):
				t.Errorf("%s: %v", name, resp)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: told %q, want %q", name, got, c.want)
			}
		}
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
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.ProtoMajor == 2 && r.ContentLength < 0 { // which has frames for that
			r.TransferEncoding = []string{"chunked"}
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
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	srv := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
