package flows_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

const reads = `
- return:
    name: $(body.name)
    n: $(body.n ?? 0)
    items: $(body.items ?? [])
`

// TestBodiesOfHostileCallers sends what no flow was written for to one that
// looks into its body: the caller is told that it is the caller's fault.
func TestBodiesOfHostileCallers(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow(reads), nil)
	const plain, malformed, unfit, large = "application/json", "body-malformed", "bad-request", "body-too-large"
	long := strings.Repeat("x", 9<<20)
	digits := strings.Repeat("9", 400)
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		want                    string // the code of the problem, or the answer
	}{
		{"8 MB of [", plain, strings.Repeat("[", 8<<20), 400, malformed},
		{"8 MB of {", plain, strings.Repeat(`{"a":`, 8<<20/5), 400, malformed},
		{"8 MB of [ without a media type", "", strings.Repeat("[", 8<<20), 400, unfit},
		{"129 levels", plain, strings.Repeat("[", 129) + strings.Repeat("]", 129), 400, malformed},
		{"128 levels", plain, `{"name":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + "}", 200, `{"name":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `,"n":0,"items":[]}`},
		{"brackets in a text", plain, `{"name":"` + strings.Repeat("[", 1000) + `"}`, 200, `{"name":"` + strings.Repeat("[", 1000) + `","n":0,"items":[]}`},
		{"a text of 9 MB", plain, `{"name":"` + long + `"}`, 200, `{"name":"` + long + `","n":0,"items":[]}`},
		{"more than the limit", plain, `{"name":"` + long + long + `"}`, 413, large},
		{"a huge exponent", plain, `{"name":1e999999}`, 200, `{"name":1e999999,"n":0,"items":[]}`},
		{"400 digits", plain, `{"name":` + digits + `}`, 200, `{"name":` + digits + `,"n":0,"items":[]}`},
		{"NUL in a text", plain, "{\"name\":\"a\x00b\"}", 400, malformed},
		{"NUL behind it", plain, "{\"name\":1}\x00", 400, malformed},
		{"an escaped NUL", plain, `{"name":"a\u0000b"}`, 200, `{"name":"a\u0000b","n":0,"items":[]}`},
		{"a lone surrogate", plain, `{"name":"\ud800"}`, 200, `{"name":"\ud800","n":0,"items":[]}`},
		{"invalid UTF-8", plain, "{\"name\":\"\xff\xfe\"}", 400, malformed},
		{"an overlong slash", plain, "{\"name\":\"\xc0\xaf\"}", 400, malformed},
		{"duplicate keys", plain, `{"name":1,"n":5,"name":2}`, 200, `{"name":2,"n":5,"items":[]}`},
		{"duplicate keys, one escaped", plain, `{"name":1,"\u006eame":2}`, 200, `{"name":2,"n":0,"items":[]}`},
		{"a BOM", plain, "\ufeff{\"name\":1}", 400, malformed},
		{"UTF-16", plain, "{\x00}\x00", 400, malformed},
		{"truncated", plain, `{"name":"a`, 400, malformed},
		{"two values", plain, `{"name":1}{"name":2}`, 400, malformed},
		{"a comment", plain, `{"name":1/**/}`, 400, malformed},
		{"a trailing comma", plain, `{"name":1,}`, 400, malformed},
		{"NaN", plain, `{"name":NaN}`, 400, malformed},
		{"a hex number", plain, `{"name":0x10}`, 400, malformed},
		{"white space alone", plain, " \r\n\t", 400, malformed},
		{"nothing", plain, "", 400, unfit},
		{"null", plain, "null", 400, unfit},
		{"null with white space", plain, " null\n", 400, unfit},
		{"a list", plain, "[]", 400, unfit},
		{"a number", plain, "5", 400, unfit},
		{"text as text", "text/plain", `{"name":1}`, 400, unfit},
		{"a form", "application/x-www-form-urlencoded", "name=1", 400, unfit},
		{"a media type that is none", "application/json;;;=", `{"name":1}`, 400, unfit},
		{"several media types", "application/json, text/html", `{"name":1}`, 400, unfit},
		{"JSON in upper case", "Application/JSON; charset=UTF-8", `{"name":1}`, 200, `{"name":1,"n":0,"items":[]}`},
		{"JSON of a vendor", "application/vnd.x+json", `{"name":1}`, 200, `{"name":1,"n":0,"items":[]}`},
		{"no media type", "", `{"name":1}`, 200, `{"name":1,"n":0,"items":[]}`},
		{"white space everywhere", plain, " {\r\n\"name\" :\t[ 1 , 2 ] }\n", 200, `{"name":[ 1 , 2 ],"n":0,"items":[]}`},
		{"an empty key", plain, `{"":1,"name":2}`, 200, `{"name":2,"n":0,"items":[]}`},
		{"keys of gjson's syntax", plain, `{"@this":1,"#":2,"na*":3,"name|x":4,"name":5}`, 200, `{"name":5,"n":0,"items":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequest("POST", "http://public/", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			a := w.Send(r)
			if c.status == 200 {
				if a.Status != 200 || a.Body != c.want {
					t.Errorf("got %d %.200s, want %.200s", a.Status, a.Body, c.want)
				}
				return
			}
			a.IsProblem(t, c.status, c.want)
			if len(a.Body) > 1000 {
				t.Errorf("the problem has %d bytes", len(a.Body))
			}
		})
	}
}

// TestABombCostsNoMemory sends what takes a decoder a hundred times its size.
func TestABombCostsNoMemory(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow(reads), nil)
	bomb := strings.Repeat("[", 8<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 4 {
		w.Post("/", bomb).IsProblem(t, 400, "body-malformed")
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20 / 4; got > 100 {
		t.Errorf("a bomb of 8 MB took %d MB", got)
	}
}

// TestChunkedGarbageIsRefused speaks to the gateway over the bare connection.
func TestChunkedGarbageIsRefused(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow(reads), nil)
	for name, body := range map[string]string{
		"a size that is none":          "zz\r\n{}\r\n0\r\n\r\n",
		"a size of 17 digits":          "fffffffffffffffff\r\n{}",
		"a negative size":              "-1\r\n{}\r\n0\r\n\r\n",
		"no end of line":               "2\r\n{}XX0\r\n\r\n",
		"an endless extension":         "2;" + strings.Repeat("a", 1<<20) + "\r\n{}\r\n0\r\n\r\n",
		"garbage in the trailer":       "2\r\n{}\r\n0\r\n: x\r\n\r\n",
		"a chunk that says it is JSON": "1\r\n{\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := w.Dial(t.Context(), "memory", "public:80")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: public\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"+body)
			}()
			answer, _ := io.ReadAll(conn) // a connection that ends early says what it has said
			if !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
				t.Errorf("got %q", answer)
			}
		})
	}
}

// TestLoopsEndAtTheDeadline runs what would take ages on what a caller sent.
func TestLoopsEndAtTheDeadline(t *testing.T) {
	body := "[" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]"
	for name, step := range map[string]string{
		"an expression":      "return: '$(count(body, count(body, count(body, count(body, # > 1) > 0) > 0) > 0))'",
		"a search":           "return: '$(count(body, count(body, count(body, # + 1 in body) > 0) > 0))'",
		"a condition":        "when: 'any(body, any(body, any(body, any(body, any(body, # > 1)))))'\n  return: 1",
		"shapes that repeat": "return:\n    $each: a in body\n    x: { $each: b in body, y: { $each: c in body, z: { $each: d in body, $if: d > 1 } } }",
		"loops":              "each: a in body\n  steps: [ { each: b in body, steps: [ { each: c in body, steps: [ { each: d in body, steps: [ { set: $(d), id: z } ] } ] } ] } ]",
		"a filter":           "return: '$(body | filter(count(body, count(body, count(body, # > 1) > 1) > 1) > 1))'",
	} {
		t.Run(name, func(t *testing.T) {
			w := flowtest.Serve(t, "flow: f\ntrigger: { http: POST /, deadline: 100ms }\nsteps:\n- "+step+"\n", nil)
			w.Post("/", body).IsProblem(t, 504, "deadline-exceeded")
		})
	}
}

// TestOneBodyCannotBecomeMany has a caller choose both a part of the answer and
// how often it stands there.
func TestOneBodyCannotBecomeMany(t *testing.T) {
	part := strings.Repeat("x", 1<<20)
	body := `{"part":"` + part + `","list":[` + strings.TrimSuffix(strings.Repeat("1,", 5000), ",") + "]}"
	for name, steps := range map[string]string{
		"a shape that repeats": "- return: { all: { $each: x in body.list, x: $(x), part: $(body.part) } }",
		"a loop":               "- each: x in body.list\n  id: all\n  yield: { x: $(x), part: $(body.part) }\n- return: $(all)",
		"an expression":        "- return: '$(map(body.list, {{\"x\": #, \"part\": body.part}}))'",
		"text":                 "- return: '$(reduce(body.list, #acc + body.part, \"\"))'",
		"a header":             "- return: 1\n  headers: { x-all: '$(map(body.list, body.part))' }",
	} {
		t.Run(name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(steps), nil)
			w.Post("/", body).IsProblem(t, 500, "expression-failed")
		})
	}
	w := flowtest.Serve(t, flowtest.Flow("- each: x in body\n  id: all\n  yield: 1\n- return: $(len(all))"), nil)
	w.Post("/", "["+strings.TrimSuffix(strings.Repeat("1,", 300000), ",")+"]").IsProblem(t, 500, "expression-failed")
}

var exactNumbers = []string{
	"9223372036854775807", "-9223372036854775808", "9223372036854775808", "9007199254740993", "1.10", "1E5", "1e5", "-0", "-0.0", "0.0", "0.1",
	"0.30000000000000004", "12345678901234567890", "1e400", "1E+2", "123456789.123456789123456789", "1e-7", "5", "1.0",
}

// TestNumbersArriveAsTheyWere sends numbers through every place that a value
// can go through.
func TestNumbersArriveAsTheyWere(t *testing.T) {
	w := flowtest.Serve(t, flowtest.Flow(`
- { id: all, set: $(body) }
- { id: one, set: $(body.n) }
- { id: made, set: { n: $(body.n), list: [$(body.n)] } }
- { id: built, set: '$({"n": body.n, "list": [body.n]})' }
- { id: each, each: x in body.list, yield: { x: $(x) } }
- { id: bare, each: x in body.list, yield: $(x) }
- { id: sub, run: relay, with: { n: $(body.n), list: '$([body.n])' } }
- { id: echo, call: POST backend /, body: { n: $(body.n), e: '$([body.n])', s: $(body) } }
- { id: whole, call: POST backend /, body: $(body) }
- { id: asked, call: GET backend /query, query: { n: $(body.n), list: '$([body.n])' } }
- { id: text, call: GET backend /path/$(body.n), headers: { x-n: $(body.n) } }
- id: chosen
  switch:
    - when: body.n == body.n
      yield: $(body.n)
- return:
    leaf: $(body.n)
    steps: [$(all.n), $(one), $(made.n), '$(made.list[0])', $(built.n), '$(built["list"][0])', '$(each[0].x)', '$(bare[0])', $(sub.n), '$(sub.list[0])', $(chosen)]
    calls: [$(echo.n), '$(echo.e[0])', $(echo.s.n), $(whole.n)]
    made: ['$([body.n])', '$({"n": body.n})', '$(filter(body.list, true))', '$(map(body.list, #))', '$(map(body.list, {{"n": #}}))', '$(body.none ?? body.n)', '$(true ? body.n : 0)', '$(let x = body.n; [x])', '$(first(body.list))', '$(fromJSON(toJSON(body.n)))']
    each: { $each: x in body.list, x: $(x) }
    texts: ["$(body.n)|", $(string(body.n)), $(asked), $(text)]
`, `
flow: relay
input: { n: {}, list: {} }
steps:
- return: { n: $(input.n), list: $(input.list) }
`), flowtest.Backends{"backend": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/query":
			q := r.URL.Query()
			fmt.Fprintf(w, "%q", q.Get("n")+q.Get("list"))
		case strings.HasPrefix(r.URL.Path, "/path/"):
			fmt.Fprintf(w, "%q", strings.TrimPrefix(r.URL.Path, "/path/")+r.Header.Get("X-N"))
		default:
			_, _ = io.Copy(w, r.Body)
		}
	})})
	for _, n := range exactNumbers {
		t.Run(n, func(t *testing.T) {
			a := w.Post("/", `{"n":`+n+`,"list":[`+n+`],"none":null}`)
			repeat := func(format string, times int) string {
				return strings.TrimSuffix(strings.Repeat(fmt.Sprintf(format, n)+",", times), ",")
			}
			want := `{"leaf":` + n + `,"steps":[` + repeat("%s", 11) + `],"calls":[` + repeat("%s", 4) + `],"made":[[` + n + `],{"n":` + n + `},[` + n + `],[` + n + `],[{"n":` + n + `}],` +
				repeat("%s", 2) + `,[` + n + `],` + repeat("%s", 2) + `],"each":[{"x":` + n + `}],"texts":["` + n + `|","` + n + `","` + n + n + `","` + n + n + `"]}`
			if a.Status != 200 || a.Body != want {
				t.Errorf("got %d\n%s\nwant\n%s", a.Status, a.Body, want)
			}
		})
	}
}

// TestNothingBreaksOutOfALogLine logs and fails with what callers send, in both
// formats.
func TestNothingBreaksOutOfALogLine(t *testing.T) {
	for _, value := range []string{"a\nlevel=ERROR msg=evil", "a\r\n{\"level\":\"ERROR\"}", "\x1b[2J", "\u2028x", "a\" evil=\"1", "\x00", "\u0085x", "\u202eevil"} {
		t.Run(value, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(`
- log: got $(body.v)
  fields: { v: $(body.v), list: '$([body.v])', object: $(body) }
- fail: no $(body.v)
  status: 422
`), nil)
			sent, err := json.Marshal(map[string]string{"v": value})
			if err != nil {
				t.Fatal(err)
			}
			p := w.Post("/", string(sent)).IsProblem(t, 422, "flow-failed")
			if p.Title != "no "+value {
				t.Errorf("the title is %q", p.Title)
			}
			lines := strings.Split(strings.TrimSuffix(w.Log(), "\n"), "\n")
			if len(lines) != 1 {
				t.Fatalf("got %d lines: %q", len(lines), lines)
			}
			var line struct {
				Msg, V string
				List   []string
				Object map[string]string
			}
			if err := json.Unmarshal([]byte(lines[0]), &line); err != nil || line.Msg != "got "+value || line.V != value || !slices.Equal(line.List, []string{value}) || line.Object["v"] != value {
				t.Errorf("%v in %q", err, lines[0])
			}
			var text strings.Builder
			slog.New(slog.NewTextHandler(&text, nil)).Info("got "+value, "v", value, "raw", json.RawMessage(sent))
			if strings.Count(text.String(), "\n") != 1 || strings.ContainsAny(text.String(), "\x00\x1b\r\u2028\u0085\u202e") {
				t.Errorf("got %q", text.String())
			}
		})
	}
}
