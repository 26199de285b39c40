package mesh

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// ward is a transport to hosts that are checked at /health, where they say how
// they are; calls succeed everywhere.
type ward struct {
	mu     sync.Mutex
	ill    map[string]bool
	took   time.Duration          // a check takes
	deaf   bool                   // a check takes that long whatever its context says
	checks map[string][]time.Time // when they came
}

func newWard(ill ...string) *ward {
	w := &ward{ill: map[string]bool{}, checks: map[string][]time.Time{}}
	for _, host := range ill {
		w.ill[host] = true
	}
	return w
}

func (w *ward) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/health" {
		return reply(200), nil
	}
	w.mu.Lock()
	w.checks[req.URL.Host] = append(w.checks[req.URL.Host], time.Now())
	took, deaf := w.took, w.deaf
	w.mu.Unlock()
	if deaf {
		time.Sleep(took)
	} else if err := after(req, took); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ill[req.URL.Host] {
		return reply(503), nil
	}
	return reply(200), nil
}

func (w *ward) set(host string, ill bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ill[host] = ill
}

func (w *ward) count(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.checks[host])
}

var asked = Health{Check: checkHTTP, HTTP: HTTPCheck{Path: "/health"}}

// unhealthy are the hosts that checks leave out.
func unhealthy(s *Service) (out []string) {
	for _, e := range s.Stats().Endpoints {
		if !e.Health.Healthy {
			out = append(out, strings.TrimPrefix(e.Address, "http://"))
		}
	}
	return out
}

func wantUnhealthy(t *testing.T, s *Service, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := unhealthy(s); !slices.Equal(got, want) {
		t.Errorf("%s: unhealthy are %v, want %v", when, got, want)
	}
}

// got are the attempts at each endpoint.
func got(s *Service) (attempts []int64) {
	for _, e := range s.Stats().Endpoints {
		attempts = append(attempts, e.Attempts)
	}
	return attempts
}

func TestWhichOutcomesOfChecksChangeTheState(t *testing.T) {
	for _, c := range []struct {
		name    string
		initial string
		checks  string // + and -
		states  string // h and u, after each
	}{
		{"a few failures", "", "+--+--+", "hhhhhhh"},
		{"failures in a row", "", "+---", "hhhu"},
		{"failures from the beginning", "", "---", "hhu"},
		{"back, but not at once", "", "----+-++", "hhuuuuuh"},
		{"a flap begins anew", "", "---++--+---", "hhuuhhhhhhu"},
		{"unhealthy until the first check", initiallyUnhealthy, "+", "h"},
		{"unhealthy until enough of later checks", initiallyUnhealthy, "-+-++", "uuuuh"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWard()
			cfg := asked
			cfg.Initial = c.initial
			w.set("a", c.checks[0] == '-')
			s := open(t, Config{Endpoints: hosts(1), Transport: w, Health: cfg})
			h := s.set.Load().endpoints[0].health
			var states strings.Builder
			for i := range c.checks {
				synctest.Wait()
				if h.stats().Checks != int64(i+1) {
					t.Fatalf("%s: %d checks, want %d", c.name, h.stats().Checks, i+1)
				}
				states.WriteString(map[bool]string{true: "u", false: "h"}[h.out()])
				if i+1 < len(c.checks) {
					w.set("a", c.checks[i+1] == '-')
				}
				for h.stats().Checks == int64(i+1) && i+1 < len(c.checks) {
					time.Sleep(time.Second)
					synctest.Wait()
				}
			}
			if states.String() != c.states {
				t.Errorf("%s: %s of %s, want %s", c.name, states.String(), c.checks, c.states)
			}
		})
	}
}

func TestChecksComeAtOnceAndThenNearlyInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		began := time.Now()
		s := open(t, Config{Endpoints: hosts(3), Transport: w, Health: asked})
		time.Sleep(10 * time.Minute)
		s.Close()
		synctest.Wait()
		seen := map[time.Time]bool{}
		for _, host := range []string{"a", "b", "c"} {
			all := w.checks[host]
			if !all[0].Equal(began) || len(all) < 55 || len(all) > 65 {
				t.Errorf("%d checks, the first after %v", len(all), all[0].Sub(began))
			}
			for i, at := range all[1:] {
				if d := at.Sub(all[i]); d < 9*time.Second || d > 11*time.Second {
					t.Errorf("%v between two checks", d)
				}
				if seen[at] {
					t.Errorf("two checks at one moment, %v", at.Sub(began))
				}
				seen[at] = true
			}
		}
	})
}

func TestAnUnhealthyEndpointGetsNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard("b")
		s := open(t, Config{Endpoints: hosts(3), Transport: w, Health: asked, SlowStart: time.Minute, Breaker: Breaker{Failures: 1}, Limit: Limit{Concurrent: 1}})
		synctest.Wait()
		calls(t, s, 9)
		if n := got(s); !slices.Equal(n, []int64{3, 3, 3}) {
			t.Errorf("before it was found: %v", n)
		}
		time.Sleep(30 * time.Second)
		wantUnhealthy(t, s, "after three checks", "b")
		before := got(s)
		calls(t, s, 60)
		if n := got(s); n[1] != before[1] || n[0] != before[0]+30 {
			t.Errorf("from %v to %v", before, n)
		}
		st := s.Stats()
		if e := st.Endpoints[1]; e.Health.Failures < 3 || e.Health.Failure == nil || e.Health.LastFailure.IsZero() || e.Failures[Status] != 0 || e.Breaker.State != "closed" || st.Panic.Now {
			t.Errorf("%+v", e)
		}
		w.set("b", false)
		for len(unhealthy(s)) > 0 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		near(t, "just back", part(t, s, 1), 0.1/3)
		time.Sleep(time.Minute)
		near(t, "back for a while", part(t, s, 1), 1.0/3)
	})
}

func TestASlowCheckFailsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		w.took = time.Hour
		cfg := asked
		cfg.Interval, cfg.Timeout = 2*time.Second, 2*time.Second
		s := open(t, Config{Endpoints: hosts(2), Transport: w, Health: cfg})
		time.Sleep(2*time.Second + 1)
		synctest.Wait()
		h := s.Stats().Endpoints[0].Health
		if h.Failure == nil || !strings.HasPrefix(h.Failure.Error(), "timeout: ") || !errors.Is(h.Failure, os.ErrDeadlineExceeded) {
			t.Errorf("%+v", h)
		}
		time.Sleep(8 * time.Second)
		wantUnhealthy(t, s, "after three checks", "a", "b")
		if n := w.count("a"); n < 4 || n > 6 {
			t.Errorf("%d checks in 10s", n)
		}
	})
}

func TestWithTooFewHealthyAllAreUsed(t *testing.T) {
	for _, c := range []struct {
		ill   []string
		panic float64
		want  []int64 // of 12 calls
		now   bool
	}{
		{[]string{"a"}, 0, []int64{0, 4, 4, 4}, false},
		{[]string{"a", "b"}, 0, []int64{0, 0, 6, 6}, false},
		{[]string{"a", "b", "c"}, 0, []int64{3, 3, 3, 3}, true},
		{[]string{"a", "b", "c", "d"}, 0, []int64{3, 3, 3, 3}, true},
		{[]string{"a"}, 0.9, []int64{3, 3, 3, 3}, true},
		{[]string{"a", "b", "c"}, 0.2, []int64{0, 0, 0, 12}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, Config{Endpoints: hosts(4), Transport: newWard(c.ill...), Health: asked, Panic: c.panic})
			time.Sleep(30 * time.Second)
			wantUnhealthy(t, s, "after three checks", c.ill...)
			calls(t, s, 12)
			if n := got(s); !slices.Equal(n, c.want) || s.Stats().Panic.Now != c.now {
				t.Errorf("%v are unhealthy, panic %v: %v, %+v", c.ill, c.panic, n, s.Stats().Panic)
			}
		})
	}
}

func TestTheOnlyEndpointIsCalledWhateverChecksSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(1), Transport: newWard("a"), Health: asked})
		time.Sleep(time.Minute)
		wantUnhealthy(t, s, "after a minute", "a")
		calls(t, s, 3)
		if st := s.Stats(); st.Panic.Attempts != 3 {
			t.Errorf("%+v", st.Panic)
		}
	})
}

