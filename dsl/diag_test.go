package dsl

import (
	"strings"
	"testing"
)

func TestDiagnosticsAreSortedAndUnique(t *testing.T) {
	a, b := NewSource("a.yaml", "one\ntwo\n"), NewSource("b.yaml", "one\n")
	var faults Diagnostics
	faults.Report(Diagnostic{Span: Span{b, 0, 1}, Message: "in b"})
	faults.Report(Diagnostic{Span: Span{a, 4, 5}, Message: "late in a"})
	faults.Report(Diagnostic{Span: Span{a, 0, 1}, Severity: Note, Message: "a note"})
	faults.Report(Diagnostic{Span: Span{a, 0, 1}, Message: "early in a"})
	faults.Report(Diagnostic{Span: Span{a, 0, 1}, Message: "early in a"})
	faults.Report(Diagnostic{Message: "nowhere"})
	var got []string
	for _, x := range faults.All() {
		got = append(got, x.Message)
	}
	const want = "nowhere, early in a, a note, late in a, in b"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}

func TestErrorfGivesTheDiagnosticToComplete(t *testing.T) {
	var faults Diagnostics
	first := faults.Errorf(Span{}, "c", "%d fault", 1)
	for range 100 {
		faults.Errorf(Span{}, "z", "other")
	}
	first.Hint = "set later"
	if x := faults.All()[0]; x.Hint != "set later" || x.Message != "1 fault" {
		t.Errorf("got %+v", x)
	}
}

func TestOnlyErrorsFail(t *testing.T) {
	var faults Diagnostics
	faults.Report(Diagnostic{Severity: Warning})
	faults.Report(Diagnostic{Severity: Note})
	if faults.Failed() || faults.Len() != 2 {
		t.Errorf("failed %t with %d faults, want false with 2", faults.Failed(), faults.Len())
	}
	faults.Report(Diagnostic{})
	if !faults.Failed() {
		t.Error("an error does not fail")
	}
}
