package policies

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
)

// answerLate is a route whose requests take as long as they say in X-Takes.
func answerLate(w http.ResponseWriter, r *http.Request) {
	d, _ := time.ParseDuration(r.Header.Get("X-Takes"))
	select {
	case <-time.After(d):
		w.WriteHeader(http.StatusOK)
	case <-r.Context().Done():
	}
}

// lengthy is a request of a caller that takes so long.
func lengthy(name string, takes time.Duration, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("X-Name", name)
	r.Header.Set("X-Takes", takes.String())
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// scene is a route behind a policy, in virtual time.
type scene struct {
	*testing.T
	handler http.Handler
	count   func(string) int64
	all     sync.WaitGroup
	begin   time.Time
}

// play runs a scene until all of its requests have ended.
func play(t *testing.T, bundle string, route gateway.Route, run func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if route.Handler == nil {
			route.Handler = http.HandlerFunc(answerLate)
		}
		s := &scene{T: t, begin: time.Now()}
		var end func()
		s.handler, s.count, end = before(t, bundle, route)
		run(s)
		s.all.Wait()
		end()
	})
}

// send sends a request and goes on when it waits for something.
func (s *scene) send(r *http.Request) *answered {
	a := &answered{w: httptest.NewRecorder()}
	s.all.Go(func() {
		s.handler.ServeHTTP(a.w, r)
		a.after = time.Since(s.begin)
	})
	synctest.Wait()
	return a
}

type answered struct {
	w     *httptest.ResponseRecorder
	after time.Duration // since the scene began
}

func (s *scene) counted(want map[string]int64) {
	s.Helper()
	for name, n := range want {
		if got := s.count(name); got != n {
			s.Errorf("%s: %d, not %d", name, got, n)
		}
	}
}

func (a *answered) is(t *testing.T, status int, after time.Duration) {
	t.Helper()
	if a.w.Code != status || a.after != after {
		t.Errorf("%d after %v, not %d after %v: %s", a.w.Code, a.after, status, after, a.w.Body)
	}
}

func TestConcurrencyBoundsWhatIsInProgress(t *testing.T) {
	play(t, "{ caller: {}, concurrency: { limit: 3, each: 2 } }", gateway.Route{}, func(s *scene) {
		first, second := s.send(lengthy("ada", time.Second)), s.send(lengthy("ada", 2*time.Second))
		own := s.send(lengthy("ada", time.Second))
		third := s.send(lengthy("bob", time.Second))
		full := s.send(lengthy("cyd", time.Second))
		s.counted(map[string]int64{"granted": 3, "refused": 1, "refused_caller": 1, "in_flight": 3, "keys": 2, "queued": 0})
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		fourth := s.send(lengthy("ada", time.Second))
		s.all.Wait()
		first.is(s.T, 200, time.Second)
		second.is(s.T, 200, 2*time.Second)
		third.is(s.T, 200, time.Second)
		fourth.is(s.T, 200, 2500*time.Millisecond)
		own.is(s.T, 429, 0)
		full.is(s.T, 503, 0)
		for a, code := range map[*answered]string{own: CodeConcurrencyLimited, full: gateway.CodeOverloaded} {
			h := a.w.Header()
			if !strings.Contains(a.w.Body.String(), `"code":"`+code+`"`) || !strings.Contains(h.Get("Proxy-Status"), `details="concurrency"`) || h.Get("Retry-After") != "" {
				s.Errorf("%v %s", h, a.w.Body)
			}
		}
		s.counted(map[string]int64{"granted": 4, "in_flight": 0, "keys": 0})
	})
}

