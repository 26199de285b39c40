package mesh

import (
	"context"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

// pace is the attempt timeout of a request with a long body. How long that takes
// to send is not the endpoint's doing alone, so the timeout bounds what is: it
// starts anew with each piece that the endpoint takes, does not run while the
// sender is waited for, and is whole again when the last piece has gone, as
// Envoy's per_try_timeout, which starts at the end of the request. Until then
// nothing but progress is asked for; the call's deadline bounds it all.
//
// A nil pace does nothing.
type pace struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc

	mu       sync.Mutex
	timer    *time.Timer
	running  bool // the timer
	answered bool // the header of the reply has come
	late     bool
}

// longBody is the length above which sending a body takes time of its own, in
// bytes. Package h1 sends up to that in one piece.
const longBody = 64 << 10

func isLong(req *http.Request) bool {
	return h1.HasBody(req) && (req.ContentLength <= 0 || req.ContentLength > longBody) // 0 with a body is unknown
}

// paced is req with a body that keeps time. What it comes with is nil if that is
// not needed.
func (s *Service) paced(req *http.Request) (*http.Request, *pace) {
	if s.cfg.Timeout == 0 || !isLong(req) {
		return req, nil
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	p := &pace{timeout: s.cfg.Timeout, cancel: cancel, running: true}
	p.timer = time.AfterFunc(p.timeout, p.runOut)
	sent := req.WithContext(ctx)
	sent.Body = &pacedBody{req.Body, p}
	if again := req.GetBody; again != nil {
		sent.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &pacedBody{body, p}, nil
		}
	}
	return sent, p
}

func (p *pace) runOut() {
	p.mu.Lock()
	p.late = true
	p.mu.Unlock()
	p.cancel(os.ErrDeadlineExceeded)
}

// run lets the time begin anew, and hold stops it, as long as no reply has come.
func (p *pace) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.answered {
		p.running = true
		p.timer.Reset(p.timeout)
	}
}

func (p *pace) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.answered {
		p.running = false
		p.timer.Stop()
	}
}

// reply is called when the header of the reply has come: it ends the timeout of
// a stream, and else what is left of it is for the body.
func (p *pace) reply(stream bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = true
	switch {
	case stream:
		p.timer.Stop()
	case !p.running:
		p.timer.Reset(p.timeout)
	}
}

// end is called when the attempt is over, with its reply's body.
func (p *pace) end() {
	if p == nil {
		return
	}
	p.reply(true)
	p.cancel(nil)
}

// ranOut reports whether it was the timeout that ended the attempt.
func (p *pace) ranOut() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late
}

type pacedBody struct {
	io.ReadCloser
	pace *pace
}

func (b *pacedBody) Read(p []byte) (int, error) {
	b.pace.hold() // it is the sender that is waited for
	defer b.pace.run()
	return b.ReadCloser.Read(p)
}
