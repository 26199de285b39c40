package dsl

import (
	"strings"
	"testing"
)

func TestStepsHaveOneVerb(t *testing.T) {
	for keys, want := range map[string]string{
		"":                 "",
		"id when":          "",
		"id call":          "call",
		"call each":        "",
		"limit":            "limit",
		"limit each steps": "each",
		"limit each call":  "",
		"limit call":       "",
	} {
		if got := testGrammar.Verb(strings.Fields(keys)); got != want {
			t.Errorf("a step with %s: the verb is %q, want %q", keys, got, want)
		}
	}
}
