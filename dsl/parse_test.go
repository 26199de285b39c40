package dsl

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// outline writes a node and the text of its span.
func outline(b *strings.Builder, n *Node, indent string) {
	switch n.Kind {
	case Scalar:
		fmt.Fprintf(b, "%s%s %q at %q\n", indent, n.Type, n.Text, n.Span.Text())
	case List:
		fmt.Fprintf(b, "%slist at %q\n", indent, n.Span.Text())
		for _, item := range n.Items {
			outline(b, item, indent+"  ")
		}
	default:
		fmt.Fprintf(b, "%smapping at %q\n", indent, n.Span.Text())
		for _, f := range n.Fields {
			fmt.Fprintf(b, "%s  %s =\n", indent, f.Key.Span)
			outline(b, f.Value, indent+"    ")
		}
	}
}

func TestParseKeepsExactSpans(t *testing.T) {
	const text = "a:\n  - b: 1\n    c: { d: $(e.f), g: [h, ] } # i\n  -   - x\n'k' :\n- ~\n-\n"
	const want = `mapping at "a:\n  - b: 1\n    c: { d: $(e.f), g: [h, ] } # i\n  -   - x\n'k' :\n- ~\n-"
  t.yaml:1:1 =
    list at "- b: 1\n    c: { d: $(e.f), g: [h, ] } # i\n  -   - x"
      mapping at "b: 1\n    c: { d: $(e.f), g: [h, ] }"
        t.yaml:2:5 =
          a whole number "1" at "1"
        t.yaml:3:5 =
          mapping at "{ d: $(e.f), g: [h, ] }"
            t.yaml:3:10 =
              text "$(e.f)" at "$(e.f)"
            t.yaml:3:21 =
              list at "[h, ]"
                text "h" at "h"
      list at "- x"
        text "x" at "x"
  t.yaml:5:1 =
    list at "- ~\n-"
      null "~" at "~"
      null "" at ""
`
	var faults Diagnostics
	roots := Parse(NewSource("t.yaml", text), &faults)
	if faults.Len() > 0 || len(roots) != 1 {
		t.Fatal(faults.All())
	}
	var got strings.Builder
	outline(&got, roots[0], "")
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestParseSplitsDocuments(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string // the spans of the documents
	}{
		"none":                     {"", nil},
		"only comments":            {"# a\n---\n# b\n...\n", nil},
		"without markers":          {"a: 1\n", []string{"a: 1"}},
		"a BOM and CRLF":           {"\ufeffa: 1\r\n---\r\nb: 2\r\n", []string{"a: 1", "b: 2"}},
		"an end marker":            {"a: 1\n...\nb: 2\n", []string{"a: 1", "b: 2"}},
		"a marker inside a block":  {"a: |\n  x\n---\nb: 2", []string{"a: |\n  x", "b: 2"}},
		"dashes that are no mark":  {"a: |\n  ---\n---x: 1\n", []string{"a: |\n  ---\n---x: 1"}},
		"a value beside its mark":  {"--- [a]\n--- b\n", []string{"[a]", "b"}},
		"a fault in one of them":   {"a: b: c\n---\nd: 1\n", []string{"d: 1"}},
		"a null document":          {"--- ~\n---\n", []string{"~"}},
		"a lone return, a comment": {"# a\rb: 2", []string{"b: 2"}},
		"a lone carriage return":   {"a: 1\rb: 2\r---\rc: 3", []string{"a: 1\rb: 2", "c: 3"}},
		"a comment behind the end": {"a: 1\n... # b\n", []string{"a: 1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var faults Diagnostics
			var got []string
			for _, n := range Parse(NewSource("t.yaml", tt.text), &faults) {
				if !n.Broken() {
					got = append(got, n.Span.Text())
				}
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("got %q, want %q; faults %v", got, tt.want, faults.All())
			}
		})
	}
}

func TestScalarsFollowTheCoreSchema(t *testing.T) {
	tests := map[ScalarType][]string{
		Null:  {"", "~", "null", "Null", "NULL"},
		Bool:  {"true", "True", "TRUE", "false", "False", "FALSE"},
		Int:   {"0", "-1", "+12", "0x1F", "0o17", "9223372036854775807", "123456789012345678901234567890"},
		Float: {"1.5", "-.5", "1.", "1e3", "1.5E-3", ".inf", "-.INF", "+.Inf", ".nan", "1.10"},
		Str: {
			"nULL", "tRUE", "y", "a", "0x", "0o8", "1_000", "0777", "-012", "00", "01.5", "12:30:00", "2024-01-02",
			"1.2.3", "1e", "1e+", "1e--3", ".", "-", "+", "+.nan", "e3", ".e3", "0b1", "20%", "1 2", "$(1)",
		},
	}
	for want, texts := range tests {
		for _, text := range texts {
			if got := resolve(text); got != want {
				t.Errorf("%q is %v, want %v", text, got, want)
			}
		}
	}
}

