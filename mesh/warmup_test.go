package mesh

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/mesh/discovery"
)

func at(urls ...string) (all []discovery.Target) {
	for _, u := range urls {
		all = append(all, discovery.Target{URL: u})
	}
	return all
}

// part is the share of picks that endpoint i of s gets.
func part(t *testing.T, s *Service, i int) float64 {
	t.Helper()
	const picks = 10_000
	n := 0
	for range picks {
		var tried tried
		p, err := tried.pick(s, newRequest(t, "GET", "/", nil), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if p.endpoint.index == i {
			n++
		}
		p.leave.end(OK, 0)
	}
	return float64(n) / picks
}

// near allows for balancers that keep in mind who was passed over.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	const off = 0.04
	if got < want-off || got > want+off {
		t.Errorf("%s: %.3f of the picks, want %.3f", what, got, want)
	}
}

func TestAnEndpointThatIsNewGetsItsShareByAndBy(t *testing.T) {
	for _, balance := range []string{balanceRoundRobin, balanceRandom, balanceWeighted} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Balance: balance, Transport: &fake{},
				SlowStart: 20 * time.Second, Random: rand.NewPCG(1, 2).Uint64})
			near(t, balance+": those of the beginning", part(t, s, 1), 0.5)
			s.update(at("http://a", "http://b", "http://c"))
			near(t, balance+": at once", part(t, s, 2), 0.1/3)
			time.Sleep(10 * time.Second)
			near(t, balance+": after half the time", part(t, s, 2), 0.5/3)
			s.update(at("http://a", "http://b", "http://c"))
			near(t, balance+": after an update that changes nothing", part(t, s, 2), 0.5/3)
			time.Sleep(10 * time.Second)
			near(t, balance+": after the time", part(t, s, 2), 1.0/3)
		})
	}
}

func TestAnEndpointWhoseBreakerClosedStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a", "http://b"}, Balance: balanceRoundRobin, Transport: &fake{},
			SlowStart: 20 * time.Second, Breaker: Breaker{Failures: 1}, Random: rand.NewPCG(1, 2).Uint64})
		b := s.set.Load().endpoints[1].breaker
		leave, _ := b.acquire()
		leave.record(true, 0)
		time.Sleep(defaultBreakerOpen)
		leave, _ = b.acquire()
		leave.record(false, 0)
		near(t, "back", part(t, s, 1), 0.05)
		time.Sleep(20 * time.Second)
		near(t, "warm", part(t, s, 1), 0.5)
	})
}

// There is nobody else to take what a cold endpoint passes on.
func TestAColdEndpointThatIsAloneTakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Endpoints: []string{"http://a"}, Transport: &fake{}, SlowStart: time.Minute})
		s.update(at("http://b"))
		near(t, "alone", part(t, s, 0), 1)
	})
}
