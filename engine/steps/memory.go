package steps

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// memory remembers outcomes by key for a time, and has who asks for one that is
// in the making wait for it. It has bounds; what is over them is forgotten: what
// is out of date first, then what is next in order.
//
// Who comes first with a key makes its outcome, for all who come while it does:
// it leads a flight. It leads on its own goroutine, with its own Exchange, and so
// does not return before it is done; but when its caller leaves, the work goes on
// as long as anyone waits for it. When its time is up the flight ends; those who
// wait and have time go on with another leader.
type memory struct {
	most    bounds
	touched bool // what is read goes to the end of the order

	mu      sync.Mutex
	byKey   map[string]*list.Element // of *entry
	order   list.List                // the next to be forgotten first
	bytes   int64
	flights map[string]*flight

	hits, misses, joined, evicted int64
}

// bounds are the keys of a memory's size.
type bounds struct {
	Entries int      `yaml:"entries" doc:"How many entries are kept at most." default:"100000" min:"1" max:"10000000"`
	Memory  dsl.Size `yaml:"memory" doc:"How much memory the entries may take, in about. What is larger than that is not kept at all." default:"64MB" min:"1KB"`
}

// outcome is what came of some steps: a value, or the answer that they returned.
type outcome struct {
	value  engine.Value
	answer *engine.Answer
	match  string // what it was made from; only for that it is good
	size   int
	known  bool // it was not made for who has it now
}

type entry struct {
	key   string
	until time.Time
	outcome
}

// overhead is about what an entry takes beside its texts, in bytes.
const overhead = 256

type flight struct {
	done    chan struct{}
	cancel  context.CancelCauseFunc
	match   string
	waiting int
	alone   error // why the leader's caller has left; nil if it has not

	// Readable when done is closed.
	outcome
	err      error
	deserted bool // the leader had to go before it was done
}

func newMemory(most bounds, touched bool) *memory {
	return &memory{most: most, touched: touched, byKey: map[string]*list.Element{}, flights: map[string]*flight{}}
}

// recall gives the outcome for a key: the one that is remembered, the one that
// is in the making, or the one of work, which it remembers for ttl if it is no
// failure.
func (m *memory) recall(ctx context.Context, key, match string, ttl time.Duration, work func(ctx context.Context) (outcome, error)) (outcome, error) {
	for {
		m.mu.Lock()
		if o, ok := m.get(key); ok {
			m.hits++
			m.mu.Unlock()
			o.known = true
			return o, nil
		}
		f := m.flights[key]
		if f == nil {
			f = &flight{done: make(chan struct{}), match: match}
			m.flights[key] = f
			m.misses++
			m.mu.Unlock()
			return m.lead(ctx, key, f, ttl, work)
		}
		if f.match != match {
			m.mu.Unlock()
			return outcome{match: f.match}, nil
		}
		f.waiting++
		m.joined++
		m.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			m.desert(f)
			return outcome{}, engine.Interrupted(ctx)
		}
		if !f.deserted {
			o := f.outcome
			o.known = true
			return o, engine.Apart(f.err)
		}
	}
}

// desert is the leaving of one who waited.
func (m *memory) desert(f *flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.waiting--; f.waiting == 0 && f.alone != nil {
		f.cancel(f.alone)
	}
}

// lead does the work of a flight.
func (m *memory) lead(ctx context.Context, key string, f *flight, ttl time.Duration, work func(ctx context.Context) (outcome, error)) (o outcome, err error) {
	own, cancel := context.WithCancelCause(detached{context.WithoutCancel(ctx), ctx})
	defer cancel(nil)
	m.mu.Lock()
	f.cancel = cancel
	m.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		f.alone = context.Cause(ctx)
		if f.waiting == 0 || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel(f.alone)
		}
	})
	defer stop()
	f.deserted = true // if work panics
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.flights, key)
		if err == nil && !f.deserted {
			m.put(&entry{key, time.Now().Add(ttl), o})
		}
		close(f.done)
	}()
	o, err = work(own)
	o.match = f.match
	if err != nil && own.Err() == nil || err == nil {
		f.outcome, f.err, f.deserted = o, engine.Apart(err), false
	}
	return o, err
}

// detached is a context that does not end with another, but has its deadline:
// calls do not begin what they could not finish.
type detached struct {
	context.Context
	from context.Context
}

func (d detached) Deadline() (time.Time, bool) { return d.from.Deadline() }

// get finds what is remembered. m.mu is held.
func (m *memory) get(key string) (outcome, bool) {
	at := m.byKey[key]
	if at == nil {
		return outcome{}, false
	}
	e := at.Value.(*entry)
	if !time.Now().Before(e.until) {
		m.forget(at)
		return outcome{}, false
	}
	if m.touched {
		m.order.MoveToBack(at)
	}
	return e.outcome, true
}

// put remembers an entry. m.mu is held.
func (m *memory) put(e *entry) {
	e.size += overhead + 2*len(e.key)
	if int64(e.size) > int64(m.most.Memory) {
		m.evicted++
		return
	}
	if old := m.byKey[e.key]; old != nil {
		m.forget(old)
	}
	m.byKey[e.key] = m.order.PushBack(e)
	m.bytes += int64(e.size)
	now := time.Now()
	for next := m.order.Front(); next != nil; next = m.order.Front() {
		expired := !now.Before(next.Value.(*entry).until)
		over := m.bytes > int64(m.most.Memory) || len(m.byKey) > m.most.Entries
		if !expired && !over {
			return
		}
		if !expired {
			m.evicted++
		}
		m.forget(next)
	}
}

func (m *memory) forget(at *list.Element) {
	e := m.order.Remove(at).(*entry)
	delete(m.byKey, e.key)
	m.bytes -= int64(e.size)
}

// Observe is what engine.Observed asks for.
func (m *memory) Observe(show func(name string, total bool, value int64)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	show("hit", true, m.hits)
	show("miss", true, m.misses)
	show("joined", true, m.joined)
	show("evicted", true, m.evicted)
	show("entries", false, int64(len(m.byKey)))
	show("bytes", false, m.bytes)
}

// Close is what engine.Keeper asks for.
func (m *memory) Close() {}

// remembered is a block whose outcome is remembered.
type remembered struct {
	memory *engine.Kept[*memory]
	key    *dsl.TextTemplate
	at     dsl.Span // of the key
	ttl    time.Duration
	block  block
	result engine.Slot
	again  func() // for a Probe: the key is known
}

// make runs the block and gives what came of it.
func (r *remembered) make(ctx context.Context, x *engine.Exchange) (o outcome, err error) {
	v, err := r.block.value(ctx, x)
	switch {
	case errors.Is(err, engine.ErrReturn):
		a := x.Answer().Clone()
		_, o.size = a.Body.Keep()
		for name, values := range a.Header {
			for _, v := range values {
				o.size += len(name) + len(v)
			}
		}
		o.answer = &a
	case err == nil:
		o.value, o.size = v.Keep()
	default:
		return o, err
	}
	return o, nil
}

// leave has the step end with an outcome, its own or another's.
func (r *remembered) leave(x *engine.Exchange, o outcome) error {
	if o.answer != nil {
		x.Return(o.answer.Clone())
		return engine.ErrReturn
	}
	if r.block.yield != nil {
		x.Set(r.result, engine.Result{Value: o.value})
	}
	return nil
}
