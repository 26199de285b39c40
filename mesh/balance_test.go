package mesh

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

// alike are n endpoints of equal weight.
func alike(n int) (all []discovery.Target) {
	for i := range n {
		all = append(all, discovery.Target{URL: fmt.Sprintf("http://host%d", i)})
	}
	return all
}

// balanced opens a service that has the targets, and whose chance is seeded. It
// hashes X-User where it hashes.
func balanced(t testing.TB, cfg Config, targets ...discovery.Target) *Service {
	t.Helper()
	cfg.Endpoints = []string{"http://unused"}
	if cfg.Balance == balanceRingHash || cfg.Balance == balanceMaglev {
		cfg.Hash.Header = "x-user"
	}
	var mu sync.Mutex
	source := rand.NewPCG(1, 2)
	cfg.Random = func() uint64 { mu.Lock(); defer mu.Unlock(); return source.Uint64() }
	s := open(t, cfg)
	s.update(targets)
	return s
}

// shares counts how many of n picks each endpoint gets.
func shares(t testing.TB, s *Service, n int) []int {
	t.Helper()
	counts := make([]int, len(s.set.Load().endpoints))
	for i := range n {
		counts[pickFor(t, s, fmt.Sprint("user", i)).index]++
	}
	return counts
}

func pickFor(t testing.TB, s *Service, user string) *Endpoint {
	t.Helper()
	e := s.set.Load().choose(&http.Request{Header: http.Header{"X-User": {user}}}, 0, 0, false, s.clock())
	if e == nil {
		t.Fatal("nothing was picked")
	}
	return e
}

