package connectors_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// received tells what a backend was asked, as JSON text.
var received = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%s %s|%s|%s|%s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("X-Test"), body)
})

func TestWhatACallSends(t *testing.T) {
	for _, tt := range []struct{ name, call, want string }{
		{"nothing but the request", `{ id: a, call: GET b /a/b }`, "GET /a/b|||"},
		{"a value stays within its segment", `{ id: a, call: 'GET b /a/$("x/y?z#%")/b' }`, "GET /a/x%2Fy%3Fz%23%25/b|||"},
		{"what the author escaped", `{ id: a, call: GET b /a%2Fb }`, "GET /a%2Fb|||"},
		{"a query, in the order written", `{ id: a, call: GET b /, query: { z: 1, a: "&=+ é", none: null, list: [1, x, null], s: $("a&b") } }`,
			"GET /?z=1&a=%26%3D%2B+%C3%A9&list=1&list=x&s=a%26b|||"},
		{"a header", `{ id: a, call: GET b /, headers: { x-test: $("v" + "1") } }`, "GET /||v1|"},
		{"no header for null", `{ id: a, call: GET b /, headers: { x-test: null } }`, "GET /|||"},
		{"JSON", `{ id: a, call: POST b /, body: { n: $(body.n), t: "$(body.t)" } }`, `POST /|application/json||{"n":12345678901234567890,"t":"\"é"}`},
		{"a part of the request's body as it stands", `{ id: a, call: PUT b /, body: $(body.n) }`, "PUT /|application/json||12345678901234567890"},
		{"text", `{ id: a, call: PATCH b /, body: "t $(body.t)" }`, `PATCH /|text/plain; charset=utf-8||t "é`},
		{"text of the request's body", `{ id: a, call: PATCH b /, body: $(body.t) }`, `PATCH /|text/plain; charset=utf-8||"é`},
		{"text of a list", `{ id: a, each: t in body.l, steps: [{ id: s, call: PATCH b /, body: $(t) }], yield: $(s) }`, `["PATCH /|text/plain; charset=utf-8||x"]`},
		{"a content type of its own", `{ id: a, call: POST b /, body: "<p>", headers: { content-type: text/html } }`, "POST /|text/html||<p>"},
		{"null is JSON", `{ id: a, call: DELETE b /, body: null }`, "DELETE /|application/json||null"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow("- "+tt.call+"\n- return: $(a)"), flowtest.Backends{"b": received})
			w.Post("/", `{"n":12345678901234567890,"t":"\"é","l":["x"]}`).Is(t, 200, tt.want)
		})
	}
}

// One id leads through the logs of all that take part.
func TestACallTellsTheIDOfTheRequest(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow("- { id: a, call: GET b / }\n- return: $(a)"), flowtest.Backends{"b": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Request-Id"))
	})})
	r := w.Request("GET", "/", "")
	r.Header.Set("X-Request-Id", "from-afar")
	w.Send(r).Is(t, 200, "from-afar")
	a := w.Get("/")
	if id := a.Header.Get("X-Request-Id"); id == "" || a.Body != id {
		t.Errorf("the backend got the id %q, the caller %q", a.Body, id)
	}
}

func TestWhatACallRefusesToSend(t *testing.T) {
	for name, call := range map[string]string{
		"a segment that is a dot":       `{ call: GET b /a/$(body.dots)/b }`,
		"an empty segment":              `{ call: GET b /a/$(body.empty)/b }`,
		"a header that ends its line":   `{ call: GET b /, headers: { x: $(body.line) } }`,
		"a host that is no host":        `{ call: GET b /, headers: { host: $(body.line) } }`,
		"a dot behind an escaped slash": `{ call: GET b /a/$(body.climb)/b }`,
		"a segment put together of .s":  `{ call: "GET b /a/.$(body.dot)/b" }`,
	} {
		t.Run(name, func(t *testing.T) {
			b := flowtest.InTurn(received)
			w := flowtest.Serve(t, flowtest.Flow("- "+call+"\n- return: 1"), flowtest.Backends{"b": b})
			a := w.Post("/", `{"dots":"..","dot":".","climb":"x/../y","empty":"","line":"a\r\nb: c"}`)
			a.IsProblem(t, 500, "expression-failed")
			if b.Calls.Load() != 0 {
				t.Error("it was sent")
			}
		})
	}
}

