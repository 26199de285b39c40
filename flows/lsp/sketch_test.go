package lsp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

// marked takes the cursor, ‸, out of a text.
func marked(t testing.TB, s string) (text, int) {
	t.Helper()
	before, after, ok := strings.Cut(s, "‸")
	if !ok {
		t.Fatalf("no cursor in %q", s)
	}
	return newText(before + after), len(before)
}

func (n *node) String() string {
	if n == nil {
		return "nothing"
	}
	var parts []string
	for e := n.of; e != nil; e = e.in.of {
		part := e.key
		if e.in.kind == dsl.List {
			for i := range e.in.entries {
				if e.in.entries[i] == e {
					part = fmt.Sprint(i)
				}
			}
		}
		parts = append([]string{part}, parts...)
	}
	return "/" + strings.Join(parts, "/")
}

func (p place) describe(t text) string {
	word := t.string[p.start:p.end]
	switch p.role {
	case atKey:
		return fmt.Sprintf("key of %v: %q", p.in, word)
	case atItem:
		return fmt.Sprintf("item of %v: %q", p.in, word)
	case atValue, atStart:
		n := (*node)(nil)
		if p.entry != nil {
			n = p.entry.value
		}
		return fmt.Sprintf("%s of %v: %q", map[role]string{atValue: "value", atStart: "start"}[p.role], n, word)
	}
	return "nowhere"
}

