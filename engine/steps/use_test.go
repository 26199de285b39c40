package steps_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weir-run/weir/flows/flowtest"
)

// echo answers with what it was asked: its name, the method and the path, and
// the body.
func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) == 0 {
			body = []byte("null")
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"name":%q,"asked":%q,"body":%s}`, name, r.Method+" "+r.URL.EscapedPath(), body)
	})
}

// using are the steps of a flow, its templates, and what comes of a request.
type using struct {
	name, steps, templates, body string
	status                       int
	want                         string
}

func TestUse(t *testing.T) {
	for _, c := range []using{
		{"inputs are literals and values",
			`
- id: got
  use: ask
  with: { service: g, method: POST, id: $(body.id), most: 2KB, wait: 1m30s }
- return: $(got)`, `
template: ask
input:
  service: { type: service }
  method: { type: string, default: PUT }
  id: {}
  most: { type: size }
  wait: { type: duration }
  none: { type: string, default: null }
  list: { type: list, default: [1, 2] }
steps:
  - id: answer
    call: $(input.method) $(input.service) /things/$(input.id)
    timeout: $(input.wait)
    body: { most: $(input.most), wait: $(input.wait), more: '$(input.most > 2000 && input.wait > duration("1m"))', none: $(input.none), list: $(input.list) }
yield: $(answer)
`, `{"id":"a/b"}`, 200, `{"name":"g","asked":"POST /things/a%2Fb","body":{"most":2000,"wait":"1m30s","more":false,"none":null,"list":[1,2]}}`},
		{"what stands in text as a literal is not evaluated again",
			`
- id: got
  use: tell
  with: { text: $$(body.id), more: "a $(body.id)" }
- return: $(got)`, `
template: tell
input: { text: {}, more: {} }
steps: []
yield: ["$(input.text)", "<$(input.text)>", "$(input.more)"]
`, `{"id":"$(1)"}`, 200, `["$(body.id)","<$(body.id)>","a $(1)"]`},
		{"all inputs as one object",
			`
- id: got
  use: tell
  with: { b: $(body), a: 1 }
- return: $(got)`, `
template: tell
input: { a: {}, b: {}, c: { default: x } }
steps:
  - id: whole
    set: $(input)
yield: { whole: $(whole), keys: $(len(keys(input))) }
`, `{"n":1.10}`, 200, `{"whole":{"a":1,"b":{"n":1.10},"c":"x"},"keys":3}`},
		{"names inside and outside do not meet",
			`
- id: answer
  set: outside
- compose:
    one:
      use: ask
      with: { v: $(answer) }
    two:
      use: ask
      with: { v: $(one.v) }
- use: ask
  with: { v: 0 }
- return: [$(answer), $(one), $(two), "$(steps.two.error == null)"]`, `
template: ask
input: { v: {} }
steps:
  - id: answer
    set: { v: "$(input.v)!" }
  - id: one
    set: { v: $(answer.v) }
yield: $(one)
`, ``, 200, `["outside",{"v":"outside!"},{"v":"outside!!"},true]`},
		{"in the rounds of a loop, and a loop inside",
			`
- each: x in [1, 2, 3]
  id: all
  steps:
    - id: sums
      use: add
      with: { to: $(x), list: [10, 20] }
  yield: $(sums)
- return: $(all)`, `
template: add
input: { to: {}, list: {} }
steps:
  - each: y in input.list
    id: sums
    steps:
      - id: sum
        set: $(y + input.to)
    yield: $(sum)
yield: $(sums)
`, ``, 200, `[[11,21],[12,22],[13,23]]`},
		{"templates use templates",
			`
- id: got
  use: outer
  with: { service: g, n: $(body.n) }
- return: $(got)`, `
template: outer
input: { service: { type: service }, n: {}, patience: { type: duration, default: 1s } }
steps:
  - id: first
    use: inner
    with: { service: $(input.service), path: "first-$(input.service)", n: $(input.n), patience: $(input.patience) }
  - id: second
    use: inner
    with: { service: h, path: "second", n: $(first.body.n + 1) }
