package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/flows/flowtest"
)

// breakage is a verb that fails in whatever way it is told.
type breakage struct{ err error }

func (b breakage) Run(context.Context, *engine.Exchange) error {
	if b.err == nil {
		panic("inside a panic")
	}
	return b.err
}

func breaks(kind engine.Kind) engine.StepKind {
	type config struct {
		Break bool `yaml:"break"`
	}
	return dsl.Define("break", "Fails.", func(*engine.Compiler, *dsl.Node, *config) engine.Step {
		if kind == "" {
			return breakage{}
		}
		return breakage{&engine.Error{Kind: kind, Status: 418, Message: "inside", Body: engine.JSON(`"inside"`), Code: "inside-a-fail"}}
	})
}

// Every kind of failure has its status and its code, and tells nothing else.
func TestWhatTheCallerIsToldOfAFailure(t *testing.T) {
	for kind, want := range map[engine.Kind]struct {
		status int
		code   string
	}{
		engine.KindStatus:        {502, "upstream-failed"},
		engine.KindTimeout:       {504, "upstream-timeout"},
		engine.KindDeadline:      {504, "deadline-exceeded"},
		engine.KindConnect:       {502, "upstream-unreachable"},
		engine.KindReset:         {502, "upstream-unreachable"},
		engine.KindBreaker:       {503, "unavailable"},
		engine.KindOverloaded:    {503, "overloaded"},
		engine.KindNoCredentials: {502, "upstream-unreachable"},
		engine.KindMalformed:     {502, "upstream-malformed"},
		engine.KindTooLarge:      {502, "upstream-malformed"},
		engine.KindInput:         {400, "bad-request"},
		engine.KindExpression:    {500, "expression-failed"},
		engine.KindInternal:      {500, "internal-error"},
		"":                       {500, "internal-error"}, // a panic
	} {
		t.Run("of kind "+string(kind), func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow("- break: true"), nil, breaks(kind))
			for range 2 {
				w.Get("/").IsProblem(t, want.status, want.code)
			}
			if want.status >= 500 && !strings.Contains(w.Log(), "inside") {
				t.Errorf("the log does not tell the cause: %s", w.Log())
			}
		})
	}
}

func TestErrors(t *testing.T) {
	down := flowtest.JSON(503, `{"why":"inside","list":[1,2]}`)
	const call = "\n- { id: a, call: GET b / }\n- return: 1\nerrors:\n"
	for _, tt := range []struct {
		name, errors string
		status       int
		body         string
		media        string
	}{
		{"the first that fits", `
- { when: error.status == 404, return: first, status: 404 }
- { when: error.status == 503, return: second, status: 503 }
- { return: third }`, 503, "second", "text/plain; charset=utf-8"},
		{"the last fits all", `
- { when: error.status == 404, return: first, status: 404 }
- { return: second }`, 502, "second", "text/plain; charset=utf-8"},
		{"an object", "\n- return: { step: $(error.step), status: $(error.status) }", 502, `{"step":"a","status":503}`, "application/json"},
		{"an object with a title is a problem", "\n- { return: { title: Sorry, status: $(error.status) }, status: 500 }", 500, `{"title":"Sorry","status":503}`, "application/problem+json"},
		{"which the author may call otherwise", "\n- { return: { title: Sorry }, headers: { content-type: text/json } }", 502, `{"title":"Sorry"}`, "text/json"},
		{"nothing", "\n- { return: null, status: 204 }", 204, "", ""},
		{"a status that an expression gives", "\n- { return: x, status: $(error.status + 1) }", 504, "x", "text/plain; charset=utf-8"},
		{"what the backend said, if the author says so", "\n- return: $(error.body)", 502, `{"why":"inside","list":[1,2]}`, "application/json"},
		{"with the request at hand", "\n- return: [$(request.method), $(request.path), $(query.q)]", 502, `["GET","/","7"]`, "application/json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(call[1:]+strings.Trim(tt.errors, "\n")), flowtest.Backends{"b": down})
			a := w.Get("/?q=7")
			a.Is(t, tt.status, tt.body)
			if got := a.Header.Get("Content-Type"); got != tt.media {
				t.Errorf("content type %q, want %q", got, tt.media)
			}
			if a.Header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
			if log := w.Log(); tt.status >= 500 && !strings.Contains(log, "b answered with status 503") {
				t.Errorf("the log does not tell what was answered: %s", log)
			}
		})
	}
	for _, tt := range []struct{ name, errors, code string }{
		{"none fits", "- { when: error.status == 404, return: 1 }", "upstream-failed"},
		{"a condition fails", "- { when: error.body.why.deeper == 1, return: 1 }", "expression-failed"},
		{"an answer fails", "- { return: $(error.body.why.deeper) }", "expression-failed"},
		{"a status is none", "- { return: 1, status: $(error.attempts) }", "expression-failed"},
		{"a header is none", `- { return: 1, headers: { x: $("a\nb") } }`, "expression-failed"},
	} {
		t.Run("a problem if "+tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(call[1:]+tt.errors), flowtest.Backends{"b": down})
			status := 500
			if tt.code == "upstream-failed" {
				status = 502
			}
			w.Get("/").IsProblem(t, status, tt.code)
		})
	}
	t.Run("also when the time is up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(`
- { call: POST b /, body: $(body) }
- return: 1
errors:
  - when: "any(body.list, # == 2)"
    return: { kind: $(error.kind), list: [{ $each: n in body.list, n: $(n) }] }`), flowtest.Backends{"b": &flowtest.Stall{}})
			begin := time.Now()
			w.Post("/", `{"list":[1,2]}`).Is(t, 504, `{"kind":"deadline","list":[[{"n":1},{"n":2}]]}`)
			if took := time.Since(begin); took != 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	})
}

func TestWhatACallerMayBeToldIsTheDetail(t *testing.T) {
	const told = "\nerrors: [{ return: { it: $(error.detail) } }]"
	for _, tt := range []struct{ name, steps, body string }{
		{"what a fail says", "- fail: Sorry", `{"it":"Sorry"}`},
		{"what is wrong with the request", "- return: $(body.a.b)", `{"it":"The body of the request has no a.b, which this route reads."}`},
		{"nothing of the inside", "- { id: a, call: GET b / }\n- return: $(a)", `{"it":null}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(tt.steps+told), flowtest.Backends{"b": flowtest.JSON(503, `"inside"`)})
			a := w.Post("/", `{"a":1}`)
			a.Is(t, a.Status, tt.body)
		})
	}
}

