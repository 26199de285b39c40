package mesh

import (
	"sync"
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
	counted *spans  // calls and spent

	mu sync.Mutex // held while it is spent
}

const (
	budgetWindow = 10 * time.Second // Finagle's TTL
	budgetSlots  = 20
)

// What is counted.
const (
	budgetCalls = iota
	budgetSpent
)

func newBudget(share, perSecond float64) *budget {
	return &budget{share: share, reserve: perSecond * budgetWindow.Seconds(), counted: newSpans(budgetWindow, budgetSlots)}
}

// deposit counts a call.
func (b *budget) deposit(now time.Duration) {
	if b != nil {
		b.counted.at(now)[budgetCalls].Add(1)
	}
}

// withdraw takes leave for one more request, if there is any.
func (b *budget) withdraw(now time.Duration) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance(now) < 1 {
		return false
	}
	b.counted.at(now)[budgetSpent].Add(1)
	return true
}

// restore gives back what was taken and not used.
func (b *budget) restore(now time.Duration) {
	if b != nil {
		b.counted.at(now)[budgetSpent].Add(-1)
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
	sum := b.counted.sum(now)
	const rounding = 1e-9 // a fifth of 5 calls is one retry
	return b.share*float64(sum[budgetCalls]) + b.reserve - float64(sum[budgetSpent]) + rounding
}
