package gateway

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/gateway/usage"
)

// Limited are the requests that limits have refused in the last minute or two, or
// would have if they were not there to look only, and whose they were. Memory is
// bounded by the number of limits and of callers for each, whatever callers do.
// It is safe for concurrent use.
type Limited struct {
	mu          sync.Mutex
	now, before map[limitPlace]*limitCount
	since       time.Time // of now; before is of the minute before
}

const (
	mostLimits    = 1000 // what comes later in a minute is counted for no route
	limitedPeriod = time.Minute
)

// limitPlace is what refusals are counted by.
type limitPlace struct{ gateway, flow, limit string }

type limitCount struct {
	requests int64
	last     time.Time
	callers  usage.Top
}

// LimitedBy is what one limit has refused.
type LimitedBy struct {
	Gateway  string          `json:"gateway"`
	Flow     string          `json:"flow,omitempty"`
	Limit    string          `json:"limit"` // as Request.Limited has it
	Requests int64           `json:"requests"`
	Last     time.Time       `json:"last"`
	Callers  []LimitedCaller `json:"callers"` // those with most requests first
}

// LimitedCaller is one of those that a limit has refused most.
type LimitedCaller struct {
	Caller   string `json:"caller"`
	Requests int64  `json:"requests"`
	Over     int64  `json:"over,omitempty"` // by how much Requests may be too large
}

// add counts a request that was limited. A nil Limited counts none.
func (l *Limited) add(gateway string, q *Request, now time.Time) {
	if l == nil {
		return
	}
	place := limitPlace{gateway: gateway, limit: q.Limited}
	if q.Route != nil {
		place.flow = q.Route.Name
	}
	who := q.limitedAs
	if who == "" {
		if who = q.input.Remote; q.input.Consumer != nil {
			who = q.input.Consumer.Name
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	c := l.now[place]
	if c == nil && len(l.now) >= mostLimits {
		place.flow = ""
		c = l.now[place]
	}
	if c == nil {
		c = new(limitCount)
		l.now[place] = c
	}
	c.requests++
	c.last = now
	c.callers.Add(who)
}

// turn begins another period when the last is over. l.mu is held.
func (l *Limited) turn(now time.Time) {
	switch age := now.Sub(l.since); {
	case l.now == nil || age >= 2*limitedPeriod:
		l.before, l.now, l.since = nil, map[limitPlace]*limitCount{}, now
	case age >= limitedPeriod:
		l.before, l.now, l.since = l.now, map[limitPlace]*limitCount{}, l.since.Add(limitedPeriod)
	}
}

// All gives what was refused, by the limits that refused most first.
func (l *Limited) All(now time.Time) []LimitedBy {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	sum := map[limitPlace]*limitCount{}
	for _, period := range []map[limitPlace]*limitCount{l.before, l.now} {
		for place, c := range period {
			all := sum[place]
			if all == nil {
				all = new(limitCount)
				sum[place] = all
			}
			all.requests, all.last = all.requests+c.requests, c.last
			all.callers.Merge(&c.callers)
		}
	}
	out := make([]LimitedBy, 0, len(sum))
	for place, c := range sum {
		one := LimitedBy{Gateway: place.gateway, Flow: place.flow, Limit: place.limit, Requests: c.requests, Last: c.last.UTC()}
		for _, caller := range c.callers.Of {
			one.Callers = append(one.Callers, LimitedCaller{caller.Name, caller.Count, caller.Over})
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b LimitedBy) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Flow, b.Flow), cmp.Compare(a.Limit, b.Limit))
	})
	return out
}
