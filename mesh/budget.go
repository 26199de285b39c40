package mesh

import (
	"sync"
	"sync/atomic"
	"time"
)

// budget bounds how many requests beyond the first of their calls a service
// gets: a share of the calls of the last seconds, and a few more, without which
// a service that is hardly called could never be called again. It is counted by
// rate (Finagle's RetryBudget), where failsafe-go counts what is under way:
// calls that wait for their next attempt are under way, too, so that there each
// retry makes room for another, and the load of an outage is four times the
// calls at three retries. TestBudgetByConcurrencyDoesNotBound shows it.
//
// A nil budget allows everything.
type budget struct {
	share   float64
	reserve float64 // per window, whatever the number of calls
	slots   [budgetSlots]budgetSlot

	mu sync.Mutex // turns slots, and spends
}

const (
	budgetWindow = 10 * time.Second // Finagle's TTL
	budgetSlots  = 20
)

// budgetSlot counts during a part of the window.
type budgetSlot struct {
	epoch atomic.Int64 // which one: it is reused
	calls atomic.Int64
	spent atomic.Int64
}

func newBudget(share, perSecond float64) *budget {
	return &budget{share: share, reserve: perSecond * budgetWindow.Seconds()}
}

// slot is the one of the moment. A call that is counted while it turns may be
// counted in either.
func (b *budget) slot(now time.Duration) *budgetSlot {
	epoch := int64(now / (budgetWindow / budgetSlots))
	s := &b.slots[epoch%budgetSlots]
	if s.epoch.Load() != epoch {
		b.mu.Lock()
		if s.epoch.Load() < epoch {
			s.calls.Store(0)
			s.spent.Store(0)
			s.epoch.Store(epoch)
		}
		b.mu.Unlock()
	}
	return s
}

// deposit counts a call.
func (b *budget) deposit(now time.Duration) {
	if b != nil {
		b.slot(now).calls.Add(1)
	}
}

// withdraw takes leave for one more request, if there is any.
func (b *budget) withdraw(now time.Duration) bool {
	if b == nil {
		return true
	}
	s := b.slot(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance(now) < 1 {
		return false
	}
	s.spent.Add(1)
	return true
}

// restore gives back what was taken and not used.
func (b *budget) restore(now time.Duration) {
	if b != nil {
		b.slot(now).spent.Add(-1)
	}
}

// left is how many requests withdraw would allow now; -1 without a bound.
func (b *budget) left(now time.Duration) int {
	if b == nil {
		return -1
	}
	return max(0, int(b.balance(now)))
}

func (b *budget) balance(now time.Duration) float64 {
	oldest := int64(now/(budgetWindow/budgetSlots)) - budgetSlots
	var calls, spent int64
	for i := range b.slots {
		if s := &b.slots[i]; s.epoch.Load() > oldest {
			calls += s.calls.Load()
			spent += s.spent.Load()
		}
	}
	const rounding = 1e-9 // a fifth of 5 calls is one retry
	return b.share*float64(calls) + b.reserve - float64(spent) + rounding
}
