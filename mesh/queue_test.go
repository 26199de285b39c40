package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inLine makes calls of these priorities one after the other at a service that
// does one at a time, a second each, and has just begun with another. It gives
// the order in which they were served, by their place in calls, and the errors of
// those that were not.
func inLine(t *testing.T, limit Limit, calls ...Priority) (served []int, refused map[int]error, stats LimitStats) {
	t.Helper()
	refused = map[int]error{}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &slowly{takes: time.Second}, Limit: limit})
		var mu sync.Mutex
		var all sync.WaitGroup
		for i, p := range append([]Priority{PriorityNormal}, calls...) {
			all.Go(func() {
				_, err := s.Do(newRequest(t, "GET", "/", nil), &Call{Buffer: true, Priority: p})
				mu.Lock()
				defer mu.Unlock()
				if i--; err != nil {
					refused[i] = err
				} else if i >= 0 {
					served = append(served, i)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		stats = s.Stats().Limit
		if stats.InUse != 0 || stats.Waiting != 0 {
			t.Errorf("%+v", stats)
		}
	})
	return served, refused, stats
}

const (
	low, normal, high, critical = PriorityLow, PriorityNormal, PriorityHigh, PriorityCritical
)

func TestAQueueGoesByPriority(t *testing.T) {
	for _, limit := range []Limit{{Concurrent: 1, Queue: 30, Wait: time.Hour}, {PerEndpoint: 1, Queue: 30, Wait: time.Hour}} {
		for name, c := range map[string]struct {
			calls []Priority
			want  []int
		}{
			"first come, first served within one": {[]Priority{normal, normal, normal}, []int{0, 1, 2}},
			"the higher first":                    {[]Priority{low, normal, high, critical, low, critical}, []int{3, 5, 2, 1, 0, 4}},
			"beyond the ends is at the ends":      {[]Priority{-9, low, 9, critical}, []int{2, 3, 0, 1}},
			"one turn in ten is that of who has waited longest": {
				[]Priority{low, low, high, high, high, high, high, high, high, high, high, high, high},
				[]int{2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 11, 12, 1}},
		} {
			t.Run(fmt.Sprintf("%s/%+v", name, limit), func(t *testing.T) {
				served, refused, _ := inLine(t, limit, c.calls...)
				if !slices.Equal(served, c.want) || len(refused) > 0 {
					t.Errorf("served %v, want %v; refused %v", served, c.want, refused)
				}
			})
		}
	}
}

func TestAFullQueueShedsTheLowFirst(t *testing.T) {
	limit := Limit{Concurrent: 1, Queue: 2, Wait: time.Hour}
	for name, c := range map[string]struct {
		calls   []Priority
		served  []int
		refused []int
	}{
		"nobody is ousted by an equal":     {[]Priority{normal, normal, normal}, []int{0, 1}, []int{2}},
		"the last of the lowest goes":      {[]Priority{low, low, high}, []int{2, 0}, []int{1}},
		"then the first of them":           {[]Priority{low, low, high, normal}, []int{2, 3}, []int{0, 1}},
		"the lowest goes, not the last":    {[]Priority{low, high, critical}, []int{2, 1}, []int{0}},
		"the low do not oust":              {[]Priority{critical, high, low, normal}, []int{0, 1}, []int{2, 3}},
		"who was ousted ousts nobody else": {[]Priority{normal, low, high, low, critical}, []int{4, 2}, []int{0, 1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			served, refused, stats := inLine(t, limit, c.calls...)
			if !slices.Equal(served, c.served) || len(refused) != len(c.refused) {
				t.Errorf("served %v, want %v; refused %v", served, c.served, refused)
			}
			by := map[Priority]int64{}
			for _, i := range c.refused {
				if refused[i] == nil || classOf(t, refused[i]) != Overloaded {
					t.Errorf("call %d: %v", i, refused[i])
				}
				by[c.calls[i]]++
			}
			if fmt.Sprint(stats.RefusedBy) != fmt.Sprint(by) || stats.Refused != int64(len(c.refused)) {
				t.Errorf("%+v, want %v", stats, by)
			}
		})
	}
	_, refused, _ := inLine(t, limit, low, low, high)
	if err := refused[1]; err == nil || err.Error() != "service test: overloaded: 1 calls are under way, and calls of a higher priority came" {
		t.Error(err)
	}
}

// What makes a queued call late is what replies take, not how long the queue is
// allowed to be.
func TestALateCallIsShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &slowly{takes: time.Second}, Limit: Limit{Concurrent: 1, Queue: 10, Wait: time.Hour}})
		do := func(within time.Duration, p Priority) error {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			_, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &Call{Buffer: true, Priority: p})
			return err
		}
		if err := do(time.Hour, normal); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		begin := time.Now()
		ends := func(within time.Duration, p Priority, after time.Duration, want string) {
			all.Go(func() {
				err := do(within, p)
				if late := strings.Contains(want, "no time"); errors.Is(err, ErrLate) != late {
					t.Errorf("%v", err)
				}
				if time.Since(begin) != after || want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
					t.Errorf("%v %v: %v after %v", p, within, err, time.Since(begin))
				}
			})
			synctest.Wait()
		}
		const s1 = time.Second
		ends(time.Hour, normal, s1, "")
		ends(s1, normal, 0, "1 calls are under way, and there is no time to wait")
		ends(time.Hour, normal, 3*s1, "")                                      // the last one is before it
		ends(1900*time.Millisecond, normal, 0, "and there is no time to wait") // a call is before it
		ends(2500*time.Millisecond, normal, 1500*time.Millisecond, "and there is no time left after a wait of 1.5s")
		ends(2500*time.Millisecond, high, 2*s1, "") // none is before it
		all.Wait()
		if st := s.Stats().Limit; st.Late != 3 || st.Refused != 3 {
			t.Errorf("%+v", st)
		}
	})
}

func TestACallerWhoLeavesTheQueueIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: &slowly{takes: time.Second},
			Retry: Retry{Attempts: 3}, Breaker: Breaker{Failures: 1}, ServiceBreaker: Breaker{Failures: 1}, Ejection: Ejection{Failures: 1},
			Limit: Limit{Adaptive: Adaptive{Max: 1}, Queue: 10, Wait: time.Hour}})
		var all sync.WaitGroup
		all.Go(func() { storm(t, s, 1, time.Hour) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		call := &Call{Buffer: true}
		if _, err := s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), call); classOf(t, err) != Canceled || call.Attempts != 0 {
			t.Errorf("%v after %d attempts", err, call.Attempts)
		}
		for range 11 { // the eleventh finds no room
			all.Go(func() { storm(t, s, 1, time.Hour) })
		}
		all.Wait()
		st := s.Stats()
		if st.Limit.Refused != 1 || st.Limit.Waiting != 0 || st.Breaker.State != "closed" || st.Retries != 0 || st.Limit.Limit != 1 {
			t.Errorf("%+v", st)
		}
		for _, e := range st.Endpoints {
			if e.Breaker.State != "closed" || e.Ejection.Out || len(e.Failures) > 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

// Whatever comes and goes, no place is lost and nobody stays in line.
func TestAQueueUnderStorm(t *testing.T) {
	s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: &slowly{}, Limit: Limit{Concurrent: 3, PerEndpoint: 1, Queue: 20, Wait: time.Hour}})
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond+time.Microsecond)
			if i%3 > 0 {
				ctx = t.Context()
			}
			defer cancel()
			s.Do(newRequest(t, "GET", "/", nil).WithContext(ctx), &Call{Buffer: true, Priority: Priority(i%4 - 1)})
		})
	}
	all.Wait()
	if ends := storm(t, s, 3, time.Hour); ends[OK] != 3 || s.Stats().Limit.Waiting != 0 || s.Stats().Limit.InUse != 0 {
		t.Errorf("%v %+v", ends, s.Stats().Limit)
	}
}
