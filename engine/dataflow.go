package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
)

// Dataflow runs the members of a compose as their data allows. The members
// and what each waits for are known when the flow is compiled, from the names
// that its expressions read, so running them takes no planning: every member
// has a count of what it still waits for, and whoever finishes a member counts
// down those that wait for it and runs what got ready. Of several that got
// ready at once, all but the last get goroutines and the last runs where its
// predecessor ran: a chain runs on one goroutine, and the caller always works.
//
// The first failure cancels all members that run, and no more are started.
type Dataflow struct {
	members []member
	ready   []int // members that wait for nothing
	wide    bool  // members can run at the same time

	// For those who ask for their slack; not there if nobody does.
	watched bool
	order   []int // each member behind those that it waits for
	took    durations
	at      Local[*flowing]
}

type member struct {
	step    Step
	needs   int   // how many members this one waits for
	feeds   []int // the members that wait for this one
	readers []int
}

// Dataflow compiles the members of a compose and finds what each refers to.
// Their names are visible to each other and to the steps that follow.
func (c *Compiler) Dataflow(b dsl.Block) *Dataflow {
	d := &Dataflow{}
	fields := b.Node.Fields
	index := map[*name]int{}
	slots := make([]*name, len(fields))
	// All names first: members refer to each other in any order.
	for i, f := range fields {
		slots[i] = c.name(c.frame, f.Key.Text)
		slots[i].member = true
		index[slots[i]] = i
		c.define(dsl.String{Value: f.Key.Text, Span: f.Key.Span}, slots[i])
	}
	d.members, d.at = make([]member, len(fields)), NewLocal[*flowing](c)
	outer := c.member
	whole := outer != nil && c.slot.name == outer.name
	defer func() { c.member = outer }()
	body, done := c.newBody()
	for _, i := range typingOrder(fields) {
		f := fields[i]
		from := len(c.log)
		var step Step
		c.member = &membership{d: d, of: d.at, index: i, name: slots[i], outer: outer, whole: whole}
		c.Inside("compose", func() { step = c.step(f.Value, slots[i]) })
		waits := map[int]bool{}
		for _, n := range c.log[from:] {
			if j, ok := index[n]; ok && !waits[j] {
				waits[j] = true
			}
		}
		d.members[i] = member{step: step, needs: len(waits)}
		for j := range waits {
			d.members[i].readers = append(d.members[i].readers, j)
		}
	}
	done()
	for i := range d.members {
		for _, j := range d.members[i].readers {
			d.members[j].feeds = append(d.members[j].feeds, i)
		}
		if d.members[i].needs == 0 {
			d.ready = append(d.ready, i)
		}
		d.wide = d.wide || len(d.members[i].feeds) > 1
	}
	d.wide = d.wide || len(d.ready) > 1
	d.order = d.inOrder()
	c.cycle(d, fields)
	body.flowing(d, fields, c.prefix())
	return d
}

// flowing describes what each member waits for. The members come in the order
// in which they are written.
func (b *PlanBody) flowing(d *Dataflow, fields []dsl.Field, prefix string) {
	slices.SortFunc(b.Steps, func(x, y *PlanStep) int { return x.Span.Start - y.Span.Start })
	for _, p := range b.Steps {
		i := slices.IndexFunc(fields, func(f dsl.Field) bool { return prefix+f.Key.Text == p.Name })
		for j := range fields {
			if slices.Contains(d.members[i].readers, j) {
				p.Waits = append(p.Waits, prefix+fields[j].Key.Text)
			}
		}
	}
}

// Describe is what Describer asks for.
func (d *Dataflow) Describe(p *PlanStep) { p.Order = ByData }

// cycle reports members that wait for each other.
func (c *Compiler) cycle(d *Dataflow, fields []dsl.Field) {
	const unseen, open, done = 0, 1, 2
	state := make([]int, len(d.members))
	var path []int
	var visit func(i int) []int
	visit = func(i int) []int {
		state[i] = open
		path = append(path, i)
		for _, j := range d.members[i].readers {
			if state[j] == open {
				for k := range path {
					if path[k] == j {
						return append([]int{}, path[k:]...)
					}
				}
			}
			if state[j] == unseen {
				if found := visit(j); found != nil {
					return found
				}
			}
		}
		path = path[:len(path)-1]
		state[i] = done
		return nil
	}
	for i := range d.members {
		if state[i] != unseen {
			continue
		}
		path = nil
		loop := visit(i)
		if loop == nil {
			continue
		}
		for _, m := range path {
			state[m] = done
		}
		names := make([]string, 0, len(loop)+1)
		x := dsl.Diagnostic{Span: fields[loop[0]].Key.Span, Code: "cycle"}
		for k, m := range loop {
			names = append(names, fields[m].Key.Text)
			if k > 0 {
				x.Related = append(x.Related, dsl.Related{Span: fields[m].Key.Span, Message: fmt.Sprintf("%s refers to %s", fields[m].Key.Text, fields[loop[(k+1)%len(loop)]].Key.Text)})
			}
		}
		names = append(names, names[0])
		if len(loop) == 1 {
			x.Message, x.Hint = fmt.Sprintf("%s refers to itself", names[0]), "a step cannot read its own result"
		} else {
			x.Message, x.Hint = "these steps wait for each other: "+strings.Join(names, " -> "), "one of them has to do without the others' results"
		}
		c.Report(x)
	}
}

