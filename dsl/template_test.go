package dsl

import (
	"context"
	"strings"
	"testing"
)

func TestTextIsEscapedForItsPlace(t *testing.T) {
	for _, c := range []struct {
		text  string
		place Place
		want  string // empty: a fault
	}{
		{`/u/$(body.v)/x`, PathSegment, `/u/a%2Fb%3Fc%23d%20%25/x`},
		{`/u/$(body.n)`, PathSegment, `/u/1.10`},
		{`/u/x$(body.dots)`, PathSegment, ``},
		{`/u/$(body.dot)`, PathSegment, ``},
		{`/u/$(body.empty)`, PathSegment, ``},
		{`/u/$(body.none)`, PathSegment, ``},
		{`/u/$(body.list)`, PathSegment, `/u/%5B1%2C2%5D`},
		{`q=$(body.v)`, QueryValue, `q=a%2Fb%3Fc%23d+%25`},
		{`q=$(body.none)`, QueryValue, `q=`},
		{`$(body.v)`, HeaderValue, `a/b?c#d %`},
		{`$(body.line)`, HeaderValue, ``},
		{`$(body.nul)`, HeaderValue, ``},
		{`$(body.line)`, PlainText, "a\r\nb"},
		{`$$(body.v) $(body.n)`, PlainText, `$(body.v) 1.10`},
		{`$(body.n)$(body.n)`, PlainText, `1.101.10`},
		{`$("a)" + 'b)' + string(1))`, PlainText, `a)b)1`},
		{`a $ b $$ c`, PlainText, `a $ b $$ c`},
	} {
		t.Run(c.text, func(t *testing.T) {
			scope := testScope(`{"v":"a/b?c#d %","n":1.10,"dots":"..","dot":".","empty":"","none":null,"list":[1,2],"line":"a\r\nb","nul":"\u0000"}`)
			var ds Diagnostics
			template := NewExpressions(&ds).Text(scalar(t, c.text), c.place, scope)
			if template == nil {
				t.Fatal(ds.All())
			}
			got, err := template.String(context.Background(), scope)
			if (err != nil) != (c.want == "") || err == nil && got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestShapesAreBounded(t *testing.T) {
	scope := testScope(`{"part":"` + strings.Repeat("x", 1<<20) + `"}`)
	var ds Diagnostics
	docs := Parse(NewSource("t.yaml", "$each: i in 1..1000\nall: { $each: j in 1..1000, part: $(body.part) }"), &ds)
	if len(docs) != 1 || ds.Failed() {
		t.Fatal(ds.All())
	}
	shape := NewExpressions(&ds).Shape(docs[0], scope)
	if got, err := shape.AppendJSON(context.Background(), scope, nil); err == nil || len(got) > 2*MaxSize {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := shape.AppendJSON(ctx, scope, nil); err == nil {
		t.Error("it went on without a context")
	}
}

func TestNumbersOfYAMLKeepTheirValue(t *testing.T) {
	for text, want := range map[string]string{
		"1.10": "1.10", "1E5": "1E5", "-0": "-0", "+1.10": "1.10", "+12345678901234567890": "12345678901234567890", "0x10": "16", "0o17": "15",
		"0xFFFFFFFFFFFFFFFFFF": "4722366482869645213695", "12345678901234567890": "12345678901234567890", ".5": "0.5", "1.": "1",
	} {
		t.Run(text, func(t *testing.T) {
			var ds Diagnostics
			docs := Parse(NewSource("t.yaml", "n: "+text), &ds)
			if len(docs) != 1 || ds.Failed() {
				t.Fatal(ds.All())
			}
			shape := NewExpressions(&ds).Shape(docs[0], testScope("{}"))
			if shape == nil {
				t.Fatal(ds.All())
			}
			if got, err := shape.AppendJSON(context.Background(), testScope("{}"), nil); err != nil || string(got) != `{"n":`+want+`}` {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}
