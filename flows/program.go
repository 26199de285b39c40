package flows

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/weir-run/weir/connectors"
	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
	"github.com/weir-run/weir/engine/schema"
	"github.com/weir-run/weir/gateway"
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

// Gateway is one listener with its routes.
type Gateway struct {
	Name    dsl.String
	Listen  string
	MaxBody int64 // bytes
	// Policies are those of requests that no route takes, outermost first.
	Policies []gateway.Layer

	policies []*dsl.Node // as they are written
	routes   []gateway.Route
	router   *gateway.Router
	at       dsl.Span // of listen
}

// Routes is how many routes the gateway serves.
func (g *Gateway) Routes() int { return len(g.routes) }

// Environment is what a check depends on besides the files.
type Environment struct {
	Env func(name string) (value string, ok bool) // such as os.LookupEnv
	// Secrets are those that the files name. Nil: nobody has looked for them; the
	// program can be checked, and not served.
	Secrets *Secrets
	Log     *slog.Logger // for log steps
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
	c := &checker{catalog: catalog, env: env, files: files, documents: d.others, only: only, defined: map[string]dsl.Span{}, bundles: map[string]*bundle{}}
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
	served    map[*engine.Flow]served
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

// Sections are the top-level keys of a document that is no flow.
var Sections = []string{"services", "gateways", "policies", "tests", "imports"}

// planned are sections of the language that this version does not have.
var planned = []string{"functions"}

func (c *checker) declare(doc *dsl.Node) {
	if doc.Broken() {
		c.partial = true
		return
	}
	if doc.Kind != dsl.Map {
		c.ds.Report(dsl.Diagnostic{Span: doc.KeySpan(), Code: "wrong-type", Message: "a document is a mapping, not " + doc.Describe(),
			Hint: "begin it with flow: name, or with services: or gateways:"})
		return
	}
	if name := doc.Field("flow"); name != nil {
		if len(c.only) == 0 || slices.Contains(c.only, name.Text) {
			c.declareFlow(c.alone(doc))
		}
		return
	}
	if doc.Field("template") != nil {
		c.declareTemplate(c.alone(doc))
		return
	}
	if steps, trigger := doc.Field("steps"), doc.Field("trigger"); steps != nil || trigger != nil {
		c.ds.Report(dsl.Diagnostic{Span: doc.KeySpan(), Code: "missing-key", Message: "this flow has no name", Hint: "add flow: name"})
		c.partial = true
		return
	}
	for _, f := range doc.Fields {
		c.section(f)
	}
}

// alone takes what is not of it out of the document of a flow or a template, and
// declares other sections.
func (c *checker) alone(doc *dsl.Node) *dsl.Node {
	what := "flow"
	if doc.Field(what) == nil {
		what = "template"
	}
	mixed := func(f dsl.Field) bool {
		return slices.Contains(Sections, f.Key.Text) || slices.Contains(planned, f.Key.Text) || f.Key.Text == "template" && what == "flow"
	}
	if !slices.ContainsFunc(doc.Fields, mixed) {
		return doc
	}
	own := *doc
	own.Fields = nil
	for i, f := range doc.Fields {
		if !mixed(f) {
			own.Fields = append(own.Fields, f)
			continue
		}
		d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: fmt.Sprintf("%s cannot stand in the document of a %s", f.Key.Text, what),
			Hint: "put it into a document of its own, behind a line ---"}
		_, column := f.Key.Span.Position()
		if line, _ := doc.Span.Position(); column == 1 && line > 0 && i > 0 && !slices.ContainsFunc(doc.Fields[i:], func(f dsl.Field) bool { return !mixed(f) }) {
			d.Mend("begin a document of its own", dsl.Edit{Span: dsl.Span{Source: f.Key.Span.Source, Start: f.Key.Span.Start, End: f.Key.Span.Start}, New: "---\n"})
		}
		c.ds.Report(d)
		if slices.Contains(Sections, f.Key.Text) {
			c.section(f)
		}
	}
	return &own
}