// flowing is the state of one run of a Dataflow.
type flowing struct {
	d      *Dataflow
	x      *Exchange
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	waits []int // per member
	err   error
	progress
}

// unneeded is the cause of a context that is cancelled because nobody has a use for
// what comes of it any more: services are told so by its method, and hold the end of
// their calls against nobody.
type unneeded string

func (u unneeded) Error() string  { return string(u) + ": " + context.Canceled.Error() }
func (u unneeded) Unwrap() error  { return context.Canceled }
func (u unneeded) Unneeded() bool { return true }

// errSibling is the cause of a context that a failed sibling ended.
const errSibling = unneeded("another step failed")

// Run is what Step asks for.
func (d *Dataflow) Run(ctx context.Context, x *Exchange) error {
	if len(d.ready) == 0 {
		return nil
	}
	f := &flowing{d: d, x: x, waits: make([]int, len(d.members))}
	for i := range d.members {
		f.waits[i] = d.members[i].needs
	}
	if d.watched {
		f.began, f.ended = make([]time.Time, len(d.members)), make([]bool, len(d.members))
		d.at.Set(x, f)
	}
	if d.wide {
		ctx, f.cancel = context.WithCancelCause(ctx)
		defer f.cancel(nil)
	}
	f.start(ctx, d.ready)
	f.wg.Wait()
	return f.err
}

// start runs members that are ready, the last of them here.
func (f *flowing) start(ctx context.Context, ready []int) {
	for len(ready) > 0 {
		for _, i := range ready[:len(ready)-1] {
			f.wg.Go(func() { f.start(ctx, f.run(ctx, i)) })
		}
		ready = f.run(ctx, ready[len(ready)-1])
	}
}

// run runs one member and gives those that became ready by it.
func (f *flowing) run(ctx context.Context, i int) (ready []int) {
	var began time.Time
	if f.d.watched {
		began = f.begin(i)
	}
	err := safely(ctx, f.d.members[i].step, f.x)
	feeds := f.d.members[i].feeds
	if err == nil && len(feeds) == 0 && !f.d.watched {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.d.watched {
		if f.ended[i] = true; err == nil {
			f.d.took.learn(i, time.Since(began))
		}
	}
	if err != nil {
		if f.err == nil {
			f.err = err
			if f.cancel != nil {
				f.cancel(errSibling)
			}
		}
		return nil
	}
	if f.err != nil {
		return nil
	}
	for _, j := range feeds {
		if f.waits[j]--; f.waits[j] == 0 {
			ready = append(ready, j)
		}
	}
	return ready
}

// safely runs a step and turns a panic into an error: a panic in a goroutine
// of its own would end the process.
func safely(ctx context.Context, s Step, x *Exchange) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Error{Kind: KindInternal, Message: fmt.Sprintf("panic: %v", r), Err: panicked{r, debug.Stack()}}
		}
	}()
	return s.Run(ctx, x)
}

// panicked keeps the stack of a panic for the log.
type panicked struct {
	value any
	stack []byte
}

func (p panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// Parallel runs fn for 0 to n-1, at most limit at a time, in order of their
// start. The caller's goroutine is one of those that work. The first error
// ends the context of the others and is returned; panics become errors.
func Parallel(ctx context.Context, n, limit int, fn func(ctx context.Context, i int) error) error {
	return parallel(ctx, n, limit, func() {}, fn)
}

// parallel calls left at the end of each goroutine that works.
func parallel(ctx context.Context, n, limit int, left func(), fn func(ctx context.Context, i int) error) error {
	limit = min(limit, n)
	if limit <= 1 {
		defer left()
		for i := range n {
			if err := fn(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		next  int
		first error
	)
	work := func() {
		defer left()
		for {
			mu.Lock()
			i := next
			next++
			stop := i >= n || first != nil
			mu.Unlock()
			if stop {
				return
			}
			err := safely(ctx, StepFunc(func(ctx context.Context, _ *Exchange) error { return fn(ctx, i) }), nil)
			if err == nil {
				continue
			}
			mu.Lock()
			if first == nil {
				first = err
				cancel(errSibling)
			}
			mu.Unlock()
		}
	}
	for range limit - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return first
}

// StepFunc is a function as a Step.
type StepFunc func(ctx context.Context, x *Exchange) error

// Run is what Step asks for.
func (f StepFunc) Run(ctx context.Context, x *Exchange) error { return f(ctx, x) }
