package steps_test

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

// What the verbs do that call nobody: their results, and their failures on the
// values of a request.
func TestVerbs(t *testing.T) {
	const shared = `
flow: shared
input:
  text: { type: string }
  n: { type: integer, default: 3 }
  list: { type: list, default: [] }
steps:
  - { when: input.n > 100, fail: "too many: $(input.n)", status: 422, code: too-many }
  - { when: input.n > 10, return: null }
  - return: { text: $(input.text), n: $(input.n), len: $(len(input.list)) }
    status: 201
    headers: { x-n: $(input.n) }`
	for _, tt := range []struct {
		name, steps, post string
		status            int
		body              string // or
		code              string
	}{
		{"set: a shape", `
- { id: a, set: { x: [1, "$(body.t)!", $(body.n)] } }
- return: $(a.x)`, `{"t":"é","n":1.50}`, 200, `[1,"é!",1.50]`, ""},
		{"set: a failure in the middle of a shape", `
- { id: a, set: { x: [1, $(body.t.deeper)] } }
- return: $(a)`, `{"t":"x"}`, 400, "", "bad-request"},
		{"set: the failure can be handled", `
- { id: a, set: { x: $(body.t.deeper) }, fallback: { x: 2 } }
- return: $(a)`, `{"t":"x"}`, 200, `{"x":2}`, ""},
		{"switch: the first that fits", `
- id: s
  switch:
    - { when: body.n > 1, yield: big }
    - { when: body.n > 0, yield: small }
    - { yield: none }
- return: $(s)`, `{"n":1}`, 200, `small`, ""},
		{"switch: none fits", `
- { id: s, switch: [{ when: body.n > 1, yield: big }] }
- return: { s: $(s) }`, `{"n":1}`, 200, `{"s":null}`, ""},
		{"switch: a condition that fails ends the flow", `
- { id: s, switch: [{ when: body.n.x == 1, yield: big }, { yield: 1 }] }
- return: { s: $(s) }`, `{"n":1}`, 400, "", "bad-request"},
		{"return: text of a document is text", "- return: $(body.t)", `{"t":"x \u00e9"}`, 200, `x é`, ""},
		{"return: a document that is a text stays one", "- return: $(body)", `"x"`, 200, `"x"`, ""},
		{"switch: a case can return", `
- switch: [{ when: body.n == 1, steps: [{ return: one }] }]
- return: other`, `{"n":1}`, 200, `one`, ""},
		{"switch: steps of a case have names of their own", `
- id: s
  switch:
    - { when: body.n == 1, steps: [{ id: a, set: 1 }], yield: $(a) }
    - { steps: [{ id: a, set: 2 }], yield: $(a) }
- return: { s: $(s) }`, `{"n":2}`, 200, `{"s":2}`, ""},
		{"run: the result with its status and headers", `
- { id: a, run: shared, with: { text: $(body.t), list: [1, 2] } }
- return: [$(a), $(steps.a.status), '$(steps.a.headers["x-n"])']`, `{"t":"\u00e9\""}`, 200, `[{"text":"\u00e9\"","n":3,"len":2},201,"3"]`, ""},
		{"run: nothing returned", `
- { id: a, run: shared, with: { text: x, n: 11 } }
- return: { a: $(a) }`, `{}`, 200, `{"a":null}`, ""},
		{"run: a failure of the flow is one of the step", `
- { id: a, run: shared, with: { text: x, n: 101 } }
- return: $(a)`, `{}`, 422, "", "too-many"},
		{"run: and can be handled", `
- { id: a, run: shared, with: { text: x, n: 101 }, fallback: [$(error.message), $(error.code), $(error.status)] }
- return: $(a)`, `{}`, 200, `["too many: 101","too-many",422]`, ""},
		{"run: a value of another kind", `
- { id: a, run: shared, with: { text: $(body.n) } }
- return: $(a)`, `{"n":1}`, 500, "", "expression-failed"},
		{"run: a whole number is none with a fraction", `
- { id: a, run: shared, with: { text: x, n: $(body.n) } }
- return: $(a)`, `{"n":1.5}`, 500, "", "expression-failed"},
		{"fail: with a value", `- { fail: "no $(body.t)", status: 409 }`, `{"t":"x"}`, 409, "", "flow-failed"},
		{"fail: an expression that fails instead", `- { fail: "no $(body.t.x)", status: 409 }`, `{"t":"x"}`, 400, "", "bad-request"},
		{"return: a status that is none", `- { return: 1, status: $(body.n) }`, `{"n":1000}`, 500, "", "expression-failed"},
		{"return: a header that is none", `- { return: 1, headers: { x: $(body.t) } }`, `{"t":"a\r\nb: c"}`, 500, "", "expression-failed"},
		{"return: headers", `- { return: 1, status: 299, headers: { x: [a, b], y: null } }`, `{}`, 299, `1`, ""},
		{"log: an expression that fails", "- { log: \"$(body.t.x)\" }\n- return: 1", `{"t":"x"}`, 400, "", "bad-request"},
		{"log: one that nobody looks at", "- { log: \"$(body.t.x)\", level: debug, when: body.t == \"y\" }\n- return: 1", `{"t":"x"}`, 200, "1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(tt.steps, shared), nil)
			a := w.Post("/", tt.post)
			if tt.code != "" {
				a.IsProblem(t, tt.status, tt.code)
			} else {
				a.Is(t, tt.status, tt.body)
			}
		})
	}
}

func TestLogWritesALine(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow(`
- { log: "got $(body.n)", level: warn, fields: { all: $(body), n: $(body.n + 1) } }
- return: 1`), nil)
	a := w.Post("/", `{"n":1}`)
	a.Is(t, 200, "1")
	for _, want := range []string{`"level":"WARN"`, `"msg":"got 1"`, `"flow":"post"`, `"request_id":"` + a.Header.Get("X-Request-Id") + `"`, `"all":{"n":1}`, `"n":2`} {
		if !strings.Contains(w.Log(), want) {
			t.Errorf("no %s in %s", want, w.Log())
		}
	}
}
