// Package h1 is a strict HTTP/1.1 server for a gateway: it serves connections
// that are given to it with an ordinary [http.Handler], one goroutine each.
//
// net/http's server repairs what it can, or takes it for what was meant; another
// reader in front or behind may read it otherwise, and what the one takes for a
// body is a request to the other. A filter before it would have to agree with it
// byte by byte. Here one reader ([head], [body]) does both: it refuses the first
// byte at which two readers may no longer agree on where requests begin and end
// (RFC 9112), and makes requests of what is left.
//
// What is done otherwise than in net/http, beside that:
//
//   - The answer may begin while the request's body still comes. What a handler
//     leaves of a body is read after the answer, up to a bound.
//   - A request is one piece of memory, with its URL, body and writer; a small
//     answer is one write, with its header; a large one goes out with its header
//     in one call of the system.
//   - A connection that is idle for long has no buffers.
//   - Deadlines and the watch for a client that leaves wait until they matter, see
//     [patrol].
//   - Fields of an answer that cannot be written as they are do not reach the
//     wire; how its body is framed is not the handler's to say, but for its length.
//
// Not here: HTTP/2, TLS (but over a connection that has it), http.CloseNotifier.
package h1
