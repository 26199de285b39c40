package mesh

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// ledger allows as many attempts as are left.
type ledger struct{ left int }

func (l *ledger) Withdraw() bool {
	l.left--
	return l.left >= 0
}

func TestALedgerDeniesWithoutCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: always(func() *http.Response { return reply(503) }, nil), Retry: Retry{Attempts: 3, Backoff: time.Second, MaxBackoff: time.Second}})
		before, began := s.Stats().Budget, time.Now()
		call := Call{Ledger: new(ledger)}
		resp, err := s.Do(newRequest(t, "GET", "/", nil), &call)
		text(t, resp, err)
		if call.Stopped != LedgerSpent || call.Stopped.Reason() == "" || time.Since(began) != 0 {
			t.Errorf("%v after %v", call.Stopped, time.Since(began))
		}
		if got := s.Stats(); got.Budget != before || got.Denied != 0 || got.Retries != 0 {
			t.Errorf("what the ledger denied was taken from the budget: %d of %d, %d denied, %d retries", got.Budget, before, got.Denied, got.Retries)
		}
	})
}

// A hedge is put off for as long as nobody waits for the call, and no longer.
func TestAHedgeWaitsForTheSlackOfItsCall(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		takes  time.Duration                            // the first attempt; the hedge takes 5ms
		slack  func(passed time.Duration) time.Duration // nil: unknown
		ledger Ledger
		took   time.Duration
		hedges int64
		spared int64
		alone  string
	}{
		{"nothing is known", 80 * ms, nil, nil, 16 * ms, 1, 0, ""},
		{"there is none", 80 * ms, func(time.Duration) time.Duration { return 0 }, nil, 16 * ms, 1, 0, ""},
		{"others take longer", 80 * ms, func(p time.Duration) time.Duration { return 100*ms - p }, nil, 80 * ms, 0, 1, UnhedgedSlack},
		{"others do not take for ever", time.Second, func(p time.Duration) time.Duration { return 100*ms - p }, nil, 95 * ms, 1, 0, ""},
		{"others end sooner than they should", time.Second, func(p time.Duration) time.Duration {
			if p > 50*ms {
				return 0
			}
			return time.Second - p
		}, nil, 56 * ms, 1, 0, ""},
		{"the ledger is spent", 80 * ms, nil, new(ledger), 80 * ms, 0, 0, UnhedgedLedger},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := hedging(t, Config{}, func(host string, req *http.Request) (*http.Response, error) {
					takes := 5 * ms
					if host == "a" {
						takes = c.takes
					}
					if err := after(req, takes); err != nil {
						return nil, err
					}
					return reply(200), nil
				})
				began := time.Now()
				call := Call{Record: true, Ledger: c.ledger}
				if c.slack != nil {
					call.Slack = func() time.Duration { return c.slack(time.Since(began)) }
				}
				resp, err := s.Do(newRequest(t, "GET", "/", nil), &call)
				text(t, resp, err)
				took, stats := time.Since(began), s.Stats()
				if took < c.took-2*ms || took > c.took+2*ms || stats.Hedges != c.hedges || stats.HedgesSpared != c.spared {
					t.Errorf("after %v, with %d hedges and %d spared", took, stats.Hedges, stats.HedgesSpared)
				}
				if got := call.Records[len(call.Records)-1].Unhedged; got != c.alone {
					t.Errorf("recorded %q, not %q", got, c.alone)
				}
				synctest.Wait()
			})
		})
	}
}

type satisfied struct{}

func (satisfied) Error() string  { return "somebody else was first" }
func (satisfied) Unneeded() bool { return true }

// What is cancelled because nobody needs it any more is nobody's failure: neither
// breakers nor ejection, neither balancers nor statistics hold it against anyone.
// A caller who leaves is counted, as such.
func TestACallThatIsNotNeededAnyMoreIsNeutral(t *testing.T) {
	for _, c := range []struct {
		name     string
		cause    error
		canceled int64
	}{
		{"another was first", satisfied{}, 0},
		{"wrapped", errors.Join(errors.New("why"), satisfied{}), 0},
		{"the caller left", errors.New("gone"), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, Config{
					Endpoints: []string{"http://a", "http://b"}, Balance: balancePeakEWMA, Retry: Retry{Attempts: 3}, Hedge: Hedge{Extra: 0.1},
					Breaker: Breaker{Failures: 1}, ServiceBreaker: Breaker{Failures: 1}, Ejection: Ejection{Failures: 1},
					Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
						if req.URL.Path == "/good" {
							return reply(200), after(req, 10*time.Millisecond)
						}
						<-req.Context().Done()
						return nil, req.Context().Err()
					}),
				})
				for range 4 {
					resp, err := s.RoundTrip(newRequest(t, "GET", "/good", nil))
					text(t, resp, err)
				}
				loads := func() (all []float64) {
					for _, e := range s.set.Load().endpoints {
						all = append(all, e.latency.load(0))
					}
					return all
				}
				before := loads()
				for range 2 {
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(time.Millisecond, func() { cancel(c.cause) })
					_, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx))
					if classOf(t, err) != Canceled {
						t.Fatal(err)
					}
				}
				got := s.Stats()
				if got.Failures[Canceled] != 2*c.canceled || got.Retries != 0 || got.Breaker.State != "closed" {
					t.Errorf("%v, %d retries, the service's breaker is %s", got.Failures, got.Retries, got.Breaker.State)
				}
				var canceled int64
				for i, e := range got.Endpoints {
					canceled += e.Failures[Canceled]
					if len(e.Failures) > 1 || e.Breaker.State != "closed" || e.Ejection.Out || e.Ejection.Times != 0 || e.InFlight != 0 {
						t.Errorf("%+v", e)
					}
					if now := loads()[i]; now != before[i] {
						t.Errorf("the estimate of %s went from %v to %v", e.Address, before[i], now)
					}
				}
				if canceled != 2*c.canceled {
					t.Errorf("%d count against endpoints", canceled)
				}
			})
		})
	}
}

// The probe of a breaker that is cancelled so leaves its place to the next.
func TestAProbeThatIsNotNeededAnyMoreSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 503
		s := open(t, Config{Endpoints: []string{"http://a"}, Breaker: Breaker{Failures: 1, Open: time.Second},
			Transport: transportFunc(func(req *http.Request) (*http.Response, error) { return reply(status), after(req, 10*time.Millisecond) })})
		resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil))
		text(t, resp, err)
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(satisfied{}) })
		if _, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx)); classOf(t, err) != Canceled {
			t.Fatal(err)
		}
		status = 200
		resp, err = s.RoundTrip(newRequest(t, "GET", "/", nil))
		if text(t, resp, err); s.Stats().Endpoints[0].Breaker.State != "closed" {
			t.Errorf("%+v", s.Stats().Endpoints[0].Breaker)
		}
	})
}
