package flows_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

// FuzzFixes makes sure that all fixes of whatever program lie in its text, and
// can be made; those that are made together without touching each other.
func FuzzFixes(f *testing.F) {
	for _, path := range archives(f) {
		for _, file := range parseArchive(f, path).files {
			if text := expand(file.text); len(text) < 4<<10 {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		src := dsl.NewSource("flow.yaml", text)
		faults := check([]*dsl.Source{src})
		for _, d := range faults {
			for i, fix := range d.Fixes {
				if fix.Title == "" || fix.Certain && i > 0 {
					t.Fatalf("%s: bad fix %+v", d.Message, fix)
				}
				for _, e := range fix.Edits {
					if !e.Span.Valid() {
						t.Fatalf("%s: bad edit %+v", d.Message, e)
					}
				}
				dsl.Apply(src, fix.Edits) // panics if they overlap
			}
		}
		edits := dsl.Fixing(faults, func(*dsl.Source) bool { return true }).Edits
		check([]*dsl.Source{dsl.NewSource("flow.yaml", dsl.Apply(src, edits))})
	})
}

var unnamed = strings.NewReplacer("\t", "<TAB>", "\u202e", "<U+202E>")

// fixedFiles are the sources that the certain fixes change. Each of the faults
// that they are about is gone then.
func fixedFiles(t *testing.T, sources []*dsl.Source, faults []dsl.Diagnostic) (fixed []archived) {
	t.Helper()
	choice := dsl.Fixing(faults, func(src *dsl.Source) bool { return slices.Contains(sources, src) })
	if len(choice.Made) == 0 {
		return nil
	}
	after := make([]*dsl.Source, len(sources))
	for i, src := range sources {
		if after[i] = dsl.NewSource(src.Name, dsl.Apply(src, choice.Edits)); after[i].Text != src.Text {
			fixed = append(fixed, archived{"fixed/" + src.Name, unnamed.Replace(after[i].Text)})
		}
	}
	left := check(after)
	for _, d := range choice.Made {
		if slices.ContainsFunc(left, func(x dsl.Diagnostic) bool {
			return x.Code == d.Code && x.Message == d.Message && x.Span.Text() == d.Span.Text() && x.Span.String() == d.Span.String()
		}) {
			t.Errorf("%s: %s [%s] is still there when it is fixed", d.Span, d.Message, d.Code)
		}
	}
	return fixed
}
