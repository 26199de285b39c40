package policies

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
)

// flights are pieces of work of which each is done once for all who ask for it at
// the same time. Work goes on when those who asked have gone, so that none of
// them decides for the others, and is bounded in time and in number. The zero
// value is ready. It is safe for concurrent use.
type flights[T any] struct {
	mu      sync.Mutex
	running map[[sha256.Size]byte]*flight[T]
	closed  bool
	all     sync.WaitGroup
}

type flight[T any] struct {
	done  chan struct{}
	end   context.CancelFunc
	value T
	err   error
}

var (
	errTooMany = errors.New("too much is under way already")
	errClosed  = errors.New("what it is for has been closed")
)

// mostFlights bounds what is under way at once.
const mostFlights = 1024

// do gives what work gives, which begins now if it is not under way.
func (f *flights[T]) do(ctx context.Context, key *[sha256.Size]byte, work func(ctx context.Context) (T, error)) (value T, err error) {
	f.mu.Lock()
	one := f.running[*key]
	if one == nil {
		switch {
		case f.closed:
			err = errClosed
		case len(f.running) >= mostFlights:
			err = errTooMany
		}
		if err != nil {
			f.mu.Unlock()
			return value, err
		}
		if f.running == nil {
			f.running = map[[sha256.Size]byte]*flight[T]{}
		}
		within, end := context.WithTimeout(context.Background(), getTime)
		one = &flight[T]{done: make(chan struct{}), end: end}
		f.running[*key] = one
		id := *key
		f.all.Go(func() {
			defer end()
			one.value, one.err = work(within)
			f.mu.Lock()
			delete(f.running, id)
			f.mu.Unlock()
			close(one.done)
		})
	}
	f.mu.Unlock()
	select {
	case <-one.done:
		return one.value, one.err
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
}

// close ends what is under way, and waits for it.
func (f *flights[T]) close() {
	f.mu.Lock()
	f.closed = true
	for _, one := range f.running {
		one.end()
	}
	f.mu.Unlock()
	f.all.Wait()
}
