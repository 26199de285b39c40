package policies_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/flows/flowtest"
)

const shopAPI = `-- api.yaml --
openapi: 3.1.0
info: { title: Shop, version: "1" }
servers: [{ url: "https://shop.example/v1" }]
paths:
  /orders:
    get:
      operationId: listOrders
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1, maximum: 100 } }
        - { name: status, in: query, schema: { type: array, items: { enum: [open, paid] }, maxItems: 2 } }
        - { name: ids, in: query, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: page, in: query, style: deepObject, schema: { type: object, properties: { size: { type: integer } }, additionalProperties: false } }
        - { name: tags, in: query, style: pipeDelimited, explode: false, schema: { type: array, items: { type: string, minLength: 2 } } }
        - { name: where, in: query, content: { application/json: { schema: { type: object, required: [a] } } } }
        - { name: X-Tenant, in: header, required: true, schema: { type: string, pattern: "^[a-z]+$" } }
        - { name: X-Ids, in: header, schema: { type: array, items: { type: integer } } }
        - { name: session, in: cookie, schema: { type: string, minLength: 4 } }
        - { name: Authorization, in: header, required: true, schema: { type: string } }
      responses: { "200": { description: ok } }
    post:
      operationId: addOrder
      requestBody:
        required: true
        content:
          application/json: { schema: { $ref: "#/components/schemas/Order" } }
          application/x-www-form-urlencoded: { schema: { $ref: "#/components/schemas/Order" } }
          application/pdf: {}
      responses:
        "200":
          description: ok
          headers: { X-Rate: { required: true, schema: { type: integer } } }
          content: { application/json: { schema: { type: object, required: [id], properties: { id: { type: integer } } } } }
        "400": { description: no }
  /orders/{id}:
    get:
      operationId: oneOrder
      parameters: [{ name: id, in: path, required: true, schema: { type: integer } }]
      responses: { "200": { description: ok } }
  /points/{p}/{q}:
    get:
      parameters:
        - { name: p, in: path, required: true, style: label, schema: { type: array, items: { type: integer } } }
        - { name: q, in: path, required: true, style: matrix, explode: true, schema: { type: object, properties: { x: { type: integer } } } }
components:
  schemas:
    Order:
      type: object
      required: [sku]
      properties: { sku: { type: string, pattern: "^(a+)+$" }, quantity: { type: integer, maximum: 10 } }
      additionalProperties: false
-- flow.yaml --
`

// described is a gateway that passes on to a backend what fits the document.
func described(settings string) string {
	return shopAPI + `flow: all
trigger: { http: "ANY /{path:.*}", policies: [{ validate: { openapi: api.yaml` + settings + ` } }] }
steps: [{ forward: shop }]
---
gateways: { public: { listen: "public:80" } }
`
}

// echo answers with what it gets.
func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(b))
}

func send(t *testing.T, w *flowtest.World, method, target, body string, header ...string) (status int, got string, errors []string, h http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, "http://public:80"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := w.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	var problem struct {
		Errors []struct{ Pointer, Message string }
	}
	_ = json.Unmarshal(b, &problem) // what is no problem has none
	for _, e := range problem.Errors {
		errors = append(errors, e.Pointer+" "+e.Message)
	}
	return res.StatusCode, string(b), errors, res.Header
}