func TestAFailIsTheAuthorsProblem(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow(`
- { when: query.q == "1", fail: "At most \"$(query.q)\"", status: 422, code: too-many }
- { fail: Broken }`), nil)
	if p := w.Get("/?q=1").IsProblem(t, 422, "too-many"); p.Title != `At most "1"` {
		t.Errorf("title %q", p.Title)
	}
	if p := w.Get("/").IsProblem(t, 500, "flow-failed"); p.Title != "Broken" {
		t.Errorf("title %q", p.Title)
	}
}

func TestAnswers(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/x-dot")
		_, _ = io.WriteString(w, "\x00\xff.")
	})
	for _, tt := range []struct {
		name, steps string
		status      int
		body, media string
	}{
		{"an object", "- return: { a: 1 }", 200, `{"a":1}`, "application/json"},
		{"text", "- return: hello", 200, "hello", "text/plain; charset=utf-8"},
		{"a number", "- return: 1.10", 200, "1.10", "application/json"},
		{"an expression's text", `- return: $("a" + "b")`, 200, "ab", "text/plain; charset=utf-8"},
		{"an expression's object", `- return: $({"a":1})`, 200, `{"a":1}`, "application/json"},
		{"false is something", "- return: false", 200, "false", "application/json"},
		{"empty text is something", `- return: ""`, 200, "", "text/plain; charset=utf-8"},
		{"null is no content", "- return: null", 204, "", ""},
		{"null with a status", "- { return: null, status: 202 }", 202, "", ""},
		{"no return", "- { id: a, set: 1 }", 204, "", ""},
		{"bytes as they came", "- { id: a, call: GET b / }\n- return: $(a)", 200, "\x00\xff.", "image/x-dot"},
		{"a type of its own", `- { return: "<p>", headers: { content-type: text/html } }`, 200, "<p>", "text/html"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(tt.steps), flowtest.Backends{"b": backend})
			a := w.Get("/")
			a.Is(t, tt.status, tt.body)
			if got := a.Header.Get("Content-Type"); got != tt.media {
				t.Errorf("content type %q, want %q", got, tt.media)
			}
			h := w.Send(w.Request("HEAD", "/", ""))
			h.Is(t, tt.status, "")
			if got, want := h.Header.Get("Content-Length"), a.Header.Get("Content-Length"); got != want && a.Body != "" {
				t.Errorf("HEAD says length %q, GET %q", got, want)
			}
		})
	}
}

