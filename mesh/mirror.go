package mesh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/mesh/h1"

	"github.com/weir-run/weir/queue"
)

// Mirror copies a share of the calls to another version, to see what that does
// with what really comes. Callers never get to see the copy: it is made beside
// the call, once whatever becomes of the call's attempts, and its reply is read
// and forgotten. It has no retries, and neither the limit nor the breaker nor the
// budget of the service knows of it; the breaker, the ejection and the limit of
// the endpoint that it goes to do.
type Mirror struct {
	// To names the version. Calls that go there anyway are not copied.
	To string
	// Share of the calls, from 0 to 1, that are copied. 0 is none.
	Share float64
	// Unsafe copies calls of all methods. Without it only those are copied whose
	// method is safe (RFC 9110 section 9.2.1): where versions share what they
	// write to, a copy writes a second time.
	Unsafe bool
	// Timeout bounds a copy, to the end of its reply. 0 is [Config].Timeout, or 10s
	// if there is none. It is no longer than that.
	Timeout time.Duration
	// Concurrent is how many copies may be under way. What is more is not copied.
	// 0 is 64, which hold 4 MiB of bodies if each is as large as [Retry].Replay.
	Concurrent int
}

const (
	// MirroredFrom is the header field that tells a copy from a call: it names
	// the version that the call went to. A call that has it is not copied again.
	// The Host, to which Envoy adds "-shadow", stays what it is: servers, and
	// certificates, go by it.
	MirroredFrom = "X-Mirrored-From"

	defaultMirrorTimeout    = 10 * time.Second
	defaultMirrorConcurrent = 64
	// mirrorDrain is how long copies go on after Close.
	mirrorDrain = time.Second
)

func (m Mirror) withDefaults(attempt time.Duration) Mirror {
	if m != (Mirror{}) {
		m.Timeout = orDefault(m.Timeout, orDefault(attempt, defaultMirrorTimeout))
		m.Concurrent = orDefault(m.Concurrent, defaultMirrorConcurrent)
	}
	return m
}

func (m Mirror) validate(f *faults, versions []Version) {
	if m == (Mirror{}) {
		return
	}
	if !(m.Share >= 0 && m.Share <= 1) { // also catches NaN
		f.add("mirror.share", "a share of the calls lies between 0% and 100%", "")
	}
	f.nonNegative("mirror.timeout", m.Timeout)
	if m.Concurrent < 0 {
		f.add("mirror.concurrent", "a count cannot be negative", "")
	}
	if len(versions) == 0 {
		f.add("mirror", "there are no versions to copy to", "write versions: { v1: { endpoints: [...], weight: 100 }, v2: { endpoints: [...], weight: 0 } }")
		return
	}
	others := slices.DeleteFunc(slices.Clone(versions), func(v Version) bool { return v.Name == m.To })
	switch {
	case len(others) == len(versions):
		f.add("mirror.to", fmt.Sprintf("there is no version %q", m.To), "write "+strings.Join(versionNames(versions), ", "))
	case !slices.ContainsFunc(others, func(v Version) bool { return v.Weight > 0 || v.When != When{} }):
		f.add("mirror.to", fmt.Sprintf("all calls go to %s, so that there are none to copy to it", m.To), "give another version a weight")
	}
}

// drawn decides by chance whether something happens to a share of the calls.
func drawn(share float64, random func() uint64) bool {
	return share >= 1 || share > 0 && float64(random()) < share*math.MaxUint64
}

// mirror is [Mirror] made ready. A nil one copies nothing.
type mirror struct {
	Mirror
	service *Service
	version int
	ctx     context.Context // of all copies
	cancel  context.CancelFunc
	closed  atomic.Bool

	inFlight                                        atomic.Int64
	sent, dropped, skipped, failed, same, otherwise atomic.Int64
}

