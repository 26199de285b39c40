package lsp

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func (d *desk) outline(all []documentSymbol, indent string) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s%s (%s) %d-%d\n", indent, s.Name, s.Detail, s.Range.Start.Line+1, s.Range.End.Line+1)
		b.WriteString(d.outline(s.Children, indent+"  "))
	}
	return b.String()
}

func TestSymbols(t *testing.T) {
	d := editing(t, shop, "profile.yaml", half+`  - compose:
      a: { call: GET users /a }
      b:
        each: x in y
        steps:
          - call: GET users /b
          - ca‸
  - switch:
      - when: x
        steps: [{ log: one }]
errors: [{ return: 1 }]
---
services:
  users: { endpoints: [x] }
  orders:
    endpoints:
      - x
---
tests: [{ test: it works }]
`)
	all, err := d.symbols(context.Background(), &documentParams{d.cursor.TextDocument})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimLeft(`
profile (GET /customers/{id}) 1-19
  user (call GET users /users/$(params.id)) 4-5
  price (run price-of) 6-8
  compose () 9-15
    a (call GET users /a) 10-10
    b (each x in y) 11-15
      call (GET users /b) 14-14
  switch () 16-18
    log (one) 18-18
services () 21-25
  users () 22-22
  orders () 23-25
tests () 27-27
  it works () 27-27
`, "\n")
	if got := d.outline(all, ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFormattingIsThatOfTheCommand(t *testing.T) {
	d := editing(t, shop, "profile.yaml", "flow:   a\r\n# kept\nsteps:  [ {return:  1} ]\n‸")
	got, err := d.formatting(context.Background(), &documentParams{d.cursor.TextDocument})
	if err != nil {
		t.Fatal(err)
	}
	if text := applied(d.doc.string, got); text != "flow: a\n# kept\nsteps: [{ return: 1 }]\n" {
		t.Errorf("got %q", text)
	}
	for name, text := range map[string]string{"users.json": "{ }‸", "../compose.yaml": "services:   {}\n‸"} {
		d = editing(t, shop, name, text)
		if got, err := d.formatting(context.Background(), &documentParams{d.cursor.TextDocument}); err != nil || got != nil {
			t.Errorf("%s, which is no flow file, becomes %v (%v)", name, got, err)
		}
	}
	d = editing(t, shop, "profile.yaml", "flow: [‸")
	if _, err := d.formatting(context.Background(), &documentParams{d.cursor.TextDocument}); err == nil {
		t.Error("a file that cannot be read is formatted")
	}
}

func TestCodeActionsAreFixes(t *testing.T) {
	d := editing(t, shop, "profile.yaml", "flow: a\ntrigger: { http: GET / }\nsteps:\n  - call: GET ‸usres /x\n    timout: 1s\n")
	p := codeActionParams{TextDocument: d.cursor.TextDocument, Range: span{d.cursor.Position, d.cursor.Position}}
	got, err := d.codeActions(context.Background(), &p)
	if err != nil || len(got) != 1 || got[0].Title != `write "users"` || !got[0].Preferred || len(got[0].Diagnostics) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if text := applied(d.doc.string, got[0].Edit.Changes[d.doc.uri]); !strings.Contains(text, "GET users /x\n    timout") {
		t.Errorf("got %q", text)
	}
	p.Context.Only = []string{"source"}
	got, err = d.codeActions(context.Background(), &p)
	if err != nil || len(got) != 1 || got[0].Kind != fixAll {
		t.Fatalf("got %+v, %v", got, err)
	}
	if text := applied(d.doc.string, got[0].Edit.Changes[d.doc.uri]); !strings.Contains(text, "GET users /x\n    timeout") {
		t.Errorf("got %q", text)
	}
}

// FuzzRequests asks everything there is to ask about any text, at any place.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		half + "  - return: $(user.", half + "  - call: GET users /x\n    query: { a: $(f(a, b", "flow: [\n---\nservices: {\n  a: \"", "tests:\n  - test: x\n    mock: { ",
		"flow: a\nsteps:\n  - each: x in filter(y, .z\n    steps:\n    - ", "output: { $ref: '#/a/0'",
	} {
		f.Add(seed, len(seed))
		f.Add(seed, len(seed)/2)
	}
	opts := options(f)
	dir := write(f, shop)
	f.Fuzz(func(t *testing.T, s string, offset int) {
		server := newServer(opts)
		server.folders, server.snippets = []string{dir}, offset%2 == 0
		doc := &document{uri: fileURI(dir + "/a.yaml"), path: dir + "/a.yaml", text: newText(s)}
		server.documents[doc.path] = doc
		id := documentID{doc.uri}
		at := cursorParams{id, doc.position(offset, inUTF16)}
		ctx := context.Background()
		items, err := server.completion(ctx, &at)
		if err != nil {
			t.Fatal(err)
		}
		cursor := doc.offset(at.Position, inUTF16)
		for _, i := range items {
			r := i.Edit.Range
			if r.Start.Line != r.End.Line || doc.offset(r.Start, inUTF16) > cursor || doc.offset(r.End, inUTF16) < cursor {
				t.Fatalf("%q at %d: %s replaces %v", s, cursor, i.Label, r)
			}
		}
		server.hover(ctx, &at)
		server.definition(ctx, &at)
		server.references(ctx, &referenceParams{cursorParams: at})
		server.prepareRename(ctx, &at)
		server.rename(ctx, &renameParams{at, "other"})
		server.symbols(ctx, &documentParams{id})
		server.formatting(ctx, &documentParams{id})
		server.codeActions(ctx, &codeActionParams{TextDocument: id, Range: span{at.Position, at.Position}})
	})
}
