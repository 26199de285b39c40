package policies

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// fresh keeps something from outside up to date: what is in a file, or at a URL.
// It is had anew beside the requests, which go on with what there is, and only
// when requests come, so that nothing runs for nobody. It is safe for concurrent
// use.
//
// The client comes with each request: those of one program may be gone in the
// next, and what is fresh is not.
type fresh struct {
	get   func(ctx context.Context, client http.RoundTripper) error
	every time.Duration // how old it is when it is had anew
	near  bool          // it is in a file
	heard trouble       // that it cannot be had

	due atomic.Int64 // when that is, in Unix nanoseconds
	had atomic.Int64 // when it was had last; 0: never

	mu       sync.Mutex
	running  chan struct{} // closed when what is under way has ended; nil: nothing is
	began    time.Time
	failures int // one after the other
	all      int64
	err      error
	closed   bool
	end      context.CancelFunc // of what is under way
}

const (
	// getTime bounds one get, with all that the mesh does for it.
	getTime = 10 * time.Second
	// firstPause and maxPause are between gets that fail.
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// tend has it anew if that is due. It waits for nothing.
func (f *fresh) tend(now time.Time, client http.RoundTripper) {
	if now.UnixNano() >= f.due.Load() {
		f.begin(now, client, func() bool { return now.UnixNano() >= f.due.Load() })
	}
}

// recent is tend for what must not be used when it is old because no request came
// for a while: then it waits. What is far away and failed last is not waited for.
func (f *fresh) recent(ctx context.Context, now time.Time, client http.RoundTripper) {
	if f.tend(now, client); now.UnixNano()-f.had.Load() <= 2*int64(f.every) {
		return
	}
	f.mu.Lock()
	running := f.running
	if f.failures > 0 && !f.near {
		running = nil
	}
	f.mu.Unlock()
	if running == nil {
		return
	}
	select {
	case <-running:
	case <-ctx.Done():
	}
}

// wait waits until it was had once.
func (f *fresh) wait(ctx context.Context, now time.Time, client http.RoundTripper) error {
	done := f.begin(now, client, func() bool { return now.UnixNano() >= f.due.Load() })
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// again has it anew though it is not due, if that was not begun within the
// interval, and waits for it, but not for longer than patience. It is true if
// something was had that was not there at now.
func (f *fresh) again(ctx context.Context, now time.Time, client http.RoundTripper, interval, patience time.Duration) bool {
	done := f.begin(now, client, func() bool { return now.Sub(f.began) >= interval })
	if done == nil {
		return false
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
	return f.had.Load() >= now.UnixNano()
}

// begin has it anew if wanted says so, under the lock, and gives what is closed at
// the end of what is under way; nil if nothing is.
func (f *fresh) begin(now time.Time, client http.RoundTripper, wanted func() bool) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil && !f.closed && wanted() {
		ctx, end := context.WithTimeout(context.Background(), getTime)
		f.running, f.began, f.end = make(chan struct{}), now, end
		go f.run(ctx, client)
	}
	return f.running
}

func (f *fresh) run(ctx context.Context, client http.RoundTripper) {
	err := f.get(ctx, client)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end()
	if !f.closed {
		f.ended(time.Now(), err)
	}
	close(f.running)
	f.running = nil
}

// ended notes what came of a get.
func (f *fresh) ended(now time.Time, err error) {
	if f.near && err != nil && f.err != nil && err.Error() != f.err.Error() {
		f.heard.again() // who mends a file hears what else is wrong with it
	}
	f.heard.note(now, err, slog.Bool("old_in_use", f.had.Load() != 0))
	f.err = err
	if err != nil {
		pause := min(firstPause<<min(f.failures, 10), maxPause)
		if f.near { // to look again costs nobody anything
			pause = f.every
		}
		f.failures++
		f.all++
		f.due.Store(now.Add(pause/2 + rand.N(pause/2+1)).UnixNano())
		return
	}
	f.failures = 0
	f.had.Store(now.UnixNano())
	f.due.Store(now.Add(f.every - rand.N(f.every/10+1)).UnixNano()) // not all who began together at once
}

// open has it at once: for what is near enough to be waited for.
func (f *fresh) open() {
	err := f.get(context.Background(), nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.began = time.Now()
	f.ended(f.began, err)
}

var errUnderWay = errors.New("it is being fetched, which takes long")

// failing reports whether the last get has failed, or one is under way: then there
// may be more than is known.
func (f *fresh) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && f.running != nil {
		return errUnderWay
	}
	return f.err
}

// observe shows how it is.
func (f *fresh) observe(name string, show func(name string, total bool, value int64)) {
	f.mu.Lock()
	failures := f.all
	f.mu.Unlock()
	show(name+"_failures", true, failures)
	if had := f.had.Load(); had != 0 {
		show(name+"_age_seconds", false, int64(time.Since(time.Unix(0, had)).Seconds()))
	}
}

// close ends what is under way, and waits for it.
func (f *fresh) close() {
	f.mu.Lock()
	f.closed = true
	running := f.running
	if running != nil {
		f.end()
	}
	f.mu.Unlock()
	if running != nil {
		<-running
	}
}

// fileEvery is how often files are looked at.
const fileEvery = 2 * time.Second

// freshFile keeps what load makes of a file. It is read when it is another one
// than before; one that cannot be used leaves things as they are.
func freshFile(log *slog.Logger, path string, limit int64, load func(text []byte) error) *fresh {
	var was os.FileInfo
	var read time.Time
	f := &fresh{every: fileEvery, near: true, heard: trouble{log: log, begins: "a file of a policy cannot be used", ends: "the file of a policy can be used again"}}
	f.get = func(context.Context, http.RoundTripper) error {
		now, err := os.Stat(path)
		if err != nil {
			return err
		}
		// Who writes a file twice within what its clock can tell apart leaves no
		// trace of it.
		settled := was != nil && read.Sub(was.ModTime()) > time.Second
		if settled && os.SameFile(was, now) && was.ModTime().Equal(now.ModTime()) && was.Size() == now.Size() {
			return nil
		}
		if now.Size() > limit {
			return fmt.Errorf("%s is larger than %d bytes", path, limit)
		}
		at := time.Now()
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := load(text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		was, read = now, at
		return nil
	}
	return f
}

// freshFrom keeps what get makes of something far away.
func freshFrom(log *slog.Logger, every time.Duration, get func(ctx context.Context, client http.RoundTripper) error) *fresh {
	return &fresh{get: get, every: every, heard: trouble{log: log, begins: "what a policy needs from elsewhere cannot be had", ends: "what a policy needs from elsewhere can be had again"}}
}

// download gives what is at a URL: status 200, and no more bytes than the limit.
func download(ctx context.Context, client http.RoundTripper, u *url.URL, accept string, limit int64) ([]byte, error) {
	if client == nil {
		return nil, errors.New("there is no client")
	}
	r := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Accept": {accept}}}).WithContext(ctx)
	res, err := client.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s is answered with status %d", u.Redacted(), res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("what is at %s is larger than %d bytes", u.Redacted(), limit)
	}
	return text, nil
}
