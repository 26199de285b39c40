package engine_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is one GET / to a flow that uses the service b, and what must come
// of it.
type request struct {
	name    string
	steps   string
	more    string // further documents, or sections of the flow before its steps
	backend http.Handler
	status  int
	body    string        // of the answer, or
	code    string        // of the problem
	calls   int32         // of a *flowtest.Script
	took    time.Duration // in virtual time
}

func (r *request) run(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var more []string
			if r.more != "" {
				more = append(more, r.more)
			}
			w := flowtest.Serve(t, flowtest.Flow(r.steps, more...), flowtest.Backends{"b": r.backend})
			begin := time.Now()
			a := w.Get("/")
			took := time.Since(begin).Truncate(time.Microsecond) // pauses of tests are shorter
			if took != r.took {
				t.Errorf("it took %v, want %v", took, r.took)
			}
			if r.code != "" {
				a.IsProblem(t, r.status, r.code)
			} else {
				a.Is(t, r.status, r.body)
			}
			if s, ok := r.backend.(*flowtest.Script); ok && s.Calls.Load() != r.calls {
				t.Errorf("%d calls, want %d", s.Calls.Load(), r.calls)
			}
		})
	})
}
