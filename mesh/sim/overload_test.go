package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh"
)

// server has so many workers; a request waits for one, and is worked on whether
// or not its caller is still there.
type server struct {
	free   []time.Duration // when each worker has done what it was given
	mean   time.Duration
	sheds  time.Duration // what would wait for longer is answered with 503 at once; 0 is never
	broken bool          // answers all with 503 at once
}

func (s *server) serve(at time.Duration, r *rand.Rand) (took time.Duration, status int) {
	first := slices.Index(s.free, slices.Min(s.free))
	begins := max(at, s.free[first])
	if s.broken || s.sheds > 0 && begins-at > s.sheds {
		return time.Millisecond, http.StatusServiceUnavailable
	}
	s.free[first] = begins + time.Duration(r.ExpFloat64()*float64(s.mean))
	return s.free[first] - at, http.StatusOK
}

// can is how many requests a second the server can answer.
func (s *server) can() float64 { return float64(len(s.free)) / s.mean.Seconds() }

// phase is a time in which calls come at a rate, and the server may change.
type phase struct {
	lasts  time.Duration
	rate   float64 // of what the server can do at first
	change func(*server)
}

// passed is what came of one phase.
type passed struct {
	offered, good [4]int // by priority, the lowest first
	seconds       float64
	limit         mesh.LimitStats // at its end
	waits         []time.Duration // of the good, sorted
}

func (p *passed) all() (offered, good int) {
	for i := range p.offered {
		offered, good = offered+p.offered[i], good+p.good[i]
	}
	return offered, good
}

// goodput is good calls a second, as a share of what the server can do.
func (p *passed) goodput(can float64) float64 {
	_, good := p.all()
	return float64(good) / p.seconds / can
}

// crowd calls a server through a service that cfg describes. Callers have that
// much patience; one call in four is of each priority.
func crowd(t *testing.T, cfg mesh.Config, srv *server, patience time.Duration, phases ...phase) (out []passed) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := &network{backends: map[string]*place{"server": {serve: srv.serve}}, random: newRandom(1, 1), start: time.Now()}
		cfg.Endpoints, cfg.Transport, cfg.Random = []string{"http://server"}, net, newRandom(1, 2).Uint64
		s, err := mesh.Open("simulated", cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out = make([]passed, len(phases))
		var (
			mu       sync.Mutex
			calls    sync.WaitGroup
			arrivals = newRandom(1, 3)
			can      = srv.can()
		)
		call := func(p *passed, priority int) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "GET", "/", nil)
			if err != nil {
				panic(err)
			}
			began := time.Now()
			resp, err := s.Do(req, &mesh.Call{Buffer: true, Priority: mesh.PriorityLow + mesh.Priority(priority)})
			mu.Lock()
			defer mu.Unlock()
			p.offered[priority]++
			if err == nil && resp.StatusCode < 400 {
				p.good[priority]++
				p.waits = append(p.waits, time.Since(began))
			}
		}
		for i, ph := range phases {
			if ph.change != nil {
				net.random.mu.Lock()
				ph.change(srv)
				net.random.mu.Unlock()
			}
			for end := time.Now().Add(ph.lasts); time.Now().Before(end); {
				time.Sleep(time.Duration(arrivals.r.ExpFloat64() * float64(time.Second) / (ph.rate * can)))
				priority := arrivals.r.IntN(4)
				calls.Go(func() { call(&out[i], priority) })
			}
			out[i].seconds = ph.lasts.Seconds()
			out[i].limit = s.Stats().Limit
		}
		calls.Wait()
		for i := range out {
			slices.Sort(out[i].waits)
		}
	})
	return out
}

func workers(n int, mean time.Duration) *server {
	return &server{free: make([]time.Duration, n), mean: mean}
}

// p99 is how long all but one in a hundred of the good calls took, if there were
// any to speak of.
func (p *passed) p99() string {
	if len(p.waits) < 100 {
		return "-"
	}
	return p.waits[len(p.waits)*99/100].Round(time.Millisecond).String()
}

