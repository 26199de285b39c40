package dsl

import (
	"fmt"
	"strings"
	"testing"
)

type fillable struct {
	Head  Text             `yaml:"head" literal:"2" doc:"."`
	Text  Text             `yaml:"text" doc:"."`
	Shape Shape            `yaml:"shape" doc:"."`
	Cond  Cond             `yaml:"cond" doc:"."`
	Steps Steps            `yaml:"steps" doc:"."`
	Node  *Node            `yaml:"node" doc:"."`
	Name  String           `yaml:"name" doc:"."`
	Own   String           `yaml:"own" literal:"none" doc:"."`
	Count int              `yaml:"count" doc:"."`
	List  []String         `yaml:"list" doc:"."`
	Table map[string]Shape `yaml:"table" doc:"."`
	Deep  *struct {
		Wait Duration `yaml:"wait" doc:"."`
	} `yaml:"deep" doc:"."`
	Cases []struct {
		When Cond   `yaml:"when" doc:"."`
		Name String `yaml:"name" doc:"."`
	} `yaml:"cases" doc:"."`
}

var fillKind = Define("fill", "Fills.", func(Reporter, *Node, *fillable) bool { return true })

// shownNode is a node on one line.
func shownNode(n *Node) string {
	var parts []string
	switch n.Kind {
	case List:
		for _, item := range n.Items {
			parts = append(parts, shownNode(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case Map:
		for _, f := range n.Fields {
			parts = append(parts, f.Key.Text+": "+shownNode(f.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	if n.broken {
		return "?"
	}
	return n.Text
}

func TestLiteralsAreFilledWhereNothingElseCanStand(t *testing.T) {
	values := onlyDoc(t, "n: 7\nword: users\nlist: [a, b]\nmap: { wait: 2s }\nempty: ''\n")
	fill := Filler(func(n *Node, from, to int, must bool) (*Node, bool) {
		name, ok := strings.CutPrefix(strings.TrimSpace(n.Text[from:to]), "in.")
		switch {
		case !ok:
			return nil, false
		case name == "none" && must:
			return nil, true
		}
		value := values.Field(name)
		return value, value != nil && (must || value.Kind == Scalar)
	})
	for text, want := range map[string]string{
		"head: GET $(in.word) /$(in.word)/$(x)":        "{head: GET users /users/$(x)}",
		"head: $(in.word)":                             "{head: users}",
		"head: '$( in.word ) $(in.n)x $(in.none)'":     "{head: users 7x $(in.none)}",
		"head: \"GET \\t$(in.word)\"":                  "{head: GET \tusers}",
		"head: $(in.none) b c":                         "{head: ?}",
		"head: a b $$(in.word) $(in.word":              "{head: a b $$(in.word) $(in.word}",
		"text: $(in.word)":                             "{text: $(in.word)}",
		"shape: { a: $(in.word) }":                     "{shape: {a: $(in.word)}}",
		"cond: in.word":                                "{cond: in.word}",
		"steps: [{ name: $(in.word) }]":                "{steps: [{name: $(in.word)}]}",
		"node: $(in.map)":                              "{node: {wait: 2s}}",
		"node: a $(in.word)":                           "{node: a $(in.word)}",
		"node: { a: $(in.word) }":                      "{node: {a: $(in.word)}}",
		"name: $(in.word)-$(in.n)":                     "{name: users-7}",
		"name: $(in.empty)x":                           "{name: x}",
		"own: $(in.word)":                              "{own: $(in.word)}",
		"count: $(in.n)":                               "{count: 7}",
		"count: 1$(in.n)":                              "{count: 17}",
		"list: $(in.list)":                             "{list: [a, b]}",
		"list: [$(in.word), x, $(in.n)]":               "{list: [users, x, 7]}",
		"table: $(in.map)":                             "{table: {wait: 2s}}",
		"table: { a: $(in.word) }":                     "{table: {a: $(in.word)}}",
		"deep: $(in.map)":                              "{deep: {wait: 2s}}",
		"deep: { wait: $(in.n)s }":                     "{deep: {wait: 7s}}",
		"cases: [{ when: $(in.n), name: $(in.word) }]": "{cases: [{when: $(in.n), name: users}]}",
		"unknown: $(in.word)\nname: $(other)":          "{unknown: $(in.word), name: $(other)}",
	} {
		n := onlyDoc(t, text)
		if got := shownNode(fillKind.Literals(n, fill)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if strings.Contains(want, "$(") && !strings.Contains(want, "users") && !strings.Contains(want, "?") && fillKind.Literals(n, fill) != n {
			t.Errorf("%s: there is nothing to fill, and the node is another", text)
		}
	}
}

func onlyDoc(t testing.TB, text string) *Node {
	t.Helper()
	var ds Diagnostics
	docs := Parse(NewSource("test.yaml", text), &ds)
	if len(docs) != 1 {
		t.Fatalf("%q: %v", text, ds.All())
	}
	return docs[0]
}

// TestFilledTextKnowsItsPlaces looks up what stands around a value, and the value
// itself, which has the place of the expression.
func TestFilledTextKnowsItsPlaces(t *testing.T) {
	for _, text := range []string{
		"head: GET $(in.service) /items/$(id)",
		"head: 'GET $(in.service) /it''ems/$(id)'",
		"head: \"GET $(in.service) \\u002fitems/$(id)\"",
		"head: >-\n  GET\n  $(in.service)\n  /items/$(id)\n",
	} {
		value := ScalarAt("a-long-name-of-a-service", Span{})
		n := Filler(func(n *Node, from, to int, _ bool) (*Node, bool) { return value, n.Text[from:to] == "in.service" }).Fill(onlyDoc(t, text)).Field("head")
		if n.Text != "GET a-long-name-of-a-service /items/$(id)" && n.Text != "GET a-long-name-of-a-service /it'ems/$(id)" {
			t.Fatal(n.Text)
		}
		for part, want := range map[string]string{"GET": "GET", value.Text: "$(in.service)", "name": "$(in.service)", "ems/$(id)": "ems/$(id)"} {
			i := strings.Index(n.Text, part)
			if got := n.At(i, i+len(part)).Text(); got != want {
				t.Errorf("%q: %s stands at %q, want %q", text, part, got, want)
			}
		}
	}
}

// FuzzFill fills any text, and asks for the places of all its parts.
func FuzzFill(f *testing.F) {
	for _, seed := range []string{"GET $(a) /x", "'it''s $(a)$(b)'", "\"\\t$(a)\\u00e9\"", "|\n  $(a)\n  $(b)", "$(a", "$$(a) $(a)"} {
		f.Add(seed, "value")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		var ds Diagnostics
		docs := Parse(NewSource("test.yaml", "name: "+text), &ds)
		if len(docs) != 1 || docs[0].Kind != Map {
			return
		}
		n := docs[0].Field("name")
		if n == nil || n.Kind != Scalar {
			return
		}
		filled := Filler(func(*Node, int, int, bool) (*Node, bool) { return ScalarAt(value, n.Span), true }).Fill(n)
		for i := range len(filled.Text) {
			if at := filled.At(i, i+1); !at.Valid() || at.Start < n.Span.Start || at.End > n.Span.End {
				t.Fatalf("%q: byte %d of %q stands at %s", text, i, filled.Text, fmt.Sprint(at.Start, at.End, n.Span))
			}
		}
	})
}
