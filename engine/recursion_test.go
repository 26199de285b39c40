package engine

import (
	"testing"

	"github.com/weir-run/weir/dsl"
)

func TestRecursionNamesEveryCircleOnce(t *testing.T) {
	flow := func(name string) *Flow { return &Flow{Name: dsl.String{Value: name}} }
	a, b, c, self, leaf := flow("a"), flow("b"), flow("c"), flow("self"), flow("leaf")
	for _, call := range [][2]*Flow{{a, b}, {a, leaf}, {b, c}, {b, leaf}, {c, b}, {self, self}} {
		call[0].Calls(call[1], dsl.Span{})
	}
	var faults dsl.Diagnostics
	Recursion([]*Flow{a, b, c, self, leaf}, &faults)
	var got []string
	for _, d := range faults.All() {
		got = append(got, d.Message)
	}
	want := []string{"this flow runs itself: b -> c -> b", "this flow runs itself: self -> self"}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q, want %q", got, want)
	}
}
