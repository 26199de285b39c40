package mesh

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/weir-run/weir/mesh/h1"
)

// heldBody stands between a request body that can be read once and the attempts
// that may have to send it again. What they read is kept, up to a limit; beyond
// it the call is committed to the attempt that is reading. A transport may go on
// reading for an attempt that has failed, so each attempt has a [replay] of its
// own: what the earlier one gets is kept for the later.
type heldBody struct {
	body  io.ReadCloser
	limit int64 // 0: nothing is kept

	gone atomic.Bool // a part was read that is not kept

	turn  chan struct{} // full while the body is read, which can take as long as its sender likes
	kept  []byte
	total int64 // read of the body
	err   error // that the body ended with

	state  sync.Mutex
	last   *replay // the only one that closes the body
	closed bool    // last was closed while the body was held
	free   bool    // no further attempt: what last does is done
}

// holdBody gives the request to send first: req itself where nothing is to be
// gained from holding its body. What may be repeated only if it was not sent is
// not kept, unless the service may refuse its credentials.
func (s *Service) holdBody(req *http.Request, call *Call) (*http.Request, *heldBody) {
	renewable := s.cfg.Credentials != nil
	if s.cfg.Retry.Attempts <= 1 && !renewable || !h1.HasBody(req) || req.GetBody != nil {
		return req, nil
	}
	held := &heldBody{body: req.Body, turn: make(chan struct{}, 1)}
	if renewable || repeatable(req, call) {
		held.limit = s.cfg.Retry.Replay
	}
	return held.request(req), held
}

// request is req with a body that begins at the beginning.
func (h *heldBody) request(req *http.Request) *http.Request {
	r := &replay{held: h}
	h.state.Lock()
	h.last, h.closed = r, false
	h.state.Unlock()
	sent := *req
	sent.Body = r
	return &sent
}

// lost reports whether there is no way to send the body another time.
func (h *heldBody) lost() bool { return h == nil || h.gone.Load() }

// letGo ends the holding: a Close that was kept back is made up for, and one
// still to come passes.
func (h *heldBody) letGo() {
	if h == nil {
		return
	}
	h.state.Lock()
	owed := h.closed
	h.free = true
	h.state.Unlock()
	if owed {
		h.body.Close()
	}
}

// replay is the body as one attempt reads it.
type replay struct {
	held   *heldBody
	pos    int64
	closed atomic.Bool
}

var (
	errBodyGone   = errors.New("a part of the request's body went to an attempt that has ended")
	errBodyClosed = errors.New("the request's body was closed")
)

func (r *replay) Read(p []byte) (int, error) {
	h := r.held
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	switch {
	case r.closed.Load():
		return 0, errBodyClosed
	case r.pos < int64(len(h.kept)):
		n := copy(p, h.kept[r.pos:])
		r.pos += int64(n)
		return n, nil
	case r.pos < h.total:
		return 0, errBodyGone
	case h.err != nil:
		return 0, h.err
	}
	n, err := h.body.Read(p)
	h.keep(p[:n])
	h.total += int64(n)
	r.pos += int64(n)
	h.err = err
	return n, err
}

// keep keeps what was read, if all that was read before it is kept.
func (h *heldBody) keep(b []byte) {
	switch {
	case len(b) == 0 || h.gone.Load():
	case int64(len(h.kept)+len(b)) > h.limit:
		h.gone.Store(true)
		h.kept = nil
	default:
		h.kept = append(h.kept, b...)
	}
}

func (r *replay) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	h := r.held
	h.state.Lock()
	mine := h.last == r
	pass := mine && h.free
	if mine {
		h.closed = !h.free
	}
	h.state.Unlock()
	if pass {
		return h.body.Close()
	}
	return nil
}

// again gives the request of the next attempt, with a body that has not been read.
func again(req *http.Request, held *heldBody) (*http.Request, error) {
	switch {
	case held != nil:
		return held.request(req), nil
	case !h1.HasBody(req):
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	sent := *req
	sent.Body = body
	return &sent, nil
}
