package mesh

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestBreakerTable plays outcomes, one attempt each, and looks at the state after
// every one: c closed, o open, h half-open. Outcomes: + success, - failure,
// 4 status 404, 5 status 500, x canceled by the caller, d the caller's deadline,
// b the caller's bound for the service, . the open time passes.
// An attempt that the breaker does not let pass is written as !.
func TestBreakerTable(t *testing.T) {
	consecutive := Breaker{Failures: 3}
	share := Breaker{Ratio: 0.5, Of: 4}
	count := Breaker{Failures: 2, Of: 4}
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
				if play == '.' {
					time.Sleep(defaultBreakerOpen)
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
				if state := s.Stats().Endpoints[0].Breaker; state[0] != c.reaches[i] {
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
		if state := s.Stats().Endpoints[0].Breaker; state != "closed" {
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
		acquire().record(false)
		acquire().record(false)
		if b.state() != "open" {
			t.Fatal(b.state())
		}
		time.Sleep(defaultBreakerOpen)
		probe := acquire()
		slowSuccess.record(true)
		slowFailure.record(false)
		slowFailure.release()
		if _, ok := b.acquire(); ok || b.state() != "half-open" || b.mayPass() {
			t.Errorf("%s, a second probe passes: %v", b.state(), ok)
		}
		probe.record(true)
		if b.state() != "closed" {
			t.Error(b.state())
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
		if e := s.Stats().Endpoints[0]; e.InFlight != 0 || e.Breaker != "closed" {
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
		const want = "service test: breaker_open: the breakers of all endpoints are open, the next probe is in 10s"
		if classOf(t, err) != BreakerOpen || err.Error() != want || call.Attempts != 0 || f.n.Load() != 2 {
			t.Errorf("%v, %d attempts", err, call.Attempts)
		}
	})
}
