package policies

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/gateway"
	"github.com/weir-run/weir/lookout"
	"github.com/weir-run/weir/queue"
)

type shedConfig struct {
	Delay dsl.Duration `yaml:"delay" doc:"How long what could go on may wait for a processor. When a tenth of it waits longer, there is too much to do." default:"10ms" min:"1ms" max:"10s"`
	Floor dsl.Percent  `yaml:"floor" doc:"The share of requests that is let in whatever happens, the most important first: what keeps the process busy may be something else." default:"10%" min:"1%" max:"100%"`
	priorityConfig
	Shadow bool `yaml:"shadow" doc:"Whether it only counts: nobody is refused. As requests go on to come in, the metric of refusals shows more than would be." default:"false"`
}

// Shed is the Kind of the policy shed.
var Shed = Kind{
	Why: "who calls is known, which may decide who is let in; and what is refused has cost nothing else, nor counted anywhere",
	Kind: dsl.Define("shed", "Refuses requests with status 503 while the process has more to do than it can, the least important first, so that the others are answered as soon as ever. "+
		"It goes by how long work waits for a processor: that a backend is slow is no reason, and its own limits are for that.",
		func(c *Compiler, _ *dsl.Node, cfg *shedConfig) gateway.Middleware {
			p := &shed{ranking: c.ranking(cfg.priorityConfig), shadow: cfg.Shadow}
			delay, floor := time.Duration(cfg.Delay), float64(cfg.Floor)
			text := fmt.Sprintf("when work waits for longer than %s", cfg.Delay)
			if cfg.Shadow {
				text += "; refuses nothing"
			}
			c.Describe(text)
			p.sluice = Keep(c, func() *sluice { return openSluice(delay, floor, new(schedulerWaits).recent) })
			return p.wrap
		},
		dsl.Example{Name: "by the priority of the routes", YAML: "delay: 20ms"},
		dsl.Example{Name: "reports go first, in both senses", YAML: "priority: '$(request.path startsWith \"/reports/\" ? \"low\" : \"normal\")'"}),
}

type shed struct {
	ranking ranking
	shadow  bool
	sluice  *engine.Kept[*sluice]
}

func (p *shed) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if !p.sluice.It().admits(p.ranking.of(ctx, gateway.FromContext(ctx))) && !p.shadow {
			gateway.Refuse(w, r, "shed", gateway.Problem{Status: http.StatusServiceUnavailable, Code: gateway.CodeOverloaded, Detail: "There is too much to do at the moment."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sluice lets in as many requests as the process can do, the most important
// first.
//
// What it goes by is how long goroutines that could run wait for a processor. It
// says of this process, and nothing else, whether it has too much to do, however
// different its requests are: how long answers take would say so of services, too,
// of caches, and of who reads slowly; and how busy processors are says nothing of
// what waits for them. In each window in which a tenth of them waited too long it
// lets in less, in others somewhat more: DAGOR (Zhou et al., "Overload Control for
// Scaling WeChat Microservices", 2018), whose levels of users are chances here, so
// that one level is not all of the load where a few callers are most of it.
//
// How much is one number, open: 4 lets in all ranks, 2.25 the two highest and a
// quarter of the next.
type sluice struct {
	delay time.Duration
	floor float64
	waits func() time.Duration // that a tenth has waited longer for, since it was last called

	open    atomic.Uint64 // bits of a float64
	looked  lookout.Lookout
	came    [queue.Ranks]atomic.Int64
	refused [queue.Ranks]atomic.Int64
	granted atomic.Int64
	last    atomic.Int64 // of waits

	adjusted, blind time.Time // of whoever looks
}

const (
	// sluiceWindow is long enough for a few thousand goroutines, and short
	// enough for nobody to have given up in it.
	sluiceWindow = 100 * time.Millisecond
	// sluiceIdle is after what time without requests all are let in.
	sluiceIdle = 2 * time.Second
	// sluiceGrowth is how much more is let in after a good window, as a share of
	// what comes: all of it in some seconds, and never so much that what waits
	// would double within a window.
	sluiceGrowth = 0.02
)

func openSluice(delay time.Duration, floor float64, waits func() time.Duration) *sluice {
	s := &sluice{delay: delay, floor: floor, waits: waits}
	s.open.Store(math.Float64bits(queue.Ranks))
	return s
}

// Close is what engine.Keeper asks for.
func (s *sluice) Close() {}

// Observe is what engine.Observed asks for.
func (s *sluice) Observe(show func(name string, total bool, value int64)) {
	show("granted", true, s.granted.Load())
	for rank, name := range engine.Priorities() {
		show("refused_"+name, true, s.refused[rank].Load())
	}
	show("delay_us", false, time.Duration(s.last.Load()).Microseconds())
	show("open_percent", false, int64(math.Float64frombits(s.open.Load())*100/queue.Ranks))
}

// admits counts a request, and decides about it.
func (s *sluice) admits(rank int) bool {
	s.came[rank].Add(1)
	s.looked.Visit(sluiceWindow, s.adjust)
	share := shareOf(math.Float64frombits(s.open.Load()), rank)
	if share < 1 && (share == 0 || rand.Float64() >= share) {
		s.refused[rank].Add(1)
		return false
	}
	s.granted.Add(1)
	return true
}

// shareOf is how much of a rank is let in.
func shareOf(open float64, rank int) float64 {
	return min(max(open-float64(queue.Ranks-1-rank), 0), 1)
}

// adjust ends a window. Only one does at a time.
func (s *sluice) adjust(now time.Time) {
	open := math.Float64frombits(s.open.Load())
	var came [queue.Ranks]float64
	var all, in float64
	for rank := range came {
		came[rank] = float64(s.came[rank].Swap(0))
		all += came[rank]
		in += came[rank] * shareOf(open, rank)
	}
	waited := s.waits()
	s.last.Store(int64(waited))
	since := now.Sub(s.adjusted)
	s.adjusted = now
	switch {
	case since > sluiceIdle:
		s.open.Store(math.Float64bits(queue.Ranks)) // and what has waited since says nothing
		return
	case now.Before(s.blind) && waited > s.delay:
		return // that is what was let in before
	case waited > s.delay:
		in *= min(max(1-float64(waited)/float64(sluiceWindow), 0.5), 0.95) // what waits is done within a window
		s.blind = now.Add(sluiceWindow + waited)
	case open >= queue.Ranks:
		return
	default:
		in += max(sluiceGrowth*all*(1-float64(waited)/float64(s.delay)), 1)
	}
	s.open.Store(math.Float64bits(opening(max(in, s.floor*all), came)))
}

// opening is how far to open for so many requests, of those that came.
func opening(in float64, came [queue.Ranks]float64) (open float64) {
	for rank := queue.Ranks - 1; rank >= 0; rank-- {
		if in < came[rank] {
			return open + in/came[rank]
		}
		in -= came[rank]
		open++
	}
	return open
}
