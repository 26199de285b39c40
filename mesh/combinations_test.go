package mesh

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What two policies come to together, where each alone is tested in its own file.

// toV2 sends a request of canary's to v2.
var toV2 = http.Header{"X-Canary": {"true"}}

func canaryByHeader() []Version {
	versions := canary()
	versions[1].When = When{"X-Canary", "true"}
	return versions
}

// endOf makes a call and gives its class.
func endOf(t *testing.T, s *Service, header http.Header) Class {
	t.Helper()
	req := newRequest(t, "GET", "/", nil)
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	resp, err := s.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return classOf(t, err)
}

// endpointAt is that of a base URL.
func endpointAt(t *testing.T, s *Service, url string) *Endpoint {
	t.Helper()
	all := s.set.Load().endpoints
	i := slices.IndexFunc(all, func(e *Endpoint) bool { return e.Address() == url })
	if i < 0 {
		t.Fatalf("there is no %s", url)
	}
	return all[i]
}

func TestAHedgeStaysInTheVersionOfItsCall(t *testing.T) {
	for _, c := range []struct {
		name      string
		endpoints []string // of v2
		want      []string // where attempts go, in order
	}{
		{"to another endpoint of it", []string{"http://a2", "http://b2"}, []string{"a2", "b2"}},
		{"or nowhere", []string{"http://a2"}, []string{"a2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var hosts []string
				versions := canaryByHeader()
				versions[1].Endpoints = c.endpoints
				s := open(t, Config{Versions: versions, Hedge: Hedge{Extra: 0.1}, Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
					mu.Lock()
					hosts = append(hosts, req.URL.Host)
					mu.Unlock()
					return reply(200), after(req, time.Second)
				})})
				for range 100 {
					s.hedge.latencies.observe(0, 10*time.Millisecond)
				}
				if class := endOf(t, s, toV2); class != OK {
					t.Error(class)
				}
				synctest.Wait()
				if mu.Lock(); !slices.Equal(hosts, c.want) {
					t.Errorf("attempts at %v, want %v", hosts, c.want)
				}
				mu.Unlock()
			})
		})
	}
}

// A version that is full is not one that cannot be used: its calls wait, or fail,
// and do not fill the version that stands in for it, too.
func TestAFullVersionIsNoReasonToFallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		versions := canaryByHeader()
		versions[1].Endpoints, versions[1].Fallback = versions[1].Endpoints[:1], "v1"
		slow := &slowly{takes: time.Second}
		s := open(t, Config{Versions: versions, Transport: slow, Limit: Limit{PerEndpoint: 1, Queue: 1, Wait: 2 * time.Second}, Breaker: Breaker{Failures: 1, Open: time.Hour}})
		together := func(n int) map[Class]int {
			ends := map[Class]int{}
			var mu sync.Mutex
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					class := endOf(t, s, toV2)
					mu.Lock()
					defer mu.Unlock()
					ends[class]++
				})
			}
			all.Wait()
			return ends
		}
		ends := together(3)
		if st := s.Stats(); ends[OK] != 2 || ends[Overloaded] != 1 || slow.most.Load() != 1 || st.Versions[1].Fallbacks != 0 {
			t.Errorf("%v, %d at a time, %+v", ends, slow.most.Load(), st.Versions)
		}

		// One that cannot be used has its fallback's limit.
		s.set.Load().endpoints[2].breaker.open(time.Hour)
		ends = together(4)
		if st := s.Stats(); ends[OK] != 3 || ends[Overloaded] != 1 || st.Versions[1].Fallbacks == 0 {
			t.Errorf("%v, %+v", ends, st.Versions)
		}
	})
}

// A call that is made to fail on purpose neither uses the budget nor adds to it.
func TestInjectedCallsAreNoneOfTheBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := always(status(503), nil)
		s := open(t, Config{Endpoints: hosts(2), Transport: f, Inject: Inject{Abort: 503}, Retry: Retry{Attempts: 3, Budget: 0.5, MinPerSecond: 1}})
		before := s.Stats().Budget
		for range 100 {
			if class := endOf(t, s, nil); class != OK { // a reply
				t.Error(class)
			}
		}
		if st := s.Stats(); st.Budget != before || st.Retries != 0 || st.Denied != 0 || st.Failures[Status] != 100 || len(f.hosts) != 0 {
			t.Errorf("%d of %d left, %+v", st.Budget, before, st)
		}
	})
}

// A user of one version stays with it while an endpoint of it is ejected, and
// goes back to the endpoint of the hash when that is over.
func TestAUserOfAnEndpointThatIsEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		user := http.Header{"X-User": {"ada"}}
		s := open(t, Config{Versions: canary(), Sticky: Sticky{Header: "X-User"}, Transport: sick{}, Balance: balanceRingHash, Hash: Hash{Header: "X-User"},
			Ejection: Ejection{Failures: 3}})
		at := func() *Endpoint {
			t.Helper()
			req := newRequest(t, "GET", "/", nil)
			req.Header = user
			var call Call
			resp, err := s.Do(req, &call)
			text(t, resp, err)
			return endpointAt(t, s, call.Endpoint)
		}
		home := at()
		eject(home, time.Minute)
		if away := at(); away == home || away.version != home.version {
			t.Errorf("from %s to %s", home.Address(), away.Address())
		}
		time.Sleep(time.Minute)
		if back := at(); back != home {
			t.Errorf("from %s to %s", home.Address(), back.Address())
		}
	})
}

// A caller that was moved stays where it is when its first endpoint is back.
func TestACallerThatMovedDoesNotMoveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: hosts(3), Affinity: Affinity{Cookie: "server"}, Transport: sick{}, Ejection: Ejection{Failures: 3}})
		var v visitor
		home := v.visit(t, s)
		eject(endpointAt(t, s, "http://"+home), time.Minute)
		away := v.visit(t, s)
		time.Sleep(time.Minute)
		if at := v.visit(t, s); at != away || at == home {
			t.Errorf("from %s to %s to %s", home, away, at)
		}
	})
}

// A copy that finds no place fails, and takes none from a call in line.
func TestACopyDoesNotWaitForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowly{takes: time.Second}
		s := open(t, trial(Config{Transport: slow, Limit: Limit{PerEndpoint: 1, Queue: 10, Wait: time.Minute}}))
		if ends := storm(t, s, 3, time.Minute); ends[OK] != 3 {
			t.Errorf("%v", ends)
		}
		time.Sleep(time.Second)
		if st := s.Stats(); st.Mirror.Sent != 3 || st.Mirror.Failed == 0 || st.Limit.Refused != 0 || st.Endpoints[1].Attempts+st.Mirror.Failed != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// A call and its hedge are one call, of which one copy is made.
func TestACallThatIsHedgedIsCopiedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := trial(Config{Hedge: Hedge{Extra: 0.1}, Transport: transportFunc(func(req *http.Request) (*http.Response, error) {
			if strings.HasPrefix(req.URL.Host, "live") {
				return reply(200), after(req, time.Second)
			}
			return reply(200), nil
		})})
		cfg.Versions[0].Endpoints = []string{"http://live1", "http://live2"}
		s := open(t, cfg)
		for range 100 {
			s.hedge.latencies.observe(0, 10*time.Millisecond)
		}
		if class := endOf(t, s, nil); class != OK {
			t.Error(class)
		}
		synctest.Wait()
		if st := s.Stats(); st.Hedges != 1 || st.Mirror.Sent != 1 || st.Mirror.Same != 1 {
			t.Errorf("%+v", st)
		}
	})
}
