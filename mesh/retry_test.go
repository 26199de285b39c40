package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/h1"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Class
	}{
		{errRefused, Connect},
		{errReset, Reset},
		{errTimeout, Timeout},
		{errGarbled, Malformed},
		{&h1.Error{Op: h1.OpRequest, Err: io.EOF}, Rejected},
		{&h1.Error{Op: h1.OpBody, Err: context.Canceled}, Rejected},
		{&h1.Error{Op: h1.OpDial, Err: context.Canceled}, Canceled},
		{&h1.Error{Op: h1.OpDial, Err: context.DeadlineExceeded}, Deadline},
		{&h1.Error{Op: h1.OpDial, Err: &net.OpError{Op: "dial", Err: context.DeadlineExceeded}}, Connect},
		{&h1.Error{Op: h1.OpRead, Err: context.Canceled}, Canceled},
		{&h1.Error{Op: h1.OpWrite, Err: syscall.EPIPE}, Reset},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Connect},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, Reset},
		{fmt.Errorf("proxy: %w", io.EOF), Reset},
		{context.DeadlineExceeded, Deadline},
		{errors.New("net/http: malformed HTTP response"), Malformed},
		{errors.New("http2: client conn could not be established"), Connect},
		{errors.New("http2: Transport: cannot retry err [stream error: stream ID 3; REFUSED_STREAM; received from peer] after Request.Body was written; define Request.GetBody to avoid this error"), Refused},
		{errors.New("http2: Transport: cannot retry err [http2: Transport received Server's graceful shutdown GOAWAY] after Request.Body was written; define Request.GetBody to avoid this error"), Refused},
		{errors.New("http2: client connection force closed via ClientConn.Close"), Reset},
		{errors.New(`http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug="REFUSED_STREAM"`), Reset},
		{errors.New("http: server closed idle connection"), Reset},
	} {
		if got := classify(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// Class, method and body together decide on a retry.
func TestRetryTable(t *testing.T) {
	type outcome struct {
		name string
		play *fake
		safe bool // idempotent methods are retried
		all  bool // so are the others
	}
	outcomes := func(read bool) []outcome {
		reading := func(f *fake) *fake {
			play := f.play
			f.play = func(n int, req *http.Request) (*http.Response, error) {
				if read && req.Body != nil {
					io.Copy(io.Discard, req.Body)
				}
				return play(n, req)
			}
			return f
		}
		return []outcome{
			{"refused_stream", always(nil, errRefused), true, true},
			{"reset", reading(always(nil, errReset)), true, false},
			{"timeout", reading(always(nil, errTimeout)), true, false},
			{"503", reading(always(status(503), nil)), true, false},
			{"429", reading(always(status(429), nil)), true, false},
			{"500, which is not listed", reading(always(status(500), nil)), false, false},
			{"404", reading(always(status(404), nil)), false, false},
			{"200", reading(always(status(200), nil)), false, false},
			{"garbled", reading(always(nil, errGarbled)), false, false},
		}
	}
	for _, method := range []string{"", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "PROPFIND"} {
		for _, body := range []string{"none", "in memory", "streamed, kept", "streamed, too long to keep", "streamed, unread"} {
			for _, o := range outcomes(body == "streamed, kept" || body == "streamed, too long to keep") {
				want := 1
				idempotent := !slices.Contains([]string{"POST", "PATCH", "PROPFIND"}, method)
				if o.all || o.safe && idempotent && body != "streamed, too long to keep" {
					want = 3
				}
				synctest.Test(t, func(t *testing.T) {
					req, _ := http.NewRequest(method, "/", nil)
					closed := 0
					switch body {
					case "in memory":
						req, _ = http.NewRequest(method, "/", strings.NewReader("data"))
					case "streamed, kept", "streamed, unread":
						req.Body = closer{strings.NewReader("data"), &closed}
					case "streamed, too long to keep":
						req.Body = closer{strings.NewReader("data+"), &closed}
					}
					s := open(t, Config{
						Endpoints: []string{"http://a"},
						Transport: o.play,
						Retry:     Retry{Attempts: 3, On: []string{"connect", "reset", "timeout", "503", "429"}, Replay: 4},
					})
					var call Call
					resp, err := s.Do(req, &call)
					if (resp == nil) != (err != nil) {
						t.Fatal(resp, err)
					}
					if resp != nil {
						resp.Body.Close()
					}
					if call.Attempts != want || int(o.play.n.Load()) != want {
						t.Errorf("%s %s, body %s: %d attempts, want %d", o.name, method, body, call.Attempts, want)
					}
					if strings.HasPrefix(body, "streamed") && closed != 1 {
						t.Errorf("%s %s, body %s: the body was closed %d times", o.name, method, body, closed)
					}
				})
				o.play.n.Store(0)
			}
		}
	}
}

type closer struct {
	io.Reader
	closed *int
}

func (c closer) Close() error { *c.closed++; return nil }

func TestEachAttemptSendsTheWholeBody(t *testing.T) {
	for name, cause := range map[string]error{"in memory": errReset, "streamed, but never sent": errRefused} {
		synctest.Test(t, func(t *testing.T) {
			var got []string
			f := &fake{}
			f.play = func(n int, req *http.Request) (*http.Response, error) {
				if n < 3 && cause == errRefused {
					return nil, cause
				}
				b, err := io.ReadAll(req.Body)
				got = append(got, string(b))
				if n < 3 {
					return nil, cause
				}
				return reply(200), err
			}
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Retry: Retry{Attempts: 3}})
			req, _ := http.NewRequest("PUT", "/", strings.NewReader("data"))
			want := []string{"data", "data", "data"}
			if cause == errRefused {
				req.GetBody, want = nil, want[:1]
			}
			if body := text(t, must(t)(s.RoundTrip(req)), nil); body != "body" || !slices.Equal(got, want) {
				t.Errorf("%s: %q, sent %q", name, body, got)
			}
		})
	}
}

