package steps_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

// warehouse answers {"skus":[...]} with a field for each: how many there are. It
// notes what it was asked for. A SKU that begins with x it does not know.
type warehouse struct {
	mu    sync.Mutex
	asked []string
}

func (w *warehouse) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.asked = append(w.asked, string(body))
	w.mu.Unlock()
	var question struct{ Skus []any }
	if err := json.Unmarshal(body, &question); err != nil || r.URL.Path == "/down" {
		rw.WriteHeader(503)
		return
	}
	time.Sleep(time.Second)
	var fields, list []string
	for _, sku := range question.Skus {
		if text := fmt.Sprint(sku); !strings.HasPrefix(text, "x") {
			fields = append(fields, fmt.Sprintf("%q:%d", text, len(text)))
			list = append(list, fmt.Sprint(len(text)))
		}
	}
	rw.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(rw, `{"found":{%s},"list":[%s]}`, strings.Join(fields, ","), strings.Join(list, ","))
}

const batched = `
- each: sku in body
  id: lines
  limit: 10
  steps:
    - id: stock
      batch: $(sku)
      as: skus
      steps: [{ id: answer, call: POST w /lookup, body: { skus: $(skus) } }]
      yield: $(answer.found)
  yield: $(stock)
- return: $(lines)`

func TestBatch(t *testing.T) {
	change := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(batched) }
	for _, tt := range []struct {
		name, steps, post string
		status            int
		body, code        string
		asked             []string
		took              time.Duration
	}{
		{name: "one call for all rounds, each gets its own", steps: batched, post: `["a","bb","ccc"]`, status: 200, body: `[1,2,3]`, asked: []string{"a bb ccc"}, took: time.Second},
		{name: "a key is asked for once", steps: batched, post: `["a","bb","a","a"]`, status: 200, body: `[1,2,1,1]`, asked: []string{"a bb"}, took: time.Second},
		{name: "what was not found is null", steps: batched, post: `["a","xx"]`, status: 200, body: `[1,null]`, asked: []string{"a xx"}, took: time.Second},
		{name: "no rounds, no call", steps: batched, post: `[]`, status: 200, body: `[]`},
		{name: "keys that are numbers", steps: batched, post: `[1,22,1]`, status: 200, body: `[1,2,1]`, asked: []string{"1 22"}, took: time.Second},
		{name: "a list in the order of the keys", steps: change("answer.found", "answer.list"), post: `["a","bb","a"]`, status: 200, body: `[1,2,1]`, asked: []string{"a bb"}, took: time.Second},
		{name: "a list that is too short", steps: change("answer.found", "answer.list"), post: `["a","xx"]`, status: 500, code: "expression-failed", asked: []string{"a xx"}, took: time.Second},
		{name: "at most as many as its size", steps: change("as: skus", "as: skus\n      size: 2"), post: `["a","bb","ccc","dddd","eeeee"]`, status: 200, body: `[1,2,3,4,5]`,
			asked: []string{"5 keys in 3"}, took: time.Second},
		{name: "at most as many as there are rounds at a time", steps: change("limit: 10", "limit: 2"), post: `["a","bb","ccc"]`, status: 200, body: `[1,2,3]`, asked: []string{"3 keys in 2"}, took: 2 * time.Second},
		{name: "one at a time", steps: change("limit: 10", "limit: 1"), post: `["a","bb"]`, status: 200, body: `[1,2]`, asked: []string{"a", "bb"}, took: 2 * time.Second},
		{name: "rounds that do not come to it keep nobody waiting", steps: change("    - id: stock\n", "    - { filter: sku != \"no\" }\n    - id: stock\n      when: sku != \"a\"\n"),
			post: `["no","a","bb","no","ccc"]`, status: 200, body: `[null,2,3]`, asked: []string{"bb ccc"}, took: time.Second},
		{name: "slow rounds are waited for", steps: change("    - id: stock\n", "    - { wait: $(len(sku))s }\n    - id: stock\n"), post: `["a","ccc"]`, status: 200, body: `[1,3]`, asked: []string{"a ccc"}, took: 4 * time.Second},
		{name: "a failure is one of each round", steps: change("/lookup", "/down", "yield: $(stock)", "yield: $(stock)\n  fallback: $(error.kind)"), post: `["a","bb"]`, status: 200, body: "status", asked: []string{"a bb"}},
		{name: "which each can handle", steps: change("/lookup", "/down", "    - id: stock\n", "    - id: stock\n      fallback: $(sku)\n"), post: `["a","bb"]`, status: 200, body: `["a","bb"]`, asked: []string{"a bb"}},
		{name: "and try again, together", steps: change("/lookup", "/down", "    - id: stock\n", "    - id: stock\n      fallback: 0\n      retry: { attempts: 2, on: [503], backoff: 1ns }\n"), post: `["a","bb"]`, status: 200, body: `[0,0]`,
			asked: []string{"a bb", "a bb"}},
		{name: "two batches, one after the other", steps: change("  yield: $(stock)", `    - id: more
      batch: $(stock)
      steps: [{ id: next, call: POST w /lookup, body: { skus: $(keys) } }]
      yield: $(next.found)
  yield: $(stock + more)`), post: `["a","bb"]`, status: 200, body: `[2,3]`, asked: []string{"a bb", "1 2"}, took: 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &warehouse{}
				world := flowtest.Serve(t, flowtest.Flow(tt.steps), flowtest.Backends{"w": w})
				posted(t, world, tt.post, tt.took, tt.status, tt.body, tt.code)
				w.check(t, tt.asked)
			})
		})
	}
}