func TestWhatIsKnownOfAnEndpointOutlivesItsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := newWard("b"), newTold()
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Transport: w, Health: asked})
		source.find("http://a", "http://b", "http://c")
		time.Sleep(30 * time.Second)
		wantUnhealthy(t, s, "after three checks", "b")
		checks := w.count("b")
		source.find("http://b", "http://c", "http://d")
		wantUnhealthy(t, s, "in another set", "b")
		if n := w.count("b"); n != checks || w.count("d") != 1 {
			t.Errorf("b was asked again at once, %d times for %d, or d was not: %d", n, checks, w.count("d"))
		}
		gone := w.count("a")
		time.Sleep(time.Minute)
		if n := w.count("a"); n != gone {
			t.Errorf("an endpoint that is gone was asked %d times more", n-gone)
		}
		source.find("http://c", "http://d")
		if n := s.cfg.overload.unwell.Load(); n != 0 {
			t.Errorf("%d of those that are gone are unhealthy", n)
		}
		source.find("http://b", "http://c", "http://d")
		wantUnhealthy(t, s, "new again")
		time.Sleep(30 * time.Second)
		wantUnhealthy(t, s, "and found again", "b")
	})
}

func TestAnEndpointThatIsNewCanBeUnhealthyFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := newWard(), newTold()
		w.took = 500 * time.Millisecond
		cfg := asked
		cfg.Initial = initiallyUnhealthy
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Transport: w, Health: cfg})
		source.find("http://a", "http://b")
		calls(t, s, 4)
		if st := s.Stats(); st.Panic.Attempts != 4 {
			t.Errorf("before any answer: %+v", st.Panic)
		}
		time.Sleep(time.Second)
		source.find("http://a", "http://b", "http://c")
		calls(t, s, 6)
		if n := got(s); n[2] != 0 {
			t.Errorf("before its first answer it got %d calls", n[2])
		}
		time.Sleep(time.Second)
		calls(t, s, 6)
		if n := got(s); n[2] != 2 {
			t.Errorf("after it, it got %d of 6 calls", n[2])
		}
	})
}

// A check that cannot be ended keeps nobody waiting: neither who closes the
// service, nor who looks at it.
func TestCloseDoesNotWaitForACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := newWard("a"), newTold()
		w.took, w.deaf = time.Hour, true
		s := open(t, Config{Discovery: Discovery{Sources: []discovery.Source{source}}, Transport: w, Health: asked})
		began := time.Now()
		source.find("http://a", "http://b")
		source.find("http://b")
		s.Stats()
		s.Close()
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if a, b := w.count("a"), w.count("b"); a != 1 || b != 1 {
			t.Errorf("%d and %d checks", a, b)
		}
		calls(t, s, 1)
	})
}

func TestAVersionThatIsUnhealthyFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		versions := canary()
		var ill []string
		for _, e := range versions[1].Endpoints {
			ill = append(ill, strings.TrimPrefix(e, "http://"))
		}
		versions[1].Fallback = versions[0].Name
		s := open(t, Config{Versions: versions, Transport: newWard(ill...), Health: asked})
		time.Sleep(30 * time.Second)
		calls(t, s, 100)
		if v := s.Stats().Versions[1]; v.Calls == 0 || v.Fallbacks != v.Calls {
			t.Errorf("%+v", v)
		}
	})
}

// Two of three are unhealthy, and the third fails: it is all that is left.
func TestTheLastHealthyEndpointIsNotEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard("a", "b")
		s := open(t, Config{Endpoints: hosts(3), Health: asked, Ejection: Ejection{Failures: 3}, Panic: 0.1, Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "c" && req.URL.Path != "/health" {
				return reply(500), nil
			}
			return w.RoundTrip(req)
		})})
		calls(t, s, 2) // a and b have done well
		time.Sleep(30 * time.Second)
		calls(t, s, 10)
		wantEjected(t, s)
	})
}

func TestAHealthyEndpointStaysEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sick{"b": true}
		s := open(t, Config{Endpoints: hosts(3), Ejection: Ejection{Failures: 3}, Health: asked, Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/health" {
				return reply(200), nil
			}
			return b.RoundTrip(req)
		})})
		calls(t, s, 30)
		time.Sleep(29 * time.Second)
		wantEjected(t, s, "b")
	})
}

