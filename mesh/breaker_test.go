package mesh

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// TestBreakerTable plays outcomes, one attempt each, and looks at the state after
// every one: c closed, o open, h half-open. Outcomes: + success, - failure,
// s a success that takes a second, 4 status 404, 5 status 500, x canceled by the caller, d the caller's deadline,
// b the caller's bound for the service, . the open time passes, , three seconds do.
// An attempt that the breaker does not let pass is written as !.
func TestBreakerTable(t *testing.T) {
	consecutive := Breaker{Failures: 3}
	share := Breaker{Ratio: 0.5, Of: 4}
	count := Breaker{Failures: 2, Of: 4}
	within := Breaker{Failures: 3, Within: 10 * time.Second}
	shareWithin := Breaker{Ratio: 0.5, Of: 4, Within: 10 * time.Second}
	slowOnes := Breaker{Slow: Slow{Over: 500 * time.Millisecond}, Of: 4}
	for _, c := range []struct {
		name           string
		breaker        Breaker
		plays, reaches string
	}{
		{"consecutive failures open", consecutive, "---!", "ccoo"},
		{"a success in between does not", consecutive, "--+--+", "cccccc"},
		{"status 500 and above is failure", consecutive, "555!", "ccoo"},
		{"status 404 is success", consecutive, "--4--4", "cccccc"},
		{"the caller's cancellation is neither", consecutive, "--xxxx-!", "ccccccoo"},
		{"the caller's deadline is neither", consecutive, "--dd-!", "ccccoo"},
		{"the caller's bound for the service is failure", consecutive, "-b-!", "ccoo"},
		{"a share of failures opens", share, "+-+-!", "cccoo"},
		{"a smaller share does not", share, "+++-+++-", "cccccccc"},
		{"a count of failures in a window", count, "+--!", "ccoo"},
		{"failures leave the window", count, "-+++-+++", "cccccccc"},
		{"as many failures as the share is of, rounded up", Breaker{Ratio: 0.1, Of: 30}, "---!", "ccoo"},
		{"failures within a time", within, "-,-,-!", "ccccoo"},
		{"failures leave the time", within, "-,,,-,,-,,-", "ccccccccccc"},
		{"a share within a time", shareWithin, "+-+-!", "cccoo"},
		{"a share of too few within a time is none", shareWithin, "-,-,,-,,,-", "cccccccccc"},
		{"slow ones open", slowOnes, "ss!", "coo"},
		{"one slow one does not", slowOnes, "s+++s+++", "cccccccc"},
		{"slow and failed ones have their own bounds", Breaker{Failures: 2, Slow: Slow{Over: time.Millisecond}, Of: 4}, "s-+s!", "cccoo"},
		{"a probe that is slow opens again", slowOnes, "ss.s!.+", "coooooc"},
		{"open until the time has passed", consecutive, "---!!.", "ccoooo"},
		{"a probe that succeeds closes", consecutive, "---.+--", "ccooccc"},
		{"a probe that fails opens again", consecutive, "---.-!.-!.+", "ccooooooooc"},
		{"a probe that is canceled leaves room for the next", consecutive, "---.x+", "ccoohc"},
		{"and the next may be canceled too", consecutive, "---.xxx-!", "ccoohhhoo"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{}
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Breaker: c.breaker})
			for i, play := range c.plays {
				ctx, cancel := context.WithCancel(t.Context())
				switch play {
				case 'd':
					ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				case 'b':
					ctx, cancel = context.WithTimeoutCause(t.Context(), time.Second, os.ErrDeadlineExceeded)
				}
				before := f.n.Load()
				f.play = func(int, *http.Request) (*http.Response, error) {
					switch play {
					case '-':
						return nil, errReset
					case 's':
						time.Sleep(time.Second)
					case '4':
						return reply(404), nil
					case '5':
						return reply(500), nil
					case 'x':
						cancel()
						return nil, ctx.Err()
					case 'd', 'b':
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return reply(200), nil
				}
				if play == ',' {
					time.Sleep(3 * time.Second)
				} else if play == '.' {
					time.Sleep(defaultBreakerMaxOpen)
				} else {
					resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx))
					if err == nil {
						text(t, resp, nil)
					}
					passed := f.n.Load() > before
					if refused := classOf(t, err) == BreakerOpen; refused != (play == '!') || refused == passed {
						t.Errorf("%s: %s[%d]: %v", c.name, c.plays, i, err)
					}
				}
				cancel()
				if state := s.Stats().Endpoints[0].Breaker.State; state[0] != c.reaches[i] {
					t.Errorf("%s: after %s: %s, want %c", c.name, c.plays[:i+1], state, c.reaches[i])
				}
			}
		})
	}
}

func TestOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(nil, errReset)
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Breaker: Breaker{Failures: 1}})
		s.RoundTrip(newRequest(t, "GET", "/", nil))
		time.Sleep(defaultBreakerOpen)
		f.n.Store(0)
		f.play = func(int, *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(200), nil
		}
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				if resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil)); err == nil {
					resp.Body.Close()
				}
			})
		}
		calls.Wait()
		if n := f.n.Load(); n != 1 {
			t.Errorf("%d probes", n)
		}
		if state := s.Stats().Endpoints[0].Breaker.State; state != "closed" {
			t.Error(state)
		}
	})
}

// Attempts that were begun before the breaker opened end while a probe is under
// way. Only the probe counts.
func TestStaleResultsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &fake{}, Breaker: Breaker{Failures: 2}})
		b := s.set.Load().endpoints[0].breaker
		acquire := func() permit {
			p, ok := b.acquire()
			if !ok {
				t.Fatal("refused")
			}
			return p
		}
		slowSuccess, slowFailure := acquire(), acquire()
		acquire().record(true, 0)
		acquire().record(true, 0)
		state := func() string { return b.stats(time.Time{}).State }
		if state() != "open" {
			t.Fatal(state())
		}
		time.Sleep(defaultBreakerOpen)
		probe := acquire()
		slowSuccess.record(false, 0)
		slowFailure.record(true, 0)
		slowFailure.release()
		if _, ok := b.acquire(); ok || state() != "half-open" || b.mayPass(b.clock()) {
			t.Errorf("%s, a second probe passes: %v", state(), ok)
		}
		probe.record(false, 0)
		if state() != "closed" {
			t.Error(state())
		}
	})
}

func TestAPanicGivesThePermitBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(nil, errReset)
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f, Breaker: Breaker{Failures: 1}})
		s.RoundTrip(newRequest(t, "GET", "/", nil))
		time.Sleep(defaultBreakerOpen)
		f.play = func(int, *http.Request) (*http.Response, error) { panic("a bug elsewhere") }
		func() {
			defer func() { recover() }()
			s.RoundTrip(newRequest(t, "GET", "/", nil))
		}()
		f.play = func(int, *http.Request) (*http.Response, error) { return reply(200), nil }
		text(t, must(t)(s.RoundTrip(newRequest(t, "GET", "/", nil))), nil)
		if e := s.Stats().Endpoints[0]; e.InFlight != 0 || e.Breaker.State != "closed" {
			t.Errorf("%+v", e)
		}
	})
}

func TestAnOpenBreakerIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{play: func(_ int, req *http.Request) (*http.Response, error) {
			if req.URL.Host == "b" {
				return nil, errReset
			}
			return reply(200), nil
		}}
		s := open(t, Config{Endpoints: []string{"http://a", "http://b", "http://c"}, Transport: f, Breaker: Breaker{Failures: 2}})
		failures := 0
		for range 30 {
			resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
			if err != nil {
				failures++
				continue
			}
			text(t, resp, nil)
		}
		if n := strings.Count(strings.Join(f.hosts, ""), "b"); n != 2 || failures != 2 {
			t.Errorf("%d attempts at b, %d calls failed", n, failures)
		}
	})
}