// A breaker that is open is not a failure of the backend's.
func TestCallThroughAnOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := flowtest.InTurn(flowtest.JSON(500, `"inside"`), flowtest.JSON(500, `"inside"`), flowtest.JSON(200, "1"))
		w := flowtest.Serve(t, flowtest.Flow("- { id: a, call: GET b / }\n- return: $(a)",
			`services: { b: { endpoints: ["http://b"], breaker: { failures: 2, open: 5s } } }`), flowtest.Backends{"b": b})
		for range 2 {
			w.Get("/").IsProblem(t, 502, "upstream-failed")
		}
		w.Get("/").IsProblem(t, 503, "unavailable")
		if b.Calls.Load() != 2 {
			t.Errorf("%d calls, want 2", b.Calls.Load())
		}
		time.Sleep(5 * time.Second)
		w.Get("/").Is(t, 200, "1")
	})
}

// A service that hangs is no better for it that the step has a shorter timeout
// than the service; that the flow's own time ends tells nothing of the service.
func TestWhoseTimeoutOpensABreaker(t *testing.T) {
	for name, tt := range map[string]struct {
		step, deadline string
		opens          bool
	}{
		"the step's": {"{ id: a, call: GET b /, timeout: 1s }", "30s", true},
		"the flow's": {"{ id: a, call: GET b / }", "1s", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hangs := flowtest.InTurn(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
				w := flowtest.Serve(t, "flow: test\ntrigger: { http: GET /, deadline: "+tt.deadline+" }\nsteps:\n- "+tt.step+"\n- return: $(a)\n---\n"+
					`services: { b: { endpoints: ["http://b"], breaker: { failures: 2 } } }`, flowtest.Backends{"b": hangs})
				for range 2 {
					if a := w.Get("/"); a.Status != 504 {
						t.Errorf("%+v", a)
					}
				}
				if open := w.Get("/").Status == 503; open != tt.opens {
					t.Errorf("open: %t", open)
				}
			})
		})
	}
}

// Nothing of a redirect is followed: it could lead anywhere.
func TestCallDoesNotFollowRedirects(t *testing.T) {
	b := flowtest.InTurn(http.RedirectHandler("http://b/secret", 302))
	w := flowtest.Serve(t, flowtest.Flow("- { id: a, call: GET b / }\n- return: [$(steps.a.status), $(steps.a.headers.location)]"),
		flowtest.Backends{"b": b})
	w.Get("/").Is(t, 200, `[302,"http://b/secret"]`)
	if b.Calls.Load() != 1 {
		t.Errorf("%d calls, want 1", b.Calls.Load())
	}
}

// What a call reads is let go of at once: connections are used again, whatever
// came of the call.
func TestCallsUseConnectionsAgain(t *testing.T) {
	for name, backend := range map[string]http.Handler{
		"success":    flowtest.JSON(200, `{"v":1}`),
		"failure":    flowtest.JSON(500, `{"v":1}`),
		"no content": flowtest.JSON(204, ``),
		"bad JSON":   flowtest.JSON(200, `{"v":`),
		"large":      flowtest.JSON(200, `"`+strings.Repeat("x", 1<<20)+`"`),
		"not even read": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "a text that nothing in the flow refers to")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow("- { id: a, call: GET b /, fallback: 1 }\n- return: 1"), flowtest.Backends{"b": backend})
			for range 5 {
				w.Get("/").Is(t, 200, "1")
			}
			if n := w.Dialed("b:80"); n != 1 {
				t.Errorf("%d connections for five calls, want 1", n)
			}
		})
	}
}