func TestBodiesOfRequests(t *testing.T) {
	const text = `
flow: f
trigger: { http: POST /, max_body: 64B }
steps: [{ return: { got: $(body) } }]
---
flow: g
trigger: { http: POST /unread, max_body: 64B }
steps: [{ return: 1 }]`
	for _, tt := range []struct {
		name, media, body string
		status            int
		want              string // or
		code              string
	}{
		{"JSON", "application/json", `{"a":1.10}`, 200, `{"got":{"a":1.10}}`, ""},
		{"JSON by another name", "application/merge-patch+json; charset=utf-8", `[1]`, 200, `{"got":[1]}`, ""},
		{"JSON without a name", "", `[1]`, 200, `{"got":[1]}`, ""},
		{"text", "text/plain", `[1]`, 200, `{"got":"[1]"}`, ""},
		{"nothing", "application/json", ``, 200, `{"got":null}`, ""},
		{"bad JSON", "application/json", `{"inside":`, 400, "", "body-malformed"},
		{"two values", "application/json", `1 2`, 400, "", "body-malformed"},
		{"too deep", "application/json", strings.Repeat("[", 65), 413, "", "body-too-large"},
		{"at the limit", "application/json", `"` + strings.Repeat("x", 62) + `"`, 200, `{"got":"` + strings.Repeat("x", 62) + `"}`, ""},
		{"too large", "application/json", strings.Repeat("1", 65), 413, "", "body-too-large"},
	} {
		for _, length := range []int64{int64(len(tt.body)), -1} {
			t.Run(fmt.Sprintf("%s, length %d", tt.name, length), func(t *testing.T) {
				w := flowtest.Serve(t, text, nil)
				send := func(path string) flowtest.Answer {
					r := w.Request("POST", path, tt.body)
					r.Header.Del("Content-Type")
					if tt.media != "" {
						r.Header.Set("Content-Type", tt.media)
					}
					if tt.body != "" {
						r.ContentLength = length
					}
					return w.Send(r)
				}
				if tt.code != "" {
					send("/").IsProblem(t, tt.status, tt.code)
				} else {
					send("/").Is(t, tt.status, tt.want)
				}
				if len(tt.body) <= 64 || length < 0 { // a length that is too large is refused unseen
					send("/unread").Is(t, 200, "1")
				}
			})
		}
	}
}

// A body in a coding is passed on by a flow that does not look into it, and
// refused by one that does, before a byte is read.
func TestBodiesInACoding(t *testing.T) {
	text := `flow: reads
trigger: { http: POST /reads }
steps: [{ return: $(body) }]
---
flow: passes on
trigger: { http: POST /passes }
steps: [{ forward: backend }]
`
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("Content-Encoding"), got)
	})
	w := flowtest.Serve(t, text, flowtest.Backends{"backend": backend})
	for _, c := range []struct {
		path, coding, body string
		status             int
		want               string
	}{
		{"/reads", "gzip", `{"bomb":1}`, 415, ""},
		{"/reads", "gzip, identity", `{}`, 415, ""},
		{"/reads", "Identity", `{}`, 200, "{}"},
		{"/reads", "gzip", "", 204, ""},
		{"/passes", "gzip", "zip", 200, "gzip zip"},
	} {
		r, err := http.NewRequest("POST", "http://public:80"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", c.coding)
		got := flowtest.Read(w.Client.Do(r))
		if c.status != 415 {
			got.Is(t, c.status, c.want)
			continue
		}
		got.IsProblem(t, 415, "body-encoded")
		if accepts := got.Header.Get("Accept-Encoding"); accepts != "identity" {
			t.Errorf("it is not said what is taken: %q", accepts)
		}
	}
}

func TestABodyThatBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := flowtest.Serve(t, flowtest.Flow("- return: $(body)"), nil)
		conn, err := w.Dial(t.Context(), "memory", "public:80")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: public\r\nContent-Length: 10\r\n\r\n[1,2")
		conn.Close()
		synctest.Wait()
		if strings.Contains(w.Log(), `"level":"ERROR"`) {
			t.Errorf("a client that leaves is no error: %s", w.Log())
		}
	})
}
