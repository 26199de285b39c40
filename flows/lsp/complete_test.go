package lsp

import (
	"context"
	"slices"
	"strings"
	"testing"
)

const half = `flow: profile
trigger: { http: 'GET /customers/{id}' }
steps:
  - id: user
    call: GET users /users/$(params.id)
  - id: price
    run: price-of
    with: { sku: a }
`

func TestCompletion(t *testing.T) {
	for _, c := range []struct{ name, text, want, without string }{
		{"an empty file", "‸", "flow gateways services template tests", "call"},
		{"a section", "serv‸", "services", ""},
		{"a key of a flow", "flow: a\n‸", "errors input output steps summary trigger", "flow services"},
		{"a key that is written is not offered, but the one at the cursor", "flow: a\nsum‸: x\nsteps: []\n", "summary", "steps"},
		{"a verb behind a dash", "flow: a\nsteps:\n  - ‸", "call compose each id run when", "query"},
		{"a verb on a line of its own", "flow: a\nsteps:\n  ‸", "call compose", ""},
		{"a detail of the verb, or a modifier", half + "  - call: GET users /x\n    ti‸", "accept query timeout", "call compose yield"},
		{"of a verb that comes later", half + "  - ‸\n    call: GET users /x\n", "query timeout", "compose"},
		{"another verb in place of one", half + "  - ca‸ll: GET users /x\n", "call forward id", "services"},
		{"inside of braces", half + "  - call: GET users /x\n    retry: { att‸", "attempts backoff", "call"},
		{"a switch's case", half + "  - switch:\n      - ‸", "when steps yield", "call"},
		{"a member of a compose", half + "  - compose:\n      a:\n        ca‸", "call", ""},
		{"a branch of first", half + "  - first:\n      - ‸", "call", ""},
		{"a key of a service", "services:\n  a:\n    ‸", "endpoints breaker timeout", "call"},
		{"a key of a service's breaker", "services:\n  a: { endpoints: [x], breaker: { ‸ } }", "failures of open", "timeout"},
		{"variables and secrets of a service", "services:\n  a:\n    endpoints: [$(‸", "env secret", "params"},
		{"in a file of another tool", "apiVersion: v1\nkind: x\n‸", "", "services"},
		{"a key of a gateway", "gateways:\n  a:\n    l‸", "listen max_body", ""},
		{"a key of a test", "tests:\n  - test: x\n    ‸", "expect mock request", "call"},
		{"a key of an expectation", "tests:\n  - test: x\n    expect:\n      ‸", "status body calls", ""},
		{"what is mocked", "tests:\n  - test: x\n    mock:\n      ‸", "orders users", ""},
		{"a key of a mock", "tests:\n  - test: x\n    mock: { users: { ‸ } }", "body status", ""},
		{"a method", half + "  - call: ‸", "GET POST", "users"},
		{"a service", half + "  - call: GET ‸", "orders users", "POST"},
		{"a service that is begun", half + "  - call: GET us‸", "users", ""},
		{"a path of the service's document", half + "  - call: GET users ‸", "/users/{id}", "orders"},
		{"a path that is begun", half + "  - call: GET users /us‸", "/users/{id}", ""},
		{"a flow", half + "  - run: ‸", "price-of", ""},
		{"a template", half + "  - use: ‸", "lookup", "price-of"},
		{"what it takes", half + "  - use: lookup\n    with: { ‸", "id service", "sku"},
		{"a service that it takes", half + "  - use: lookup\n    with: { service: ‸", "orders users", "GET"},
		{"a key of a template", "template: a\n‸", "input steps summary yield", "trigger"},
		{"a name in a template", "template: a\ninput: { x: {} }\nsteps: [{ log: $(input.‸", "x", ""},
		{"its inputs", half + "  - run: price-of\n    with: { ‸", "qty sku", ""},
		{"its inputs, on lines", half + "  - run: price-of\n    with:\n      sku: x\n      ‸", "qty", "sku"},
		{"a gateway", "flow: a\ntrigger:\n  http: GET /\n  gateway: ‸", "public", ""},
		{"an enum", half + "  - log: x\n    level: ‸", "debug info warn error", ""},
		{"a default", "services: { a: { timeout: ‸ } }", "10s", ""},
		{"true and false", "tests:\n  - test: a\n    expect: { exact: ‸ }", "true false", ""},

		{"a file", "services: { a: { openapi: ‸ } }", "users.json site.yaml", ""},
		{"a file that is begun, in quotes", half + "output: { $ref: 'us‸' }", "users.json", ""},
		{"a file to import", "imports:\n  - ‸", "site.yaml", ""},

		{"names", half + "  - return: $(‸", "params price query request steps user len upper", "error"},
		{"a name that is begun", half + "  - return: $(par‸", "params", ""},
		{"a name in a closed expression", half + "  - return: $(par‸)", "params", ""},
		{"a parameter", half + "  - return: $(params.‸", "id", "len"},
		{"a field by OpenAPI", half + "  - return: $(user.‸", "address first id orders", "len sku"},
		{"a field of a field", half + "  - return: $(user.address?.‸)", "city", ""},
		{"a field of an element", half + "  - return: $(user.orders[0].‸)", "qty sku", ""},
		{"a field in a predicate", half + "  - return: $(filter(user.orders, .‸", "qty sku", ""},
		{"a field of # in a predicate", half + "  - return: \"$(map(user.orders, #.s‸))\"", "qty sku", ""},
		{"a field in a predicate of a predicate", half + "  - return: $(map(user.orders, map(.lines, .‸)))", "note", "qty"},
		{"a field of what a function gives", half + "  - return: $(filter(user.orders, .qty > 1)[0].‸)", "qty sku", ""},
		{"a field of a flow's output", half + "  - return: $(price.‸", "currency price", ""},
		{"what stands beside a result", half + "  - return: $(steps.user.‸", "error headers status took", ""},
		{"the fields of request", half + "  - return: $(request.‸", "host id method path remote", ""},
		{"a condition", half + "  - when: ‸\n    call: GET users /x", "params user", ""},
		{"a condition that is begun", half + "  - when: user.‸\n    call: GET users /x", "address first", ""},
		{"the list of an each", half + "  - each: o in ‸\n    steps: []", "user", ""},
		{"a field of a loop's variable", half + "  - each: o in user.orders\n    steps:\n      - log: $(o.‸", "qty sku", ""},
		{"in text", half + "  - log: the $(user.‸ of $(user.id)", "first", ""},
		{"in a path", half + "  - call: GET orders /x/$(user.‸", "first", ""},
		{"in braces", half + "  - call: GET orders /x\n    query: { a: $(user.‸", "first", ""},
		{"in braces that go on", half + "  - call: GET orders /x\n    query: { a: $(user.‸, b: 1 }", "first", ""},
		{"in quotes", half + "  - return: \"$(user.‸\"", "first", ""},
		{"in quotes that are open", half + "  - return: { a: '$(user.‸", "first", ""},
		{"in a block", half + "  - log: |\n      first $(user.‸\n      second\n", "first", ""},
		{"before a line that cannot be read", half + "  - return: $(user.‸\n  : [ {\nerrors: []\n", "first", ""},
		{"behind a line that cannot be read", strings.Replace(half, "with: { sku: a }", "with: { sku: [a", 1) + "  - return: $(user.‸", "first", ""},
		{"an error, in its handler", half + "errors:\n  - when: error.‸", "kind status", ""},
		{"not the step of a later line", half + "  - return: $(‸)\n  - id: later\n    set: 1", "user", "later"},
		{"in a text of an expression", half + "  - return: $(user[\"‸", "", "first params"},
		{"in a comment", half + "  - return: 1 # $(user.‸", "", "first"},
		{"in another document", "flow: x\nsteps: [[\n---\n" + half + "  - return: $(user.‸", "first", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := editing(t, shop, "profile.yaml", c.text)
			items, err := d.completion(context.Background(), &d.cursor)
			if err != nil {
				t.Fatal(err)
			}
			offers(t, items, c.want, c.without)
		})
	}
}