func TestParametersAreAsTheOperationSays(t *testing.T) {
	w := flowtest.Serve(t, described(", strict: true"), flowtest.Backends{"shop": http.HandlerFunc(echo)})
	tenant := []string{"X-Tenant", "acme"}
	for _, c := range []struct {
		name, target string
		header       []string
		status       int
		want         string // the errors
	}{
		{"nothing but what has to be there", "/orders", tenant, 200, ""},
		{"below the path of the server", "/v1/orders", tenant, 200, ""},
		{"a required header is not there", "/orders", nil, 400, "/headers/X-Tenant is required"},
		{"a header that does not match", "/orders", []string{"X-Tenant", "ACME"}, 400, "/headers/X-Tenant must match the pattern ^[a-z]+$"},
		{"all that is wrong", "/orders?limit=0&nope=1", nil, 400, "/query/limit must be at least 1|/headers/X-Tenant is required|/query/nope is not known here"},
		{"a number", "/orders?limit=100", tenant, 200, ""},
		{"a number over its bound", "/orders?limit=101", tenant, 400, "/query/limit must be at most 100"},
		{"no number", "/orders?limit=ten", tenant, 400, "/query/limit must be a whole number, not text"},
		{"a number in a form of its own", "/orders?limit=0x10", tenant, 400, "/query/limit must be a whole number, not text"},
		{"a number out of all bounds", "/orders?limit=1e999999999", tenant, 400, "/query/limit holds a number that is out of all bounds"},
		{"one parameter twice", "/orders?limit=1&limit=2", tenant, 400, "/query/limit must be there once"},
		{"one parameter twice, in another spelling", "/orders?limit=1&%6cimit=200", tenant, 400, "/query/limit must be there once"},
		{"a list that repeats its name", "/orders?status=open&status=paid", tenant, 200, ""},
		{"a list of one", "/orders?status=open", tenant, 200, ""},
		{"a list with a wrong value", "/orders?status=open&status=lost", tenant, 400, "/query/status/1 must be one of open, paid"},
		{"a list that is too long", "/orders?status=open&status=paid&status=open", tenant, 400, "/query/status must have at most 2 elements"},
		{"a list with commas", "/orders?ids=1,2,3", tenant, 200, ""},
		{"a list with commas and a wrong value", "/orders?ids=1,b", tenant, 400, "/query/ids/1 must be a whole number, not text"},
		{"a list with an encoded comma, which is text", "/orders?ids=1%2C2", tenant, 400, "/query/ids/0 must be a whole number, not text"},
		{"a deep object", "/orders?page[size]=5", tenant, 200, ""},
		{"a deep object, encoded", "/orders?page%5Bsize%5D=5", tenant, 200, ""},
		{"a deep object with a wrong field", "/orders?page[sise]=5", tenant, 400, "/query/page/sise is not known here"},
		{"a deeper object", "/orders?page[size][x]=5", tenant, 400, "/query/page must be written as page[name]="},
		{"a list with pipes", "/orders?tags=ab|cd", tenant, 200, ""},
		{"a list with encoded pipes", "/orders?tags=ab%7Cc", tenant, 400, "/query/tags/1 must have at least 2 characters"},
		{"JSON", "/orders?where=" + url.QueryEscape(`{"a":1}`), tenant, 200, ""},
		{"no JSON", "/orders?where={", tenant, 400, "/query/where must be JSON"},
		{"JSON that nests deeply", "/orders?where=" + strings.Repeat("[", 500) + strings.Repeat("]", 500), tenant, 400, "/query/where must be JSON"},
		{"JSON with a key twice", "/orders?where=" + url.QueryEscape(`{"a":1,"a":2}`), tenant, 400, "/query/where must be JSON without equal keys"},
		{"JSON that does not fit", "/orders?where={}", tenant, 400, "/query/where/a is required"},
		{"a semicolon, which some take for &", "/orders?limit=1;limit=2", tenant, 400, "/query cannot be read: it has an escape that is none, or a semicolon"},
		{"no escape", "/orders?limit=%zz", tenant, 400, "/query cannot be read: it has an escape that is none, or a semicolon"},
		{"a list in a header", "/orders", []string{"X-Tenant", "acme", "X-Ids", "1, 2", "X-Ids", "3"}, 200, ""},
		{"a list in a header with a wrong value", "/orders", []string{"X-Tenant", "acme", "X-Ids", "1, 2", "X-Ids", "x"}, 400, "/headers/X-Ids/2 must be a whole number, not text"},
		{"a cookie", "/orders", []string{"X-Tenant", "acme", "Cookie", "a=b; session=12345"}, 200, ""},
		{"a short cookie", "/orders", []string{"X-Tenant", "acme", "Cookie", "session=123"}, 400, "/cookies/session must have at least 4 characters"},
		{"a cookie twice", "/orders", []string{"X-Tenant", "acme", "Cookie", "session=12345; session=1"}, 400, "/cookies/session must be there once"},
		{"a variable of the path", "/orders/7", nil, 200, ""},
		{"a variable that does not fit", "/orders/seven", nil, 400, "/params/id must be a whole number, not text"},
		{"labels and a matrix", "/points/.1,2/;x=3", nil, 200, ""},
		{"a label without its dot", "/points/1,2/;x=3", nil, 400, "/params/p must begin with a dot"},
		{"a matrix that does not fit", "/points/.1/;x=y", nil, 400, "/params/q/x must be a whole number, not text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body, errors, _ := send(t, w, "GET", c.target, "", c.header...)
			if got := strings.Join(errors, "|"); status != c.status || got != c.want {
				t.Errorf("got %d %s\n%s\nwant %d %s", status, got, body, c.status, c.want)
			}
		})
	}
}

