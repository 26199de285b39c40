package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/weir-run/weir/dsl"
)

// Gathering lets rounds of one loop that run at the same time do something
// together. A round that waits at a place joins the group there. A group sets
// off when it is full, or when nobody is left who could still join it: when no
// round of the loop runs on and all of them wait, for a group to set off or for
// what one makes. So no timer is needed, and no round waits for longer than the
// others take to come.
//
// The rounds that run are counted by the goroutines that work on them, from the
// start: one that has not begun yet may still come.
type Gathering struct {
	mu      sync.Mutex
	running int // goroutines that are in no group
	groups  map[any]*group
}

// group are the rounds that wait at one place.
type group struct {
	items   []item        // each once; in the order of the rounds when it sets off
	members int           // rounds that are not counted as running
	turn    chan struct{} // who takes the token works for all
	done    chan struct{}

	result any // readable when done is closed
	err    error
}

// item is what a round brings, and the first round that does.
type item struct {
	round int
	text  string
}

// Seat is the place of one round in a Gathering.
type Seat struct {
	*Gathering
	Round int // from 0
}

// Parallel is the function of that name for rounds that gather.
func (g *Gathering) Parallel(ctx context.Context, n, limit int, fn func(ctx context.Context, i int) error) error {
	g.running, g.groups = max(1, min(limit, n)), map[any]*group{}
	return parallel(ctx, n, limit, g.leave, fn)
}

// leave is the end of a goroutine that worked on rounds.
func (g *Gathering) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.settle()
}

// settle sets all groups off if nobody can join them. g.mu is held.
func (g *Gathering) settle() {
	if g.running > 0 {
		return
	}
	for at, gr := range g.groups {
		g.fire(at, gr)
	}
}

// fire sets a group off. g.mu is held.
func (g *Gathering) fire(at any, gr *group) {
	delete(g.groups, at)
	slices.SortFunc(gr.items, func(a, b item) int { return cmp.Compare(a.round, b.round) })
	gr.turn <- struct{}{}
}

// Join adds an item to the group at a place, waits until it sets off, and gives
// what work made of its items, of which there are at most size, in the order of
// the rounds. One round works for all of its group; if it has to give up, because
// its own time is over, another takes its place.
func (s Seat) Join(ctx context.Context, at any, text string, size int, work func(ctx context.Context, items []string) (any, error)) (any, error) {
	g := s.Gathering
	g.mu.Lock()
	gr := g.groups[at]
	if gr == nil {
		gr = &group{turn: make(chan struct{}, 1), done: make(chan struct{})}
		g.groups[at] = gr
	}
	gr.add(item{s.Round, text})
	gr.members++
	g.running--
	if len(gr.items) >= size {
		g.fire(at, gr)
	} else {
		g.settle()
	}
	g.mu.Unlock()
	select {
	case <-gr.turn:
		result, err := work(ctx, gr.texts())
		if err != nil && ctx.Err() != nil {
			g.part(gr, 1)
			gr.turn <- struct{}{}
			return nil, err
		}
		gr.result, gr.err = result, Apart(err)
		g.part(gr, all) // at once: none is to be missed
		close(gr.done)
		return result, err
	case <-gr.done:
		return gr.result, Apart(gr.err)
	case <-ctx.Done():
		g.part(gr, 1)
		return nil, Interrupted(ctx)
	}
}

const all = math.MaxInt

// part has so many members of a group run again. Those of a group that has done
// its work have been told.
func (g *Gathering) part(gr *group, members int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	members = min(members, gr.members)
	gr.members -= members
	g.running += members
}

func (gr *group) add(it item) {
	for i, known := range gr.items {
		if known.text == it.text {
			gr.items[i].round = min(known.round, it.round)
			return
		}
	}
	gr.items = append(gr.items, it)
}

func (gr *group) texts() []string {
	texts := make([]string, len(gr.items))
	for i, it := range gr.items {
		texts[i] = it.text
	}
	return texts
}

// Round is the loop whose rounds the step at hand belongs to, itself and not in
// part: it can end its round, or wait in it for others. If there is none, that
// is reported; verb is what the step does.
func (c *Compiler) Round(at dsl.Span, verb string) *Loop {
	if c.inline == "each" && c.whole == "" && c.loop != nil {
		return c.loop
	}
	d := dsl.Diagnostic{Span: at, Code: "outside-each", Message: verb + " stands in the steps of an each, and there is none around it", Hint: "move it into the steps of an each"}
	if c.whole != "" {
		d.Message = verb + " cannot stand inside " + c.whole
	} else if c.inline != "" && c.loop != nil {
		d.Message = verb + " speaks of a whole round of an each, and so cannot stand inside " + c.inline
	}
	c.Report(d)
	return nil
}

// Gather has the rounds of the loop share a Gathering.
func (l *Loop) Gather() {
	l.gathers = true
}

// Gathers reports whether its rounds share a Gathering.
func (l *Loop) Gathers() bool { return l.gathers }

// Share gives a round its Seat.
func (l *Loop) Share(x *Exchange, s Seat) { l.seat.Set(x, s) }

// Seat is that of a round.
func (l *Loop) Seat(x *Exchange) Seat {
	s, _ := x.results[l.seat.name.index].value.(Seat)
	return s
}
