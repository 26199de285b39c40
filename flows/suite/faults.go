package suite

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// A call can go wrong in more ways than its author thinks of. Faults runs every
// test again for every call that it makes and every fault below, with that one
// call broken in that one way, each time it is made, and looks at what the
// caller of the flow gets:
//
//	answered      what the test expects, as if nothing had happened
//	degraded      another answer that is no failure
//	failed clean  a failure, before the deadline, that tells nothing of the inside
//	failed late   a failure because the whole deadline was used up
//	no mock       unknown: the flow called what the test does not mock
//	over deadline an answer after the deadline
//	leaks         an answer with something of the inside
//
// The last two are defects of the flow. The resilience coverage of a program is
// the share of the faults, over all calls of the flows that have tests, of which
// it is shown that they are answered, degraded or failed clean. A call that no
// test reaches covers none.

// Kinds are the faults, in the order of a Row's Cells.
var Kinds = []string{"timeout", "refused", "500", "503", "malformed", "slow"}

// Outcome is what a caller gets from a flow of which one call is broken; of two
// the greater is the worse.
type Outcome uint8

// The outcomes.
const (
	Unreached Outcome = iota
	Answered
	Degraded
	FailedClean
	FailedLate
	NoMock
	OverDeadline
	Leaks
)

func (o Outcome) String() string {
	return [...]string{"-", "answered", "degraded", "failed clean", "failed late", "no mock", "over deadline", "leaks"}[o]
}

// Good reports whether the flow has coped.
func (o Outcome) Good() bool { return Answered <= o && o <= FailedClean }

// Defect reports whether the flow is wrong.
func (o Outcome) Defect() bool { return o >= OverDeadline }

// Cell is the worst that one fault of one call leads to in any test.
type Cell struct {
	Outcome Outcome
	Test    string // the test that shows it
	Detail  string // more about what went wrong
}

// Row is one call of a flow.
type Row struct {
	Step  string
	Call  string // as it is written: GET users
	Span  dsl.Span
	Cells []Cell
}

// Matrix is all calls of one flow under all faults.
type Matrix struct {
	Flow     string
	Deadline time.Duration // 0: none
	Tests    int
	Rows     []Row
}

// Resilience counts the faults that a program copes with.
func Resilience(all []Matrix) (good, total, defects int) {
	for _, m := range all {
		for _, r := range m.Rows {
			for _, c := range r.Cells {
				total++
				if c.Outcome.Good() {
					good++
				}
				if c.Outcome.Defect() {
					defects++
				}
			}
		}
	}
	return good, total, defects
}

// injection is one broken call.
type injection struct {
	at   place
	kind string
}

// replaces reports whether a call at a place gets the fault instead of its
// answer.
func (b *injection) replaces(at place) bool { return b != nil && b.at == at && b.kind != "slow" }

// delay lets a slow call take as long as it may without failing.
func (b *injection) delay(ctx context.Context, at place, timeout time.Duration) error {
	if b == nil || b.at != at || b.kind != "slow" {
		return nil
	}
	return sleep(ctx, timeout-time.Millisecond)
}

// mark is in what a broken service says, and must not come out.
const mark = "inner-detail-of-a-failing-service"

func (b *injection) roundTrip(req *http.Request) (*http.Response, error) {
	json := http.Header{"Content-Type": {"application/json"}, "X-Inner": {mark}}
	switch b.kind {
	case "refused":
		return failing(req, "connect")
	case "500":
		return respond(req, http.StatusInternalServerError, json, `{"message":"`+mark+`"}`), nil
	case "503":
		return respond(req, http.StatusServiceUnavailable, json, `{"message":"`+mark+`"}`), nil
	}
	return failing(req, b.kind)
}

// trial is one test with one broken call.
type trial struct {
	test   *Test
	site   engine.Site
	kind   int
	result Cell
}

// Faults breaks every call of the flows that tests are about. Tests that do not
// pass are left out.
func (s *Suite) Faults(tests []*Test) []Matrix {
	var trials []trial
	plain := map[*Test]*outcome{}
	matrices := map[string]*Matrix{}
	inOrder(len(tests), func(i int) *outcome { return s.play(tests[i], nil, nil) }, func() func(*outcome) {
		i := -1
		return func(o *outcome) {
			i++
			t := tests[i]
			if t.Flow == "" || len(t.expect.judge(o)) > 0 {
				return
			}
			plain[t] = o
			m := matrices[t.Flow]
			if m == nil {
				m = s.matrix(t.Flow)
				matrices[t.Flow] = m
			}
			m.Tests++
			for _, site := range s.reachable(t.Flow) {
				if !o.sites[place{span: site.Span}] {
					continue
				}
				for kind := range Kinds {
					trials = append(trials, trial{test: t, site: site, kind: kind})
				}
			}
		}
	}())
	inOrder(len(trials), func(i int) trial {
		tr := trials[i]
		o := s.play(tr.test, nil, &injection{at: place{span: tr.site.Span}, kind: Kinds[tr.kind]})
		tr.result = s.judge(tr, o, plain[tr.test])
		return tr
	}, func(tr trial) {
		for i, row := range matrices[tr.test.Flow].Rows {
			if row.Span == tr.site.Span && row.Cells[tr.kind].Outcome < tr.result.Outcome {
				matrices[tr.test.Flow].Rows[i].Cells[tr.kind] = tr.result
			}
		}
	})
	var all []Matrix
	for _, flow := range sortedKeys(matrices) {
		all = append(all, *matrices[flow])
	}
	return all
}

