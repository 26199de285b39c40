package dsl

import (
	"strings"
	"testing"
)

type pauseConfig struct {
	Pause Duration `yaml:"pause" doc:"How long." required:"true"`
	Note  string   `yaml:"note" default:"none"`
}

func pause() Kind[*Diagnostics, string] {
	return Define("pause", "Waits.", func(b *Diagnostics, at *Node, cfg *pauseConfig) string {
		if cfg.Note == "bad" {
			b.Errorf(at.Field("note").Span, "bad-note", "a bad note")
		}
		return cfg.Pause.String() + " " + cfg.Note
	}, Example{"a second", "pause: 1s"})
}

func TestKindCompiles(t *testing.T) {
	var faults Diagnostics
	var also modifiers
	n := Parse(NewSource("t.yaml", "pause: 1s\nid: a\n"), &faults)[0]
	got, ok := pause().Compile(&faults, n, &also)
	if got != "1s none" || !ok || also.ID != "a" || faults.Len() > 0 {
		t.Errorf("got %q, %t, %+v, %v", got, ok, also, faults.All())
	}
}

func TestKindDoesNotCompileFaultyConfiguration(t *testing.T) {
	var faults Diagnostics
	n := Parse(NewSource("t.yaml", "pause: 1\nid: a\n"), &faults)[0]
	if got, ok := pause().Compile(&faults, n); got != "" || ok || faults.Len() != 2 {
		t.Errorf("got %q, %t, %v", got, ok, faults.All())
	}
}

func TestKindReportsWhatCompileFinds(t *testing.T) {
	var faults Diagnostics
	n := Parse(NewSource("t.yaml", "pause: 1s\nnote: bad\n"), &faults)[0]
	if _, ok := pause().Compile(&faults, n); !ok || !faults.Failed() {
		t.Errorf("ok %t with %v, want true with a fault", ok, faults.All())
	}
}

func TestKindDescribesItself(t *testing.T) {
	k := pause()
	if got := strings.Join(k.Keys(), " "); got != "pause note" {
		t.Errorf("keys %s", got)
	}
	s := k.Schema()
	if s.Doc != "Waits." || len(s.Fields) != 2 || s.Fields[0].Key != "pause" || !s.Fields[0].Required ||
		s.Fields[0].Type != DurationType || s.Fields[1].Default.Text != "none" {
		t.Errorf("schema %+v", s)
	}
}

func TestCatalogKeepsItsOrder(t *testing.T) {
	other := pause()
	other.Name = "alpha"
	c, err := NewCatalog(pause(), other)
	if err != nil || strings.Join(c.Names(), " ") != "pause alpha" || len(c.All()) != 2 {
		t.Fatalf("got %v, %v", c.Names(), err)
	}
	if k, ok := c.Kind("alpha"); !ok || k.Name != "alpha" {
		t.Errorf("Kind gives %q, %t", k.Name, ok)
	}
	if _, ok := c.Kind("beta"); ok {
		t.Error("there is a kind that was never given")
	}
}

func TestCatalogRefusesFaultyKinds(t *testing.T) {
	nameless, silent := pause(), pause()
	nameless.Name, silent.Doc = "", ""
	tagged := Define("tagged", "Has a faulty tag.", func(*Diagnostics, *Node, *struct {
		A int `yaml:"a" default:"x"`
	}) string {
		return ""
	})
	tests := map[string][]Kind[*Diagnostics, string]{
		"two kinds are called pause": {pause(), pause()},
		"a kind has no name":         {nameless},
		"kind pause: no doc":         {silent},
		"not made with Define":       {{Name: "x", Doc: "X."}},
		`the default "x"`:            {tagged},
	}
	for want, kinds := range tests {
		if _, err := NewCatalog(kinds...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
