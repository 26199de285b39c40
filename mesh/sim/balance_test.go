package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// usual is a reply after 20 ms and an exponential rest: 50 ms on average.
func usual(_ time.Duration, r *rand.Rand) (time.Duration, int) {
	return 20*time.Millisecond + time.Duration(r.ExpFloat64()*float64(30*time.Millisecond)), 200
}

// between is one behavior for a while, and the usual one before and after.
func between(from, to time.Duration, b backend) backend {
	return func(at time.Duration, r *rand.Rand) (time.Duration, int) {
		if at >= from && at < to {
			return b(at, r)
		}
		return usual(at, r)
	}
}

// eleven are ten usual ones after the first.
func eleven(first backend) []backend {
	all := []backend{first}
	for range 10 {
		all = append(all, usual)
	}
	return all
}

// The experiment that Linkerd published in 2016 ("Beyond Round Robin: Load
// Balancing for Latency"): 95 %, 99 % and 99.9 % for the first, third and fourth
// line. The other two columns are of our own: a backend that fails in a
// millisecond, which counting requests under way finds attractive.
func TestOneOfElevenBackends(t *testing.T) {
	t.Parallel()
	minute := load{rate: 1000, time: time.Minute, seed: 1}
	slow := between(15*time.Second, 45*time.Second, func(time.Duration, *rand.Rand) (time.Duration, int) { return 2 * time.Second, 200 })
	failing := between(15*time.Second, 45*time.Second, func(time.Duration, *rand.Rand) (time.Duration, int) { return time.Millisecond, 503 })
	var figures table
	figures.add("`balance`", "one is slow: success", "sent to it", "p99", "one fails fast: success", "sent to it", "p99")
	for _, c := range []struct {
		balance       string
		ejection      mesh.Ejection
		slow, failing float64 // the least success, in percent
	}{
		{"round_robin", mesh.Ejection{}, 95.2, 95.2},
		{"random", mesh.Ejection{}, 95.2, 95.2},
		{"least_request", mesh.Ejection{}, 99.4, 80},
		{"peak_ewma", mesh.Ejection{}, 99.9, 99.9},
		{"peak_ewma", mesh.Ejection{Failures: 5}, 99.93, 99.93},
		{"least_request", mesh.Ejection{Failures: 5}, 99.9, 99.9},
	} {
		cfg := mesh.Config{Balance: c.balance, Ejection: c.ejection, Timeout: time.Second}
		row := []string{"`" + c.balance + "`"}
		if c.ejection.Failures > 0 {
			row[0] += " with `ejection`"
		}
		for i, first := range []backend{slow, failing} {
			least := []float64{c.slow, c.failing}[i]
			res := run(t, cfg, minute, eleven(first)...)
			row = append(row, fmt.Sprintf("%.2f %%", res.success()), fmt.Sprint(res.seen[0]), fmt.Sprint(res.quantile(0.99).Round(time.Millisecond)))
			if res.success() < least {
				t.Errorf("%s: %.2f %% succeeded, not %.2f %%", row[0], res.success(), least)
			}
		}
		figures.add(row...)
	}
	figures.published(t)
}

func TestTheSameSeedGivesTheSameFigures(t *testing.T) {
	t.Parallel()
	slow := between(time.Second, 3*time.Second, func(time.Duration, *rand.Rand) (time.Duration, int) { return 2 * time.Second, 200 })
	l := load{rate: 1000, time: 4 * time.Second, seed: 7}
	cfg := mesh.Config{Balance: "peak_ewma", Timeout: time.Second}
	one, other := run(t, cfg, l, eleven(slow)...), run(t, cfg, l, eleven(slow)...)
	if fmt.Sprint(one.seen, one.good) != fmt.Sprint(other.seen, other.good) {
		t.Errorf("%v and %v", one.seen, other.seen)
	}
}

// Endpoints that are alike get alike, whatever their replies happen to take.
func TestLoadIsSpread(t *testing.T) {
	t.Parallel()
	var figures table
	figures.add("`balance`", "the farthest endpoint is off its share by")
	for _, c := range []struct {
		balance string
		epsilon float64
	}{
		{"round_robin", 0.001},
		{"weighted", 0.001},
		{"random", 0.05},
		{"least_request", 0.05},
		{"peak_ewma", 0.1},
		{"ring_hash", 0.2},
		{"maglev", 0.05},
	} {
		cfg := mesh.Config{Balance: c.balance, Timeout: time.Second}
		if c.balance == "ring_hash" || c.balance == "maglev" {
			cfg.Hash.Header = "X-User"
		}
		res := run(t, cfg, load{rate: 1000, time: time.Minute, seed: 2, header: func(n int) http.Header {
			return http.Header{"X-User": {fmt.Sprint("user", n)}}
		}}, eleven(usual)...)
		stray := 0.0
		for _, seen := range res.seen {
			stray = max(stray, math.Abs(float64(seen*len(res.seen))/float64(res.requests)-1))
		}
		figures.add("`"+c.balance+"`", fmt.Sprintf("%.1f %%", 100*stray))
		if stray > c.epsilon {
			t.Errorf("%s: one backend is %.3f off its share", c.balance, stray)
		}
	}
	figures.published(t)
}
