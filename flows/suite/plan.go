package suite

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// place is what a step, or a way, is known by through all compilations of its
// file. Those of a template have one span, and are of a flow by their names.
type place struct {
	flow string
	span dsl.Span
	what string
}

func siteOf(s engine.Site) place { return place{s.Flow.Name.Value, s.Span, s.Name} }

func wayOf(w engine.Way) place { return place{w.Flow.Name.Value, w.Span, w.What} }

// plan is all that a program could do: its steps and its ways. It is the Probe
// of the one compilation that no test runs, and changes nothing.
type plan struct {
	mu    sync.Mutex
	sites map[string][]engine.Site // by flow
	ways  map[string][]engine.Way
}

func newPlan() *plan {
	return &plan{sites: map[string][]engine.Site{}, ways: map[string][]engine.Way{}}
}

// Flow is what engine.Probe asks for.
func (p *plan) Flow(_ *engine.Flow, steps engine.Step) engine.Step { return steps }

// Verb is what engine.Probe asks for.
func (p *plan) Verb(at engine.Site, verb engine.Step) engine.Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	flow := at.Flow.Name.Value
	p.sites[flow] = append(p.sites[flow], at)
	return verb
}

// Way is what engine.Probe asks for.
func (p *plan) Way(w engine.Way) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	flow := w.Flow.Name.Value
	p.ways[flow] = append(p.ways[flow], w)
	return nil
}

// step is a step by its id, or nil.
func (p *plan) step(flow, id string) *engine.Site {
	for i, s := range p.sites[flow] {
		if s.Name == id && s.ID.Valid() {
			return &p.sites[flow][i]
		}
	}
	return nil
}

// steps are the ids of a flow's steps.
func (p *plan) steps(flow string) (ids []string) {
	for _, s := range p.sites[flow] {
		if s.ID.Valid() {
			ids = append(ids, s.Name)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// callSites are the steps of a flow that name a service, in the order of the
// file.
func (p *plan) callSites(flow string) (sites []engine.Site) {
	for _, s := range p.sites[flow] {
		if len(servicesOf(s)) > 0 {
			sites = append(sites, s)
		}
	}
	slices.SortFunc(sites, func(a, b engine.Site) int {
		return cmp.Or(cmp.Compare(a.Span.Source.Name, b.Span.Source.Name), cmp.Compare(a.Span.Start, b.Span.Start), cmp.Compare(a.Name, b.Name))
	})
	return sites
}

// servicesOf are the names of the services that a step calls.
func servicesOf(s engine.Site) (services []string) {
	for _, use := range s.Uses {
		if name, ok := strings.CutPrefix(use, "service "); ok {
			services = append(services, name)
		}
	}
	return services
}
