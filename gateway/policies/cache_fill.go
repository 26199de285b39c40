package policies

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/weir-run/weir/gateway"
)

// A fill asks the flow once for all who want the same answer. It runs on a
// goroutine of its own, with a request of its own, so that it depends on none of
// those who wait: each of them reads what has come so far and then what comes, at
// its own pace, and can leave. When all have left the flow is told to stop, but
// for a fill that nobody waits for from the beginning.
//
// What comes is held while it may be stored. What may not be, or is too large, is
// held only until the slowest reader has it, and waits for that one beyond
// fillWindow: it is streamed, not gathered.
//
// A fill that validates a stored answer (prior) shows nothing of a 304, nor of a
// failure that the stored answer is better than. Its outcome is then that answer.
type fill struct {
	v        *visit  // who began it
	flight   string  // its key among the flights; "": it is not shared
	prior    *cached // what it validates; nil: nothing
	made     composed
	store    *cacheStore
	asked    time.Time
	request  *gateway.Request
	cancel   context.CancelFunc
	outdated atomic.Bool // what comes must not be stored

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever there is news
	readers map[*reader]struct{}
	alone   bool // it goes on without readers
	own     http.Header
	status  int // 0 until the answer begins
	header  http.Header
	meta    judgement
	silent  bool // the stored answer is the outcome
	body    []byte
	from    int64 // of the answer's body, where body begins
	streams bool  // body is a window
	given   bool  // up: nobody may join
	done    bool
	broken  any     // what the flow panicked with
	outcome *cached // of a fill that is silent
	served  string  // how the outcome came about, for Cache-Status
}

// fillWindow is how much of an answer that is not stored is held for its slowest
// reader, in bytes.
const fillWindow = 256 << 10

// begin starts a fill, with the caller as its first reader; none is one that goes
// on alone.
func (p *cache) begin(v *visit, flight string, prior *cached, first *reader) *fill {
	own := *v // the request may be over before the fill is
	own.header = v.header.Clone()
	f := &fill{
		v: &own, flight: flight, prior: prior, store: p.store.It(), asked: time.Now(), own: http.Header{},
		changed: make(chan struct{}), readers: map[*reader]struct{}{}, alone: first == nil,
	}
	if first != nil {
		f.readers[first] = struct{}{}
	}
	crew := p.crew.It()
	ctx, cancel := context.WithCancel(crew.ctx)
	f.cancel = cancel
	request, release := gateway.Fork(ctx, v.r, f)
	f.request = request
	f.made.of(request)
	f.ask(request.Input().Request.Header)
	crew.work.Go(func() {
		defer cancel()
		defer release()
		f.run(p)
	})
	return f
}

// ask makes the header of the request that of a cache: it asks for the whole
// answer, or whether the one that is stored is good still.
func (f *fill) ask(h http.Header) {
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Range", "Range"} {
		delete(h, name)
	}
	if f.prior == nil {
		return
	}
	if f.prior.etag != "" {
		h["If-None-Match"] = []string{f.prior.etag}
	}
	if f.prior.modified != "" {
		h["If-Modified-Since"] = []string{f.prior.modified}
	}
}

func (f *fill) run(p *cache) {
	f.serve(p)
	if f.silent && f.broken == nil && f.status == http.StatusNotModified && !f.settle(p) {
		// What the 304 is about is not what is stored (RFC 9111, section 4.3.4):
		// the answer itself is needed.
		f.mu.Lock()
		f.prior, f.status, f.silent, f.own = nil, 0, false, http.Header{}
		f.mu.Unlock()
		f.ask(f.request.Input().Request.Header)
		again, release := gateway.Fork(f.request.Input().Request.Context(), f.request.Input().Request, f)
		defer release()
		f.request = again
		f.made = composed{}
		f.made.of(again)
		f.serve(p)
	}
	f.finish(p)
}

func (f *fill) serve(p *cache) {
	defer func() {
		broken := recover()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.broken = broken; broken != nil && f.prior != nil && f.status == 0 && f.prior.goodOnError(time.Now()) {
			f.broken, f.silent, f.outcome, f.served = nil, true, f.prior, "fwd=stale; detail=stale-if-error"
		}
	}()
	f.request.Serve(p.next)
}

// settle makes the stored answer what a 304 says of it, if it is about it.
func (f *fill) settle(p *cache) bool {
	if !f.prior.sameAs(f.header) {
		return false
	}
	now := time.Now()
	e, m := f.prior.freshened(p, f.v, f.header, f.asked, now)
	f.outcome, f.served = e, "fwd=stale; fwd-status=304"
	f.store.revalidated.Add(1)
	switch {
	case f.outdated.Load():
	case m.store:
		f.store.keep(f.v, e)
	default:
		f.store.drop(f.v.at.own(), func(old *cached) bool { return old == f.prior })
	}
	return true
}

