package engine

import (
	"slices"
	"sync/atomic"
	"time"
)

// How much slack a call has that stands in a compose.
//
// A compose takes as long as the longest chain of members that wait for each other:
// its critical path (Kelley and Walker, 1959). A member that is not on it may take
// longer, up to a point, and nothing ends later: that is its slack. To send its call
// a second time because it takes longer than most would be load for nothing.
//
// It is known from the graph, which the compiler has found; from how long each
// member usually takes, which a compose learns if somebody asks for it; and from
// which members have ended, at the moment of the question. The member that asks is
// taken to end now: when then would the others end, and by when has it to be there
// so that they can keep to that? A chain that has taken longer than usual ends now,
// too: nothing is known of it that could give others time. What is not known at all
// takes no time, so that nobody has slack because of it.
//
// A compose in a member of another one has the slack of that member in addition:
// its own end may wait for as long. A call that is not all that its member does
// leaves the member as much time as all of it usually takes, which is too much; it
// cannot tell how much it is.

// durations are moving averages, in ns. They begin at 0, so that little is made of
// what is hardly known. They may lose one of two samples that come at the same time.
type durations []atomic.Int64

const durationWeight = 8 // of an average, to one of what is new

func (d durations) learn(i int, took time.Duration) {
	old := d[i].Load()
	d[i].Store(old + (int64(took)-old)/durationWeight)
}

func (d durations) usual(i int) time.Duration { return time.Duration(d[i].Load()) }

// progress is what a run of a compose keeps for those who ask for their slack.
type progress struct {
	began []time.Time // by member; zero: not yet
	ended []bool
}

// watch has runs of the compose keep their progress.
func (d *Dataflow) watch() {
	if !d.watched {
		d.watched, d.took = true, make(durations, len(d.members))
	}
}

// begin notes that a member begins. It is called by whoever runs it.
func (f *flowing) begin(i int) time.Time {
	now := time.Now()
	f.mu.Lock()
	f.began[i] = now
	f.mu.Unlock()
	return now
}

// slack is that of member i. outer is that of the compose as a whole.
func (f *flowing) slack(i int, now time.Time, outer time.Duration) time.Duration {
	d := f.d
	f.mu.Lock()
	defer f.mu.Unlock()
	ends := make([]time.Duration, 2*len(d.members)) // from now
	ends, latest := ends[:len(d.members)], ends[len(d.members):]
	end := outer
	for _, j := range d.order {
		switch {
		case j == i || f.ended[j]:
		case !f.began[j].IsZero():
			ends[j] = max(0, d.took.usual(j)-now.Sub(f.began[j]))
		default:
			for _, before := range d.members[j].readers {
				ends[j] = max(ends[j], ends[before])
			}
			ends[j] += d.took.usual(j)
		}
		end = max(end, ends[j])
	}
	for _, j := range slices.Backward(d.order) {
		latest[j] = end
		for _, next := range d.members[j].feeds {
			latest[j] = min(latest[j], latest[next]-d.took.usual(next))
		}
	}
	return max(0, latest[i])
}

// inOrder are the members so that each comes behind those that it waits for; fewer
// than all if they wait for each other.
func (d *Dataflow) inOrder() []int {
	order := slices.Clone(d.ready)
	waits := make([]int, len(d.members))
	for next := 0; next < len(order); next++ {
		for _, j := range d.members[order[next]].feeds {
			if waits[j]++; waits[j] == d.members[j].needs {
				order = append(order, j)
			}
		}
	}
	return order
}

// membership is a member of a compose that is being compiled.
type membership struct {
	d     *Dataflow
	of    Local[*flowing]
	index int
	name  *name
	outer *membership
	whole bool // the compose is all that the member of outer does
}

// seat is the place of a call in a run of a compose.
type seat struct {
	of    LocalView[*flowing]
	index int
	whole bool // the call is all that the member does
}

// seats are those of the step at hand, whose composes keep their progress from now
// on.
func (c *Compiler) seats() (all []seat) {
	whole := c.member != nil && c.slot.name == c.member.name
	for m := c.member; m != nil; m = m.outer {
		m.d.watch()
		all = append(all, seat{m.of.From(c), m.index, whole})
		whole = m.whole
	}
	return all
}

func (s *seat) slack(x *Exchange, now time.Time, outer time.Duration) time.Duration {
	f := s.of.In(x)
	if f == nil {
		return 0
	}
	slack := f.slack(s.index, now, outer)
	if !s.whole {
		slack = max(0, slack-f.d.took.usual(s.index))
	}
	return slack
}
