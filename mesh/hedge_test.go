package mesh

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLatenciesKnowTheirQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, scale := range []time.Duration{200 * time.Microsecond, 10 * time.Millisecond, 3 * time.Second} {
		var l latencies
		var all []time.Duration
		for range 20_000 {
			d := time.Duration(random.ExpFloat64() * float64(scale))
			all = append(all, d)
			l.observe(time.Second, d)
		}
		slices.Sort(all)
		for i, q := range []float64{0.5, 0.9, 0.99, 0.999} {
			exact := all[int(q*float64(len(all)))]
			got := l.quantile(time.Second+time.Duration(i+1)*latencyFresh, q)
			if got < exact-exact/10 || got > exact+exact/8+2*latencyUnit*time.Microsecond {
				t.Errorf("p%v of %v: %v, exactly %v", 100*q, scale, got, exact)
			}
		}
	}
	for d := time.Duration(0); d < 2*time.Hour; d += d/7 + time.Microsecond {
		b := bucketOf(d)
		if b < latencyBuckets-1 && (boundOf(b) <= d || b > 0 && boundOf(b-1) > d) {
			t.Fatalf("%v is in bucket %d, from %v to %v", d, b, boundOf(b-1), boundOf(b))
		}
	}
	var l latencies
	for range 1000 {
		l.observe(0, time.Second)
	}
	l.observe(40*time.Second, time.Millisecond)
	if got := l.quantile(40*time.Second, 0.5); got < time.Second {
		t.Errorf("what was learned 40s ago is forgotten: %v", got)
	}
	l.observe(80*time.Second, time.Millisecond)
	if got := l.quantile(80*time.Second, 0.5); got != 0 {
		t.Errorf("what was learned 80s ago is remembered: %v", got)
	}
}

// hedging is a service with two endpoints that has learned that replies take
// 10ms; then play decides.
func hedging(t *testing.T, cfg Config, play func(host string, req *http.Request) (*http.Response, error)) *Service {
	learning := true
	cfg.Endpoints = []string{"http://a", "http://b"}
	cfg.Hedge = Hedge{Extra: 0.1}
	cfg.Breaker = Breaker{Failures: 1}
	cfg.Transport = transportFunc(func(req *http.Request) (*http.Response, error) {
		if learning {
			time.Sleep(10 * time.Millisecond)
			return reply(200), nil
		}
		return play(req.URL.Host, req)
	})
	s := open(t, cfg)
	for range 100 {
		text(t, must(t)(s.RoundTrip(newRequest(t, "GET", "/", nil))), nil)
	}
	learning = false
	time.Sleep(latencyFresh)
	return s
}

// after waits, or ends with the request's context.
func after(req *http.Request, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-req.Context().Done():
		return context.Cause(req.Context())
	}
}

func TestInterimRepliesAreThoseOfTheAttemptThatIsSureToCount(t *testing.T) {
	for name, c := range map[string]struct {
		before, between, took time.Duration // the replies of the first endpoint
		want                  []string
	}{
		"no hedge starts":            {time.Millisecond, time.Millisecond, time.Millisecond, []string{"a 1", "a 2"}},
		"one starts before both":     {50 * time.Millisecond, time.Millisecond, time.Millisecond, nil},
		"one starts between the two": {time.Millisecond, 50 * time.Millisecond, time.Millisecond, []string{"a 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := hedging(t, Config{}, func(host string, req *http.Request) (*http.Response, error) {
					tell := httptrace.ContextClientTrace(req.Context())
					say := func(link string) {
						if tell != nil {
							tell.Got1xxResponse(103, textproto.MIMEHeader{"Link": {host + link}})
						}
					}
					if host == "b" {
						say(" 1")
						return reply(200), after(req, time.Second)
					}
					time.Sleep(c.before)
					say(" 1")
					time.Sleep(c.between)
					say(" 2")
					time.Sleep(c.took)
					return reply(200), nil
				})
				var got []string
				how := Call{Interim: func(_ int, h http.Header) { got = append(got, h.Get("Link")) }}
				text(t, must(t)(s.Do(newRequest(t, "GET", "/", nil), &how)), nil)
				if !slices.Equal(got, c.want) {
					t.Errorf("told %q, want %q", got, c.want)
				}
				how.Interim(103, http.Header{"Link": {"the caller's own"}})
				if len(got) != len(c.want)+1 {
					t.Error("what the caller has set is not there any more")
				}
			})
		})
	}
}

