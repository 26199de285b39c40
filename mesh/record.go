package mesh

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Attempt is the record of one attempt: what was tried, why there, what came of
// it, and why another attempt followed or none did.
type Attempt struct {
	Service  string
	Number   int    // from 1, in the order in which the attempts of a call began
	Endpoint string // base URL
	Picked   string // why this endpoint: "balanced", "not tried yet", "all were tried", "too few are usable", "its version has none", "its caller is kept there"
	Hedge    bool   // it was started beside another that took long
	Unhedged string // why none was started beside it, although it took longer than most: one of the Unhedged constants

	Start  time.Time
	Wait   time.Duration // the pause before it
	Took   time.Duration // until the header of a reply that is streamed, or the last byte of any other
	Class  Class
	Status int // of the reply; 0 without one
	Err    error

	Next   Decision      // what followed
	Pause  time.Duration // if it is Retried: how long the next attempt waits
	Budget int           // how many requests the retry budget has left; -1 without one
}

// Observer follows the attempts of one call. A hedge runs on a goroutine of its
// own: Begin can be called while another Begin or End is.
type Observer interface {
	// Begin is called before an attempt is sent, with its Number and the header
	// that it is to be sent with. It gives the header to send in its place, which
	// can be the same; it does not change it, because other attempts have it, too.
	Begin(number int, header http.Header) http.Header
	// End is called with the record of an attempt, when it is known what follows
	// it, on the goroutine of the call.
	End(a Attempt)
}

// String tells of an attempt in a line: its number, the endpoint and why it was
// picked, the outcome and when it was known, and what followed. It has nothing of
// the request, and nothing that the endpoint said but the status.
func (a *Attempt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s (%s", a.Number, a.Endpoint, a.Picked)
	if a.Hedge {
		b.WriteString(", hedge")
	}
	b.WriteString("): ")
	if a.Status != 0 {
		fmt.Fprintf(&b, "%d", a.Status)
	} else {
		b.WriteString(a.Class.String())
	}
	fmt.Fprintf(&b, " in %v, %v", brief(a.Took), a.Next)
	if a.Next == Retried {
		fmt.Fprintf(&b, " after %v", brief(a.Pause))
	}
	if a.Unhedged != "" {
		fmt.Fprintf(&b, ", not hedged, because %s", a.Unhedged)
	}
	if a.Budget >= 0 {
		fmt.Fprintf(&b, ", budget %d", a.Budget)
	}
	return b.String()
}

// Attempts are those of one call, in the order in which they ended.
type Attempts []Attempt

// String tells of them one after the other, as [Attempt.String] does.
func (all Attempts) String() string {
	var b strings.Builder
	for i := range all {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(all[i].String())
	}
	return b.String()
}

// brief is a duration with three digits or so.
func brief(d time.Duration) time.Duration {
	switch {
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// Why no attempt was started beside one that took long.
const (
	UnhedgedBudget = "a budget is spent"
	UnhedgedLedger = "the run's ledger is spent"
	UnhedgedRate   = "the rate of the service is spent"
	UnhedgedSlack  = "what runs beside the call takes longer"
)

// A Ledger bounds what several calls, which belong together, make of attempts
// beyond the first of each. Withdraw takes leave for one. It is safe for concurrent
// use, and is not asked any more when the call has ended.
type Ledger interface{ Withdraw() bool }

// Decision says why an attempt was followed by another one, or why it was not.
type Decision uint8

const (
	// Done: the attempt gave the reply of the call.
	Done Decision = iota
	// Retried: another attempt follows.
	Retried
	// Ended: the caller has gone, or its deadline has passed.
	Ended
	// NotListed: the outcome is not one of [Retry].On.
	NotListed
	// Exhausted: it was the last of [Retry].Attempts.
	Exhausted
	// Unsafe: the endpoint may have acted, and acting twice may not be the same.
	Unsafe
	// BodyGone: a part of the request's body has been read and was not kept.
	BodyGone
	// NoTime: the pause and another attempt do not fit the time that is left.
	NoTime
	// Unavailable: no endpoint may be tried.
	Unavailable
	// OverBudget: the service has had its share of retries.
	OverBudget
	// LedgerSpent: [Call].Ledger said no.
	LedgerSpent
	// RateSpent: [Rate] has no turn in time.
	RateSpent
	// Lost: another attempt that ran beside it gave the reply.
	Lost
	// Renewed: the endpoint did not take the credentials; another attempt follows
	// with others, once in a call and beside [Retry].
	Renewed

	decisions // their number
)

var decisionNames = [decisions]string{
	Done: "done", Retried: "retried", Ended: "ended", NotListed: "not_listed", Exhausted: "exhausted", Unsafe: "unsafe",
	BodyGone: "body_gone", NoTime: "no_time", Unavailable: "unavailable", OverBudget: "over_budget", LedgerSpent: "ledger_spent", RateSpent: "rate_spent", Lost: "lost", Renewed: "renewed",
}

// String returns the decision as it is written in metrics.
func (d Decision) String() string {
	if d < decisions {
		return decisionNames[d]
	}
	return "unknown"
}

// Reason is what the text of an error says of the decision; empty where the
// failure says it.
func (d Decision) Reason() string {
	switch d {
	case Unsafe:
		return "not repeated, because it may have had its effect"
	case BodyGone:
		return "not repeated, because the request's body was not kept"
	case NoTime:
		return "not repeated for lack of time"
	case OverBudget:
		return "not repeated, because the retry budget is spent"
	case LedgerSpent:
		return "not repeated, because the run's ledger is spent"
	case RateSpent:
		return "not repeated, because the rate of the service is spent"
	}
	return ""
}

func (a *Attempt) describe(p pick, out *outcome) {
	a.Endpoint, a.Picked = p.endpoint.target.URL, p.why
	a.Start, a.Took, a.Class, a.Status, a.Err = out.start, out.took, out.class, out.status(), out.err
}

// record tells whoever wants to know what became of an attempt.
func (r *run) record(call *Call, a *Attempt) {
	s := r.service
	call.Stopped = a.Next
	if a.Next == OverBudget {
		s.denied.Add(1)
	}
	told := call.Record || a.Next != Done || len(call.Records) > 0
	if !told && call.Observer == nil && s.cfg.Observe == nil {
		return
	}
	a.Service, a.Budget = s.name, s.budget.left(a.Start.Add(a.Took).Sub(s.opened))
	if told {
		call.Records = append(call.Records, *a)
	}
	if call.Observer != nil {
		call.Observer.End(*a)
	}
	if s.cfg.Observe != nil {
		s.cfg.Observe(r.req.Context(), *a)
	}
}
