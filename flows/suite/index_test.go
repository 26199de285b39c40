package suite_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/suite"
)

// told keeps what an index is told, one line for each call.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (x *told) add(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lines = append(x.lines, fmt.Sprintf(format, args...))
}

func (x *told) Define(noun string, name dsl.String) {
	x.add("%s: %s %s", name.Span, noun, name.Span.Text())
}

func (x *told) Use(noun string, name dsl.String, of dsl.Span) {
	place := of.String()
	if place == "" {
		place = noun
	}
	x.add("%s: %s of %s", name.Span, name.Span.Text(), place)
}

func (x *told) Expression(at dsl.Span, scope dsl.Scope) {
	x.add("%s: (%s) %s", at, at.Text(), strings.Join(scope.Names(), " "))
}

func TestAnIndexIsToldWhatNamesMean(t *testing.T) {
	src := dsl.NewSource("a", `flow: a
trigger: { http: 'GET /{key}', gateway: public }
steps:
  - id: user
    call: GET users /$(params.key)
  - each: item in user.items
    id: rows
    steps: [{ id: row, run: b, with: { x: $(item) } }]
    yield: $(row)
  - return: $(rows)
---
flow: b
input: { x: {} }
steps: [{ return: $(input.x) }]
---
services: { users: { endpoints: ['http://127.0.0.1:1'] } }
---
gateways: { public: { listen: ':0' } }
---
tests:
  - test: t
    request: GET /1
    mock: { users: { body: { items: [1] } }, steps.user: {} }
    expect: { status: 200, calls: { users: $(it == 0) }, steps: { user: null }, error: { step: user } }
`)
	x := &told{}
	_, faults := suite.Check(flows.Parse(&flows.Files{Sources: []*dsl.Source{src}}), catalog(t), flows.Environment{Index: x})
	for _, f := range faults {
		if f.Severity == dsl.Error {
			t.Error(f.Span, f.Message)
		}
	}
	slices.Sort(x.lines)
	got := strings.Join(slices.Compact(x.lines), "\n")
	want := strings.TrimSpace(`
a:10:15: (rows) body env headers params query request rows secret steps user
a:10:15: rows of a:7:9
a:12:7: flow b
a:14:21: (input.x) env input secret steps
a:14:27: x of a:13:13
a:16:13: service users
a:18:13: gateway public
a:1:7: flow a
a:23:13: users of service
a:23:52: user of a:4:9
a:24:37: users of service
a:24:46: (it == 0) env secret it status headers body
a:24:67: user of a:4:9
a:24:96: user of a:4:9
a:2:41: public of gateway
a:4:9: step user
a:5:15: users of service
a:5:24: (params.key) body env headers params query request secret steps
a:5:31: key of a:2:18
a:6:11: variable item
a:6:19: (user.items) body env headers params query request secret steps user
a:6:19: user of a:4:9
a:7:9: step rows
a:8:19: step row
a:8:29: b of flow
a:8:45: (item) body env headers item params query request secret steps user
a:8:45: item of a:6:11
a:9:14: (row) body env headers item params query request row secret steps user
a:9:14: row of a:8:19
`)
	if got != want {
		t.Errorf("got\n%s", got)
	}
}
