package gateway

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What the standards of HTTP ask of a server, seen from the wire.
func TestTheGatewayIsAServerOfHTTP(t *testing.T) {
	reads := route("POST", "/a")
	reads.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			p, _ := ProblemOf(err)
			WriteProblem(w, r, p)
		}
	})
	addr := serve(t, route("GET", "/a"), reads, route("GET", "/{rest:.*}"))
	const post = "POST /a HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct {
		name, raw string
		statuses  []int
	}{
		{"RFC 9110 2.5: a minor version that is not known is not guessed", "GET /a HTTP/1.9\r\nHost: x\r\n\r\n", []int{400}},
		{"RFC 9110 4.2.4: a host with a user is refused", "GET /a HTTP/1.1\r\nHost: ada@x\r\n\r\n", []int{400}},
		{"RFC 9110 5.4: a header that is too large is refused", "GET /a HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", []int{431}},
		{"RFC 9110 5.5: a value with a control character is refused", "GET /a HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", []int{400}},
		{"RFC 9110 9.1: a method that nobody knows is not allowed where methods are listed", "FROB /a HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"RFC 9110 9.3.6: CONNECT is not served", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", []int{501}},
		{"RFC 9110 9.3.8: TRACE is not served, so nobody's header comes back", "TRACE /a HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\n\r\n", []int{501}},
		{"RFC 9110 10.1.1: an expectation of HTTP/1.0 is ignored", "POST /a HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok", []int{200}},
		{"RFC 9110 10.1.1: an expectation that is not known fails", post + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\nok", []int{417}},
		{"RFC 9112 2.2: a bare CR is refused", "GET /a HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", []int{400}},
		{"RFC 9112 2.2: white space before the first field is refused", "GET /a HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", []int{400}},
		{"RFC 9112 2.3: what a newer major version is for is refused", "GET /a HTTP/3.0\r\nHost: x\r\n\r\n", []int{400}},
		{"RFC 9112 3: a target that is too long is refused", "GET /" + strings.Repeat("a", 17<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{414}},
		{"RFC 9112 3.2: a request without Host is refused", "GET /a HTTP/1.1\r\n\r\n", []int{400}},
		{"RFC 9112 3.2: a request with two is refused", "GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", []int{400}},
		{"RFC 9112 3.2: a Host that is none is refused", "GET /a HTTP/1.1\r\nHost: x y\r\n\r\n", []int{400}},
		{"RFC 9112 3.2.2: the absolute form is refused", "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"RFC 9112 5.1: white space before the colon is refused", "GET /a HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", []int{400}},
		{"RFC 9112 5.2: folded lines are refused", "GET /a HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n", []int{400}},
		{"RFC 9112 6.1: a coding that is not known is not implemented", post + "Transfer-Encoding: cow\r\n\r\n0\r\n\r\n", []int{501}},
		{"RFC 9112 6.1: a coding in HTTP/1.0 is refused", "POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}},
		{"RFC 9112 6.1: a coding beside a length is refused, and the connection closed", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"RFC 9112 6.3: a body is framed by its chunks", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n", []int{200, 200}},
		{"RFC 9112 6.3: chunked that is not the last coding is refused", post + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", []int{501}},
		{"RFC 9112 6.3: a length that is none is refused, and the connection closed", post + "Content-Length: five\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"RFC 9112 6.3: lengths that differ are refused", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", []int{400}},
		{"RFC 9112 6.3: without length or coding there is no body", post + "\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n", []int{200, 200}},
		{"RFC 9112 7.1: the size of a chunk may have zeros in front", post + "Transfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n0\r\n\r\n", []int{200}},
		{"RFC 9112 7.1: one that overflows is refused", post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nok\r\n0\r\n\r\n", []int{400}},
		{"RFC 9112 7.1.1: extensions that are not known are ignored", post + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n", []int{200}},
		{"RFC 9112 9.3: HTTP/1.1 connections persist", "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n", []int{200, 200}},
		{"RFC 9112 9.3.2: requests of a pipeline are answered in order", post + "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\nFROB /a HTTP/1.1\r\nHost: x\r\n\r\n", []int{200, 200, 405}},
		{"RFC 9112 9.6: what says close is the last one", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := send(t, addr, c.raw); !slices.Equal(got, c.statuses) {
				t.Errorf("%v, not %v", got, c.statuses)
			}
		})
	}
}
