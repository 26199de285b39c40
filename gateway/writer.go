package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
	"unsafe"
)

// responseWriter counts what is written and cuts off a client that does not
// read. It passes on all that the server's writer can do: flushing, hijacking,
// sending files, and, by Unwrap, the rest of http.ResponseController.
type responseWriter struct {
	http.ResponseWriter
	request *Request
	status  int      // 0 until the answer begins
	bytes   int64    // of the body
	glimpse *glimpse // nil: nobody looks

	// stall is how long one piece may take to leave; 0 is without end.
	stall   time.Duration
	armedAt time.Time
	stream  *streamWatch // in place of the deadline, for HTTP/2
}

// pieceSize is how much is written under one deadline: a client must take this
// much within the stall timeout, 9 KB/s with the default.
const pieceSize = 256 << 10

func (w *responseWriter) begun() bool { return w.status != 0 }

// arm moves the write deadline. It belongs to the connection and outlives the
// request, so every request arms it before anything can be written. Moving it
// a little on every write would cost more than it is worth.
func (w *responseWriter) arm(now time.Time) {
	switch {
	case w.stall <= 0:
	case w.stream != nil:
		w.stream.begin(w.stall)
	case now.Sub(w.armedAt) >= w.stall/8:
		w.set(now)
	}
}

// rest is called when what was written under arm has left, or has not.
func (w *responseWriter) rest() {
	if w.stream != nil && w.stall > 0 {
		w.stream.end()
	}
}

// last arms what the server itself writes when the handler has returned.
func (w *responseWriter) last(now time.Time) {
	if w.stream == nil {
		w.arm(now)
	} else if w.stream.close(); w.stall > 0 {
		w.set(now)
	}
}

func (w *responseWriter) set(now time.Time) {
	w.armedAt = now
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(now.Add(w.stall)) // a writer without a connection cannot stall
}

// WriteHeader begins the answer, unless status is an interim one.
func (w *responseWriter) WriteHeader(status int) {
	if status < 200 {
		w.arm(time.Now()) // sent at once, while a final one waits for the body
	}
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
		if w.request.body.refused.Load() {
			w.Header()["Connection"] = connectionClose
		}
		w.request.edit(status, w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
	if status < 200 {
		w.rest()
	}
}

func (w *responseWriter) Write(p []byte) (n int, err error) {
	w.begin()
	for {
		w.arm(time.Now())
		piece := p[n:min(len(p), n+pieceSize)]
		m, err := w.ResponseWriter.Write(piece)
		w.rest()
		n += m
		w.bytes += int64(m)
		w.glimpse.see(piece[:m])
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// WriteString is for io.WriteString, which would copy the text otherwise.
func (w *responseWriter) WriteString(text string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(text), len(text))) // a writer never changes what it is given
}

func (w *responseWriter) begin() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

// ReadFrom lets the system send a file without copying it through here. Other
// sources may pause for longer than a client may, so for them the deadline
// moves with every piece that was read.
func (w *responseWriter) ReadFrom(src io.Reader) (int64, error) {
	w.begin()
	if limited, ok := src.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			return w.sendFile(limited)
		}
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{w}, src, *buffer)
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (w *responseWriter) sendFile(src *io.LimitedReader) (n int64, err error) {
	for src.N > 0 && err == nil {
		w.arm(time.Now())
		var m int64
		m, err = io.CopyN(w.ResponseWriter, src.R, min(src.N, pieceSize))
		w.rest()
		n += m
		w.bytes += m
		src.N -= m
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// Flush sends what is buffered. It does nothing on a writer that cannot.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *responseWriter) FlushError() error {
	w.begin()
	w.arm(time.Now())
	defer w.rest()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack hands the connection over. Its error is http.ErrNotSupported on
// HTTP/2.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
		w.stall = 0
	}
	return conn, rw, err
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
