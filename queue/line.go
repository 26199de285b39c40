// Package queue holds those who wait for a place that others have, by how
// important they are.
package queue

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Line is where calls and requests wait for their turn: by rank, and within one
// first come, first served. Every tenth turn is that of whoever has waited longest,
// so that the low are not kept out for ever by the rest. Its zero value is empty. It
// is safe for concurrent use.
//
// It is not last in, first out, as some queues are under overload: nobody stands
// in it for longer than their patience, and who would be too late leaves it before.
//
// What is waited for is not handed over: who is next is woken, and tries for
// itself. No place stays free while somebody waits for it, because
//
//   - whoever gives a place back looks at the line after that, and whoever waits
//     stands in line before trying;
//   - whoever leaves the line, for any reason, wakes who is next then.
type Line struct {
	length atomic.Int64
	mu     sync.Mutex
	ranks  [Ranks]list.List // of *waiter, the lowest first
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

// Ranks is how many ranks there are, low, normal, high and critical: they go from
// 0, the lowest, to Ranks-1.
const Ranks = 4

const oldestTurn = 10

// Take adds one to n if it stays within limit. A sum that is taken back would
// make others see a place taken that is free.
func Take(n *atomic.Int64, limit int) bool {
	for {
		old := n.Load()
		if old >= int64(limit) {
			return false
		}
		if n.CompareAndSwap(old, old+1) {
			return true
		}
	}
}

// Empty reports whether nobody waits.
func (l *Line) Empty() bool { return l.length.Load() == 0 }

// Before is how many would have their turn before one of this rank who comes now.
func (l *Line) Before(rank int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := rank; i < Ranks; i++ {
		n += l.ranks[i].Len()
	}
	return n
}

// Wake lets the next one try: a place was given back.
func (l *Line) Wake() {
	if l.Empty() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next()
}

// next tells who is next that it may try. mu is held.
func (l *Line) next() {
	var next *waiter
	for i := Ranks - 1; i >= 0; i-- {
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

// Oust takes the place in the line of the one who came last among those of the
// lowest rank below this one, and reports whether there was any.
func (l *Line) Oust(below int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range below {
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
func (l *Line) leave(w *waiter, rank int) {
	if w.place != nil {
		l.ranks[rank].Remove(w.place)
		w.place = nil
		l.length.Add(-1)
	}
}

// What a wait ends with that does not end well.
var (
	ErrWaited = errors.New("the wait was in vain")
	ErrOusted = errors.New("calls of a higher priority came")
)

// Wait returns nil when try has returned true, which is asked without the lock
// held. The error is the context's, ErrWaited after patience, or ErrOusted; ousted
// says that somebody else has the place in the line, whatever the error.
func (l *Line) Wait(ctx context.Context, rank int, patience time.Duration, try func() bool) (ousted bool, err error) {
	if patience <= 0 {
		return false, ErrWaited
	}
	w := &waiter{turn: make(chan struct{}, 1)}
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
				return true, ErrOusted
			}
			if try() {
				return false, nil
			}
		case <-timer.C:
			return false, ErrWaited
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (l *Line) lost(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.ousted
}
