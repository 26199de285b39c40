package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// answer writes one answer. It is the http.ResponseWriter of handlers, with all
// that http.ResponseController asks for.
//
// The buffer holds the header and the body up to where something has to be sent:
//
//	gap | fields | room | body
//
// The fields are those that the handler had set when it began the answer. The
// status line and the server's own fields depend on what follows, and are put
// before them into the gap at last; the room is for the size of a first chunk.
// What the handler then writes at once leaves together with the header.
type answer struct {
	x       *exchange
	header  http.Header
	status  int   // 0 until the answer begins
	length  int64 // of the body, as the handler says; -1: it does not
	written int64

	framing  framing
	sealed   bool // the header is decided
	closing  bool // the connection closes behind
	hijacked bool
	ended    bool // the handler has returned
	dated    bool // what the handler has set
	typed    bool
	encoded  bool
	linked   bool
	fields   int // where they end in the buffer
	body     int // where it begins in the buffer
	trailers []string
	prefixed bool  // there are trailers by their prefix
	err      error // of writing

	sending   sync.Mutex // what comes before the final answer
	continued bool       // 100 (Continue) is sent
	sent      bool       // something of the final answer is
}

// framing is how the client learns where the body ends.
type framing uint8

const (
	undecided framing = iota
	byLength
	byChunks
	byEnd
	without
)

const (
	gap       = 256 // more than all that is put there
	enough    = 512 // of a body, to know its type
	chunkRoom = len("7fffffffffffffff\r\n")
)

func (a *answer) begin(x *exchange) {
	a.x, a.length = x, -1
}

// Header is what http.ResponseWriter asks for.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header, 8)
	}
	return a.header
}