func newMirror(s *Service) *mirror {
	if s.cfg.Mirror.Share == 0 {
		return nil
	}
	m := &mirror{Mirror: s.cfg.Mirror, service: s, version: s.split.index(s.cfg.Mirror.To)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// close makes no more copies, and ends those under way soon.
func (m *mirror) close() {
	if m != nil && !m.closed.Swap(true) {
		time.AfterFunc(mirrorDrain, m.cancel)
	}
}

// shadow is a copy of a call. A nil one is none.
type shadow struct {
	mirror *mirror
	req    *http.Request // but for the body
	first  atomic.Int32  // the status that came first, of the call's reply or the copy's
}

// copy gives the copy of a call that is about to be made, if there is to be one, and
// the request to make the call with.
func (m *mirror) copy(req *http.Request, version int) (*http.Request, *shadow) {
	switch {
	case m == nil || version == m.version || m.closed.Load():
		return req, nil
	case !m.Unsafe && !safe(req.Method) || len(req.Header["Upgrade"]) > 0 || len(req.Header[MirroredFrom]) > 0:
		return req, nil
	case !drawn(m.Share, m.service.cfg.Random):
		return req, nil
	}
	limit := m.service.cfg.Retry.Replay
	if h1.HasBody(req) && req.ContentLength > limit {
		m.skipped.Add(1)
		return req, nil
	}
	c := &shadow{mirror: m, req: m.request(req, version)}
	switch {
	case !h1.HasBody(req):
		c.send(nil)
	case req.GetBody != nil && req.ContentLength >= 0:
		body, err := whole(req.GetBody)
		if err != nil {
			m.skipped.Add(1)
			return req, nil
		}
		c.send(body)
	default:
		read := *req
		read.Body = &overheard{ReadCloser: req.Body, by: c, left: req.ContentLength, limit: limit}
		return &read, c
	}
	return req, c
}

// whole is a body of its own, to be read when the caller may have reused what it is
// made of.
func whole(open func() (io.ReadCloser, error)) ([]byte, error) {
	body, err := open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// request is the copy of a request without its body, which nothing of the caller's is
// reached from.
func (m *mirror) request(req *http.Request, version int) *http.Request {
	c := (&http.Request{Method: req.Method, Proto: req.Proto, ProtoMajor: req.ProtoMajor, ProtoMinor: req.ProtoMinor, Host: req.Host}).WithContext(m.ctx)
	c.URL = new(url.URL)
	*c.URL = *req.URL
	if c.Header = req.Header.Clone(); c.Header == nil {
		c.Header = http.Header{}
	}
	c.Header[MirroredFrom] = []string{m.service.split.versions[version].Name}
	// If versions share what they remember of keys, the copy must not be taken for
	// the call, which would then get the copy's reply, or a conflict.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		for i := range c.Header[name] {
			c.Header[name][i] += "-mirror"
		}
	}
	return c
}

// send makes the copy, if there is room for one more.
func (c *shadow) send(body []byte) {
	m := c.mirror
	if !m.service.rate.now() || !queue.Take(&m.inFlight, m.Concurrent) {
		m.dropped.Add(1)
		return
	}
	m.sent.Add(1)
	if len(body) > 0 {
		c.req.ContentLength = int64(len(body))
		c.req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		c.req.Body, _ = c.req.GetBody()
	}
	go c.run()
}

func (c *shadow) run() {
	m := c.mirror
	done := false
	defer func() {
		if !done { // no endpoint, no reply, or a transport that panicked, which is not to end the process
			_ = recover()
			m.failed.Add(1)
		}
		m.inFlight.Add(-1)
	}()
	now := time.Now()
	until := now.Add(m.Timeout)
	to := tried{version: m.version, fellBack: true} // a stand-in would say nothing of the version
	p, err := to.pick(m.service, c.req, now)
	if err != nil {
		closeBody(c.req)
		return
	}
	out := m.service.attempt(p, c.req, &Call{Attempts: 1, aside: true}, until)
	if out.err != nil {
		return
	}
	c.compare(out.resp)
	if live, ok := out.resp.Body.(*liveBody); ok {
		// Not through it: what breaks off here is no failure of a call.
		_, _ = io.CopyN(io.Discard, live.ReadCloser, maxDiscard)
	}
	out.resp.Body.Close()
	done = true
}

// compare takes a reply, of the call or of the copy: the second of them is
// compared with the first.
func (c *shadow) compare(resp *http.Response) {
	switch {
	case c == nil || resp == nil || c.first.CompareAndSwap(0, int32(resp.StatusCode)):
	case c.first.Load() == int32(resp.StatusCode):
		c.mirror.same.Add(1)
	default:
		c.mirror.otherwise.Add(1)
	}
}

// overheard is the body of a call that is sent to the copy, too, when it has been
// read to its end.
type overheard struct {
	io.ReadCloser
	by    *shadow
	left  int64 // to come; below 0 if that is not known
	limit int64
	kept  []byte
	over  atomic.Bool // nothing more is kept
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if o.over.Load() {
		return n, err
	}
	known := o.left >= 0
	o.left -= int64(n)
	switch {
	case int64(len(o.kept)+n) > o.limit:
		o.giveUp()
	case err == io.EOF || known && o.left == 0:
		if !o.over.Swap(true) {
			o.by.send(append(o.kept, p[:n]...))
		}
	default:
		o.kept = append(o.kept, p[:n]...)
	}
	return n, err
}

func (o *overheard) Close() error {
	o.giveUp()
	return o.ReadCloser.Close()
}

// giveUp makes no copy, if none was made.
func (o *overheard) giveUp() {
	if !o.over.Swap(true) {
		o.by.mirror.skipped.Add(1)
	}
}

// MirrorStats are what [Mirror] counts.
type MirrorStats struct {
	To        string
	InFlight  int64
	Sent      int64 // copies that were begun
	Dropped   int64 // copies that were not, as there were too many under way
	Skipped   int64 // nor these: the body was larger than what is kept, or not read to its end
	Failed    int64 // copies without a reply
	Same      int64 // replies to a copy with the status that its call got
	Different int64 // replies to a copy with another status
}

func (m *mirror) stats() *MirrorStats {
	if m == nil {
		return nil
	}
	return &MirrorStats{
		To: m.To, InFlight: m.inFlight.Load(), Sent: m.sent.Load(), Dropped: m.dropped.Load(), Skipped: m.skipped.Load(),
		Failed: m.failed.Load(), Same: m.same.Load(), Different: m.otherwise.Load(),
	}
}