// finish stores the answer, if it may be, and tells those who wait.
func (f *fill) finish(p *cache) {
	f.mu.Lock()
	whole := f.broken == nil && !f.silent && f.from == 0 && !f.streams && f.meta.store
	if whole && f.header["Content-Length"] != nil && firstLine(f.header["Content-Length"]) != strconv.Itoa(len(f.body)) {
		whole = false // section 3.3
	}
	body := f.body
	f.mu.Unlock()
	if whole && !f.outdated.Load() {
		if cap(body) > len(body)+len(body)/8 {
			body = append(make([]byte, 0, len(body)), body...)
		}
		f.store.keep(f.v, newEntry(f.v, f.meta, f.status, f.header, body, time.Now()))
		if f.prior != nil { // what this one depends on may be something else
			f.store.drop(f.v.at.own(), func(old *cached) bool { return old == f.prior })
		}
	}
	f.store.leave(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.streams {
		f.store.filling.Add(-int64(len(f.body)))
	}
	f.done = true
	f.tell()
}

// tell wakes those who wait. f.mu is held.
func (f *fill) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// Header is what http.ResponseWriter asks for.
func (f *fill) Header() http.Header { return f.own }

// WriteHeader is what http.ResponseWriter asks for.
func (f *fill) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	now := time.Now()
	h := make(http.Header, len(f.own))
	for name, values := range f.own {
		h[name] = values
	}
	keep := f.made.describe(status, h, now)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.header = status, h
	if f.prior != nil {
		if status == http.StatusNotModified {
			f.silent = true
			return
		}
		if originFailed(status) && f.prior.goodOnError(now) {
			f.silent, f.outcome = true, f.prior
			f.served = "fwd=stale; fwd-status=" + strconv.Itoa(status) + "; detail=stale-if-error"
			return
		}
	}
	p := f.v.p
	f.meta = p.judge(f.v, status, h, f.asked, now)
	if !keep {
		f.meta.store, f.meta.lasting = false, false
	}
	if n, err := strconv.ParseInt(firstLine(h["Content-Length"]), 10, 64); err == nil && n > p.maxEntry {
		f.meta.store, f.meta.lasting = false, true
	}
	if !f.meta.store {
		f.streams = true
		if f.meta.lasting {
			f.store.passBy(f.v.key, f.v.url, now.Add(passFor))
			if f.prior != nil {
				f.store.drop(f.v.at.own(), func(old *cached) bool { return old == f.prior })
			}
		}
		if f.alone && len(f.readers) == 0 {
			f.cancel()
		}
	}
	f.tell()
}

// originFailed reports statuses that are a failure of the origin (RFC 5861, section 4).
func originFailed(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

var errNobodyReads = errors.New("nobody waits for this answer any more")

// Write is what http.ResponseWriter asks for.
func (f *fill) Write(b []byte) (int, error) {
	if f.status == 0 {
		f.WriteHeader(http.StatusOK)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.silent {
		return len(b), nil
	}
	if !f.streams {
		if f.store.filling.Add(int64(len(b))) > int64(f.store.size) || int64(len(f.body)+len(b)) > f.v.p.maxEntry {
			f.store.filling.Add(-int64(len(f.body) + len(b)))
			f.streams, f.meta.store = true, false
			f.store.passBy(f.v.key, f.v.url, time.Now().Add(passFor))
		}
	}
	for f.streams {
		f.trim()
		if len(f.body) < fillWindow && len(f.readers) > 0 {
			break
		}
		if len(f.readers) == 0 || !f.wait(f.request.Input().Request.Context()) {
			f.cancel()
			return 0, errNobodyReads
		}
	}
	if f.body == nil {
		if n, err := strconv.ParseInt(firstLine(f.header["Content-Length"]), 10, 64); err == nil && n <= 64<<10 && n >= int64(len(b)) {
			f.body = make([]byte, 0, n)
		}
	}
	f.body = append(f.body, b...)
	f.tell()
	return len(b), nil
}

// WriteString is for io.WriteString.
func (f *fill) WriteString(text string) (int, error) {
	return f.Write(unsafe.Slice(unsafe.StringData(text), len(text))) // it is copied
}

// Flush is what http.Flusher asks for: readers have all that was written.
func (f *fill) Flush() {
	if f.status == 0 {
		f.WriteHeader(http.StatusOK)
	}
}