// WriteHeader is what http.ResponseWriter asks for.
func (a *answer) WriteHeader(status int) {
	switch {
	case a.hijacked || a.ended || a.status != 0:
		a.x.conn.server.logf("superfluous WriteHeader(%d)", status)
	case status < 100 || status > 999:
		panic("invalid status " + strconv.Itoa(status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		a.interim(status)
	default:
		a.status = status
		a.compose()
	}
}

// Write is what io.Writer asks for.
func (a *answer) Write(p []byte) (int, error) {
	switch {
	case a.hijacked:
		return 0, http.ErrHijacked
	case a.ended:
		return 0, errEnded
	case a.status == 0:
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(a.status):
		return 0, http.ErrBodyNotAllowed
	case a.length >= 0 && int64(len(p)) > a.length-a.written:
		return 0, http.ErrContentLength
	case a.err != nil:
		return 0, a.err
	}
	a.written += int64(len(p))
	c := a.x.conn
	switch {
	case a.framing == without:
		if have := len(c.out) - a.body; !a.sealed && have < enough {
			c.out = append(c.out, p[:min(len(p), enough-have)]...)
		}
	case len(c.out)+len(p)+len("\r\n") <= cap(c.out):
		c.out = append(c.out, p...)
	default:
		if err := a.push(p, false); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// WriteString is what io.StringWriter asks for.
func (a *answer) WriteString(text string) (int, error) {
	return a.Write(unsafe.Slice(unsafe.StringData(text), len(text))) // nothing changes what is written
}

var errEnded = errors.New("h1: the handler has returned")

// push sends what is in the buffer, with p behind it; last is whether that is the
// end.
func (a *answer) push(p []byte, last bool) error {
	if a.err != nil {
		return a.err
	}
	c := a.x.conn
	data, from := len(c.out)-a.body+len(p), 0
	switch {
	case !a.sealed:
		from = a.seal(p, last)
	case a.framing == byChunks && data > 0:
		from = putSize(c.out[:a.body], data)
	case a.framing == byChunks:
		from = a.body
	}
	var end []byte
	if a.framing == byChunks {
		end = a.chunkEnd(data, last)
	}
	if len(p) == 0 {
		c.out = append(c.out, end...)
		a.err = c.write(c.out[from:])
	} else {
		a.err = c.write(c.out[from:], p, end)
	}
	if a.body = 0; a.framing == byChunks {
		a.body = chunkRoom
	}
	c.out = c.out[:a.body]
	return a.err
}

var chunkEnds = [...][]byte{nil, []byte("\r\n"), []byte("0\r\n\r\n"), []byte("\r\n0\r\n\r\n")}

// chunkEnd is what follows the data of a chunk, and the last chunk.
func (a *answer) chunkEnd(data int, last bool) []byte {
	which := 0
	if data > 0 {
		which = 1
	}
	if !last {
		return chunkEnds[which]
	}
	if !a.prefixed && a.trailers == nil && !a.trailsLate() {
		return chunkEnds[which+2]
	}
	end := append(append([]byte(nil), chunkEnds[which]...), "0\r\n"...)
	for _, name := range a.trailers {
		end = appendField(end, name, a.header[name])
	}
	for key, values := range a.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			if name = http.CanonicalHeaderKey(name); mayTrail(name) {
				end = appendField(end, name, values)
			}
		}
	}
	return append(end, "\r\n"...)
}

// trailsLate reports trailers that were set after the answer began.
func (a *answer) trailsLate() bool {
	for name := range a.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// end sends what is left of the answer, and fails if that is less than was
// promised.
func (a *answer) end() error {
	if a.hijacked {
		return nil
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	c := a.x.conn
	if !a.sealed || a.framing == byChunks || len(c.out) > a.body {
		_ = a.push(nil, true)
	}
	a.ended = true
	const most = 16 << 10
	if c.out = c.out[:0]; cap(c.out) > most {
		c.out = nil
	}
	if a.err == nil && a.framing == byLength && a.written != a.length {
		a.err = io.ErrShortWrite
	}
	return a.err
}

// Flush is what http.Flusher asks for.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is Flush for http.ResponseController.
func (a *answer) FlushError() error {
	switch {
	case a.hijacked:
		return http.ErrHijacked
	case a.ended:
		return errEnded
	case a.status == 0:
		a.WriteHeader(http.StatusOK)
	}
	if a.sealed && len(a.x.conn.out) == a.body {
		return a.err
	}
	return a.push(nil, false)
}

// ReadFrom lets the system send a file without copying it through here.
func (a *answer) ReadFrom(src io.Reader) (n int64, err error) {
	if file, ok := src.(*io.LimitedReader); ok && a.x.conn.raw != nil && !a.hijacked && !a.ended {
		if _, ok := file.R.(*os.File); ok {
			if a.status == 0 {
				a.WriteHeader(http.StatusOK)
			}
			if a.typed && a.framing == byLength && file.N <= a.length-a.written {
				return a.sendFile(file)
			}
		}
	}
	b := copies.Get().(*[]byte)
	defer copies.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{a}, src, *b)
}

func (a *answer) sendFile(file *io.LimitedReader) (n int64, err error) {
	if err := a.FlushError(); err != nil {
		return 0, err
	}
	n, a.err = a.x.conn.sendFrom(file)
	a.written += n
	return n, a.err
}

var copies = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// interim sends an answer that comes before the final one, with what the header
// holds so far.
func (a *answer) interim(status int) {
	if a.x.request.ProtoMinor == 0 {
		return // who asked knows no such answers
	}
	text := appendStatus(nil, false, status)
	for name, values := range a.header {
		if !frames(name) {
			text = appendField(text, name, values)
		}
	}
	text = append(text, "\r\n"...)
	a.sending.Lock()
	defer a.sending.Unlock()
	if status == http.StatusContinue {
		if a.continued {
			return
		}
		a.continued = true
	}
	a.err = a.x.conn.write(text)
}

// goOn asks for a body that the client keeps back, unless the answer is there
// already. It may be called while the handler writes.
func (a *answer) goOn() error {
	a.sending.Lock()
	defer a.sending.Unlock()
	if a.sent || a.continued {
		return nil
	}
	a.continued = true
	return a.x.conn.write(goOnText)
}

var goOnText = []byte("HTTP/1.1 100 Continue\r\n\r\n")
