package mesh

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// heardOf gathers what a service tells of its changes.
type heardOf struct {
	mu      sync.Mutex
	service func() *Service
	began   time.Time
	all     []string
}

func (h *heardOf) told(c Change) {
	h.service().Stats() // which may be asked for
	h.mu.Lock()
	defer h.mu.Unlock()
	text := fmt.Sprintf("%v %s%s: %s", time.Since(h.began), c.What, strings.TrimPrefix(c.Endpoint, "http:/"), c.Because)
	if !c.Until.IsZero() {
		text += fmt.Sprintf(" (%v)", time.Until(c.Until))
	}
	h.all = append(h.all, strings.TrimSuffix(text, ": "))
}

// hearing opens a service whose changes are gathered.
func hearing(t *testing.T, cfg Config) (*Service, *heardOf) {
	t.Helper()
	var s *Service
	h := &heardOf{began: time.Now(), service: func() *Service { return s }}
	cfg.Changed = h.told
	s = open(t, cfg)
	return s, h
}

func (h *heardOf) were(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.all, want) {
		t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(h.all, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestBreakersTellOfTheirStates(t *testing.T) {
	for name, c := range map[string]struct {
		cfg Config
		who string
		why string
	}{
		"of an endpoint": {Config{Breaker: Breaker{Failures: 2}}, "/a", "2 attempts failed in a row"},
		"of the service": {Config{ServiceBreaker: Breaker{Failures: 2}}, "", "2 calls failed in a row"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ill := sick{"a": true}
				c.cfg.Endpoints, c.cfg.Transport, c.cfg.Random = []string{"http://a"}, ill, func() uint64 { return 0 }
				s, h := hearing(t, c.cfg)
				call := func() {
					if resp, err := s.RoundTrip(newRequest(t, "GET", "/", nil)); err == nil {
						resp.Body.Close()
					}
				}
				for range 3 {
					call()
				}
				time.Sleep(10 * time.Second)
				call()
				time.Sleep(20 * time.Second)
				ill["a"] = false
				call()
				call()
				h.were(t,
					"0s breaker open"+c.who+": "+c.why+" (10s)",
					"10s breaker half-open"+c.who,
					"10s breaker open"+c.who+": "+c.why+", and a probe failed since (20s)",
					"30s breaker half-open"+c.who,
					"30s breaker closed"+c.who)
			})
		})
	}
}

func TestEjectionTellsWhoIsOutAndWhoIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := hearing(t, Config{Endpoints: hosts(3), Balance: "round_robin", Transport: sick{"b": true}, Ejection: Ejection{Failures: 3}})
		calls(t, s, 12)
		time.Sleep(time.Minute)
		h.were(t, "0s endpoint ejected/b: 3 attempts failed in a row, and 0% of its peers' within 10s (30s)", "30s endpoint back/b")
		calls(t, s, 12)
		s.Close()
		time.Sleep(5 * time.Minute)
		if n := len(h.all); n != 3 {
			t.Errorf("%d changes: a service that was closed tells of nobody who is back", n)
		}
	})
}

func TestChecksTellWhatTheyFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		s, h := hearing(t, Config{Endpoints: []string{"http://a", "http://b"}, Transport: w, Health: asked, Random: func() uint64 { return 1 }})
		defer s.Close()
		time.Sleep(time.Second)
		w.set("a", true)
		time.Sleep(time.Minute)
		w.set("a", false)
		time.Sleep(time.Minute)
		h.mu.Lock()
		defer h.mu.Unlock()
		var got []string
		for _, text := range h.all {
			_, text, _ = strings.Cut(text, " ") // the time between two checks is random
			got = append(got, text)
		}
		if want := []string{"endpoint unhealthy/a: the status is 503, and not 2xx", "endpoint healthy/a"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestCredentialsTellWhenTheyCannotBeRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		_, token := secured(t, i, &guarded{}, Config{})
		s, h := hearing(t, Config{Endpoints: []string{"http://a"}, Transport: &guarded{}, Credentials: token})
		for range 2 {
			for range 20 {
				get(t, s)
				time.Sleep(time.Minute)
			}
			i.down.Store(!i.down.Load())
		}
		for range 3 {
			get(t, s)
			time.Sleep(time.Minute)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		var got []string
		for _, text := range h.all {
			_, text, _ = strings.Cut(text, " ")
			got = append(got, text)
		}
		if len(got) != 2 || !strings.HasPrefix(got[0], CredentialsFailed+": the service test gives no token: ") || got[1] != CredentialsBack {
			t.Errorf("%q", got)
		}
	})
}

func TestAStormOfChangesIsToldInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ill := sick{}
		var told, omitted int
		s := open(t, Config{Endpoints: hosts(26), Balance: "round_robin", Transport: ill, Breaker: Breaker{Failures: 1, Open: time.Minute},
			Changed: func(c Change) { told++; omitted += c.Omitted }})
		for _, host := range hosts(26) {
			ill[strings.TrimPrefix(host, "http://")] = true
		}
		call := func() {
			if resp, err := s.RoundTrip(newRequest(t, http.MethodGet, "/", nil)); err == nil {
				resp.Body.Close()
			}
		}
		for range 26 {
			call()
		}
		if told != changesAtOnce || omitted != 0 {
			t.Errorf("%d were told at once, %d were omitted", told, omitted)
		}
		time.Sleep(time.Minute)
		call()
		if told != changesAtOnce+2 || omitted != 26-changesAtOnce {
			t.Errorf("%d were told, %d were omitted", told, omitted)
		}
	})
}
