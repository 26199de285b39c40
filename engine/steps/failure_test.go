package steps_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// callers are flows that need service b: every way in which a verb can hold a
// call. Each answers {"v":1} if b does.
var callers = map[string]string{
	"call": flowtest.Flow(`
- { id: a, call: GET b /x }
- return: { v: $(a.v) }`),

	"compose": flowtest.Flow(`
- compose:
    a: { call: GET b /x }
    other: { set: 2 }
    after: { set: $(a.v) }
- return: { v: $(after) }`),

	"each": flowtest.Flow(`
- each: n in [1, 2, 3]
  id: list
  steps: [{ id: a, call: GET b /x }]
  yield: $(a.v)
- return: { v: '$(list[2])' }`),

	"each, one at a time": flowtest.Flow(`
- each: n in [1, 2]
  id: list
  limit: 1
  steps: [{ id: a, call: GET b /x }]
  yield: $(a.v)
- return: { v: '$(list[1])' }`),

	"switch": flowtest.Flow(`
- id: s
  switch:
    - when: request.method == "GET"
      steps: [{ id: a, call: GET b /x }]
      yield: $(a.v)
- return: { v: $(s) }`),

	"try": flowtest.Flow(`
- try:
    - { id: a, call: GET b /x }
    - return: { v: $(a.v) }
  finally: [{ log: done }]`),

	"run": flowtest.Flow(`
- { id: a, run: shared }
- return: { v: $(a) }`, `
flow: shared
steps:
  - { id: a, call: GET b /x }
  - return: $(a.v)`),

	"all of them at once": flowtest.Flow(`
- compose:
    list:
      each: n in [1]
      steps:
        - compose:
            a:
              try:
                - switch:
                    - steps: [{ run: shared }]
      yield: 1
- return: { v: '$(list[0])' }`, `
flow: shared
steps:
  - { id: a, call: GET b /x }
  - return: $(a.v)`),
}

const limits = `
services: { b: { endpoints: ["http://b"], timeout: 1s, max_body: 1KB } }`

// outcomes are what can become of a call, and what a caller is told of it if
// the flow does not say.
var outcomes = map[string]struct {
	backend http.Handler
	status  int
	code    string
}{
	"success":       {flowtest.JSON(200, `{"v":1}`), 200, ""},
	"400":           {flowtest.JSON(400, `"inside"`), 502, "upstream-failed"},
	"401":           {flowtest.JSON(401, `"inside"`), 502, "upstream-failed"},
	"404":           {flowtest.JSON(404, `not even JSON, inside`), 502, "upstream-failed"},
	"429":           {flowtest.JSON(429, ``), 502, "upstream-failed"},
	"500":           {flowtest.JSON(500, `"inside"`), 502, "upstream-failed"},
	"503":           {flowtest.JSON(503, `"inside"`), 502, "upstream-failed"},
	"timeout":       {&flowtest.Stall{}, 504, "upstream-timeout"},
	"slow body":     {trickle{}, 504, "upstream-timeout"},
	"refused":       {nil, 502, "upstream-unreachable"},
	"closed":        {abort{}, 502, "upstream-unreachable"},
	"reset in body": {flowtest.Broken(`{"v":`), 502, "upstream-unreachable"},
	"bad JSON":      {flowtest.JSON(200, `{"v":1,}`), 502, "upstream-malformed"},
	"not HTTP":      {garbage{}, 502, "upstream-malformed"},
	"too large":     {flowtest.JSON(200, `{"v":1,"inside":"`+strings.Repeat("x", 1024)+`"}`), 502, "upstream-malformed"},
	"no field v":    {flowtest.JSON(200, `7`), 500, "expression-failed"},
	"no JSON":       {page{}, 502, "upstream-malformed"},
}

// trickle begins an answer and does not end it.
type trickle struct{}

func (trickle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"v":`)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// page answers with something else than JSON, and says so.
type page struct{}

func (page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<p>inside</p>")
}

// abort closes the connection instead of answering.
type abort struct{}

func (abort) ServeHTTP(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// garbage answers with something else than HTTP.
type garbage struct{}

func (garbage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_, _ = io.WriteString(conn, "inside out\r\n\r\n")
		conn.Close()
	}
}

func TestWhatNobodyHandlesBecomesAProblem(t *testing.T) {
	for caller, text := range callers {
		for outcome, want := range outcomes {
			t.Run(caller+"/"+outcome, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := flowtest.Serve(t, text+"\n---\n"+limits, flowtest.Backends{"b": want.backend})
					if want.status == 200 {
						w.Get("/").Is(t, 200, `{"v":1}`)
						return
					}
					if want.code == "expression-failed" && caller == "all of them at once" {
						return // it does not look into the answer outside of the flow it runs
					}
					w.Get("/").IsProblem(t, want.status, want.code)
					if !strings.Contains(w.Log(), `"code":"`+want.code+`"`) {
						t.Errorf("the log does not name the problem: %s", w.Log())
					}
				})
			})
		}
	}
}

// A client that has gone takes all calls with it that are made for it.
func TestAClientThatLeavesCancelsItsCalls(t *testing.T) {
	texts := map[string]string{
		"wide each": flowtest.Flow(`
- each: n in 1..20
  limit: 4
  steps: [{ call: GET b /x }]
- return: 1`),
		"wide compose": flowtest.Flow(`
- compose:
    a: { call: GET b /x }
    b: { call: POST b /x, body: 1 }
    c: { each: "n in [1, 2]", steps: [{ call: PUT b /x, body: $(n) }] }
- return: 1`),
		"forward":        flowtest.Flow(`- forward: b`),
		"retry":          flowtest.Flow("- { call: GET b /x, retry: { attempts: 5, on: [reset, connect, timeout] } }\n- return: 1"),
		"handled":        flowtest.Flow("- { id: a, call: GET b /x, fallback: 1 }\n- return: $(a)"),
		"caught":         flowtest.Flow("- call: GET b /x\n  catch: [{ call: GET b /again }]\n- return: 1"),
		"between others": flowtest.Flow("- { set: 1, id: one }\n- call: GET b /x\n- call: GET b /never\n- return: 1"),
	}
	for name, text := range callers {
		texts[name] = text
	}
	calls := map[string]int32{"wide each": 4, "wide compose": 4, "each": 3}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &flowtest.Stall{}
				w := flowtest.Serve(t, text, flowtest.Backends{"b": b})
				ctx, leave := context.WithCancel(t.Context())
				done := make(chan flowtest.Answer)
				go func() { done <- w.Send(w.Request("GET", "/", "").WithContext(ctx)) }()
				synctest.Wait()
				want := max(calls[name], 1)
				if b.Came.Load() != want || b.Gone.Load() != 0 {
					t.Errorf("%d calls came and %d have gone, want %d and 0", b.Came.Load(), b.Gone.Load(), want)
				}
				time.Sleep(time.Second) // a call that has only begun may be told a moment later
				begin := time.Now()
				leave()
				if a := <-done; !errors.Is(a.Err, context.Canceled) {
					t.Errorf("got %d, %v", a.Status, a.Err)
				}
				synctest.Wait()
				if b.Gone.Load() != want || b.Came.Load() != want {
					t.Errorf("%d calls came and %d have gone, want %d", b.Came.Load(), b.Gone.Load(), want)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("the calls ended after %v, want at once", took)
				}
				for _, s := range w.Host.Program().Services {
					if st := s.Client().Stats(); st.InFlight != 0 || st.Endpoints[0].InFlight != 0 {
						t.Errorf("calls are still counted as in flight: %+v", st)
					}
				}
			})
		})
	}
}