func (c *checker) section(f dsl.Field) {
	switch name := f.Key.Text; {
	case name == "services":
		c.entries(f, "service", func(name dsl.String, n *dsl.Node) {
			s, ok := connectors.ServiceKind.Compile(&c.ds, dsl.Expand(n, &c.ds, c.env.Env, c.secret, c.env.Index))
			if !ok {
				s = &connectors.Service{}
			}
			s.Name = name
			c.program.Services = append(c.program.Services, s)
		})
	case name == "gateways":
		c.entries(f, "gateway", func(name dsl.String, n *dsl.Node) {
			g, ok := GatewayKind.Compile(&c.ds, GatewayKind.Expand(n, &c.ds, c.env.Env, c.secret, c.env.Index))
			if !ok {
				g = &Gateway{}
			}
			g.Name = name
			c.program.Gateways = append(c.program.Gateways, g)
		})
	case name == "policies":
		c.entries(f, "policies", c.declareBundle)
	case name == "tests":
		c.tests(f)
	case name == "imports":
		c.imports(f)
	case name == "templates":
		c.partial = true
		c.ds.Report(dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: "there is no section templates", Hint: "begin a document of its own for each, with template: name"})
	case slices.Contains(planned, name):
		c.ds.Report(dsl.Diagnostic{Span: f.Key.Span, Code: "unsupported-section", Message: fmt.Sprintf("this version of Weir does not have %s", name),
			Hint: "remove the section; flow, services and gateways are there"})
	default:
		d := dsl.Diagnostic{Span: f.Key.Span, Code: "unknown-key", Message: fmt.Sprintf("unknown section %q", name), Hint: "a document holds a flow, or services and gateways"}
		if _, ok := d.SuggestWord(name, append([]string{"flow", "template"}, Sections...)); ok {
			c.partial = true
		}
		c.ds.Report(d)
	}
}

func (c *checker) declareFlow(doc *dsl.Node) {
	f := engine.DeclareFlow(doc, &c.ds)
	if f == nil {
		c.partial = true
	} else if c.unique("flow", f.Name) {
		c.program.Flows = append(c.program.Flows, f)
	}
}

func (c *checker) declareTemplate(doc *dsl.Node) {
	t := engine.DeclareTemplate(doc, &c.ds)
	if t == nil {
		c.partial = true
	} else if c.unique("template", t.Name) {
		c.templates = append(c.templates, t)
	}
}

// entries declares the named things of a section.
func (c *checker) entries(section dsl.Field, noun string, declare func(name dsl.String, n *dsl.Node)) {
	if v := section.Value; v.Kind != dsl.Map {
		c.partial = true
		if !v.Broken() {
			c.ds.Report(dsl.Diagnostic{Span: section.Key.Span, Code: "wrong-type", Message: fmt.Sprintf("%s is a mapping of name to %s, not %s", section.Key.Text, noun, v.Describe()),
				Hint: fmt.Sprintf("write the name of each %s with a colon, and what it is below", noun)})
		}
		return
	}
	for _, f := range section.Value.Fields {
		name := dsl.String{Value: f.Key.Text, Span: f.Key.Span}
		if c.unique(noun, name) {
			declare(name, f.Value)
		}
	}
}

// unique reports a second thing of one name, showing both.
func (c *checker) unique(noun string, name dsl.String) bool {
	if c.env.Index != nil {
		c.env.Index.Define(noun, name)
	}
	key := noun + " " + name.Value
	if at, taken := c.defined[key]; taken {
		c.ds.Report(dsl.Diagnostic{Span: name.Span, Code: "duplicate-" + noun, Message: fmt.Sprintf("there are two %ss named %q", noun, name.Value),
			Hint: "rename one of them", Related: []dsl.Related{{Span: at, Message: "the other one"}}})
		return false
	}
	c.defined[key] = name.Span
	return true
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
	c.spread(len(p.Flows), func(i int, r dsl.Reporter) { p.Flows[i].Compile(lang, r) })
	engine.Recursion(p.Flows, &c.ds)
	if len(c.only) == 0 {
		c.spread(len(c.templates), func(i int, r dsl.Reporter) { c.templates[i].Check(lang, r) })
		engine.Circles(c.templates, &c.ds)
	}
	c.tell()
}

// route gives every gateway its router, and reports routes that contradict
// each other.
func (c *checker) route() {
	for i, g := range c.program.Gateways {
		for _, other := range c.program.Gateways[:i] {
			if collide(g.Listen, other.Listen) {
				c.ds.Report(dsl.Diagnostic{Span: g.at, Code: "address-taken", Message: fmt.Sprintf("gateway %q listens where %q does", g.Name.Value, other.Name.Value),
					Hint: "give each its own port", Related: []dsl.Related{{Span: other.at, Message: "the other one"}}})
				break
			}
		}
	}
	for _, f := range c.program.Flows {
		if s, ok := c.served[f]; ok {
			s.by.routes = append(s.by.routes, c.routeOf(f, s))
		}
	}
	for _, g := range c.program.Gateways {
		g.router = gateway.NewRouter(g.routes, &c.ds)
	}
}

