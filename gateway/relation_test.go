package gateway

import (
	"regexp"
	"strings"
	"testing"
)

func TestRelationsOfPatterns(t *testing.T) {
	tests := []struct {
		a, b string
		want string
	}{
		{`[0-9]+`, `[a-z]+`, "disjoint"},
		{`[0-9]+`, `[0-9a-f]+`, "narrower"},
		{`[0-9]{4}`, `[0-9]+`, "narrower"},
		{`[^/]+\.json`, `[^/]+\.[^/]+`, "narrower"},
		{`.+`, `x.*`, "wider"},
		{`\d+`, `[0-9]+`, "equal"},
		{`[0-9]*`, `[0-9]+`, "equal"}, // no segment is empty
		{`(?i:abc)`, `[aA][bB][cC]`, "equal"},
		{`(?i:k)`, `k|K|\x{212A}`, "equal"}, // the Kelvin sign folds to k
		{`a|b`, `b|c`, "crossing"},
		{`[a-m]+`, `[h-z]+`, "crossing"},
		{`v[0-9]+`, `[a-z]+[0-9]`, "crossing"},
		{`[^a]`, `[^b]`, "crossing"},
		{`\bx`, `x`, "unknown"},
		{`(?:[ab]*a[ab]{14}|[ab]*b)`, `(?:[ab]*b[ab]{14}|[ab]*a)`, "unknown"},
	}
	for _, tt := range tests {
		if got := relate(tt.a, tt.b).String(); got != tt.want {
			t.Errorf("%s and %s: %s, want %s", tt.a, tt.b, got, tt.want)
		}
		mirrored := strings.NewReplacer("narrower", "wider", "wider", "narrower").Replace(tt.want)
		if got := relate(tt.b, tt.a).String(); got != mirrored {
			t.Errorf("%s and %s: %s, want %s", tt.b, tt.a, got, mirrored)
		}
	}
}

func (r relation) String() string {
	switch {
	case r.unknown:
		return "unknown"
	case r.disjoint():
		return "disjoint"
	case r.narrower():
		return "narrower"
	case r.wider():
		return "wider"
	case !r.onlyA && !r.onlyB:
		return "equal"
	default:
		return "crossing"
	}
}

// FuzzRelation compares with trying all short texts.
func FuzzRelation(f *testing.F) {
	f.Add("a+b?", "[ab]+")
	f.Add("(?:ab|c)*", "a.c|b")
	f.Add("(?i:a)[^b]", "A.{0,2}")
	f.Fuzz(func(t *testing.T, a, b string) {
		matcherA, errA := regexp.Compile("^(?:" + a + ")$")
		matcherB, errB := regexp.Compile("^(?:" + b + ")$")
		if errA != nil || errB != nil || len(a)+len(b) > 60 {
			return
		}
		r := relate("(?:"+a+")", "(?:"+b+")")
		if r.unknown {
			return
		}
		if s := r.shared; s != "" && (!matcherA.MatchString(s) || !matcherB.MatchString(s)) {
			t.Fatalf("%q and %q do not both match %q", a, b, s)
		}
		for _, text := range shortTexts {
			inA, inB := matcherA.MatchString(text), matcherB.MatchString(text)
			if inA && inB && r.disjoint() || inA && !inB && !r.onlyA || inB && !inA && !r.onlyB {
				t.Fatalf("%q and %q are %v, but %q is in one %v, in the other %v", a, b, r, text, inA, inB)
			}
		}
	})
}

var shortTexts = func() (texts []string) {
	level := []string{""}
	for range 4 {
		var next []string
		for _, text := range level {
			for _, c := range "abA1-é" {
				next = append(next, text+string(c))
			}
		}
		texts = append(texts, next...)
		level = next
	}
	return texts
}()
