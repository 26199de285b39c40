package suite

import (
	"github.com/weir-run/weir/engine"
)

// trial is one test with broken calls.
type trial struct {
	test   *Test
	site   engine.Site // of the cell that the trial is for
	kind   int
	after  *injection // the call that is broken, too, so that this one is made
	first  string     // the step of that call
	result Cell
	sites  map[place]bool
}

// trials are those of one flow.
type trials struct {
	*Suite
	flow   string
	sites  []engine.Site
	plain  map[*Test]*outcome // by tests that pass
	tests  []*Test
	matrix *Matrix
}

// Faults breaks every call of the flows that tests are about. Tests that do not
// pass are left out.
func (s *Suite) Faults(tests []*Test) []Matrix {
	flows := map[string]*trials{}
	plain := make([]*outcome, 0, len(tests))
	inOrder(len(tests), func(i int) *outcome { return s.play(tests[i], nil, nil) }, func(o *outcome) { plain = append(plain, o) })
	for i, t := range tests {
		if t.Flow == "" || len(t.expect.judge(plain[i])) > 0 {
			continue
		}
		f := flows[t.Flow]
		if f == nil {
			f = &trials{Suite: s, flow: t.Flow, sites: s.reachable(t.Flow), plain: map[*Test]*outcome{}, matrix: s.matrix(t.Flow)}
			flows[t.Flow] = f
		}
		f.plain[t] = plain[i]
		f.tests = append(f.tests, t)
		f.matrix.Tests++
	}
	var all []Matrix
	for _, flow := range sortedKeys(flows) {
		f := flows[flow]
		first := f.first()
		f.run(first)
		f.run(f.second(first))
		all = append(all, *f.matrix)
	}
	return all
}

// first breaks each call that tests make. Where a test says that a service
// fails, another fault shows little: such tests count only for calls that
// succeed in no other.
func (f *trials) first() (all []trial) {
	for _, site := range f.sites {
		at := siteOf(site)
		succeeds := false
		for _, t := range f.tests {
			succeeds = succeeds || f.plain[t].sites[at]
		}
		for _, t := range f.tests {
			if answered, reached := f.plain[t].sites[at]; !reached || succeeds && !answered {
				continue
			}
			for kind := range Kinds {
				all = append(all, trial{test: t, site: site, kind: kind})
			}
		}
	}
	return all
}

// second breaks the calls that are made only because another was broken, each
// together with every call whose fault leads to it.
func (f *trials) second(first []trial) (all []trial) {
	type trigger struct {
		test *Test
		site place
		to   place
	}
	reached, seen := map[place]bool{}, map[trigger]bool{}
	for _, t := range f.tests {
		for at := range f.plain[t].sites {
			reached[at] = true
		}
	}
	for _, tr := range first {
		if tr.result.Outcome == NoMock {
			continue
		}
		for _, site := range f.sites {
			to := siteOf(site)
			way := trigger{tr.test, siteOf(tr.site), to}
			if _, made := tr.sites[to]; !made || reached[to] || seen[way] {
				continue
			}
			seen[way] = true
			for kind := range Kinds {
				all = append(all, trial{test: tr.test, site: site, kind: kind, after: &injection{at: way.site, kind: Kinds[tr.kind]}, first: tr.site.Name})
			}
		}
	}
	return all
}

// run tries all of them, and writes down what comes of it.
func (f *trials) run(all []trial) {
	inOrder(len(all), func(i int) *trial {
		tr := &all[i]
		o := f.play(tr.test, nil, &injection{at: siteOf(tr.site), kind: Kinds[tr.kind], also: tr.after})
		tr.result, tr.sites = f.judge(*tr, o, f.plain[tr.test]), o.sites
		return tr
	}, func(tr *trial) {
		for i, row := range f.matrix.Rows {
			if row.at == siteOf(tr.site) {
				f.matrix.Rows[i].Cells[tr.kind].note(tr.result)
			}
		}
	})
}
