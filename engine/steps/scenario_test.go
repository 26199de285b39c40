package steps_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// scenario is one request to a flow, what must come of it and what the services
// must have been asked. Service s is a shop: it notes every request, and answers
// as a script says.
type scenario struct {
	name   string
	steps  string
	more   string // further sections of the flow, or documents
	script map[string]http.Handler
	post   string
	status int
	body   string // of the answer, or
	code   string // of the problem
	took   time.Duration
	calls  string // of the shop: METHOD /path, in order; or anyCalls
	said   string // by log steps
}

// anyCalls stands for calls that are not looked at.
const anyCalls = "*"

// posted looks at what becomes of a request: how long it takes, and an answer with
// a body, or a problem if there is a code.
func posted(t *testing.T, w *flowtest.World, post string, took time.Duration, status int, body, code string) {
	t.Helper()
	begin := time.Now()
	a := w.Post("/", post)
	if got := time.Since(begin).Truncate(time.Microsecond); got != took {
		t.Errorf("it took %v, want %v", got, took)
	}
	if code != "" {
		a.IsProblem(t, status, code)
	} else {
		a.Is(t, status, body)
	}
}

func (s *scenario) run(t *testing.T) {
	t.Helper()
	t.Run(s.name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shop := &shop{script: s.script}
			w := flowtest.Serve(t, flowtest.Flow(s.steps, s.documents()...), flowtest.Backends{"s": shop, "stall": &flowtest.Stall{}})
			posted(t, w, s.post, s.took, s.status, s.body, s.code)
			if got := shop.asked(); s.calls != anyCalls && got != s.calls {
				t.Errorf("asked for %q, want %q", got, s.calls)
			}
			if got := said(w); got != s.said {
				t.Errorf("logged %q, want %q", got, s.said)
			}
		})
	})
}

func (s *scenario) documents() []string {
	if s.more == "" {
		return nil
	}
	return []string{s.more}
}

// shop is a service that notes what it is asked. What its script does not have
// it answers with {"id":N}, N being the number of the request.
type shop struct {
	script map[string]http.Handler // by METHOD /path

	mu    sync.Mutex
	notes []string
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	note := r.Method + " " + r.URL.Path
	if r.URL.RawQuery != "" {
		note += "?" + r.URL.RawQuery
	}
	s.mu.Lock()
	s.notes = append(s.notes, note)
	n := len(s.notes)
	s.mu.Unlock()
	if h, ok := s.script[note]; ok {
		h.ServeHTTP(w, r)
		return
	}
	flowtest.JSON(200, fmt.Sprintf(`{"id":%d}`, n)).ServeHTTP(w, r)
}

// asked are the notes, in the order of their arrival.
func (s *shop) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.notes, ", ")
}

// after answers when some time has passed, if the caller is still there.
func after(d time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

var (
	unavailable = flowtest.JSON(503, `{"why":"inside"}`)
	notFound    = flowtest.JSON(404, `{"why":"inside"}`)
)
