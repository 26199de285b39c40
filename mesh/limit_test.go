package mesh

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// storm makes calls at the same time and counts how they end.
func storm(t *testing.T, s *Service, calls int, bound time.Duration) map[Class]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	ends := map[Class]int{}
	for range calls {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			_, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &Call{Buffer: true})
			mu.Lock()
			defer mu.Unlock()
			ends[classOf(t, err)]++
		})
	}
	all.Wait()
	return ends
}

func TestLimits(t *testing.T) {
	const ms = time.Millisecond
	two := []string{"http://a", "http://b"}
	for _, c := range []struct {
		name       string
		limit      Limit
		calls      int
		bound      time.Duration
		good, most int
		longest    time.Duration
	}{
		{"calls within the limit do not wait", Limit{Concurrent: 10}, 10, time.Hour, 10, 10, 100 * ms},
		{"what is beyond it is refused at once", Limit{Concurrent: 4}, 10, time.Hour, 4, 4, 100 * ms},
		{"or waits its turn", Limit{Concurrent: 4, Queue: 4, Wait: time.Second}, 10, time.Hour, 8, 4, 200 * ms},
		{"but not for ever", Limit{Concurrent: 2, Queue: 100, Wait: 150 * ms}, 10, time.Hour, 4, 2, 200 * ms},
		{"nor beyond its deadline", Limit{Concurrent: 2, Queue: 100, Wait: time.Hour}, 10, 250 * ms, 4, 2, 250 * ms},
		{"endpoints are not overloaded", Limit{PerEndpoint: 3}, 10, time.Hour, 6, 6, 100 * ms},
		{"their places are waited for", Limit{PerEndpoint: 3, Queue: 3, Wait: time.Second}, 10, time.Hour, 9, 6, 200 * ms},
		{"both limits", Limit{Concurrent: 8, PerEndpoint: 2, Queue: 10, Wait: 250 * ms}, 10, time.Hour, 10, 4, 300 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				upstream := &slowly{takes: 100 * ms}
				s := open(t, Config{Endpoints: two, Transport: upstream, Limit: c.limit, Breaker: Breaker{Failures: 1}, ServiceBreaker: Breaker{Failures: 1}})
				begun := time.Now()
				ends := storm(t, s, c.calls, c.bound)
				if ends[OK] < c.good || ends[OK]+ends[Overloaded]+ends[Deadline] != c.calls || c.bound == time.Hour && (ends[OK] != c.good || ends[Deadline] > 0) {
					t.Errorf("ends: %v", ends)
				}
				if got := upstream.most.Load(); got != int64(c.most) {
					t.Errorf("%d at a time", got)
				}
				if took := time.Since(begun); took != c.longest {
					t.Errorf("took %v", took)
				}
				st := s.Stats()
				if st.Limit.InUse != 0 || st.Limit.Waiting != 0 || st.Limit.Refused != int64(ends[Overloaded]) || st.Breaker.State != "closed" {
					t.Errorf("%+v", st)
				}
				for _, e := range st.Endpoints {
					if e.InFlight != 0 || e.Breaker.State != "closed" {
						t.Errorf("%+v", e)
					}
				}
			})
		})
	}
}

func TestAQueueIsFirstComeFirstServed(t *testing.T) {
	for name, limit := range map[string]Limit{
		"calls":     {Concurrent: 1, Queue: 10, Wait: time.Hour},
		"endpoints": {PerEndpoint: 1, Queue: 10, Wait: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &slowly{takes: time.Second}, Limit: limit})
				var mu sync.Mutex
				var served []int
				var all sync.WaitGroup
				for i := range 6 {
					all.Go(func() {
						ctx := t.Context()
						if i == 2 { // gives up in the middle of the line
							short, cancel := context.WithCancel(ctx)
							time.AfterFunc(500*time.Millisecond, cancel)
							ctx = short
						}
						_, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &Call{Buffer: true})
						if want := map[bool]Class{true: Canceled}[i == 2]; classOf(t, err) != want {
							t.Errorf("call %d: %v", i, err)
						}
						mu.Lock()
						defer mu.Unlock()
						if err == nil {
							served = append(served, i)
						}
					})
					synctest.Wait()
				}
				all.Wait()
				if !slices.Equal(served, []int{0, 1, 3, 4, 5}) {
					t.Errorf("served: %v", served)
				}
			})
		})
	}
}

