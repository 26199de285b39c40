package explain_test

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/explain"
	"github.com/weir-run/weir/gateway/policies"
)

func TestExplainTellsWhichPoliciesApplyAndFromWhere(t *testing.T) {
	guards, err := policies.NewCatalog(policies.All()...)
	if err != nil {
		t.Fatal(err)
	}
	catalog := &flows.Catalog{Steps: verbs(t), Policies: guards}
	source := dsl.NewSource("flow.yaml", `flow: orders
trigger: { http: "GET /orders/{id}", policies: [staff, { authorize: { when: params.id != "0" } }] }
steps: [{ return: 1 }]
---
flow: public
trigger: { http: GET /public, without: [ip, rate_limit] }
steps: [{ return: 1 }]
---
policies:
  staff: { authorize: { when: request.method == "GET" } }
---
gateways: { public: { listen: ":8080", policies: [{ ip: { allow: [10.0.0.0/8] }, rate_limit: { rate: 10/s, also: [{ rate: 100/m }], by: $(request.remote), shadow: true } }] } }
`)
	p, faults := flows.Check(&flows.Files{Sources: []*dsl.Source{source}}, catalog, flows.Environment{Plans: true})
	if p == nil {
		t.Fatal(faults)
	}
	var got strings.Builder
	for _, f := range p.Flows {
		if err := explain.Explain(p, catalog, f).Text(&got); err != nil {
			t.Fatal(err)
		}
	}
	if want := `
policies, in the order in which requests go through them
  ip, of gateway public (flow.yaml:12:53)
  authorize, of policies staff (flow.yaml:10:12)
  authorize, of flow orders (flow.yaml:2:58)
  rate_limit: 10/s and 100/m by $(request.remote); refuses nothing, of gateway public (flow.yaml:12:82)
`; !strings.Contains(got.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if strings.Count(got.String(), "policies, in the order") != 1 {
		t.Errorf("the route without policies has some:\n%s", got.String())
	}
}
