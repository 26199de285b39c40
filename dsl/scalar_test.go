package dsl

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// parseValue parses "v: ..." and gives the value of v.
func parseValue(t *testing.T, text string) *Node {
	t.Helper()
	var faults Diagnostics
	roots := Parse(NewSource("t.yaml", text), &faults)
	if faults.Failed() || len(roots) != 1 {
		t.Fatalf("%q: %d documents, faults %v", text, len(roots), faults.All())
	}
	return roots[0].Field("v")
}

func TestAtPointsIntoEveryStyle(t *testing.T) {
	type part struct{ text, source string }
	tests := map[string]struct {
		yaml, text string
		parts      []part
		span       string // the whole scalar's source; "" for not checked
	}{
		"plain":                     {"v: a $(b) c # d", "a $(b) c", []part{{"$(b)", "$(b)"}, {"a", "a"}}, "a $(b) c"},
		"plain, not ASCII":          {"é: 1\nv: äé $(ü) 日", "äé $(ü) 日", []part{{"(ü)", "(ü)"}, {"日", "日"}}, "äé $(ü) 日"},
		"plain behind a BOM":        {"\ufeffv: a b", "a b", []part{{"b", "b"}}, "a b"},
		"plain, folded":             {"v: a\n  b\n\n  c d", "a b\nc d", []part{{"b", "b"}, {"a b", "a\n  b"}, {"c d", "c d"}, {"\n", "\n\n  "}, {" ", "\n  "}}, "a\n  b\n\n  c d"},
		"plain, folded with CRLF":   {"v: a\r\n  b\r\nw: c\r\n", "a b", []part{{"b", "b"}, {" ", "\r\n  "}}, "a\r\n  b"},
		"plain, white before break": {"v: a \t\n  b", "a b", []part{{"b", "b"}, {" ", " \t\n  "}}, ""},
		"plain in a flow mapping":   {"v: a b\nw: { x: c }", "a b", []part{{"b", "b"}}, "a b"},
		"plain with a dollar":       {"v: $$(x) $(y)", "$$(x) $(y)", []part{{"$(y)", "$(y)"}}, ""},
		"single":                    {"v: 'a b' # c", "a b", []part{{"b", "b"}}, "'a b'"},
		"single, doubled quote":     {"v: 'it''s ''so'''", "it's 'so'", []part{{"it", "it"}, {"'s", "''s"}, {"so", "so"}, {"so'", "so''"}}, "'it''s ''so'''"},
		"single, folded":            {"v: 'a\n  b\n\n\n  c'", "a b\n\nc", []part{{"b", "b"}, {"c", "c"}, {"\n\n", "\n\n\n  "}}, ""},
		"single, white at the ends": {"v: ' a\n  '", " a ", []part{{" a", " a"}, {"a ", "a\n  "}}, "' a\n  '"},
		"single, empty":             {"v: ''", "", nil, "''"},
		"single, hash and colon":    {"v: 'a #b: c'", "a #b: c", []part{{"#b: c", "#b: c"}}, "'a #b: c'"},
		"double":                    {`v: "a b"`, "a b", []part{{"b", "b"}}, `"a b"`},
		"double, escapes":           {`v: "a\tb\"c\\d"`, "a\tb\"c\\d", []part{{"\t", `\t`}, {"b", "b"}, {`"c`, `\"c`}, {`\d`, `\\d`}}, ""},
		"double, numeric escapes":   {`v: "\x41\u00e9\U0001F600z"`, "Aé😀z", []part{{"A", `\x41`}, {"é", `\u00e9`}, {"😀", `\U0001F600`}, {"z", "z"}, {"é😀", `\u00e9\U0001F600`}}, ""},
		"double, odd escapes":       {`v: "\N\_\L\e\0z"`, "\u0085\u00a0\u2028\x1b\x00z", []part{{"z", "z"}, {"\x1b", `\e`}}, ""},
		"double, folded":            {"v: \"a\n  b\n\n  c\"", "a b\nc", []part{{"b", "b"}, {"c", "c"}}, ""},
		"double, escaped break":     {"v: \"a \\\n   b\\\n\n  c\"", "a b\nc", []part{{"a b", "a \\\n   b"}, {"b", "b"}, {"c", "c"}}, ""},
		"double, escaped white":     {"v: \"a\\ \n  b\"", "a  b", []part{{"b", "b"}}, ""},
		"double, empty":             {`v: ""`, "", nil, `""`},
		"literal":                   {"v: |\n  ab\n  cd\nw: 1", "ab\ncd\n", []part{{"ab", "ab"}, {"cd", "cd"}, {"b\nc", "b\n  c"}, {"d\n", "d\n"}}, "|\n  ab\n  cd"},
		"literal, stripped":         {"v: |-\n    a\n\n    b\n\n", "a\n\nb", []part{{"b", "b"}, {"a\n\nb", "a\n\n    b"}}, "|-\n    a\n\n    b"},
		"literal, kept":             {"v: |+\n  a\n\n\nw: 1", "a\n\n\n", []part{{"a", "a"}, {"a\n\n\n", "a\n\n\n"}}, "|+\n  a"},
		"literal, indicator":        {"v: |2\n    a\n  b", "  a\nb", []part{{"  a", "  a"}, {"b", "b"}}, ""},
		"literal, indicator, blank": {"v: |1\n   \n  a", "  \n a", []part{{"  \n", "  \n"}, {"a", "a"}}, ""},
		"literal, only white":       {"v: |1\n   \n", "  \n", []part{{"  ", "  "}, {"\n", "\n"}}, ""},
		"literal, header comment":   {"v: |- # c\n  a", "a", []part{{"a", "a"}}, "|- # c\n  a"},
		"literal, more indented":    {"v: |\n  a\n    b\n  c\n", "a\n  b\nc\n", []part{{"  b", "  b"}, {"c", "c"}}, ""},
		"literal, leading breaks":   {"v: |\n\n  a\n", "\na\n", []part{{"\na", "\n  a"}, {"a", "a"}}, ""},
		"literal, CRLF":             {"v: |\r\n  ab\r\n  cd\r\n", "ab\ncd\n", []part{{"cd", "cd"}, {"b\nc", "b\r\n  c"}}, ""},
		"literal, comment behind":   {"v: |\n  a\n# c\nw: 1", "a\n", []part{{"a", "a"}}, "|\n  a"},
		"literal, no last break":    {"v: |\n  a", "a", []part{{"a", "a"}}, "|\n  a"},
		"literal, empty":            {"v: |\nw: 1", "", nil, "|"},
		"literal, only breaks":      {"v: |+\n\n\nw: 1", "\n\n", []part{{"\n", "\n"}}, ""},
		"folded":                    {"v: >\n  a b\n  c\n\n  d\n", "a b c\nd\n", []part{{"c", "c"}, {"b c", "b\n  c"}, {"d", "d"}, {"d\n", "d\n"}}, ">\n  a b\n  c\n\n  d"},
		"folded, more indented":     {"v: >-\n  a\n    b\n  c\n", "a\n  b\nc", []part{{"  b", "  b"}, {"c", "c"}}, ""},
		"folded, indicator":         {"v: >2-\n   a\n  b\n", " a\nb", []part{{" a", " a"}, {"b", "b"}}, ""},
		"folded, many empty lines":  {"v: >-\n  a\n\n\n\n  b", "a\n\n\nb", []part{{"b", "b"}}, ""},
		"folded, tab line":          {"v: >-\n  a\n  \tb\n  c", "a\n\tb\nc", []part{{"\tb", "\tb"}, {"c", "c"}}, ""},
		"folded expression":         {"v: >-\n  $(a +\n    b)\n", "$(a +\n  b)", []part{{"b)", "b)"}}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := parseValue(t, tt.yaml)
			if n.Text != tt.text {
				t.Fatalf("text %q, want %q", n.Text, tt.text)
			}
			if got := n.Span.Text(); tt.span != "" && got != tt.span {
				t.Errorf("span %q, want %q", got, tt.span)
			}
			if err := checkPlaces(n); err != "" {
				t.Error(err)
			}
			for _, p := range tt.parts {
				i := strings.Index(n.Text, p.text)
				if got := n.At(i, i+len(p.text)).Text(); got != p.source {
					t.Errorf("%q stands at %q, want %q", p.text, got, p.source)
				}
			}
		})
	}
}

