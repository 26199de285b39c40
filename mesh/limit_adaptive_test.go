package mesh

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
)

// besiege calls as often as the limit of a service lets it, for some time.
func besiege(t *testing.T, s *Service, lasts time.Duration, calls int, within time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			for ctx.Err() == nil {
				ctx, cancel := context.WithTimeout(ctx, within)
				resp, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &Call{Buffer: true})
				cancel()
				if err == nil {
					resp.Body.Close()
				} else if e := (*Error)(nil); errors.As(err, &e) && e.Class == Overloaded {
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
}

// responding answers after a while, with a status or an error.
func responding(d time.Duration, status int, err error) transportFunc {
	return func(req *http.Request) (*http.Response, error) {
		if e := sleep(req.Context(), d); e != nil {
			return nil, e
		}
		if err != nil {
			return nil, err
		}
		return reply(status), nil
	}
}

func TestWhatTheAdaptiveLimitLearnsFrom(t *testing.T) {
	const ms = time.Millisecond
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, c := range []struct {
		name   string
		then   transportFunc // what follows good replies in 50ms
		within time.Duration // how long callers wait
		want   func(before, now int64) bool
		says   string
	}{
		{"replies as before", responding(50*ms, 200, nil), time.Hour, func(b, n int64) bool { return n >= b }, "no less"},
		{"503 at once", responding(5*ms, 503, nil), time.Hour, func(b, n int64) bool { return n == 5 }, "the least"},
		{"429 at once", responding(5*ms, 429, nil), time.Hour, func(b, n int64) bool { return n == 5 }, "the least"},
		{"504", responding(5*ms, 504, nil), time.Hour, func(b, n int64) bool { return n == 5 }, "the least"},
		{"refused connections", responding(5*ms, 0, refused), time.Hour, func(b, n int64) bool { return n == 5 }, "the least"},
		{"timeouts", responding(10*time.Second, 200, nil), time.Hour, func(b, n int64) bool { return n == 5 }, "the least"},
		{"callers that give up after long", responding(10*time.Second, 200, nil), 200 * ms, func(b, n int64) bool { return n == 5 }, "the least"},
		{"callers that give up early", responding(10*time.Second, 200, nil), 20 * ms, func(b, n int64) bool { return n == b }, "the same"},
		{"500 at once", responding(5*ms, 500, nil), time.Hour, func(b, n int64) bool { return n == b }, "the same"},
		{"404 at once", responding(5*ms, 404, nil), time.Hour, func(b, n int64) bool { return n == b }, "the same"},
		{"broken connections", responding(5*ms, 0, errReset), time.Hour, func(b, n int64) bool { return n == b }, "the same"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Pointer[transportFunc]
				before := responding(50*ms, 200, nil)
				now.Store(&before)
				s := open(t, Config{Endpoints: []string{"http://a"}, Timeout: time.Second, Limit: Limit{Adaptive: Adaptive{Max: 200}},
					Transport: transportFunc(func(req *http.Request) (*http.Response, error) { return (*now.Load())(req) })})
				besiege(t, s, 2*time.Second, 40, time.Hour)
				st := s.Stats().Limit
				if st.Limit < 40 || st.Adaptive.Usual < 45*ms || st.Adaptive.Usual > 55*ms {
					t.Fatalf("after good replies: %+v %+v", st, st.Adaptive)
				}
				now.Store(&c.then)
				besiege(t, s, 8*time.Second, 40, c.within)
				if got := s.Stats().Limit; !c.want(st.Limit, got.Limit) || got.InUse != 0 {
					t.Errorf("the limit was %d and is %d, with %d in use; want %s", st.Limit, got.Limit, got.InUse, c.says)
				}
			})
		})
	}
}

// A copy is no call: that the version on trial has too much to do says nothing of
// the one that answers.
func TestTheAdaptiveLimitLearnsNothingFromCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var copies atomic.Int64
		good, bad := responding(50*time.Millisecond, 200, nil), responding(5*time.Millisecond, 503, nil)
		s := open(t, Config{Limit: Limit{Adaptive: Adaptive{Max: 200}}, Mirror: Mirror{To: "new", Share: 1},
			Versions: []Version{{Name: "old", Endpoints: []string{"http://old"}, Weight: 1}, {Name: "new", Endpoints: []string{"http://new"}}},
			Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
				if req.URL.Host == "new" {
					copies.Add(1)
					return bad(req)
				}
				return good(req)
			})})
		besiege(t, s, 3*time.Second, 20, time.Hour)
		time.Sleep(time.Second) // for the last copies
		if st := s.Stats().Limit; st.Limit < 40 || st.Adaptive.Last < 45*time.Millisecond || copies.Load() < 1000 {
			t.Errorf("%+v %+v, with %d copies", st, st.Adaptive, copies.Load())
		}
	})
}

func TestTheAdaptiveLimitKeepsItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := &slowly{takes: 10 * time.Millisecond}
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: upstream, Limit: Limit{Adaptive: Adaptive{Min: 10, Start: 15, Max: 30}}})
		if n := s.Stats().Limit.Limit; n != 15 {
			t.Errorf("it begins with %d", n)
		}
		besiege(t, s, 2*time.Second, 50, time.Hour)
		if n, most := s.Stats().Limit.Limit, upstream.most.Load(); n != 30 || most != 30 {
			t.Errorf("it is %d, and %d were under way", n, most)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: responding(5*time.Millisecond, 503, nil), Limit: Limit{Adaptive: Adaptive{Min: 10, Max: 30}}})
		besiege(t, s, 2*time.Second, 50, time.Hour)
		if n := s.Stats().Limit.Limit; n != 10 {
			t.Errorf("it is %d", n)
		}
	})
}

