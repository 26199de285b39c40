package suite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/suite"
)

const shared = `
template: lookup
input: { service: { type: service } }
steps:
  - id: item
    call: GET $(input.service) /
    timeout: 1s
    fallback: null
  - switch:
      - when: item == null
        steps:
          - call: GET $(input.service) /again
yield: $(item)
---
flow: a
trigger: { http: GET /a, deadline: 5s }
steps:
  - id: one
    use: lookup
    with: { service: stock }
  - use: lookup
    with: { service: offers }
  - use: lookup
    when: one == null
    with: { service: offers }
  - return: $(one)
---
flow: b
trigger: { http: GET /b, deadline: 5s }
steps:
  - id: one
    use: lookup
    with: { service: stock }
  - return: $(one)
---
services: { stock: { endpoints: ["http://stock"] }, offers: { endpoints: ["http://offers"] } }
---
gateways: { public: { listen: ":8080" } }
---
tests:
  - { test: a, request: GET /a, mock: { stock: { body: { name: lamp } }, offers: { body: { name: lamp } } }, expect: { body: { name: lamp } } }
`

// Each use of a template is covered, and broken, by itself.
func TestStepsOfTemplatesAreThoseOfTheirUses(t *testing.T) {
	s, ds := load(t, program(shared))
	if s == nil {
		t.Fatal(rendered(ds))
	}
	var got strings.Builder
	for _, c := range s.Run(s.Tests, func(r suite.Result) {
		if !r.Passed() {
			t.Error(rendered(r.Faults))
		}
	}) {
		fmt.Fprintf(&got, "%s %d/%d %d/%d\n", c.Flow, c.Steps, c.AllSteps, c.Ways, c.AllWays)
		for _, m := range c.Missed {
			fmt.Fprintf(&got, "  %s %s\n", m.Span, m.What)
		}
	}
	for _, m := range s.Faults(s.Tests) {
		for _, r := range m.Rows {
			fmt.Fprintf(&got, "%s %s %s: timeout %s, 500 %s\n", m.Flow, r.Step, r.Call, r.Cells[0].Outcome, r.Cells[2].Outcome)
		}
	}
	const want = `
a 7/13 3/10
  flow.yaml:6:5 the step lookup#2.item
  flow.yaml:8:5 the fallback of one.item
  flow.yaml:8:5 the fallback of lookup.item
  flow.yaml:8:5 the fallback of lookup#2.item
  flow.yaml:9:5 the step lookup#2.switch
  flow.yaml:9:5 no case of the switch, in lookup#2
  flow.yaml:10:9 this case of the switch, in one
  flow.yaml:10:9 this case of the switch, in lookup
  flow.yaml:10:9 this case of the switch, in lookup#2
  flow.yaml:12:13 the step one.call
  flow.yaml:12:13 the step lookup.call
  flow.yaml:12:13 the step lookup#2.call
  flow.yaml:23:5 the step use
b 0/5 0/3
  flow.yaml:6:5 the step one.item
  flow.yaml:8:5 the fallback of one.item
  flow.yaml:9:5 the step one.switch
  flow.yaml:9:5 no case of the switch, in one
  flow.yaml:10:9 this case of the switch, in one
  flow.yaml:12:13 the step one.call
  flow.yaml:32:5 the step one
  flow.yaml:34:5 the step return
a lookup#2.item offers: timeout degraded, 500 degraded
a lookup.item offers: timeout answered, 500 answered
a one.item stock: timeout degraded, 500 degraded
a lookup#2.call offers: timeout -, 500 -
a lookup.call offers: timeout failed late, 500 failed clean
a one.call stock: timeout failed late, 500 failed clean
`
	if got.String() != want[1:] {
		t.Errorf("got\n%swant%s", got.String(), want)
	}
}
