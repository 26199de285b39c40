package flows_test

import (
	"slices"
	"testing"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// TestRetryIsOneWord compares the retry of a step with that of a service: what
// an author knows of one is true of the other. Only what on is by default
// differs, which both say: a step counts with a timeout, a service does not.
func TestRetryIsOneWord(t *testing.T) {
	property := func(s *dsl.Schema, key string) *dsl.Property {
		i := slices.IndexFunc(s.Fields, func(f dsl.Property) bool { return f.Key == key })
		if i < 0 {
			t.Fatalf("there is no key %s", key)
		}
		return &s.Fields[i]
	}
	step, service := property(engine.ModifierSchema(), "retry"), property(connectors.ServiceKind.Schema(), "retry")
	for _, f := range step.Fields {
		other := property(service.Schema, f.Key)
		written := func(n *dsl.Node) string {
			if n == nil {
				return ""
			}
			return n.Text
		}
		if f.Type != other.Type || f.Max != other.Max || written(f.Default) != written(other.Default) {
			t.Errorf("retry.%s of a step is not that of a service", f.Key)
		}
	}
	const on = "retry: { attempts: 4, on: [connect, timeout, reset, 4xx, 5xx, 503, 429], backoff: 10ms, max_backoff: 1s }"
	for _, d := range check([]*dsl.Source{dsl.NewSource("flow.yaml", `
flow: a
trigger: { http: GET /a }
steps:
  - call: GET users /users
    `+on+`
---
gateways: { public: { listen: ":8080" } }
services:
  users: { endpoints: ["http://127.0.0.1:1"], timeout: 10ms, `+on+` }
`)}) {
		if d.Severity == dsl.Error {
			t.Error(d.Message)
		}
	}
}