// A server of 20 workers, 50 ms a request, gets a half and then twice of what it
// can do. Callers wait for half a second. Nobody tells the limit how many workers
// there are.
func TestOverload(t *testing.T) {
	const s = time.Second
	half, twice := phase{5 * s, 0.5, nil}, phase{15 * s, 2, nil}
	loses := phase{15 * s, 0.9, func(s *server) { s.free = s.free[:len(s.free)/5] }}
	slower := func(by time.Duration) func(*server) { return func(s *server) { s.mean *= by } }
	broken := func(yes bool) func(*server) { return func(s *server) { s.broken = yes } }
	within := func(from, to float64) [2]float64 { return [2]float64{from, to} }
	var figures table
	figures.add("phase", "offered", "without a limit", "p99", "`adaptive`", "its p99", "limit found")
	for _, c := range []struct {
		name    string
		told    []string // phases in the guide; empty is left out
		srv     *server
		phases  []phase
		without [][2]float64 // goodput by phase, without a limit, in percent
		with    [][2]float64 // with an adaptive one
	}{
		{"overload and recovery", []string{"half of what it can do", "twice of it, for 15 s", "for 15 s more", "half again"}, workers(20, 50*time.Millisecond), []phase{half, twice, twice, half},
			[][2]float64{within(48, 52), within(0, 10), within(0, 1), within(0, 1)},
			[][2]float64{within(48, 52), within(97, 103), within(97, 103), within(46, 52)}},
		{"overload from the start", []string{"5 workers, twice of it from the start", "for 15 s more"}, workers(5, 50*time.Millisecond), []phase{twice, twice},
			[][2]float64{within(0, 20), within(0, 1)},
			[][2]float64{within(90, 105), within(97, 102)}},
		{"a server that sheds", []string{"", "one that sheds: twice of it", "half again"}, &server{free: make([]time.Duration, 20), mean: 50 * time.Millisecond, sheds: 50 * time.Millisecond}, []phase{half, twice, half},
			[][2]float64{within(48, 52), within(97, 103), within(45, 52)},
			[][2]float64{within(48, 52), within(97, 103), within(45, 52)}},
		{"four of five workers lost", []string{"50 workers", "40 of them are lost", "for 15 s more"}, workers(50, 50*time.Millisecond), []phase{{5 * s, 0.9, nil}, loses, {15 * s, 0.9, nil}},
			[][2]float64{within(85, 92), within(0, 5), within(0, 1)},
			[][2]float64{within(80, 92), within(16, 21), within(18, 21)}},
		{"a server that is slow by itself", []string{"400 workers", "answers take four times as long by themselves", "for 10 s more"}, workers(400, 50*time.Millisecond), []phase{{10 * s, 0.1, nil}, {5 * s, 0.1, slower(4)}, {10 * s, 0.1, nil}},
			[][2]float64{within(9, 11), within(7, 11), within(7, 11)},
			[][2]float64{within(9, 11), within(3, 11), within(7, 11)}},
		{"an outage", []string{"", "an outage", "after it", ""}, workers(20, 50*time.Millisecond), []phase{{5 * s, 0.8, nil}, {5 * s, 0.8, broken(true)}, {5 * s, 0.8, broken(false)}, {5 * s, 0.8, nil}},
			[][2]float64{within(75, 85), within(0, 1), within(75, 85), within(75, 85)},
			[][2]float64{within(75, 85), within(0, 1), within(60, 85), within(75, 85)}},
	} {
		rows := make([][]string, len(c.phases))
		for way, want := range [][][2]float64{c.without, c.with} {
			limit, name := mesh.Limit{}, "no limit"
			if way == 1 {
				limit, name = mesh.Limit{Adaptive: mesh.Adaptive{Max: 500}}, "adaptive"
			}
			srv := *c.srv
			srv.free = slices.Clone(c.srv.free)
			can := srv.can()
			for i, p := range crowd(t, mesh.Config{Limit: limit}, &srv, 500*time.Millisecond, c.phases...) {
				offered, _ := p.all()
				got := 100 * p.goodput(can)
				if way == 0 {
					rows[i] = []string{c.told[i], fmt.Sprintf("%.0f %%", 100*float64(offered)/p.seconds/can)}
				}
				if rows[i] = append(rows[i], fmt.Sprintf("%.0f %%", got), p.p99()); way == 1 {
					rows[i] = append(rows[i], fmt.Sprint(p.limit.Limit))
				}
				if got < want[i][0] || got > want[i][1] {
					t.Errorf("%s, %s, phase %d: goodput %.1f %%, want %v", c.name, name, i, got, want[i])
				}
			}
		}
		for _, row := range rows {
			if row[0] != "" {
				figures.add(row...)
			}
		}
	}
	figures.published(t)
}

// A quarter of the calls is of each priority, and in all there are 1.6 times as
// many as the server can answer.
func TestPrioritiesUnderOverload(t *testing.T) {
	var figures table
	figures.add("limit", "low", "normal", "high", "critical", "goodput")
	for _, c := range []struct {
		name  string
		limit mesh.Limit
		want  [4][2]float64 // percent of the calls that are good, the lowest first
	}{
		{"`concurrent: 25`", mesh.Limit{Concurrent: 25, Queue: 50}, [4][2]float64{{10, 25}, {30, 50}, {95, 100}, {98, 100}}},
		{"`adaptive: { max: 500 }`", mesh.Limit{Adaptive: mesh.Adaptive{Max: 500}, Queue: 50}, [4][2]float64{{10, 25}, {30, 50}, {95, 100}, {98, 100}}},
	} {
		srv := workers(20, 50*time.Millisecond)
		p := crowd(t, mesh.Config{Limit: c.limit}, srv, 500*time.Millisecond, phase{5 * time.Second, 0.5, nil}, phase{30 * time.Second, 1.6, nil})[1]
		row := []string{c.name}
		for i := range p.good {
			got := 100 * float64(p.good[i]) / float64(p.offered[i])
			row = append(row, fmt.Sprintf("%.0f %%", got))
			if got < c.want[i][0] || got > c.want[i][1] {
				t.Errorf("%s: %.1f %% of the %v calls were good, want %v", c.name, got, mesh.PriorityLow+mesh.Priority(i), c.want[i])
			}
		}
		figures.add(append(row, fmt.Sprintf("%.0f %%", 100*p.goodput(srv.can())))...)
		if p.goodput(srv.can()) < 0.97 {
			t.Errorf("%s: goodput %.2f", c.name, p.goodput(srv.can()))
		}
	}
	figures.published(t)
}