yield: [$(first.asked), $(second.name), $(second.body.n)]
---
template: inner
input: { service: { type: service }, path: { type: string }, n: {}, patience: { type: duration, default: 2s } }
steps:
  - id: answer
    call: PUT $(input.service) /$(input.path)
    timeout: $(input.patience)
    body: { n: $(input.n) }
yield: $(answer)
`, `{"n":1}`, 200, `["PUT /first-g","h",2]`},
		{"a return ends the flow",
			`
- use: guard
  with: { ok: $(body.ok) }
- return: passed`, `
template: guard
input: { ok: { type: boolean } }
steps:
  - when: not input.ok
    return: stopped
    status: 403
`, `{"ok":false}`, 403, `stopped`},
		{"modifiers of the use are about all of its steps",
			`
- id: got
  use: fails
  when: body.n == 1
  with: { n: 7 }
  fallback: $(error.step) $(error.message)
- return: $(got)`, `
template: fails
input: { n: {} }
steps:
  - id: never
    fail: "no $(input.n)"
yield: 1
`, `{"n":1}`, 200, `got.never no 7`},
		{"a use without an id is called by the template",
			`
- try:
    - use: fails
  fallback: null
- use: fails
  catch:
    - return: $(error.step)`, `
template: fails
steps:
  - fail: it does
`, ``, 200, `fails#2.fail`},
		{"inside, steps go by the names that they have there",
			`
- id: got
  use: outer
- return: [$(got), $(steps.got.error)]
`, `
template: outer
steps:
  - id: first
    use: inner
    catch:
      - when: error.step == "first.deep"
        log: here
  - id: second
    use: inner
    fallback: [$(error.step), $(error.undo)]
yield: ["$(steps.first.error.step)", "$(second[0])"]
---
template: inner
steps:
  - id: deep
    try:
      - id: deeper
        fail: it does
    catch:
      - fail: $(error.step)
  - log: never
yield: 1
`, ``, 200, `[["first.fail","second.fail"],null]`},
		{"as the branches of a race, and steps that race inside",
			`
- id: got
  first:
    slow: { use: quick, with: { service: none } }
    fast: { use: quick, with: { service: g } }
- return: $(got)`, `
template: quick
input: { service: { type: service } }
steps:
  - id: won
    first:
      - call: GET $(input.service) /a
      - call: GET none /b
yield: $(won.asked)
`, ``, 200, `GET /a`},
		{"in a while, whose state is none of theirs",
			`
- id: got
  while: state < 3
  from: 0
  limit: 5
  steps:
    - id: next
      use: increment
      with: { n: $(state) }
  yield: $(next)
- return: $(got)`, `
template: increment
input: { n: { type: integer } }
steps:
  - id: state
    set: $(input.n + 1)
yield: $(state)
`, ``, 200, `3`},
		{"arguments are evaluated in each attempt",
			`
- use: twice
  retry: { attempts: 2, on: [fail], backoff: 0s }
  with: { n: $(len(request.id) > 0) }
  catch:
    - return: [$(error.attempts), $(error.message)]`, `
template: twice
input: { n: { type: boolean } }
steps:
  - fail: "$(input.n)"
`, ``, 200, `[2,"true"]`},
		{"a value of another type fails before any step",
			`
- use: ask
  with: { n: $(body.n) }
  catch:
    - return: [$(error.step), $(error.message)]`, `
template: ask
input: { n: { type: integer } }
steps:
  - call: GET g /$(input.n)
`, `{"n":"x"}`, 200, `["use","template \"ask\" takes integer for \"n\""]`},
		{"so does one that does not fit the schema",
			`
- use: ask
  with: { n: $(body) }
  catch:
    - return: [$(error.message), "$(error.violations[0].pointer)"]`, `
template: ask
input: { n: { schema: { properties: { n: { type: integer } } } } }
steps:
  - call: GET g /$(input.n.n)
`, `{"n":"x"}`, 200, `["template \"ask\" does not take this for \"n\": /n must be a whole number, not text","/n"]`},
		{"what no step reads is not evaluated",
			`
- id: got
  use: ask
  with: { n: $(body.a.b.c), m: 1 }
- return: $(got)`, `
template: ask
input: { n: {}, m: {} }
steps: []
yield: $(input.m)
`, `{}`, 200, `1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(c.steps, strings.TrimSpace(c.templates)), flowtest.Backends{"g": echo("g"), "h": echo("h"), "none": nil})
			w.Post("/", c.body).Is(t, c.status, c.want)
		})
	}
}

// journal answers every call and writes down what was asked.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"n":%d}`, len(j.lines))
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, ", ")
}

