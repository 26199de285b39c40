package dsl

import (
	"strings"
	"testing"
)

func TestAFixIsCertainOnlyForASlipOfTheFinger(t *testing.T) {
	names := []string{"users", "orders", "offers", "stock1", "Gateway", "db"}
	for typed, want := range map[string]string{
		"user": "users?", "usres": "users", "usesr": "users", "odrers": "orders", "USERS": "users", "gateway": "Gateway",
		"oders":  "orders",
		"ofders": "orders?", // offers is as near
		"users2": "users?", "stock2": "stock1?", "stck1": "stock1", "bd": "db?", "uzerz": "", "nothing": "",
	} {
		src := NewSource("a.yaml", typed)
		var ds Diagnostics
		d := Diagnostic{Span: Span{src, 0, len(typed)}}
		near, _ := d.Suggest(typed, names)
		ds.Report(d)
		got := near
		if x := ds.All()[0]; near != "" && !x.Fixable() {
			got += "?"
		} else if near != "" && Apply(src, x.Fixes[0].Edits) != near {
			t.Errorf("%q becomes %q", typed, Apply(src, x.Fixes[0].Edits))
		}
		if got != want {
			t.Errorf("Suggest(%q) is %q, want %q", typed, got, want)
		}
	}
	d := Diagnostic{}
	if d.SuggestWord("endpoint", []string{"endpoints"}); !d.slip.certain {
		t.Error("the plural of a word of the language is not certain")
	}
}

func TestASuggestionKeepsTheQuotes(t *testing.T) {
	for text, want := range map[string]string{`"timout"`: `"timeout"`, `'timout'`: `'timeout'`, `timout`: `timeout`, `timout: 1s`: "", `"timout'`: ""} {
		src := NewSource("a.yaml", text)
		var ds Diagnostics
		d := Diagnostic{Span: Span{src, 0, len(text)}}
		d.SuggestWord("timout", []string{"timeout"})
		ds.Report(d)
		got := ""
		if x := ds.All()[0]; x.Fixable() {
			got = Apply(src, x.Fixes[0].Edits)
		}
		if got != want {
			t.Errorf("%s becomes %q, want %q", text, got, want)
		}
	}
}

func TestOfTwoFixesThatTouchTheFirstIsMade(t *testing.T) {
	a, other := NewSource("a.yaml", "one two three"), NewSource("b.yaml", "one")
	fix := func(src *Source, start, end int, text string) Diagnostic {
		return Diagnostic{Message: text, Fixes: []Fix{{Edits: []Edit{{Span{src, start, end}, text}}, Certain: true}}}
	}
	unsure := fix(a, 8, 13, "never")
	unsure.Fixes[0].Certain = false
	choice := Fixing([]Diagnostic{
		fix(a, 4, 7, "2"), fix(a, 0, 4, "1 "), fix(a, 6, 6, "!"), unsure, fix(other, 0, 3, "1"), fix(a, 8, 13, "3"), {}, fix(a, 9, 99, "beyond"),
	}, func(src *Source) bool { return src == a })
	if got := Apply(a, choice.Edits); got != "one 2 3" || len(choice.Made) != 2 {
		t.Errorf("%d fixes make %q", len(choice.Made), got)
	}
}

func TestWhatCanBeFixedIsKeptOfEquals(t *testing.T) {
	src := NewSource("a.yaml", "on")
	n := &Node{Type: Str, Text: "on", Span: Span{src, 0, 2}}
	var ds Diagnostics
	for _, wanted := range []form{formShape, formText, formShape} {
		x, _ := ambiguousBool(n, wanted)
		ds.Report(x)
	}
	all := ds.All()
	if len(all) != 1 || !all[0].Fixable() || Apply(src, all[0].Fixes[0].Edits) != `"on"` {
		t.Errorf("got %+v", all)
	}
}

// FuzzFixes makes sure that fixes can be applied to whatever text they are
// found in, and lie in it without overlap.
func FuzzFixes(f *testing.F) {
	for _, seed := range []string{
		"a: ${x}\nb: \"{{ y }} ${ z.w }\"\nc: {{ v }}\n", "on: yes\nx: [no, ${a}, {b: off}]", "\tx: 1\n", "x: $(a #)\ny: 'it''s ${b}'\n", "a: \"\\u0024{x}\"\n",
		"a: $(f(1, 2)\nb: [$(x, y)]\n", "- {{a}}: {{b}}\n", "a: !x\nb: c: d\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		src := NewSource("a.yaml", text)
		var ds Diagnostics
		Parse(src, &ds)
		all := ds.All()
		var every []Edit
		for _, x := range all {
			for i, fix := range x.Fixes {
				if fix.Title == "" || len(fix.Edits) == 0 || fix.Certain && i > 0 {
					t.Fatalf("%q: bad fix %+v", text, fix)
				}
				Apply(src, fix.Edits) // panics if they overlap
				every = append(every, fix.Edits...)
			}
		}
		for _, e := range every {
			if !e.Span.Valid() || strings.Contains(e.New, "\x00") {
				t.Fatalf("%q: bad edit %+v", text, e)
			}
		}
		Apply(src, Fixing(all, func(*Source) bool { return true }).Edits)
	})
}
