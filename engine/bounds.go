package engine

import (
	"slices"
	"time"
)

// Bound is the worst that steps can come to: every attempt fails as late as it
// can, every condition is true, of several cases the one that costs most is
// taken.
type Bound struct {
	Time     time.Duration       // with one round of each loop whose rounds nobody can count
	Open     bool                // there is more than Time: such loops, or something without a bound
	Requests map[string]Requests // by the name of the service
}

// Requests is how many requests a service can get.
type Requests struct {
	N    int
	Each int // more for each round of loops whose rounds nobody can count
}

// Bounds computes Bounds of compiled flows. It is not safe for concurrent use.
type Bounds struct{ flows map[*Flow]Bound }

// What is larger is as good as without a bound, and sums of it do not overflow.
const (
	longest      = 100 * 365 * 24 * time.Hour
	mostRequests = 1_000_000_000
)

// Flow is the bound of all steps of a flow, without its deadline.
func (b *Bounds) Flow(f *Flow) Bound {
	if known, ok := b.flows[f]; ok {
		return known
	}
	if b.flows == nil {
		b.flows = map[*Flow]Bound{}
	}
	b.flows[f] = Bound{} // flows that run themselves have been reported
	if plan := f.Plan(); plan != nil {
		b.flows[f] = b.Steps(plan.Steps)
	}
	return b.flows[f]
}

// Steps is the bound of steps that run in order.
func (b *Bounds) Steps(steps []*PlanStep) (sum Bound) {
	for _, p := range steps {
		sum = sum.then(b.Step(p))
	}
	return sum
}

// Step is the bound of a step with its modifiers.
func (b *Bounds) Step(p *PlanStep) Bound {
	x := b.Attempts(p)
	for _, body := range p.Bodies {
		if body.Part == PartSteps {
			continue
		}
		more := b.Steps(body.Steps)
		if body.Within > 0 {
			more.Time, more.Open = min(more.Time, body.Within), false
		}
		if body.Part == PartUndo || body.Part == PartTap {
			more.Time, more.Open = 0, false // they have time of their own
		}
		x = x.then(more)
	}
	return x
}

// Attempts is the bound of all attempts of a step, before a failure is handled.
func (b *Bounds) Attempts(p *PlanStep) Bound {
	x := b.verb(p)
	if p.Retry != nil {
		x = x.times(p.Retry.Attempts)
		x.Time = min(x.Time+p.Retry.Pauses, longest)
	}
	if p.Timeout > 0 {
		if x.Open {
			x.Time = p.Timeout
		}
		x.Time, x.Open = min(x.Time, p.Timeout), false
	}
	return x
}

func (b *Bounds) verb(p *PlanStep) Bound {
	x := Bound{Time: p.Wait, Open: p.Waiting}
	if c := p.Call; c != nil {
		x.Time, x.Open = c.Time, c.Time == 0 || c.Streams
		x.Requests = map[string]Requests{c.Service: {N: c.Requests}}
	}
	if p.Runs != nil {
		x = x.then(b.Flow(p.Runs))
	}
	var inner Bound
	for _, body := range p.Bodies {
		if body.Part != PartSteps {
			continue
		}
		switch p.Order {
		case ByData:
			inner = inner.then(b.flowing(body.Steps))
		case Race:
			inner = inner.beside(b.Steps(body.Steps))
		case OneOf:
			inner = inner.or(b.Steps(body.Steps))
		default:
			inner = inner.then(b.Steps(body.Steps))
		}
	}
	if p.Order == Rounds {
		inner = inner.rounds(p.Rounds)
	}
	return x.then(inner)
}

// flowing is the bound of the members of a compose: that of the longest chain.
func (b *Bounds) flowing(members []*PlanStep) (all Bound) {
	ends, _ := b.ends(members)
	for _, p := range members {
		own := b.Step(p)
		own.Time = ends[p.Name]
		all = all.beside(own)
	}
	return all
}

// ends gives the time at which each member of a compose has ended, and which of
// those it waits for ended last.
func (b *Bounds) ends(members []*PlanStep) (ends map[string]time.Duration, after map[string]*PlanStep) {
	ends, after = map[string]time.Duration{}, map[string]*PlanStep{}
	var end func(p *PlanStep) time.Duration
	end = func(p *PlanStep) time.Duration {
		if at, known := ends[p.Name]; known {
			return at
		}
		ends[p.Name] = 0 // a circle has been reported
		var begin time.Duration
		for _, other := range members {
			if slices.Contains(p.Waits, other.Name) {
				if at := end(other); after[p.Name] == nil || at > begin {
					begin, after[p.Name] = at, other
				}
			}
		}
		ends[p.Name] = min(begin+b.Step(p).Time, longest)
		return ends[p.Name]
	}
	for _, p := range members {
		end(p)
	}
	return ends, after
}

// Critical is the chain of steps that takes longest: of a compose those members
// that the others wait for.
func (b *Bounds) Critical(steps []*PlanStep) (path []*PlanStep) {
	for _, p := range steps {
		if p.Order != ByData || p.Timeout > 0 || p.Retry != nil {
			path = append(path, p)
			continue
		}
		for _, body := range p.Bodies {
			if body.Part != PartSteps {
				continue
			}
			ends, after := b.ends(body.Steps)
			var last *PlanStep
			for _, member := range body.Steps {
				if last == nil || ends[member.Name] > ends[last.Name] {
					last = member
				}
			}
			at := len(path)
			for ; last != nil; last = after[last.Name] {
				path = slices.Insert(path, at, last)
			}
		}
	}
	return path
}

// then is the bound of one after the other.
func (x Bound) then(y Bound) Bound {
	return Bound{min(x.Time+y.Time, longest), x.Open || y.Open, merged(x.Requests, y.Requests, func(m, n int) int { return m + n })}
}

// beside is the bound of both at the same time.
func (x Bound) beside(y Bound) Bound {
	time := max(x.Time, y.Time)
	x = x.then(y)
	x.Time = time
	return x
}

// or is the bound of one of both.
func (x Bound) or(y Bound) Bound {
	return Bound{max(x.Time, y.Time), x.Open || y.Open, merged(x.Requests, y.Requests, func(m, n int) int { return max(m, n) })}
}

// times is the bound of n in a row.
func (x Bound) times(n int) Bound {
	x.Time = min(x.Time, longest/time.Duration(n)) * time.Duration(n)
	x.Requests = merged(x.Requests, nil, func(m, _ int) int { return min(m, mostRequests/n) * n })
	return x
}

// rounds is the bound of a loop; of one round, if nobody knows how many there
// are.
func (x Bound) rounds(n int) Bound {
	if n > 0 {
		return x.times(n)
	}
	x.Open = true
	each := map[string]Requests{}
	for name, r := range x.Requests {
		each[name] = Requests{Each: min(r.N+r.Each, mostRequests)}
	}
	x.Requests = each
	return x
}

func merged(x, y map[string]Requests, fn func(m, n int) int) map[string]Requests {
	all := map[string]Requests{}
	for _, names := range []map[string]Requests{x, y} {
		for name := range names {
			all[name] = Requests{min(fn(x[name].N, y[name].N), mostRequests), min(fn(x[name].Each, y[name].Each), mostRequests)}
		}
	}
	return all
}
