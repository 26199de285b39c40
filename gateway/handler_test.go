package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func problemIn(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%d with content type %q: %s", w.Code, got, w.Body)
	}
	var p map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p["status"] != float64(w.Code) || p["request_id"] != w.Header().Get("X-Request-Id") {
		t.Errorf("the document does not agree with its answer: %v, %d %v", p, w.Code, w.Header())
	}
	return p
}

func TestRequestsWithoutARouteGetProblems(t *testing.T) {
	h := newTestHandler(t, Options{}, route("GET", "/a"), route("POST", "/a"), route("OPTIONS", "/o"))
	tests := []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/b", 404, "route-not-found", ""},
		{"GET", "/a/", 404, "route-not-found", ""},
		{"OPTIONS", "/b", 404, "route-not-found", ""},
		{"PUT", "/a", 405, "method-not-allowed", "GET, HEAD, OPTIONS, POST"},
		{"BREW", "/o", 405, "method-not-allowed", "OPTIONS"},
		{"POST", "/%2e%2e/a", 400, "bad-path", ""},
		{"POST", "//a", 400, "bad-path", ""},
		{"TRACE", "/a", 501, "method-not-supported", ""},
	}
	for _, tt := range tests {
		w := do(h, tt.method, tt.path)
		if w.Code != tt.status || w.Header().Get("Allow") != tt.allow || w.Header().Get("Location") != "" {
			t.Errorf("%s %s: got %d, %v", tt.method, tt.path, w.Code, w.Header())
		}
		if code := problemIn(t, w)["code"]; code != tt.code {
			t.Errorf("%s %s: got code %q, want %q", tt.method, tt.path, code, tt.code)
		}
	}
}

func TestOptionsIsAnsweredForEveryRoute(t *testing.T) {
	h := newTestHandler(t, Options{}, route("GET", "/a"), route("DELETE", "/a"), route("OPTIONS", "/own"))
	w := do(h, "OPTIONS", "/a")
	if w.Code != 204 || w.Header().Get("Allow") != "DELETE, GET, HEAD, OPTIONS" || w.Body.Len() > 0 {
		t.Errorf("got %d, %v", w.Code, w.Header())
	}
	if w := do(h, "OPTIONS", "/own"); w.Code != 200 || w.Body.String() != "OPTIONS /own" {
		t.Errorf("own: got %d, %s", w.Code, w.Body)
	}
}

func TestRecordReachesTheHandler(t *testing.T) {
	var got *Request
	r := route("GET", "/u/{id}")
	r.Name, r.Handler = "user", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		type other struct{}
		got = FromContext(context.WithValue(r.Context(), other{}, "value"))
	})
	w := do(newTestHandler(t, Options{}, r), "GET", "/u/a%2Fb")
	if got.Route.Name != "user" || got.ID != w.Header().Get("X-Request-Id") || got.Start.IsZero() {
		t.Errorf("got %+v", got)
	}
	if id, ok := got.Var("id"); id != "a/b" || !ok {
		t.Errorf("id is %q, %v", id, ok)
	}
	if _, ok := got.Var("name"); ok {
		t.Error("there is a variable that the path does not have")
	}
	if FromContext(context.Background()) != nil {
		t.Error("there is a record outside of a request")
	}
}

func TestRequestIDs(t *testing.T) {
	h := newTestHandler(t, Options{}, route("GET", "/a"))
	tests := []struct {
		name  string
		given []string
		kept  bool
	}{
		{"none", nil, false},
		{"safe", []string{"0190-abc_DEF.~+/=:@"}, true},
		{"longest", []string{strings.Repeat("x", 128)}, true},
		{"too long", []string{strings.Repeat("x", 129)}, false},
		{"empty", []string{""}, false},
		{"two", []string{"a", "b"}, false},
		{"space", []string{"a b"}, false},
		{"quote", []string{`a"b`}, false},
		{"line feed", []string{"a\nb"}, false},
		{"beyond ASCII", []string{"ä"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/a", nil)
			r.Header["X-Request-Id"] = tt.given
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got := w.Header()["X-Request-Id"]
			if len(got) != 1 || tt.kept && got[0] != tt.given[0] || !tt.kept && !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(got[0]) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestPanicBecomesAProblem(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	r := route("GET", "/a")
	r.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		panic("the inside")
	})
	h := newTestHandler(t, Options{Log: slog.New(slog.NewJSONHandler(&log, nil)), Metrics: newTestMetrics(t, registry)}, r)
	w := do(h, "GET", "/a")
	if w.Code != 500 || problemIn(t, w)["code"] != "internal-error" || strings.Contains(w.Body.String(), "inside") || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, want := range []string{"the inside", "handler_test.go", w.Header().Get("X-Request-Id")} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
	if got := scrape(t, registry, "weir_http_panics_total"); got != `weir_http_panics_total{gateway="test"} 1` {
		t.Errorf("got %s", got)
	}
}

func TestAnAnswerThatHasBegunIsCutOff(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"by a panic": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic("late")
		},
		"by a problem": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half")
			WriteProblem(w, r, Problem{Status: 502})
		},
		"by the handler": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			r := route("GET", "/a")
			r.Handler = handler
			defer func() {
				if v := recover(); v != http.ErrAbortHandler {
					t.Errorf("got %v", v)
				}
			}()
			do(newTestHandler(t, Options{}, r), "GET", "/a")
		})
	}
}

