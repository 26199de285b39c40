package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
)

// What three retries make of the load, if a share of all attempts fails, with the
// usual pauses between them. The budget is 20 %, and 10 retries a second.
func TestRetryLoad(t *testing.T) {
	t.Parallel()
	var figures table
	figures.add("of the attempts fail", "load without a budget", "calls that succeed", "load with the budget", "in the worst ten seconds", "calls that succeed")
	for _, c := range []struct {
		fails   float64
		without float64 // the load that there has to be
	}{{0.1, 1.11}, {0.5, 1.875}, {1, 4}} {
		failing := func(_ time.Duration, r *rand.Rand) (time.Duration, int) {
			took, status := usual(0, r)
			if r.Float64() < c.fails {
				status = 503
			}
			return took, status
		}
		// Calls and attempts are counted by the second in which they begin.
		const seconds = 30
		measure := func(budget, perSecond float64) (times, worst, success float64) {
			var calls, attempts [seconds + 2]int
			counting := func(at time.Duration, r *rand.Rand) (time.Duration, int) {
				attempts[min(int(at/time.Second), seconds+1)]++
				return failing(at, r)
			}
			l := load{rate: 1000, time: seconds * time.Second, seed: 3}
			l.begins = func(at time.Duration) { calls[int(at/time.Second)]++ }
			cfg := mesh.Config{Retry: mesh.Retry{Attempts: 4, On: []string{"503"}, Budget: budget, MinPerSecond: perSecond}}
			res := run(t, cfg, l, counting, counting, counting)
			for from := 0; from+10 <= seconds; from++ {
				c, a := 0, 0
				for i := from; i < from+10; i++ {
					c, a = c+calls[i], a+attempts[i]
				}
				worst = max(worst, float64(a)/float64(c))
			}
			return float64(res.attempts()) / float64(res.requests), worst, res.success()
		}
		times, _, success := measure(1, 1_000_000)
		bounded, worst, kept := measure(0, 0)
		figures.add(fmt.Sprintf("%.0f %%", 100*c.fails), fmt.Sprintf("%.2f", times), fmt.Sprintf("%.1f %%", success),
			fmt.Sprintf("%.2f", bounded), fmt.Sprintf("%.2f", worst), fmt.Sprintf("%.1f %%", kept))
		if times < c.without-0.02 || times > c.without+0.02 {
			t.Errorf("if %v of the attempts fail, the load without a budget is %.3f, not %.3f", c.fails, times, c.without)
		}
		if bounded > 1.25 || worst > 1.25 {
			t.Errorf("if %v of the attempts fail, the load is %.3f, and %.3f at worst", c.fails, bounded, worst)
		}
	}
	figures.published(t)
}

// One answer in two hundred takes a second, where the others take ten
// milliseconds (the shape of Dean and Barroso, "The Tail at Scale", 2013, who saw
// 1,800 ms come to 74 ms for 2 % more requests).
func TestHedgingCutsTheTail(t *testing.T) {
	t.Parallel()
	tailed := func(_ time.Duration, r *rand.Rand) (time.Duration, int) {
		d := 8*time.Millisecond + time.Duration(r.ExpFloat64()*float64(2*time.Millisecond))
		if r.Float64() < 0.005 {
			d = time.Second
		}
		return d, 200
	}
	var figures table
	figures.add("`hedge`", "p50", "p99", "p99.9", "requests for 100 calls")
	measure := func(name string, h mesh.Hedge) (tail time.Duration, more float64) {
		res := run(t, mesh.Config{Hedge: h}, load{rate: 1000, time: time.Minute, seed: 5}, tailed, tailed, tailed)
		more = float64(res.attempts())/float64(res.requests) - 1
		row := []string{name}
		for _, q := range []float64{0.5, 0.99, 0.999} {
			row = append(row, fmt.Sprint(res.quantile(q).Round(100*time.Microsecond)))
		}
		figures.add(append(row, fmt.Sprintf("%.1f", 100*(1+more)))...)
		return res.quantile(0.999), more
	}
	without, _ := measure("none", mesh.Hedge{})
	with, more := measure("`extra: 1%`", mesh.Hedge{Extra: 0.01})
	if with > without/5 || more > 0.02 {
		t.Errorf("p99.9 of %v came to %v, for %.2f %% more requests", without, with, 100*more)
	}
	figures.published(t)
}
