package openapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

const styles = `openapi: 3.1.0
paths:
  /a/{label}/{matrix}/{simple}:
    get:
      parameters:
        - { name: label, in: path, style: label, required: true, schema: { type: array, items: { type: integer } } }
        - { name: matrix, in: path, style: matrix, explode: true, required: true, schema: { type: object, properties: { x: { type: integer } } } }
        - { name: simple, in: path, required: true, schema: { type: object, properties: { r: { type: integer } } } }
        - { name: deep, in: query, style: deepObject, schema: { type: object, properties: { n: { type: array, items: { type: integer } } } } }
        - { name: form, in: query, schema: { type: object, properties: { fx: { type: integer }, fy: { type: string } } } }
        - { name: flat, in: query, explode: false, schema: { type: object, properties: { k: { type: integer } } } }
        - { name: space, in: query, style: spaceDelimited, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: either, in: query, schema: { type: [integer, "null"] } }
        - { name: json, in: query, content: { application/json: { schema: { type: integer } } } }
        - { name: any, in: query, schema: {} }
        - { name: H, in: header, explode: true, schema: { type: object, properties: { a: { type: integer } } } }
        - { name: c, in: cookie, explode: false, schema: { type: array, items: { type: integer } } }
    post:
      requestBody:
        content:
          application/*: { schema: { type: string } }
          application/json: { schema: { type: integer } }
          text/plain: { schema: { type: string, maxLength: 3 } }
          multipart/form-data: { schema: { type: object } }
`

func stylesOf(tb testing.TB, method string, strict bool) *Requests {
	tb.Helper()
	src := dsl.NewSource("api.yaml", styles)
	docs := schema.NewDocuments([]*dsl.Source{src})
	var ds dsl.Diagnostics
	root := docs.Open(dsl.String{Value: "api.yaml", Span: dsl.Span{Source: dsl.NewSource("flow.yaml", ""), End: 0}}, &ds)
	d := Read(root, docs, &ds)
	for _, op := range d.Operations {
		if op.Method == method {
			out := op.Requests(strict, &ds)
			if ds.Len() > 0 {
				tb.Fatal(ds.All())
			}
			return out
		}
	}
	tb.Fatal("there is no ", method)
	return nil
}

func incoming(label, matrix, simple, query, header, cookie string) Incoming {
	vars := map[string]string{"label": label, "matrix": matrix, "simple": simple}
	in := Incoming{Var: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }, Query: query, Header: http.Header{}}
	if header != "" {
		in.Header["H"] = []string{header}
	}
	if cookie != "" {
		in.Header["Cookie"] = []string{cookie}
	}
	return in
}

func TestStylesOfParameters(t *testing.T) {
	q := stylesOf(t, "GET", true)
	for _, c := range []struct{ label, matrix, simple, query, header, cookie, want string }{
		{".1,2", ";x=1", "r,1", "", "", "", ""},
		{".1,b", ";x=b", "r,b", "", "", "", "/params/label/1 must be a whole number, not text; /params/matrix/x must be a whole number, not text; /params/simple/r must be a whole number, not text"},
		{"1", "x=1", "r", "", "", "", "/params/label must begin with a dot; /params/matrix must begin with a semicolon; /params/simple must be written as name,value,name,value"},
		{".", ";x=1;x=2", "r,1,r,2", "", "", "", "/params/matrix has the same name twice; /params/simple has the same name twice"},
		{".1", ";x", "r,1", "", "", "", "/params/matrix must be written as name=value;name=value"},
		{".1", ";x=1", "", "deep[n]=1&deep[n]=2&fx=3&fy=a&flat=k,1&space=1%202&either=&json=7&any=x&any=y", "a=1,a2=3", "c=1,2", "/query/either must be null or a whole number, not text"},
		{".1", ";x=1", "", "space=1+2&deep[n]=a&fx=b&fy=a&fy=b&flat=k&json=x", "a=x", "c=x", "/query/deep/n/0 must be a whole number, not text; /query/form/fx must be a whole number, not text; /query/form/fy must be text, not a list; /query/flat must be written as name,value,name,value; /query/json must be JSON; /headers/H/a must be a whole number, not text; /cookies/c/0 must be a whole number, not text"},
		{".1", ";x=1", "", "form=1&nope=2&deepen[a]=1", "", "", "/query/nope is not known here; /query/deepen[a] is not known here"},
	} {
		var got []string
		for _, v := range q.Parameters(incoming(c.label, c.matrix, c.simple, c.query, c.header, c.cookie)) {
			got = append(got, v.Pointer+" "+v.Message)
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%+v:\ngot  %s", c, text)
		}
	}
	if v := q.Parameters(Incoming{Var: func(string) (string, bool) { return "", false }}); len(v) != 3 {
		t.Errorf("what is not there: %v", v)
	}
}

func TestContentOfBodies(t *testing.T) {
	q := stylesOf(t, "POST", false)
	for _, c := range []struct {
		media, text string
		taken       bool
		looks       bool
		want        int // things that do not fit
	}{
		{"application/json", "7", true, true, 0},
		{"application/json", `"7"`, true, true, 1},
		{"APPLICATION/JSON; charset=utf-8", "7", true, true, 0},
		{"application/vnd.x+json", `"7"`, true, true, 0},
		{"application/pdf", "%PDF", true, false, 0},
		{"text/plain", "abcd", true, true, 1},
		{"multipart/form-data; boundary=x", "", true, false, 0},
		{"text/html", "", false, false, 0},
		{"", "", false, false, 0},
		{"application", "", false, false, 0},
		{";", "", false, false, 0},
	} {
		body := q.Body(c.media)
		if (body != nil) != c.taken {
			t.Errorf("%q is taken: %t", c.media, body != nil)
		}
		if body == nil {
			continue
		}
		if body.Looks(c.media) != c.looks {
			t.Errorf("%q is looked into: %t", c.media, !c.looks)
		}
		if v := body.Check(c.media, c.text); c.looks && len(v) != c.want {
			t.Errorf("%q: %v", c.text, v)
		}
	}
}

// FuzzRequests makes sure that no request breaks what reads it, or is told more
// than its bound.
func FuzzRequests(f *testing.F) {
	q, body := stylesOf(f, "GET", true), stylesOf(f, "POST", false)
	f.Add(".1,2", ";x=1", "r,1", "deep[n]=1&fx=3&flat=k,1&space=1%202&json=7", "a=1", "c=1,2", "application/json", `{"a":[1,{"b":"\ud800"}]}`)
	f.Add("", "", "", "%=&[=]&deep[=&deep[]=", ",=,", "c=\"", "text/*;;", "{")
	f.Fuzz(func(t *testing.T, label, matrix, simple, query, header, cookie, media, text string) {
		for _, v := range q.Parameters(incoming(label, matrix, simple, query, header, cookie)) {
			if v.Message == "" || len(v.Message) > 300 {
				t.Errorf("%+v", v)
			}
		}
		if c := body.Body(media); c != nil && c.Looks(media) {
			c.Check(media, text)
		}
	})
}