func TestFailuresAreLoggedWithTheirCause(t *testing.T) {
	var log bytes.Buffer
	r := route("GET", "/a/{id}")
	r.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		FromContext(r.Context()).Err = errors.New("users: connection refused")
		WriteProblem(w, r, Problem{Status: 502, Code: "bad-gateway"})
	})
	h := newTestHandler(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, r, route("GET", "/b"))
	do(h, "GET", "/a/x%20status=200?token=hidden")
	for _, want := range []string{"status=502", "code=bad-gateway", `error="users: connection refused"`, `route="GET /a/{id}"`, `path="/a/x status=200"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "hidden") {
		t.Errorf("the log has the query: %s", log.String())
	}
	log.Reset()
	do(h, "GET", "/b")
	do(h, "GET", "/none")
	do(h, "TRACE", "/b")
	if log.Len() > 0 {
		t.Errorf("what is no failure is logged: %s", log.String())
	}
}

func TestWhatAPolicyRefusesIsNoFailure(t *testing.T) {
	var log bytes.Buffer
	faults := new(Faults)
	r := route("GET", "/a")
	r.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Refuse(w, r, "shed", Problem{Status: 503, Code: "overloaded"})
	})
	for level, want := range map[slog.Level]string{slog.LevelInfo: "", slog.LevelDebug: "request refused"} {
		log.Reset()
		h := newTestHandler(t, Options{Faults: faults, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))}, r)
		do(h, "GET", "/a")
		do(h, "TRACE", "/a")
		if got := log.String(); want == "" && got != "" || strings.Count(got, want) < 2 && want != "" || strings.Contains(got, "ERROR") {
			t.Errorf("at %v the log says %q", level, got)
		}
	}
	if all := faults.All(); len(all) != 1 || all[0].Code != "overloaded" || all[0].Count != 2 {
		t.Errorf("the faults are %+v", all)
	}
}

func TestDeadlineIsOnTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := route("GET", "/a")
		r.Deadline = 2 * time.Second
		r.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != 2*time.Second {
				t.Errorf("deadline in %v", time.Until(d))
			}
			time.Sleep(time.Second)
			if err := ctx.Err(); err != nil {
				t.Errorf("over before its time: %v", err)
			}
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(child), context.DeadlineExceeded) {
				t.Errorf("ended by %v, %v", ctx.Err(), context.Cause(child))
			}
			if took := time.Since(FromContext(child).Start); took != 2*time.Second {
				t.Errorf("ended after %v", took)
			}
		})
		do(newTestHandler(t, Options{}, r), "GET", "/a")
	})
}

func TestDeadlineEndsAHandlerThatOnlyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := route("GET", "/a")
		r.Deadline = time.Second
		r.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			if err := r.Context().Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			select {
			case <-r.Context().Done():
			default:
				t.Error("it is over, but not done")
			}
		})
		do(newTestHandler(t, Options{}, r), "GET", "/a")
	})
}

func TestAnEarlierDeadlineAndAClientThatLeavesWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := route("GET", "/a")
		r.Deadline = time.Minute
		var done <-chan struct{}
		r.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if d, _ := r.Context().Deadline(); time.Until(d) != time.Second {
				t.Errorf("deadline in %v", time.Until(d))
			}
			done = r.Context().Done()
			<-done
			if err := r.Context().Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("ended by %v", err)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		time.AfterFunc(time.Millisecond, cancel)
		newTestHandler(t, Options{}, r).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/a", nil))
	})
}

func TestContextEndsWithTheRequest(t *testing.T) {
	r := route("GET", "/a")
	r.Deadline = time.Hour
	var ctx context.Context
	r.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context(); ctx.Done() })
	do(newTestHandler(t, Options{}, r), "GET", "/a")
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("after the request: %v", err)
	}
}

// All layers together add the record, in which the copy of the request is that
// carries the context, and the id; a deadline that nobody waits for is free.
func TestLayersAllocateTwice(t *testing.T) {
	r := route("GET", "/u/{id}/{n:[0-9]+}")
	r.Deadline = time.Second
	r.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := r.Context().Deadline(); !ok || r.Context().Err() != nil || FromContext(r.Context()) == nil {
			t.Error("the context is not the request's")
		}
		w.WriteHeader(http.StatusNoContent)
	})
	h := newTestHandler(t, Options{}, r)
	request := httptest.NewRequest("GET", "/u/7/8", nil)
	w := discard{http.Header{}}
	if allocs := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, request) }); allocs > 2 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestBodyCaps(t *testing.T) {
	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if p, ok := ProblemOf(err); ok {
			if !errors.Is(err, ErrBodyTooLarge) {
				t.Errorf("not the exported error: %v", err)
			}
			if _, again := r.Body.Read(make([]byte, 1)); !errors.Is(again, ErrBodyTooLarge) {
				t.Errorf("the next read: %v", again)
			}
			WriteProblem(w, r, p)
			return
		}
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	})
	small, open, usual := route("POST", "/small"), route("POST", "/open"), route("POST", "/usual")
	small.Handler, small.MaxBody = read, 4
	open.Handler, open.MaxBody = read, -1
	usual.Handler = read
	h := newTestHandler(t, Options{MaxBody: 8}, small, open, usual)
	tests := []struct {
		path, body string
		status     int
	}{
		{"/small", "", 200}, {"/small", "1234", 200}, {"/small", "12345", 413},
		{"/usual", "12345678", 200}, {"/usual", "123456789", 413},
		{"/open", strings.Repeat("x", 100_000), 200},
	}
	for _, tt := range tests {
		for _, chunked := range []bool{false, true} {
			r := httptest.NewRequest("POST", tt.path, strings.NewReader(tt.body))
			if chunked {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("%s with %d bytes, chunked %v: got %d", tt.path, len(tt.body), chunked, w.Code)
				continue
			}
			if tt.status == 200 {
				if w.Body.String() != tt.body {
					t.Errorf("%s: got %d of %d bytes", tt.path, w.Body.Len(), len(tt.body))
				}
				continue
			}
			if p := problemIn(t, w); p["code"] != "body-too-large" || p["limit_bytes"] == nil || w.Header().Get("Connection") != "close" {
				t.Errorf("%s: got %v, %v", tt.path, p, w.Header())
			}
		}
	}
}

// What a flow does has no part in it: the request ends before any of it runs.
func TestABodyThatAnnouncesItselfAsTooLargeReachesNobody(t *testing.T) {
	r := route("POST", "/")
	r.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the flow ran") })
	w := httptest.NewRecorder()
	newTestHandler(t, Options{MaxBody: 8}, r).ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader("123456789")))
	if w.Code != 413 || w.Header().Get("Connection") != "close" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

func TestRequestsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := newTestMetrics(t, registry)
	fail := route("POST", "/fail")
	fail.Name, fail.Handler = "fail", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := scrape(t, registry, "weir_http_requests_in_flight"); got != `weir_http_requests_in_flight{gateway="test"} 1` {
			t.Errorf("got %s", got)
		}
		WriteProblem(w, r, Problem{Status: 503})
	})
	users, all := route("GET", "/users/{id}"), route("", "/all")
	users.Name, all.Name = "users", "all"
	h := newTestHandler(t, Options{Metrics: metrics}, users, all, fail)
	for _, r := range []string{"GET /users/1", "GET /users/2", "HEAD /users/3", "PATCH /all", "POST /fail", "GET /none", "BREW /users/1", "OPTIONS /users/1"} {
		method, path, _ := strings.Cut(r, " ")
		do(h, method, path)
	}
	want := map[string]string{
		"weir_http_requests_in_flight": `weir_http_requests_in_flight{gateway="test"} 0`,
		"weir_http_requests_total": `weir_http_requests_total{gateway="test",method="GET",route="",status="4xx"} 1
weir_http_requests_total{gateway="test",method="GET",route="users",status="2xx"} 3
weir_http_requests_total{gateway="test",method="OPTIONS",route="",status="2xx"} 1
weir_http_requests_total{gateway="test",method="POST",route="fail",status="5xx"} 1
weir_http_requests_total{gateway="test",method="any",route="all",status="2xx"} 1
weir_http_requests_total{gateway="test",method="other",route="",status="4xx"} 1`,
		"weir_http_unrouted_requests_total": `weir_http_unrouted_requests_total{gateway="test",reason="method-not-allowed"} 1
weir_http_unrouted_requests_total{gateway="test",reason="route-not-found"} 1`,
		"weir_http_request_duration_seconds_count": `weir_http_request_duration_seconds_count{gateway="test",method="GET",route=""} 1
weir_http_request_duration_seconds_count{gateway="test",method="GET",route="users"} 3
weir_http_request_duration_seconds_count{gateway="test",method="OPTIONS",route=""} 1
weir_http_request_duration_seconds_count{gateway="test",method="POST",route="fail"} 1
weir_http_request_duration_seconds_count{gateway="test",method="any",route="all"} 1
weir_http_request_duration_seconds_count{gateway="test",method="other",route=""} 1`,
	}
	for name, want := range want {
		if got := scrape(t, registry, name); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}
