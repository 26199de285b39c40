package connectors_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/steps"
	"github.com/weir-run/weir/flows"
	"github.com/weir-run/weir/flows/flowtest"
)

// recorder is a backend that keeps every byte it gets and answers {}.
type recorder struct{ requests chan string }

func record(t testing.TB, w *flowtest.World, name string) *recorder {
	t.Helper()
	l, err := w.Listen("memory", name+":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &recorder{requests: make(chan string, 64)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
	return r
}

func (r *recorder) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		var got strings.Builder
		length := 0
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			got.WriteString(line)
			if n, err := fmt.Sscanf(line, "Content-Length: %d", &length); n == 1 && err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		got.Write(body)
		r.requests <- got.String()
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
			return
		}
	}
}

// heard is what the backend read of one request.
type heard struct {
	line   string
	header []string // whole lines, sorted, but for those that are always there
	body   string
}

// last gives the one request that came, or false if none did.
func (r *recorder) last(t testing.TB) (heard, bool) {
	t.Helper()
	var text string
	select {
	case text = <-r.requests:
	default:
		return heard{}, false
	}
	if len(r.requests) > 0 {
		t.Fatalf("one call became several requests: %q and %q", text, <-r.requests)
	}
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	got := heard{line: lines[0], body: body}
	for _, line := range lines[1:] {
		name, _, _ := strings.Cut(line, ":")
		if !slices.Contains([]string{"Host", "User-Agent", "X-Request-Id", "Content-Length", "Content-Type", "Accept-Encoding"}, name) {
			got.header = append(got.header, line)
		}
	}
	slices.Sort(got.header)
	return got, true
}

const injected = `
- id: got
  call: POST raw /a/$(body.v)/b/x-$(body.v).json
  query: { q: $(body.v), list: ["$(body.v)", fixed], text: "<$(body.v)>" }
  headers: { x-value: "$(body.h)", x-list: ["$(body.h)", two] }
  body: { value: $(body.v), text: "<$(body.v)>" }
- return: $(got)
`

var hostileTexts = []string{
	"plain", "a b", "a/b", "a\\b", "../..", "..", ".", "...", ".hidden", "..;/admin", "..%2f..", "%2e%2e", "%2e%2e%2f", "%", "%zz", "%00", "%0d%0a",
	"a?b=c", "a#b", "a&b=c", "a;b=c", "a=b", "a+b", "a,b", "a@b", "a:b", "//host/x", "http://evil/", "a\r\nX-Evil: 1\r\n\r\n", "a\nb", "a\rb", "a\tb", "\x00", "a\x00b", "\x7f", "\x1b[31m",
	"é", "日本", "\u2028", "\u202e", "\ufeff", "😀", "\u0085", "\\", "\"", "'", "`", "|", "^", "{}", "[]", "<>", "$(body.v)", "$$(x)", "${x}", "", " ", "\t", "*", "~", "(", ")", "!",
	"\\..\\x", "x/../y", "x\\..\\y", "x/..", "./x", "a/./b", " HTTP/1.1\r\nHost: evil\r\n\r\nGET / ", "0", "null", "true",
}

// FuzzInjection sends any value to every place of a request and reads what
// arrives, byte by byte.
func FuzzInjection(f *testing.F) {
	for _, v := range hostileTexts {
		f.Add(v)
	}
	w := flowtest.Serve(f, flowtest.Flow(injected), flowtest.Backends{"raw": nil})
	backend := record(f, w, "raw")
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.ToValidUTF8(value, "\ufffd")
		header := strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
		body, err := json.Marshal(map[string]string{"v": value, "h": value})
		if err != nil {
			t.Fatal(err)
		}
		a := flowtest.Read(w.Client.Post("http://public/", "application/json", bytes.NewReader(body)))
		got, came := backend.last(t)
		unsafe := slices.ContainsFunc(strings.FieldsFunc("/a/"+value+"/b/x-"+value+".json", slash), dots) || value == ""
		if unsafe || header {
			if a.Status != 500 || came {
				t.Fatalf("%q: got %d %s, and the backend %q", value, a.Status, a.Body, got.line)
			}
			a.IsProblem(t, 500, "expression-failed")
			return
		}
		if a.Status != 200 || !came {
			t.Fatalf("%q: got %d %s %v", value, a.Status, a.Body, a.Err)
		}
		target, isPost := strings.CutPrefix(got.line, "POST ")
		target, isHTTP := strings.CutSuffix(target, " HTTP/1.1")
		path, query, _ := strings.Cut(target, "?")
		if !isPost || !isHTTP || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
			t.Fatalf("%q: request line %q", value, got.line)
		}
		var segments []string
		for _, segment := range strings.Split(path, "/") {
			decoded, err := url.PathUnescape(segment)
			if err != nil {
				t.Fatal(err)
			}
			segments = append(segments, decoded)
		}
		if want := []string{"", "a", value, "b", "x-" + value + ".json"}; !slices.Equal(segments, want) {
			t.Fatalf("%q: the path is %q, its segments %q", value, path, segments)
		}
		values, err := url.ParseQuery(query)
		if err != nil || strings.Count(query, "&") != 3 || strings.Count(query, "=") != 4 ||
			!slices.Equal(values["q"], []string{value}) || !slices.Equal(values["list"], []string{value, "fixed"}) || values.Get("text") != "<"+value+">" {
			t.Fatalf("%q: the query is %q: %v", value, query, err)
		}
		if want := []string{"X-List: " + value, "X-List: two", "X-Value: " + value}; !slices.Equal(got.header, slices.Sorted(slices.Values(want))) {
			t.Fatalf("%q: the header is %q", value, got.header)
		}
		var sent map[string]string
		if err := json.Unmarshal([]byte(got.body), &sent); err != nil || len(sent) != 2 || sent["value"] != value || sent["text"] != "<"+value+">" {
			t.Fatalf("%q: the body is %q: %v", value, got.body, err)
		}
	})
}

