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

// backend says how long a request takes that comes at a time since the start,
// and the status of its reply. It draws chance from r alone.
type backend func(at time.Duration, r *rand.Rand) (took time.Duration, status int)

// load is requests that come independently of each other and of their replies.
type load struct {
	rate int // per second, on average
	time time.Duration
	most int // requests; 0 is as many as come in the time
	seed uint64
	// begins is told when each request begins, if it is set.
	begins func(at time.Duration)
	// header is given to the n-th request, if it is set.
	header func(n int) http.Header
	// went is told where the last attempt of the n-th request went, if it is set.
	went func(n int, endpoint string)
}

// result is what came of a load.
type result struct {
	requests, good int
	seen           []int // attempts by backend
	latencies      []time.Duration
	stats          mesh.Stats
}

// attempts is how many requests the backends got.
func (r *result) attempts() (n int) {
	for _, seen := range r.seen {
		n += seen
	}
	return n
}

func (r *result) success() float64 { return 100 * float64(r.good) / float64(r.requests) }

// quantile is a latency of the calls, failed ones included.
func (r *result) quantile(q float64) time.Duration {
	return r.latencies[min(int(q*float64(len(r.latencies))), len(r.latencies)-1)]
}

// host is the name of the n-th backend, and at its endpoint.
func host(n int) string { return fmt.Sprint("backend", n) }
func at(n int) string   { return "http://" + host(n) }

// run calls backends through a service that cfg describes. Transport and Random
// are the simulation's, and so are Endpoints, unless cfg finds them elsewhere.
func run(t *testing.T, cfg mesh.Config, l load, backends ...backend) (res result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := &network{backends: map[string]*place{}, random: newRandom(l.seed, 1), start: time.Now()}
		for i, b := range backends {
			net.backends[host(i)] = &place{serve: b}
			if cfg.Versions == nil && cfg.Discovery.Sources == nil {
				cfg.Endpoints = append(cfg.Endpoints, at(i))
			}
		}
		choices := newRandom(l.seed, 2)
		cfg.Transport, cfg.Random = net, choices.Uint64
		s, err := mesh.Open("simulated", cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()

		var (
			mu       sync.Mutex
			calls    sync.WaitGroup
			arrivals = newRandom(l.seed, 3)
		)
		call := func(n int) {
			req, err := http.NewRequest("GET", "/", nil)
			if err != nil {
				panic(err)
			}
			if l.header != nil {
				req.Header = l.header(n)
			}
			began := time.Now()
			how := mesh.Call{Buffer: true}
			resp, err := s.Do(req, &how)
			mu.Lock()
			defer mu.Unlock()
			if l.went != nil {
				l.went(n, how.Endpoint)
			}
			res.requests++
			if err == nil && resp.StatusCode < 400 {
				res.good++
			}
			res.latencies = append(res.latencies, time.Since(began))
		}
		// No two arrive, or time out, at the same instant, so that the order of
		// events does not depend on which goroutine is first to run.
		for n := 0; ; n++ {
			time.Sleep(time.Duration(arrivals.r.ExpFloat64() * float64(time.Second) / float64(l.rate)))
			if time.Since(net.start) > l.time || l.most > 0 && n == l.most {
				break
			}
			if l.begins != nil {
				l.begins(time.Since(net.start))
			}
			calls.Go(func() { call(n) })
		}
		calls.Wait()
		slices.Sort(res.latencies)
		for i := range backends {
			res.seen = append(res.seen, net.backends[host(i)].seen)
		}
		res.stats = s.Stats()
	})
	return res
}

// network is an http.RoundTripper that leads to backends.
type network struct {
	backends map[string]*place
	start    time.Time
	random   *random
}

type place struct {
	serve backend
	seen  int
}

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	p := n.backends[req.URL.Host]
	n.random.mu.Lock()
	took, status := p.serve(time.Since(n.start), n.random.r)
	p.seen++
	n.random.mu.Unlock()
	t := time.NewTimer(took)
	defer t.Stop()
	select {
	case <-t.C:
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

// random is a seeded source that goroutines share.
type random struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newRandom(seed, stream uint64) *random {
	return &random{r: rand.New(rand.NewPCG(seed, stream))}
}

func (r *random) Uint64() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.Uint64()
}
