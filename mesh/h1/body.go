package h1

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// A body that is closed before its end is read on within these bounds, so
	// that its connection can be used again. Beyond them a new one is cheaper.
	maxDrain  = 16 << 10
	drainTime = 5 * time.Millisecond

	// Lines with a chunk's size have extensions that nobody reads. Their bytes,
	// per line and per body, are bounded, or a server could send nothing else.
	maxChunkLine   = 256
	maxChunkExcess = 64 << 10
	maxChunkDigits = 16
)

// body reads a response's body from the connection, and gives the connection
// back at its end. Close may be called while a Read is waiting, and fails it.
type body struct {
	x      *exchange
	kind   framingKind
	left   int64 // of an exact body, or of the chunk
	begun  bool  // chunked: a chunk has been read, its CRLF is outstanding
	excess int   // chunked: bytes of extensions so far

	reading sync.Mutex // held by Read
	err     error      // under reading: what further Reads return

	state  sync.Mutex // guards what Read and Close share; taken after reading
	cn     *conn      // nil when the connection was given back
	closed bool
}

// receive sets up the response's body, if there is one.
func (x *exchange) receive(cn *conn, h head) {
	x.resp.Request = x.req
	switch {
	case x.resp.StatusCode == http.StatusSwitchingProtocols:
		x.resp.Body = x.takeOver(cn)
	case h.body == noBody || h.body == exact && h.length == 0:
		x.giveBack(cn, true)
		x.resp.Body = http.NoBody
	default:
		x.body.x, x.body.cn, x.body.kind = x, cn, h.body
		if h.body == exact {
			x.body.left = h.length
		}
		x.resp.Body = &x.body
	}
}

// giveBack ends the exchange. The connection is kept if nothing more is coming
// over it in either direction.
func (x *exchange) giveBack(cn *conn, clean bool) {
	now := x.start // near enough for one that has not lasted until it was watched
	if cn.unsettled == nil {
		now = time.Now()
	}
	cn.unsettled, cn.idle = nil, 0
	if x.stop != nil && !x.stop() {
		clean = false // the context's end aborts the connection at any moment
	}
	if clean && x.keep && !x.closing && x.uploaded(cn) && !cn.aborted.Load() {
		cn.release(now)
	} else if clean {
		cn.close()
	} else {
		cn.drop()
	}
}

func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	b.state.Lock()
	cn, closed := b.cn, b.closed
	b.state.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(cn, p)
	if err != nil {
		b.finish(err)
	}
	return n, b.err
}

// Buffered is how many bytes of the connection have been read and wait for
// Read, which is the only one that it may not be called together with.
func (b *body) Buffered() int {
	b.state.Lock()
	defer b.state.Unlock()
	if b.cn == nil {
		return 0
	}
	return b.cn.buffered()
}

// finish ends the body, with io.EOF or what went wrong.
func (b *body) finish(err error) {
	b.state.Lock()
	cn, closed := b.cn, b.closed
	b.cn = nil
	b.state.Unlock()
	switch {
	case err == io.EOF:
		b.err = err
	case closed:
		b.err = http.ErrBodyReadAfterClose
	default:
		b.err = b.x.failed(cn, OpRead, err)
	}
	b.x.giveBack(cn, err == io.EOF)
}

// Close lets the connection go. It waits for a small rest of the body, but never
// for long.
func (b *body) Close() error {
	b.state.Lock()
	if b.closed {
		b.state.Unlock()
		return nil
	}
	b.closed = true
	waiting := !b.reading.TryLock()
	if waiting && b.cn != nil {
		b.cn.abort() // the Read under way ends the exchange
	}
	b.state.Unlock()
	if waiting {
		return nil
	}
	defer b.reading.Unlock()
	if b.cn != nil {
		b.finish(b.drain())
	}
	return nil
}

// drain reads to the end if that is near, and returns io.EOF if it got there.
func (b *body) drain() error {
	b.cn.idle = 0
	if b.kind == toEnd || b.kind == exact && b.left > maxDrain {
		return errNotDrained
	}
	if b.kind != exact || b.left > int64(b.cn.buffered()) {
		b.cn.unsettled = nil // it has nothing to wait for any more
		b.cn.setDeadline(earlier(b.x.deadline, time.Now().Add(drainTime)))
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for total := 0; total <= maxDrain; {
		n, err := b.read(b.cn, *buf)
		if err != nil {
			return err
		}
		total += n
	}
	return errNotDrained
}

var errNotDrained = errors.New("closed before its end")

// read reads at least one byte, or returns an error. io.EOF is the end of the
// body, which may come with its last bytes.
func (b *body) read(cn *conn, p []byte) (int, error) {
	switch b.kind {
	case exact:
		n, err := b.readLeft(cn, p)
		if err == nil && b.left == 0 {
			err = io.EOF
		}
		return n, err
	case chunked:
		return b.readChunked(cn, p)
	default:
		return cn.read(p)
	}
}

// readLeft reads what is left of the body or the chunk.
func (b *body) readLeft(cn *conn, p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := cn.read(p)
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, unexpected(err)
}

// read takes bytes from the buffer, or reads: past the buffer if p is as large.
func (cn *conn) read(p []byte) (int, error) {
	if cn.buffered() == 0 {
		cn.short = cn.short || cn.end == len(cn.in)
		if len(p) >= len(cn.in) {
			return cn.receive(p)
		}
		if _, err := cn.fill(len(cn.in)); err != nil {
			return 0, err
		}
	}
	n := copy(p, cn.in[cn.pos:cn.end])
	cn.pos += n
	return n, nil
}
