package mesh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

func hosts(n int) (urls []string) {
	for i := range n {
		urls = append(urls, "http://"+string(rune('a'+i)))
	}
	return urls
}

// ejected are the hosts that are left out.
func ejected(s *Service) (out []string) {
	for _, e := range s.Stats().Endpoints {
		if e.Ejection.Out {
			out = append(out, strings.TrimPrefix(e.Address, "http://"))
		}
	}
	return out
}

func calls(t *testing.T, s *Service, n int) {
	t.Helper()
	for range n {
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		text(t, resp, err)
	}
}

func wantEjected(t *testing.T, s *Service, want ...string) {
	t.Helper()
	if got := ejected(s); !slices.Equal(got, want) {
		t.Errorf("ejected are %v, want %v", got, want)
	}
}

func TestWhoIsEjected(t *testing.T) {
	row, share := Ejection{Failures: 3}, Ejection{Ratio: 0.3, Of: 5}
	with := func(c Ejection, change func(*Ejection)) Ejection { change(&c); return c }
	for _, c := range []struct {
		name      string
		config    Ejection
		endpoints int
		sick      sick
		want      []string
	}{
		{"nobody while nobody fails", row, 3, nil, nil},
		{"who fails in a row", row, 3, sick{"b": true}, []string{"b"}},
		{"who fails more than its peers", share, 3, sick{"b": true}, []string{"b"}},
		{"one of two", row, 2, sick{"a": true}, []string{"a"}},
		{"not the only one", row, 1, sick{"a": true}, nil},
		{"nobody by a share where there are no peers", share, 1, sick{"a": true}, nil},
		{"nobody when all fail alike", row, 3, sick{"a": true, "b": true, "c": true}, nil},
		{"nobody by a share when all fail alike", share, 3, sick{"a": true, "b": true, "c": true}, nil},
		{"no more than a half", row, 5, sick{"a": true, "b": true, "c": true}, []string{"a", "b"}},
		{"no more than at_most", with(row, func(c *Ejection) { c.AtMost = 0.2 }), 5, sick{"a": true, "b": true}, []string{"a"}},
		{"nobody if at_most is less than one", with(row, func(c *Ejection) { c.AtMost = 0.2 }), 4, sick{"a": true}, nil},
		{"as many as at_most allows", with(row, func(c *Ejection) { c.AtMost = 0.9 }), 4, sick{"a": true, "b": true, "d": true}, []string{"a", "b", "d"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			left := 1 - max(0.5, c.config.AtMost)
			s := open(t, Config{Endpoints: hosts(c.endpoints), Transport: c.sick, Ejection: c.config, Panic: left})
			calls(t, s, 60)
			if got := ejected(s); !slices.Equal(got, c.want) {
				t.Errorf("%s: ejected are %v, want %v", c.name, got, c.want)
			}
		})
	}
}

func TestTheLastUsableEndpointIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sick{"b": true}
		s := open(t, Config{Endpoints: hosts(2), Transport: b, Ejection: Ejection{Failures: 3}, Breaker: Breaker{Failures: 1000}})
		// The breaker of a is open, so b is all there is.
		a := s.set.Load().endpoints[0].breaker
		a.mu.Lock()
		a.open(time.Minute)
		a.mu.Unlock()
		calls(t, s, 20)
		wantEjected(t, s)
	})
}

func TestNeutralOutcomesDoNotEject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(2), Ejection: Ejection{Failures: 3}, Transport: &fake{play: func(_ int, req *http.Request) (*http.Response, error) {
			if req.URL.Host == "a" {
				return nil, context.Canceled
			}
			return reply(200), nil
		}}})
		for range 40 {
			resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
			if err == nil {
				text(t, resp, err)
			}
		}
		wantEjected(t, s)
	})
}

func TestAnEndpointThatFlapsIsLeftOutForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(3), Transport: sick{"b": true}, Ejection: Ejection{Failures: 3, For: 10 * time.Second, MaxFor: time.Minute}})
		out := func() time.Duration {
			t.Helper()
			calls(t, s, 30)
			e := s.Stats().Endpoints[1].Ejection
			if !e.Out || e.Because == "" {
				t.Fatalf("%+v", e)
			}
			d := time.Until(e.Until)
			before := s.Stats().Endpoints[1].Attempts
			time.Sleep(d - 1)
			calls(t, s, 30)
			if n := s.Stats().Endpoints[1].Attempts - before; n != 0 {
				t.Errorf("%d attempts while it was out", n)
			}
			time.Sleep(time.Nanosecond)
			wantEjected(t, s)
			return d
		}
		for _, want := range []time.Duration{10, 20, 40, 60, 60} {
			if got := out(); got != want*time.Second {
				t.Errorf("it is left out for %v, want %v", got, want*time.Second)
			}
		}
		time.Sleep(time.Minute)
		if got := out(); got != 10*time.Second {
			t.Errorf("after it was back for a minute, it is left out for %v", got)
		}
	})
}