func must(t testing.TB) func(*http.Response, error) *http.Response {
	return func(resp *http.Response, err error) *http.Response {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
}

func TestARetryGoesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(nil, errReset)
		s := open(t, Config{Endpoints: []string{"http://a", "http://b", "http://c"}, Transport: f, Retry: Retry{Attempts: 5}})
		_, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		if got := strings.Join(f.hosts, ""); got != "abcbc" {
			t.Errorf("tried %v", got)
		}
		var e *Error
		if !errors.As(err, &e) || e.Class != Reset || e.Attempts != 5 || e.Endpoint != "http://c" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%#v", err)
		}
		want := "service test: reset after 5 attempts: read : unexpected EOF"
		if err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
		st := s.Stats()
		if st.Requests != 1 || st.Retries != 4 || st.Failures[Reset] != 1 || st.InFlight != 0 ||
			st.Endpoints[0].Attempts != 1 || st.Endpoints[1].Attempts != 2 || st.Endpoints[1].Failures[Reset] != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestRoundRobin(t *testing.T) {
	f := always(status(200), nil)
	s := open(t, Config{Endpoints: []string{"http://a", "http://b", "http://c"}, Transport: f})
	for range 6 {
		text(t, must(t)(s.RoundTrip(newRequest(t, "GET", "/", nil))), nil)
	}
	if got := strings.Join(f.hosts, ""); got != "abcabc" {
		t.Error(got)
	}
}

