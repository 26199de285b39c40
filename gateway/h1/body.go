package h1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// body is the body of a request as handlers read it, one at a time: RFC 9112,
// section 7. Whatever is no chunk ends the reading there, with a [*Fault].
//
// A read may go on in another goroutine when the handler has returned. It is
// ended then, and those that follow fail: the connection is the next request's.
type body struct {
	x *exchange

	mu       sync.Mutex // held while reading
	closed   bool
	err      error // what every further read ends with
	state    bodyState
	left     int64 // of the body or the chunk
	seen     int   // bytes of a chunk's size or extension
	expected bool  // nobody has asked the client yet, which waits for 100 (Continue)
}

type bodyState uint8

const (
	inBody bodyState = iota
	inSizeStart
	inSize
	inExtension
	inSizeEnd
	inChunk
	inChunkEnd
	inChunkLF
	inTrailer
	atEnd
)

// The most that is taken of a chunk's size, in digits, and of what stands behind
// it, in bytes.
const (
	maxChunkDigits = 15
	maxExtension   = 256
)

func (b *body) begin(x *exchange, h *head) {
	b.x, b.expected = x, x.expects
	switch {
	case h.chunked:
		b.state = inSizeStart
	case h.length > 0:
		b.left = h.length
	default:
		b.state = atEnd
	}
}

// Read is what io.Reader asks for.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	if b.expected {
		b.expected = false
		if err := b.x.answer.goOn(); err != nil {
			b.err = err
			return 0, err
		}
	}
	n, err := b.read(p)
	return n, b.ended(err)
}

// Close is what io.Closer asks for. What was not read is left to the server.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// ended keeps an error that is one for good. A deadline that has passed may be
// moved.
func (b *body) ended(err error) error {
	c := b.x.conn
	switch {
	case err == nil:
		return nil
	case err == io.EOF && b.state == atEnd:
		c.watchSoon()
	case isTimeout(err):
		return err
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
		c.gone()
	default:
		if fault, ok := err.(*Fault); ok {
			c.server.malformed(fault)
		} else {
			c.gone()
		}
	}
	b.err = err
	return err
}

func isTimeout(err error) bool {
	slow, ok := errors.AsType[net.Error](err)
	return ok && slow.Timeout()
}

// read gives at least a byte, or an error. Where the end has come, too, it is told
// with the last bytes. Chunks that are there already are given together: who sends
// a byte in each would have all that handles a piece done for a byte.
func (b *body) read(p []byte) (n int, err error) {
	c := b.x.conn
	for {
		more, fault := b.frame()
		switch {
		case fault != nil:
			return n, fault
		case b.state == atEnd:
			return n, io.EOF
		case n == len(p) || n > 0 && (more || c.r == c.w):
			return n, nil
		case more:
			if err := c.fill(c.server.maxHeader()); err != nil {
				return 0, err
			}
			continue
		}
		got, room := 0, p[n:min(int64(len(p)), int64(n)+b.left)]
		if c.r < c.w {
			got = copy(room, c.in[c.r:c.w])
			c.r += got
		} else if got, err = c.read(room); got == 0 {
			return 0, err
		}
		n += got
		if b.left -= int64(got); b.left > 0 {
			continue
		}
		if b.state == inBody {
			b.state = atEnd
		} else {
			b.state = inChunkEnd
		}
	}
}

// frame reads what is around chunks, up to where data begins, or the body has
// ended, or more has to come.
func (b *body) frame() (more bool, fault *Fault) {
	c := b.x.conn
	for c.r < c.w {
		at := c.in[c.r]
		switch b.state {
		case inSizeStart, inSize:
			digit, ok := hexadecimal(at)
			switch {
			case ok && b.seen < maxChunkDigits:
				b.left = b.left<<4 | digit
				b.seen++
				b.state = inSize
			case b.state == inSize && at == '\r':
				b.state = inSizeEnd
			case b.state == inSize && at == ';':
				b.state, b.seen = inExtension, 0
			default:
				return false, badChunk
			}
		case inExtension:
			switch {
			case at == '\r':
				b.state = inSizeEnd
			case !valueChars[at] || b.seen == maxExtension:
				return false, badChunk
			default:
				b.seen++
			}
		case inSizeEnd:
			if at != '\n' {
				return false, badChunk
			}
			if b.state = inChunk; b.left == 0 {
				b.state = inTrailer
				c.head.beginTrailer()
			}
		case inChunkEnd:
			if at != '\r' {
				return false, badChunk
			}
			b.state = inChunkLF
		case inChunkLF:
			if at != '\n' {
				return false, badChunk
			}
			b.state, b.seen = inSizeStart, 0
		case inTrailer:
			return b.readTrailer()
		default:
			return false, nil
		}
		c.r++
	}
	return b.state != inBody && b.state != inChunk && b.state != atEnd, nil
}

func (b *body) readTrailer() (more bool, fault *Fault) {
	c := b.x.conn
	h := &c.head
	switch complete := h.parse(c.in[c.r:c.w]); {
	case h.fault != nil:
		c.r += h.at
		return false, h.fault
	case h.at > c.server.maxHeader():
		c.r += h.at
		return false, trailerTooLarge
	case !complete:
		return true, nil
	}
	text := string(c.in[c.r : c.r+h.at])
	c.r += h.at
	b.state = atEnd
	if len(h.fields) == 0 {
		return false, nil
	}
	r := &b.x.request
	if r.Trailer == nil {
		r.Trailer = make(http.Header, len(h.fields))
	}
	for name := range r.Trailer {
		r.Trailer[name] = nil
	}
	values := make([]string, len(h.fields))
	for i := range h.fields {
		f := &h.fields[i]
		add(r.Trailer, values, i, text[f.name:f.colon], text[f.value:f.end])
	}
	return false, nil
}

func hexadecimal(b byte) (digit int64, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return int64(b - '0'), true
	case 'a' <= b && b <= 'f':
		return int64(b-'a') + 10, true
	case 'A' <= b && b <= 'F':
		return int64(b-'A') + 10, true
	}
	return 0, false
}

// mostDrained is how much of a body that its handler left is read so that the
// connection can be used again.
const mostDrained = 256 << 10

// abandon ends the reading, and reports whether a read was under way.
func (b *body) abandon() (busy bool) {
	c := b.x.conn
	if busy = !b.mu.TryLock(); busy {
		c.interrupt()
		b.mu.Lock()
		c.proceed()
	}
	defer b.mu.Unlock()
	b.closed = true
	return busy
}

// finish reads what was left of a body that is abandoned, and reports whether the
// next request can follow.
func (b *body) finish(busy bool) (next bool) {
	c := b.x.conn
	switch {
	case b.state == atEnd:
		return true
	case busy || b.err != nil || b.expected || b.tooMuch():
		return false
	}
	c.setReadDeadline(time.Now().Add(drainTime))
	for left := mostDrained; left > 0; {
		n, err := b.read(c.scratch(left))
		if left -= n; err != nil {
			return b.state == atEnd
		}
	}
	return false
}

// tooMuch reports whether it is known that more is to come than is drained.
func (b *body) tooMuch() bool {
	buffered := b.x.conn.w - b.x.conn.r
	return (b.state == inBody || b.state == inChunk) && b.left-int64(buffered) > mostDrained
}