// A reply that exhausted the last endpoint is worth more to the caller than the
// news that its breaker has opened.
func TestTheLastReplyIsKeptWhenTheBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(status(503), nil)
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: f,
			Retry: Retry{Attempts: 5}, Breaker: Breaker{Failures: 2}})
		var call Call
		resp, err := s.Do(newRequest(t, "GET", "/", nil), &call)
		if body := text(t, resp, err); body != "body" || resp.StatusCode != 503 || call.Attempts != 2 {
			t.Errorf("%q, status %d, %d attempts", body, resp.StatusCode, call.Attempts)
		}
		_, err = s.Do(newRequest(t, "GET", "/", nil), &call)
		const want = "service test: breaker_open: the breakers of all endpoints are open, the next probe is in 10s (for 0s: 2 attempts failed in a row)"
		if classOf(t, err) != BreakerOpen || err.Error() != want || call.Attempts != 0 || f.n.Load() != 2 {
			t.Errorf("%v, %d attempts", err, call.Attempts)
		}
	})
}

func newTestBreaker(c Breaker) *breaker {
	start := time.Now()
	return newBreaker(c.withDefaults(), "attempts", 0, func() time.Duration { return time.Since(start) }, rand.Uint64)
}

func TestAStormAtAHalfOpenBreakerIsOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker(Breaker{Failures: 1})
		leave, _ := b.acquire()
		leave.record(true, 0)
		time.Sleep(defaultBreakerOpen)
		var passed atomic.Int64
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				if _, ok := b.acquire(); ok {
					passed.Add(1)
				}
			})
		}
		callers.Wait()
		if n := passed.Load(); n != 1 {
			t.Errorf("%d probes", n)
		}
	})
}

func TestAProbeThatNeverEndsLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker(Breaker{Failures: 1})
		first, _ := b.acquire()
		first.record(true, 0)
		time.Sleep(defaultBreakerOpen)
		lost, _ := b.acquire()
		if _, ok := b.acquire(); ok {
			t.Error("two probes at once")
		}
		time.Sleep(b.lease)
		second, ok := b.acquire()
		if !ok {
			t.Fatal("no probe after the lease")
		}
		lost.release() // which is not the lease that is running
		if _, ok := b.acquire(); ok {
			t.Error("the lease of another was given back")
		}
		// A service whose answers take longer than the lease still has an answer.
		lost.record(false, 0)
		if s := b.stats(time.Time{}); s.State != "closed" {
			t.Errorf("%+v", s)
		}
		second.record(true, 0)
		if s := b.stats(time.Time{}); s.State != "closed" || s.Openings != 1 {
			t.Errorf("a probe from before it closed counts: %+v", s)
		}
	})
}

func TestFailedProbesAreFurtherAndFurtherApart(t *testing.T) {
	for random, want := range map[float64][]time.Duration{
		0:   {10, 20, 40, 50, 50},
		0.5: {10, 15, 30, 37, 37},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestBreaker(Breaker{Failures: 1, MaxOpen: 50 * time.Second})
			b.random = func() float64 { return random }
			opened := time.Now()
			leave, _ := b.acquire()
			leave.record(true, 0)
			for i, want := range want {
				s := b.stats(opened)
				if got := time.Until(s.NextProbe).Truncate(time.Second); got != want*time.Second || s.FailedProbes != i {
					t.Errorf("random %v: %v after %d failed probes, want %vs", random, got, s.FailedProbes, int(want))
				}
				time.Sleep(time.Until(s.NextProbe))
				probe, ok := b.acquire()
				if !ok {
					t.Fatal("refused")
				}
				probe.record(true, 0)
			}
			if s := b.stats(opened); !s.Since.Equal(opened) || s.Because != "1 attempts failed in a row" || s.Openings != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestARefusalSaysWhatTheStateIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker(Breaker{Ratio: 0.5, Of: 4, Within: 8 * time.Second})
		for _, isFailure := range []bool{true, true, false, true} {
			leave, _ := b.acquire()
			leave.record(isFailure, 0)
		}
		b.random = func() float64 { return 0 }
		const because = "3 of 4 attempts within 8s failed"
		says := func(want string) {
			t.Helper()
			if got := b.refusal(); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
		}
		time.Sleep(3 * time.Second)
		says("open, the next probe is in 7s (for 3s: " + because + ")")
		time.Sleep(7 * time.Second)
		probe, _ := b.acquire()
		says("open, and a probe is under way (for 10s: " + because + ")")
		probe.record(true, 0)
		says("open, the next probe is in 20s (for 10s: " + because + ", and a probe failed since)")
		time.Sleep(20 * time.Second)
		probe, _ = b.acquire()
		probe.record(false, 0)
		says("open, and a probe has just succeeded")
	})
}

