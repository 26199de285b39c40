package flows_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/engine/trace"
	"github.com/weir-run/weir/flows/flowtest"
)

const (
	callersTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersParent = "00-" + callersTrace + "-00f067aa0ba902b7-01"
)

// sent keeps the headers of the requests that backends got.
type sent struct {
	mu  sync.Mutex
	all map[string][]http.Header
}

func (s *sent) keep(name string, r *http.Request) (number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string][]http.Header{}
	}
	s.all[name] = append(s.all[name], r.Header)
	return len(s.all[name])
}

func tracer(spans *flowtest.Spans) *trace.Tracer {
	return &trace.Tracer{Sampler: trace.Sampler{Ratio: 1, Follow: true}, Sink: spans}
}

const traced = `
flow: profile
trigger: { http: "GET /profiles/{id}", deadline: 10s }
steps:
  - compose:
      user: { call: GET users /users/$(params.id), query: { token: xyz } }
      offers: { call: GET offers /offers, fallback: [] }
  - { id: price, run: price-of, with: { user: $(user.name) } }
  - return: { user: $(user.name), offers: $(offers), price: $(price) }
---
flow: price-of
input: { user: {} }
steps:
  - each: n in [1, 2]
    limit: 1
    id: prices
    steps: [{ id: one, call: "GET prices /of/$(input.user)" }]
    yield: $(one)
  - return: $(prices)
---
services:
  users: { endpoints: ["http://users"], retry: { attempts: 2, backoff: 10ms, max_backoff: 10ms } }
  offers: { endpoints: ["http://offers:8081/base"] }
  prices: { endpoints: ["http://prices"] }
`

