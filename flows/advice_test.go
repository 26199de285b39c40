package flows_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

// TestAdviceLooksAtSharedFlowsOnce has flows of which each runs the next twice:
// there are more ways through them than anyone could go.
func TestAdviceLooksAtSharedFlowsOnce(t *testing.T) {
	const n = 60
	var text strings.Builder
	text.WriteString("flow: f0\ntrigger: { http: GET /f }\nsteps: [{ run: f1, retry: {}, fallback: 1 }, { run: f1 }]\n---\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&text, "flow: f%d\nsteps: [{ run: f%d, retry: {}, fallback: 1 }, { run: f%d }]\n---\n", i, i+1, i+1)
	}
	fmt.Fprintf(&text, "flow: f%d\nsteps: [{ call: POST users /users }]\n---\nservices: { users: { endpoints: ['http://127.0.0.1:1'] } }\n---\ngateways: { g: { listen: ':1' } }\n", n)
	count := map[string]int{}
	for _, d := range check([]*dsl.Source{dsl.NewSource("flow.yaml", text.String())}) {
		count[d.Code]++
	}
	if count["unsafe-retry"] != n || count["many-requests"] != 1 || len(count) > 4 {
		t.Errorf("got %v", count)
	}
}