func TestHedging(t *testing.T) {
	const ms = time.Millisecond
	type way struct {
		took   time.Duration
		status int // 0: the connection breaks
	}
	for _, c := range []struct {
		name      string
		method    string
		a, b      way
		how       Call
		status    int // 0: an error
		took      time.Duration
		endpoint  string
		records   []string
		undecided bool // both may be the first
	}{
		{"in time", "GET", way{5 * ms, 200}, way{}, Call{}, 200, 5 * ms, "a", []string{"1 a ok done"}, false},
		{"the hedge is first", "GET", way{time.Second, 200}, way{5 * ms, 200}, Call{}, 200, 16 * ms, "b", []string{"1 a canceled lost", "2 b ok hedge done"}, false},
		{"the first is first", "GET", way{20 * ms, 200}, way{time.Second, 200}, Call{}, 200, 20 * ms, "a", []string{"2 b canceled hedge lost", "1 a ok done"}, false},
		{"the hedge fails first", "GET", way{40 * ms, 200}, way{5 * ms, 503}, Call{}, 200, 40 * ms, "a", []string{"2 b status hedge lost", "1 a ok done"}, false},
		{"the first fails first", "GET", way{14 * ms, 0}, way{30 * ms, 200}, Call{}, 200, 41 * ms, "b", []string{"1 a reset lost", "2 b ok hedge done"}, false},
		{"both fail", "GET", way{20 * ms, 503}, way{30 * ms, 0}, Call{}, 503, 41 * ms, "a", []string{"2 b reset hedge lost", "1 a status exhausted"}, false},
		{"the whole reply", "GET", way{time.Second, 200}, way{5 * ms, 200}, Call{Buffer: true}, 200, 16 * ms, "b", []string{"1 a canceled lost", "2 b ok hedge done"}, false},
		{"a stream", "GET", way{time.Second, 200}, way{5 * ms, 200}, Call{Stream: true}, 200, 16 * ms, "b", []string{"1 a canceled lost", "2 b ok hedge done"}, false},
		{"not a method that does something", "PUT", way{100 * ms, 200}, way{5 * ms, 200}, Call{}, 200, 100 * ms, "a", []string{"1 a ok done"}, false},
		{"not against the caller's will", "GET", way{100 * ms, 200}, way{5 * ms, 200}, Call{NoHedge: true}, 200, 100 * ms, "a", []string{"1 a ok done"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var open atomic.Int32 // replies that nobody has closed
				s := hedging(t, Config{}, func(host string, req *http.Request) (*http.Response, error) {
					w := c.a
					if host == "b" {
						w = c.b
					}
					if err := after(req, w.took); err != nil {
						return nil, err
					}
					if w.status == 0 {
						return nil, errReset
					}
					r := reply(w.status)
					open.Add(1)
					r.Body = &closing{r.Body, &open}
					return r, nil
				})
				c.how.Record = true
				start := time.Now()
				resp, err := s.Do(newRequest(t, c.method, "/", nil), &c.how)
				took := time.Since(start)
				if c.status == 0 != (err != nil) || err == nil && (resp.StatusCode != c.status || text(t, resp, nil) != "body") {
					t.Fatalf("%v, %v", resp, err)
				}
				if c.how.Buffer && string(c.how.Body) != "body" {
					t.Errorf("the body is %q", c.how.Body)
				}
				// The delay is a bound of what was measured, up to 1ms more.
				if took < c.took-ms || took > c.took+ms || c.how.Endpoint != "http://"+c.endpoint || c.how.Attempts != len(c.records) {
					t.Errorf("%d attempts in %v, at %s", c.how.Attempts, took, c.how.Endpoint)
				}
				var records []string
				for _, a := range c.how.Records {
					hedge := ""
					if a.Hedge {
						hedge = "hedge "
					}
					records = append(records, string('0'+rune(a.Number))+" "+strings.TrimPrefix(a.Endpoint, "http://")+" "+a.Class.String()+" "+hedge+a.Next.String())
				}
				if !slices.Equal(records, c.records) {
					t.Errorf("got  %q\nwant %q", records, c.records)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				st := s.Stats()
				for _, e := range st.Endpoints {
					if e.InFlight != 0 || e.Failures[Canceled] != 0 || e.Breaker.State != "closed" && e.Failures[Reset]+e.Failures[Status] == 0 {
						t.Errorf("%+v", e)
					}
				}
				if n := open.Load(); n != 0 {
					t.Errorf("%d replies were not closed", n)
				}
			})
		})
	}
}

type closing struct {
	io.ReadCloser
	open *atomic.Int32
}

func (c *closing) Close() error { c.open.Add(-1); return c.ReadCloser.Close() }

// All is slow at once: hedges would make it worse, and their budget ends them.
func TestHedgesHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hedging(t, Config{}, func(_ string, req *http.Request) (*http.Response, error) {
			if err := after(req, time.Second); err != nil {
				return nil, err
			}
			return reply(200), nil
		})
		before := s.Stats()
		for range 100 {
			text(t, must(t)(s.RoundTrip(newRequest(t, "GET", "/", nil))), nil)
		}
		st := s.Stats()
		if hedges := st.Hedges - before.Hedges; hedges < 5 || hedges > 30 || st.Denied == 0 {
			t.Errorf("%d hedges, %d denied", hedges, st.Denied)
		}
	})
}

func TestTheCallersEndIsNotAHedgesLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hedging(t, Config{}, func(_ string, req *http.Request) (*http.Response, error) { return nil, after(req, time.Hour) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.RoundTrip(newRequest(t, "GET", "/", nil).WithContext(ctx))
		if classOf(t, err) != Deadline || errors.Is(err, errLost) {
			t.Error(err)
		}
		synctest.Wait()
		if st := s.Stats(); st.Hedges != 1 || st.Endpoints[0].InFlight+st.Endpoints[1].InFlight != 0 {
			t.Errorf("%+v", st)
		}
	})
}
