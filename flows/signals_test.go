package flows_test

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

func TestTheRevisionOfAFlowIsThatOfWhatItDoes(t *testing.T) {
	const text = `
template: greeting
steps: [{ id: said, set: { hello: hi } }]
yield: $(said)
---
flow: inner
steps: [{ id: g, use: greeting }, { return: $(g) }]
---
flow: outer
trigger: { http: GET /a }
steps: [{ id: x, run: inner }, { return: $(x) }]
---
flow: other
trigger: { http: GET /b }
steps: [{ return: 1 }]
---
gateways: { public: { listen: ":1" } }
`
	revisions := func(text string) map[string]string {
		all := map[string]string{}
		for _, f := range flowtest.Check(t, text).Flows {
			all[f.Name.Value] = f.Revision()
		}
		return all
	}
	before := revisions(text)
	if len(before["outer"]) != 12 || before["outer"] == before["other"] {
		t.Errorf("%v", before)
	}
	for _, c := range []struct{ from, to, changed string }{
		{"hello: hi", "hello: you", "inner outer"}, {"id: g,", "id: g, timeout: 1s,", "inner outer"}, {"GET /a", "GET /c", "outer"}, {"GET /b", "POST /b", "other"}, {"return: 1", "return: 2", "other"},
	} {
		after := revisions(strings.Replace(text, c.from, c.to, 1))
		var changed []string
		for _, name := range []string{"inner", "other", "outer"} {
			if after[name] != before[name] {
				changed = append(changed, name)
			}
		}
		if got := strings.Join(changed, " "); got != c.changed {
			t.Errorf("%s: %s changed, want %s", c.to, got, c.changed)
		}
	}
}

func TestAGatewayThatRecordsNeedsACollector(t *testing.T) {
	w := flowtest.Serve(t, version("1"), backends())
	err := w.Apply(version("2") + "gateways: { recorded: { listen: \":1\", access_log: { otlp: true } } }\n")
	if err == nil || !strings.Contains(err.Error(), "there is no collector for otlp: set OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_LOGS_EXPORTER=none") {
		t.Errorf("%v", err)
	}
}