func TestRequestsWithoutAnOperation(t *testing.T) {
	for _, c := range []struct {
		settings, method, target string
		status                   int
		code, allow              string
	}{
		{"", "GET", "/customers", 404, "route-not-found", ""},
		{"", "DELETE", "/orders", 405, "method-not-allowed", "GET, HEAD, OPTIONS, POST"},
		{"", "HEAD", "/orders/7", 200, "", ""},
		{", undescribed: pass", "GET", "/customers", 200, "", ""},
		{", shadow: true", "GET", "/customers", 200, "", ""},
		{", operation: listOrders", "GET", "/customers", 400, "invalid-request", ""}, // X-Tenant is not there
	} {
		w := flowtest.Serve(t, described(c.settings), flowtest.Backends{"shop": http.HandlerFunc(echo)})
		got := ask(t, w, c.method, c.target)
		if got.status != c.status || got.problem.Code != c.code || got.header.Get("Allow") != c.allow {
			t.Errorf("%s %s%s: %d %s %v", c.method, c.target, c.settings, got.status, got.body, got.header)
		}
	}
}

func TestBodiesAreAsTheOperationSays(t *testing.T) {
	w := flowtest.Serve(t, described(""), flowtest.Backends{"shop": http.HandlerFunc(echo)})
	const isJSON, form = "application/json", "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, media, body string
		status            int
		want              string
	}{
		{"one that fits", isJSON, `{"sku":"a","quantity":3}`, 200, ""},
		{"with a charset", "application/json; charset=utf-8", `{"sku":"a"}`, 200, ""},
		{"what does not fit", isJSON, `{"quantity":11,"price":1}`, 400, "/body/price is not known here|/body/quantity must be at most 10|/body/sku is required"},
		{"another type", "application/xml", `<order/>`, 415, ""},
		{"no type", "", `{"sku":"a"}`, 415, ""},
		{"two types", "application/json, text/plain", `{"sku":"a"}`, 415, ""},
		{"one that is not looked into", "application/pdf", "%PDF", 200, ""},
		{"none", isJSON, "", 400, "/body is required"},
		{"no JSON", isJSON, `{"sku":`, 400, "/body cannot be read: not JSON at byte 7: unexpected end of JSON input"},
		{"more than one value", isJSON, `{"sku":"a"}{}`, 400, "/body cannot be read: not JSON at byte 12: invalid character '{' after top-level value"},
		{"the same key twice", isJSON, `{"sku":"a","s\u006bu":"b"}`, 400, "/body has an object with the same key twice"},
		{"deep nesting", isJSON, strings.Repeat(`{"sku":`, 5000) + "1" + strings.Repeat("}", 5000), 400, "/body cannot be read: JSON nests deeper than 128 levels"},
		{"a number out of all bounds", isJSON, `{"sku":"a","quantity":1e9999999}`, 400, "/body holds a number that is out of all bounds"},
		{"a number with a million digits", isJSON, `{"sku":"a","quantity":` + strings.Repeat("9", 1<<20) + `}`, 400, "/body holds a number that is out of all bounds"},
		{"what makes other engines of patterns try for years", isJSON, `{"sku":"` + strings.Repeat("a", 1<<16) + `b"}`, 400, "/body/sku must match the pattern ^(a+)+$"},
		{"more values than are looked at", isJSON, `[` + strings.Repeat("0,", 300_000) + `0]`, 400, "/body holds more than 200000 values, which is the most that is checked"},
		{"a form", form, "sku=a&quantity=3", 200, ""},
		{"a form that does not fit", form, "sku=a&quantity=many", 400, "/body/quantity must be a whole number, not text"},
		{"a form with a name twice", form, "sku=a&sku=b", 400, "/body/sku must be text, not a list"},
		{"no form", form, "sku=%zz", 400, "/body cannot be read as a form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			if c.media != "" {
				header = []string{"Content-Type", c.media}
			}
			status, body, errors, h := send(t, w, "POST", "/orders", c.body, header...)
			if got := strings.Join(errors, "|"); status != c.status || c.want != "" && got != c.want {
				t.Errorf("got %d %s\n%.300s\nwant %d %s", status, got, body, c.status, c.want)
			}
			if status == 200 && body != "POST /orders "+c.body {
				t.Errorf("the backend got %.100s", body)
			}
			if status == 415 && h.Get("Accept") != "application/json, application/x-www-form-urlencoded, application/pdf" {
				t.Errorf("it takes %q", h.Get("Accept"))
			}
			if strings.Contains(body, strings.Repeat("a", 100)) && status != 200 || len(body) > 2000 && status != 200 {
				t.Errorf("the answer quotes what came: %.200s", body)
			}
		})
	}
	if status, body, _, _ := send(t, w, "POST", "/orders", "\x1f\x8b", "Content-Type", isJSON, "Content-Encoding", "gzip"); status != 415 || !strings.Contains(body, "body-encoded") {
		t.Errorf("a body in a coding: %d %s", status, body)
	}
}

