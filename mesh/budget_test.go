package mesh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	fsbudget "github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// outage sends calls at a rate for some time, at random moments that a seed
// decides on, and gives how many began in each tenth of a second, and how many
// attempts they made.
func outage(perSecond int, lasts time.Duration, call func(attempt func())) (calls, attempts []int) {
	const slice = 100 * time.Millisecond
	random := rand.New(rand.NewPCG(1, 2))
	calls, attempts = make([]int, int(lasts/slice)+1), make([]int, int(lasts/slice)+1)
	start := time.Now()
	var (
		mu   sync.Mutex
		done sync.WaitGroup
	)
	for time.Since(start) < lasts {
		at := int(time.Since(start) / slice)
		calls[at]++
		done.Go(func() {
			call(func() {
				mu.Lock()
				attempts[at]++
				mu.Unlock()
			})
		})
		time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / float64(perSecond)))
	}
	done.Wait()
	return calls, attempts
}

// amplification is attempts per call, at worst, for the calls of any ten seconds.
func amplification(calls, attempts []int) (worst float64) {
	const window = 100
	for from := 0; from+window <= len(calls); from++ {
		var c, a int
		for i := from; i < from+window; i++ {
			c, a = c+calls[i], a+attempts[i]
		}
		worst = max(worst, float64(a)/float64(c))
	}
	return worst
}

func total(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Every call fails, and would be repeated three times.
func TestTheBudgetBoundsAnOutage(t *testing.T) {
	for _, took := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
		for _, backoff := range []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprintf("attempt %v, backoff %v", took, backoff), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := transportFunc(func(req *http.Request) (*http.Response, error) {
						req.Context().Value(attempted{}).(func())()
						time.Sleep(took)
						return nil, errReset
					})
					s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: f,
						Retry: Retry{Attempts: 4, Backoff: max(1, backoff), MaxBackoff: max(1, backoff)}})
					req := newRequest(t, "GET", "/", nil)
					calls, attempts := outage(500, 30*time.Second, func(attempt func()) {
						s.RoundTrip(req.WithContext(context.WithValue(req.Context(), attempted{}, attempt)))
					})
					got, all := amplification(calls, attempts), float64(total(attempts))/float64(total(calls))
					t.Logf("%.3f in all, %.3f over the worst ten seconds", all, got)
					if all > 1.25 || got > 1.25 || all < 1.15 {
						t.Errorf("%.3f in all, %.3f over the worst ten seconds", all, got)
					}
				})
			})
		}
	}
}

// attempted is the key of what a test's transport calls for each attempt.
type attempted struct{}

// The fault of a budget that counts what is under way, for which mesh has its
// own: see budget.
func TestBudgetByConcurrencyDoesNotBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("failed")
		policy := retrypolicy.NewBuilder[any]().WithMaxRetries(3).WithDelay(100 * time.Millisecond).
			WithBudget(fsbudget.NewBuilder().WithMaxRate(0.2).Build()).Build()
		calls, attempts := outage(500, 15*time.Second, func(attempt func()) {
			failsafe.With[any](policy).Run(func() error {
				attempt()
				time.Sleep(5 * time.Millisecond)
				return failed
			})
		})
		if got := float64(total(attempts)) / float64(total(calls)); got < 3.9 {
			t.Errorf("failsafe-go bounds the load of an outage to %.2f now: is mesh's own budget still needed?", got)
		}
	})
}

func TestBudget(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name           string
		share, reserve float64
		calls          func(b *budget)
		at             time.Duration
		want           int
	}{
		{"the reserve of a service that nobody calls", 0.2, 10, func(*budget) {}, 0, 100},
		{"a share of the calls", 0.2, 0.1, func(b *budget) { deposits(b, 0, 20) }, 0, 5},
		{"calls count for ten seconds", 0.2, 0.1, func(b *budget) { deposits(b, 0, 20) }, 9999 * time.Millisecond, 5},
		{"and not longer", 0.2, 0.1, func(b *budget) { deposits(b, 0, 20) }, 10 * second, 1},
		{"retries, too", 0.2, 1, func(b *budget) { deposits(b, 5*second, 50); withdrawals(b, 5*second, 20) }, 14 * second, 0},
		{"so that there are others then", 0.2, 1, func(b *budget) { withdrawals(b, 5*second, 20) }, 15 * second, 10},
		{"after a long time", 0.2, 1, func(b *budget) { deposits(b, 5*second, 50); withdrawals(b, 5*second, 20) }, 1005 * second, 10},
		{"what is given back", 0.2, 1, func(b *budget) { withdrawals(b, 0, 4); b.restore(0) }, 0, 7},
	} {
		b := newBudget(c.share, c.reserve)
		c.calls(b)
		got := b.left(c.at)
		granted := 0
		for b.withdraw(c.at) {
			granted++
		}
		if got != c.want || granted != c.want {
			t.Errorf("%s: left %d, granted %d, want %d", c.name, got, granted, c.want)
		}
	}
}

func deposits(b *budget, now time.Duration, n int) {
	for range n {
		b.deposit(now)
	}
}

func withdrawals(b *budget, now time.Duration, n int) {
	for range n {
		b.withdraw(now)
	}
}

// The caller gets the backend's answer, at once, and the record says why.
func TestADeniedRetryIsToldAndKeepsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: always(status(503, "Retry-After", "5"), nil),
			Retry: Retry{Attempts: 2, Budget: 1e-9, MinPerSecond: 1e-9}})
		start := time.Now()
		call := Call{Record: true}
		resp, err := s.Do(newRequest(t, "GET", "/", nil), &call)
		text(t, resp, err)
		if resp.StatusCode != 503 || time.Since(start) != 0 || call.Stopped != OverBudget || len(call.Records) != 1 || call.Records[0].Next != OverBudget {
			t.Errorf("status %d after %v, %+v", resp.StatusCode, time.Since(start), call)
		}
		if st := s.Stats(); st.Denied != 1 || st.Retries != 0 || st.Budget != 0 {
			t.Errorf("%+v", st)
		}

		refused := open(t, Config{Endpoints: []string{"http://a"}, Transport: always(nil, errRefused), Retry: Retry{Attempts: 2, Budget: 1e-9, MinPerSecond: 1e-9}})
		_, err = refused.RoundTrip(newRequest(t, "POST", "/", nil))
		if want := "service test: connect, not repeated, because the retry budget is spent: dial : connection refused"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}
