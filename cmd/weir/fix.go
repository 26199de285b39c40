package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
)

// mostRounds bounds how often what the fixes have uncovered is fixed, too.
const mostRounds = 10

// fixer is one run of weir check --fix. Everything is tried in memory first:
// what is written is known to be no worse than what was there.
type fixer struct {
	files *flows.Files
	check func(*flows.Files) []dsl.Diagnostic

	read *flows.Files     // as the files are
	made []dsl.Diagnostic // what the fixes so far were about
	left string           // why nothing was fixed that could be
}

// state is how bad files are. Documents that cannot be read hide what is wrong
// in them, so that there may be more errors when one can be read again.
type state struct{ unread, errors int }

func (s state) worse(than state) bool {
	return s.unread > than.unread || s.unread == than.unread && s.errors > than.errors
}

func stateOf(files *flows.Files, ds []dsl.Diagnostic) (s state) {
	for _, src := range files.Sources {
		for _, doc := range dsl.Parse(src, &dsl.Diagnostics{}) {
			if doc.Broken() {
				s.unread++
			}
		}
	}
	for _, d := range ds {
		if d.Severity == dsl.Error {
			s.errors++
		}
	}
	return s
}

// fix makes all certain fixes that leave the files no worse. ds is what is wrong
// with them.
func (f *fixer) fix(ds []dsl.Diagnostic) {
	f.read = f.files
	best, first := *f, stateOf(f.files, ds)
	var last state
	own := func(src *dsl.Source) bool { return slices.Contains(f.files.Own(), src) }
	for range mostRounds {
		choice := dsl.Fixing(ds, own)
		if len(choice.Made) == 0 {
			break
		}
		f.files = f.files.Edit(choice.Edits)
		f.made = append(f.made, choice.Made...)
		ds = f.check(f.files)
		if last = stateOf(f.files, ds); !last.worse(first) {
			best = *f
			best.made = slices.Clone(f.made)
		}
	}
	if len(best.made) == 0 && len(f.made) > 0 {
		best.left = fmt.Sprintf("nothing is fixed: it would make %s of %s; correct the first by hand", plural(last.errors, "error"), plural(first.errors, "error"))
	}
	*f = best
}

// write replaces the files whose text has changed, and tells of every fix.
func (f *fixer) write(w io.Writer) error {
	told := false
	for i, src := range f.files.Sources {
		was := f.read.Sources[i]
		if src.Text == was.Text {
			continue
		}
		if now, err := os.ReadFile(src.Name); err != nil || string(now) != was.Text {
			return fmt.Errorf("cannot fix %s: it has changed since it was read", src.Name)
		}
		if err := rewrite(src.Name, src.Text); err != nil {
			return fmt.Errorf("cannot fix %s: %w", src.Name, err)
		}
		for _, d := range f.made {
			if d.Span.Source.Name == src.Name {
				told = true
				fmt.Fprintf(w, "%s: fixed: %s: %s [%s]\n", d.Span, d.Message, d.Fixes[0].Title, d.Code)
			}
		}
	}
	if told {
		fmt.Fprintln(w)
	}
	return nil
}
