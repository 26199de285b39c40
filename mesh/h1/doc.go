// Package h1 is a synchronous HTTP/1.1 client for one server: the call runs on
// the caller's goroutine from the first byte written to the last byte read.
//
// net/http's Transport gives each connection a reading and a writing goroutine,
// and hands every request and response across channels between them. That costs
// some forty allocations and two switches of goroutine per call, which in a
// gateway is the largest single cost. What those goroutines are for is had here
// by other means:
//
//   - Cancellation. A context that ends moves the connection's deadline into the
//     past (context.AfterFunc), which fails the read or write under way. A
//     context that cannot end costs nothing.
//   - Deadlines are set on the connection; there is no timer per call.
//   - A connection that the server closed while it was idle is found by one
//     non-blocking read before it is used again. In the moment that remains, a
//     request of which the server cannot have seen anything, or that may be sent
//     twice, goes out once more on a new connection.
//   - A response that comes before the request's body was sent: a body that is
//     streamed, unknown or large is written by a goroutine of its own, while the
//     caller's already reads. A small one in memory goes out with the header in
//     one write, before which no server can have reason to answer.
//
// The parser accepts less than net/http's. Whatever two readers could understand
// differently is an error, and ends the connection: both Content-Length and
// Transfer-Encoding, differing lengths, folded header lines, lines that end
// without CR, odd chunk sizes, bytes after the end of a response. The same holds
// for what is sent: see [Validate].
//
// TLS is made by [Config].Dial. Not here: HTTP/2, proxies, compression, redirects, cookies, httptrace.
package h1
