package h1

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxTogether is the size up to which a body goes out in one write with the header.
const maxTogether = 64 << 10

// framing says how the body of a request is sent.
type framing struct {
	length  int64 // known length; chunked if -1
	body    bool  // there is one
	inline  bool  // it is small and at hand: written by the caller's goroutine
	whole   bool  // it is small: written together with the header
	wait    bool  // not before the server said 100 Continue
	trailer bool
}

// frame decides on the framing: RFC 9112 section 6.
func frame(req *http.Request, prompt bool) framing {
	if !HasBody(req) {
		return framing{}
	}
	f := framing{body: true, length: req.ContentLength, trailer: len(req.Trailer) > 0}
	asked := len(req.TransferEncoding) > 0 && strings.EqualFold(req.TransferEncoding[0], "chunked")
	if f.length <= 0 || f.trailer || asked {
		f.length = -1 // 0 with a body is unknown, as net/http has it
	}
	f.wait = expectsContinue(req.Header["Expect"])
	f.whole = f.length >= 0 && f.length <= maxTogether && !f.wait
	f.inline = f.whole && (prompt || req.GetBody != nil) // what can be got again is in memory
	return f
}

func expectsContinue(values []string) bool {
	return len(values) > 0 && strings.EqualFold(values[0], "100-continue")
}

// appendHead writes the request line and header, without those fields of the
// request that frame it: there is one place that says how long the body is.
func (x *exchange) appendHead(b []byte) []byte {
	req := x.req
	b = append(b, orDefault(req.Method, http.MethodGet)...)
	b = append(b, ' ')
	b = x.appendTarget(b)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, orDefault(req.Host, x.client.host)...)
	b = append(b, "\r\n"...)
	closing := false
	for name, values := range req.Header {
		if framesRequest(name) || x.tellsRemaining() && strings.EqualFold(name, x.remaining) {
			continue
		}
		closing = closing || len(name) == len("Connection") && strings.EqualFold(name, "Connection") && hasToken(values, "close")
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	if req.Close && !closing {
		b = append(b, "Connection: close\r\n"...)
	}
	x.closing = req.Close || closing
	if x.tellsRemaining() {
		b = append(b, x.remaining...)
		b = append(b, ": "...)
		b = AppendRemaining(b, x.remaining, time.Until(x.waits))
		b = append(b, "\r\n"...)
	}
	switch {
	case x.framing.body && x.framing.length >= 0:
		b = appendLength(b, x.framing.length)
	case x.framing.body:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if x.framing.trailer {
			b = append(b, "Trailer: "...)
			for name := range req.Trailer {
				b = append(b, name...)
				b = append(b, ',')
			}
			b = append(b[:len(b)-1], "\r\n"...)
		}
	case req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch:
		b = appendLength(b, 0) // RFC 9110 section 8.6: methods of which content is expected
	}
	return append(b, "\r\n"...)
}

// tellsRemaining reports whether the server is told how long the caller waits.
// What a request says of it already is then not true any more.
func (x *exchange) tellsRemaining() bool { return x.remaining != "" && !x.waits.IsZero() }

// AppendRemaining writes the value of a field that says how long the caller
// waits: milliseconds, as Envoy's x-envoy-expected-rq-timeout-ms has them, with
// their unit if the field is gRPC's grpc-timeout. It is at least 1.
func AppendRemaining(b []byte, field string, left time.Duration) []byte {
	const most = 99_999_999 // gRPC allows eight digits
	b = strconv.AppendInt(b, min(max(1, left.Milliseconds()), most), 10)
	if strings.EqualFold(field, "grpc-timeout") {
		b = append(b, 'm')
	}
	return b
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// appendTarget writes the client's base and the request's path and query.
func (x *exchange) appendTarget(b []byte) []byte {
	u := x.req.URL
	if u.Path == "*" && x.req.Method == http.MethodOptions {
		return append(b, '*')
	}
	b = append(b, x.client.base...)
	path := u.EscapedPath()
	if path == "" || path[0] != '/' {
		b = append(b, '/')
	}
	b = append(b, path...)
	if u.RawQuery != "" || u.ForceQuery {
		b = append(b, '?')
		b = append(b, u.RawQuery...)
	}
	return b
}

// framesRequest reports whether the field is written by the client itself,
// however it is spelt.
func framesRequest(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// send writes the request, or as much of it as goes before the response is read.
func (x *exchange) send(cn *conn) error {
	out := x.appendHead(cn.out[:0])
	cn.out = out
	switch {
	case x.framing.inline:
		u := x.takeUpload(cn)
		out, err := u.appendBody(out)
		cn.out = out
		if err != nil {
			return u.failed(OpBody, err)
		}
	case x.framing.whole:
		x.progress = sentSome
		x.upload(cn, out)
		return nil
	}
	write := cn.send
	if x.inOneGo(cn) {
		write = cn.sendInOneGo
	}
	n, err := write(cn.out)
	if n > 0 {
		x.progress = sentSome
	}
	if err == errStale {
		return err
	}
	if err != nil {
		return x.failed(cn, OpWrite, err)
	}
	if x.framing.body && !x.framing.inline && !x.framing.wait {
		x.upload(cn, nil)
	}
	return nil
}

// errStale says that nothing was sent, because the server has closed the
// connection, or sent what nobody asked for.
var errStale = errors.New("the connection was not quiet")

// inOneGo reports whether the request is sent by [conn.sendInOneGo]: it has to be
// all there, and at hand once more should cn be stale.
func (x *exchange) inOneGo(cn *conn) bool {
	return cn.ask != nil && !cn.fresh && !x.framing.body
}

// upload writes the body, after prefix, on a goroutine of its own, which reports
// on cn.upload. A failure to read the body also fails the read of the response;
// a failure to write does not, since the server may have answered before it
// stopped reading.
func (x *exchange) upload(cn *conn, prefix []byte) {
	if cn.upload == nil {
		cn.upload = make(chan error, 1)
	}
	cn.finishing.Store(false)
	x.uploading = true
	go x.takeUpload(cn).run(prefix)
}

// takeUpload takes the body out of the exchange.
func (x *exchange) takeUpload(cn *conn) upload {
	u := upload{cn: cn, body: x.payload, framing: x.framing, trailer: x.req.Trailer}
	x.payload = nil
	return u
}