// check compares what was asked for.
func (w *warehouse) check(t *testing.T, want []string) {
	t.Helper()
	var got []string
	keys := 0
	for _, question := range w.asked {
		list := strings.Fields(strings.NewReplacer(`{"skus":[`, "", "]}", "", ",", " ", `"`, "").Replace(question))
		keys += len(list)
		got = append(got, strings.Join(list, " "))
	}
	if len(want) == 1 && strings.Contains(want[0], "keys in") {
		got = []string{fmt.Sprintf("%d keys in %d", keys, len(w.asked))}
	}
	if !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

func TestFilterAndSample(t *testing.T) {
	for _, s := range []scenario{
		{name: "filter leaves a round out", steps: `
- each: n in body
  id: odd
  steps: [{ filter: n % 2 == 1 }, { log: "$(n)", when: n > 4 }]
  yield: $(n)
- return: $(odd)`, post: `[1,2,3,4,5]`, status: 200, body: `[1,3,5]`, said: "5"},
		{name: "filter leaves all out", steps: `
- { each: n in body, id: none, steps: [{ filter: n > 9 }], yield: $(n) }
- return: $(none)`, post: `[1,2]`, status: 200, body: `[]`},
		{name: "filter within switch and try is no failure", steps: `
- each: n in body
  id: rest
  steps:
    - switch:
        - when: n == 2
          steps:
            - try: [{ filter: 1 > 2 }]
              catch: [{ log: caught }]
              retry: {}
              finally: [{ log: finally }]
  yield: $(n)
- return: $(rest)`, post: `[1,2]`, status: 200, body: `[1]`, said: "finally"},
		{name: "a filter that fails does", steps: `
- { each: n in body, id: a, steps: [{ filter: n.x.y > 9 }], yield: $(n) }
- return: $(a)`, post: `[{}]`, status: 500, code: "expression-failed"},
		{name: "filter keeps what a saga has done", steps: `
- saga:
    - each: n in body
      steps:
        - { call: POST s /things/$(n), undo: [{ call: DELETE s /things/$(n) }] }
        - { filter: n > 1 }
    - { fail: bad, code: bad }`, post: `[1]`, status: 500, code: "bad", calls: "POST /things/1, DELETE /things/1"},
		{name: "sample: none and all", steps: `
- { id: a, sample: 0%, steps: [{ log: never }], yield: 1 }
- { id: b, sample: 100%, steps: [{ log: always }], yield: 2 }
- return: [$(a), $(b)]`, status: 200, body: `[null,2]`, said: "always"},
		{name: "sample: the same for the same text, and about as many as it says", steps: `
- each: n in 1..1000
  id: picked
  steps:
    - { id: a, sample: 10%, by: customer-$(n), steps: [], yield: yes }
    - { id: b, sample: 10%, by: customer-$(n), steps: [], yield: yes }
    - { when: a != b, fail: it depends }
    - { filter: a != null }
  yield: $(n)
- return: $(len(picked) > 70 && len(picked) < 130)`, status: 200, body: `true`},
	} {
		s.steps = strings.NewReplacer("steps: [], yield: yes", "steps: [{ set: 1, id: one }], yield: taken").Replace(s.steps)
		s.run(t)
	}
}