func TestManyFaultsAreToldUpToABound(t *testing.T) {
	w := flowtest.Serve(t, described(", strict: true"), flowtest.Backends{"shop": http.HandlerFunc(echo)})
	var query strings.Builder
	for i := range 1000 {
		query.WriteString("&a" + strconv.Itoa(i) + "=")
	}
	if _, body, errors, _ := send(t, w, "GET", "/orders?"+query.String()[1:], ""); len(errors) != 100 {
		t.Errorf("%d errors: %.300s", len(errors), body)
	}
}

// A body that nobody looks into goes on as it comes.
func TestBodiesThatNobodyLooksIntoAreStreamed(t *testing.T) {
	first := make(chan string)
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 4)
		_, _ = io.ReadFull(r.Body, b)
		first <- string(b)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	w := flowtest.Serve(t, described(""), flowtest.Backends{"shop": backend})
	in, out := io.Pipe()
	r, _ := http.NewRequest("POST", "http://public:80/orders", in)
	r.Header.Set("Content-Type", "application/pdf")
	done := make(chan error)
	go func() {
		res, err := w.Client.Do(r)
		if err == nil {
			_ = res.Body.Close()
		}
		done <- err
	}()
	_, _ = out.Write([]byte("%PDF"))
	if got := <-first; got != "%PDF" {
		t.Errorf("the backend got %q", got)
	}
	_ = out.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShadowLetsThroughAndTells(t *testing.T) {
	w := flowtest.Serve(t, described(", shadow: true"), flowtest.Backends{"shop": http.HandlerFunc(echo)})
	for _, body := range []string{`{"quantity":11}`, `{`, `{"sku":"a"}`} {
		if status, got, _, _ := send(t, w, "POST", "/orders", body, "Content-Type", "application/json"); status != 200 || got != "POST /orders "+body {
			t.Errorf("%d %s", status, got)
		}
	}
	if log := w.Log(); !strings.Contains(log, "a request would be refused") || !strings.Contains(log, "/body/quantity must be at most 10 (and 1 more)") {
		t.Errorf("the log says %s", log)
	}
}