// offers holds what is offered against names, each with a space behind it, that
// are among it, or not.
func offers(t *testing.T, items []completionItem, want, without string) {
	t.Helper()
	got := strings.Fields(labels(items))
	for _, name := range strings.Fields(want) {
		if !slices.Contains(got, name) {
			t.Errorf("%s is not among %s", name, got)
		}
	}
	for _, name := range strings.Fields(without) {
		if slices.Contains(got, name) {
			t.Errorf("%s is among %s", name, got)
		}
	}
	if want == "" && len(got) > 0 {
		t.Errorf("got %s", got)
	}
}

func TestACompletionIsWritten(t *testing.T) {
	for _, c := range []struct{ text, label, want string }{
		{"fl‸", "flow", "flow: "},
		{"flow: a\nst‸", "steps", "flow: a\nsteps:\n  - $0"},
		{"flow: a\ntri‸", "trigger", "flow: a\ntrigger:\n  $0"},
		{"flow: a\nsteps:\n  - ca‸", "call", "flow: a\nsteps:\n  - call: "},
		{"flow: a\nsteps:\n  ‸", "call", "flow: a\nsteps:\n  - call: "},
		{"flow: a\nsteps:\n  - ‸", "compose", "flow: a\nsteps:\n  - compose:\n    $0"},
		{"flow: a\nsteps:\n  ‸", "compose", "flow: a\nsteps:\n  - compose:\n    $0"},
		{half + "  - call: GET users /x\n    tim‸: 1s", "timeout", half + "  - call: GET users /x\n    timeout: 1s"},
		{half + "  - call: GET users /x\n    retry: { at‸ }", "attempts", half + "  - call: GET users /x\n    retry: { attempts:  }"},
		{half + "  - { call: GET users /x, re‸ }", "retry", half + "  - { call: GET users /x, retry: { $0 } }"},
		{half + "  - call: GET us‸ /x", "users", half + "  - call: GET users  /x"},
		{half + "  - call: ‸", "GET", half + "  - call: GET "},
		{half + "  - call: GET users /us‸", "/users/{id}", half + "  - call: GET users /users/$(id)"},
		{half + "  - run: pri‸", "price-of", half + "  - run: price-of"},
		{half + "  - return: $(us‸)", "user", half + "  - return: $(user)"},
		{half + "  - return: $(user.fir‸st)", "first", half + "  - return: $(user.first)"},
		{half + "  - return: $(upp‸", "upper", half + "  - return: $(upper($0)"},
		{half + "  - log: 'ü😀 $(us‸'", "user", half + "  - log: 'ü😀 $(user'"},
		{"output: { $ref: 'us‸' }", "users.json", "output: { $ref: 'users.json' }"},
		{"imports:\n  ‸", "site.yaml", "imports:\n  - site.yaml"},
	} {
		d := editing(t, shop, "profile.yaml", c.text)
		items, err := d.completion(context.Background(), &d.cursor)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(items, func(i completionItem) bool { return i.Label == c.label })
		if i < 0 {
			t.Errorf("%q: no %s among %s", c.text, c.label, labels(items))
			continue
		}
		if got := applied(d.doc.string, []edit{items[i].Edit}); got != c.want {
			t.Errorf("%q\n got %q\nwant %q", c.text, got, c.want)
		}
		if strings.Contains(items[i].Edit.NewText, "$0") != (items[i].Format == snippet) {
			t.Errorf("%q: the format of %q is %d", c.text, items[i].Edit.NewText, items[i].Format)
		}
	}
}
