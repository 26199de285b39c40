package steps_test

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flow is a flow file with one flow, which GET / and POST / start.
func flow(steps string) string {
	return "flow: get\ntrigger: { http: GET /, deadline: 10s }\nsteps:\n" + indent(steps) +
		"\n---\nflow: post\ntrigger: { http: POST /, deadline: 10s }\nsteps:\n" + indent(steps)
}

// with adds sections to a flow file.
func with(sections ...string) string { return "\n---\n" + strings.Join(sections, "\n---\n") }

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n  ")
}

// expect checks an answer's status and body.
func expect(t *testing.T, got flowtest.Answer, status int, body string) {
	t.Helper()
	if got.Err != nil {
		t.Errorf("no whole answer: %v", got.Err)
	} else if got.Status != status || got.Body != body {
		t.Errorf("got %d %s, want %d %s", got.Status, got.Body, status, body)
	}
}

// expectProblem checks an answer that must be a problem and show nothing of
// the inside.
func expectProblem(t *testing.T, got flowtest.Answer, status int, code string) {
	t.Helper()
	p := got.Problem(t)
	if got.Status != status || p.Code != code {
		t.Errorf("got %d %q, want %d %q: %s", got.Status, p.Code, status, code, got.Body)
	}
	for _, inside := range []string{"inside", ":80", "test.yaml", "EOF", "dial", "refused", "context", "goroutine", "panic", ".go"} {
		if strings.Contains(got.Body, inside) {
			t.Errorf("the caller is told of the inside (%q): %s", inside, got.Body)
		}
	}
}