func TestAnEndpointThatWasEjectedComesBackSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sick{"b": true}
		s := open(t, Config{Endpoints: hosts(2), Transport: b, SlowStart: 10 * time.Second, Ejection: Ejection{Failures: 3}})
		calls(t, s, 30)
		wantEjected(t, s, "b")
		near(t, "ejected", part(t, s, 1), 0)
		time.Sleep(30 * time.Second)
		near(t, "just back", part(t, s, 1), 0.05)
		time.Sleep(10 * time.Second)
		near(t, "back for as long as it takes", part(t, s, 1), 0.5)
	})
}

func TestWhatBeganBeforeAnEndpointWasBackDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(2), Transport: sick{"b": true}, Ejection: Ejection{Failures: 3}})
		calls(t, s, 20)
		wantEjected(t, s, "b")
		time.Sleep(30 * time.Second)
		e := s.set.Load().endpoints[1]
		for range 5 {
			e.ejection.end(s, e, Timeout, s.clock(), time.Second)
		}
		wantEjected(t, s)
	})
}

func TestWithTooFewUsableAllAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := sick{"a": true, "b": true, "c": true}
		s := open(t, Config{Endpoints: hosts(4), Transport: all, Breaker: Breaker{Failures: 2, Open: time.Minute}, Ejection: Ejection{Failures: 2}})
		calls(t, s, 12)
		st := s.Stats()
		if !st.Panic.Now || st.Panic.Attempts == 0 {
			t.Fatalf("%+v", st.Panic)
		}
		before := st.Endpoints
		calls(t, s, 40)
		for i, e := range s.Stats().Endpoints {
			if n := e.Attempts - before[i].Attempts; n != 10 {
				t.Errorf("%d of 40 attempts went to %s", n, e.Address)
			}
		}
		clear(all)
		time.Sleep(2 * time.Minute) // all are back
		calls(t, s, 8)
		if st := s.Stats(); st.Panic.Now {
			t.Errorf("%+v", st.Panic)
		}
	})
}

func TestInPanicTheErrorSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(2), Breaker: Breaker{Failures: 2}, Ejection: Ejection{Failures: 5}, Transport: &fake{play: func(int, *http.Request) (*http.Response, error) {
			return nil, errReset
		}}})
		var err error
		call := Call{Record: true}
		for range 10 {
			_, err = s.Do(newRequest(t, "GET", "/", nil), &call)
		}
		var e *Error
		if !errors.As(err, &e) || e.Class != Reset || !e.Panic || !strings.Contains(err.Error(), "too few of its endpoints were usable") {
			t.Errorf("%v", err)
		}
		if got := call.Records[0].Picked; got != pickedInPanic {
			t.Errorf("picked because %s", got)
		}
	})
}

func TestDrainingEndpointsStayOutOfPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(1), Transport: sick{}, Breaker: Breaker{Failures: 2}, Ejection: Ejection{Failures: 2}})
		targets := at(hosts(3)...)
		targets[2].Draining = true
		s.update(targets)
		for _, e := range s.set.Load().endpoints[:2] {
			e.breaker.mu.Lock()
			e.breaker.open(time.Minute)
			e.breaker.mu.Unlock()
		}
		calls(t, s, 20)
		if st := s.Stats(); !st.Panic.Now || st.Endpoints[2].Attempts != 0 {
			t.Errorf("%+v", st)
		}
		for i := range targets {
			targets[i].Draining = true
		}
		s.update(targets)
		calls(t, s, 20) // there are no others
	})
}

func TestEjectionsOutliveUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(4), Transport: sick{"b": true}, Ejection: Ejection{Failures: 3}})
		calls(t, s, 40)
		s.update(at("http://x", "http://b", "http://y"))
		wantEjected(t, s, "b")
		calls(t, s, 40)
		wantEjected(t, s, "b")
		s.update([]discovery.Target{{URL: "http://b"}})
		calls(t, s, 3) // the others have gone, so it is used
		if st := s.Stats(); !st.Panic.Now {
			t.Errorf("%+v", st.Panic)
		}
	})
}