func TestAdaptiveIsValidated(t *testing.T) {
	for _, c := range []struct {
		limit Limit
		want  string
	}{
		{Limit{Adaptive: Adaptive{Max: 1}}, ""},
		{Limit{Adaptive: Adaptive{Max: 10, Min: 10, Start: 10}}, ""},
		{Limit{Adaptive: Adaptive{Max: 10}, PerEndpoint: 3, Queue: 2}, ""},
		{Limit{Adaptive: Adaptive{Max: -1}}, "limit.adaptive.max: a count cannot be negative"},
		{Limit{Adaptive: Adaptive{Min: 3}}, "limit.adaptive: there is no max (write max: 200)"},
		{Limit{Adaptive: Adaptive{Max: 3, Min: 4}}, "limit.adaptive.min: min is more than max (write min: 3 or less)"},
		{Limit{Adaptive: Adaptive{Max: 30, Start: 4}}, "limit.adaptive.start: start is not between min and max (write a number from 5 to 30)"},
		{Limit{Adaptive: Adaptive{Max: 30, Start: 31}}, "limit.adaptive.start: start is not between min and max (write a number from 5 to 30)"},
		{Limit{Adaptive: Adaptive{Max: 30}, Concurrent: 3}, "limit.concurrent: adaptive finds how many calls there may be (write one of them; adaptive has a max of its own)"},
	} {
		var texts []string
		for _, f := range Validate(Config{Endpoints: []string{"http://a"}, Limit: c.limit}) {
			texts = append(texts, f.Error())
		}
		if got := strings.Join(texts, "; "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.limit, got, c.want)
		}
	}
	for _, c := range []struct{ given, want Adaptive }{
		{Adaptive{Max: 200}, Adaptive{Max: 200, Min: 5, Start: 20}},
		{Adaptive{Max: 3}, Adaptive{Max: 3, Min: 3, Start: 3}},
		{Adaptive{Max: 200, Min: 50}, Adaptive{Max: 200, Min: 50, Start: 50}},
	} {
		if got := c.given.withDefaults(); got != c.want {
			t.Errorf("%+v becomes %+v", c.given, got)
		}
	}
}

// The faults for which mesh has a limit of its own: see adaptive. A service
// answers half of its calls after 50 ms and turns the other half away at once.
func TestWhatTheLibrarysAdaptiveLimitDoes(t *testing.T) {
	for name, failed := range map[string]func(adaptivelimiter.Permit){
		"failures are recorded": adaptivelimiter.Permit.Record,
		"failures are dropped":  adaptivelimiter.Permit.Drop,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := adaptivelimiter.NewBuilder[any]().Build()
				press(l, time.Minute, func(n int) (took time.Duration, ok bool) {
					if n%2 == 0 {
						return time.Millisecond, false
					}
					return 50 * time.Millisecond, true
				}, failed)
				if l.Limit() <= 60 {
					t.Errorf("after a minute in which half of the calls failed, the limit of 20 is %d: is mesh's own still needed?", l.Limit())
				}
			})
		})
	}
	t.Run("it is slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := adaptivelimiter.NewBuilder[any]().WithLimits(1, 200, 200).Build()
			quick, slow := 50*time.Millisecond, 500*time.Millisecond
			press(l, 20*time.Second, func(int) (time.Duration, bool) { return quick, true }, adaptivelimiter.Permit.Record)
			press(l, 20*time.Second, func(int) (time.Duration, bool) { return slow, true }, adaptivelimiter.Permit.Record)
			if l.Limit() < 150 {
				t.Errorf("after 20s in which replies took ten times as long, the limit of 200 is %d: is mesh's own still needed?", l.Limit())
			}
		})
	})
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		s := open(t, Config{Endpoints: []string{"http://a"}, Limit: Limit{Adaptive: Adaptive{Max: 200}},
			Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
				if n.Add(1)%2 == 0 {
					return responding(5*time.Millisecond, 503, nil)(req)
				}
				return responding(50*time.Millisecond, 200, nil)(req)
			})})
		besiege(t, s, 10*time.Second, 60, time.Hour)
		if n := s.Stats().Limit.Limit; n > 20 {
			t.Errorf("mesh's own limit of 20 is %d", n)
		}
	})
}

// press makes 200 calls at a time, as far as the limit lets them.
func press(l adaptivelimiter.AdaptiveLimiter[any], lasts time.Duration, serve func(n int) (time.Duration, bool), failed func(adaptivelimiter.Permit)) {
	var n atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(lasts)
	for range 200 {
		all.Go(func() {
			for time.Now().Before(end) {
				permit, ok := l.TryAcquirePermit()
				if !ok {
					time.Sleep(50 * time.Millisecond)
					continue
				}
				took, ok := serve(int(n.Add(1)))
				time.Sleep(took)
				if ok {
					permit.Record()
				} else {
					failed(permit)
				}
			}
		})
	}
	all.Wait()
}