// Outcomes that come in at the same time are all in the window.
func TestNoOutcomeIsLostInAWindow(t *testing.T) {
	w := &lastMarks{slots: make([]atomic.Uint32, 100)}
	var done sync.WaitGroup
	for i := range 8 {
		done.Go(func() {
			for range 1000 {
				w.add(0, counted|mark(i%2)*failed)
			}
		})
	}
	done.Wait()
	for range 100 {
		w.add(0, counted|failed)
	}
	if got := w.count(0); got != (tally{100, 100, 0}) {
		t.Errorf("%+v", got)
	}
	w.reset()
	if got := w.count(0); got != (tally{}) {
		t.Errorf("%+v", got)
	}
}

func TestTheServicesBreakerCountsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(nil, errReset)
		s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: f,
			Retry: Retry{Attempts: 2}, ServiceBreaker: Breaker{Failures: 2}})
		get := func() error {
			resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
			if err == nil {
				text(t, resp, nil)
			}
			return err
		}
		get()
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(canceled))
		if state := s.Stats().Breaker.State; state != "closed" || f.n.Load() != 2 {
			t.Errorf("%s after %d attempts", state, f.n.Load())
		}
		get()
		body := &closeSeen{Reader: strings.NewReader("x")}
		_, err := s.RoundTrip(newRequest(t, "POST", "/", body))
		const want = "service test: breaker_open: its breaker is open, the next probe is in 10s (for 0s: 2 calls failed in a row)"
		if classOf(t, err) != BreakerOpen || err.Error() != want || f.n.Load() != 4 || !body.closed {
			t.Errorf("%v, %d attempts, body closed: %v", err, f.n.Load(), body.closed)
		}
		time.Sleep(defaultBreakerOpen)
		f.play = func(int, *http.Request) (*http.Response, error) { return reply(200), nil }
		if err := get(); err != nil {
			t.Error(err)
		}
		if b := s.Stats().Breaker; b.State != "closed" || b.Openings != 1 || s.Stats().Failures[BreakerOpen] != 1 {
			t.Errorf("%+v", b)
		}
	})
}

type closeSeen struct {
	io.Reader
	closed bool
}

func (c *closeSeen) Close() error {
	c.closed = true
	return nil
}

// Why breaker is not failsafe-go's.
func TestWhatTheLibrarysBreakerDoes(t *testing.T) {
	open := func() circuitbreaker.CircuitBreaker[any] {
		cb := circuitbreaker.NewBuilder[any]().WithFailureThreshold(1).WithDelay(time.Second).Build()
		cb.TryAcquirePermit()
		cb.RecordFailure()
		time.Sleep(time.Second)
		return cb
	}
	synctest.Test(t, func(t *testing.T) {
		cb := open()
		cb.TryAcquirePermit()
		cb.RecordSuccess() // of an attempt from before it opened: the probe is still under way
		if !cb.IsClosed() {
			t.Error("what is stale does not count any more")
		}
		cb = open()
		cb.TryAcquirePermit() // by a probe that never ends
		time.Sleep(time.Hour)
		if cb.TryAcquirePermit() || !cb.IsHalfOpen() {
			t.Error("a probe that never ends does not hold it half-open any more")
		}
	})
}