func TestBackoffIsFullJitterWithinBounds(t *testing.T) {
	p := newRetryPolicy(Config{Retry: Retry{Backoff: 20 * time.Millisecond, MaxBackoff: 100 * time.Millisecond}}.withDefaults().Retry, rand.Uint64)
	for n, bound := range map[int]time.Duration{1: 20, 2: 40, 3: 80, 4: 100, 9: 100} {
		bound *= time.Millisecond
		var low, high int
		for range 2000 {
			switch w := p.wait(n, nil); {
			case w < 0 || w > bound:
				t.Fatalf("before attempt %d: %v, bound %v", n+1, w, bound)
			case w < bound/4:
				low++
			case w > bound*3/4:
				high++
			}
		}
		if low < 350 || high < 350 { // 500 of each are expected
			t.Errorf("before attempt %d: %d in the lowest quarter, %d in the highest", n+1, low, high)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		name     string
		header   func() string
		deadline time.Duration
		waited   time.Duration // at least; up to the backoff more
		attempts int
	}{
		{"seconds", func() string { return "3" }, time.Minute, 3 * time.Second, 2},
		{"a date", func() string { return time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat) }, time.Minute, 7 * time.Second, 2},
		{"a date gone by", func() string { return "Fri, 31 Dec 1999 23:59:59 GMT" }, time.Minute, 0, 2},
		{"nonsense", func() string { return "soon" }, time.Minute, 0, 2},
		{"negative", func() string { return "-5" }, time.Minute, 0, 2},
		{"beyond the deadline", func() string { return "3" }, 2 * time.Second, 0, 1},
		{"at the deadline", func() string { return "3" }, 3 * time.Second, 0, 1},
		{"ages", func() string { return "99999999999999999" }, time.Minute, 0, 1},
		{"without a deadline", func() string { return "30" }, 0, 30 * time.Second, 2},
		{"too long without a deadline", func() string { return "31" }, 0, 0, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{play: func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(503, "Retry-After", c.header()), nil
				}
				return reply(200), nil
			}}
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Retry: Retry{Attempts: 2}})
			ctx := t.Context()
			if c.deadline > 0 {
				var cancel func()
				ctx, cancel = context.WithTimeout(ctx, c.deadline)
				defer cancel()
			}
			start := time.Now()
			var call Call
			resp, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &call)
			took := time.Since(start)
			if body := text(t, resp, err); body != "body" || call.Attempts != c.attempts || took < c.waited || took > c.waited+defaultBackoff {
				t.Errorf("%s: %d attempts in %v, status %d", c.name, call.Attempts, took, resp.StatusCode)
			}
		})
	}
}

func TestNoRetryThatCannotFinish(t *testing.T) {
	for _, c := range []struct {
		name     string
		left     time.Duration // of the deadline, when the first attempt has failed
		attempts int
	}{
		{"as long as a good reply takes", 100*time.Millisecond + 1, 2},
		{"a little less", 99 * time.Millisecond, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			outcome := error(nil)
			f := &fake{play: func(n int, req *http.Request) (*http.Response, error) {
				time.Sleep(100 * time.Millisecond)
				return reply(200), outcome
			}}
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f,
				Retry: Retry{Attempts: 2, Backoff: 1, MaxBackoff: 1}})
			text(t, must(t)(s.RoundTrip(newRequest(t, "GET", "/", nil))), nil)

			f.n.Store(0)
			f.play = func(n int, req *http.Request) (*http.Response, error) {
				if n == 1 {
					return nil, errReset
				}
				return reply(200), nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.left+1)
			defer cancel()
			var call Call
			_, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &call)
			if call.Attempts != c.attempts || (c.attempts == 1) != (classOf(t, err) == Reset) {
				t.Errorf("%s: %d attempts, %v", c.name, call.Attempts, err)
			}
		})
	}
}

func TestCancellationEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drained := 0
		f := &fake{play: func(int, *http.Request) (*http.Response, error) {
			r := reply(503, "Retry-After", "20")
			r.Body = closer{r.Body, &drained}
			return r, nil
		}}
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Retry: Retry{Attempts: 2}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx))
		if classOf(t, err) != Canceled || time.Since(start) != time.Second || drained != 1 {
			t.Errorf("%v after %v, %d replies closed", err, time.Since(start), drained)
		}
	})
}

func TestAttemptTimeoutsUnderATotalDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{play: func(_ int, req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}}
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Timeout: time.Second,
			Retry: Retry{Attempts: 10, On: []string{"timeout"}, Backoff: 1, MaxBackoff: 1}})
		for total, want := range map[time.Duration]struct {
			class    Class
			attempts int
			took     time.Duration
		}{
			time.Minute:             {Timeout, 10, 10 * time.Second},
			2500 * time.Millisecond: {Deadline, 3, 2500 * time.Millisecond},
			500 * time.Millisecond:  {Deadline, 1, 500 * time.Millisecond},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), total)
			start := time.Now()
			var call Call
			_, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &call)
			took := time.Since(start).Round(time.Millisecond)
			if classOf(t, err) != want.class || call.Attempts != want.attempts || took != want.took {
				t.Errorf("%v: %v, %d attempts in %v", total, err, call.Attempts, took)
			}
			cancel()
		}
	})
}

// While a long body is sent, the timeout is for what the endpoint does.
func TestTheTimeoutOfALongUpload(t *testing.T) {
	const timeout, piece, long = time.Second, 32 << 10, 1 << 20
	waits := func(req *http.Request, d time.Duration) error {
		select {
		case <-req.Context().Done():
			return context.Cause(req.Context())
		case <-time.After(d):
			return nil
		}
	}
	for _, c := range []struct {
		name     string
		length   int64 // as it is announced
		sender   time.Duration
		takes    time.Duration // the endpoint, for each piece
		answers  time.Duration
		body     time.Duration // its last byte
		class    Class
		stream   Class // of a call that streams
		lasts    time.Duration
		atStream time.Duration
	}{
		{name: "is taken slowly", length: long, takes: 900 * time.Millisecond, lasts: 33 * 900 * time.Millisecond},
		{name: "of unknown length is taken slowly", length: -1, takes: 900 * time.Millisecond, lasts: 33 * 900 * time.Millisecond},
		{name: "comes slowly", length: long, sender: time.Minute, lasts: 32 * time.Minute},
		{name: "is not taken any more", length: long, takes: 1100 * time.Millisecond, class: Timeout, stream: Timeout, lasts: timeout},
		{name: "is not answered", length: long, takes: 900 * time.Millisecond, answers: 1100 * time.Millisecond, class: Timeout, stream: Timeout, lasts: 32*900*time.Millisecond + timeout},
		{name: "has an answer that stops", length: long, answers: 900 * time.Millisecond, body: time.Minute, class: Timeout, lasts: timeout, atStream: time.Minute + 900*time.Millisecond},
		{name: "is short, and comes slowly", length: piece, sender: 1100 * time.Millisecond, class: Timeout, stream: Timeout, lasts: timeout},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", c.name, stream), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &fake{play: func(_ int, req *http.Request) (*http.Response, error) {
						defer req.Body.Close()
						for buf := make([]byte, piece); ; {
							_, err := io.ReadFull(req.Body, buf)
							if late := req.Context().Err(); late != nil {
								return nil, context.Cause(req.Context())
							}
							if err == io.EOF {
								break
							}
							if err := waits(req, c.takes); err != nil {
								return nil, err
							}
						}
						if err := waits(req, c.answers); err != nil {
							return nil, err
						}
						r := reply(200)
						r.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
							if err := waits(req, c.body); err != nil {
								return 0, err
							}
							return 0, io.EOF
						}))
						return r, nil
					}}
					s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Timeout: timeout})
					size := int64(long)
					if c.length == piece {
						size = piece
					}
					data := io.LimitReader(readerFunc(func(p []byte) (int, error) {
						time.Sleep(c.sender)
						return len(p), nil
					}), size)
					req := newRequest(t, "POST", "/", data)
					req.ContentLength = c.length
					start := time.Now()
					resp, err := s.Do(req, &Call{Stream: stream})
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					class, lasts := c.class, c.lasts
					if stream {
						class, lasts = c.stream, orDefault(c.atStream, lasts)
					}
					if took := time.Since(start); classOf(t, err) != class || took < lasts-timeout || took > lasts+timeout/5 {
						t.Errorf("after %v, not %v: %v", took, lasts, err)
					}
					if e := s.Stats().Endpoints[0]; e.InFlight != 0 {
						t.Errorf("%+v", e)
					}
				})
			})
		}
	}
}

