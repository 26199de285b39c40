package policies

import (
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// machine is one of two processors, on which requests run in the order in which
// they come, each for as long as it takes.
type machine struct {
	mu    sync.Mutex
	free  [2]time.Time
	waits []time.Duration
}

func (m *machine) run(takes time.Duration) {
	now := time.Now()
	m.mu.Lock()
	i := 0
	if m.free[1].Before(m.free[0]) {
		i = 1
	}
	start := now
	if m.free[i].After(now) {
		start = m.free[i]
	}
	m.free[i] = start.Add(takes)
	m.mu.Unlock()
	time.Sleep(start.Sub(now))
	m.mu.Lock()
	m.waits = append(m.waits, start.Sub(now)) // known when it is over, as in the runtime
	m.mu.Unlock()
	time.Sleep(takes)
}

// recent is what schedulerWaits.recent is of a real one.
func (m *machine) recent() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waits) == 0 {
		return 0
	}
	slices.Sort(m.waits)
	d := m.waits[len(m.waits)*9/10]
	m.waits = m.waits[:0]
	return d
}

// outcome is what became of the requests of each priority.
type outcome struct{ sent, good, refused [4]int }

func (o outcome) all(n [4]int) int { return n[0] + n[1] + n[2] + n[3] }

// simulate sends load times as many requests as a machine can do, for so long,
// and tells what came of those after the first three seconds. An answer is good if
// it came within 100ms.
func simulate(t *testing.T, shedding bool, load float64, lasts time.Duration, offset time.Duration) (o outcome) {
	synctest.Test(t, func(t *testing.T) {
		const takes, capacity = time.Millisecond, 2000 // requests per second
		m := &machine{}
		s := openSluice(10*time.Millisecond, 0.1, m.recent)
		random := rand.New(rand.NewPCG(3, 4))
		var mu sync.Mutex
		var all sync.WaitGroup
		begin := time.Now()
		for time.Since(begin) < lasts {
			rank := []int{0, 0, 0, 0, 1, 1, 1, 2, 2, 3}[random.IntN(10)] // 40% low, 30% normal, 20% high, 10% critical
			counted := time.Since(begin) > offset
			if counted {
				o.sent[rank]++
			}
			if shedding && !s.admits(rank) {
				if counted {
					mu.Lock()
					o.refused[rank]++
					mu.Unlock()
				}
			} else {
				all.Go(func() {
					came := time.Now()
					m.run(takes)
					if counted && time.Since(came) <= 100*time.Millisecond {
						mu.Lock()
						o.good[rank]++
						mu.Unlock()
					}
				})
			}
			time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / (capacity * load)))
		}
		all.Wait()
	})
	return o
}

func TestSheddingKeepsGoodput(t *testing.T) {
	const lasts, offset, capacity = 10 * time.Second, 3 * time.Second, 2000 * 7
	if o := simulate(t, false, 3, lasts, offset); o.all(o.good) > 0 {
		t.Errorf("without it there are %d good answers, and no overload", o.all(o.good))
	}
	o := simulate(t, true, 3, lasts, offset)
	t.Logf("%+v of %d", o, capacity)
	if good := o.all(o.good); good < capacity*88/100 {
		t.Errorf("%d good answers, of %d that there could be", good, capacity)
	}
	low, normal, high, critical := 0, 1, 2, 3
	if o.refused[critical] > 0 || o.good[high] < o.sent[high]*85/100 {
		t.Errorf("of those that matter most %d and %d were refused", o.refused[critical], o.refused[high])
	}
	if o.good[low] > o.sent[low]/20 || o.good[normal] == 0 || o.good[normal] == o.sent[normal] {
		t.Errorf("%d of %d low, %d of %d normal", o.good[low], o.sent[low], o.good[normal], o.sent[normal])
	}
}

func TestNobodyIsShedWithoutOverload(t *testing.T) {
	if o := simulate(t, true, 0.7, 10*time.Second, 0); o.all(o.refused) > 0 {
		t.Errorf("%+v", o)
	}
}

func TestSheddingEndsWithTheOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := time.Second
		s := openSluice(10*time.Millisecond, 0.1, func() time.Duration { return waits })
		come := func(n int) (in int) {
			for range n {
				if s.admits(1) {
					in++
				}
				time.Sleep(time.Millisecond)
			}
			return in
		}
		come(15_000)
		if in := come(10_000); in < 700 || in > 1300 {
			t.Errorf("%d of 10000 were let in, and the floor is a tenth", in)
		}
		waits = time.Millisecond
		come(12_000)
		if in := come(1000); in != 1000 {
			t.Errorf("%d of 1000 are let in when it is over", in)
		}
		waits = time.Second
		come(15_000)
		time.Sleep(sluiceIdle + time.Second)
		if !s.admits(0) {
			t.Error("who comes after a while is refused for what was before")
		}
	})
}

func TestWhoIsLetInByPriority(t *testing.T) {
	came := [4]float64{40, 30, 20, 10}
	for in, want := range map[float64]float64{0: 0, 5: .5, 10: 1, 20: 1.5, 30: 2, 45: 2.5, 60: 3, 80: 3.5, 100: 4, 500: 4} {
		if got := opening(in, came); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v, not %v", in, got, want)
		}
	}
	if got := opening(15, [4]float64{0, 10, 0, 10}); got != 2.5 {
		t.Errorf("where nobody has a priority: %v", got)
	}
	for rank, want := range []float64{0, .25, 1, 1} {
		if got := shareOf(2.25, rank); got != want {
			t.Errorf("%d: %v, not %v", rank, got, want)
		}
	}
}

func TestWhatIsShed(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		priority     engine.Priority
		header       string
		want         int
	}{
		{"low", "{}", engine.PriorityLow, "", 503},
		{"critical", "{}", engine.PriorityOf("critical"), "", 200},
		{"by an expression", `{ priority: '$(headers["X-Rank"])' }`, engine.PriorityLow, "critical", 200},
		{"by the plan of a consumer", `{ priority: '$(consumer.plan == "gold" ? "critical" : "low")' }`, 0, "low", 503},
		{"in a shadow", "{ shadow: true }", engine.PriorityLow, "", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			route := gateway.Route{Priority: c.priority, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })}
			h, keepers, end := beforeKeepers(t, "{ caller: {}, shed: "+c.policy+" }", route)
			defer end()
			for _, k := range keepers {
				if s, ok := k.(*sluice); ok {
					s.open.Store(math.Float64bits(1))
					s.waits = func() time.Duration { return time.Hour }
					s.looked.Visit(0, func(now time.Time) { s.adjusted, s.blind = now, now.Add(time.Hour) }) // nothing changes for a while
				}
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("X-Rank", c.header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("%d, not %d", w.Code, c.want)
			}
			if w.Code == 503 && (w.Header().Get("Proxy-Status") != `weir; error=proxy_internal_response; details="shed"` || w.Header().Get("Retry-After") != "") {
				t.Errorf("%v", w.Header())
			}
		})
	}
}

func TestTheSchedulerTellsHowLongWorkWaits(t *testing.T) {
	var s schedulerWaits
	s.recent()
	var all sync.WaitGroup
	for range 200 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for range 20 {
				for i, x := 0, 1; i < 20_000; i++ {
					x = x*31 + i
				}
				runtime.Gosched()
			}
		})
	}
	all.Wait()
	if s.recent() <= 0 {
		t.Error("hundreds had to wait, and did not")
	}
	if got := testing.AllocsPerRun(10, func() { s.recent() }); got > 1 {
		t.Errorf("%v allocations", got)
	}
}

func TestSheddingAllocatesNothing(t *testing.T) {
	bare := testing.AllocsPerRun(200, passing(t, guarded(t, "{}")))
	if got := testing.AllocsPerRun(200, passing(t, guarded(t, "{ shed: { delay: 10s } }"))); got > bare {
		t.Errorf("%v allocations beside %v", got-bare, bare)
	}
}