// tell reports the faults of templates, whose uses have all been looked at.
func (c *checker) tell() {
	for _, t := range c.templates {
		t.Tell(&c.ds)
	}
}

// collide reports whether two addresses cannot be listened on at once. Those
// that are not sound have been reported.
func collide(a, b string) bool {
	a, errA := gateway.Address(a)
	b, errB := gateway.Address(b)
	if errA != nil || errB != nil {
		return false
	}
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return portA == portB && portA != "0" && (hostA == hostB || hostA == "" || hostB == "")
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

func (c *checker) gatewayOf(f *engine.Flow, byName map[string]*Gateway) *Gateway {
	if c.env.Index != nil {
		c.env.Index.Use("gateway", f.Trigger.Gateway, dsl.Span{})
	}
	name, known := f.Trigger.Gateway, make([]string, 0, len(c.program.Gateways))
	for _, g := range c.program.Gateways {
		known = append(known, g.Name.Value)
	}
	d := dsl.Diagnostic{Span: name.Span, Code: "unknown-gateway", Message: fmt.Sprintf("there is no gateway %q", name.Value)}
	switch g, ok := byName[name.Value]; {
	case ok:
		return g
	case name.Value == "" && len(known) == 1:
		return c.program.Gateways[0]
	case c.partial:
		return nil
	case name.Value == "" && len(known) == 0:
		d.Span, d.Code = f.Trigger.Span, "no-gateway"
		d.Message, d.Hint = "there is no gateway that could serve this route", "define one: gateways: { public: { listen: \":8080\" } }"
	case name.Value == "":
		d.Span, d.Code = f.Trigger.Span, "no-gateway"
		d.Message, d.Hint = "there are several gateways, and this trigger does not say which serves it", "add gateway: "+strings.Join(known, " or gateway: ")
	case strings.Contains(name.Value, "$("):
		d.Message, d.Hint = "the name of a gateway cannot be an expression", "write the name"
	default:
		d.Hint = "define it: gateways: { " + name.Value + ": { listen: \":8080\" } }"
		d.Suggest(name.Value, known)
	}
	c.ds.Report(d)
	return nil
}

func (c *checker) routeOf(f *engine.Flow, s served) gateway.Route {
	r := gateway.Route{
		Gateway: s.by.Name.Value, Method: f.Trigger.Method, Path: f.Trigger.Path, Span: f.Trigger.Span, Name: f.Name.Value,
		Deadline: f.Trigger.Deadline, MaxBody: f.Trigger.MaxBody, Handler: http.NotFoundHandler(),
		Layers: s.policies.Layers,
	}
	if p := f.Program(); p != nil {
		r.Handler = gateway.FlowHandler(p, c.env.Log)
	}
	return r
}

type gatewayConfig struct {
	Listen   dsl.String  `yaml:"listen" doc:"The address: HOST:PORT, or :PORT for all of the machine's addresses." required:"true"`
	Policies dsl.Bundles `yaml:"policies" doc:"What applies to all requests of the gateway: names of bundles of the section policies, and bundles that stand in their place."`
	MaxBody  dsl.Size    `yaml:"max_body" doc:"How large the body of a request may be where the flow does not say." default:"10MB" min:"1B"`
}

// GatewayKind is the Kind of an entry of the gateways section.
var GatewayKind = dsl.Define("gateway", "An address that serves the routes of flows.",
	func(r dsl.Reporter, at *dsl.Node, cfg *gatewayConfig) *Gateway {
		if err := gateway.CheckAddress(cfg.Listen.Value); err != nil {
			message, hint, _ := strings.Cut(err.Error(), ": write ")
			d := dsl.Diagnostic{Span: cfg.Listen.Span, Code: "bad-address", Message: message, Hint: "write " + hint}
			if strings.Trim(cfg.Listen.Value, "0123456789") == "" {
				d.Hint = fmt.Sprintf("write %q", ":"+cfg.Listen.Value)
				if at, ok := cfg.Listen.Span.Find(cfg.Listen.Value); ok && cfg.Listen.Value != "" {
					d.Mend(d.Hint, dsl.Edit{Span: cfg.Listen.Span, New: strconv.Quote(":" + at.Text())})
				}
			}
			r.Report(d)
		}
		return &Gateway{Listen: cfg.Listen.Value, MaxBody: int64(cfg.MaxBody), policies: cfg.Policies.Items, at: cfg.Listen.Span}
	},
	dsl.Example{Name: "all addresses", YAML: `listen: ":8080"`})