func slash(r rune) bool { return r == '/' || r == '\\' }

func dots(segment string) bool {
	name, _, _ := strings.Cut(segment, ";")
	return name == "." || name == ".."
}

// TestParametersStayInTheirPlace sends what the caller's own request line and
// header say.
func TestParametersStayInTheirPlace(t *testing.T) {
	w := flowtest.Serve(t, `
flow: relay
trigger: { http: "GET /{id}/{rest}" }
steps:
  - call: GET raw /users/$(params.id)/$(params.rest)
    query: { q: $(query.q), agent: '$(headers["user-agent"])' }
    headers: { x-q: '$(query.q ?? "none")', x-agent: '$(headers["user-agent"])' }
  - return: {}
`, flowtest.Backends{"raw": nil})
	backend := record(t, w, "raw")
	for _, c := range []struct{ target, agent, line string }{
		{"/7/x?q=1", "a", "GET /users/7/x?q=1&agent=a HTTP/1.1"},
		{"/a%2Fb/x", "a b", "GET /users/a%2Fb/x?agent=a+b HTTP/1.1"},
		{"/a%20b/x?q=%26x%3D1", "", "GET /users/a%20b/x?q=%26x%3D1 HTTP/1.1"},
		{"/a+b/%2B?q=a+b", "x", "GET /users/a+b/+?q=a+b&agent=x HTTP/1.1"},
		{"/%3Fx=1/%23?q=%23", "x", "GET /users/%3Fx=1/%23?q=%23&agent=x HTTP/1.1"},
		{"/%25/%252e%252e?q=%25", "x", "GET /users/%25/%252e%252e?q=%25&agent=x HTTP/1.1"},
		{"/a;b/c?q=a%3Bb", "x", "GET /users/a%3Bb/c?q=a%3Bb&agent=x HTTP/1.1"},
		{"/%E2%82%AC/x?q=%E2%82%AC", "x", ""}, // a header in UTF-8 is as good as any bytes
		{"/%2e%2e/x", "x", ""},
		{"/..%2fx/y", "x", ""},
		{"/x/..%2f..", "x", ""},
		{"/..%5cx/y", "x", ""},
		{"/a/b?q=%0d%0aX-Evil:1", "x", ""},
		{"/a/b?q=%00", "x", ""},
		{"/a%0d%0ab/c", "x", ""},
		{"/a/b?q=%zz", "x", "GET /users/a/b?agent=x HTTP/1.1"},
		{"/a/b?q=1;q=2", "x", "GET /users/a/b?agent=x HTTP/1.1"},
		{"/a/b?q=1&q=2", "x", "GET /users/a/b?q=1&agent=x HTTP/1.1"},
	} {
		t.Run(c.target, func(t *testing.T) {
			r := w.Request("GET", "/x/y", "")
			r.URL.Opaque, r.URL.RawQuery = "//public"+strings.Split(c.target, "?")[0], ""
			if _, query, ok := strings.Cut(c.target, "?"); ok {
				r.URL.RawQuery = query
			}
			r.URL = &url.URL{Scheme: "http", Host: "public", Opaque: c.target}
			r.Header.Set("User-Agent", c.agent)
			a := w.Send(r)
			got, came := backend.last(t)
			if came && (c.line != "" && got.line != c.line || strings.Count(got.line, "/") > 4) {
				t.Errorf("got %q, want %q", got.line, c.line)
			}
			if c.line != "" && (!came || a.Status != http.StatusOK) {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
			if slices.ContainsFunc(got.header, func(line string) bool { return strings.HasPrefix(line, "X-Evil") }) {
				t.Errorf("the header is %q", got.header)
			}
		})
	}
}

// TestAnAuthorsPathCannotOpenAGap checks static text that would make net/url
// escape the whole path anew, or that would join with a value.
func TestAnAuthorsPathCannotOpenAGap(t *testing.T) {
	for _, path := range []string{"/a|b/$(body.v)", "/a^b/$(body.v)", "/a`b/$(body.v)", "/a%2$(body.v)", "/a%$(body.v)", "/%2e%2e/$(body.v)", "/%zz", "/a/..%2fb", `/a/$(replace(body.v, "(", ""))?x=1`} {
		t.Run(path, func(t *testing.T) {
			text := flowtest.Flow("- call: 'GET raw "+path+"'") + "\n---\nservices: { raw: { endpoints: [\"http://raw\"] } }\ngateways: { public: { listen: \":80\" } }\n"
			verbs, err := dsl.NewCatalog(append(steps.All(), connectors.All()...)...)
			if err != nil {
				t.Fatal(err)
			}
			p, faults := flows.Check(&flows.Files{Sources: []*dsl.Source{dsl.NewSource("test.yaml", text)}}, &flows.Catalog{Steps: verbs}, flows.Environment{})
			if p != nil || len(faults) == 0 || !strings.HasSuffix(faults[0].Code, "path") {
				t.Errorf("got %v", faults)
			}
		})
	}
	w := flowtest.Serve(t, flowtest.Flow(`
- call: 'GET raw /a/$(replace(body.v, ")", "("))/$$(b)/c'
- return: 1
`), flowtest.Backends{"raw": nil})
	backend := record(t, w, "raw")
	w.Post("/", `{"v":"x)y"}`)
	if got, _ := backend.last(t); got.line != "GET /a/x%28y/$%28b%29/c HTTP/1.1" && got.line != "GET /a/x%28y/$(b)/c HTTP/1.1" {
		t.Errorf("got %q", got.line)
	}
}