// tracedBackends: the users fail once, the offers are not there.
func tracedBackends(kept *sent) flowtest.Backends {
	return flowtest.Backends{
		"users": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := kept.keep("users", r)
			time.Sleep(time.Duration(n) * 20 * time.Millisecond)
			if n == 1 {
				w.WriteHeader(503)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"name":"Ada"}`)
		}),
		"prices": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kept.keep("prices", r)
			time.Sleep(5 * time.Millisecond)
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "7")
		}),
	}
}

func TestARequestIsATreeOfSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept sent
		spans := &flowtest.Spans{}
		w := flowtest.ServeTraced(t, tracer(spans), traced, tracedBackends(&kept))
		r := w.Request("GET", "/profiles/7?secret=x", "")
		r.Header.Set("Traceparent", callersParent)
		r.Header.Set("Tracestate", "congo=t61rcWkgMzE")
		r.Header.Set("Baggage", "tenant=blue")
		answer := w.Send(r)
		if answer.Body != `{"user":"Ada","offers":[],"price":[7,7]}` {
			t.Fatal(answer)
		}
		synctest.Wait()
		got := spans.Tree("http.response.status_code", "error.type", "weir.handled.by", "weir.service", "weir.attempt.next", "http.request.resend_count", "url.full", "code.line.number")
		pause := spans.All()[slices.IndexFunc(spans.All(), func(s trace.Span) bool { return s.Name == "compose" })]
		wait := pause.Ended.Sub(pause.Start) - 60*time.Millisecond // full jitter
		want := fmt.Sprintf(`
GET /profiles/{id} %[1]v status_code=200
  compose %[2]v number=5
    call offers 0s by=fallback number=7
      GET 0s type=connect service=offers next=exhausted full=http://offers:8081/base/offers FAILED dial offers:8081: connecting: dial memory offers:8081: connection refused
    call user %[2]v number=6
      GET 20ms status_code=503 type=503 service=users next=retried full=http://users/users/7 FAILED 
      GET 40ms status_code=200 service=users next=done resend_count=1 full=http://users/users/7
  run price 10ms number=8
    each prices 10ms number=14
      call one 5ms number=17
        GET 5ms status_code=200 service=prices next=done full=http://prices/of/Ada
      call one 5ms number=17
        GET 5ms status_code=200 service=prices next=done full=http://prices/of/Ada
    return 0s number=19
  return 0s number=9
`, 70*time.Millisecond+wait, 60*time.Millisecond+wait)
		if "\n"+got != want {
			t.Errorf("got\n%s\nwant%s", got, want)
		}

		// What the services were sent names the attempts as its parents.
		byID := map[string]trace.Span{}
		for _, s := range spans.All() {
			if byID[s.ID.String()] = s; s.Trace.String() != callersTrace || s.State != "congo=t61rcWkgMzE" {
				t.Errorf("%s is in trace %v, with the state %q", s.Name, s.Trace, s.State)
			}
		}
		parents := map[string]bool{}
		for name, headers := range kept.all {
			for _, h := range headers {
				parent := h.Get("Traceparent")
				id := parent[36:52]
				if span := byID[id]; span.Kind != trace.Client || parents[id] || parent != "00-"+callersTrace+"-"+id+"-01" {
					t.Errorf("%s was sent %q", name, parent)
				}
				parents[id] = true
				if h.Get("Tracestate") != "congo=t61rcWkgMzE" || h.Get("Baggage") != "tenant=blue" {
					t.Errorf("%s was sent %v", name, h)
				}
			}
		}
		if len(parents) != 4 {
			t.Errorf("%d requests", len(parents))
		}
		for _, s := range spans.All() {
			for _, a := range s.Attrs {
				if strings.Contains(a.Text, "xyz") || strings.Contains(a.Text, "secret") {
					t.Errorf("%s tells of the query: %+v", s.Name, a)
				}
			}
		}
		own := byID[func() string {
			for id, s := range byID {
				if s.Kind == trace.Server {
					return id
				}
			}
			return ""
		}()]
		var attrs []string
		for _, a := range own.Attrs {
			if a.Key != "weir.request_id" && a.Key != "weir.config" && a.Key != "weir.flow_config" {
				attrs = append(attrs, fmt.Sprint(a.Key, "=", a.Text, a.Number))
			}
		}
		if got, want := strings.Join(attrs, " "), "http.request.method=GET0 http.route=/profiles/{id}0 weir.flow=profile0 url.path=/profiles/70 url.scheme=http0 "+
			"network.protocol.version=1.10 server.address=public0 client.address=127.0.0.10 user_agent.original=Go-http-client/1.10 weir.gateway=public0 "+
			"http.response.status_code=200"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

// A trace that nobody records goes on all the same, and one that is not valid
// does not.
func TestTracesGoOnWhereNothingIsRecorded(t *testing.T) {
	both := `
flow: passed
trigger: { http: GET /forward }
steps: [{ forward: b }]
---
flow: called
trigger: { http: GET /call }
steps: [{ call: GET b /x }]
---
services: { b: { endpoints: ["http://b"] } }
`
	unsampled := callersParent[:53] + "00"
	for _, c := range []struct {
		name   string
		tracer *trace.Tracer
		in     http.Header
		want   string // traceparent, with * for what is made up
		state  string
	}{
		{"nothing comes", nil, http.Header{}, "", ""},
		{"no tracer", nil, http.Header{"Traceparent": {callersParent}, "Tracestate": {"a=1", "b=2"}}, callersParent, "a=1 b=2"},
		{"no tracer, not valid", nil, http.Header{"Traceparent": {"00-1-2-3"}, "Tracestate": {"a=1"}}, "", ""},
		{"no tracer, two", nil, http.Header{"Traceparent": {callersParent, unsampled}, "Tracestate": {"a=1"}}, "", ""},
		{"no tracer, a state alone", nil, http.Header{"Tracestate": {"a=1"}}, "", ""},
		{"not sampled", tracer(nil), http.Header{"Traceparent": {unsampled}, "Tracestate": {"a=1", "b=2"}}, "00-" + callersTrace + "-*-00", "a=1,b=2"},
		{"none is begun", &trace.Tracer{Sink: &flowtest.Spans{}}, http.Header{"Tracestate": {"a=1"}}, "00-*-*-02", ""},
	} {
		for _, path := range []string{"/forward", "/call"} {
			synctest.Test(t, func(t *testing.T) {
				var got http.Header
				w := flowtest.ServeTraced(t, c.tracer, both, flowtest.Backends{"b": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header })})
				r := w.Request("GET", path, "")
				for name, values := range c.in {
					r.Header[name] = values
				}
				if a := w.Send(r); a.Status >= 300 {
					t.Fatal(a)
				}
				parent, want := strings.Split(strings.Join(got["Traceparent"], " "), "-"), strings.Split(c.want, "-")
				fits := len(parent) == len(want)
				for i := range parent {
					fits = fits && (parent[i] == want[i] || want[i] == "*" && parent[i] != "00f067aa0ba902b7")
				}
				if !fits || strings.Join(got["Tracestate"], " ") != c.state {
					t.Errorf("%s, %s: sent %q and %q", c.name, path, got["Traceparent"], got["Tracestate"])
				}
			})
		}
	}
}

// What goes on without the request is a part of its trace; what is done for
// several has one of its own, which leads to theirs.
func TestSpansBesideARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := &flowtest.Spans{}
		w := flowtest.ServeTraced(t, tracer(spans), flowtest.Flow(`
- tap: [{ wait: 1s }]
- aggregate: $(query.n)
  size: 2
  max_age: 1h
  steps: [{ wait: 2s }]
  yield: 1
`), nil)
		w.Get("/?n=1")
		w.Get("/?n=2")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := spans.Tree(), `
GET / 0s
  aggregate 0s
  tap 0s
    wait 1s
GET / 2s
  aggregate 2s
  tap 0s
    wait 1s
aggregate get 2s
  wait 2s
`; "\n"+got != want {
			t.Errorf("got\n%s", got)
		}
		i := slices.IndexFunc(spans.All(), func(s trace.Span) bool { return s.Name == "aggregate get" })
		links := spans.All()[i].Links
		var roots []trace.SpanID
		for _, s := range spans.All() {
			if s.Kind == trace.Server {
				roots = append(roots, s.ID)
			}
		}
		if len(links) != 2 || !slices.Contains(roots, links[0].SpanID) || !slices.Contains(roots, links[1].SpanID) {
			t.Errorf("linked to %v, not to %v", links, roots)
		}
	})
}

func TestAFailureTellsItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := &flowtest.Spans{}
		w := flowtest.ServeTraced(t, tracer(spans), `
flow: f
trigger: { http: GET / }
steps: [{ id: user, call: GET users /users/1, query: { token: made-up } }]
---
services:
  users: { endpoints: ["http://users"], retry: { attempts: 2, backoff: 1ms, max_backoff: 1ms } }
`, flowtest.Backends{"users": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(12 * time.Millisecond)
			w.WriteHeader(503)
		})})
		r := w.Request("GET", "/", "")
		r.Header.Set("Traceparent", callersParent)
		if a := w.Send(r); a.Status != 502 {
			t.Fatal(a)
		}
		synctest.Wait()
		var line struct {
			Msg, Attempts string
			TraceID       string `json:"trace_id"`
		}
		for l := range strings.Lines(w.Log()) {
			if strings.Contains(l, "attempts of a call") && !strings.Contains(l, `"service":"users"`) {
				t.Errorf("logged %s", l)
			}
			if strings.Contains(l, "request failed") {
				if err := json.Unmarshal([]byte(l), &line); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := "1 http://users (balanced): 503 in 12ms, retried after 0s, budget 99; 2 http://users (all were tried): 503 in 12ms, exhausted, budget 99"
		if got := regexp.MustCompile(`after [0-9.]+[µm]s`).ReplaceAllString(line.Attempts, "after 0s"); got != want || line.TraceID != callersTrace {
			t.Errorf("logged %+v", line)
		}
		own := spans.All()[len(spans.All())-1]
		if !own.Failed || !strings.Contains(own.Why, "users answered with status 503") {
			t.Errorf("%+v", own)
		}
	})
}
