package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// recollection remembers outcomes by key for a time, and has who asks for one
// that is in the making wait for it.
//
// Who comes first with a key makes its outcome, for all who come while it does:
// it leads a flight. It leads on its own goroutine, with its own Exchange, and so
// does not return before it is done; but when its caller leaves, the work goes on
// as long as anyone waits for it. When its time is up the flight ends; those who
// wait and have time go on with another leader.
//
// A flight is of this process, where failures are shared, too. What it made is
// in the store, where the leader claims the key: if others have the same store,
// leaders wait for each other.
type recollection struct {
	store engine.Store

	mu      sync.Mutex
	flights map[string]*flight

	hits, misses, joined, unkept int64
}

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

func newRecollection(store engine.Store) *recollection {
	return &recollection{store: store, flights: map[string]*flight{}}
}

// longestKey is the length, in bytes, of the keys that are kept as they are. Of
// longer ones, which a caller may have chosen, a digest is.
const longestKey = 128

func keptKey(key string) string {
	if len(key) <= longestKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// recall gives the outcome for a key: the one that is remembered, the one that
// is in the making, or the one of work, which it remembers for ttl if it is no
// failure.
func (r *recollection) recall(ctx context.Context, key, match string, ttl time.Duration, work func(ctx context.Context) (outcome, error)) (outcome, error) {
	key = keptKey(key)
	for {
		text, kept, err := r.store.Get(ctx, key)
		if err != nil {
			return outcome{}, err
		}
		if kept {
			return r.known(text)
		}
		r.mu.Lock()
		f := r.flights[key]
		if f == nil {
			f = &flight{done: make(chan struct{}), match: match}
			r.flights[key] = f
			r.mu.Unlock()
			return r.lead(ctx, key, f, ttl, work)
		}
		if f.match != match {
			r.mu.Unlock()
			return outcome{match: f.match}, nil
		}
		f.waiting++
		r.joined++
		r.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			r.desert(f)
			return outcome{}, engine.Interrupted(ctx)
		}
		if !f.deserted {
			o := f.outcome
			o.known = true
			return o, engine.Apart(f.err)
		}
	}
}

// known is an outcome that the store has.
func (r *recollection) known(text string) (outcome, error) {
	r.count(&r.hits)
	o, err := parseOutcome(text)
	o.known = true
	return o, err
}

func (r *recollection) count(n *int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
}

// desert is the leaving of one who waited.
func (r *recollection) desert(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiting--; f.waiting == 0 && f.alone != nil {
		f.cancel(f.alone)
	}
}

// lead does the work of a flight.
func (r *recollection) lead(ctx context.Context, key string, f *flight, ttl time.Duration, work func(ctx context.Context) (outcome, error)) (o outcome, err error) {
	own, cancel := context.WithCancelCause(detached{context.WithoutCancel(ctx), ctx})
	defer cancel(nil)
	r.mu.Lock()
	f.cancel = cancel
	r.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		f.alone = context.Cause(ctx)
		if f.waiting == 0 || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel(f.alone)
		}
	})
	defer stop()
	f.deserted = true // if work panics
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.flights, key)
		close(f.done)
	}()
	o, err = r.make(own, key, f.match, ttl, work)
	if err != nil && own.Err() == nil || err == nil {
		f.outcome, f.err, f.deserted = o, engine.Apart(err), false
	}
	return o, err
}

// make gives the outcome for a key that nobody else in this process makes, and
// keeps it.
func (r *recollection) make(ctx context.Context, key, match string, ttl time.Duration, work func(ctx context.Context) (outcome, error)) (o outcome, err error) {
	text, kept, err := r.store.Claim(ctx, key, hold(ctx))
	if err != nil {
		return outcome{}, err
	}
	if kept {
		return r.known(text)
	}
	r.count(&r.misses)
	owed := true
	lasting := context.WithoutCancel(ctx)
	defer func() {
		if owed && r.store.Release(lasting, key) != nil {
			r.count(&r.unkept) // it ends by itself
		}
	}()
	if o, err = work(ctx); err != nil {
		return o, err
	}
	o.match = match
	owed = false
	text = o.text()
	if r.store.Put(lasting, key, text, ttl) != nil {
		r.count(&r.unkept)
	}
	return parseOutcome(text) // the same for all
}

// hold is how long the work of ctx can take at most.
func hold(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return time.Hour
}

// detached is a context that does not end with another, but has its deadline:
// calls do not begin what they could not finish.
type detached struct {
	context.Context
	from context.Context
}

func (d detached) Deadline() (time.Time, bool) { return d.from.Deadline() }

// Observe is what engine.Observed asks for.
func (r *recollection) Observe(show func(name string, total bool, value int64)) {
	r.mu.Lock()
	show("hit", true, r.hits)
	show("miss", true, r.misses)
	show("joined", true, r.joined)
	show("unkept", true, r.unkept)
	r.mu.Unlock()
	if m, ok := r.store.(*memory); ok {
		m.Observe(show)
	}
}

// Close is what engine.Keeper asks for.
func (r *recollection) Close() {}

// remembered is a block whose outcome is remembered.
type remembered struct {
	memory *engine.Kept[*recollection]
	key    *dsl.TextTemplate
	at     dsl.Span // of the key
	ttl    time.Duration
	block  block
	result engine.Slot
	again  func() // for a Probe: the key is known
}

// keep declares the store of the step at hand.
func (r *remembered) keep(c *engine.Compiler, most bounds, touched bool) {
	r.memory = engine.Keep(c, c.StepKey(), func() *recollection { return newRecollection(newMemory(most, touched)) })
}

// make runs the block and gives what came of it.
func (r *remembered) make(ctx context.Context, x *engine.Exchange) (o outcome, err error) {
	v, err := r.block.value(ctx, x)
	switch {
	case errors.Is(err, engine.ErrReturn):
		a := x.Answer().Clone()
		return outcome{answer: &a}, nil
	case err == nil:
		return outcome{value: v}, nil
	}
	return o, err
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
