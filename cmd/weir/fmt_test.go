package main

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/language"
)

// TestWhatWeShowIsCanonical formats the examples and those of the Kinds, which
// are in the reference: nothing that authors copy may be changed by weir fmt.
func TestWhatWeShowIsCanonical(t *testing.T) {
	c, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	texts := shownFiles(t)
	add := func(kind string, examples []dsl.Example, head, indent string) {
		for _, x := range examples {
			texts[kind+": "+x.Name] = head + strings.ReplaceAll(strings.TrimSpace(x.YAML), "\n", "\n"+indent) + "\n"
		}
	}
	for _, k := range c.Steps.All() {
		add(k.Name, k.Examples, "flow: x\nsteps:\n  - ", "    ")
	}
	add("service", connectors.ServiceKind.Examples, "services:\n  x:\n    ", "    ")
	add("gateway", flows.GatewayKind.Examples, "gateways:\n  x:\n    ", "    ")

	g := language.Grammar(c)
	for name, text := range texts {
		var faults dsl.Diagnostics
		got, ok := dsl.Format(dsl.NewSource(name, text), g, &faults)
		if !ok {
			t.Errorf("%s: %v", name, faults.All())
		} else if got != text {
			t.Errorf("%s is not in the canonical form, which is\n%s", name, got)
		}
	}
}
