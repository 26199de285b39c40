package flows

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/schema"
	"github.com/weir-run/weir/gateway/policies"
)

// Catalog is all that flow files can be written with.
type Catalog struct {
	Steps    *dsl.Catalog[*engine.Compiler, engine.Step]
	Policies policies.Catalog
}

// Program is the checked content of flow files. It is immutable, but for its
// services, which Host.Apply opens.
type Program struct {
	Hash     string
	Flows    []*engine.Flow        // sorted by name
	Services []*connectors.Service // sorted by name
	Gateways []*Gateway            // sorted by name
	Tests    []*dsl.Node           // as they are written, if the environment has a Probe: to serve a program takes none
	Env      func(name string) (value string, ok bool)
	Secrets  *Secrets // those it was compiled with; nil: none were looked for

	imported map[string]bool // files, by name
	bundles  []*policies.Bundle
}

// Revision tells any two states of the files apart: the begin of their Hash.
func (p *Program) Revision() string { return p.Hash[:min(len(p.Hash), 12)] }

// Imported reports whether a place is in a file that is there only because
// another imports it: it belongs to others, too.
func (p *Program) Imported(at dsl.Span) bool { return at.Source != nil && p.imported[at.Source.Name] }

// Environment is what a check depends on besides the files.
type Environment struct {
	Env func(name string) (value string, ok bool) // such as os.LookupEnv
	// Secrets are those that the files name. Nil: nobody has looked for them; the
	// program can be checked, and not served.
	Secrets *Secrets
	Log     *slog.Logger // for log steps, and what policies keep
	Probe   engine.Probe // nil but for tests
	Plans   bool         // keep the plans of flows, for those who look at them
	Notes   bool         // tell also what is no more than worth knowing
	Index   dsl.Index    // nil but for editors
}

// Check compiles files to a Program. It opens nothing. The diagnostics hold
// every fault; if one of them is an error the Program is nil.
func Check(files *Files, catalog *Catalog, env Environment) (*Program, []dsl.Diagnostic) {
	return Parse(files).Check(catalog, env)
}

// Draft is files that were read and parsed: what programs are compiled from.
// It is immutable.
type Draft struct {
	files   *Files
	others  *schema.Documents
	docs    []*dsl.Node
	secrets []string // that flows and services name
	tested  []string // that only tests name
	faults  []dsl.Diagnostic
}

// Parse reads files. Check tells what is wrong with them.
func Parse(files *Files) *Draft {
	var c checker
	docs := c.parse(files.Sources)
	d := &Draft{files: files, others: schema.NewDocuments(files.Documents), docs: docs, faults: c.ds.All()}
	d.secrets, d.tested = secretsOf(docs)
	return d
}

// Check compiles the draft to a Program, as the function Check does. If flows
// are named it is one of those flows alone, with all that is no flow.
func (d *Draft) Check(catalog *Catalog, env Environment, only ...string) (*Program, []dsl.Diagnostic) {
	files := d.files
	c := &checker{catalog: catalog, env: env, files: files, documents: d.others, only: only, defined: map[string]dsl.Span{}, bundles: map[string]*bundle{}, asked: map[string]bool{}}
	c.program = &Program{Hash: files.Hash, Env: env.Env, Secrets: env.Secrets, imported: files.imports.files}
	c.secret = env.Secrets.name(d.secrets)
	for _, fault := range d.faults {
		c.ds.Report(fault)
	}
	for _, doc := range d.docs {
		if isTest(doc.Span.Source.Name) {
			c.testsOnly(doc)
		} else {
			c.declare(doc)
			if len(c.only) == 0 {
				c.literals(nil, doc)
			}
		}
	}
	if len(files.Sources) == 0 {
		c.ds.Report(dsl.Diagnostic{Code: "no-files", Message: "there are no .yaml or .yml files", Hint: "name a directory with flow files"})
	}
	c.compile()
	c.route()
	if c.ds.Failed() {
		return nil, c.told()
	}
	c.unused(files)
	if len(c.only) == 0 {
		c.advise()
		c.tell()
	}
	if !c.env.Plans {
		for _, f := range c.program.Flows {
			f.Forget()
		}
	}
	return c.program, c.told()
}

// told are the faults that whoever asked wants to know of.
func (c *checker) told() []dsl.Diagnostic {
	return slices.DeleteFunc(c.ds.All(), func(d dsl.Diagnostic) bool { return d.Severity == dsl.Note && !c.env.Notes })
}