func TestHostileFilesCostADiagnostic(t *testing.T) {
	tests := map[string]struct{ text, code string }{
		"a nest of brackets":  {strings.Repeat("[", 1<<20), "too-deep"},
		"a nest of braces":    {strings.Repeat("{", 1<<20), "too-deep"},
		"a nest of mappings":  {strings.Repeat("{a: ", 1<<18), "too-deep"},
		"a nest of dashes":    {strings.Repeat("- ", 1<<19), "too-deep"},
		"a nest of questions": {strings.Repeat("? ", 1<<19), "too-deep"},
		"a closed nest":       {strings.Repeat("[", 101) + strings.Repeat("]", 101), "too-deep"},
		"too many values":     {"[" + strings.Repeat("a,", maxNodes) + "]", "too-large"},
		"too many bytes":      {strings.Repeat("# 4 MiB\n", 1<<19+1), "too-large"},
		"a NUL":               {"a: b\x00", "bad-character"},
		"an escape sequence":  {"a: \x1b[31m", "bad-character"},
		"a line separator":    {"a: b\u2028c: d", "bad-character"},
		"a direction mark":    {"a: \u202eb", "bad-character"},
		"Latin-1":             {"a: caf\xe9", "bad-encoding"},
		"UTF-16":              {"\xff\xfea\x00", "bad-encoding"},
		"aliases":             {"a: &a [x]\nb: [*a, *a]\n", "yaml-anchor"},
		"an alias of itself":  {"a: &a [*a]\n", "yaml-anchor"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var faults Diagnostics
			Parse(NewSource("t.yaml", tt.text), &faults)
			if all := faults.All(); len(all) == 0 || all[0].Code != tt.code {
				t.Errorf("got %v, want %s first", all, tt.code)
			}
		})
	}
}

func TestParseBoundsDepthByValues(t *testing.T) {
	var faults Diagnostics
	Parse(NewSource("t.yaml", strings.Repeat("[", 100)+strings.Repeat("]", 100)), &faults)
	if faults.Len() > 0 {
		t.Errorf("a depth of 100 is refused: %v", faults.All())
	}
}

// checkTree says what is wrong with the spans of a tree.
func checkTree(n *Node, outer Span) string {
	if !n.Span.Valid() || n.Span.Start < outer.Start || n.Span.End > outer.End {
		return fmt.Sprintf("%s %q lies outside its parent", n.Kind, n.Span.Text())
	}
	if n.Kind == Scalar {
		return checkPlaces(n)
	}
	for _, item := range n.Items {
		if err := checkTree(item, n.Span); err != "" {
			return err
		}
	}
	for _, f := range n.Fields {
		for _, n := range []*Node{f.Key, f.Value} {
			if err := checkTree(n, outer); err != "" {
				return err
			}
		}
	}
	return ""
}

func FuzzParse(f *testing.F) {
	for _, seed := range diagnosticCases(f) {
		f.Add(unescape(seed.yaml))
	}
	f.Add(smallFlow)
	f.Add("v: a\n  b\n\n  c\nw: 'it''s\n\n x'\nx: \"a\\x41\\\n  b\"\ny: |2-\n    a\n\n  b\nz: >+\n a\n\n  b\n c\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		var faults Diagnostics
		src := NewSource("t.yaml", text)
		roots := Parse(src, &faults)
		for _, x := range faults.All() {
			if !x.Span.Valid() || x.Message == "" || x.Code == "" || x.Hint == "" {
				t.Fatalf("incomplete diagnostic %+v", x)
			}
			if strings.Contains(x.Message, "yaml:") {
				t.Fatalf("the library's words: %s", x.Message)
			}
		}
		var rendered strings.Builder
		Render(&rendered, faults.All(), RenderOptions{Limit: 20})
		for _, r := range rendered.String() {
			if r == utf8.RuneError && utf8.ValidString(text) && !strings.ContainsRune(text, r) || r != '\n' && invisible(r) {
				t.Fatalf("rendered %q", r)
			}
		}
		if faults.Failed() {
			return
		}
		for _, n := range roots {
			if err := checkTree(n, Span{src, 0, len(text)}); err != "" {
				t.Fatalf("%s in %q", err, text)
			}
		}
	})
}

// smallFlow is about the size of the flows that a program has many of.
const smallFlow = `flow: customer-profile
summary: One customer's profile, composed from three services.
trigger:
  http: GET /customers/{id}
  gateway: public
  policies: [partners]
  deadline: 2s
steps:
  - compose:
      user:
        call: GET users /users/$(params.id)
      orders:
        call: GET orders /orders
        query: { user: $(params.id), limit: 20 }
        fallback: []
      offers:
        call: GET offers /segments/$(user.segment)/offers   # waits for user
        timeout: 150ms
        fallback: null
  - return:
      name: $(user.first) $(user.last)
      orders: $(orders)
      offers: $(offers?.items ?? [])
errors:
  - when: error.step == "user" && error.status == 404
    return: { title: No such customer }
    status: 404
`

func TestTheSmallFlowHasNoFault(t *testing.T) {
	var faults Diagnostics
	if roots := Parse(NewSource("t.yaml", smallFlow), &faults); len(roots) != 1 || faults.Len() > 0 {
		Render(os.Stderr, faults.All(), RenderOptions{})
		t.Fatal("faults")
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(smallFlow)))
	for b.Loop() {
		var faults Diagnostics
		if roots := Parse(NewSource("t.yaml", smallFlow), &faults); len(roots) != 1 {
			b.Fatal(faults.All())
		}
	}
}

func TestDataMayHoldAllThatYAMLAllows(t *testing.T) {
	for _, text := range []string{
		"a: &x { b: no, c: \"${v}\" }\nd: *x\n", "{\n\t\"a\": {\"b\": \"x\"},\n\t\"d\": {\"c\": 1, \"b\": 1}\n}", "a: {b: !!str 1}\nd: {b: 2}\n", "d: {b: \"\u200b\"}",
	} {
		var ds Diagnostics
		n := ParseData(NewSource("data.yaml", text), &ds)
		if n == nil || n.Field("d").Field("b") == nil || n.Field("d").Field("b").Broken() {
			t.Errorf("%q: %v", text, ds.All())
		}
	}
	for _, text := range []string{"", "a: [", "a: 1\na: 2", "a: &a [*a]"} {
		var ds Diagnostics
		if n := ParseData(NewSource("data.yaml", text), &ds); n != nil || !ds.Failed() {
			t.Errorf("%q is read", text)
		}
	}
}