func TestConcurrencyLetsRequestsWait(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name, policy string
		requests     []*http.Request // the first is in progress, a second long
		want         []int
		after        []time.Duration
	}{
		{"first come, first served", "limit: 1, queue: 2, wait: 10s",
			[]*http.Request{lengthy("b", time.Second), lengthy("c", time.Second), lengthy("d", time.Second)},
			[]int{200, 200, 503}, []time.Duration{2 * time.Second, 3 * time.Second, 0}},
		{"by priority, and the low make room", `limit: 1, queue: 2, wait: 10s, priority: '$(headers["X-Rank"])'`,
			[]*http.Request{lengthy("b", time.Second, "X-Rank", "low"), lengthy("c", time.Second), lengthy("d", time.Second, "X-Rank", "critical")},
			[]int{503, 200, 200}, []time.Duration{0, 3 * time.Second, 2 * time.Second}},
		{"a priority that is none is that of the route", `limit: 1, queue: 1, wait: 10s, priority: '$(headers["X-Rank"])'`,
			[]*http.Request{lengthy("b", time.Second), lengthy("c", time.Second, "X-Rank", "Critical"), lengthy("d", time.Second, "X-Rank", "low")},
			[]int{200, 503, 503}, []time.Duration{2 * time.Second, 0, 0}},
		{"no longer than said", "limit: 1, queue: 2, wait: 300ms",
			[]*http.Request{lengthy("b", time.Second)}, []int{503}, []time.Duration{300 * ms}},
		{"a caller for its own place, and others pass", "limit: 2, each: 1, queue: 9, wait: 10s",
			[]*http.Request{lengthy("a", time.Second), lengthy("b", time.Second), lengthy("a", time.Second)},
			[]int{200, 200, 429}, []time.Duration{2 * time.Second, time.Second, 0}},
		{"for its own place while that waits for one of all", "limit: 1, each: 1, queue: 9, wait: 1200ms",
			[]*http.Request{lengthy("b", time.Second), lengthy("b", time.Second)},
			[]int{200, 429}, []time.Duration{2 * time.Second, 1200 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, "{ caller: {}, concurrency: { "+c.policy+" } }", gateway.Route{}, func(s *scene) {
				all := []*answered{s.send(lengthy("a", time.Second))}
				for _, r := range c.requests {
					all = append(all, s.send(r))
				}
				s.all.Wait()
				for i, a := range all[1:] {
					a.is(s.T, c.want[i], c.after[i])
				}
				s.counted(map[string]int64{"in_flight": 0, "queued": 0, "keys": 0})
			})
		})
	}
}

func TestWhoLeavesTheQueueTakesNoPlace(t *testing.T) {
	for _, policy := range []string{"limit: 1, queue: 9, wait: 1m", "each: 1, queue: 9, wait: 1m"} {
		play(t, "{ caller: {}, concurrency: { "+policy+" } }", gateway.Route{}, func(s *scene) {
			s.send(lengthy("a", time.Second))
			ctx, leave := context.WithCancel(s.Context())
			left := s.send(lengthy("a", time.Second).WithContext(ctx))
			s.counted(map[string]int64{"queued": 1})
			leave()
			synctest.Wait()
			left.is(s.T, statusClientGone, 0)
			next := s.send(lengthy("a", time.Second))
			s.all.Wait()
			next.is(s.T, 200, 2*time.Second)
			s.counted(map[string]int64{"left": 1, "granted": 2, "queued": 0, "in_flight": 0, "keys": 0})
		})
	}
}

func TestWhatCannotBeServedInTimeDoesNotWait(t *testing.T) {
	play(t, "{ caller: {}, concurrency: { limit: 1, queue: 9, wait: 1m } }", gateway.Route{Deadline: 2500 * time.Millisecond}, func(s *scene) {
		s.send(lengthy("a", time.Second)) // an answer usually takes a second
		s.all.Wait()
		s.begin = time.Now()
		served := []*answered{s.send(lengthy("a", time.Second)), s.send(lengthy("b", time.Second))}
		third := s.send(lengthy("c", time.Second))
		s.send(lengthy("d", time.Second)).is(s.T, 503, 0) // two wait for a second each, and it needs one
		s.all.Wait()
		third.is(s.T, 503, 1500*time.Millisecond) // from then on there would not be enough left
		served[0].is(s.T, 200, time.Second)
		served[1].is(s.T, 200, 2*time.Second)
		s.counted(map[string]int64{"late": 2, "refused": 2})

		s.begin = time.Now()
		s.send(lengthy("a", 2200*time.Millisecond))
		short := s.send(lengthy("b", time.Second)) // there seemed to be time
		s.all.Wait()
		if short.w.Code != 503 || short.after > 1550*time.Millisecond {
			s.Errorf("%d after %v", short.w.Code, short.after)
		}
	})
}

func TestAShadowOfConcurrencyRefusesNobody(t *testing.T) {
	play(t, "{ caller: {}, concurrency: { limit: 3, each: 1, queue: 5, shadow: true } }", gateway.Route{}, func(s *scene) {
		for range 5 {
			s.send(lengthy("a", time.Second))
		}
		for range 2 {
			s.send(lengthy("b", time.Second))
		}
		s.counted(map[string]int64{"in_flight": 7, "refused_caller": 5, "refused": 1, "granted": 1, "queued": 0})
		s.all.Wait()
		s.counted(map[string]int64{"in_flight": 0, "keys": 0})
	})
}