func TestTheTimeoutCoversTheBody(t *testing.T) {
	for _, stream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{play: func(_ int, req *http.Request) (*http.Response, error) {
				r := reply(200)
				r.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
					select {
					case <-time.After(time.Minute):
						return 0, io.EOF
					case <-req.Context().Done():
						return 0, req.Context().Err()
					}
				}))
				return r, nil
			}}
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Timeout: time.Second})
			start := time.Now()
			resp, err := s.Do(newRequest(t, "GET", "/", nil), &Call{Stream: stream})
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			wantTook, wantClass, timeouts := time.Second, Timeout, int64(1)
			if stream {
				wantTook, wantClass, timeouts = time.Minute, OK, 0
			}
			if classOf(t, err) != wantClass || time.Since(start) != wantTook {
				t.Errorf("stream %v: %v after %v", stream, err, time.Since(start))
			}
			if got := s.Stats(); got.Failures[Timeout] != timeouts || got.Endpoints[0].InFlight != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestBufferedReplies(t *testing.T) {
	broken := func(n int) *http.Response {
		r := reply(200)
		if n < 3 {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("bo"), readerFunc(func([]byte) (int, error) { return 0, errReset })))
		}
		return r
	}
	for _, c := range []struct {
		name     string
		play     func(n int) *http.Response
		limit    int64
		attempts int
		class    Class
		body     string
	}{
		{"a reply that breaks off is retried", broken, 0, 3, OK, "body"},
		{"at the limit", func(int) *http.Response { return reply(200) }, 4, 1, OK, "body"},
		{"above the limit", func(int) *http.Response { return reply(200) }, 3, 1, TooLarge, ""},
		{"above the limit, unannounced", func(int) *http.Response {
			r := reply(200)
			r.ContentLength = -1
			r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 5000)))
			return r
		}, 4999, 1, TooLarge, ""},
		{"of unknown length", func(int) *http.Response {
			r := reply(200)
			r.ContentLength = -1
			r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 5000)))
			return r
		}, 5000, 1, OK, strings.Repeat("x", 5000)},
		{"none", func(int) *http.Response {
			r := reply(200)
			r.ContentLength, r.Body = 0, http.NoBody
			return r
		}, 1, 1, OK, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{play: func(n int, _ *http.Request) (*http.Response, error) { return c.play(n), nil }}
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, MaxBody: c.limit, Retry: Retry{Attempts: 5}})
			call := Call{Buffer: true}
			resp, err := s.Do(newRequest(t, "GET", "/", nil), &call)
			if classOf(t, err) != c.class || string(call.Body) != c.body || call.Attempts != c.attempts {
				t.Fatalf("%s: %v, %d attempts, %.20q", c.name, err, call.Attempts, call.Body)
			}
			if err == nil {
				if again := text(t, resp, nil); again != c.body {
					t.Errorf("%s: the reply's body is %q", c.name, again)
				}
			}
			if n := s.Stats().Endpoints[0].InFlight; n != 0 {
				t.Errorf("%s: %d in flight", c.name, n)
			}
		})
	}
}

func TestABodyThatCannotBeGotAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: always(nil, errReset), Retry: Retry{Attempts: 3}})
		req, _ := http.NewRequest("PUT", "/", strings.NewReader("data"))
		req.GetBody = func() (io.ReadCloser, error) { return nil, gone }
		_, err := s.RoundTrip(req)
		if classOf(t, err) != Rejected || !errors.Is(err, gone) {
			t.Error(err)
		}
	})
}