// matrix is that of a flow of which nothing is known yet.
func (s *Suite) matrix(flow string) *Matrix {
	m := &Matrix{Flow: flow, Deadline: s.deadline(flow)}
	for _, site := range s.reachable(flow) {
		r := Row{Step: site.Name, Span: site.Span, Cells: make([]Cell, len(Kinds)), Call: strings.Join(servicesOf(site), ", ")}
		m.Rows = append(m.Rows, r)
	}
	return m
}

// reachable are the call sites of a flow, and of those it runs.
func (s *Suite) reachable(flow string) (sites []engine.Site) {
	parts := s.parts(flow)
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == flow })
	for _, part := range append([]string{flow}, parts...) {
		sites = append(sites, s.plan.callSites(part)...)
	}
	return sites
}

func (s *Suite) deadline(flow string) time.Duration {
	for _, f := range s.Program.Flows {
		if f.Name.Value == flow && f.Trigger != nil {
			return f.Trigger.Deadline
		}
	}
	return 0
}

// judge says what the caller got.
func (s *Suite) judge(tr trial, o, plain *outcome) Cell {
	cell := Cell{Test: tr.test.Name}
	deadline := s.deadline(tr.test.Flow)
	m := o.matcher()
	tr.test.expect.answer(m, o)
	failed := o.status >= http.StatusBadRequest || o.aborted
	leak := ""
	if tr.test.request != nil {
		leak = s.leak(tr.site, o, plain)
	}
	unmocked := slices.IndexFunc(o.faults, func(d dsl.Diagnostic) bool { return d.Code == "no-mock" })
	switch {
	case leak != "":
		cell.Outcome, cell.Detail = Leaks, leak
	case deadline > 0 && o.took > deadline:
		cell.Outcome, cell.Detail = OverDeadline, fmt.Sprintf("the answer took %v, the deadline is %v", o.took, deadline)
	case unmocked >= 0:
		cell.Outcome, cell.Detail = NoMock, o.faults[unmocked].Message
	case len(m.faults) == 0:
		cell.Outcome = Answered
	case !failed:
		cell.Outcome = Degraded
	case deadline > 0 && o.took >= deadline:
		cell.Outcome, cell.Detail = FailedLate, fmt.Sprintf("the caller waits for the whole deadline of %v, and gets status %d", deadline, o.status)
	default:
		cell.Outcome = FailedClean
	}
	return cell
}

// insides are what the texts of errors are made of.
var insides = []string{
	"connection refused", "connection reset", "dial tcp", "read tcp", "unexpected EOF", "context deadline exceeded", "context canceled",
	"invalid character", "goroutine ", ".go:",
}

// leak is what an answer tells of the inside, or "". What the answer without
// the fault has, too, is meant.
func (s *Suite) leak(site engine.Site, o, plain *outcome) string {
	before, after := plain.text(), o.text()
	if site.Verb != "forward" && strings.Contains(after, mark) {
		return "the answer passes on what the failing service said: " + o.shown()
	}
	for _, text := range insides {
		if strings.Contains(after, text) && !strings.Contains(before, text) {
			return fmt.Sprintf("the answer tells of the inside (%q): %s", text, o.shown())
		}
	}
	for _, service := range s.Program.Services {
		for _, endpoint := range service.Endpoints() {
			u, err := url.Parse(endpoint)
			if err == nil && u.Host != "" && strings.Contains(after, u.Host) && !strings.Contains(before, u.Host) {
				return fmt.Sprintf("the answer tells the address of service %s: %s", service.Name.Value, o.shown())
			}
		}
	}
	return ""
}

// text is all that the caller sees.
func (o *outcome) text() string {
	var b strings.Builder
	for _, name := range sortedKeys(o.header) {
		b.WriteString(name + ": " + strings.Join(o.header[name], ", ") + "\n")
	}
	b.Write(o.body)
	return b.String()
}