func TestFaultsOfHealth(t *testing.T) {
	with := func(change func(*Health)) Config {
		c := Config{Endpoints: hosts(2), Health: Health{Check: checkHTTP, HTTP: HTTPCheck{Path: "/health"}}}
		change(&c.Health)
		return c
	}
	for _, c := range []struct {
		config      Config
		field, text string
	}{
		{with(func(h *Health) {}), "", ""},
		{with(func(h *Health) { h.Check = "icmp" }), "check", "no check"},
		{with(func(h *Health) { *h = Health{Interval: time.Second} }), "", "nothing is checked"},
		{with(func(h *Health) { h.HTTP.Path = "" }), "http", "no path"},
		{with(func(h *Health) { h.HTTP.Path = "health" }), "http.path", "not a path"},
		{with(func(h *Health) { h.HTTP.Path = "http://a/health" }), "http.path", "not a path"},
		{with(func(h *Health) { h.HTTP.Path = "/he alth\r\nX: y" }), "http.path", "not a path"},
		{with(func(h *Health) { h.HTTP.Path = "/health?deep=1" }), "", ""},
		{with(func(h *Health) { h.HTTP.Host = "a b" }), "http.host", "host"},
		{with(func(h *Health) { h.HTTP.Headers = map[string]string{"x y": "1"} }), "http.headers.x y", "name of a header"},
		{with(func(h *Health) { h.HTTP.Headers = map[string]string{"Content-Length": "1"} }), "http.headers.Content-Length", "name of a header"},
		{with(func(h *Health) { h.HTTP.Headers = map[string]string{"X": "a\nb"} }), "http.headers", "header X"},
		{with(func(h *Health) { h.HTTP.Status = []string{"200", "1xx"} }), "http.status[1]", "not a status"},
		{with(func(h *Health) { h.HTTP.Status = []string{"2xx", "404"} }), "", ""},
		{with(func(h *Health) { h.Interval = -1 }), "interval", "negative"},
		{with(func(h *Health) { h.Timeout = -1 }), "timeout", "negative"},
		{with(func(h *Health) { h.Timeout = 11 * time.Second }), "timeout", "longer than interval"},
		{with(func(h *Health) { h.HealthyAfter = -1 }), "healthy_after", "negative"},
		{with(func(h *Health) { h.UnhealthyAfter = -1 }), "unhealthy_after", "negative"},
		{with(func(h *Health) { h.Initial = "well" }), "initial", "cannot be"},
		{with(func(h *Health) { h.Check = checkGRPC }), "grpc", "HTTP/2"},
		{Config{Endpoints: []string{"https://a"}, Health: Health{Check: checkGRPC}}, "", ""},
		{Config{Endpoints: []string{"https://a"}, Protocol: protocolHTTP1, Health: Health{Check: checkGRPC}}, "grpc", "http1"},
		{Config{Endpoints: hosts(1), Protocol: protocolH2C, Health: Health{Check: checkGRPC}}, "", ""},
		{Config{Endpoints: []string{"dns://a:80"}, Health: Health{Check: checkGRPC}}, "grpc", "HTTP/2"},
		{Config{Endpoints: []string{"dns+https://a:80"}, Health: Health{Check: checkGRPC}}, "", ""},
		{Config{Endpoints: hosts(1), Transport: newWard(), Health: Health{Check: checkTCP}}, "tcp", "Transport"},
	} {
		faults := Validate(c.config)
		if c.text == "" {
			if len(faults) > 0 {
				t.Errorf("%+v: %v", c.config.Health, faults)
			}
			continue
		}
		if field := strings.TrimSuffix("health."+c.field, "."); len(faults) != 1 || faults[0].Field != field || !strings.Contains(faults[0].Message, c.text) {
			t.Errorf("%+v: %v, want one of %s", c.config.Health, faults, field)
		}
	}
	for _, c := range []Config{
		{Endpoints: hosts(2), Panic: 0.3},
		{Endpoints: hosts(2), Panic: 1.5, Ejection: Ejection{Failures: 3}},
		{Endpoints: hosts(2), Panic: -1, Health: asked},
	} {
		if faults := Validate(c); len(faults) != 1 || faults[0].Field != "panic" {
			t.Errorf("panic %v: %v", c.Panic, faults)
		}
	}
}

func TestHealthByDefault(t *testing.T) {
	c := Config{Endpoints: hosts(1), Health: Health{Check: checkHTTP, HTTP: HTTPCheck{Path: "/"}, Interval: 500 * time.Millisecond}}.Effective()
	want := Health{Check: checkHTTP, HTTP: HTTPCheck{Path: "/", Status: []string{"2xx"}}, Interval: 500 * time.Millisecond, Timeout: 500 * time.Millisecond, HealthyAfter: 2, UnhealthyAfter: 3, Initial: "healthy"}
	if got, want := fmt.Sprintf("%+v %v", c.Health, c.Panic), fmt.Sprintf("%+v 0.5", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if c := (Config{Endpoints: hosts(1)}).Effective(); c.Panic != 0 || fmt.Sprint(c.Health) != fmt.Sprint(Health{}) {
		t.Errorf("%+v", c)
	}
}