func TestTheCursorHasAPlaceInHalfWrittenText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"‸", `start of nothing: ""`},
		{"fl‸", `start of nothing: "fl"`},
		{"flow: a\n‸", `key of /: ""`},
		{"flow: a\nst‸", `key of /: "st"`},
		{"flow: a\nst‸:\n  - call: x", `key of /: "st"`},
		{"flow: ‸", `value of /flow: ""`},
		{"flow:‸", `value of /flow: ""`},
		{"flow: a‸b", `value of /flow: "ab"`},
		{"flow: a # ‸b", `nowhere`},
		{"# ‸b", `nowhere`},
		{"steps:\n‸", `key of /: ""`},
		{"steps:\n  ‸", `start of /steps: ""`},
		{"steps:\n  -‸", `start of /steps/0: ""`},
		{"steps:\n  - ‸", `start of /steps/0: ""`},
		{"steps:\n- ‸", `start of /steps/0: ""`},
		{"steps:\n  - ca‸", `start of /steps/0: "ca"`},
		{"steps:\n  - id: a\n    ca‸", `key of /steps/0: "ca"`},
		{"steps:\n  - id: a\n    ‸", `key of /steps/0: ""`},
		{"steps:\n  - id: a\n  ‸", `item of /steps: ""`},
		{"steps:\n  - id: a\n‸\n    call: x", `key of /: ""`},
		{"steps:\n  - id: a\n    ‸\n    call: x", `key of /steps/0: ""`},
		{"steps:\n  - call: GET ‸", `value of /steps/0/call: "GET "`},
		{"steps:\n  - call: GET us‸ers /x", `value of /steps/0/call: "GET users /x"`},
		{"steps:\n  - call: GET users /$(user.‸", `value of /steps/0/call: "GET users /$(user."`},
		{"steps:\n  - compose:\n      a:\n        call: x\n      ‸", `key of /steps/0/compose: ""`},
		{"steps:\n  - compose:\n      a:\n        call: x\n        ti‸\n      b: { call: y }", `key of /steps/0/compose/a: "ti"`},
		{"steps:\n  - each: a in b\n    steps:\n      - call: c\n    yi‸", `key of /steps/0: "yi"`},
		{"steps:\n  - call: a\n    retry: { att‸ }", `key of /steps/0/retry: "att"`},
		{"steps:\n  - call: a\n    retry: { att‸", `key of /steps/0/retry: "att"`},
		{"steps:\n  - call: a\n    retry: {‸}", `key of /steps/0/retry: ""`},
		{"steps:\n  - call: a\n    retry: { attempts: ‸ }", `value of /steps/0/retry/attempts: ""`},
		{"steps:\n  - call: a\n    retry: { attempts: 3, ‸", `key of /steps/0/retry: ""`},
		{"steps:\n  - call: a\n    retry: { attempts: 3, on: [con‸", `value of /steps/0/retry/on/0: "con"`},
		{"steps:\n  - call: a\n    retry: { on: [connect, ‸] }", `item of /steps/0/retry/on: ""`},
		{"steps:\n  - call: a\n    retry:\n      attempts: 3\n      b‸", `key of /steps/0/retry: "b"`},
		{"steps:\n  - call: a\n    query: { u: $(f(a, b‸", `value of /steps/0/query/u: "$(f(a, b"`},
		{"steps:\n  - call: a\n    query: { u: $(f(a, b‸)) }", `value of /steps/0/query/u: "$(f(a, b))"`},
		{"steps:\n  - { call: GET ‸}", `value of /steps/0/call: "GET "`},
		{"steps:\n  - log: |\n      a ‸b\n    id: x", `value of /steps/0/log: "|\n      a b"`},
		{"steps:\n  - log: |\n      a b\n    i‸", `key of /steps/0: "i"`},
		{"steps:\n  - log: 'a ‸b'", `value of /steps/0/log: "'a b'"`},
		{"steps:\n  - log: \"a ‸b", `value of /steps/0/log: "\"a b"`},
		{"steps:\n  - log: \"a\n      ‸b\"\n    id: x", `value of /steps/0/log: "\"a\n      b\""`},
		{"a: {\n  b: 1,\n  c‸\n}\nd: 1", `key of /a: "c"`},
		{"a: {\n  b: 1,\nflow: x‸", `value of /flow: "x"`},
		{"a: 1\n  b‸", `value of /a: "1\n  b"`},
		{"\"a b\": c‸", `value of /a b: "c"`},
		{"a: {}‸", `nowhere`},
		{"a: {} ‸", `nowhere`},
		{"- - a‸", `start of /0/0: "a"`},
		{"a: b\r\nc‸\r\nd: e\r\n", `key of /: "c"`},
		{"gateways: { public: { listen: ':8080', ‸ } }", `key of /gateways/public: ""`},
	} {
		text, cursor := marked(t, c.text)
		_, at := sketch(text, 0, len(text.string), cursor)
		if got := at.describe(text); got != c.want {
			t.Errorf("%q\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestASketchHasWhatStandsBehindTheCursor(t *testing.T) {
	text, cursor := marked(t, "steps:\n  - ‸\n    id: a\n    each: x in y\n    steps: [{ call: z, id: b }]\nerrors: []\n")
	root, at := sketch(text, 0, len(text.string), cursor)
	if got := strings.Join(root.keys(), " "); got != "steps errors" {
		t.Errorf("the root has %s", got)
	}
	step := root.field("steps").entries[0].value
	if got := strings.Join(step.keys(), " "); got != "id each steps" || at.entry.value != step {
		t.Errorf("the step has %s; the cursor is at the %s", got, at.describe(text))
	}
	if got := strings.Join(step.field("steps").entries[0].value.keys(), " "); got != "call id" {
		t.Errorf("the inner step has %s", got)
	}
}

func FuzzSketch(f *testing.F) {
	for _, seed := range []string{"a: {b: [c, \"d\n- e: |\n    f\n", "- - - {[{[: , #\n'x\n  y'\n\tz:\n", "a:\n b:\n  c\n d: >\n\n   e\n", "? a\n: b\n&a *b !c\n"} {
		f.Add(seed, len(seed)/2)
	}
	f.Fuzz(func(t *testing.T, s string, cursor int) {
		text := newText(s)
		root, at := sketch(text, 0, len(s), cursor)
		if at.start < 0 || at.end < at.start || at.end > len(s) {
			t.Fatalf("%q: the place is %+v", s, at)
		}
		if at.role != nowhere && !(at.start <= cursor && cursor <= at.end) {
			t.Fatalf("%q: the cursor %d is not in [%d:%d]", s, cursor, at.start, at.end)
		}
		var visit func(n *node, depth int)
		visit = func(n *node, depth int) {
			if depth > 3*deepest {
				t.Fatalf("%d levels", depth)
			}
			for _, e := range n.entries {
				if e.in != n || e.value.of != e || e.from > e.to || e.to > len(s) {
					t.Fatalf("%q: bad entry %+v", s, e)
				}
				visit(e.value, depth+1)
			}
		}
		visit(root, 0)
	})
}