// checkPlaces says what is wrong with the places of a scalar's text: each rune
// other than white space must stand at itself or at an escape, in order.
func checkPlaces(n *Node) string {
	if len(n.runs) == 1 && n.runs[0].src == n.Span.Start && n.runs[0].textLen != n.runs[0].srcLen {
		return "the text was not traced"
	}
	last := n.Span.Start
	for i, r := range n.Text {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(n.Text[i:])
		}
		at := n.At(i, i+size)
		if at.Start < last || at.End > n.Span.End && !strings.ContainsRune(" \n", r) || !at.Valid() {
			return "the place of a rune lies before the one before it, or outside"
		}
		last = at.Start
		got := at.Text()
		if got == n.Text[i:i+size] || strings.ContainsRune(" \n", r) || got == "''" || n.Style == DoubleQuoted && strings.HasPrefix(got, `\`) {
			continue
		}
		return "a rune does not stand at its place: " + got
	}
	return ""
}

func TestAtClampsItsRange(t *testing.T) {
	n := parseValue(t, "v: 'it''s'")
	for _, at := range []Span{n.At(-1, 99), n.At(3, 2), n.At(99, 99), n.At(4, 4)} {
		if !at.Valid() || at.Start < n.Span.Start || at.End > n.Span.End {
			t.Errorf("%d-%d lies outside %d-%d", at.Start, at.End, n.Span.Start, n.Span.End)
		}
	}
	if got := parseValue(t, "v: [a, b]").At(0, 1).Text(); got != "[a, b]" {
		t.Errorf("At of a list is %q, want the list", got)
	}
}