func TestAnswersAreAsTheOperationSays(t *testing.T) {
	good := func(w http.ResponseWriter) { w.Header().Set("X-Rate", "1") }
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		status int    // by refuse
		fault  string // in the log; "" is none
	}{
		{"one that fits", func(w http.ResponseWriter) { good(w); writeJSON(w, 200, `{"id":1}`) }, 200, ""},
		{"a body that does not fit", func(w http.ResponseWriter) { good(w); writeJSON(w, 200, `{"id":"one"}`) }, 502, "/body/id must be a whole number"},
		{"a header that is not there", func(w http.ResponseWriter) { writeJSON(w, 200, `{"id":1}`) }, 502, "/headers/X-Rate is required"},
		{"another type", func(w http.ResponseWriter) {
			good(w)
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "hi")
		}, 502, "/headers/Content-Type"},
		{"a status that there is not", func(w http.ResponseWriter) { w.WriteHeader(418) }, 502, "/status is none"},
		{"one of which nothing is said", func(w http.ResponseWriter) { w.Header().Set("Set-Cookie", "a=b"); w.WriteHeader(400) }, 400, ""},
		{"no JSON", func(w http.ResponseWriter) { good(w); writeJSON(w, 200, `{"id":1`) }, 502, "/body cannot be read"},
		{"a large one", func(w http.ResponseWriter) {
			good(w)
			writeJSON(w, 200, `{"id":1,"x":"`+strings.Repeat("x", 2000)+`"}`)
		}, 502, "/body is larger than max_response"},
		{"304", func(w http.ResponseWriter) { w.WriteHeader(304) }, 304, ""},
	} {
		for _, mode := range []string{"report", "refuse"} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Backend", "b")
					c.answer(w)
				})
				w := flowtest.Serve(t, described(", responses: "+mode+", max_response: 1KB"), flowtest.Backends{"shop": backend})
				status, body, _, h := send(t, w, "POST", "/orders", `{"sku":"a"}`, "Content-Type", "application/json")
				if want := c.status; mode == "refuse" && status != want || mode == "report" && status == 502 {
					t.Errorf("got %d %s", status, body)
				}
				if refused := status == 502; refused != (h.Get("X-Backend") == "") || refused && !strings.Contains(body, `"code":"invalid-answer"`) {
					t.Errorf("%d with %v: %s", status, h, body)
				}
				told := strings.Contains(w.Log(), "an answer is not as its operation says")
				if want := c.fault != "" && !(mode == "report" && c.name == "a large one"); told != want || told && !strings.Contains(w.Log(), c.fault) {
					t.Errorf("the log says %q, want %q", w.Log(), c.fault)
				}
			})
		}
	}
	// What Weir itself answers is no answer of the operation.
	w := flowtest.Serve(t, described(", responses: refuse"), flowtest.Backends{"shop": nil})
	if status, body, _, _ := send(t, w, "POST", "/orders", `{"sku":"a"}`, "Content-Type", "application/json"); status != 502 || strings.Contains(body, "invalid-answer") {
		t.Errorf("a backend that is not there: %d %s", status, body)
	}
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestSchemasInThePolicy(t *testing.T) {
	w := flowtest.Serve(t, site("", `{ validate: {
		params: { id: { type: integer } }, query: { n: { type: integer }, additionalProperties: false }, headers: { X-T: { type: string }, required: [X-T] },
		body: { type: object, required: [a] } } }`), nil)
	for _, c := range []struct {
		target, body, media string
		status              int
		want                string
	}{
		{"/orders/7?n=1", `{"a":1}`, "application/json", 200, ""},
		{"/orders/x?n=x&m=1", `{}`, "application/json", 400, "/params/id must be a whole number, not text|/query/m is not known here|/query/n must be a whole number, not text|/body/a is required"},
		{"/orders/7", `{"a":1}`, "text/plain", 415, ""},
		{"/orders/7", "", "application/json", 400, "/body is required"},
		{"/orders/7?n=1&n=2", `{"a":1}`, "application/json", 400, "/query/n must be there once"},
	} {
		status, body, errors, _ := send(t, w, "POST", c.target, c.body, "Content-Type", c.media, "X-T", "t")
		if got := strings.Join(errors, "|"); status != c.status || got != c.want {
			t.Errorf("%s: %d %s, want %d %s", c.target, status, body, c.status, c.want)
		}
	}
}

// References that refer to each other twice, and so on, are few schemas and many
// ways through them.
func TestReferencesThatMultiplyAreReadInTime(t *testing.T) {
	var b strings.Builder
	b.WriteString("-- api.yaml --\nopenapi: 3.1.0\npaths:\n  /a:\n    get:\n      parameters: [{ name: x, in: query, schema: { $ref: \"#/components/schemas/S0\" } }]\ncomponents:\n  schemas:\n")
	for i := range 40 {
		next := "#/components/schemas/S" + string(rune('0'+(i+1)/10)) + string(rune('0'+(i+1)%10))
		name := "S" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		if i == 0 {
			name = "S0"
		}
		b.WriteString("    " + name + ": { type: object, properties: { a: { $ref: \"" + next + "\" }, b: { $ref: \"" + next + "\" } } }\n")
	}
	b.WriteString("    S40: { type: integer }\n-- flow.yaml --\n" + `flow: a
trigger: { http: GET /a, policies: [{ validate: { openapi: api.yaml } }] }
steps: [{ return: 1 }]
---
gateways: { public: { listen: "public:80" } }
`)
	begin := time.Now()
	w := flowtest.Serve(t, b.String(), nil)
	if got := ask(t, w, "GET", "/a?a=1"); got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
