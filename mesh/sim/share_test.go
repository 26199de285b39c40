package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/mesh"
	"github.com/weir-run/weir/mesh/discovery"
)

// Of 10,000 calls each version gets what its weight says, though a tenth of the
// attempts fail and are repeated.
func TestVersionsGetTheirShares(t *testing.T) {
	t.Parallel()
	failing := func(_ time.Duration, r *rand.Rand) (time.Duration, int) {
		took, status := usual(0, r)
		if r.Float64() < 0.1 {
			status = 503
		}
		return took, status
	}
	var figures table
	figures.add("weights", "calls of each version, of 10,000")
	for _, weights := range [][]int{{90, 10}, {99, 1}, {1, 1, 1}, {50, 30, 15, 5}} {
		const calls = 10_000
		cfg := mesh.Config{Retry: mesh.Retry{Attempts: 3, On: []string{"503"}}}
		total := 0
		var backends []backend
		for i, w := range weights {
			cfg.Versions = append(cfg.Versions, mesh.Version{Name: fmt.Sprint("v", i+1), Endpoints: []string{at(2 * i), at(2*i + 1)}, Weight: w})
			total += w
			backends = append(backends, failing, failing)
		}
		res := run(t, cfg, load{rate: 1000, time: time.Hour, most: calls, seed: 4}, backends...)
		var written, got []string
		for i, v := range res.stats.Versions {
			share := float64(weights[i]) / float64(total)
			written, got = append(written, fmt.Sprint(weights[i])), append(got, fmt.Sprint(v.Calls))
			if off := math.Abs(float64(v.Calls)/calls - share); off > 0.01*share {
				t.Errorf("%v: version %d got %d of %d calls", weights, i+1, v.Calls, calls)
			}
		}
		figures.add(strings.Join(written, " : "), strings.Join(got, ", "))
	}
	figures.published(t)
}

// leaving is a source of n endpoints, of which the first leaves after a while.
type leaving struct {
	n     int
	after time.Duration
}

func (s leaving) Watch(ctx context.Context, found func([]discovery.Target), _ func(error)) {
	var all []discovery.Target
	for i := range s.n {
		all = append(all, discovery.Target{URL: at(i)})
	}
	found(all)
	select {
	case <-time.After(s.after):
		found(all[1:])
	case <-ctx.Done():
	}
	<-ctx.Done()
}

// How many users go to another endpoint than before, when one of eleven leaves.
func TestHashingMovesFewUsers(t *testing.T) {
	t.Parallel()
	const users = 5000
	var figures table
	figures.add("`balance`", "users that move", "of those of the endpoint that left, if all had the same share")
	for _, balance := range []string{"round_robin", "ring_hash", "maglev"} {
		var before, after [users]string
		l := load{rate: 1000, time: 20 * time.Second, seed: 6}
		l.header = func(n int) http.Header { return http.Header{"X-User": {fmt.Sprint("user", n%users)}} }
		l.went = func(n int, endpoint string) {
			if n < 9_000 {
				before[n%users] = endpoint
			} else if n > 12_000 {
				after[n%users] = endpoint
			}
		}
		cfg := mesh.Config{Balance: balance, Discovery: mesh.Discovery{Sources: []discovery.Source{leaving{11, 10 * time.Second}}}}
		if balance != "round_robin" {
			cfg.Hash.Header = "X-User"
		}
		run(t, cfg, l, eleven(usual)...)
		moved := 0
		for i := range users {
			if before[i] == "" || after[i] == "" {
				t.Fatalf("user %d did not call", i)
			}
			if before[i] != after[i] {
				moved++
			}
		}
		ideal := float64(moved) * 11 / users
		figures.add("`"+balance+"`", fmt.Sprintf("%.1f %%", 100*float64(moved)/users), fmt.Sprintf("%.2f", ideal))
		if balance != "round_robin" && ideal > 1.3 {
			t.Errorf("%s: %.2f of the ideal share moves", balance, ideal)
		}
	}
	figures.published(t)
}