func TestEjectionUnderConcurrentCalls(t *testing.T) {
	s := open(t, Config{Endpoints: hosts(4), Transport: sick{"a": true, "b": true, "c": true}, Breaker: Breaker{Failures: 5, Open: time.Millisecond}, SlowStart: time.Millisecond,
		Ejection: Ejection{Failures: 3, For: time.Millisecond, MaxFor: 2 * time.Millisecond}})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 300 {
				resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				s.cfg.ejector.mu.Lock() // so that none is ejected while they are counted
				out := 0
				for _, e := range s.set.Load().endpoints {
					if e.ejection.out(s.clock()) {
						out++
					}
				}
				s.cfg.ejector.mu.Unlock()
				if out > 2 {
					t.Errorf("%d of no more than 5 are ejected", out)
				}
			}
		})
	}
	for i := range 50 {
		s.update(at(slices.Concat(hosts(4), []string{fmt.Sprintf("http://x%d", i%3)})...))
	}
	callers.Wait()
}

func TestFaultsOfEjection(t *testing.T) {
	for _, c := range []struct {
		config      Ejection
		field, text string
	}{
		{Ejection{Failures: -1}, "failures", "negative"},
		{Ejection{Ratio: 1.5}, "failures", "between"},
		{Ejection{Failures: 1, Ratio: 0.5}, "failures", "either"},
		{Ejection{Failures: 1, Of: 3}, "of", "share"},
		{Ejection{Failures: 1, For: time.Hour, MaxFor: time.Minute}, "max_for", "shorter"},
		{Ejection{Failures: 1, AtMost: 2}, "at_most", "between"},
		{Ejection{Failures: 1, AtMost: 0.8}, "at_most", "all endpoints are used again"},
	} {
		faults := Validate(Config{Endpoints: hosts(2), Ejection: c.config})
		if len(faults) != 1 || faults[0].Field != "ejection."+c.field || !strings.Contains(faults[0].Message, c.text) {
			t.Errorf("%+v: %v", c.config, faults)
		}
	}
}

func TestLimitsHoldInPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(2), Ejection: Ejection{Failures: 5}, Breaker: Breaker{Failures: 2, Open: time.Minute}, Limit: Limit{PerEndpoint: 1},
			Transport: transportFunc(func(*http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return nil, errReset
			})})
		for range 6 {
			s.RoundTrip(newRequest(t, "GET", "/", nil))
		}
		if !s.Stats().Panic.Now {
			t.Fatal("enough are usable")
		}
		classes := make(chan Class, 3)
		for range cap(classes) {
			go func() {
				_, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
				classes <- classOf(t, err)
			}()
		}
		got := map[Class]int{}
		for range cap(classes) {
			got[<-classes]++
		}
		if got[Overloaded] != 1 || got[Reset] != 2 {
			t.Errorf("%v", got)
		}
	})
}

// eject leaves an endpoint out, as if it had failed more than its peers.
func eject(e *Endpoint, d time.Duration) {
	x := e.ejection.by
	until := x.clock() + d
	e.ejection.until.Store(int64(until))
	x.overload.changed(until)
}

// What is known of panic is what a look at all endpoints would find, whatever
// became of them in the meantime.
func TestPanicIsKnownWithoutLookingAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(5, 6))
		s := open(t, Config{Endpoints: hosts(5), Transport: sick{}, Breaker: Breaker{Failures: 1, Open: 10 * time.Second}, Ejection: Ejection{Failures: 1},
			Health: Health{Check: checkHTTP, HTTP: HTTPCheck{Path: "/"}, Interval: time.Hour * 24 * 365}})
		synctest.Wait()
		var probe permit
		panics := 0
		for range 5000 {
			set := s.set.Load()
			e := set.endpoints[random.IntN(len(set.endpoints))]
			switch random.IntN(7) {
			case 0:
				e.breaker.mu.Lock()
				e.breaker.open(time.Duration(random.IntN(20)) * time.Second)
				e.breaker.mu.Unlock()
			case 1:
				eject(e, time.Duration(random.IntN(20))*time.Second)
			case 2:
				probe.release()
				probe, _ = e.breaker.acquire()
			case 3:
				probe.end(OK, 0)
				probe = permit{}
			case 4:
				time.Sleep(time.Duration(random.IntN(10)) * time.Second)
			case 5:
				s.update(at(hosts(3 + random.IntN(4))...))
				synctest.Wait() // new endpoints are checked at once
				set = s.set.Load()
			case 6:
				e.health.mu.Lock()
				e.health.become(!e.health.out())
				e.health.mu.Unlock()
			}
			known := s.cfg.overload.panics(set, 0, s.clock())
			set.verdicts[0].Store(nil)
			if s.cfg.overload.panics(set, 0, s.clock()) != known {
				t.Fatalf("known is %v", known)
			}
			if known {
				panics++
			}
		}
		if panics < 500 || panics > 4500 {
			t.Errorf("in panic after %d of 5000", panics)
		}
	})
}
