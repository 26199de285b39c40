package mesh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// maxDiscard bounds what is read of an unwanted reply so that its connection can
// be used again; beyond it a new connection is cheaper.
const maxDiscard = 64 << 10

// discard drains and closes the reply of an attempt that is going to be retried.
// A body that no timeout covers is not waited for.
func discard(resp *http.Response, stream bool) {
	if resp == nil {
		return
	}
	if !stream {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard) // what fails to drain is closed
	}
	resp.Body.Close()
}

// buffer reads the whole body of a reply and puts a reader of it in its place.
func buffer(resp *http.Response, limit int64) ([]byte, Class, error) {
	defer func(body io.Closer) { body.Close() }(resp.Body)
	if resp.Body == http.NoBody {
		return nil, OK, nil
	}
	if resp.ContentLength > limit {
		return nil, TooLarge, tooLarge(limit)
	}
	// One byte of room is left for the read that finds the end.
	size := resp.ContentLength + 1
	if size == 0 {
		size = 512
	}
	b := make([]byte, 0, size)
	for {
		n, err := resp.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, TooLarge, tooLarge(limit)
		case err == io.EOF:
			whole := &buffered{}
			whole.Reset(b)
			resp.Body = whole
			return b, OK, nil
		case err != nil:
			return nil, classify(err), err
		case len(b) == cap(b):
			b = append(b, 0)[:len(b)]
		}
	}
}

func tooLarge(limit int64) error {
	return fmt.Errorf("the reply is larger than %d bytes", limit)
}

type buffered struct{ bytes.Reader }

func (*buffered) Close() error { return nil }

// follow watches a body that the caller reads: it turns its errors into [*Error]
// and counts the attempt as in flight until the body ends.
func (s *Service) follow(body io.ReadCloser, e *Endpoint, upload *pace, attempts int) io.ReadCloser {
	if body == http.NoBody {
		upload.end()
		e.exit()
		return body
	}
	live := &liveBody{ReadCloser: body, service: s, endpoint: e, upload: upload, attempts: attempts}
	if w, ok := body.(io.Writer); ok { // 101 Switching Protocols
		return &liveConn{live, w}
	}
	return live
}

type liveBody struct {
	io.ReadCloser
	service  *Service
	endpoint *Endpoint
	attempts int
	upload   *pace                   // of the attempt; mostly nil
	release  context.CancelCauseFunc // of the context of an attempt that had a hedge; else nil
	kept     bool                    // it has the place of its call
	ended    atomic.Bool
	closed   atomic.Bool
}

// liveConn is the body of an upgraded connection, which can be written to.
type liveConn struct {
	*liveBody
	io.Writer
}

func (b *liveBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	first := b.end()
	defer b.let()
	if err == io.EOF {
		return n, err
	}
	if b.closed.Load() {
		return n, http.ErrBodyReadAfterClose
	}
	class := classify(err)
	if first {
		now := time.Now()
		b.service.failures.count(class, now)
		b.endpoint.failures.count(class, now)
	}
	return n, &Error{Service: b.service.name, Class: class, Endpoint: b.endpoint.target.URL, Attempts: b.attempts, Err: err}
}

// Buffered is how many bytes a Read could give without waiting; 0 if that is
// not known. It is called by whoever reads.
func (b *liveBody) Buffered() int {
	if r, ok := b.ReadCloser.(interface{ Buffered() int }); ok {
		return r.Buffered()
	}
	return 0
}

func (b *liveBody) Close() error {
	b.closed.Store(true)
	b.end()
	defer b.let()
	return b.ReadCloser.Close()
}

// keep gives the body the place of its call, before anybody reads it.
func (b *liveBody) keep() { b.kept = true }

func (b *liveBody) let() {
	if b.release != nil {
		b.release(nil)
	}
}

// end stops counting the attempt as in flight, and reports whether it did.
func (b *liveBody) end() bool {
	if b.ended.Swap(true) {
		return false
	}
	b.upload.end()
	b.endpoint.exit()
	if b.kept {
		b.service.limit.leave()
	}
	return true
}