func TestUndoInATemplateIsOfTheSagaAround(t *testing.T) {
	j := &journal{}
	w := flowtest.Serve(t, flowtest.Flow(`
- saga:
    - use: hold
      with: { id: 7 }
    - id: second
      use: hold
      with: { id: 8 }
    - fail: it does
  fallback: null
- return: done`, `
template: hold
input: { id: {} }
steps:
  - id: held
    call: POST g /holds/$(input.id)
    undo:
      - call: DELETE g /holds/$(input.id)/$(held.n)`), flowtest.Backends{"g": j})
	w.Post("/", "").Is(t, 200, "done")
	if got := j.String(); got != "POST /holds/7, POST /holds/8, DELETE /holds/8/2, DELETE /holds/7/1" {
		t.Error(got)
	}
}

// Two uses of a template are two steps: what one remembers is not the other's.
func TestUsesKeepTheirOwn(t *testing.T) {
	j := &journal{}
	text := flowtest.Flow(`
- compose:
    one: { use: kept, with: { path: one } }
    two: { use: kept, with: { path: two } }
- return: [$(one), $(two)]`, `
template: kept
input: { path: { type: string } }
steps:
  - id: remembered
    cache: "the same"
    ttl: 1h
    steps: [{ id: got, call: "GET g /$(input.path)" }]
    yield: $(got.n)
yield: $(remembered)`)
	w := flowtest.Serve(t, text, flowtest.Backends{"g": j})
	first := w.Post("/", "").Body
	w.Post("/", "").Is(t, 200, first)
	if got := j.String(); !strings.Contains(got, "/one") || !strings.Contains(got, "/two") || len(j.lines) != 2 {
		t.Error(got)
	}
	if n := measured(t, w, "step", "one.remembered") + measured(t, w, "step", "two.remembered"); n < 2 {
		t.Errorf("metrics name the steps of uses %v times", n)
	}
	if err := w.Apply(text + "\n# no change\n"); err != nil {
		t.Fatal(err)
	}
	w.Post("/", "").Is(t, 200, first)
	if err := w.Apply(strings.Replace(text, "path: two", "path: three", 2)); err != nil {
		t.Fatal(err)
	}
	w.Post("/", "")
	if got := j.String(); !strings.HasSuffix(got, "/three") || len(j.lines) != 3 {
		t.Errorf("%s: what is kept with other arguments is not what was kept", got)
	}
}

func TestLogsNameTheStepOfAUse(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow(`
- id: got
  use: ask
- return: $(got)`, `
template: ask
steps:
  - id: answer
    call: GET g /
yield: $(answer)`), flowtest.Backends{"g": nil})
	w.Post("/", "").IsProblem(t, 502, "upstream-unreachable")
	if log := w.Log(); !strings.Contains(log, `: got.answer: connect: `) {
		t.Error(log)
	}
}

// What goes on without the request reads inputs, too.
func TestTapsInTemplatesReadInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		w := flowtest.Serve(t, flowtest.Flow(`
- each: n in body
  steps:
    - use: seen
      with: { id: $(n), who: Ada }
- return: done`, `
template: seen
input: { id: {}, who: { type: string } }
steps:
  - tap:
      - call: PUT g /seen/$(input.who)/$(input.id)`), flowtest.Backends{"g": j})
		w.Post("/", "[1,2]").Is(t, 200, "done")
		synctest.Wait()
		slices.Sort(j.lines)
		if got := j.String(); got != "PUT /seen/Ada/1, PUT /seen/Ada/2" {
			t.Error(got)
		}
	})
}
