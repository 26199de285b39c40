package dsl

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says whether a diagnostic stops a program from going live.
type Severity uint8

// Only Error stops a program. The zero value is Error, so that a forgotten
// severity is never the harmless one.
const (
	Error Severity = iota
	Warning
	Note
)

func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	default:
		return "note"
	}
}

// Diagnostic is one fault and what to do about it.
type Diagnostic struct {
	Span     Span
	Severity Severity
	Code     string    // stable, kebab-case: unknown-key, duplicate-key
	Message  string    // one sentence, no trailing period: unknown key "timout"
	Hint     string    // the remedy: did you mean "timeout"?
	Related  []Related // other places that take part
	Fixes    []Fix     // what removes the fault, the best first; no other can be Certain

	slip *slip
}

// Related is another place that takes part in a fault.
type Related struct {
	Span    Span
	Message string
}

// Reporter takes faults. *Diagnostics is the one implementation outside tests.
type Reporter interface {
	Report(Diagnostic)
}

// Diagnostics collects faults. The zero value is ready. It is not safe for
// concurrent use.
type Diagnostics struct {
	all    []*Diagnostic
	failed bool
}

// Report adds a fault.
func (d *Diagnostics) Report(x Diagnostic) { d.add(x) }

// Errorf adds an Error and returns it, for its Hint and Related to be set.
func (d *Diagnostics) Errorf(span Span, code, format string, args ...any) *Diagnostic {
	return d.add(Diagnostic{Span: span, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (d *Diagnostics) add(x Diagnostic) *Diagnostic {
	if x.slip != nil {
		if fix, ok := x.slip.fix(x.Span); ok {
			x.Fixes = append([]Fix{fix}, x.Fixes...)
		}
		x.slip = nil
	}
	d.failed = d.failed || x.Severity == Error
	d.all = append(d.all, &x)
	return &x
}

// Failed reports whether any fault is an Error.
func (d *Diagnostics) Failed() bool { return d.failed }

// Len is the number of faults reported, duplicates included.
func (d *Diagnostics) Len() int { return len(d.all) }

// All is every fault once, ordered by file, position and severity. Faults
// without an address come first. A warning about a place that an error is about
// is left out: who repairs the one sees whether the other is still there.
func (d *Diagnostics) All() []Diagnostic {
	all := make([]Diagnostic, len(d.all))
	for i, x := range d.all {
		all[i] = *x
	}
	slices.SortStableFunc(all, func(a, b Diagnostic) int {
		return cmp.Or(compareDiagnostics(a, b), -cmp.Compare(a.worth(), b.worth())) // of equals the first is kept
	})
	all = slices.CompactFunc(all, func(a, b Diagnostic) bool { return compareDiagnostics(a, b) == 0 })
	wrong := map[Span]bool{}
	return slices.DeleteFunc(all, func(x Diagnostic) bool {
		if x.Severity == Error && x.Span.Valid() {
			wrong[x.Span] = true
		}
		return x.Severity == Warning && wrong[x.Span]
	})
}

func compareDiagnostics(a, b Diagnostic) int {
	return cmp.Or(
		cmp.Compare(a.Span.file(), b.Span.file()),
		cmp.Compare(a.Span.Start, b.Span.Start),
		cmp.Compare(a.Severity, b.Severity),
		cmp.Compare(a.Span.End, b.Span.End),
		cmp.Compare(a.Code, b.Code),
		cmp.Compare(a.Message, b.Message),
	)
}

func (s Span) file() string {
	if s.Source == nil {
		return ""
	}
	return s.Source.Name
}
