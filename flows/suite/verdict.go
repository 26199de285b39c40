package suite

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// judge says what the caller got.
func (s *Suite) judge(tr trial, o, plain *outcome) Cell {
	cell := Cell{Test: tr.test.Name, After: tr.first, own: hindered(plain.effects)}
	if tr.site.Undoes != "" || !slices.Equal(o.effects, plain.effects) {
		cell.Effects = o.effects // else they are not of the fault
	}
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
	case undoLeft(o) != "":
		cell.Outcome, cell.Detail = LeftUndone, undoLeft(o)
	case deadline > 0 && o.took > deadline && len(o.effects) == 0: // undo has time of its own
		cell.Outcome, cell.Detail = OverDeadline, fmt.Sprintf("the answer took %v, the deadline is %v", o.took, deadline)
	case unmocked >= 0:
		cell.Outcome, cell.Detail = NoMock, o.faults[unmocked].Message
	case len(m.faults) == 0:
		cell.Outcome = Answered
	case !failed:
		cell.Outcome = Degraded
	case deadline > 0 && o.took >= deadline:
		cell.Outcome, cell.Detail = FailedLate, fmt.Sprintf("the caller waits for the whole deadline of %v, and gets status %d", deadline, o.status)
	case stumbled(o) && !stumbled(plain):
		cell.Outcome, cell.Detail = Stumbled, fmt.Sprintf("the flow cannot work with what it has then: %s: %s", o.failed.Span, o.failed.Message)
	default:
		cell.Outcome = FailedClean
	}
	return cell
}

func stumbled(o *outcome) bool { return o.failed != nil && o.failed.Kind == engine.KindExpression }

// insides are what the texts of errors are made of.
var insides = []string{
	"connection refused", "connection reset", "dial tcp", "read tcp", "unexpected EOF", "context deadline exceeded", "context canceled",
	"invalid character", "goroutine ", ".go:",
}

// leak is what an answer tells of the inside, or "". What the answer without
// the fault has, too, is meant.
func (s *Suite) leak(site engine.Site, o, plain *outcome) string {
	if i := slices.IndexFunc(o.faults, func(d dsl.Diagnostic) bool { return d.Code == "secret-leaked" }); i >= 0 {
		return o.faults[i].Message
	}
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