// checker is one check.
type checker struct {
	catalog   *Catalog
	env       Environment
	files     *Files
	documents *schema.Documents
	only      []string // the flows that are compiled; nil: all
	program   *Program
	secret    *dsl.Name // what the name secret stands for
	templates []*engine.Template
	bundles   map[string]*bundle
	asked     map[string]bool // services that policies name
	served    map[*engine.Flow]served
	shown     map[dsl.Span]bool // where certificates of clients are asked for in vain: it is told once
	ds        dsl.Diagnostics
	defined   map[string]dsl.Span // "service users": where
	partial   bool                // definitions are missing that could not be read
}

// parse reads the sources, some at a time, and gives their documents in order.
func (c *checker) parse(sources []*dsl.Source) []*dsl.Node {
	docs := make([][]*dsl.Node, len(sources))
	c.spread(len(sources), func(i int, r dsl.Reporter) { docs[i] = dsl.Parse(sources[i], r) })
	return slices.Concat(docs...)
}

// spread runs fn for 0 to n-1 on all processors, each with a Reporter of its
// own. Diagnostics are sorted, so that the order does not matter.
func (c *checker) spread(n int, fn func(i int, r dsl.Reporter)) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
	)
	var failed any // what a goroutine panicked with: the caller can live with it
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			var ds dsl.Diagnostics
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				if v := recover(); v != nil {
					failed = fmt.Sprintf("%v\n%s", v, debug.Stack())
				}
				for _, d := range ds.All() {
					c.ds.Report(d)
				}
			}()
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					break
				}
				fn(i, &ds)
			}
		})
	}
	wg.Wait()
	if failed != nil {
		panic(failed)
	}
}

func (c *checker) compile() {
	p := c.program
	slices.SortFunc(p.Flows, func(a, b *engine.Flow) int { return strings.Compare(a.Name.Value, b.Name.Value) })
	slices.SortFunc(p.Services, func(a, b *connectors.Service) int { return strings.Compare(a.Name.Value, b.Name.Value) })
	slices.SortFunc(p.Gateways, func(a, b *Gateway) int { return strings.Compare(a.Name.Value, b.Name.Value) })
	lang := &engine.Language{Steps: c.catalog.Steps, Resources: &engine.Resources{Partial: c.partial}, Env: c.env.Env, Secret: c.secret, Probe: c.env.Probe, Index: c.env.Index, Documents: c.documents}
	connectors.Link(p.Services, c.partial, &c.ds)
	for _, s := range p.Services {
		if by := s.Issuer(); by.Value != "" && c.env.Index != nil {
			c.env.Index.Use("service", by, dsl.Span{})
		}
		s.Describe(c.documents, &c.ds)
		if c.env.Probe == nil { // tests are held against the document, too
			defer s.Forget()
		}
		engine.Provide(lang.Resources, "service", s.Name.Value, s)
	}
	for _, f := range p.Flows {
		engine.Provide(lang.Resources, "flow", f.Name.Value, f)
	}
	slices.SortFunc(c.templates, func(a, b *engine.Template) int { return strings.Compare(a.Name.Value, b.Name.Value) })
	for _, t := range c.templates {
		engine.Provide(lang.Resources, "template", t.Name.Value, t)
	}
	c.guard()
	c.spread(len(p.Flows), func(i int, r dsl.Reporter) { p.Flows[i].Compile(lang, c.tellsPolicies(r)) })
	engine.Recursion(p.Flows, &c.ds)
	engine.FailFast(p.Flows, &c.ds)
	if len(c.only) == 0 {
		c.spread(len(c.templates), func(i int, r dsl.Reporter) { c.templates[i].Check(lang, r) })
		engine.Circles(c.templates, &c.ds)
	}
	c.tell()
}

// tell reports the faults of templates, whose uses have all been looked at.
func (c *checker) tell() {
	for _, t := range c.templates {
		t.Tell(&c.ds)
	}
}

// unused warns of what a sound program holds in vain.
func (c *checker) unused(files *Files) {
	if len(c.program.Flows) == 0 {
		c.ds.Report(dsl.Diagnostic{Span: dsl.Span{Source: files.Sources[0]}, Severity: dsl.Warning, Code: "no-flows", Message: "these files hold no flow",
			Hint: "begin one with flow: name, and give it a trigger and steps"})
		return
	}
	c.unusedBundles()
	for _, g := range c.program.Gateways {
		if len(g.routes) == 0 && !c.program.Imported(g.Name.Span) {
			c.ds.Report(dsl.Diagnostic{Span: g.Name.Span, Severity: dsl.Warning, Code: "unused-gateway", Message: fmt.Sprintf("no flow uses gateway %q", g.Name.Value),
				Hint: "add trigger: { http: ..., gateway: " + g.Name.Value + " } to a flow, or remove it"})
		}
	}
}
