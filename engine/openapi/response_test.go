package openapi

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine/schema"
)

const answers = `
openapi: 3.0.3
paths:
  /a b/{id}/x~y:
    get:
      responses:
        "200":
          headers: { X-Rate: { $ref: "#/components/headers/Rate" }, X-May: { schema: {} }, Content-Type: { required: true } }
          content:
            application/json; charset=utf-8: { schema: { type: object, nullable: true, properties: { n: { type: integer, maximum: 10 } } } }
            text/*: {}
        4xx: { $ref: "#/components/responses/Wrong" }
        default: {}
components:
  headers: { Rate: { required: true } }
  responses: { Wrong: { content: { application/problem+json: { schema: { $ref: "#/components/schemas/Problem" } } } } }
  schemas: { Problem: { type: object, required: [title], properties: { title: { type: string } } } }
`

func TestResponses(t *testing.T) {
	var ds dsl.Diagnostics
	src := dsl.NewSource("api.yaml", answers)
	docs := schema.NewDocuments([]*dsl.Source{src})
	from := dsl.NewSource("flow.yaml", "api.yaml")
	root := docs.Open(dsl.String{Value: "api.yaml", Span: dsl.Span{Source: from, End: 8}}, &ds)
	op := Read(root, docs, &ds).Operations[0]
	if ds.Len() > 0 || strings.Join(op.Statuses(), " ") != "200 4xx default" {
		t.Fatal(ds.All(), op.Statuses())
	}
	for status, want := range map[int]string{200: "200", 201: "default", 404: "4xx", 503: "default"} {
		if r, ok := op.Response(status); !ok || r.Status != want {
			t.Errorf("%d is answered by %+v, want %s", status, r, want)
		}
	}
	ok, _ := op.Response(200)
	if strings.Join(ok.Headers, " ") != "X-Rate" {
		t.Errorf("it needs %v", ok.Headers)
	}
	for media, want := range map[string]bool{"application/json": true, "Application/JSON; charset=latin1": true, "text/csv": true, "application/xml": false, "": false, "text": false} {
		if ok.Takes(media) != want {
			t.Errorf("takes %q: %t", media, !want)
		}
	}
	if s := ok.Schema(); s == nil || s.Check(nil) != nil || s.Check(map[string]any{"n": 3}) != nil || len(s.Check(map[string]any{"n": 11})) != 1 {
		t.Error("the schema of a path with characters that pointers escape is not the one")
	}
	wrong, _ := op.Response(404)
	if v := wrong.Schema().Check(map[string]any{}); len(v) != 1 || v[0].Pointer != "/title" {
		t.Errorf("a reference is not followed: %v", v)
	}
	if at := wrong.Place([]string{"title"}); at.Text() != "title" {
		t.Errorf("the title is at %q", at.Text())
	}
	if r, _ := op.Response(500); r.Schema() != nil || r.Takes("application/json") {
		t.Error("an answer without content has some")
	}
}
