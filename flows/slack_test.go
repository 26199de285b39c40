package flows_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// composed has a service that is quick, most of the time, and others that take
// 100ms and 20ms.
const composed = `
flow: page
trigger: { http: GET /, deadline: 10s }
steps:
  - compose: { MEMBERS }
  - return: 1
---
flow: alone
steps:
  - { id: a, call: GET quick / }
  - return: $(a)
---
services:
  quick: { endpoints: ["http://quick-1", "http://quick-2"], HEDGE }
  slow: { endpoints: ["http://slow"] }
  middle: { endpoints: ["http://middle"] }
`

// Only what others wait for is worth a second request. Of 1,000 answers of the
// quick service 960 come within 10ms, 36 take 60ms, and 4 take a second. Where two
// in a row are slow, as 2 of 1,000 are, a hedge does not help.
func TestOnlyTheCriticalPathHedges(t *testing.T) {
	const (
		ms    = time.Millisecond
		hedge = "hedge: { extra: 10%, quantile: 95% }"
		slow  = "slow: { call: GET slow / }, "
		runs  = 2500
	)
	for _, c := range []struct {
		name, members, hedge string
		least, most          int64         // hedges of 1,000
		p999                 time.Duration // of the compose
	}{
		{"no hedges", slow + "a: { call: GET quick / }", "", 0, 0, 1000 * ms},
		{"nothing is known of what the flow waits for", slow + "a: { run: alone }", hedge, 25, 45, 100 * ms},
		{"a member with slack", slow + "a: { call: GET quick / }", hedge, 1, 6, 100 * ms},
		{"a member that others wait for", slow + "a: { call: GET quick / }, b: { call: GET slow /, query: { a: $(a) } }", hedge, 25, 45, 160 * ms},
		{"a member that one of them waits for, and has time", slow + "a: { call: GET quick / }, b: { call: GET middle /, query: { a: $(a) } }", hedge, 1, 6, 100 * ms},
		{"a member that waits", "s: { call: GET slow / }, a: { call: GET quick /, query: { s: $(s) } }", hedge, 25, 45, 160 * ms},
		{"steps in a member", slow + "a: { try: [{ call: GET quick / }] }", hedge, 1, 6, 100 * ms},
		{"rounds in a member", slow + "a: { each: \"x in [1]\", steps: [{ call: GET quick / }] }", hedge, 1, 6, 100 * ms},
		{"a compose in a member", slow + "a: { compose: { b: { call: GET quick / } } }", hedge, 1, 6, 100 * ms},
		{"a compose in a member that is the longest", slow + "a: { compose: { b: { call: GET quick / }, c: { call: GET slow /, query: { b: $(b) } } } }", hedge, 25, 45, 160 * ms},
		{"what runs at the same time is as quick", "s: { call: GET quick /other }, a: { call: GET quick / }", hedge, 50, 90, 60 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				random := rand.New(rand.NewPCG(7, 11))
				quick := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					n := random.IntN(1000)
					mu.Unlock()
					switch {
					case n < 4:
						work(r, time.Second)
					case n < 40:
						work(r, 60*ms)
					default:
						work(r, 10*ms)
					}
				})
				steady := func(d time.Duration) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { work(r, d) })
				}
				w := flowtest.Serve(t, strings.NewReplacer("MEMBERS", c.members, ", HEDGE", strings.TrimRight(", "+c.hedge, ", ")).Replace(composed), flowtest.Backends{
					"quick-1": quick, "quick-2": quick, "slow": steady(100 * ms), "middle": steady(20 * ms)})
				var took []time.Duration
				for range runs {
					began := time.Now()
					if a := w.Get("/"); a.Status != 200 {
						t.Fatal(a)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				p999 := took[runs-1-runs/1000]
				stats := statsOf(t, w, "quick")
				hedges := stats.Hedges * 1000 / runs
				t.Logf("%3d hedges and %3d spared of 1,000, p99.9 %v", hedges, stats.HedgesSpared*1000/runs, p999.Round(ms))
				if hedges < c.least || hedges > c.most || p999 > c.p999+5*ms {
					t.Errorf("want %d to %d hedges, p99.9 of at most %v", c.least, c.most, c.p999)
				}
				synctest.Wait()
			})
		})
	}
}
