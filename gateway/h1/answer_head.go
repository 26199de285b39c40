package h1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// compose writes the handler's fields into the buffer.
func (a *answer) compose() {
	c := a.x.conn
	if c.out == nil {
		c.out = buffers.Get().(*buffer)[:]
	}
	out := c.out[:gap]
	for name, values := range a.header {
		if a.noted(name, values) {
			out = appendField(out, name, values)
		}
	}
	if a.trailers != nil {
		out = appendField(out, "Trailer", a.trailers)
	}
	out = append(out, "\r\n"...)
	a.fields = len(out)
	switch {
	case !bodyAllowed(a.status) || a.x.request.Method == http.MethodHead:
		a.framing = without
	case a.length >= 0:
		a.framing = byLength
	default:
		out = append(out, make([]byte, chunkRoom)...)
	}
	a.body = len(out)
	c.out = out
}

// noted looks at a field that the handler has set, and reports whether it is
// written as it is.
func (a *answer) noted(name string, values []string) bool {
	switch name {
	case "Content-Length":
		if bodyAllowed(a.status) {
			a.length = parseLength(values)
		}
		return false
	case "Transfer-Encoding":
		return false
	case "Connection":
		if has(values, "close") {
			a.closing = true
			return false
		}
		a.linked = has(values, "keep-alive")
	case "Content-Type":
		a.typed = true
		return a.status != http.StatusNotModified
	case "Date":
		a.dated = true
	case "Content-Encoding":
		a.encoded = len(values) > 0 && values[0] != ""
	case "Trailer":
		a.declare(values)
		return false
	default:
		if strings.HasPrefix(name, http.TrailerPrefix) {
			a.prefixed = true
			return false
		}
		return !frames(name)
	}
	return true
}

// frames reports fields that say where a message ends, or a connection, however
// they are spelled.
func frames(name string) bool {
	switch kindOf(name) {
	case contentLength, transferEncoding, connection, trailer:
		return true
	}
	return false
}

// declare takes down the names of trailers.
func (a *answer) declare(values []string) {
	for _, v := range values {
		for v != "" {
			var name string
			name, v = cut(v)
			if name = http.CanonicalHeaderKey(name); mayTrail(name) {
				a.trailers = append(a.trailers, name)
			}
		}
	}
}

// bodyAllowed is RFC 9110, section 6.4.1.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// seal decides how the body is framed and puts the server's fields in front of
// the others. It gives where the header begins in the buffer then, behind which is
// the begin of the body, or of a chunk with p at its end; last is whether that is
// all of the body.
func (a *answer) seal(p []byte, last bool) (from int) {
	c, r := a.x.conn, &a.x.request
	length := a.length
	switch {
	case a.framing == without && length < 0 && last && a.written > 0:
		length = a.written // of what would have been
	case a.framing != undecided:
	case last && !a.prefixed && a.trailers == nil:
		a.framing, a.length, length = byLength, a.written, a.written
	case r.ProtoMinor == 1:
		a.framing = byChunks
	default:
		a.framing = byEnd
	}
	a.sealed = true
	a.closing = a.closing || r.Close || a.framing == byEnd || a.status == http.StatusSwitchingProtocols || c.server.closing.Load()
	if a.x.expects {
		a.sending.Lock()
		a.sent = true
		a.closing = a.closing || !a.continued // nobody knows whether the body comes
		a.sending.Unlock()
	}
	var room [gap]byte
	own := a.appendOwn(room[:0], p, length)
	data := len(c.out) - a.body + len(p)
	edge := a.fields
	switch {
	case a.framing == without:
		c.out = c.out[:a.fields] // the rest was for the type
	case a.framing == byChunks && data > 0:
		edge = putSize(c.out[:a.body], data)
	default:
		edge = a.body
	}
	from = edge - (a.fields - gap)
	copy(c.out[from:edge], c.out[gap:a.fields])
	from -= len(own)
	copy(c.out[from:], own)
	return from
}

// appendOwn writes the status line and what the server has to say. p is what is
// not in the buffer of the body that there is.
func (a *answer) appendOwn(out, p []byte, length int64) []byte {
	r := &a.x.request
	out = appendStatus(out, r.ProtoMinor == 0, a.status)
	if !a.dated {
		out = append(append(append(out, "Date: "...), a.x.conn.server.now()...), "\r\n"...)
	}
	if begin := a.x.conn.out[a.body:]; !a.typed && !a.encoded && len(begin)+len(p) > 0 {
		if more := max(0, enough-len(begin)); len(p) > 0 && more > 0 {
			begin = append(slices.Clone(begin), p[:min(len(p), more)]...)
		}
		out = append(append(append(out, "Content-Type: "...), http.DetectContentType(begin)...), "\r\n"...)
	}
	switch {
	case length >= 0:
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), length, 10), "\r\n"...)
	case a.framing == byChunks:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case a.status == http.StatusSwitchingProtocols: // who switches says so
	case a.closing && r.ProtoMinor == 1: // before, it goes without saying
		out = append(out, "Connection: close\r\n"...)
	case r.ProtoMinor == 0 && !a.closing && !a.linked:
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	return out
}
