package mesh

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// line is where calls wait for their turn: by priority, and within one first come,
// first served. Every tenth turn is that of whoever has waited longest, so that the
// low are not kept out for ever by the rest.
//
// It is not last in, first out, as some queues are under overload: nobody stands
// in it for longer than [Limit].Wait, and who would be too late leaves it before.
//
// What is waited for is not handed over: who is next is woken, and tries for
// itself. No place stays free while somebody waits for it, because
//
//   - whoever gives a place back looks at the line after that, and whoever waits
//     stands in line before trying;
//   - whoever leaves the line, for any reason, wakes who is next then.
type line struct {
	length atomic.Int64
	mu     sync.Mutex
	ranks  [priorities]list.List // of *waiter, the lowest first
	came   uint64
	turns  uint64
}

// waiter is a call in the line. mu of the line guards it.
type waiter struct {
	turn   chan struct{} // with room for one
	place  *list.Element // nil: it has left, or somebody else has its place
	came   uint64
	ousted bool
}

const oldestTurn = 10

func (l *line) empty() bool { return l.length.Load() == 0 }

// before is how many would have their turn before a call that comes now.
func (l *line) before(p Priority) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := p.rank(); i < priorities; i++ {
		n += l.ranks[i].Len()
	}
	return n
}

// wake lets the next one try.
func (l *line) wake() {
	if l.empty() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next()
}

// next tells who is next that it may try. mu is held.
func (l *line) next() {
	var next *waiter
	for i := priorities - 1; i >= 0; i-- {
		first := l.ranks[i].Front()
		if first == nil {
			continue
		}
		if w := first.Value.(*waiter); next == nil || l.turns%oldestTurn == oldestTurn-1 && w.came < next.came {
			next = w
		}
	}
	if next != nil {
		next.tell()
	}
}

func (w *waiter) tell() {
	select {
	case w.turn <- struct{}{}:
	default: // it was told, and has not tried yet
	}
}

// oust takes the place of the one who came last among those of the lowest
// priority below p, and reports whether there was any.
func (l *line) oust(p Priority) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range p.rank() {
		if last := l.ranks[i].Back(); last != nil {
			w := last.Value.(*waiter)
			w.ousted = true
			l.leave(w, i)
			w.tell()
			return true
		}
	}
	return false
}

// leave takes a waiter out. mu is held.
func (l *line) leave(w *waiter, rank int) {
	if w.place != nil {
		l.ranks[rank].Remove(w.place)
		w.place = nil
		l.length.Add(-1)
	}
}

var (
	errWaited = errors.New("the wait was in vain")
	errOusted = errors.New("calls of a higher priority came")
)

// wait returns nil when try has returned true, which is asked without the lock
// held. The error is the context's, errWaited after patience, or errOusted; ousted
// says that somebody else has the place in the line, whatever the error.
func (l *line) wait(ctx context.Context, p Priority, patience time.Duration, try func() bool) (ousted bool, err error) {
	if patience <= 0 {
		return false, errWaited
	}
	w := &waiter{turn: make(chan struct{}, 1)}
	rank := p.rank()
	l.mu.Lock()
	l.came++
	w.came = l.came
	w.place = l.ranks[rank].PushBack(w)
	l.length.Add(1)
	l.next()
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leave(w, rank)
		if err == nil {
			l.turns++
		}
		ousted = w.ousted
		l.next()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-w.turn:
			if l.lost(w) {
				return true, errOusted
			}
			if try() {
				return false, nil
			}
		case <-timer.C:
			return false, errWaited
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (l *line) lost(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.ousted
}
