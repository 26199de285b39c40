package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// parse reads a response from bytes, as a client reads it from a connection that
// ends after them. The error is that of the header or of the body.
func parse(in io.Reader, method string) (*http.Response, []byte, error) {
	c := New(&url.URL{Scheme: "http", Host: "test"}, Config{})
	x := &exchange{client: c, req: &http.Request{Method: method, URL: &url.URL{}}, ctx: background}
	x.setDeadline(Options{})
	resp, err := x.run(newConn(c, pipe{in: in}), Options{})
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	c.Close()
	return resp, body, err
}

// What two parsers could take for different messages is refused, though
// net/http's reads one or the other of them.
func TestStrictParsing(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, reply := range map[string]string{
		"length and coding":              ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding in HTTP/1.0":             "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two codings":                    ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"identity":                       ok + "Transfer-Encoding: identity\r\n\r\nabc",
		"coding with a vertical tab":     ok + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
		"differing lengths":              ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
		"equal numbers, other digits":    ok + "Content-Length: 3\r\nContent-Length: 03\r\n\r\nabc",
		"a list of lengths":              ok + "Content-Length: 3, 3\r\n\r\nabc",
		"signed length":                  ok + "Content-Length: +3\r\n\r\nabc",
		"empty length":                   ok + "Content-Length:\r\n\r\nabc",
		"length beyond int64":            ok + "Content-Length: 9223372036854775808\r\n\r\nabc",
		"folded line":                    ok + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		"folded first line":              ok + " X: a\r\nContent-Length: 0\r\n\r\n",
		"space before the colon":         ok + "Content-Length : 0\r\n\r\n",
		"no colon":                       ok + "Content-Length\r\n\r\n",
		"empty name":                     ok + ": x\r\n\r\n",
		"line without CR":                ok + "X: a\nContent-Length: 0\r\n\r\n",
		"empty line without CR":          ok + "Content-Length: 0\r\n\n",
		"CR in a value":                  ok + "X: a\rb\r\nContent-Length: 0\r\n\r\n",
		"NUL in a value":                 ok + "X: a\x00b\r\nContent-Length: 0\r\n\r\n",
		"leading empty line":             "\r\n" + ok + "Content-Length: 0\r\n\r\n",
		"HTTP/1.2":                       "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/2":                         "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"lower case protocol":            "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"two spaces":                     "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
		"short status":                   "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
		"long status":                    "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"status below 100":               "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
		"CR in the reason":               "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
		"101 nobody asked for":           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"endless informational":          strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 50) + ok + "\r\n",
		"space before chunk extension":   ok + "Transfer-Encoding: chunked\r\n\r\n3 ;x\r\nabc\r\n0\r\n\r\n",
		"space after chunk size":         ok + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
		"0x chunk size":                  ok + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
		"signed chunk size":              ok + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
		"empty chunk size":               ok + "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
		"chunk size without CR":          ok + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
		"chunk end without CR":           ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
		"long chunk extension":           ok + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 5000) + "\r\nabc\r\n0\r\n\r\n",
		"chunk extensions without end":   ok + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\na\r\n", 1000) + "0\r\n\r\n",
		"framing in the trailer":         ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
		"framing announced as a trailer": ok + "Trailer: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"bad trailer":                    ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nX Y: 3\r\n\r\n",
		"huge trailer":                   ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: y\r\n", 20000) + "\r\n",
	} {
		_, _, err := parse(strings.NewReader(reply), "GET")
		var e *Error
		if !errors.As(err, &e) || e.Op != OpParse {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestLenientParsing(t *testing.T) {
	for name, reply := range map[string]string{
		"no space after the status": "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc",
		"odd reason":                "HTTP/1.1 200 \xffO\tK!\r\nContent-Length: 3\r\n\r\nabc",
		"many fields":               "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 5000) + "Content-Length: 3\r\n\r\nabc",
		"obsolete text":             "HTTP/1.1 200 OK\r\nX: caf\xe9\r\nContent-Length: 3\r\n\r\nabc",
		"padding around values":     "HTTP/1.1 200 OK\r\nContent-Length:\t 3 \t\r\n\r\nabc",
		"trailing zeros":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0003;a=\"b\"\r\nabc\r\n000;x\r\nX: y\r\n\r\n",
	} {
		resp, body, err := parse(strings.NewReader(reply), "GET")
		if err != nil || resp.StatusCode != 200 || string(body) != "abc" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

// FuzzResponse compares with net/http: what this parser accepts, that one
// accepts too and understands the same. It may refuse more.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		typical,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A, b\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\na: 1\r\nB: 2\r\n\r\nrest",
		"HTTP/1.0 404 Not Found\r\nConnection: keep-alive, Close\r\n\r\nbody",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: \"x\"\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200\r\nset-cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nX:\r\n\r\n",
	} {
		f.Add([]byte(s), true, uint8(1))
		f.Add([]byte(s), false, uint8(100))
	}
	f.Fuzz(func(t *testing.T, in []byte, head bool, piece uint8) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		got, body, err := parse(&pieces{in, int(piece) + 1}, method)
		if got == nil {
			return // refused
		}
		want, wantBody, wantErr := reference(in, method)
		if want == nil {
			t.Fatalf("net/http refuses the header: %v", wantErr)
		}
		if err == nil && wantErr != nil {
			t.Fatalf("net/http refuses the body: %v", wantErr)
		}
		if got.StatusCode != want.StatusCode || got.Status != want.Status || got.Proto != want.Proto ||
			got.ContentLength != want.ContentLength || got.Close != want.Close {
			t.Errorf("got  %q %v %d close %v", got.Status, got.Proto, got.ContentLength, got.Close)
			t.Errorf("want %q %v %d close %v", want.Status, want.Proto, want.ContentLength, want.Close)
		}
		if !reflect.DeepEqual(got.Header, want.Header) {
			t.Errorf("got  header %q\nwant header %q", got.Header, want.Header)
		}
		if err == nil && !bytes.Equal(body, wantBody) || !bytes.HasPrefix(wantBody, body) {
			t.Errorf("got  body %q\nwant body %q", body, wantBody)
		}
		if err == nil && len(got.Trailer)+len(want.Trailer) > 0 && !reflect.DeepEqual(got.Trailer, want.Trailer) {
			t.Errorf("got  trailer %q\nwant trailer %q", got.Trailer, want.Trailer)
		}
	})
}

// reference parses by net/http.
func reference(in []byte, method string) (*http.Response, []byte, error) {
	r := bufio.NewReader(bytes.NewReader(in))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Header.Get("Pragma") == "no-cache" && len(resp.Header["Cache-Control"]) == 1 {
			// net/http makes a Cache-Control of it, which an intermediary has no
			// business to: the test is only interested in the rest.
			if !bytes.Contains(bytes.ToLower(in), []byte("cache-control")) {
				delete(resp.Header, "Cache-Control")
			}
		}
		return resp, body, err
	}
}

// pieces is a reader that gives few bytes at a time.
type pieces struct {
	left []byte
	max  int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.max)], p.left)
	p.left = p.left[n:]
	return n, nil
}
