package steps_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-run/weir/flows/flowtest"
)

// post sends a body with its media type.
func post(w *flowtest.World, media, body string) flowtest.Answer {
	r := w.Request("POST", "/", "")
	r.Body = io.NopCloser(strings.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header["Content-Type"] = []string{media}
	return w.Send(r)
}

func TestTransformReads(t *testing.T) {
	for _, tt := range []struct {
		name  string
		step  string
		media string
		body  string
		want  string
	}{
		{"what the media type says: JSON", "transform: $(body)", "application/json", `{"b":1.10,"a":[]}`, `{"b":1.10,"a":[]}`},
		{"what the media type says: XML", "transform: $(body)", "text/xml; charset=iso-8859-1", "<o a='1'>\xfc</o>", `{"o":{"@a":"1","#text":"ü"}}`},
		{"what the media type says: a kind of XML", "transform: $(body)", "application/atom+xml", "<o/>", `{"o":""}`},
		{"what the media type says: CSV", "transform: $(body)", "text/csv", "a,b\n1,2\n", `[{"a":"1","b":"2"}]`},
		{"what the media type says: a form", "transform: $(body)", "application/x-www-form-urlencoded", "a=1&a=2", `{"a":["1","2"]}`},
		{"what the media type says: a multipart form", "transform: $(body)", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--", `{"a":"1"}`},
		{"what the media type says: lines", "transform: $(body)", "application/x-ndjson", "1\n2\n", `[1,2]`},
		{"what the media type says: text", "transform: $(body)", "text/plain", "1", `"1"`},
		{"no body", "transform: $(body)", "text/csv", "", ``},
		{"a format by name", "transform: $(body)\n  from: xml", "text/plain", "<o/>", `{"o":""}`},
		{"JSON by name", "transform: $(body)\n  from: json", "text/plain", "[1.10]", `[1.10]`},
		{"bytes by name", "transform: $(body)\n  from: bytes", "image/png", "\x89PNG", `"iVBORw=="`},
		{"JSON as it came", "transform: $(body)\n  from: text", "application/json", " {\"b\":1.50, \"a\":0}\n", `" {\"b\":1.50, \"a\":0}\n"`},
		{"JSON as it came, in bytes", "transform: $(body)\n  from: bytes", "application/json", "[1 ]", `"WzEgXQ=="`},
		{"a document inside a value", "transform: $(body.doc)\n  from: csv\n  csv: { header: false, types: {} }", "application/json", `{"doc":"1,2"}`, `[["1","2"]]`},
		{"a text that is no document", "transform: $(body.doc)", "application/json", `{"doc":"1,2"}`, `"1,2"`},
		{"a value", "transform: { a: $(body.doc) }", "application/json", `{"doc":"1,2"}`, `{"a":"1,2"}`},
		{"options", "transform: $(body)\n  xml: { root: o, lists: [i], types: { i: integer } }", "application/xml", "<o><i>07</i></o>", `{"i":[7]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow("- id: v\n  "+tt.step+"\n- return: $(v)"), nil)
			status := 200
			if tt.want == "" {
				status = 204
			}
			post(w, tt.media, tt.body).Is(t, status, tt.want)
		})
	}
}

func TestTransformWrites(t *testing.T) {
	for _, tt := range []struct{ name, step, want, media string }{
		{"XML", "transform: { o: { i: [1, $(body.n)] } }\n  to: xml\n  xml: { declaration: false }", "<o><i>1</i><i>1.10</i></o>", "application/xml"},
		{"XML in the order of the fields", "transform: $(body)\n  to: xml\n  xml: { declaration: false, root: o }", "<o><n>1.10</n><a>x&amp;y</a></o>", "application/xml"},
		{"CSV", "transform: [$(body)]\n  to: csv", "n,a\r\n1.10,x&y\r\n", "text/csv; charset=utf-8"},
		{"a form", "transform: $(body)\n  to: form", "n=1.10&a=x%26y", "application/x-www-form-urlencoded"},
		{"lines", "transform: [$(body), 2]\n  to: ndjson", "{\"n\":1.10,\"a\":\"x&y\"}\n2\n", "application/x-ndjson"},
		{"text", "transform: $(body.a)\n  to: text", "x&y", "text/plain; charset=utf-8"},
		{"bytes", "transform: iVBORw==\n  to: bytes\n  bytes: { type: image/png }", "\x89PNG", "image/png"},
		{"one document from another", "transform: \"a,b\\n1,2\\n\"\n  from: csv\n  to: xml\n  xml: { declaration: false, root: r }", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow("- id: v\n  "+tt.step+"\n- return: $(v)"), nil)
			a := w.Post("/", `{"n":1.10,"a":"x&y"}`)
			if tt.want == "" { // rows have no name for their elements
				if p := a.IsProblem(t, 400, "bad-request"); !strings.HasPrefix(p.Detail, "This cannot be written as XML: ") {
					t.Errorf("%+v", p)
				}
				return
			}
			a.Is(t, 200, tt.want)
			if got := a.Header.Get("Content-Type"); got != tt.media {
				t.Errorf("content type %q, want %q", got, tt.media)
			}
		})
	}
}

func TestBackendsGetDocumentsWithTheirMediaType(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["Content-Type"] = r.Header["Content-Type"]
		_, _ = w.Write(body)
	})
	w := flowtest.Serve(t, flowtest.Flow(`
- id: upload
  transform: { title: Ada, doc: { name: a.csv, type: text/csv, text: "a,b" } }
  to: multipart
- id: sent
  call: POST echo /
  body: $(upload)
- id: back
  transform: $(sent)
- return: $(back)`), flowtest.Backends{"echo": echo})
	w.Get("/").Is(t, 200, `{"title":"Ada","doc":{"name":"a.csv","type":"text/csv","text":"a,b"}}`)
}

// Whose fault a document is, its way through the flow decides.
func TestWhoIsToldOfBadDocuments(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, "<inside>")
	})
	const bad = "<a>\n</b>"
	told := "XML cannot be read: line 2: <a> of line 1 is closed by </b>."
	for _, tt := range []struct {
		name   string
		steps  string
		status int
		code   string
		detail string // "": anything
	}{
		{"the caller's", "- { id: v, transform: $(body), from: xml }", 400, "bad-request", told},
		{"the caller's, by its media type", "- { id: v, transform: $(body) }", 400, "bad-request", told},
		{"the caller's, by another name", "- { id: raw, set: $(body) }\n- { id: v, transform: $(raw), from: xml }", 400, "bad-request", told},
		{"the caller's, in a loop", "- each: doc in [body]\n  steps: [{ id: v, transform: $(doc), from: xml }]", 400, "bad-request", told},
		{"the caller's, in a compose", "- compose:\n    v: { transform: $(body), from: xml }", 400, "bad-request", told},
		{"the caller's, that cannot be written", "- { id: v, transform: $(body), from: text, to: csv }", 400, "bad-request", "This cannot be written as CSV: CSV is written from a list of rows, not from text."},
		{"a backend's", "- { id: doc, call: GET b / }\n- { id: v, transform: $(doc) }", 502, "upstream-malformed", ""},
		{"a backend's, by another name", "- { id: doc, call: GET b / }\n- { id: raw, set: $(doc) }\n- { id: v, transform: $(raw), from: xml }", 502, "upstream-malformed", ""},
		{"a backend's, that cannot be written", "- { id: doc, call: GET b / }\n- { id: v, transform: $(doc), from: text, to: csv }", 500, "expression-failed", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := flowtest.Serve(t, flowtest.Flow(tt.steps+"\n- return: 1"), flowtest.Backends{"b": backend})
			if p := post(w, "application/xml", bad).IsProblem(t, tt.status, tt.code); tt.detail != "" && p.Detail != tt.detail {
				t.Errorf("the caller is told %q, want %q", p.Detail, tt.detail)
			}
		})
	}
	t.Run("nothing to read", func(t *testing.T) {
		w := flowtest.Serve(t, flowtest.Flow("- { id: v, transform: $(body), from: xml }\n- return: 1"), nil)
		if p := post(w, "application/xml", "").IsProblem(t, 400, "bad-request"); p.Detail != "XML is needed here, and there is nothing." {
			t.Errorf("%+v", p)
		}
	})
	t.Run("a media type of no format", func(t *testing.T) {
		w := flowtest.Serve(t, flowtest.Flow("- { id: v, transform: $(body) }\n- return: 1"), nil)
		if p := post(w, "application/pdf", "%PDF").IsProblem(t, 400, "bad-request"); p.Detail != `The media type "application/pdf" is none of a format that can be read.` {
			t.Errorf("%+v", p)
		}
	})
	t.Run("a handler sees what went wrong", func(t *testing.T) {
		w := flowtest.Serve(t, flowtest.Flow("- id: v\n  transform: $(body)\n  catch: [{ return: \"$(error.kind): $(error.message)\", status: 422 }]"), nil)
		post(w, "text/csv", "a\n\"").Is(t, 422, "input: CSV cannot be read: line 2: a cell in quotes does not end, or goes on behind its closing quote")
	})
}

var fence = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")

// Each step of the guide to formats is followed by a document that comes in, or
// by JSON, and by what comes out of it.
func TestTheGuideToFormats(t *testing.T) {
	text, err := os.ReadFile("../../docs/guide/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	media := map[string]string{
		"json": "application/json", "xml": "application/xml", "csv": "text/csv", "ndjson": "application/x-ndjson",
		"form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data; boundary=XYZ", "text": "text/plain",
	}
	blocks := fence.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 20 {
		t.Fatalf("found %d blocks", len(blocks))
	}
	document := func(b []string) string {
		body := strings.TrimSuffix(b[2], "\n")
		switch b[1] {
		case "multipart":
			return strings.ReplaceAll(body, "\n", "\r\n")
		case "form":
			return strings.ReplaceAll(body, "\n", "")
		}
		return body
	}
	for i := 0; i+2 < len(blocks); i += 3 {
		step, in, out := blocks[i], blocks[i+1], blocks[i+2]
		if step[1] != "yaml" {
			t.Fatalf("no step, but %s", step[0])
		}
		t.Run(fmt.Sprintf("%d from %s to %s", i/3+1, in[1], out[1]), func(t *testing.T) {
			steps := "- " + strings.ReplaceAll(strings.TrimSpace(step[2]), "\n", "\n  ") + "\n- return: $(it)"
			w := flowtest.Serve(t, flowtest.Flow(steps), nil)
			a := post(w, media[in[1]], document(in))
			got, want := a.Body, document(out)
			if out[1] == "json" {
				got, want = compact(t, got), compact(t, want)
			} else {
				got, want = strings.ReplaceAll(strings.TrimSpace(got), "\r\n", "\n"), strings.TrimSpace(want)
			}
			if a.Status != 200 || got != want {
				t.Errorf("got %d %s\nwant %s", a.Status, got, want)
			}
		})
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	var raw json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	out, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(out)
	return b.String()
}