func eachBalancer(t *testing.T, test func(t *testing.T, name string)) {
	for _, name := range Balancers() {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

func TestEveryBalancerPassesOverWhatIsNotUsable(t *testing.T) {
	eachBalancer(t, func(t *testing.T, name string) {
		s := balanced(t, Config{Balance: name, Breaker: Breaker{Failures: 1}}, alike(5)...)
		set := s.set.Load()
		req := &http.Request{Header: http.Header{}}
		for _, i := range []int{0, 1, 3} {
			leave, _ := set.endpoints[i].breaker.acquire()
			leave.record(true, 0)
		}
		for range 200 {
			var tried endpointSet
			tried.add(4)
			if e := set.choose(req, tried, 0, false, s.clock()); e != set.endpoints[2] {
				t.Fatalf("picked %v, not the one that is usable", e)
			}
			tried.add(2)
			if e := set.choose(req, tried, 0, false, s.clock()); e != nil {
				t.Fatalf("picked %s, which is not usable", e.Address())
			}
		}
	})
}

func TestEveryBalancerSpreadsEvenly(t *testing.T) {
	eachBalancer(t, func(t *testing.T, name string) {
		const n, picks = 7, 70_000
		s := balanced(t, Config{Balance: name}, alike(n)...)
		for _, e := range s.set.Load().endpoints {
			e.latency.learn(0, time.Millisecond, OK, nil)
		}
		epsilon := map[string]float64{balanceRoundRobin: 0, balanceWeighted: 0.001, balanceRingHash: 0.2}[name]
		if epsilon == 0 && name != balanceRoundRobin {
			epsilon = 0.03
		}
		for i, got := range shares(t, s, picks) {
			if stray := math.Abs(float64(got)*n/picks - 1); stray > epsilon {
				t.Errorf("endpoint %d got %d of %d, %.3f off its share", i, got, picks, stray)
			}
		}
	})
}

func TestWeightsAreKept(t *testing.T) {
	all := alike(4)
	total := 0
	for i := range all {
		all[i].Weight = []int{10, 1, 5, 4}[i]
		total += all[i].Weight
	}
	// round_robin has no weights, and peak_ewma draws by weight but chooses by cost:
	// it promises no share while nothing is under way.
	for name, epsilon := range map[string]float64{balanceWeighted: 0.001, balanceRandom: 0.1, balanceLeastRequest: 0.1, balanceRingHash: 0.3, balanceMaglev: 0.1} {
		t.Run(name, func(t *testing.T) {
			const picks = 40_000
			s := balanced(t, Config{Balance: name}, all...)
			for i, got := range shares(t, s, picks) {
				want := picks * all[i].Weight / total
				if math.Abs(float64(got)/float64(want)-1) > epsilon {
					t.Errorf("weight %d got %d, want %d", all[i].Weight, got, want)
				}
			}
		})
	}
}

func TestWeightedSpreadsTurns(t *testing.T) {
	all := alike(2)
	all[0].Weight = 3
	s := balanced(t, Config{Balance: balanceWeighted}, all...)
	run, longest := 0, 0
	for range 400 {
		if run++; pickFor(t, s, "").index == 1 {
			run = 0
		}
		longest = max(longest, run)
	}
	if longest != 3 {
		t.Errorf("the heavy endpoint got %d turns in a row, not 3", longest)
	}
}

func TestTurnsGoOnWhenEndpointsChange(t *testing.T) {
	for _, name := range []string{balanceRoundRobin, balanceWeighted} {
		s := balanced(t, Config{Balance: name}, alike(3)...)
		first := pickFor(t, s, "").Address()
		s.update(alike(3))
		if next := pickFor(t, s, "").Address(); next == first {
			t.Errorf("%s: %s twice in a row", name, first)
		}
	}
}

func TestLessLoadIsPreferred(t *testing.T) {
	t.Run("fewer attempts under way", func(t *testing.T) {
		s := balanced(t, Config{Balance: balanceLeastRequest}, alike(2)...)
		s.set.Load().endpoints[0].inFlight.Store(1)
		if got := shares(t, s, 100); got[0] != 0 {
			t.Errorf("the busy one got %d", got[0])
		}
	})
	t.Run("fewer attempts under way for its weight", func(t *testing.T) {
		all := alike(2)
		all[0].Weight = 4
		s := balanced(t, Config{Balance: balanceLeastRequest}, all...)
		s.set.Load().endpoints[0].inFlight.Store(3)
		s.set.Load().endpoints[1].inFlight.Store(1)
		if got := shares(t, s, 100); got[1] != 0 {
			t.Errorf("the one that is small and busy got %d", got[1])
		}
	})
}

func TestPeakEWMA(t *testing.T) {
	learn := func(s *Service, i int, took time.Duration, class Class, resp *http.Response) {
		now := s.clock()
		s.set.Load().endpoints[i].latency.learn(now, took, class, resp)
	}
	reply := func(status int, after string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}
	}
	// cost is what an attempt at an idle endpoint costs, at a time.
	cost := func(l *latency, now time.Duration) time.Duration {
		return time.Duration(math.Exp(l.load(0) - float64(now)/float64(latencyDecay))).Round(time.Millisecond)
	}
	for _, c := range []struct {
		name  string
		worse func(s *Service)
	}{
		{"a slower endpoint", func(s *Service) { learn(s, 0, 100*time.Millisecond, OK, nil) }},
		{"a peak among fast replies", func(s *Service) {
			learn(s, 0, time.Second, OK, nil)
			for range 10 {
				learn(s, 0, time.Millisecond, OK, nil)
			}
		}},
		{"failing fast", func(s *Service) { learn(s, 0, time.Microsecond, Reset, nil) }},
		{"429, fast", func(s *Service) { learn(s, 0, time.Microsecond, OK, reply(429, "")) }},
		{"asking for more time than the other", func(s *Service) {
			learn(s, 0, time.Microsecond, Status, reply(503, "60"))
			learn(s, 1, time.Microsecond, Status, reply(503, "20"))
		}},
		{"callers gave up", func(s *Service) { learn(s, 0, time.Second, Canceled, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := balanced(t, Config{Balance: balancePeakEWMA}, alike(2)...)
			for i := range 2 {
				learn(s, i, 10*time.Millisecond, OK, nil)
			}
			c.worse(s)
			if got := shares(t, s, 100); got[0] != 0 {
				t.Errorf("got %d of 100", got[0])
			}
		})
	}
	t.Run("callers who give up soon say nothing", func(t *testing.T) {
		l := new(latency)
		l.learn(0, time.Second, OK, nil)
		l.learn(0, time.Millisecond, Canceled, nil)
		if got := cost(l, 0); got != time.Second {
			t.Errorf("cost %v", got)
		}
	})
	t.Run("Retry-After is bounded", func(t *testing.T) {
		l := new(latency)
		l.learn(0, 1, Status, reply(503, "999999"))
		if got := cost(l, 0); got != maxPenalty {
			t.Errorf("cost %v", got)
		}
	})
	t.Run("a peak is forgotten", func(t *testing.T) {
		l := new(latency)
		l.learn(0, time.Second, OK, nil)
		if got := cost(l, latencyDecay); got != 368*time.Millisecond {
			t.Errorf("cost %v, not 1/e of a second", got)
		}
	})
	t.Run("one attempt finds out about a new endpoint", func(t *testing.T) {
		s := balanced(t, Config{Balance: balancePeakEWMA}, alike(2)...)
		learn(s, 1, 10*time.Millisecond, OK, nil)
		if e := pickFor(t, s, ""); e.index != 0 {
			t.Error("the new endpoint is not tried")
		}
		s.set.Load().endpoints[0].inFlight.Store(1)
		if got := shares(t, s, 100); got[0] != 0 {
			t.Errorf("%d more went to it before the first came back", got[0])
		}
	})
}

// moved is how many of n users go elsewhere when endpoint 0 leaves, beside
// what must, as a multiple of the ideal share.
func moved(t *testing.T, name string, endpoints, n int) float64 {
	s := balanced(t, Config{Balance: name}, alike(endpoints)...)
	before := make([]string, n)
	for i := range n {
		before[i] = pickFor(t, s, fmt.Sprint("user", i)).Address()
	}
	s.update(alike(endpoints)[1:])
	changed := 0
	for i := range n {
		if pickFor(t, s, fmt.Sprint("user", i)).Address() != before[i] {
			changed++
		}
	}
	return float64(changed) * float64(endpoints) / float64(n)
}

func TestHashingMovesLittleWhenAnEndpointLeaves(t *testing.T) {
	for _, name := range []string{balanceRingHash, balanceMaglev} {
		for _, n := range []int{3, 11, 50} {
			got := moved(t, name, n, 20_000)
			t.Logf("%s: %.2f of the ideal share moves when 1 of %d leaves", name, got, n)
			if got > 1.3 {
				t.Errorf("%s: %.2f of the ideal share moves when 1 of %d leaves, not at most 1.3", name, got, n)
			}
		}
	}
}

func TestHash(t *testing.T) {
	all := alike(10)
	for _, name := range []string{balanceRingHash, balanceMaglev} {
		t.Run(name, func(t *testing.T) {
			t.Run("by header", func(t *testing.T) {
				s := balanced(t, Config{Balance: name}, all...)
				first := pickFor(t, s, "ada")
				for range 20 {
					if e := pickFor(t, s, "ada"); e != first {
						t.Fatal("the same user goes elsewhere")
					}
				}
			})
			t.Run("by cookie", func(t *testing.T) {
				s := open(t, Config{Endpoints: []string{"http://a"}, Balance: name, Hash: Hash{Cookie: "id"}})
				s.update(all)
				pick := func(cookies ...string) *Endpoint {
					return s.set.Load().choose(&http.Request{Header: http.Header{"Cookie": cookies}}, 0, 0, false, s.clock())
				}
				want := pick("id=ada")
				for _, written := range [][]string{{"a=b; id=ada; c=d"}, {"a=b", ";;x;  id=\"ada\""}} {
					if pick(written...) != want {
						t.Errorf("%q goes elsewhere", written)
					}
				}
			})
			t.Run("nothing to hash goes anywhere", func(t *testing.T) {
				s := balanced(t, Config{Balance: name}, all...)
				seen := map[*Endpoint]bool{}
				for range 200 {
					seen[pickFor(t, s, "")] = true
				}
				if len(seen) < 8 {
					t.Errorf("only %d endpoints", len(seen))
				}
			})
			t.Run("the load is bounded", func(t *testing.T) {
				s := balanced(t, Config{Balance: name, Hash: Hash{Load: 1.25}}, all...)
				for range 100 {
					pickFor(t, s, "ada").inFlight.Add(1)
				}
				for _, e := range s.set.Load().endpoints {
					if n := e.inFlight.Load(); n > 13 {
						t.Errorf("%s has %d of 100 attempts, more than 1.25 times its share", e.Address(), n)
					}
				}
			})
			t.Run("users of one that is down are shared by the others", func(t *testing.T) {
				s := balanced(t, Config{Balance: name, Breaker: Breaker{Failures: 1}}, all...)
				leave, _ := s.set.Load().endpoints[0].breaker.acquire()
				leave.record(true, 0)
				most := 0
				for _, n := range shares(t, s, 9000) {
					most = max(most, n)
				}
				if most > 1400 {
					t.Errorf("one got %d of 9000", most)
				}
			})
		})
	}
}

func TestTiers(t *testing.T) {
	for _, c := range []struct {
		name  string
		zone  string
		in    string // the name of each endpoint, and what is said of it
		order string
	}{
		{"alike", "", "a b", "ab"},
		{"a zone is preferred", "z", "a:zone=y b:zone=z c", "b ac"},
		{"no zone is preferred if it is not known where this is", "", "a:zone=y b:zone=z", "ab"},
		{"a priority is stronger than a zone", "z", "a:zone=z,priority=1 b:zone=y", "b a"},
		{"what is about to end comes last", "z", "a:zone=z,draining b:priority=3", "b a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all []discovery.Target
			for _, text := range strings.Fields(c.in) {
				name, rest, _ := strings.Cut(text, ":")
				target := discovery.Target{URL: "http://" + name}
				for _, field := range strings.Split(rest, ",") {
					switch key, value, _ := strings.Cut(field, "="); key {
					case "zone":
						target.Zone = value
					case "priority":
						target.Priority, _ = strconv.Atoi(value)
					case "draining":
						target.Draining = true
					}
				}
				all = append(all, target)
			}
			s := balanced(t, Config{Zone: c.zone}, all...)
			var order []string
			for _, tier := range s.set.Load().tiers {
				names := ""
				for _, e := range tier.endpoints {
					names += strings.TrimPrefix(e.Address(), "http://")
				}
				order = append(order, names)
			}
			if got := strings.Join(order, " "); got != c.order {
				t.Errorf("order %s, want %s", got, c.order)
			}
		})
	}
}

func TestFailoverWhenNoneOfATierIsUsable(t *testing.T) {
	all := alike(4)
	all[2].Priority, all[3].Priority = 1, 1
	eachBalancer(t, func(t *testing.T, name string) {
		s := balanced(t, Config{Balance: name, Breaker: Breaker{Failures: 1, Open: time.Hour}}, all...)
		set := s.set.Load()
		for i := range 2 {
			for range 50 {
				if e := pickFor(t, s, "ada"); e.target.Priority != 0 {
					t.Fatalf("%s is used before its turn", e.Address())
				}
			}
			leave, _ := set.endpoints[i].breaker.acquire()
			leave.record(true, 0)
		}
		if e := pickFor(t, s, "ada"); e.target.Priority != 1 {
			t.Errorf("%s is used, which is not usable", e.Address())
		}
	})
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, state := range endpointStates {
		t.Run(state.name, func(t *testing.T) {
			eachBalancer(t, func(t *testing.T, name string) {
				s := oneIs(t, state.set, name, 100)
				req := &http.Request{Header: http.Header{"X-User": {"ada"}}}
				if n := testing.AllocsPerRun(100, func() { pickOnce(t, s, req) }); n > 0 {
					t.Errorf("%v allocations", n)
				}
			})
		})
	}
}

// endpointStates are what one endpoint of many may be in.
var endpointStates = []struct {
	name string
	set  func(*Endpoint)
}{
	{"all well", func(*Endpoint) {}},
	{"one cold", func(e *Endpoint) { e.warmup.begin() }},
	{"one blocked", func(e *Endpoint) { e.breaker.open(time.Hour) }},
	{"one ejected", func(e *Endpoint) { eject(e, time.Hour) }},
}

// oneIs opens a service of n endpoints of which one is in a state.
func oneIs(t testing.TB, state func(*Endpoint), balance string, n int) *Service {
	s := balanced(t, Config{Balance: balance, Breaker: Breaker{Ratio: 0.5}, Ejection: Ejection{Ratio: 0.3}, SlowStart: time.Hour}, alike(n)...)
	for _, e := range s.set.Load().endpoints {
		e.warmup.from.Store(0) // they are not new
		e.latency.learn(s.clock(), time.Millisecond, OK, nil)
	}
	s.cfg.ramps.last.Store(0)
	state(s.set.Load().endpoints[1])
	return s
}

// pickOnce picks as the first attempt of a call does.
func pickOnce(t testing.TB, s *Service, req *http.Request) {
	var tried tried
	p, err := tried.pick(s, req, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.release()
}

func TestPickIsSafeForConcurrentUse(t *testing.T) {
	eachBalancer(t, func(t *testing.T, name string) {
		s := balanced(t, Config{Balance: name}, alike(10)...)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 200 {
					e := s.set.Load().choose(&http.Request{Header: http.Header{"X-User": {fmt.Sprint(g, i)}}}, 0, 0, false, s.clock())
					e.latency.learn(s.clock(), time.Duration(i), Class(i%int(classes)), nil)
				}
			})
		}
		wg.Wait()
	})
}
