package mesh

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// arrivals keeps when requests came.
type arrivals struct {
	mu    sync.Mutex
	at    []time.Duration
	begun time.Time
	reply func(n int) (*http.Response, error)
}

func (a *arrivals) RoundTrip(*http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Since(a.begun))
	return a.reply(len(a.at))
}

func TestRate(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name    string
		rate    Rate
		calls   int
		bound   time.Duration
		good    int
		longest time.Duration // between the first request and the last
	}{
		{"requests are spread evenly", Rate{Requests: 10}, 5, time.Hour, 5, 400 * ms},
		{"over a longer time, too", Rate{Requests: 2, Per: time.Minute, Wait: time.Hour}, 3, time.Hour, 3, time.Minute},
		{"who would wait for too long is refused at once", Rate{Requests: 10, Wait: 250 * ms}, 5, time.Hour, 3, 200 * ms},
		{"who would be late is, too", Rate{Requests: 10}, 5, 150 * ms, 2, 100 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				upstream := &arrivals{begun: time.Now(), reply: func(int) (*http.Response, error) { return reply(200), nil }}
				s := open(t, Config{Endpoints: hosts(2), Transport: upstream, Rate: c.rate, Breaker: Breaker{Failures: 1}, ServiceBreaker: Breaker{Failures: 1}})
				ends := storm(t, s, c.calls, c.bound)
				if ends[OK] != c.good || ends[Overloaded] != c.calls-c.good {
					t.Errorf("%v", ends)
				}
				if len(upstream.at) != c.good || upstream.at[len(upstream.at)-1] != c.longest {
					t.Errorf("requests at %v", upstream.at)
				}
				if st := s.Stats(); st.Rate.Refused != int64(c.calls-c.good) || st.Rate.Waited != int64(c.good-1) || st.Breaker.State != "closed" {
					t.Errorf("%+v %+v", st.Rate, st.Breaker)
				}
			})
		})
	}
}

func TestARetryWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := &arrivals{begun: time.Now(), reply: func(n int) (*http.Response, error) {
			if n < 3 {
				return reply(503), nil
			}
			return reply(200), nil
		}}
		s := open(t, Config{Endpoints: hosts(2), Transport: upstream, Rate: Rate{Requests: 1}, Retry: Retry{Attempts: 3, Backoff: time.Millisecond}})
		call := Call{Buffer: true, Record: true}
		if _, err := s.Do(newRequest(t, "GET", "/", nil), &call); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{0, time.Second, 2 * time.Second}; !slices.Equal(upstream.at, want) {
			t.Errorf("requests at %v", upstream.at)
		}
		if call.Records[1].Wait != time.Second {
			t.Errorf("%+v", call.Records)
		}
	})
}

func TestARetryWithoutATurnIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := &arrivals{begun: time.Now(), reply: func(int) (*http.Response, error) { return reply(503), nil }}
		s := open(t, Config{Endpoints: hosts(2), Transport: upstream, Rate: Rate{Requests: 1, Per: time.Minute}, Retry: Retry{Attempts: 3, Backoff: time.Millisecond}})
		before := s.Stats().Budget
		call := Call{Buffer: true}
		resp, err := s.Do(newRequest(t, "GET", "/", nil), &call)
		if err != nil || resp.StatusCode != 503 || call.Attempts != 1 || call.Stopped != RateSpent {
			t.Errorf("%v %v after %d: %v", resp, err, call.Attempts, call.Stopped)
		}
		if after := s.Stats().Budget; after < before {
			t.Errorf("the budget fell from %d to %d", before, after)
		}
	})
}

func TestWhoLeavesWhileWaitingForATurnIsNoFailureOfTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := &arrivals{begun: time.Now(), reply: func(int) (*http.Response, error) { return reply(200), nil }}
		s := open(t, Config{Endpoints: hosts(1), Transport: upstream, Rate: Rate{Requests: 1}, ServiceBreaker: Breaker{Failures: 1}})
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			resp, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), nil)
			if err == nil {
				resp.Body.Close()
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if got := s.Stats(); len(upstream.at) != 1 || got.Breaker.State != "closed" || got.Failures[Canceled] != 1 {
			t.Errorf("%v, %+v", upstream.at, got)
		}
	})
}

func TestAHedgeDoesNotWaitForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes := 10 * time.Millisecond
		s := open(t, Config{Endpoints: hosts(2), Rate: Rate{Requests: 50}, Hedge: Hedge{Extra: 0.5, Quantile: 0.9},
			Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
				time.Sleep(takes)
				return reply(200), nil
			})})
		for range 200 {
			get(t, s)
			time.Sleep(20 * time.Millisecond)
		}
		takes = 200 * time.Millisecond
		for range 3 { // the turns are taken: by others who wait for theirs
			s.rate.reserve(time.Hour)
		}
		call := Call{Record: true, Buffer: true}
		if _, err := s.Do(newRequest(t, "GET", "/", nil), &call); err != nil || call.Attempts != 1 || call.Records[0].Unhedged != UnhedgedRate && call.Attempts == 1 {
			t.Errorf("%v after %d: %+v", err, call.Attempts, call.Records)
		}
	})
}