// TestPlacesAreNeitherLostNorMade sends thousands of requests that wait, leave,
// and panic, at limits that are never exceeded.
func TestPlacesAreNeitherLostNorMade(t *testing.T) {
	var inAll, most atomic.Int64
	var own [8]atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		i := r.Header.Get("X-Name")[0] - 'a'
		defer inAll.Add(-1)
		defer own[i].Add(-1)
		if n := inAll.Add(1); n > 7 || own[i].Add(1) > 3 {
			t.Errorf("%d in progress, %d of %c", n, own[i].Load(), 'a'+i)
		} else if n > most.Load() {
			most.Store(n)
		}
		answerLate(w, r)
		if r.Header.Get("X-Rank") == "low" {
			panic("low")
		}
	}
	play(t, `{ caller: {}, concurrency: { limit: 7, each: 3, queue: 20, wait: 50ms, priority: '$(headers["X-Rank"])' } }`, gateway.Route{Handler: http.HandlerFunc(handler), Deadline: 80 * time.Millisecond}, func(s *scene) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 5000 {
			ctx, cancel := context.WithTimeout(s.Context(), time.Duration(random.IntN(60))*time.Millisecond)
			r := lengthy(string(rune('a'+random.IntN(8))), time.Duration(random.IntN(20))*time.Millisecond, "X-Rank", []string{"low", "normal", "high"}[random.IntN(3)]).WithContext(ctx)
			s.all.Go(func() {
				defer cancel()
				defer func() { _ = recover() }() // the answer had begun
				s.handler.ServeHTTP(httptest.NewRecorder(), r)
			})
			time.Sleep(time.Duration(random.IntN(2)) * time.Millisecond)
		}
		s.all.Wait()
		s.counted(map[string]int64{"in_flight": 0, "queued": 0, "keys": 0})
		if most.Load() != 7 || s.count("waited") == 0 || s.count("left")+s.count("late") == 0 {
			s.Errorf("%d in progress at most, %d waited, %d left, %d late", most.Load(), s.count("waited"), s.count("left"), s.count("late"))
		}
	})
}

// A million callers come and go, some of them at a time, beside one who stays.
func TestCallersWhoHaveGoneAreForgotten(t *testing.T) {
	p := openPlaces(placesConfig{all: 5000, each: 1})
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	enter := func(hash uint64) (*stay, entrance) {
		s := &stay{places: p, hash: hash}
		return s, s.enter(context.Background(), 0)
	}
	if _, got := enter(1); got != entered {
		t.Fatal(got)
	}
	before := heap()
	var stays []*stay
	for i := range uint64(1_000_000) {
		s, got := enter((i + 2) * 0x9e3779b97f4a7c15)
		if got != entered {
			t.Fatalf("caller %d: %v", i, got)
		}
		if stays = append(stays, s); len(stays) == 4000 {
			for _, s := range stays {
				s.leave()
			}
			stays = stays[:0]
		}
	}
	keys := 0
	p.Observe(func(name string, _ bool, value int64) {
		if name == "keys" {
			keys = int(value)
		}
	})
	if grown := heap() - before; keys != 1 || grown > 2<<20 {
		t.Errorf("%d callers are known, in %d bytes more", keys, grown)
	}
	if _, got := enter(1); got != fullOwn {
		t.Errorf("who stays has another place: %v", got)
	}
	runtime.KeepAlive(stays)
}

func TestConcurrencyAllocatesOnceForARequest(t *testing.T) {
	bare := testing.AllocsPerRun(200, passing(t, guarded(t, "{}")))
	for _, policy := range []string{"limit: 100", "each: 10", "limit: 100, each: 10, queue: 10"} {
		if got := testing.AllocsPerRun(200, passing(t, guarded(t, "{ concurrency: { "+policy+" } }"))); got > bare+1 {
			t.Errorf("%s: %v allocations beside %v, want at most 1", policy, got-bare, bare)
		}
	}
}

func TestPrioritiesOfRoutes(t *testing.T) {
	for i, name := range engine.Priorities() {
		rank, known := rankOf(name)
		q := &gateway.Request{Route: &gateway.Route{Priority: engine.PriorityOf(name)}}
		if got := (ranking{}).of(t.Context(), q); !known || rank != i || got != i {
			t.Errorf("%s: %d %d", name, rank, got)
		}
	}
	if got := (ranking{}).of(t.Context(), &gateway.Request{}); got != slices.Index(engine.Priorities(), "normal") {
		t.Error(fmt.Sprint("without a route: ", got))
	}
}
