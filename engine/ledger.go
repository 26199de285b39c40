package engine

import (
	"fmt"
	"sync/atomic"

	"github.com/weir-run/weir/dsl"
)

// Ledger counts what the calls of one run of a flow ask of services beyond what
// they would if nothing failed: retries of services, what a step calls again
// because of its retry, and hedges. Each of them has a bound of its own, and the
// bounds multiply: three attempts of a step, in each of which a call is tried three
// times, in a flow that another one tries three times, are 27 requests. The ledger
// bounds the sum. A flow that another one runs shares the ledger of its caller.
//
// First attempts are counted and never refused, those of a step that is tried again
// included: so a step that calls several services can go beyond the bound by what
// it calls in one attempt. The rounds of a loop are no retries: each does what the
// others do not.
//
// It is a part of the Exchange, and costs no memory of its own. It is safe for
// concurrent use, until the run has ended.
type Ledger struct {
	bound *retryBudget // nil: the default
	tally *Kept[*Tally]
	calls atomic.Int64
	extra atomic.Int64
}

// retryBudgetConfig bounds the Ledger of a flow.
type retryBudgetConfig struct {
	Share dsl.Percent `yaml:"share" doc:"How many more, as a share of the calls that the run has made so far." default:"100%" min:"1%"`
	Min   int         `yaml:"min" doc:"How many there may be however few calls the run has made." default:"9" min:"0" max:"10000"`
}

// retryBudget is that, ready to be asked.
type retryBudget struct {
	share float64
	min   int64
}

// By default a run asks no more than twice for what it needs, but for those that
// need little: one call may be tried as often as its retry can say, which is 10
// times. What is multiplied ends there.
var defaultRetryBudget = retryBudget{share: 1, min: maxAttempts - 1}

const maxAttempts = 10

func (cfg *retryBudgetConfig) bound() retryBudget {
	if cfg == nil {
		return defaultRetryBudget
	}
	return retryBudget{share: float64(cfg.Share), min: int64(cfg.Min)}
}

// tally declares what is counted of the runs of a flow, which is of no step.
func (f *Flow) tally() *Kept[*Tally] {
	names := []string{FlowExtra, FlowDenied, FlowFailedFast}
	k := &Kept[*Tally]{key: fmt.Sprintf("flow %s %v", f.Name.Value, names), flow: f.Name.Value, open: func() *Tally { return newTally(names) }}
	f.places = append(f.places, k)
	return k
}

// begin counts a call.
func (l *Ledger) begin(again bool) {
	if again {
		l.extra.Add(1)
		l.count(FlowExtra)
		return
	}
	l.calls.Add(1)
}

// spent reports whether there is no leave for one attempt more.
func (l *Ledger) spent() bool { return l.extra.Load() >= l.most() }

func (l *Ledger) most() int64 {
	b := l.bound
	if b == nil {
		b = &defaultRetryBudget
	}
	return max(b.min, int64(b.share*float64(l.calls.Load())))
}

// Withdraw takes leave for one attempt beyond the first of its call.
func (l *Ledger) Withdraw() bool {
	for {
		extra := l.extra.Load()
		if extra >= l.most() {
			l.count(FlowDenied)
			return false
		}
		if l.extra.CompareAndSwap(extra, extra+1) {
			l.count(FlowExtra)
			return true
		}
	}
}

// What is counted of the runs of a flow.
const (
	FlowExtra      = "extra_attempt"
	FlowDenied     = "extra_attempt_denied"
	FlowFailedFast = "failed_fast"
)

func (l *Ledger) count(event string) {
	if l.tally == nil {
		return
	}
	if t := l.tally.It(); t != nil { // the program is served
		t.Add(event)
	}
}

// renew makes it the ledger of another run.
func (l *Ledger) renew() {
	l.bound, l.tally = nil, nil
	l.calls.Store(0)
	l.extra.Store(0)
}

// deniedByLedger is why a step is not tried again though its retry says so.
const deniedByLedger = ", not repeated, because the run's ledger is spent"

// repeats marks, while a step with retry runs, whether it has run before.
type repeats struct {
	mark   Local[bool]
	around repeatMark // what the step itself is part of
	outer  *repeats
	calls  bool // something inside is a call
}

// set notes which attempt of the step begins.
func (r *repeats) set(x *Exchange, attempt int) {
	if r != nil {
		r.mark.Set(x, attempt > 1 || r.around.in(x))
	}
}

// denies reports whether the step may not run again, because the ledger is spent. A
// step that calls nothing has no part in it.
func (r *repeats) denies(x *Exchange) bool {
	if r == nil || !x.root.ledger.spent() {
		return false
	}
	x.root.ledger.count(FlowDenied)
	return true
}

// repeatMark is where what is inside of steps with retry sees that it is repeated.
// The zero value is that of what stands in none.
type repeatMark struct {
	view  LocalView[bool]
	there bool
}

func (m repeatMark) in(x *Exchange) bool { return x.In.again || m.there && m.view.In(x) }

// repeatMark is that of the place at hand.
func (c *Compiler) repeatMark() repeatMark {
	if c.again == nil {
		return repeatMark{}
	}
	return repeatMark{c.again.mark.From(c), true}
}

// repeating has what compile compiles for a step with retry know whether that has
// run before.
func (c *Compiler) repeating(g *guarded, compile func()) func() {
	r := &repeats{mark: NewLocal[bool](c), around: c.repeatMark(), outer: c.again}
	return func() {
		c.again = r
		compile()
		if c.again = r.outer; r.calls {
			g.again, c.spends = r, true
		}
	}
}