// A reply is under way until it has been read; a call that ends in any other way
// gives its places back at once.
func TestPlacesAreGivenBackOnce(t *testing.T) {
	limits := Limit{Concurrent: 1, PerEndpoint: 1}
	expect := func(t *testing.T, s *Service, n int64) {
		t.Helper()
		if st := s.Stats(); st.Limit.InUse != n || st.Endpoints[0].InFlight != n {
			t.Errorf("%d and %d in use, want %d", st.Limit.InUse, st.Endpoints[0].InFlight, n)
		}
	}
	t.Run("a body that is closed late and twice", func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &slowly{}, Limit: limits})
		resp, err := s.Do(newRequest(t, "GET", "/", nil), &Call{Stream: true})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, s, 1)
		if _, err := s.RoundTrip(newRequest(t, "GET", "/", nil)); classOf(t, err) != Overloaded ||
			err.Error() != "service test: overloaded: 1 calls are under way" {
			t.Error(err)
		}
		io.Copy(io.Discard, resp.Body)
		expect(t, s, 0)
		resp.Body.Close()
		resp.Body.Close()
		expect(t, s, 0)
	})
	for name, fails := range map[string]transportFunc{
		"an error": func(*http.Request) (*http.Response, error) { return nil, errors.New("broken") },
		"a panic":  func(*http.Request) (*http.Response, error) { panic("broken") },
		"no body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{Endpoints: []string{"http://a"}, Transport: fails, Limit: limits})
			func() {
				defer func() { _ = recover() }()
				_, _ = s.RoundTrip(newRequest(t, "GET", "/", nil))
			}()
			expect(t, s, 0)
		})
	}
	t.Run("a panic of the observer", func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &slowly{}, Limit: limits, Observe: func(context.Context, Attempt) { panic("broken") }})
		func() {
			defer func() { _ = recover() }()
			_, _ = s.RoundTrip(newRequest(t, "GET", "/", nil))
		}()
		expect(t, s, 0)
	})
	t.Run("retries and cancellations", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			s := open(t, Config{Endpoints: []string{"http://a"}, Limit: Limit{Concurrent: 8, PerEndpoint: 4, Queue: 20, Wait: time.Second},
				Retry: Retry{Attempts: 3, Budget: 1}, Transport: transportFunc(func(*http.Request) (*http.Response, error) {
					time.Sleep(10 * time.Millisecond)
					if n.Add(1)%2 == 0 {
						return reply(503), nil
					}
					return reply(200), nil
				})})
			storm(t, s, 40, 70*time.Millisecond)
			expect(t, s, 0)
			if w := s.Stats().Limit.Waiting; w != 0 {
				t.Errorf("%d wait", w)
			}
		})
	})
}

func TestACallWithoutTimeDoesNotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &slowly{takes: time.Second}, Limit: Limit{Concurrent: 1, Queue: 10, Wait: time.Minute}})
		storm(t, s, 1, time.Hour) // replies take a second
		var busy sync.WaitGroup
		busy.Go(func() { storm(t, s, 1, time.Hour) })
		synctest.Wait()
		begun := time.Now()
		if ends := storm(t, s, 1, 900*time.Millisecond); ends[Overloaded] != 1 || time.Since(begun) > 0 {
			t.Errorf("%v after %v", ends, time.Since(begun))
		}
		if ends := storm(t, s, 1, 1500*time.Millisecond); ends[Overloaded] != 1 || time.Since(begun) != 500*time.Millisecond {
			t.Errorf("%v after %v", ends, time.Since(begun))
		}
		busy.Wait()
	})
}

// Under a storm of real goroutines nobody is forgotten in the line.
func TestNobodyIsForgottenInTheLine(t *testing.T) {
	s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: &slowly{},
		Limit: Limit{Concurrent: 3, PerEndpoint: 1, Queue: 1000, Wait: time.Hour}})
	for range 20 {
		if ends := storm(t, s, 100, time.Hour); ends[OK] != 100 {
			t.Fatalf("%v", ends)
		}
	}
}
